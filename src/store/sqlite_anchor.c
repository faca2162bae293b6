/*
 * Anchors: what is left of pruned events. A range keeps the link of its last event, from which the
 * chain goes on; ranges that come to adjoin become one row, so that the table grows with the orders
 * that are kept between them and not with those that go.
 */
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_care.h"

struct range {
	int64_t first;
	int64_t last;
	uint8_t link[CHAIN_BYTES]; /* of the last one */
};

static int remove_anchor(struct sqlite_store *store, int64_t first)
{
	struct statement *statement = &store->statements[W_delete_anchor];

	bind_int(statement, P_event_id, first);
	return statement_run(&store->connection, statement);
}

/* Takes in the range that ends right before. */
static int join_before(struct sqlite_store *store, struct range *range)
{
	struct statement *statement = &store->statements[W_anchor_before];
	int64_t first = 0;
	int64_t last = 0;
	int err;

	bind_int(statement, P_event_id, range->first);
	err = statement_step(&store->connection, statement);
	if (err == 1) {
		first = sqlite3_column_int64(statement->handle, 0);
		last = sqlite3_column_int64(statement->handle, 1);
	}
	statement_reset(statement);
	if (err <= 0 || last != range->first - 1)
		return err < 0 ? err : 0;
	range->first = first;
	return remove_anchor(store, first);
}

/* Takes in the range that begins right behind. */
static int join_behind(struct sqlite_store *store, struct range *range)
{
	struct statement *statement = &store->statements[W_anchor_at];
	int64_t first = range->last + 1;
	int64_t last = 0;
	int err;

	bind_int(statement, P_event_id, first);
	err = statement_step(&store->connection, statement);
	if (err == 1) {
		const void *link = sqlite3_column_blob(statement->handle, 1);
		last = sqlite3_column_int64(statement->handle, 0);
		if (!link || sqlite3_column_bytes(statement->handle, 1) != CHAIN_BYTES)
			err = tell_bad_column(&store->connection, statement, 1);
		else
			memcpy(range->link, link, CHAIN_BYTES);
	}
	statement_reset(statement);
	if (err <= 0)
		return err;
	range->last = last;
	return remove_anchor(store, first);
}

static int add_range(struct sqlite_store *store, struct range *range)
{
	struct statement *statement = &store->statements[W_insert_anchor];
	int err = chain_read_link(&store->connection, &store->statements[W_link_of],
				  store->head.store_id, range->last, range->link);

	if (!err)
		err = join_before(store, range);
	if (!err)
		err = join_behind(store, range);
	if (err)
		return err;
	bind_int(statement, P_event_id, range->first);
	bind_int(statement, P_last_event_id, range->last);
	bind_blob(statement, P_link, range->link, CHAIN_BYTES);
	return statement_run(&store->connection, statement);
}

int anchor_events(struct sqlite_store *store, const struct id_list *event_ids)
{
	int err = 0;

	for (size_t i = 0; i < event_ids->n && !err;) {
		struct range range = {.first = event_ids->ids[i]};
		while (i + 1 < event_ids->n && event_ids->ids[i + 1] == event_ids->ids[i] + 1)
			i++;
		range.last = event_ids->ids[i++];
		err = add_range(store, &range);
	}
	return err;
}
