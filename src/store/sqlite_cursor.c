/*
 * Cursors. Rows are picked by their numbers and fetched in pages: a page is one short read
 * transaction whose rows are copied, so that whoever steps through them slowly holds nothing open.
 *
 * An order that changes while a list of the newest is shown is shown as it is then; in the other
 * lists the filter and the row are of one moment. Events do not change but for their deliveries.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_cursor.h"

#define PAGE_BYTES_MAX (1024 * 1024)

_Static_assert(ORDER_COL_MAX <= STORE_COLUMNS_MAX && EVENT_COL_MAX <= STORE_COLUMNS_MAX,
	       "a row has room for the columns of either view");

/* ------------------------------------------------------------------ pages -------------- */

static int copy_cell(struct store_cursor *cursor, sqlite3_stmt *handle, int column,
		     struct cell *ret)
{
	int type = sqlite3_column_type(handle, column);
	const char *text;

	*ret = (struct cell){.type = STORE_NULL, .at = cursor->text.len};
	if (type == SQLITE_NULL)
		return 0;
	ret->type = type == SQLITE_INTEGER ? STORE_INTEGER : STORE_TEXT;
	ret->integer = type == SQLITE_INTEGER ? sqlite3_column_int64(handle, column) : 0;
	text = (const char *)sqlite3_column_text(handle, column);
	if (!text)
		return -ERR_NOMEM;
	ret->len = (size_t)sqlite3_column_bytes(handle, column);
	return buf_add(&cursor->text, text, ret->len);
}

/* Copies the row of a number to the page; one that is gone meanwhile is passed over. */
static int copy_row(struct store_cursor *cursor, int64_t id)
{
	bool of_orders = cursor->of_orders;
	struct statement *statement =
		&cursor->reader->statements[of_orders ? R_order_row : R_event_row];
	int err;

	bind_int(statement, of_orders ? P_order_id : P_event_id, id);
	err = statement_step(&cursor->reader->connection, statement);
	if (err == 1) {
		int columns = of_orders ? (int)ORDER_COL_MAX : (int)EVENT_COL_MAX;
		assert(sqlite3_column_count(statement->handle) == columns);
		err = 0;
		for (int i = 0; i < columns && !err; i++)
			err = copy_cell(cursor, statement->handle, i,
					&cursor->cells[cursor->n_rows][i]);
		if (!err)
			cursor->n_rows++;
	}
	statement_reset(statement);
	return err;
}

/* Inside a read transaction: the numbers of the next page are picked, and their rows copied. */
static int page_of_window(struct store_cursor *cursor)
{
	struct id_list list = {0};
	int err = cursor_pick_page(cursor, &list);

	for (size_t i = 0; i < list.n && !err; i++)
		err = copy_row(cursor, list.ids[i]);
	if (!err && list.n < CURSOR_PAGE_ROWS)
		cursor->window.after = cursor->window.to;
	else if (!err)
		err = cursor_go_on(cursor, list.ids[CURSOR_PAGE_ROWS - 1]);
	id_list_release(&list);
	return err;
}

static int page_of_picked(struct store_cursor *cursor)
{
	int err = 0;

	while (cursor->n_rows < CURSOR_PAGE_ROWS && cursor->next_picked < cursor->picked.n && !err)
		err = copy_row(cursor, cursor->picked.ids[cursor->next_picked++]);
	return err;
}

/* Until there is a row or nothing is left. */
static int next_page(struct store_cursor *cursor)
{
	struct store_reader *reader = cursor->reader;
	int err = 0;

	cursor->n_rows = 0;
	cursor->next_row = 0;
	buf_reset(&cursor->text);
	while (cursor->n_rows == 0 && !err) {
		if (!cursor->paging && cursor->next_picked == cursor->picked.n)
			return 0;
		if (cursor->paging) {
			err = cursor_advance_window(cursor);
			if (err <= 0)
				return err;
		}
		err = reader_begin(reader);
		if (!err)
			err = cursor->paging ? page_of_window(cursor) : page_of_picked(cursor);
		err = reader_end(reader, err);
	}
	/* Half a page is none. */
	if (err)
		cursor->n_rows = 0;
	return err;
}

/* ------------------------------------------------------------------ the interface ------ */

static int own_string(const char *string, char **ret)
{
	if (!string)
		return 0;
	*ret = strdup(string);
	return *ret ? 0 : -ERR_NOMEM;
}

static struct store_cursor *cursor_new(struct store_reader *reader, const char *order,
				       const char *shop_id, const char *endpoint)
{
	struct store_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return NULL;
	cursor->reader = reader;
	buf_init(&cursor->text, PAGE_BYTES_MAX);
	if (own_string(order, &cursor->order) || own_string(shop_id, &cursor->shop_id) ||
	    own_string(endpoint, &cursor->endpoint)) {
		store_cursor_close(cursor);
		return NULL;
	}
	return cursor;
}

static int give(struct store_cursor *cursor, struct store_cursor **ret)
{
	int err = cursor_pick(cursor);

	if (err)
		store_cursor_close(cursor);
	else
		*ret = cursor;
	return err;
}

int store_orders(struct store_reader *reader, const struct order_filter *filter,
		 struct store_cursor **ret)
{
	struct store_cursor *cursor = cursor_new(reader, filter->order, filter->shop_id, NULL);

	if (!cursor)
		return -ERR_NOMEM;
	cursor->of_orders = true;
	cursor->orders = *filter;
	cursor->orders.order = cursor->order;
	cursor->orders.shop_id = cursor->shop_id;
	return give(cursor, ret);
}

int store_events(struct store_reader *reader, const struct event_filter *filter,
		 struct store_cursor **ret)
{
	struct store_cursor *cursor = cursor_new(reader, filter->order, NULL, filter->endpoint);

	if (!cursor)
		return -ERR_NOMEM;
	cursor->events = *filter;
	cursor->events.order = cursor->order;
	cursor->events.endpoint = cursor->endpoint;
	return give(cursor, ret);
}

int store_cursor_next(struct store_cursor *cursor, struct store_row *ret)
{
	const struct cell *cells;

	if (cursor->next_row == cursor->n_rows) {
		int err = next_page(cursor);
		if (err)
			return err;
		if (cursor->n_rows == 0)
			return 0;
	}
	cells = cursor->cells[cursor->next_row++];
	ret->n = cursor->of_orders ? (size_t)ORDER_COL_MAX : (size_t)EVENT_COL_MAX;
	for (size_t i = 0; i < ret->n; i++) {
		bool null = cells[i].type == STORE_NULL;
		ret->values[i] =
			(struct store_value){.type = cells[i].type, .integer = cells[i].integer};
		if (!null)
			ret->values[i].text = (struct slice){
				cells[i].len ? cursor->text.data + cells[i].at : "", cells[i].len};
	}
	return 1;
}

void store_cursor_close(struct store_cursor *cursor)
{
	if (!cursor)
		return;
	id_list_release(&cursor->picked);
	free(cursor->order);
	free(cursor->shop_id);
	free(cursor->endpoint);
	buf_release(&cursor->text);
	free(cursor);
}
