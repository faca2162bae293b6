/*
 * What a check found: one list for `attention` and `doctor`, each line with what to do next. Kinds
 * and subjects are stable words for scripts; detail and next are for people.
 */
#pragma once

#include "tool_private.h"

struct findings {
	struct list list;
	int err; /* the first failure to gather or print */
};

/* -ERR_NOMEM. */
int findings_begin(struct findings *findings, struct out *out, enum print_format format);
/* since_ms 0: it has no beginning. Everything is copied or printed before it returns. */
void findings_add(struct findings *findings, const char *kind, const char *subject,
		  int64_t since_ms, const char *next, const char *format, ...)
	__attribute__((format(printf, 6, 7)));
void findings_end(struct findings *findings);
