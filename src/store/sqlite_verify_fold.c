/*
 * The fold of every order against its row, a page of orders to a transaction, and the orders in
 * each status against the counts that the writer keeps.
 *
 * An erased event has lost its courier, so that an order with one folds to something else; its
 * counts are compared, its state cannot be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_verify.h"

#define PAGE_ORDERS 64
#define FOLD_ERASED 9 /* the column of fold_order behind those of history */
#define DETAIL_BYTES 256

struct folded {
	struct order_event *events; /* owned */
	size_t cap;
	size_t n;
	bool erased;
	int64_t quarantined;
	int64_t first_received_ms;
	int64_t last_received_ms;
	int64_t last_occurred_ms;
};

static int add_event(struct folded *folded, const struct order_event *event)
{
	if (folded->n == folded->cap) {
		size_t cap = folded->cap ? folded->cap * 2 : 32;
		struct order_event *events = reallocarray(folded->events, cap, sizeof(*events));
		if (!events)
			return -ERR_NOMEM;
		folded->events = events;
		folded->cap = cap;
	}
	if (folded->n == 0 || event->received_ms < folded->first_received_ms)
		folded->first_received_ms = event->received_ms;
	if (folded->n == 0 || event->received_ms > folded->last_received_ms)
		folded->last_received_ms = event->received_ms;
	if (folded->n == 0 || event->occurred_ms > folded->last_occurred_ms)
		folded->last_occurred_ms = event->occurred_ms;
	folded->quarantined += verdict_quarantined(event->verdict);
	folded->events[folded->n++] = *event;
	return 0;
}

static int read_events(struct verify *verify, int64_t order_id, struct folded *folded)
{
	struct store_reader *reader = verify->reader;
	struct statement *statement = &reader->statements[R_fold_order];
	struct order_event event;
	int err;

	folded->n = 0;
	folded->erased = false;
	folded->quarantined = 0;
	bind_int(statement, P_order_id, order_id);
	while ((err = statement_step(&reader->connection, statement)) == 1) {
		folded->erased |= sqlite3_column_int(statement->handle, FOLD_ERASED) != 0;
		err = column_order_event(&reader->connection, statement, &event);
		if (!err)
			err = add_event(folded, &event);
		if (err)
			break;
	}
	statement_reset(statement);
	return err;
}

static void compare_state(struct verify *verify, const struct named_order *order,
			  struct folded *folded)
{
	const struct order_state *stored = &order->row.known.state;
	struct order_state state;
	char detail[DETAIL_BYTES];

	order_fold(verify->options->machine, folded->events, folded->n, &state, NULL);
	if (state.status == stored->status &&
	    (!state.status ||
	     (state.sub_status == stored->sub_status && state.since_ms == stored->since_ms)) &&
	    state.reassignments == stored->reassignments &&
	    strcmp(state.courier_id, stored->courier_id) == 0)
		return;
	snprintf(detail, sizeof(detail),
		 "stored: %d/%d, %d reassignments; its events fold to %d/%d, %d reassignments%s",
		 stored->status, stored->sub_status, stored->reassignments, state.status,
		 state.sub_status, state.reassignments,
		 state.status != stored->status || state.sub_status != stored->sub_status ||
				 state.reassignments != stored->reassignments
			 ? ""
			 : ", with another courier or another time");
	verify_found_order(verify, FINDING_STATE, order->endpoint, order->name, detail);
}

static void compare_counts(struct verify *verify, const struct named_order *order,
			   const struct folded *folded)
{
	const struct order_row *row = &order->row;
	char detail[DETAIL_BYTES];

	/* A duplicate is received and leaves no row: it can only widen the times. */
	bool times = folded->n == 0 || (row->first_received_ms <= folded->first_received_ms &&
					row->last_received_ms >= folded->last_received_ms &&
					row->last_occurred_ms == folded->last_occurred_ms);
	if (row->events == (int64_t)folded->n && row->quarantined == folded->quarantined && times)
		return;
	snprintf(detail, sizeof(detail),
		 "stored: %lld events, %lld in quarantine; there are %zu and %lld%s",
		 (long long)row->events, (long long)row->quarantined, folded->n,
		 (long long)folded->quarantined, times ? "" : ", and its times are not theirs");
	verify_found_order(verify, FINDING_COUNT, order->endpoint, order->name, detail);
}

static int check_order(struct verify *verify, const struct named_order *order,
		       struct folded *folded)
{
	int err = read_events(verify, order->row.order_id, folded);

	verify->totals.orders++;
	if (verify_is_damage(err)) {
		verify_found_order(verify, FINDING_STATE, order->endpoint, order->name,
				   verify->reader->connection.problem);
		return 0;
	}
	if (err)
		return err;
	compare_counts(verify, order, folded);
	if (folded->erased)
		verify->totals.orders_erased++;
	else
		compare_state(verify, order, folded);
	return 0;
}

/* ret is zeroed before. */
/* The orders of one page behind *after, which moves; *ret_n of them. */
static int check_page(struct verify *verify, struct folded *folded, int64_t *after, size_t *ret_n)
{
	struct store_reader *reader = verify->reader;
	struct statement *statement = &reader->statements[R_orders_after];
	int64_t last = *after;
	size_t n = 0;
	int err;

	bind_int(statement, P_after_id, *after);
	bind_int(statement, P_page, PAGE_ORDERS);
	while ((err = statement_step(&reader->connection, statement)) == 1) {
		struct named_order order;
		n++;
		if (sqlite3_column_int64(statement->handle, 0) > last)
			last = sqlite3_column_int64(statement->handle, 0);
		err = column_named_order(&reader->connection, statement, &order);
		if (verify_is_damage(err))
			verify_found_order(verify, FINDING_STATE, order.endpoint, order.name,
					   reader->connection.problem);
		else if (!err)
			err = check_order(verify, &order, folded);
		if (err && !verify_is_damage(err))
			break;
	}
	statement_reset(statement);
	/* A page of rows that do not go up would come again and again. */
	*ret_n = last > *after ? n : 0;
	*after = last;
	return err;
}

static int check_status_counts(struct verify *verify)
{
	struct store_reader *reader = verify->reader;
	struct statement *statement = &reader->statements[R_count_statuses];
	char detail[DETAIL_BYTES];
	int err;

	while ((err = statement_step(&reader->connection, statement)) == 1) {
		snprintf(detail, sizeof(detail), "status %d: stored: %lld orders; there are %lld",
			 sqlite3_column_int(statement->handle, 0),
			 (long long)sqlite3_column_int64(statement->handle, 2),
			 (long long)sqlite3_column_int64(statement->handle, 1));
		verify_found(verify, FINDING_COUNT, 0, 0, detail);
	}
	statement_reset(statement);
	return err;
}

int verify_orders(struct verify *verify)
{
	struct store_reader *reader = verify->reader;
	struct folded folded = {0};
	int64_t after = 0;
	size_t n;
	int err;

	do {
		n = 0;
		err = reader_begin(reader);
		if (!err)
			err = reader_end(reader, check_page(verify, &folded, &after, &n));
	} while (!err && n == PAGE_ORDERS);
	free(folded.events);
	if (!err)
		err = check_status_counts(verify);
	if (!verify_is_damage(err))
		return err;
	verify_found(verify, FINDING_INTEGRITY, 0, 0, reader->connection.problem);
	return 0;
}
