/*
 * One batch is one transaction. Results are poisoned first and say 0 only after COMMIT has
 * returned, so that no path out of here can acknowledge what is not on disk.
 *
 * Items are judged one after the other inside the transaction, each against the rows as the ones
 * before it left them: two callbacks of one order may be in the same batch. What many items change
 * together (orders per status, spans, the last number) is gathered and written once at the end.
 *
 * What is remembered between batches (the chain's head, ids of endpoints) is taken back when the
 * transaction fails.
 */
#include <stdio.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

/* ------------------------------------------------------------------ the tally ---------- */

int sqlite_store_flush_counts(struct sqlite_store *store)
{
	struct statement *statement = &store->statements[W_add_status_count];
	int err = 0;

	for (int status = 0; status <= EVENT_STATUS_MAX && !err; status++) {
		int64_t change = store->tally.orders[status];
		if (change == 0)
			continue;
		bind_int(statement, P_status, status);
		bind_int(statement, P_orders, change);
		err = statement_run(&store->connection, statement);
	}
	return err;
}

static int flush_span(struct sqlite_store *store)
{
	struct statement *statement = &store->statements[W_widen_span];
	struct batch_tally *tally = &store->tally;

	if (!tally->span_last_id)
		return 0;
	bind_int(statement, P_span, tally->span);
	bind_int(statement, P_last_event_id, tally->span_last_id);
	bind_int(statement, P_received_from_ms, tally->span_from_ms);
	bind_int(statement, P_received_to_ms, tally->span_to_ms);
	tally->span_last_id = 0;
	return statement_run(&store->connection, statement);
}

/* The next number, noted in its span. */
static int take_event_id(struct sqlite_store *store, int64_t received_ms, int64_t *ret)
{
	struct batch_tally *tally = &store->tally;
	int64_t id = tally->next_event_id;
	int err = 0;

	if (id / STORE_SPAN_EVENTS != tally->span)
		err = flush_span(store);
	if (err)
		return err;
	if (!tally->span_last_id) {
		tally->span = id / STORE_SPAN_EVENTS;
		tally->span_from_ms = received_ms;
		tally->span_to_ms = received_ms;
	}
	if (received_ms < tally->span_from_ms)
		tally->span_from_ms = received_ms;
	if (received_ms > tally->span_to_ms)
		tally->span_to_ms = received_ms;
	tally->span_last_id = id;
	tally->next_event_id = id + 1;
	*ret = id;
	return 0;
}

/* ------------------------------------------------------------------ one item ----------- */

static int find_endpoint(struct sqlite_store *store, const char *name, int64_t *ret)
{
	struct statement *statement = &store->statements[W_find_endpoint];
	int64_t id = 0;
	int err;

	for (size_t i = 0; i < store->n_endpoints; i++) {
		if (strcmp(store->endpoints[i].name, name) == 0) {
			*ret = store->endpoints[i].id;
			return 0;
		}
	}
	bind_text(statement, P_endpoint, name);
	err = statement_step(&store->connection, statement);
	if (err == 1)
		id = sqlite3_column_int64(statement->handle, 0);
	statement_reset(statement);
	if (err == 0) {
		statement = &store->statements[W_insert_endpoint];
		bind_text(statement, P_endpoint, name);
		err = statement_run(&store->connection, statement);
		id = sqlite3_last_insert_rowid(store->connection.db);
	}
	if (err < 0)
		return err;
	if (store->n_endpoints < STORE_ENDPOINTS_CACHED) {
		struct endpoint_id *cached = &store->endpoints[store->n_endpoints];
		if (slice_copy(slice_of(name), cached->name, sizeof(cached->name)) == 0) {
			cached->id = id;
			store->n_endpoints++;
		}
	}
	*ret = id;
	return 0;
}

/* What the item itself says, for either table. */
static void bind_delivery(struct statement *statement, const struct store_item *item,
			  const struct event *event)
{
	bind_int(statement, P_received_ms, event->received_ms);
	bind_int(statement, P_auth, event->auth);
	bind_int(statement, P_source, event->source);
	bind_text_or_null(statement, P_remote, item->remote);
	bind_text_or_null(statement, P_notes, event->notes);
	bind_blob(statement, P_head, item->head.at, item->head.len);
	bind_blob(statement, P_body, item->body.at, item->body.len);
}

