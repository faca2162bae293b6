/*
 * SIGINT, SIGTERM and SIGHUP as something to ask for: from begin to end they do not kill the
 * process, so that what a command has found can still be said.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

struct interrupt {
	int fd; /* readable once a signal came */
	sigset_t before;
};

/* -ERR_SYSTEM. */
int interrupt_begin(struct interrupt *ret);
/* The signal that came, 0 when none did. Each is told once. */
int interrupt_take(const struct interrupt *interrupt);
/* Signals that were not taken are forgotten. */
void interrupt_end(struct interrupt *interrupt);
