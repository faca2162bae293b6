/* `orderhook explain`: what is explained, what is asked about it, and how that is printed. */
#pragma once

#include "orderhook/event.h"
#include "orderhook/json_scan.h"
#include "tool_private.h"

enum explain_kind {
	EXPLAIN_EVENT = 0,
	EXPLAIN_HELD,
	EXPLAIN_BODY
};

struct explain_subject {
	enum explain_kind kind;
	int64_t id; /* of the event or the refused delivery */
	char endpoint[EVENT_ID_BYTES_MAX + 2];
	char remote[64];
	char reason[64]; /* EXPLAIN_HELD: the key of the error that refused it */
	int64_t received_ms;
	bool url_token;
	struct buf head;
	struct buf body;
	struct row_copy row; /* EXPLAIN_EVENT: as order_log has it */
};

/* ------------------------------------------------------------------ explain_ask.c ------ */

/*
 * Appends explain()'s object: the daemon's, or with none running one made here with the secrets of
 * the configuration. 0, or the exit code after a message that says why there is none.
 */
int explain_ask(struct tool *tool, const struct explain_subject *subject, struct buf *ret);

/* ------------------------------------------------------------------ explain_verdict.c -- */

struct explain_verdict {
	bool judged; /* false: there is no event to judge */
	bool stale;  /* its timestamp is too old, and it is the duplicate of nothing: refused */
	enum verdict verdict;
	int stored;         /* enum verdict; -1: it is not stored */
	int64_t same_event; /* of a duplicate, or of the event that a conflict contradicts */
	int status;
	int sub_status;
	struct order_state before;
	struct order_state after;
	struct buf why;
};

/* Judges the event as it was judged when it came, with the present machine. 0 or the exit code. */
int explain_stored(struct tool *tool, const struct explain_subject *subject,
		   struct explain_verdict *ret);
/* Judges what explain() made of a delivery that is not stored, against the store as it is. */
int explain_would(struct tool *tool, const struct explain_subject *subject,
		  const struct json_object *explanation, struct explain_verdict *ret);

/* ------------------------------------------------------------------ explain_print.c ---- */

/* explanation: the text of explain()'s object, masked unless that was refused; empty without one.
 */
int explain_print(struct tool *tool, const struct explain_subject *subject,
		  struct slice explanation, const struct explain_verdict *verdict);
int explain_print_json(struct tool *tool, const struct explain_subject *subject,
		       struct slice explanation, const struct explain_verdict *verdict);