static void bind_stamp(struct statement *statement, const struct chain_stamp *stamp)
{
	bind_blob(statement, P_body_sha256, stamp->body_sha256, sizeof(stamp->body_sha256));
	bind_blob(statement, P_link, stamp->link, sizeof(stamp->link));
}

static int write_other(struct sqlite_store *store, struct store_item *item, int64_t endpoint_id)
{
	struct statement *statement = &store->statements[W_insert_other];
	const struct event *event = item->event;
	struct chain_stamp stamp;
	int64_t event_id;
	int err = take_event_id(store, event->received_ms, &event_id);

	if (!err)
		err = chain_stamp(store->tally.link, item, event, NULL, event_id, &stamp);
	if (err)
		return err;
	bind_delivery(statement, item, event);
	bind_int(statement, P_event_id, event_id);
	bind_int(statement, P_endpoint_id, endpoint_id);
	bind_text_or_null(statement, P_callback_event, event->callback_event);
	bind_text_or_null(statement, P_iss_order_no, event->iss_order_no);
	bind_text_or_null(statement, P_order_no, event->order_no);
	bind_text_or_null(statement, P_shop_id, event->shop_id);
	bind_stamp(statement, &stamp);
	item->result.event_id = event_id;
	memcpy(store->tally.link, stamp.link, CHAIN_BYTES);
	return statement_run(&store->connection, statement);
}

/* NULL where the order's own value stands for it. */
static void bind_where_different(struct statement *statement, enum param param, const char *value,
				 const char *of_order)
{
	bind_text_or_null(statement, param, strcmp(value, of_order) == 0 ? "" : value);
}

static int insert_event(struct sqlite_store *store, const struct store_item *item,
			const struct event *event, const struct order_row *row,
			const struct judgement *judgement)
{
	struct statement *statement = &store->statements[W_insert_event];
	struct chain_stamp stamp;
	int err = chain_stamp(store->tally.link, item, event, judgement, item->result.event_id,
			      &stamp);

	if (err)
		return err;
	bind_delivery(statement, item, event);
	bind_int(statement, P_event_id, item->result.event_id);
	bind_int(statement, P_order_id, row->order_id);
	bind_int(statement, P_occurred_ms, event->occurred_ms);
	bind_int(statement, P_status, event->status);
	bind_int_or_null(statement, P_sub_status, event->sub_status, EVENT_SUB_ABSENT);
	bind_int(statement, P_occurred_from, event->occurred_from);
	bind_int(statement, P_verdict, judgement->verdict);
	bind_int_or_null(statement, P_from_status, judgement->from_status, 0);
	bind_int_or_null(statement, P_from_sub_status,
			 judgement->from_status ? judgement->from_sub_status : EVENT_SUB_ABSENT,
			 EVENT_SUB_ABSENT);
	bind_text_or_null(statement, P_courier_id, event->courier_id);
	bind_blob(statement, P_content, event->content, sizeof(event->content));
	bind_where_different(statement, P_order_no, event->order_no, row->known.order_no);
	bind_where_different(statement, P_shop_id, event->shop_id, row->known.shop_id);
	bind_stamp(statement, &stamp);
	memcpy(store->tally.link, stamp.link, CHAIN_BYTES);
	return statement_run(&store->connection, statement);
}

/* The first value that is present binds; true when one did. A mismatch is about another order. */
static bool take_bindings(struct order_known *known, const struct event *event,
			  enum verdict verdict)
{
	bool bound = false;

	if (verdict == VERDICT_MISMATCH)
		return false;
	if (!known->order_no[0] && event->order_no[0]) {
		memcpy(known->order_no, event->order_no, sizeof(known->order_no));
		bound = true;
	}
	if (!known->shop_id[0] && event->shop_id[0]) {
		memcpy(known->shop_id, event->shop_id, sizeof(known->shop_id));
		bound = true;
	}
	return bound;
}

