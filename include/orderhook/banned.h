/*
 * Functions that this project does not call, with the reason. Included by no file: `make lint`
 * reads the names (BANNED lines) and searches the sources for them.
 *
 * BANNED strcpy strcat sprintf vsprintf gets      no bound
 * BANNED strncpy strncat                          a bound that does not mean what it seems
 * BANNED atoi atol atoll atof strtod              cannot fail
 * BANNED strtok localtime gmtime ctime asctime    static state
 * BANNED alloca                                   no bound on the stack
 * BANNED system popen                             a shell
 * BANNED rand srand                               one seed for the process
 * BANNED sleep usleep                             waits for a time instead of a condition
 * BANNED signal                                   sigaction says what it means
 */
#pragma once
