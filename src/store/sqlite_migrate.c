/*
 * user_version is the number of the last migration that was applied. They are applied in one
 * transaction, and looked for again inside it: another process may have been quicker.
 */
#include <stdio.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

int migrations_newest(const struct sql_text *migrations)
{
	int newest = 0;

	for (; migrations->text; migrations++)
		newest = migrations->number;
	return newest;
}

int migrations_apply(struct connection *connection, const struct sql_text *migrations, int version)
{
	char stamp[64];
	int err = 0;

	for (; migrations->text && !err; migrations++) {
		if (migrations->number <= version)
			continue;
		err = connection_exec(connection, migrations->text);
		snprintf(stamp, sizeof(stamp), "PRAGMA user_version = %d", migrations->number);
		if (!err)
			err = connection_exec(connection, stamp);
	}
	return err;
}

static int version_of(struct connection *connection, int *ret)
{
	int64_t version;
	int err = connection_pragma_int(connection, "PRAGMA user_version", &version);

	if (!err)
		*ret = (int)version;
	return err;
}

int migrations_run(struct connection *connection, const struct sql_text *migrations)
{
	int newest = migrations_newest(migrations);
	int version;
	int err = version_of(connection, &version);

	if (err || version >= newest)
		return err ? err : version > newest ? -ERR_STORE_NEWER : 0;
	err = connection_exec(connection, "BEGIN IMMEDIATE");
	if (err)
		return err;
	err = version_of(connection, &version);
	if (!err && version < newest)
		err = migrations_apply(connection, migrations, version);
	if (!err)
		err = connection_exec(connection, "COMMIT");
	/* What failed stays what is told, not what the rollback says. */
	if (err && !sqlite3_get_autocommit(connection->db))
		sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}
