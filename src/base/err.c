/* The error table as an array: index is the error's number, row 0 is success. */
#include "orderhook/err.h"

#include <stdlib.h>

struct err_row {
	const char *key;
	const char *text;
	enum err_fault fault;
	short http;
	short retry;
};

static const struct err_row rows[ERR_MAX] = {
	[ERR_OK] = {"ok", "done", ERR_FAULT_NONE, 200, 0},
#define ERROR(name, http, whose, retry, key, text) \
	[ERR_##name] = {key, text, ERR_FAULT_##whose, http, retry},
#include "orderhook/tbl/error.def"
#undef ERROR
};

static const struct err_row *row_of(int err)
{
	/* abs(INT_MIN) is undefined, and no error of ours is near it. */
	if (err <= -ERR_MAX || err >= ERR_MAX)
		return &rows[ERR_INTERNAL];
	return &rows[abs(err)];
}

const char *err_key(int err)
{
	return row_of(err)->key;
}

int err_of_key(struct slice key)
{
	for (int err = 1; err < ERR_MAX; err++) {
		if (slice_equal_string(key, rows[err].key))
			return -err;
	}
	return -ERR_INTERNAL;
}

const char *err_text(int err)
{
	return row_of(err)->text;
}

int err_http_status(int err)
{
	return row_of(err)->http;
}

enum err_fault err_fault(int err)
{
	return row_of(err)->fault;
}

int err_retryable(int err)
{
	return row_of(err)->retry;
}
