/*
 * Printing: output that a terminal cannot be driven by, tables that know the width of 中文, and the
 * machine formats. Everything is gathered in a struct out; its first failure sticks, and what is
 * printed after it is dropped, so that only out_flush() and long loops need to look.
 */
#pragma once

#include "orderhook/buf.h"
#include "orderhook/store.h"

/* ------------------------------------------------------------------ print.c ------------ */

struct out {
	struct buf buf;
	int fd;           /* -1: everything stays in buf */
	int interrupt_fd; /* -1, or readable when a blocked write is to be given up */
	bool tty;
	bool colour;
	size_t width; /* columns of the terminal; 0: nothing is cut */
	int error;    /* errno of the first failure; ECANCELED: given up */
};

/* Looks at fd, NO_COLOR, TERM, COLUMNS and the terminal's size. */
void out_init(struct out *out, int fd);
void out_release(struct out *out);
void out_bytes(struct out *out, const void *bytes, size_t len);
void out_string(struct out *out, const char *string);
void out_char(struct out *out, char c);
void out_f(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 or -1 with out->error set. */
int out_flush(struct out *out);

enum print_style {
	STYLE_PLAIN = 0,
	STYLE_HEADING,
	STYLE_QUIET,
	STYLE_NOTICE,
	STYLE_ALARM,
	STYLE_MAX
};
/* The bytes that begin a style and end it; "" without colour. */
const char *style_begin(const struct out *out, enum print_style style);
const char *style_end(const struct out *out, enum print_style style);

/* ------------------------------------------------------------------ print_text.c ------- */

enum text_lines {
	TEXT_ONE_LINE = 0, /* escape line breaks and tabs too */
	TEXT_KEEP_LINES
};
/* Appends text with every unsafe character as \xNN or \u{…}, and every invalid byte as \xNN. */
int text_add_safe(struct buf *buf, struct slice text, enum text_lines lines);
/* Appends text as a JSON string in which unsafe characters are escaped; invalid bytes become
 * U+FFFD. */
int text_add_json(struct buf *buf, struct slice text);
/* Columns that text, made safe before, takes on a terminal. */
size_t text_width(struct slice safe);
/* Appends what fits width columns; a text that was cut ends in "…". */
int text_add_cut(struct buf *buf, struct slice safe, size_t width);
/* Makes wcwidth() know UTF-8 whatever the user's locale is. Call once, first. */
void text_init(void);

/* ------------------------------------------------------------------ print_mask.c ------- */

/* Appends a callback body, JSON or a form, with names, phones, positions and hand-over codes as
 * ***. Meant for a screen: the rest is kept, but need not be byte for byte. Errors of
 * json_scan_object() for what begins like JSON and is not: then nothing was masked. */
int mask_body(struct buf *buf, struct slice body);

/* ------------------------------------------------------------------ print_table.c ------ */

enum table_fit {
	TABLE_WHOLE = 0, /* never cut: a time, a number */
	TABLE_CUT,       /* cut first when the terminal is narrow */
	TABLE_CUT_LATE   /* cut when nothing else helps: a number that people copy */
};

struct table_column {
	const char *heading;
	enum table_fit fit;
	bool right;
	bool optional; /* left out of a terminal that is too narrow for all */
};

#define TABLE_COLUMNS_MAX 16

struct table;

/* columns are borrowed. NULL without memory. */
struct table *table_new(struct out *out, const struct table_column *columns, size_t n);
void table_free(struct table *table); /* NULL is fine; prints nothing */
/* The next cell of the present row; the row is whole with its last one. text is made safe. */
void table_cell(struct table *table, enum print_style style, struct slice text);
/* Prints what is gathered, after the heading the first time. Without a row it prints nothing.
 * Happens by itself after TABLE_ROWS_MEASURED rows. */
void table_flush(struct table *table);
#define TABLE_ROWS_MEASURED 1000

/* ------------------------------------------------------------------ print_rows.c ------- */

enum print_format {
	PRINT_TABLE = 0,
	PRINT_JSON,
	PRINT_JSONL,
	PRINT_CSV,
	PRINT_FORMAT_MAX
};

extern const char *const order_column_names[ORDER_COL_MAX];
extern const char *const event_column_names[EVENT_COL_MAX];

/* {"name":value,…} without a newline. */
void rows_add_object(struct out *out, const char *const *names, const struct store_row *row);

/* A row that outlives its cursor. */
struct row_copy {
	struct store_row row;
	char *text; /* owned: what the row's values point into */
};
/* -ERR_NOMEM. */
int row_copy(const struct store_row *row, struct row_copy *ret);
void row_copy_release(struct row_copy *copy); /* NULL and zeroed ones are fine */

/* Rows of one view in a machine format. */
struct rows {
	struct out *out;
	enum print_format format; /* not PRINT_TABLE */
	const char *const *names;
	size_t n_names;
	int64_t count;
};
void rows_begin(struct rows *rows);
void rows_add(struct rows *rows, const struct store_row *row);
void rows_end(struct rows *rows);

/* ------------------------------------------------------------------ print_list.c ------- */

/* How a view is listed as a table. */
struct view {
	const char *const *names;
	size_t n_names;
	const struct table_column *columns;
	size_t n_columns;
	void (*cells)(struct table *table, const struct store_row *row);
};

/* The rows of one view in any format. */
struct list {
	struct out *out;
	enum print_format format;
	const struct view *view;
	struct table *table;
	struct rows rows;
	int64_t count;
};
/* -ERR_NOMEM. */
int list_begin(struct list *list, struct out *out, enum print_format format,
	       const struct view *view);
void list_row(struct list *list, const struct store_row *row);
/* Prints what a table still holds. */
void list_flush(struct list *list);
void list_end(struct list *list);

/* ------------------------------------------------------------------ print_cells.c ------ */

/* A time of the views as China time, "2025-05-30 16:55:19". */
void cell_time(struct table *table, const struct store_value *value);
/* "40/3 物品送回中 (returning)", "60 已取消 (cancelled)"; "-" for none. */
void cell_status(struct table *table, const struct store_value *status,
		 const struct store_value *sub_status);
void cell_verdict(struct table *table, const struct store_value *value);
void cell_value(struct table *table, const struct store_value *value);
/* For 20, 1: "20/1"; for an absent sub-status "60". */
#define STATUS_CODE_BYTES 32
void status_code(int64_t status, int64_t sub_status, char out[STATUS_CODE_BYTES]);
/* Of a column sub_status: EVENT_SUB_ABSENT for NULL. */
int64_t sub_status_of(const struct store_value *value);
/* Appends what cell_status() shows. */
int status_add(struct buf *buf, int64_t status, int64_t sub_status);
/* "45s", "12m", "4h05m", "3d07h": how long something has lasted, for people. */
#define AGE_BYTES 32
void age_format(int64_t ms, char out[AGE_BYTES]);
#define CHINA_OFFSET_MS (8 * 60 * 60 * 1000LL)
#define CHINA_ZONE "UTC+8"
