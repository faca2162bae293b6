/*
 * Is the store what was written? SQLite's own check, the chain over every event, the head outside
 * the database, and the fold of every order, through a reader and beside a running daemon.
 */
#pragma once

#include "orderhook/store.h"

enum finding {
#define FINDING(name, key, text) FINDING_##name,
#include "orderhook/tbl/finding.def"
#undef FINDING
	FINDING_MAX
};

const char *finding_key(enum finding finding);
const char *finding_text(enum finding finding);

/* Borrowed for the call. */
struct store_finding {
	enum finding finding;
	int64_t event_id;      /* 0: about no event */
	int64_t last_event_id; /* of a range; event_id otherwise */
	const char *endpoint;  /* "" when not known, or not about an order */
	const char *order;     /* its issOrderNo; likewise */
	const char *detail;    /* "" where the finding's text says all; may hold data of the file */
};

typedef void (*store_finding_fn)(const struct store_finding *finding, void *context);

enum store_head_state {
	STORE_HEAD_COMPARED = 0,
	STORE_HEAD_MISSING, /* nothing outside the database says what was acknowledged */
	STORE_HEAD_DAMAGED,
	STORE_HEAD_FOREIGN, /* it is another store's */
	STORE_HEAD_UNREADABLE,
	STORE_HEAD_STATE_MAX
};

struct store_verify_totals {
	int64_t events;
	int64_t erased; /* of them: their bodies cannot be compared any more */
	int64_t pruned; /* numbers that anchors stand for */
	int64_t orders;
	int64_t orders_erased; /* of them: with an erased event, so their fold cannot be compared */
	int64_t findings;
	enum store_head_state head;
	int64_t head_since; /* STORE_HEAD_COMPARED: the head vouches for events behind this one */
};

struct store_verify {
	bool quick; /* SQLite's quick_check: indexes are not compared with their tables */
	const struct order_machine *machine;
	store_finding_fn found;
	void *context;
};

/*
 * Calls found for everything that is wrong and goes on behind it. 0 when it got through, whatever
 * it found; an error only for what is no damage: -ERR_NOMEM, -ERR_INTERNAL, -ERR_STORE_IO, _BUSY.
 * Read transactions last for a page of rows, but SQLite's check takes one of its own.
 */
int store_verify(struct store_reader *reader, const struct store_verify *options,
		 struct store_verify_totals *ret);