static void count_change(struct batch_tally *tally, const struct order_row *row, int status_before)
{
	if (row->order_id)
		tally->orders[status_before]--;
	tally->orders[row->known.state.status]++;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void add_to_row(struct order_row *row, const struct event *event,
		       const struct judgement *judgement)
{
	bool first = row->events == 0;

	if (verdict_folded(judgement->verdict))
		row->known.state = judgement->after;
	row->events++;
	row->quarantined += verdict_quarantined(judgement->verdict);
	row->first_received_ms =
		first ? event->received_ms : least(row->first_received_ms, event->received_ms);
	row->last_received_ms =
		first ? event->received_ms : most(row->last_received_ms, event->received_ms);
	row->last_occurred_ms =
		first ? event->occurred_ms : most(row->last_occurred_ms, event->occurred_ms);
}

static int add_event(struct sqlite_store *store, struct store_item *item, int64_t endpoint_id,
		     struct order_row *row, const struct judgement *judgement)
{
	const struct event *event = item->event;
	int status_before = row->known.state.status;
	bool bound = take_bindings(&row->known, event, judgement->verdict);
	struct event noted;
	int err = 0;

	if (judgement->other_courier) {
		noted = *event;
		event_note(&noted, "another courier than the order's");
		event = &noted;
	}
	add_to_row(row, event, judgement);
	count_change(&store->tally, row, status_before);
	if (bound && row->order_id)
		err = order_bind(store, row);
	if (!err)
		err = order_save(store, endpoint_id, event->iss_order_no, row);
	if (!err)
		err = take_event_id(store, event->received_ms, &item->result.event_id);
	return err ? err : insert_event(store, item, event, row, judgement);
}

static int count_duplicate(struct sqlite_store *store, int64_t endpoint_id,
			   const struct event *event, struct order_row *row, int64_t first_id)
{
	struct statement *statement = &store->statements[W_count_delivery];
	int err;

	bind_int(statement, P_event_id, first_id);
	err = statement_run(&store->connection, statement);
	if (err)
		return err;
	row->first_received_ms = least(row->first_received_ms, event->received_ms);
	row->last_received_ms = most(row->last_received_ms, event->received_ms);
	statement = &store->statements[W_receive_order];
	bind_int(statement, P_first_received_ms, row->first_received_ms);
	bind_int(statement, P_last_received_ms, row->last_received_ms);
	bind_int(statement, P_order_id, row->order_id);
	err = statement_run(&store->connection, statement);
	if (!err)
		order_cache_keep(&store->orders, endpoint_id, event->iss_order_no, row);
	return err;
}

static int write_order_event(struct sqlite_store *store, struct store_item *item,
			     int64_t endpoint_id)
{
	const struct event *event = item->event;
	struct judgement judgement;
	struct order_row row;
	size_t n = 0;
	int err = order_find(store, endpoint_id, event->iss_order_no, &row);

	if (!err)
		err = order_history(store, &row, event, &n);
	if (err)
		return err;
	order_judge(item->machine, &row.known, store->history, n, event, &judgement);
	item->result.verdict = judgement.verdict;
	item->result.from_status = judgement.from_status;
	item->result.from_sub_status = judgement.from_sub_status;
	if (judgement.verdict == VERDICT_DUPLICATE) {
		item->result.event_id = judgement.duplicate_of;
		return count_duplicate(store, endpoint_id, event, &row, judgement.duplicate_of);
	}
	if (event->stale) {
		item->result = (struct store_result){.err = -ERR_TIMESTAMP_STALE};
		return 0;
	}
	return add_event(store, item, endpoint_id, &row, &judgement);
}

static int write_item(struct sqlite_store *store, struct store_item *item)
{
	int64_t endpoint_id;
	int err;

	if (item->event->kind == EVENT_OTHER && item->event->stale) {
		item->result.err = -ERR_TIMESTAMP_STALE;
		return 0;
	}
	err = find_endpoint(store, item->endpoint, &endpoint_id);
	if (err)
		return err;
	err = item->event->kind == EVENT_OTHER ? write_other(store, item, endpoint_id)
					       : write_order_event(store, item, endpoint_id);
	if (!err && item->held_id && item->result.err != -ERR_TIMESTAMP_STALE)
		err = held_readmitted(store, item->held_id);
	return err;
}

/* ------------------------------------------------------------------ the batch ---------- */

static int write_items(struct sqlite_store *store, struct store_item **items, size_t n)
{
	int err = 0;

	memset(&store->tally, 0, sizeof(store->tally));
	store->tally.next_event_id = store->head.event_id + 1;
	memcpy(store->tally.link, store->head.link, CHAIN_BYTES);
	for (size_t i = 0; i < n && !err; i++)
		err = write_item(store, items[i]);
	if (!err)
		err = sqlite_store_flush_counts(store);
	return err ? err : flush_span(store);
}

/* Undoes the transaction, if SQLite has not done so. The first failure stays the one that is
 * told. */
void sqlite_store_roll_back(struct sqlite_store *store)
{
	struct connection *connection = &store->connection;
	char problem[STORE_PROBLEM_BYTES];

	if (sqlite3_get_autocommit(connection->db))
		return;
	memcpy(problem, connection->problem, sizeof(problem));
	if (statement_run(connection, &store->statements[W_rollback]))
		sqlite_store_failed(store, -ERR_STORE_IO);
	memcpy(connection->problem, problem, sizeof(problem));
}

/* A log that begins anew begins with the stamp: without it nobody could tell whose it is. */
static int stamp_log(struct sqlite_store *store)
{
	if (store->wal_copied < store->wal_pages)
		return 0;
	return statement_run(&store->connection, &store->statements[W_touch]);
}

static int write_transaction(struct sqlite_store *store, struct store_item **items, size_t n)
{
	struct connection *connection = &store->connection;
	struct held_ring ring = store->ring;
	size_t n_endpoints = store->n_endpoints;
	int err = statement_run(connection, &store->statements[W_begin]);

	if (err)
		return err;
	order_cache_begin(&store->orders, connection);
	err = stamp_log(store);
	if (!err)
		err = write_items(store, items, n);
	if (!err)
		err = held_write(store);
	if (!err)
		err = statement_run(connection, &store->statements[W_commit]);
	if (err) {
		store->n_endpoints = n_endpoints;
		store->ring = ring;
		order_cache_forget(&store->orders);
		sqlite_store_roll_back(store);
		return err;
	}
	held_committed(store);
	order_cache_committed(&store->orders, connection);
	store->head.event_id = store->tally.next_event_id - 1;
	memcpy(store->head.link, store->tally.link, CHAIN_BYTES);
	store_head_write(&store->head_file, &store->head);
	return 0;
}

static void poison(struct store_item **items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		items[i]->result = (struct store_result){.err = -ERR_NOT_COMMITTED};
}

/* A disk that is too full for the batch with its refused deliveries may have room for the events.
 * The savepoints cannot tell, because the log is written at the commit. Only after this failure,
 * which is never that of a sync, is a batch tried twice. */
static int write_without_holds(struct sqlite_store *store, struct store_item **items, size_t n)
{
	int64_t n_holds = (int64_t)store->n_holds;
	int err;

	sqlite_store_hold(&store->store, NULL, 0);
	poison(items, n);
	err = write_transaction(store, items, n);
	if (!err)
		store->ring.failed += n_holds;
	return err;
}

int sqlite_store_write_batch(struct store *base, struct store_item **items, size_t n)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	int err;

	poison(items, n);
	/* Before the batch writes: its commit would make a log that was cut as long as before, and
	 * what was acknowledged in between would be missing without a sign. */
	err = sqlite_store_check_file(store);
	/* Before the batch and not after the one that made it due, whose callers wait for it. */
	if (!err)
		err = sqlite_store_checkpoint(store, false);
	if (!err && (n > 0 || store->n_holds > 0)) {
		err = write_transaction(store, items, n);
		if (err == -ERR_STORE_FULL && store->n_holds > 0 && !store->failed)
			err = write_without_holds(store, items, n);
		err = sqlite_store_failed(store, err);
	}
	sqlite_store_hold(base, NULL, 0);
	for (size_t i = 0; i < n; i++) {
		if (err)
			items[i]->result = (struct store_result){.err = err};
		else if (items[i]->result.err == -ERR_NOT_COMMITTED)
			items[i]->result.err = 0;
	}
	return err;
}
