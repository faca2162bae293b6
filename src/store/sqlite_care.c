/*
 * A transaction that is no batch goes through the same checks as one: the files are still ours, the
 * log is copied when it is due, and a failure that is final ends the store's writing.
 */
#include "sqlite_care.h"

#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"

static int transact(struct sqlite_store *store,
		    int (*work)(struct sqlite_store *store, void *context), void *context)
{
	struct connection *connection = &store->connection;
	int err = statement_run(connection, &store->statements[W_begin]);

	if (err)
		return err;
	memset(&store->tally, 0, sizeof(store->tally));
	err = work(store, context);
	if (!err)
		err = sqlite_store_flush_counts(store);
	if (!err)
		err = statement_run(connection, &store->statements[W_commit]);
	if (err)
		sqlite_store_roll_back(store);
	/* Rows may have changed or gone. */
	order_cache_forget(&store->orders);
	return err;
}

int sqlite_store_transact(struct sqlite_store *store,
			  int (*work)(struct sqlite_store *store, void *context), void *context)
{
	int err = sqlite_store_check_file(store);

	if (!err)
		err = sqlite_store_checkpoint(store, false);
	return err ? err : sqlite_store_failed(store, transact(store, work, context));
}

int id_list_read(struct connection *connection, struct statement *statement, struct id_list *list)
{
	int err;

	while ((err = statement_step(connection, statement)) == 1) {
		err = id_list_add(list, sqlite3_column_int64(statement->handle, 0));
		if (err)
			break;
	}
	statement_reset(statement);
	return err;
}
