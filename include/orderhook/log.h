/*
 * The daemon's log. Where stderr is the journal, entries go there with fields of their own; else
 * they are lines on stderr, each with a priority ("<6>") unless it is a terminal. What a
 * terminal would obey or hide in a message (control and bidi characters, bytes that are no UTF-8)
 * is written as \xNN or \u{NNNN}, so that nothing that came from outside can forge a line. Nothing
 * of a body but its order numbers, no secret and no URL token is ever passed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

enum log_message {
#define MESSAGE(name, id, priority, subject, explanation) MESSAGE_##name,
#include "orderhook/tbl/message.def"
#undef MESSAGE
	MESSAGE_MAX
};

/* What a journal entry can be found by; NULL and 0 are left out. Borrowed for the call. */
struct log_fields {
	const char *order_no;
	const char *iss_order_no;
	int64_t event_id;
	const char *verdict;
	const char *endpoint;
	const char *request_id;
};

/* Lines above this priority are dropped; LOG_INFO unless told otherwise. */
void log_set_level(int priority);
/* One message of the table, at its priority. fields: NULL where there are none. */
void log_message(enum log_message message, const struct log_fields *fields, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What is in no table: a library's own words, for whoever debugs. */
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Lines that callers cause are bounded, so that a flood of them is no flood of the log. Any thread;
 * zero it first. True when one more line fits into this second.
 */
struct log_limit {
	_Atomic int64_t second;
	_Atomic int64_t lines;
};
bool log_allowed(struct log_limit *limit, int64_t now_us, int64_t lines_per_second);
