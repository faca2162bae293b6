/*
 * The list of refused deliveries for the tool. Rows are copied page by page, so that whoever looks
 * at them slowly holds no old part of the log.
 */
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

#define PAGE_ROWS 64
#define PAGE_BYTES_MAX (1024 * 1024)

struct held_page {
	struct store_value values[PAGE_ROWS][HELD_COL_MAX];
	size_t at[PAGE_ROWS][HELD_COL_MAX]; /* of a value's text; the text moves while it grows */
	size_t n;
	struct buf text;
};

static int copy_value(struct held_page *page, sqlite3_stmt *handle, int column)
{
	struct store_value *value = &page->values[page->n][column];
	int type = sqlite3_column_type(handle, column);
	const char *text;

	*value = (struct store_value){.type = STORE_NULL};
	page->at[page->n][column] = page->text.len;
	if (type == SQLITE_NULL)
		return 0;
	value->type = type == SQLITE_INTEGER ? STORE_INTEGER : STORE_TEXT;
	value->integer = type == SQLITE_INTEGER ? sqlite3_column_int64(handle, column) : 0;
	text = (const char *)sqlite3_column_text(handle, column);
	if (!text)
		return -ERR_NOMEM;
	value->text.len = (size_t)sqlite3_column_bytes(handle, column);
	return buf_add(&page->text, text, value->text.len);
}

static int read_page(struct store_reader *reader, const struct held_filter *filter, int64_t below,
		     int64_t rows, struct held_page *page)
{
	struct statement *statement = &reader->statements[R_held_rows];
	int err;

	page->n = 0;
	buf_reset(&page->text);
	bind_int(statement, P_after_id, below);
	bind_text_or_null(statement, P_endpoint, filter->endpoint ? filter->endpoint : "");
	bind_text_or_null(statement, P_reason, filter->reason ? filter->reason : "");
	bind_int_or_null(statement, P_ours, filter->ours == 1, filter->ours ? -1 : 0);
	bind_int(statement, P_page, rows);
	while ((err = statement_step(&reader->connection, statement)) == 1) {
		err = 0;
		for (int i = 0; i < HELD_COL_MAX && !err; i++)
			err = copy_value(page, statement->handle, i);
		if (err)
			break;
		page->n++;
	}
	statement_reset(statement);
	return err;
}

static struct store_row row_of(const struct held_page *page, size_t i)
{
	struct store_row row = {.n = HELD_COL_MAX};

	for (size_t column = 0; column < HELD_COL_MAX; column++) {
		row.values[column] = page->values[i][column];
		if (row.values[column].type != STORE_NULL)
			row.values[column].text.at = row.values[column].text.len
							     ? page->text.data + page->at[i][column]
							     : "";
	}
	return row;
}

int store_held(struct store_reader *reader, const struct held_filter *filter,
	       int (*each)(void *context, const struct store_row *row), void *context)
{
	struct held_page page = {.text = BUF_INIT(PAGE_BYTES_MAX)};
	int64_t left = filter->limit ? filter->limit : INT64_MAX;
	int64_t below = INT64_MAX;
	int64_t before;
	int err;

	do {
		before = below;
		err = read_page(reader, filter, below, left < PAGE_ROWS ? left : PAGE_ROWS, &page);
		for (size_t i = 0; i < page.n && !err; i++) {
			struct store_row row = row_of(&page, i);
			below = row.values[HELD_COL_held_id].integer;
			err = each(context, &row);
		}
		if (!err && page.n && below >= before)
			err = statement_no_progress(&reader->connection,
						    &reader->statements[R_held_rows]);
		left -= (int64_t)page.n;
	} while (!err && left > 0 && page.n == PAGE_ROWS);
	buf_release(&page.text);
	return err;
}
