/*
 * The machine formats: the views' columns under their names, integers as numbers, NULL as null. A
 * list is one array with an object a line, or the objects alone (jsonl), or RFC 4180's CSV, in
 * which NULL is nothing and an empty text is "".
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "print_private.h"

const char *const order_column_names[ORDER_COL_MAX] = {
#define STORE_COLUMN(name) #name,
#include "orderhook/tbl/order_column.def"
#undef STORE_COLUMN
};

const char *const event_column_names[EVENT_COL_MAX] = {
#define STORE_COLUMN(name) #name,
#include "orderhook/tbl/event_column.def"
#undef STORE_COLUMN
};

int row_copy(const struct store_row *row, struct row_copy *ret)
{
	struct row_copy copy = {*row, NULL};
	size_t len = 0;

	for (size_t i = 0; i < row->n; i++)
		len += row->values[i].type == STORE_NULL ? 0 : row->values[i].text.len;
	copy.text = malloc(len + 1);
	if (!copy.text)
		return -ERR_NOMEM;
	char *at = copy.text;
	for (size_t i = 0; i < row->n; i++) {
		struct slice *text = &copy.row.values[i].text;
		if (row->values[i].type == STORE_NULL)
			continue;
		if (text->len)
			memcpy(at, text->at, text->len);
		text->at = at;
		at += text->len;
	}
	*ret = copy;
	return 0;
}

void row_copy_release(struct row_copy *copy)
{
	if (!copy)
		return;
	free(copy->text);
	*copy = (struct row_copy){.text = NULL};
}

static void add_json_text(struct out *out, struct slice text)
{
	if (text_add_json(&out->buf, text) && !out->error)
		out->error = ENOMEM;
}

static void add_object(struct out *out, const char *const *names, size_t n,
		       const struct store_row *row)
{
	out_char(out, '{');
	for (size_t i = 0; i < n; i++) {
		const struct store_value *value = &row->values[i];
		out_f(out, "%s\"%s\":", i ? "," : "", names[i]);
		if (value->type == STORE_INTEGER)
			out_f(out, "%lld", (long long)value->integer);
		else if (value->type == STORE_TEXT)
			add_json_text(out, value->text);
		else
			out_string(out, "null");
	}
	out_char(out, '}');
}

void rows_add_object(struct out *out, const char *const *names, const struct store_row *row)
{
	add_object(out, names, row->n, row);
}

/* On a terminal CSV is escaped like a table; in a file it is exact. */
static void add_csv_text(struct out *out, struct slice text)
{
	BUF_AUTO struct buf safe = BUF_INIT(1024 * 1024);
	bool quote = text.len == 0;

	if (out->tty) {
		if (text_add_safe(&safe, text, TEXT_ONE_LINE) && !out->error)
			out->error = ENOMEM;
		text = buf_slice(&safe);
	}
	for (size_t i = 0; i < text.len; i++)
		quote |= text.at[i] == ',' || text.at[i] == '"' || text.at[i] == '\r' ||
			 text.at[i] == '\n';
	if (!quote) {
		out_bytes(out, text.at, text.len);
		return;
	}
	out_char(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"')
			out_char(out, '"');
		out_char(out, text.at[i]);
	}
	out_char(out, '"');
}

static void add_csv(struct rows *rows, const struct store_row *row)
{
	for (size_t i = 0; i < rows->n_names; i++) {
		if (i)
			out_char(rows->out, ',');
		if (row->values[i].type != STORE_NULL)
			add_csv_text(rows->out, row->values[i].text);
	}
	out_string(rows->out, "\r\n");
}

void rows_begin(struct rows *rows)
{
	assert(rows->format != PRINT_TABLE);
	rows->count = 0;
	if (rows->format == PRINT_JSON)
		out_char(rows->out, '[');
	if (rows->format != PRINT_CSV)
		return;
	for (size_t i = 0; i < rows->n_names; i++)
		out_f(rows->out, "%s%s", i ? "," : "", rows->names[i]);
	out_string(rows->out, "\r\n");
}

void rows_add(struct rows *rows, const struct store_row *row)
{
	if (rows->format == PRINT_CSV) {
		add_csv(rows, row);
	} else {
		if (rows->format == PRINT_JSON)
			out_string(rows->out, rows->count ? ",\n" : "\n");
		add_object(rows->out, rows->names, rows->n_names, row);
		if (rows->format == PRINT_JSONL)
			out_char(rows->out, '\n');
	}
	rows->count++;
}

void rows_end(struct rows *rows)
{
	if (rows->format == PRINT_JSON)
		out_string(rows->out, rows->count ? "\n]\n" : "]\n");
}
