/* `orderhook show`: the parts that look at one order's events. */
#pragma once

#include "tool_private.h"

/* One order and its events, copied out of the store. */
struct show {
	struct row_copy order;
	struct show_event *events; /* owned */
	size_t n_events;
	/* What show_rewind() puts into the order's row. */
	char texts[ORDER_COL_MAX][EVENT_ID_BYTES_MAX + 1];
};

struct show_event {
	struct row_copy row;
	struct order_event fold; /* as order_fold() takes it */
};

/* ------------------------------------------------------------------ show_at.c ---------- */

/* The words of --as, in their order. */
enum show_as {
	SHOW_AS_OCCURRED = 0, /* in the order in which things happened */
	SHOW_AS_RECEIVED,     /* in the order in which they were told to us */
	SHOW_AS_MAX
};

/*
 * Makes of show what it was at at_ms: drops the events that had not happened (or, as received, had
 * not arrived) by then, and folds the rest. False when none is left.
 */
bool show_rewind(struct show *show, enum show_as as, int64_t at_ms);

struct show_options {
	const char *name; /* the ORDER that was asked for */
	enum print_format format;
	enum show_as as;
	int64_t at_ms; /* 0: now */
	bool reveal;
};

/* ------------------------------------------------------------------ show_print.c ------- */

/* Prints in the format that was asked for; returns the exit code. */
int show_print(struct tool *tool, const struct show *show, const struct show_options *options);

/* ------------------------------------------------------------------ show_timeline.c ---- */

/* What events[i] means where it stands: "skipped 30/1 (never arrived)". Appended as text. */
int timeline_meaning(struct buf *buf, const struct show *show, size_t i);
void timeline_print(struct out *out, const struct show *show, enum show_as as);

/* ------------------------------------------------------------------ show_courier.c ----- */

/* The courier's name and mobile number as a callback body has them; "" where it has none. */
#define COURIER_TEXT_BYTES 256
struct courier_text {
	char id[COURIER_TEXT_BYTES];
	char name[COURIER_TEXT_BYTES];
	char mobile[COURIER_TEXT_BYTES];
};
/* False when the body has no courier. */
bool courier_of_body(struct slice body, struct courier_text *ret);
