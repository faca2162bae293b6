/*
 * Orders with all their events, one order at a time: memory is that of the longest order. An order
 * and its events are read in one short transaction, so that the daemon may go on meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

#define ARRIVALS_FIRST_CAP 32

enum next_order_column {
	NEXT_ORDER_ID = 0,
	NEXT_ENDPOINT,
	NEXT_ISS_ORDER_NO,
	NEXT_STATUS,
	NEXT_SUB_STATUS,
	NEXT_COURIER_ID,
	NEXT_SINCE_MS,
	NEXT_REASSIGNMENTS,
	NEXT_ORDER_NO,
	NEXT_SHOP_ID
};

/* After the columns of "history". */
enum arrival_column {
	ARRIVAL_ORDER_NO = 9,
	ARRIVAL_SHOP_ID
};

static int read_texts(struct connection *connection, struct statement *statement,
		      struct store_history *ret)
{
	const struct {
		int column;
		char *out;
	} texts[] = {
		{NEXT_ENDPOINT, ret->endpoint},           {NEXT_ISS_ORDER_NO, ret->iss_order_no},
		{NEXT_ORDER_NO, ret->order_no},           {NEXT_SHOP_ID, ret->shop_id},
		{NEXT_COURIER_ID, ret->state.courier_id},
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !err; i++)
		err = column_text(connection, statement, texts[i].column, texts[i].out,
				  EVENT_ID_BYTES_MAX + 1);
	return err;
}

static int read_order(struct connection *connection, struct statement *statement,
		      struct store_history *ret)
{
	sqlite3_stmt *handle = statement->handle;
	struct order_state *state = &ret->state;

	memset(state, 0, sizeof(*state));
	ret->n = 0;
	ret->order_id = sqlite3_column_int64(handle, NEXT_ORDER_ID);
	state->status = sqlite3_column_int(handle, NEXT_STATUS);
	state->sub_status = sqlite3_column_int(handle, NEXT_SUB_STATUS);
	if (state->status && sqlite3_column_type(handle, NEXT_SUB_STATUS) == SQLITE_NULL)
		state->sub_status = EVENT_SUB_ABSENT;
	state->since_ms = sqlite3_column_int64(handle, NEXT_SINCE_MS);
	state->reassignments = sqlite3_column_int(handle, NEXT_REASSIGNMENTS);
	return read_texts(connection, statement, ret);
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
static int read_arrivals(struct store_reader *reader, struct store_history *history)
{
	struct statement *statement = &reader->statements[R_arrivals];
	struct connection *connection = &reader->connection;
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
		history->n++;
	}
	statement_reset(statement);
	if (!err && history->n)
		qsort(history->arrivals, history->n, sizeof(*history->arrivals), compare_ids);
	return err;
}

int store_next_history(struct store_reader *reader, struct store_history *history)
{
	struct statement *statement = &reader->statements[R_next_order];
	int found = 0;
	int err = reader_begin(reader);

	if (err)
		return err;
	bind_int(statement, P_after_id, history->order_id);
	found = statement_step(&reader->connection, statement);
	err = found == 1 ? read_order(&reader->connection, statement, history) : found;
	statement_reset(statement);
	if (!err && found == 1)
		err = read_arrivals(reader, history);
	err = reader_end(reader, err);
	return err ? err : found;
}

void store_history_release(struct store_history *history)
{
	if (!history)
		return;
	free(history->arrivals);
	*history = (struct store_history){0};
}
