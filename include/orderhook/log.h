/*
 * The daemon's log: lines on stderr, each with a journal priority ("<6>") unless stderr is a
 * terminal. Control characters in a message are written as \xNN, so that nothing that came from
 * outside can forge a line or drive a terminal. Nothing of a body, no secret and no URL token is
 * ever passed in.
 */
#pragma once

#include <syslog.h>

/* Lines above this priority are dropped; LOG_INFO unless told otherwise. */
void log_set_level(int priority);
void log_write(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
