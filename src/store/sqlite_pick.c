/*
 * The numbers of the rows that a filter lets through.
 *
 * Where they come from:
 *   one order            an index seek; all of them at once, for an order has few events
 *   the newest N         from the newest downwards until there are N; then shown upwards
 *   in the fold's order  all that match are sorted; with a limit never more than twice as many kept
 *   everything           page by page upwards, up to the newest one at the start
 *
 * Verdicts in quarantine, and statuses in which orders do not rest, are few among many and have
 * indexes of their own, so that a rare one costs no walk.
 *
 * What walks the tables walks them window by window, a transaction for each, so that a filter that
 * nothing passes does not hold one for long. Events have event_span as the list of their windows,
 * with the times of receipt in each: --since skips what is too old without reading it.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_cursor.h"

#define ORDER_WINDOW 8192
#define KEYS_FIRST_CAP 128

struct key_list {
	struct order_event *keys; /* owned */
	size_t n;
	size_t cap;
};

/* ------------------------------------------------------------------ lists -------------- */

static int key_list_reserve(struct key_list *list)
{
	size_t cap = list->cap ? list->cap * 2 : KEYS_FIRST_CAP;
	struct order_event *keys;

	if (list->n < list->cap)
		return 0;
	keys = reallocarray(list->keys, cap, sizeof(*keys));
	if (!keys)
		return -ERR_NOMEM;
	list->keys = keys;
	list->cap = cap;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct order_event *left = a;
	const struct order_event *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

/* Sorts, and keeps the last `limit` of them when there is a limit. */
static void key_list_sort(struct key_list *list, bool by_occurred, int64_t limit)
{
	if (list->n == 0)
		return;
	qsort(list->keys, list->n, sizeof(*list->keys),
	      by_occurred ? order_event_compare : compare_ids);
	if (limit <= 0 || list->n <= (size_t)limit)
		return;
	memmove(list->keys, list->keys + (list->n - (size_t)limit),
		(size_t)limit * sizeof(*list->keys));
	list->n = (size_t)limit;
}

/* ------------------------------------------------------------------ filters ------------ */

static void bind_event_filter(struct statement *statement, const struct event_filter *filter)
{
	bind_text_or_null(statement, P_endpoint, filter->endpoint);
	bind_int_or_null(statement, P_verdicts, filter->verdicts, 0);
	bind_int_or_null(statement, P_auth, filter->auth - 1, -1);
	bind_int_or_null(statement, P_received_from_ms, filter->received_from_ms, 0);
	bind_int_or_null(statement, P_received_to_ms, filter->received_to_ms, 0);
}

static void bind_order_filter(struct statement *statement, const struct order_filter *filter)
{
	bind_int_or_null(statement, P_status, filter->status, 0);
	bind_text_or_null(statement, P_shop_id, filter->shop_id);
	bind_int_or_null(statement, P_since_before_ms, filter->since_before_ms, 0);
	bind_int_or_null(statement, P_received_from_ms, filter->received_from_ms, 0);
	bind_int_or_null(statement, P_received_to_ms, filter->received_to_ms, 0);
}

/* ------------------------------------------------------------------ windows ------------ */

/* A statement of one number; `none` when it has no row. */
static int one_int(struct store_reader *reader, enum reader_statement which, int64_t none,
		   int64_t *ret)
{
	struct statement *statement = &reader->statements[which];
	int err = statement_step(&reader->connection, statement);

	if (err >= 0)
		*ret = err == 1 ? sqlite3_column_int64(statement->handle, 0) : none;
	statement_reset(statement);
	return err < 0 ? err : 0;
}

/*
 * From the first order behind after, or the last one up to to: a damaged file may have numbers that
 * are so far apart that nobody lives to see the windows between them.
 */
static int find_order_window(struct store_cursor *cursor, bool up, int64_t after, int64_t to,
			     struct window *ret)
{
	struct store_reader *reader = cursor->reader;
	enum reader_statement which = up ? R_next_order : R_previous_order;
	int64_t id = -1;
	int err;

	bind_int(&reader->statements[which], P_after_id, after);
	bind_int(&reader->statements[which], P_to_id, to);
	err = one_int(reader, which, -1, &id);
	if (err || id < 0)
		return err;
	if (id <= after || id > to)
		return statement_no_progress(&reader->connection, &reader->statements[which]);
	*ret = up ? (struct window){id - 1, to} : (struct window){after, id};
	if (ret->to - ret->after > ORDER_WINDOW) {
		if (up)
			ret->to = ret->after + ORDER_WINDOW;
		else
			ret->after = ret->to - ORDER_WINDOW;
	}
	return 1;
}

static int find_event_window(struct store_cursor *cursor, bool up, int64_t after, int64_t to,
			     struct window *ret)
{
	struct store_reader *reader = cursor->reader;
	enum reader_statement which = up ? R_next_span : R_previous_span;
	struct statement *statement = &reader->statements[which];
	int64_t first_span = (after + 1) / STORE_SPAN_EVENTS;
	int64_t last_span = to / STORE_SPAN_EVENTS;
	int64_t span = -1;
	int err;

	bind_int(statement, P_from_span, first_span);
	bind_int(statement, P_to_span, last_span);
	bind_int_or_null(statement, P_received_from_ms, cursor->events.received_from_ms, 0);
	bind_int_or_null(statement, P_received_to_ms, cursor->events.received_to_ms, 0);
	err = one_int(reader, which, -1, &span);
	if (err || span < 0)
		return err;
	if (span < first_span || span > last_span)
		return statement_no_progress(&reader->connection, statement);
	*ret = (struct window){after, to};
	if (after < span * STORE_SPAN_EVENTS - 1)
		ret->after = span * STORE_SPAN_EVENTS - 1;
	if (to - span * STORE_SPAN_EVENTS >= STORE_SPAN_EVENTS)
		ret->to = span * STORE_SPAN_EVENTS + (STORE_SPAN_EVENTS - 1);
	return 1;
}

/*
 * The next window of (after, to] in which something may be found, from the bottom or from the top.
 * 1, or 0 when there is none.
 */
static int find_window(struct store_cursor *cursor, bool up, int64_t after, int64_t to,
		       struct window *ret)
{
	if (after >= to)
		return 0;
	if (cursor->few) {
		*ret = (struct window){after, to};
		return 1;
	}
	return cursor->of_orders ? find_order_window(cursor, up, after, to, ret)
				 : find_event_window(cursor, up, after, to, ret);
}

static struct statement *begin_window(struct store_cursor *cursor, bool up, struct window window,
				      int64_t limit)
{
	struct statement *statements = cursor->reader->statements;
	struct statement *statement;

	if (cursor->of_orders) {
		statement = &statements[cursor->few ? up ? R_open_orders_up : R_open_orders_down
					: up        ? R_orders_up
						    : R_orders_down];
		bind_order_filter(statement, &cursor->orders);
	} else {
		statement = &statements[cursor->few ? up ? R_quarantined_up : R_quarantined_down
					: up        ? R_events_up
						    : R_events_down];
		bind_event_filter(statement, &cursor->events);
	}
	bind_int(statement, P_after_id, window.after);
	bind_int(statement, P_to_id, window.to);
	bind_int(statement, P_page, limit);
	return statement;
}

/* Adds the numbers that a statement gives. */
static int pick_ids(struct store_cursor *cursor, struct statement *statement, struct id_list *list)
{
	int err;

	while ((err = statement_step(&cursor->reader->connection, statement)) == 1) {
		err = id_list_add(list, sqlite3_column_int64(statement->handle, 0));
		if (err)
			break;
	}
	statement_reset(statement);
	return err;
}

static int pick_keys(struct store_cursor *cursor, struct statement *statement,
		     struct key_list *list)
{
	struct connection *connection = &cursor->reader->connection;
	int err;

	while ((err = statement_step(connection, statement)) == 1) {
		err = key_list_reserve(list);
		if (!err)
			err = column_order_event(connection, statement, &list->keys[list->n]);
		if (err)
			break;
		list->n++;
	}
	statement_reset(statement);
	return err;
}

/* ------------------------------------------------------------------ picking ------------ */

static int pick_newest(struct store_cursor *cursor, int64_t after, int64_t limit)
{
	int64_t to = cursor->top_id;
	struct window window;
	int err = 0;

	while (cursor->picked.n < (size_t)limit &&
	       (err = find_window(cursor, false, after, to, &window)) == 1) {
		err = pick_ids(
			cursor,
			begin_window(cursor, false, window, limit - (int64_t)cursor->picked.n),
			&cursor->picked);
		if (err)
			break;
		to = window.after;
	}
	id_list_reverse(&cursor->picked);
	return err < 0 ? err : 0;
}

static int pick_by_occurred(struct store_cursor *cursor, struct key_list *list)
{
	int64_t limit = cursor->events.limit;
	int64_t after = cursor->events.after_id;
	struct window window;
	int err;

	while ((err = find_window(cursor, true, after, cursor->top_id, &window)) == 1) {
		err = pick_keys(cursor, begin_window(cursor, true, window, -1), list);
		if (err)
			return err;
		if (limit > 0 && list->n / 2 > (size_t)limit)
			key_list_sort(list, true, limit);
		after = window.to;
	}
	return err;
}

static int pick_of_order(struct store_cursor *cursor, struct key_list *list)
{
	struct statement *statement = &cursor->reader->statements[R_events_of_order];

	bind_event_filter(statement, &cursor->events);
	bind_text(statement, P_order, cursor->events.order);
	bind_int(statement, P_after_id, cursor->events.after_id);
	return pick_keys(cursor, statement, list);
}

static int pick_sorted(struct store_cursor *cursor)
{
	struct key_list list = {0};
	int err = cursor->events.order ? pick_of_order(cursor, &list)
				       : pick_by_occurred(cursor, &list);

	if (!err)
		key_list_sort(&list, cursor->events.by_occurred, cursor->events.limit);
	for (size_t i = 0; i < list.n && !err; i++)
		err = id_list_add(&cursor->picked, list.keys[i].id);
	free(list.keys);
	return err;
}

static int pick_events(struct store_cursor *cursor)
{
	const struct event_filter *filter = &cursor->events;
	int err = one_int(cursor->reader, R_last_event, 0, &cursor->top_id);

	if (err)
		return err;
	if (filter->order || filter->by_occurred)
		return pick_sorted(cursor);
	if (filter->limit > 0)
		return pick_newest(cursor, filter->after_id, filter->limit);
	cursor->paging = true;
	cursor->window = (struct window){filter->after_id, filter->after_id};
	return 0;
}

static int pick_named_orders(struct store_cursor *cursor)
{
	struct statement *statement = &cursor->reader->statements[R_orders_named];
	struct id_list *list = &cursor->picked;
	size_t limit = (size_t)cursor->orders.limit;
	int err;

	bind_order_filter(statement, &cursor->orders);
	bind_text(statement, P_order, cursor->orders.order);
	err = pick_ids(cursor, statement, list);
	if (!err && limit && list->n > limit)
		cursor->next_picked = list->n - limit;
	return err;
}

static int pick_orders(struct store_cursor *cursor)
{
	int err;

	if (cursor->orders.order)
		return pick_named_orders(cursor);
	err = one_int(cursor->reader, R_last_order, 0, &cursor->top_id);
	if (err)
		return err;
	if (cursor->orders.limit > 0)
		return pick_newest(cursor, 0, cursor->orders.limit);
	cursor->paging = true;
	cursor->window = (struct window){0, 0};
	return 0;
}

/* True when all that the filter lets through has an index of its own. */
static bool picks_few(const struct store_cursor *cursor)
{
	if (cursor->of_orders)
		return cursor->orders.status && !order_status_rests(cursor->orders.status);
	for (int i = 0; i < VERDICT_MAX; i++) {
		if ((cursor->events.verdicts >> i & 1) && !verdict_quarantined((enum verdict)i))
			return false;
	}
	return cursor->events.verdicts && !cursor->events.by_occurred;
}

int cursor_pick(struct store_cursor *cursor)
{
	cursor->few = picks_few(cursor);
	return cursor->of_orders ? pick_orders(cursor) : pick_events(cursor);
}

int cursor_advance_window(struct store_cursor *cursor)
{
	if (cursor->window.after < cursor->window.to)
		return 1;
	return find_window(cursor, true, cursor->window.to, cursor->top_id, &cursor->window);
}

int cursor_pick_page(struct store_cursor *cursor, struct id_list *list)
{
	return pick_ids(cursor, begin_window(cursor, true, cursor->window, CURSOR_PAGE_ROWS), list);
}

int cursor_go_on(struct store_cursor *cursor, int64_t after)
{
	struct store_reader *reader = cursor->reader;

	if (after <= cursor->window.after)
		return statement_no_progress(
			&reader->connection,
			&reader->statements[cursor->of_orders ? R_orders_up : R_events_up]);
	cursor->window.after = after;
	return 0;
}
