/*
 * A cursor: which rows (sqlite_pick.c) and their values, page by page (sqlite_cursor.c).
 */
#pragma once

#include "orderhook/id_list.h"
#include "sqlite_private.h"

#define CURSOR_PAGE_ROWS 64

struct cell {
	enum store_value_type type;
	int64_t integer;
	size_t at; /* in the page's text */
	size_t len;
};

/* Numbers in (after, to] that one transaction looks at. */
struct window {
	int64_t after;
	int64_t to;
};

struct store_cursor {
	struct store_reader *reader;
	bool of_orders;
	bool few;                   /* an index of its own has all that may match */
	struct order_filter orders; /* its strings are owned below, likewise events' */
	struct event_filter events;
	char *order;
	char *shop_id;
	char *endpoint;

	struct id_list picked; /* the whole answer, unless paging */
	size_t next_picked;
	bool paging;
	struct window window; /* what is left of the present one */
	int64_t top_id;       /* nothing newer is shown */

	struct cell cells[CURSOR_PAGE_ROWS][STORE_COLUMNS_MAX];
	size_t n_rows;
	size_t next_row;
	struct buf text;
};

/* Finds the cursor's numbers, or where its pages begin, from its filter. */
int cursor_pick(struct store_cursor *cursor);
/* For one that pages: moves to the next window when this one is used up. 1, or 0 at the end. */
int cursor_advance_window(struct store_cursor *cursor);
/* Adds the next numbers of the window, at most CURSOR_PAGE_ROWS of them. */
int cursor_pick_page(struct store_cursor *cursor, struct id_list *list);
/* For one that pages: what is left of the window begins behind this number. -ERR_STORE_CORRUPT when
 * it did before. */
int cursor_go_on(struct store_cursor *cursor, int64_t after);
