/*
 * An order's row: found by the platform's number, saved after an event. It keeps the latest times
 * of its events, so that the common event, newer than all of them, is judged from the row alone;
 * only one that may be late or a duplicate has the history read.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

#define HISTORY_FIRST_CAP 32

enum find_column {
	FIND_ORDER_ID = 0,
	FIND_ORDER_NO,
	FIND_SHOP_ID,
	FIND_STATUS,
	FIND_SUB_STATUS,
	FIND_COURIER_ID,
	FIND_SINCE_MS,
	FIND_REASSIGNMENTS,
	FIND_EVENTS,
	FIND_QUARANTINED,
	FIND_FIRST_RECEIVED_MS,
	FIND_LAST_RECEIVED_MS,
	FIND_LAST_OCCURRED_MS,
	/* Only in orders_after. */
	NAMED_ISS_ORDER_NO,
	NAMED_ENDPOINT
};

int column_order_row(struct connection *connection, struct statement *statement,
		     struct order_row *ret)
{
	sqlite3_stmt *handle = statement->handle;
	struct order_known *known = &ret->known;
	struct order_state *state = &known->state;
	int err;

	/* It is an index of the tally; what nobody could have written must not be one. */
	if (sqlite3_column_int(handle, FIND_STATUS) < 0 ||
	    sqlite3_column_int(handle, FIND_STATUS) > EVENT_STATUS_MAX)
		return tell_bad_column(connection, statement, FIND_STATUS);
	known->exists = true;
	ret->order_id = sqlite3_column_int64(handle, FIND_ORDER_ID);
	state->status = sqlite3_column_int(handle, FIND_STATUS);
	state->sub_status = sqlite3_column_int(handle, FIND_SUB_STATUS);
	if (state->status && sqlite3_column_type(handle, FIND_SUB_STATUS) == SQLITE_NULL)
		state->sub_status = EVENT_SUB_ABSENT;
	state->since_ms = sqlite3_column_int64(handle, FIND_SINCE_MS);
	state->reassignments = sqlite3_column_int(handle, FIND_REASSIGNMENTS);
	ret->events = sqlite3_column_int64(handle, FIND_EVENTS);
	ret->quarantined = sqlite3_column_int64(handle, FIND_QUARANTINED);
	ret->first_received_ms = sqlite3_column_int64(handle, FIND_FIRST_RECEIVED_MS);
	ret->last_received_ms = sqlite3_column_int64(handle, FIND_LAST_RECEIVED_MS);
	ret->last_occurred_ms = sqlite3_column_int64(handle, FIND_LAST_OCCURRED_MS);
	err = column_text(connection, statement, FIND_ORDER_NO, known->order_no,
			  sizeof(known->order_no));
	if (!err)
		err = column_text(connection, statement, FIND_SHOP_ID, known->shop_id,
				  sizeof(known->shop_id));
	if (!err)
		err = column_text(connection, statement, FIND_COURIER_ID, state->courier_id,
				  sizeof(state->courier_id));
	return err;
}

int column_named_order(struct connection *connection, struct statement *statement,
		       struct named_order *ret)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	err = column_text(connection, statement, NAMED_ISS_ORDER_NO, ret->name, sizeof(ret->name));
	if (!err)
		err = column_text(connection, statement, NAMED_ENDPOINT, ret->endpoint,
				  sizeof(ret->endpoint));
	return err ? err : column_order_row(connection, statement, &ret->row);
}

int order_find(struct sqlite_store *store, int64_t endpoint_id, const char *iss_order_no,
	       struct order_row *ret)
{
	struct statement *statement = &store->statements[W_find_order];
	const struct order_row *kept = order_cache_find(&store->orders, endpoint_id, iss_order_no);
	int err;

	if (kept) {
		*ret = *kept;
		return 0;
	}
	memset(ret, 0, sizeof(*ret));
	bind_int(statement, P_endpoint_id, endpoint_id);
	bind_text(statement, P_iss_order_no, iss_order_no);
	err = statement_step(&store->connection, statement);
	if (err == 1)
		err = column_order_row(&store->connection, statement, ret);
	statement_reset(statement);
	return err;
}

