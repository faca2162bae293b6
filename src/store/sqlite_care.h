/* What prune, erase and apply share: one transaction each, lists of numbers, the files' traces. */
#pragma once

#include "orderhook/id_list.h"
#include "orderhook/store_care.h"
#include "sqlite_private.h"

/*
 * Does work in a transaction of its own, with the tally empty at its beginning and written at its
 * end. What work returns other than 0 undoes it.
 */
int sqlite_store_transact(struct sqlite_store *store,
			  int (*work)(struct sqlite_store *store, void *context), void *context);

/* Adds what a statement's first column has, row by row, and resets it. */
int id_list_read(struct connection *connection, struct statement *statement, struct id_list *list);

/* Inside a transaction, before they are removed: these events, sorted, become ranges of anchor,
 * joined with those that adjoin. */
int anchor_events(struct sqlite_store *store, const struct id_list *event_ids);

/*
 * Takes out of both files what no row has any more: copies the whole log into the database and
 * empties it, then clears what lies between the rows of every page. -ERR_TRACES when a reader keeps
 * the log.
 */
int sqlite_store_scrub(struct sqlite_store *store);

int sqlite_store_prune(struct store *store, const struct store_prune *prune,
		       struct store_prune_place *place, struct store_pruned *counts);
int sqlite_store_erase(struct store *store, const char *order, struct store_erased *ret);
int sqlite_store_apply(struct store *store, const struct store_apply *apply, int64_t *ret_orders);
