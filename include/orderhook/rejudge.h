/*
 * Judging stored history again: an order's events, in the order in which they arrived, through a
 * state machine, as the writer would judge them today. Pure: reads and writes nothing.
 */
#pragma once

#include "orderhook/store.h"

/* All zero is empty; used again from order to order. */
struct rejudged {
	enum verdict *verdicts;   /* owned; one for each arrival */
	struct order_event *past; /* owned: scratch */
	size_t cap;
	struct order_state state; /* after the last one */
};

/* -ERR_NOMEM. */
int rejudge_order(const struct order_machine *machine, const struct store_history *history,
		  struct rejudged *ret);
/* True when the state that is stored is not the one that came out. */
bool rejudge_state_differs(const struct order_state *stored, const struct order_state *judged);
/*
 * Judges these orders again as they are now and writes what comes out over their states and counts,
 * in one transaction. For the only writer. Orders with an erased event, and those that are gone,
 * are passed over; *ret_orders were written. Errors of the store.
 */
int rejudge_apply(struct store *store, const int64_t *order_ids, size_t n, int64_t *ret_orders);
void rejudged_release(struct rejudged *rejudged);
