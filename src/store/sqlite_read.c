/*
 * Readers: a read-only connection of its own in any process, beside the writer or without one. It
 * never checkpoints, and a read transaction lasts for one page of rows at most (sqlite_cursor.c),
 * because the log cannot begin anew while somebody reads an old part of it.
 *
 * A file without a log beside it has no writer: the writer keeps its log's file when it closes.
 * Such a file, a backup say, is opened as immutable when the directory may not be written, since
 * SQLite would make the log first.
 */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

static bool has_log(const char *path)
{
	BUF_AUTO struct buf name = BUF_INIT(16 * 1024);

	return buf_addf(&name, "%s-wal", path) == 0 && access(name.data, F_OK) == 0;
}

static bool may_make_log(const char *path)
{
	BUF_AUTO struct buf name = BUF_INIT(16 * 1024);

	return buf_add_string(&name, path) == 0 && access(dirname(name.data), W_OK) == 0;
}

static int prepare_all(struct store_reader *reader)
{
	static const struct sql_query queries[R_MAX] = {
#define READER_STATEMENT(name) {#name, SQL_##name},
#include "sqlite_statement.def"
	};
	int err = 0;

	for (int i = 0; i < R_MAX && !err; i++)
		err = statement_prepare(&reader->connection, queries[i].name, queries[i].text,
					&reader->statements[i]);
	return err;
}

static int open_connection(struct store_reader *reader, const char *path, struct buf *problem)
{
	int err = connection_open(&reader->connection, path, SQLITE_OPEN_READONLY,
				  !has_log(path) && !may_make_log(path));

	if (err) {
		buf_addf(problem, "%s cannot be opened: %s; its group may read it", path,
			 reader->connection.problem);
		return err;
	}
	sqlite3_db_config(reader->connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return 0;
}

static int check_version(const char *path, const struct store_identity *identity,
			 struct buf *problem)
{
	if (identity->version >= migrations_newest(sql_migrations))
		return 0;
	buf_addf(
		problem,
		"%s was written by an older orderhook (version %lld, this program reads %d); start "
		"the new orderhookd once, it migrates the store",
		path, (long long)identity->version, migrations_newest(sql_migrations));
	return -ERR_STORE_OLDER;
}

int store_open_reader(const char *path, struct store_reader **ret, struct buf *problem)
{
	struct store_identity identity;
	struct store_reader *reader;
	int err = store_check_path(path, problem);

	/* Opening makes the log, which is one file too many beside one that is not ours. */
	if (!err && !has_log(path))
		err = store_look(path, migrations_newest(sql_migrations), &identity, problem);
	if (err)
		return err;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ERR_NOMEM;
	err = open_connection(reader, path, problem);
	if (!err)
		err = store_identify(&reader->connection, path, migrations_newest(sql_migrations),
				     &identity, problem);
	if (!err) {
		memcpy(reader->environment, identity.environment, sizeof(reader->environment));
		err = check_version(path, &identity, problem);
	}
	if (!err) {
		err = prepare_all(reader);
		if (err)
			buf_addf(problem, "%s cannot be read: %s", path,
				 reader->connection.problem);
	}
	if (err) {
		store_reader_close(reader);
		return err;
	}
	*ret = reader;
	return 0;
}

void store_reader_close(struct store_reader *reader)
{
	if (!reader)
		return;
	for (int i = 0; i < R_MAX; i++)
		statement_release(&reader->statements[i]);
	if (reader->connection.db)
		connection_close(&reader->connection);
	free(reader);
}

const char *store_reader_problem(const struct store_reader *reader)
{
	return reader ? reader->connection.problem : "";
}

const char *store_reader_environment(const struct store_reader *reader)
{
	return reader->environment;
}

int reader_begin(struct store_reader *reader)
{
	return statement_run(&reader->connection, &reader->statements[R_read]);
}

int reader_end(struct store_reader *reader, int err)
{
	if (sqlite3_get_autocommit(reader->connection.db))
		return err;
	if (!err)
		return statement_run(&reader->connection, &reader->statements[R_commit]);
	sqlite3_exec(reader->connection.db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

static int add_column(struct statement *statement, int column, struct buf *out)
{
	const void *bytes = sqlite3_column_blob(statement->handle, column);
	size_t len = (size_t)sqlite3_column_bytes(statement->handle, column);

	return out ? buf_add(out, bytes, len) : 0;
}

static int raw_of(struct store_reader *reader, struct statement *statement, struct buf *body,
		  struct buf *head)
{
	size_t head_len = head ? head->len : 0;
	int err;

	err = statement_step(&reader->connection, statement);
	if (err == 0)
		err = -ERR_NOT_FOUND;
	if (err == 1)
		err = sqlite3_column_int(statement->handle, 2) ? -ERR_ERASED : 0;
	if (!err)
		err = add_column(statement, 0, head);
	if (!err)
		err = add_column(statement, 1, body);
	/* Outputs are untouched on failure. */
	if (err && head && head->len > head_len) {
		head->len = head_len;
		head->data[head_len] = '\0';
	}
	statement_reset(statement);
	return err;
}

int store_raw(struct store_reader *reader, int64_t event_id, struct buf *body, struct buf *head)
{
	struct statement *statement = &reader->statements[R_raw_event];

	bind_int(statement, P_event_id, event_id);
	return raw_of(reader, statement, body, head);
}

int store_raw_held(struct store_reader *reader, int64_t held_id, struct buf *body, struct buf *head)
{
	struct statement *statement = &reader->statements[R_raw_held];

	bind_int(statement, P_held_id, held_id);
	return raw_of(reader, statement, body, head);
}

int store_fold_event(struct store_reader *reader, int64_t event_id, struct order_event *ret)
{
	struct statement *statement = &reader->statements[R_fold_event];
	struct order_event event;
	int err;

	bind_int(statement, P_event_id, event_id);
	err = statement_step(&reader->connection, statement);
	if (err == 0)
		err = -ERR_NOT_FOUND;
	if (err == 1)
		err = column_order_event(&reader->connection, statement, &event);
	statement_reset(statement);
	if (!err)
		*ret = event;
	return err;
}
