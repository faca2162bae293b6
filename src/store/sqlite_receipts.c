/*
 * Receipts in the order of arrival. Numbers are given out in that order, so a time that lies before
 * the one of the number before it tells that the clock was set back.
 */
#include "sqlite_private.h"

#include "orderhook/err.h"

/* Several threads may swap their callbacks by less. */
#define STEP_MS 1000

static int newest_id(struct store_reader *reader, int64_t *ret)
{
	struct statement *statement = &reader->statements[R_last_event];
	int err = statement_step(&reader->connection, statement);

	if (err >= 0)
		*ret = err == 1 ? sqlite3_column_int64(statement->handle, 0) : 0;
	statement_reset(statement);
	return err < 0 ? err : 0;
}

int store_receipt_steps(struct store_reader *reader, int64_t newest,
			struct store_receipt_step *steps, size_t cap, size_t *ret_n)
{
	struct statement *statement = &reader->statements[R_receipts];
	int64_t before_ms = INT64_MIN;
	int64_t last = 0;
	size_t n = 0;
	int err = newest_id(reader, &last);

	if (err)
		return err;
	bind_int(statement, P_after_id, last > newest ? last - newest : 0);
	while (n < cap && (err = statement_step(&reader->connection, statement)) == 1) {
		int64_t received_ms = sqlite3_column_int64(statement->handle, 1);
		if (before_ms != INT64_MIN && received_ms < before_ms - STEP_MS)
			steps[n++] = (struct store_receipt_step){
				sqlite3_column_int64(statement->handle, 0), received_ms, before_ms};
		before_ms = received_ms;
	}
	statement_reset(statement);
	if (err < 0)
		return err;
	*ret_n = n;
	return 0;
}
