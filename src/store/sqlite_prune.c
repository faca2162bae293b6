/*
 * Prune: orders whose newest callback is older than a limit, whole or not at all, then events of
 * another kind and refused deliveries of that age. What goes is decided from an order's row alone,
 * by one function for the prune itself and for the plan that only counts.
 *
 * A step is one transaction of bounded size: it looks at a page of rows and stops once it has
 * removed a few hundred events, so that callbacks wait for milliseconds. Between two steps the
 * store is one that verifies; a prune that was killed is gone on with by the next one.
 *
 * The newest event stays, with its order: PATH.head names it, and a start reads its link.
 */
#include "orderhook/err.h"
#include "sqlite_care.h"

#define PAGE_ROWS 1024
#define STEP_EVENTS 256

enum prune_part {
	PART_ORDERS = 0,
	PART_OTHERS,
	PART_HELD,
	PART_MAX
};

_Static_assert(PART_MAX == STORE_PRUNE_PARTS, "a place is one of these parts");

enum order_row_column {
	ROW_ORDER_ID = 0,
	ROW_STATUS,
	ROW_SINCE_MS,
	ROW_QUARANTINED,
	ROW_LAST_RECEIVED_MS
};

enum sized_column {
	ROW_ID = 0,
	ROW_RECEIVED_MS, /* not in events_of */
	ROW_BYTES
};
#define EVENTS_OF_BYTES 1

/* One step, of either connection. */
struct prune {
	const struct store_prune *options;
	struct connection *connection;
	struct statement *rows;      /* of the part that is under way */
	struct statement *events_of; /* PART_ORDERS */
	int64_t newest;              /* event */
	struct store_prune_place place;
	struct store_pruned counts;
	struct id_list ids;    /* orders, other events or refused deliveries that go */
	struct id_list events; /* of these orders */
	int64_t orders_in[EVENT_STATUS_MAX + 1]; /* of those that go */
	bool more;                               /* the part is not at its end */
};

static void prune_release(struct prune *prune)
{
	id_list_release(&prune->ids);
	id_list_release(&prune->events);
}

/* ------------------------------------------------------------------ what goes ---------- */

static bool is_overdue(const struct store_prune *options, int status, int64_t since_ms)
{
	return status > 0 && status <= EVENT_STATUS_MAX &&
	       since_ms < options->overdue_before_ms[status];
}

/* True when the order is old and nobody has to look at it; one that is kept is counted. */
static bool may_go(struct prune *prune)
{
	const struct store_prune *options = prune->options;
	sqlite3_stmt *row = prune->rows->handle;

	if (sqlite3_column_int64(row, ROW_LAST_RECEIVED_MS) >= options->before_ms)
		return false;
	if (options->attention_too)
		return true;
	if (sqlite3_column_int64(row, ROW_QUARANTINED) > 0) {
		prune->counts.kept_quarantined++;
		return false;
	}
	if (is_overdue(options, sqlite3_column_int(row, ROW_STATUS),
		       sqlite3_column_int64(row, ROW_SINCE_MS))) {
		prune->counts.kept_overdue++;
		return false;
	}
	return true;
}

/* Adds the order with its events, unless one of them is the newest of all. */
static int take_order(struct prune *prune, int64_t order_id)
{
	int status = sqlite3_column_int(prune->rows->handle, ROW_STATUS);
	size_t n_before = prune->events.n;
	int64_t bytes = 0;
	bool newest = false;
	int err;

	if (status < 0 || status > EVENT_STATUS_MAX)
		return tell_bad_column(prune->connection, prune->rows, ROW_STATUS);
	bind_int(prune->events_of, P_order_id, order_id);
	while ((err = statement_step(prune->connection, prune->events_of)) == 1) {
		int64_t id = sqlite3_column_int64(prune->events_of->handle, ROW_ID);
		newest |= id == prune->newest;
		bytes += sqlite3_column_int64(prune->events_of->handle, EVENTS_OF_BYTES);
		err = id_list_add(&prune->events, id);
		if (err)
			break;
	}
	statement_reset(prune->events_of);
	if (err)
		return err;
	if (newest) {
		prune->events.n = n_before;
		prune->counts.kept_newest++;
		return 0;
	}
	prune->orders_in[status]++;
	prune->counts.orders++;
	prune->counts.events += (int64_t)(prune->events.n - n_before);
	prune->counts.bytes += bytes;
	return id_list_add(&prune->ids, order_id);
}

static int take_sized(struct prune *prune, int64_t id)
{
	sqlite3_stmt *row = prune->rows->handle;

	if (sqlite3_column_int64(row, ROW_RECEIVED_MS) >= prune->options->before_ms)
		return 0;
	if (prune->place.part == PART_OTHERS && id == prune->newest) {
		prune->counts.kept_newest++;
		return 0;
	}
	prune->counts.others += prune->place.part == PART_OTHERS;
	prune->counts.held += prune->place.part == PART_HELD;
	prune->counts.bytes += sqlite3_column_int64(row, ROW_BYTES);
	return id_list_add(&prune->ids, id);
}

