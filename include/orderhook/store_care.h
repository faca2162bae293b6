/*
 * What removes or rewrites: prune, erase, apply. For the store's only writer; each leaves a store
 * that verifies, whenever the process dies.
 */
#pragma once

#include "orderhook/store.h"

/* ------------------------------------------------------------------ prune -------------- */

struct store_prune {
	int64_t before_ms;  /* what was last received before this instant goes */
	bool attention_too; /* also quarantined and overdue orders */
	/* By status: orders in it since before that instant wait for a person; 0: none does. */
	int64_t overdue_before_ms[EVENT_STATUS_MAX + 1];
};

struct store_pruned {
	int64_t orders;
	int64_t events; /* of these orders */
	int64_t others; /* events of another kind */
	int64_t held;   /* refused deliveries */
	int64_t bytes;  /* of the heads and bodies of all of them */
	/* Orders that are old enough and stay. */
	int64_t kept_quarantined;
	int64_t kept_overdue;
	int64_t kept_newest; /* 1 where the newest event is one of its own */
};

/* How far a prune has come. All zero: at the beginning; STORE_PRUNE_PARTS: at the end. */
#define STORE_PRUNE_PARTS 3
struct store_prune_place {
	int part;
	int64_t after_id;
};

/* What a prune at this moment would do, through a reader: removes nothing. */
int store_prune_plan(struct store_reader *reader, const struct store_prune *prune,
		     struct store_pruned *ret);

/* ------------------------------------------------------------------ erase -------------- */

struct store_erased {
	int64_t orders;
	int64_t events;
	int64_t events_before; /* that were erased already */
	int64_t others;
	int64_t held;
	int64_t moving;   /* orders that may still get callbacks, with new data in them */
	int64_t event_id; /* -ERR_EVIDENCE: the event that is not what was stored */
};

/* ------------------------------------------------------------------ apply -------------- */

/* What an order's state is, from its events. 0, or an error that ends the whole. */
typedef int (*store_judge_fn)(const struct store_history *history, struct order_state *ret,
			      void *context);

struct store_apply {
	const int64_t *order_ids; /* those that are gone meanwhile are passed over */
	size_t n;
	store_judge_fn judge;
	void *context;
};