static int reserve_history(struct sqlite_store *store, size_t n)
{
	size_t cap = store->history_cap ? store->history_cap : HISTORY_FIRST_CAP;
	struct order_event *history;

	while (cap < n)
		cap *= 2;
	if (cap == store->history_cap)
		return 0;
	history = reallocarray(store->history, cap, sizeof(*history));
	if (!history)
		return -ERR_NOMEM;
	store->history = history;
	store->history_cap = cap;
	return 0;
}

/* False when the row alone decides: see order_judge(). */
static bool needs_history(const struct order_row *row, const struct event *event)
{
	if (!row->known.exists)
		return false;
	if (event->occurred_ms <= row->last_occurred_ms)
		return true;
	return event->occurred_from == EVENT_FROM_RECEIPT &&
	       event->received_ms <= row->last_received_ms + EVENT_SAME_WITHIN_MS;
}

int order_history(struct sqlite_store *store, const struct order_row *row,
		  const struct event *event, size_t *ret_n)
{
	struct statement *statement = &store->statements[W_history];
	size_t n = 0;
	int err = reserve_history(store, 1);

	if (err || !needs_history(row, event)) {
		*ret_n = 0;
		return err;
	}
	bind_int(statement, P_order_id, row->order_id);
	while ((err = statement_step(&store->connection, statement)) == 1) {
		/* One more than there are: the judge's scratch. */
		err = reserve_history(store, n + 2);
		if (!err)
			err = column_order_event(&store->connection, statement, &store->history[n]);
		if (err)
			break;
		n++;
	}
	statement_reset(statement);
	if (!err)
		*ret_n = n;
	return err;
}

/* The columns that both insert_order and update_order set. */
static void bind_row(struct statement *statement, const struct order_row *row)
{
	const struct order_state *state = &row->known.state;

	bind_int(statement, P_status, state->status);
	if (state->status) {
		bind_int_or_null(statement, P_sub_status, state->sub_status, EVENT_SUB_ABSENT);
		bind_int(statement, P_since_ms, state->since_ms);
	} else {
		bind_null(statement, P_sub_status);
		bind_null(statement, P_since_ms);
	}
	bind_text_or_null(statement, P_courier_id, state->courier_id);
	bind_int(statement, P_reassignments, state->reassignments);
	bind_int(statement, P_events, row->events);
	bind_int(statement, P_quarantined, row->quarantined);
	bind_int(statement, P_first_received_ms, row->first_received_ms);
	bind_int(statement, P_last_received_ms, row->last_received_ms);
	bind_int(statement, P_last_occurred_ms, row->last_occurred_ms);
}

int order_update(struct sqlite_store *store, const struct order_row *row)
{
	struct statement *statement = &store->statements[W_update_order];

	bind_row(statement, row);
	bind_int(statement, P_order_id, row->order_id);
	return statement_run(&store->connection, statement);
}

static int insert_order(struct sqlite_store *store, int64_t endpoint_id, const char *iss_order_no,
			struct order_row *row)
{
	struct statement *statement = &store->statements[W_insert_order];
	int err;

	bind_row(statement, row);
	bind_int(statement, P_endpoint_id, endpoint_id);
	bind_text(statement, P_iss_order_no, iss_order_no);
	bind_text_or_null(statement, P_order_no, row->known.order_no);
	bind_text_or_null(statement, P_shop_id, row->known.shop_id);
	err = statement_run(&store->connection, statement);
	if (!err)
		row->order_id = sqlite3_last_insert_rowid(store->connection.db);
	return err;
}

int order_save(struct sqlite_store *store, int64_t endpoint_id, const char *iss_order_no,
	       struct order_row *row)
{
	int err = row->order_id ? order_update(store, row)
				: insert_order(store, endpoint_id, iss_order_no, row);

	if (err)
		return err;
	row->known.exists = true;
	order_cache_keep(&store->orders, endpoint_id, iss_order_no, row);
	return 0;
}

int order_bind(struct sqlite_store *store, const struct order_row *row)
{
	struct statement *statement = &store->statements[W_bind_order];

	bind_text_or_null(statement, P_order_no, row->known.order_no);
	bind_text_or_null(statement, P_shop_id, row->known.shop_id);
	bind_int(statement, P_order_id, row->order_id);
	return statement_run(&store->connection, statement);
}
