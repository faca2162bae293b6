/*
 * A table. Rows are gathered, the widths taken from them, the heading printed. Rows that come later
 * (a list of more than TABLE_ROWS_MEASURED rows, or one that is followed) keep these widths until
 * one of them needs more; then the column is wider from there on. In a pipe nothing is cut. On a
 * terminal the widest cells give way until the row fits: TABLE_CUT ones before TABLE_CUT_LATE ones,
 * and optional columns go where TABLE_CUT ones alone cannot make the room. Where all that does not
 * help, rows are stacked: a line for each cell, with its heading in front.
 *
 * A cell is kept as an offset into one buffer, so gathering a row costs no allocation.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "print_private.h"

#define TABLE_TEXT_LIMIT_BYTES (64U * 1024 * 1024)
#define GAP 2
#define CUT_MIN 12
#define CUT_LATE_MIN 10
#define HEADING_MIN 4 /* less of one tells nothing */

struct cell {
	size_t at; /* of its text in the buffer */
	size_t len;
	size_t width;
	enum print_style style;
};

struct table {
	struct out *out;
	const struct table_column *columns;
	size_t n_columns;
	size_t data[TABLE_COLUMNS_MAX]; /* the widest cell so far */
	size_t widths[TABLE_COLUMNS_MAX];
	bool hidden[TABLE_COLUMNS_MAX];
	bool begun;   /* the heading is printed */
	bool stacked; /* from the first row on, or never */
	struct buf text;
	struct cell *cells; /* rows one after the other */
	size_t n_cells;
	size_t cap_cells;
};

struct table *table_new(struct out *out, const struct table_column *columns, size_t n)
{
	struct table *table = calloc(1, sizeof(*table));

	assert(n > 0 && n <= TABLE_COLUMNS_MAX);
	if (!table)
		return NULL;
	table->out = out;
	table->columns = columns;
	table->n_columns = n;
	buf_init(&table->text, TABLE_TEXT_LIMIT_BYTES);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	buf_release(&table->text);
	free(table->cells);
	free(table);
}

static void failed(struct table *table, int err)
{
	if (!table->out->error)
		table->out->error = err == -ERR_TOO_LONG ? EFBIG : ENOMEM;
}

static struct slice cell_text(const struct table *table, const struct cell *cell)
{
	return (struct slice){table->text.data ? table->text.data + cell->at : "", cell->len};
}

/* Makes room for one row. */
static bool reserve_row(struct table *table)
{
	if (table->n_cells + table->n_columns <= table->cap_cells)
		return true;
	size_t cap = table->cap_cells ? table->cap_cells * 2 : table->n_columns * 16;
	struct cell *cells = reallocarray(table->cells, cap, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->cap_cells = cap;
	return true;
}

void table_cell(struct table *table, enum print_style style, struct slice text)
{
	size_t before = table->text.len;
	int err;

	if (table->out->error)
		return;
	err = reserve_row(table) ? text_add_safe(&table->text, text, TEXT_ONE_LINE) : -ERR_NOMEM;
	if (err) {
		failed(table, err);
		return;
	}
	struct cell *cell = &table->cells[table->n_cells++];
	*cell = (struct cell){before, table->text.len - before, 0, style};
	cell->width = text_width(cell_text(table, cell));
	if (table->n_cells == table->n_columns * TABLE_ROWS_MEASURED)
		table_flush(table);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t least_width(const struct table_column *column, size_t data_width, size_t heading)
{
	size_t least = column->fit == TABLE_CUT ? CUT_MIN : CUT_LATE_MIN;

	if (column->fit != TABLE_WHOLE)
		return smaller(least, data_width);
	return data_width < HEADING_MIN ? smaller(heading, HEADING_MIN) : data_width;
}

static size_t row_width(const struct table *table)
{
	size_t width = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		if (!table->hidden[i])
			width += table->widths[i] + (width ? GAP : 0);
	}
	return width;
}

/* Narrows the widest of the columns of one kind, a step at a time, until the row fits. */
static void narrow(struct table *table, enum table_fit fit, const size_t *least)
{
	while (row_width(table) > table->out->width) {
		size_t widest = table->n_columns;
		for (size_t i = 0; i < table->n_columns; i++) {
			if (table->columns[i].fit != fit || table->widths[i] <= least[i])
				continue;
			if (widest == table->n_columns || table->widths[i] > table->widths[widest])
				widest = i;
		}
		if (widest == table->n_columns)
			return;
		table->widths[widest]--;
	}
}

/* The width below which only numbers that people copy could still give way. */
static size_t tight_width(const struct table *table, const size_t *least)
{
	size_t width = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		bool whole = table->columns[i].fit == TABLE_CUT_LATE;
		if (!table->hidden[i])
			width += (whole ? table->widths[i] : least[i]) + (width ? GAP : 0);
	}
	return width;
}

