/* A progress bar: one line on a terminal, redrawn in place; nothing where there is no terminal. */
#pragma once

#include <stdint.h>

#include "orderhook/buf.h"

struct progress {
	int fd; /* -1: not a terminal */
	int64_t began_us;
	int64_t drawn_us;
	bool drawn;
};

/* Looks at fd and TERM. */
void progress_begin(struct progress *progress, int fd);
/* Draws at most ten times a second. rest stands behind the bar: what else goes on. */
void progress_show(struct progress *progress, uint64_t done, uint64_t total, const char *rest);
/* Takes the line away, so that something else can be printed. */
void progress_clear(struct progress *progress);

/* The line: as much of it as fits width columns. elapsed_us: since the beginning. */
int progress_line(struct buf *out, size_t width, uint64_t done, uint64_t total, int64_t elapsed_us,
		  const char *rest);
