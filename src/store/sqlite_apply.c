/*
 * Apply: what a rejudgement makes of orders is written over their states and counts, all of them in
 * one transaction, and the orders in each status are counted anew. Events are read and never
 * written: their verdicts tell how they looked when they came, and are in the chain.
 *
 * An order is read and judged inside the transaction, so whatever arrived since somebody found it
 * wrong is judged with the rest.
 */
#include "orderhook/err.h"
#include "sqlite_care.h"

struct apply {
	const struct store_apply *wanted;
	struct store_history history;
	int64_t orders;
};

/* 1 when there is such an order. */
static int read_history(struct sqlite_store *store, int64_t order_id, struct store_history *history)
{
	struct statement *statement = &store->statements[W_orders_after];
	int found;
	int err = 0;

	bind_int(statement, P_after_id, order_id - 1);
	bind_int(statement, P_page, 1);
	/* The orders may come in any order, and one that is gone made the next one be read. */
	history->order_id = order_id - 1;
	found = statement_step(&store->connection, statement);
	if (found == 1)
		err = history_read_order(&store->connection, statement, history);
	statement_reset(statement);
	if (found <= 0 || err)
		return found < 0 ? found : err;
	if (history->order_id != order_id)
		return 0;
	err = history_read_events(&store->connection, &store->statements[W_arrivals], history);
	return err ? err : 1;
}

static int apply_order(struct sqlite_store *store, struct apply *apply, int64_t order_id)
{
	struct store_history *history = &apply->history;
	struct order_row row = {.order_id = order_id};
	struct store_counts counts;
	int found = read_history(store, order_id, history);
	int err;

	/* With an erased event what was judged is not there any more. */
	if (found <= 0 || history->erased)
		return found < 0 ? found : 0;
	err = apply->wanted->judge(history, &row.known.state, apply->wanted->context);
	if (err)
		return err;
	store_history_count(history, &counts);
	row.events = counts.events;
	row.quarantined = counts.quarantined;
	row.first_received_ms = counts.first_received_ms;
	row.last_received_ms = counts.last_received_ms;
	row.last_occurred_ms = counts.last_occurred_ms;
	apply->orders++;
	return order_update(store, &row);
}

static int apply_all(struct sqlite_store *store, void *context)
{
	struct apply *apply = context;
	int err = 0;

	for (size_t i = 0; i < apply->wanted->n && !err; i++)
		err = apply_order(store, apply, apply->wanted->order_ids[i]);
	if (!err)
		err = statement_run(&store->connection, &store->statements[W_clear_status_counts]);
	return err ? err
		   : statement_run(&store->connection, &store->statements[W_count_statuses_anew]);
}

int sqlite_store_apply(struct store *base, const struct store_apply *wanted, int64_t *ret_orders)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct apply apply = {.wanted = wanted};
	int err = sqlite_store_transact(store, apply_all, &apply);

	store_history_release(&apply.history);
	if (!err)
		*ret_orders = apply.orders;
	return err;
}
