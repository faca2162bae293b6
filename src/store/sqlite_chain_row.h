/* A row of "chain_page" as the chain sees it: for verify, which compares, and erase, which must
 * keep what was hashed. */
#pragma once

#include "sqlite_private.h"

enum chain_extra {
	EXTRA_BODY = CHAIN_MAX + 1, /* the event's number comes before the columns */
	EXTRA_BODY_SHA256,
	EXTRA_LINK,
	EXTRA_PRIVATE_SHA256,
	EXTRA_ORDER_NO,
	EXTRA_SHOP_ID
};

struct chain_value chain_column_value(sqlite3_stmt *handle, int column);
/* A digest's column; false when it is none. */
bool chain_column_digest(sqlite3_stmt *handle, int column, uint8_t ret[CHAIN_BYTES]);
/* The number and the columns as they are stored; not the body's hash. Borrowed until the step. */
void chain_row_read(sqlite3_stmt *handle, struct chain_row *ret);

#define CHAIN_READINGS 4 /* the last one is the common one: both are the order's */

/*
 * The orderNo and shopId of an event are NULL in its row where they are the order's. Which of "the
 * order's" and "none" was hashed is not stored. Sets both in row as reading number n takes own, the
 * columns as they are stored; false where it would say what a later reading says.
 */
bool chain_row_reading(sqlite3_stmt *handle, const struct chain_row *own, int n,
		       struct chain_row *row);