/* Looks at a page of rows behind the place, and moves the place. */
static int pick(struct prune *prune)
{
	size_t rows = 0;
	int err;

	bind_int(prune->rows, P_after_id, prune->place.after_id);
	bind_int(prune->rows, P_page, PAGE_ROWS);
	while ((err = statement_step(prune->connection, prune->rows)) == 1) {
		int64_t id = sqlite3_column_int64(prune->rows->handle, ROW_ID);
		rows++;
		err = 0;
		if (prune->place.part != PART_ORDERS)
			err = take_sized(prune, id);
		else if (may_go(prune))
			err = take_order(prune, id);
		if (err)
			break;
		prune->place.after_id = id;
		prune->more = prune->ids.n + prune->events.n >= STEP_EVENTS;
		if (prune->more)
			break;
	}
	statement_reset(prune->rows);
	prune->more |= rows == PAGE_ROWS;
	return err < 0 ? err : 0;
}

static void finish_step(const struct prune *prune, struct store_prune_place *place,
			struct store_pruned *counts)
{
	*place = prune->place;
	if (!prune->more)
		*place = (struct store_prune_place){.part = prune->place.part + 1};
	counts->orders += prune->counts.orders;
	counts->events += prune->counts.events;
	counts->others += prune->counts.others;
	counts->held += prune->counts.held;
	counts->bytes += prune->counts.bytes;
	counts->kept_quarantined += prune->counts.kept_quarantined;
	counts->kept_overdue += prune->counts.kept_overdue;
	counts->kept_newest += prune->counts.kept_newest;
}

/* ------------------------------------------------------------------ the writer --------- */

static int remove_all(struct sqlite_store *store, enum writer_statement which, enum param param,
		      const struct id_list *ids)
{
	struct statement *statement = &store->statements[which];
	int err = 0;

	for (size_t i = 0; i < ids->n && !err; i++) {
		bind_int(statement, param, ids->ids[i]);
		err = statement_run(&store->connection, statement);
	}
	return err;
}

static int remove_orders(struct sqlite_store *store, struct prune *prune)
{
	int err;

	for (int status = 0; status <= EVENT_STATUS_MAX; status++)
		store->tally.orders[status] -= prune->orders_in[status];
	id_list_sort(&prune->events);
	err = anchor_events(store, &prune->events);
	if (!err)
		err = remove_all(store, W_delete_events, P_order_id, &prune->ids);
	return err ? err : remove_all(store, W_delete_order, P_order_id, &prune->ids);
}

static int remove_picked(struct sqlite_store *store, void *context)
{
	struct prune *prune = context;
	int err = pick(prune);

	if (err)
		return err;
	switch (prune->place.part) {
	case PART_ORDERS:
		return remove_orders(store, prune);
	case PART_OTHERS:
		err = anchor_events(store, &prune->ids);
		return err ? err : remove_all(store, W_delete_other, P_event_id, &prune->ids);
	default:
		return remove_all(store, W_delete_held, P_held_id, &prune->ids);
	}
}

int sqlite_store_prune(struct store *base, const struct store_prune *options,
		       struct store_prune_place *place, struct store_pruned *counts)
{
	static const enum writer_statement rows[PART_MAX] = {W_prune_orders, W_prune_others,
							     W_prune_held};
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct prune prune = {
		.options = options,
		.connection = &store->connection,
		.rows = &store->statements[rows[place->part]],
		.events_of = &store->statements[W_events_of],
		.newest = store->head.event_id,
		.place = *place,
	};
	/* After a power loss the head must not name an event that was the newest then and is gone.
	 */
	int err = store_sync_head(base);

	if (!err)
		err = sqlite_store_transact(store, remove_picked, &prune);
	if (!err)
		finish_step(&prune, place, counts);
	/* Its size is read anew, now or before the next one is written. */
	if (!err && prune.counts.held && held_load(store))
		store->ring.known = false;
	prune_release(&prune);
	return err ? err : place->part < PART_MAX;
}

/* ------------------------------------------------------------------ the plan ----------- */

static int read_newest(struct store_reader *reader, int64_t *ret)
{
	struct statement *statement = &reader->statements[R_last_event];
	int err = statement_step(&reader->connection, statement);

	if (err == 1)
		*ret = sqlite3_column_int64(statement->handle, 0);
	statement_reset(statement);
	return err < 0 ? err : 0;
}

static int plan_step(struct store_reader *reader, const struct store_prune *options, int64_t newest,
		     struct store_prune_place *place, struct store_pruned *counts)
{
	static const enum reader_statement rows[PART_MAX] = {R_prune_orders, R_prune_others,
							     R_prune_held};
	struct prune prune = {
		.options = options,
		.connection = &reader->connection,
		.rows = &reader->statements[rows[place->part]],
		.events_of = &reader->statements[R_events_of],
		.newest = newest,
		.place = *place,
	};
	int err = reader_begin(reader);

	if (!err)
		err = reader_end(reader, pick(&prune));
	if (!err)
		finish_step(&prune, place, counts);
	prune_release(&prune);
	return err;
}

int store_prune_plan(struct store_reader *reader, const struct store_prune *options,
		     struct store_pruned *ret)
{
	struct store_prune_place place = {0};
	struct store_pruned counts = {0};
	int64_t newest = 0;
	int err = read_newest(reader, &newest);

	while (!err && place.part < PART_MAX)
		err = plan_step(reader, options, newest, &place, &counts);
	if (!err)
		*ret = counts;
	return err;
}