static void hide_optional(struct table *table, const size_t *least)
{
	for (size_t i = table->n_columns; i-- > 0;) {
		if (tight_width(table, least) <= table->out->width)
			return;
		if (table->columns[i].optional)
			table->hidden[i] = true;
	}
}

static void lay_out(struct table *table)
{
	size_t least[TABLE_COLUMNS_MAX];

	for (size_t i = 0; i < table->n_cells; i++) {
		size_t *data = &table->data[i % table->n_columns];
		if (table->cells[i].width > *data)
			*data = table->cells[i].width;
	}
	for (size_t i = 0; i < table->n_columns; i++) {
		size_t heading = text_width(slice_of(table->columns[i].heading));
		least[i] = least_width(&table->columns[i], table->data[i], heading);
		table->widths[i] = table->data[i] > heading ? table->data[i] : heading;
		table->hidden[i] = false;
	}
	if (!table->out->width)
		return;
	hide_optional(table, least);
	narrow(table, TABLE_WHOLE,
	       least); /* only headings that are wider than what is under them */
	narrow(table, TABLE_CUT, least);
	narrow(table, TABLE_CUT_LATE, least);
	if (!table->begun)
		table->stacked = row_width(table) > table->out->width;
}

static void pad(struct out *out, size_t n)
{
	while (n-- > 0)
		out_char(out, ' ');
}

/* *blank: columns to be filled before the next text, so that no line ends in blanks. */
static void print_cell(struct table *table, size_t column, enum print_style style,
		       struct slice text, size_t *blank)
{
	struct out *out = table->out;
	size_t width = table->widths[column];
	BUF_AUTO struct buf cut = BUF_INIT(TABLE_TEXT_LIMIT_BYTES);
	int err = out->width ? text_add_cut(&cut, text, width) : buf_add_slice(&cut, text);

	if (err)
		failed(table, err);
	size_t used = text_width(buf_slice(&cut));
	size_t rest = used < width ? width - used : 0;
	if (cut.len == 0) {
		*blank += width + GAP;
		return;
	}
	pad(out, *blank + (table->columns[column].right ? rest : 0));
	out_string(out, style_begin(out, style));
	out_bytes(out, buf_slice(&cut).at, cut.len);
	out_string(out, style_end(out, style));
	*blank = (table->columns[column].right ? 0 : rest) + GAP;
}

/* row: n_columns cells, or NULL for the heading. */
static void print_row(struct table *table, const struct cell *row)
{
	size_t blank = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->hidden[i])
			continue;
		if (row)
			print_cell(table, i, row[i].style, cell_text(table, &row[i]), &blank);
		else
			print_cell(table, i, STYLE_HEADING, slice_of(table->columns[i].heading),
				   &blank);
	}
	out_char(table->out, '\n');
}

/* One line for each cell; a blank line between rows. */
static void print_stacked(struct table *table, const struct cell *row)
{
	struct out *out = table->out;
	size_t left = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		size_t heading = text_width(slice_of(table->columns[i].heading));
		left = heading > left ? heading : left;
	}
	size_t room = out->width > left + GAP + CUT_MIN ? out->width - left - GAP : CUT_MIN;
	if (table->begun)
		out_char(out, '\n');
	for (size_t i = 0; i < table->n_columns; i++) {
		BUF_AUTO struct buf cut = BUF_INIT(TABLE_TEXT_LIMIT_BYTES);
		int err = text_add_cut(&cut, cell_text(table, &row[i]), room);
		if (err)
			failed(table, err);
		if (cut.len == 0)
			continue;
		out_string(out, style_begin(out, STYLE_HEADING));
		out_string(out, table->columns[i].heading);
		out_string(out, style_end(out, STYLE_HEADING));
		pad(out, left + GAP - text_width(slice_of(table->columns[i].heading)));
		out_string(out, style_begin(out, row[i].style));
		out_bytes(out, buf_slice(&cut).at, cut.len);
		out_string(out, style_end(out, row[i].style));
		out_char(out, '\n');
	}
}

void table_flush(struct table *table)
{
	size_t rows = table->n_cells / table->n_columns;

	if (rows == 0)
		return;
	lay_out(table);
	if (!table->begun && !table->stacked)
		print_row(table, NULL);
	for (size_t i = 0; i < rows; i++) {
		if (table->stacked)
			print_stacked(table, &table->cells[i * table->n_columns]);
		else
			print_row(table, &table->cells[i * table->n_columns]);
		table->begun = true;
	}
	table->n_cells = 0;
	buf_reset(&table->text);
}
