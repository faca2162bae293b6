/*
 * Orders with all their events, one order at a time: memory is that of the longest order. An order
 * and its events are read in one short transaction, so that the daemon may go on meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

#define ARRIVALS_FIRST_CAP 32

/* After the columns of "history". */
enum arrival_column {
	ARRIVAL_ORDER_NO = 9,
	ARRIVAL_SHOP_ID,
	ARRIVAL_ERASED
};

int history_read_order(struct connection *connection, struct statement *statement,
		       struct store_history *ret)
{
	struct named_order order;
	int err = column_named_order(connection, statement, &order);

	if (!err && order.row.order_id <= ret->order_id)
		err = statement_no_progress(connection, statement);
	if (err)
		return err;
	ret->n = 0;
	ret->order_id = order.row.order_id;
	ret->state = order.row.known.state;
	ret->counts = (struct store_counts){
		.events = order.row.events,
		.quarantined = order.row.quarantined,
		.first_received_ms = order.row.first_received_ms,
		.last_received_ms = order.row.last_received_ms,
		.last_occurred_ms = order.row.last_occurred_ms,
	};
	ret->erased = false;
	memcpy(ret->endpoint, order.endpoint, sizeof(ret->endpoint));
	memcpy(ret->iss_order_no, order.name, sizeof(ret->iss_order_no));
	memcpy(ret->order_no, order.row.known.order_no, sizeof(ret->order_no));
	memcpy(ret->shop_id, order.row.known.shop_id, sizeof(ret->shop_id));
	return 0;
}

static int reserve(struct store_history *history)
{
	size_t cap = history->cap ? history->cap * 2 : ARRIVALS_FIRST_CAP;
	struct store_arrival *arrivals;

	if (history->n < history->cap)
		return 0;
	arrivals = reallocarray(history->arrivals, cap, sizeof(*arrivals));
	if (!arrivals)
		return -ERR_NOMEM;
	history->arrivals = arrivals;
	history->cap = cap;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct store_arrival *left = a;
	const struct store_arrival *right = b;

	return left->event.id < right->event.id ? -1 : left->event.id > right->event.id;
}

/* The index has them in the order of their times. */
int history_read_events(struct connection *connection, struct statement *statement,
			struct store_history *history)
{
	int err;

	bind_int(statement, P_order_id, history->order_id);
	while ((err = statement_step(connection, statement)) == 1) {
		struct store_arrival *arrival;
		err = reserve(history);
		if (err)
			break;
		arrival = &history->arrivals[history->n];
		err = column_order_event(connection, statement, &arrival->event);
		if (!err)
			err = column_text(connection, statement, ARRIVAL_ORDER_NO,
					  arrival->order_no, sizeof(arrival->order_no));
		if (!err)
			err = column_text(connection, statement, ARRIVAL_SHOP_ID, arrival->shop_id,
					  sizeof(arrival->shop_id));
		if (err)
			break;
		history->erased |= sqlite3_column_int(statement->handle, ARRIVAL_ERASED) != 0;
		history->n++;
	}
	statement_reset(statement);
	if (!err && history->n)
		qsort(history->arrivals, history->n, sizeof(*history->arrivals), compare_ids);
	return err;
}

int store_next_history(struct store_reader *reader, struct store_history *history)
{
	struct statement *statement = &reader->statements[R_orders_after];
	int found = 0;
	int err = reader_begin(reader);

	if (err)
		return err;
	bind_int(statement, P_after_id, history->order_id);
	bind_int(statement, P_page, 1);
	found = statement_step(&reader->connection, statement);
	err = found == 1 ? history_read_order(&reader->connection, statement, history) : found;
	statement_reset(statement);
	if (!err && found == 1)
		err = history_read_events(&reader->connection, &reader->statements[R_arrivals],
					  history);
	err = reader_end(reader, err);
	return err ? err : found;
}

/* The order that the statement, whose parameters are bound, picks. */
static int picked_history(struct store_reader *reader, struct statement *statement,
			  struct store_history *history)
{
	int found = statement_step(&reader->connection, statement);
	int64_t order_id = found == 1 ? sqlite3_column_int64(statement->handle, 0) : 0;

	statement_reset(statement);
	if (found != 1)
		return found ? found : -ERR_NOT_FOUND;
	history->order_id = order_id - 1;
	found = store_next_history(reader, history);
	/* A prune in between may have taken it. */
	return found == 1 && history->order_id == order_id ? 0 : found < 0 ? found : -ERR_NOT_FOUND;
}

int store_event_history(struct store_reader *reader, int64_t event_id,
			struct store_history *history)
{
	struct statement *statement = &reader->statements[R_order_of_event];

	bind_int(statement, P_event_id, event_id);
	return picked_history(reader, statement, history);
}

int store_order_history(struct store_reader *reader, const char *endpoint, const char *iss_order_no,
			struct store_history *history)
{
	struct statement *statement = &reader->statements[R_order_of_name];

	bind_text(statement, P_iss_order_no, iss_order_no);
	bind_text(statement, P_endpoint, endpoint);
	return picked_history(reader, statement, history);
}

void store_history_count(const struct store_history *history, struct store_counts *ret)
{
	struct store_counts counts = history->counts;

	counts.events = (int64_t)history->n;
	counts.quarantined = 0;
	for (size_t i = 0; i < history->n; i++) {
		const struct order_event *event = &history->arrivals[i].event;
		counts.quarantined += verdict_quarantined(event->verdict);
		if (event->received_ms < counts.first_received_ms)
			counts.first_received_ms = event->received_ms;
		if (event->received_ms > counts.last_received_ms)
			counts.last_received_ms = event->received_ms;
		if (i == 0 || event->occurred_ms > counts.last_occurred_ms)
			counts.last_occurred_ms = event->occurred_ms;
	}
	*ret = counts;
}

void store_history_release(struct store_history *history)
{
	if (!history)
		return;
	free(history->arrivals);
	*history = (struct store_history){0};
}
