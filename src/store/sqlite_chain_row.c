/* Columns to values: types as they are in the file, since a damaged one may have any. */
#include "sqlite_chain_row.h"

#include <string.h>

struct chain_value chain_column_value(sqlite3_stmt *handle, int column)
{
	struct chain_value value = {.type = CHAIN_ALIEN};

	switch (sqlite3_column_type(handle, column)) {
	case SQLITE_NULL:
		value.type = CHAIN_NULL;
		break;
	case SQLITE_INTEGER:
		value.type = CHAIN_INTEGER;
		value.integer = sqlite3_column_int64(handle, column);
		break;
	case SQLITE_TEXT:
	case SQLITE_BLOB:
		value.type = sqlite3_column_type(handle, column) == SQLITE_TEXT ? CHAIN_TEXT
										: CHAIN_BLOB;
		value.bytes.at = sqlite3_column_blob(handle, column);
		value.bytes.len = (size_t)sqlite3_column_bytes(handle, column);
		break;
	default:
		break;
	}
	return value;
}

bool chain_column_digest(sqlite3_stmt *handle, int column, uint8_t ret[CHAIN_BYTES])
{
	struct chain_value value = chain_column_value(handle, column);

	if (value.type != CHAIN_BLOB || value.bytes.len != CHAIN_BYTES)
		return false;
	memcpy(ret, value.bytes.at, CHAIN_BYTES);
	return true;
}

void chain_row_read(sqlite3_stmt *handle, struct chain_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->event_id = sqlite3_column_int64(handle, 0);
	for (int i = 0; i < CHAIN_MAX; i++)
		ret->values[i] = chain_column_value(handle, i + 1);
}

bool chain_row_reading(sqlite3_stmt *handle, const struct chain_row *own, int n,
		       struct chain_row *row)
{
	/* Bit 0: the event named an orderNo, its own or the order's; bit 1: a shopId. */
	static const struct {
		int column;
		int extra;
	} pairs[] = {{CHAIN_order_no, EXTRA_ORDER_NO}, {CHAIN_shop_id, EXTRA_SHOP_ID}};

	for (int i = 0; i < 2; i++) {
		bool stored = own->values[pairs[i].column].type != CHAIN_NULL;
		bool named = n >> i & 1;
		if (stored && !named)
			return false;
		row->values[pairs[i].column] = stored || !named
						       ? own->values[pairs[i].column]
						       : chain_column_value(handle, pairs[i].extra);
	}
	return true;
}
