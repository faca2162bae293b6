/*
 * What kind of file is it? Asked before anything can write to it, so that a file that is not ours,
 * or is damaged, stays as it was: evidence, or somebody else's data.
 *
 * The file is only ever opened through SQLite, because closing a descriptor of one's own would drop
 * the locks that the process holds on the file. Without a log beside it, it is opened as immutable:
 * no lock, no log and no shared memory are made. With a log the newest state is in there, and
 * reading it takes the shared memory file, which holds nothing of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

#define HEADER_APPLICATION_ID 68

bool store_has_wal(const char *path)
{
	BUF_AUTO struct buf wal = BUF_INIT(16 * 1024);
	struct stat status;

	return buf_addf(&wal, "%s-wal", path) == 0 && stat(wal.data, &status) == 0 &&
	       status.st_size > 0;
}

static int tell_missing(const char *path, struct buf *problem)
{
	if (store_has_wal(path))
		buf_addf(problem,
			 "%s does not exist, but its log %s-wal does: put the database back beside "
			 "it before anything else, or move the log away and run `orderhook init`",
			 path, path);
	else
		buf_addf(problem, "%s does not exist; make it with `orderhook init`", path);
	return -ERR_STORE_MISSING;
}

/* A store is in WAL mode from its first day on, so a rollback journal is of an `orderhook init`
 * that did not get to its end: opening the database would undo what it did. */
static bool has_journal(const char *path)
{
	BUF_AUTO struct buf journal = BUF_INIT(16 * 1024);

	return buf_addf(&journal, "%s-journal", path) == 0 && access(journal.data, F_OK) == 0;
}

int store_check_path(const char *path, struct buf *problem)
{
	struct stat status;

	if (stat(path, &status) != 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return tell_missing(path, problem);
		buf_addf(problem, "%s cannot be looked at: %s", path, strerror(errno));
		return -ERR_STORE_IO;
	}
	if (!S_ISREG(status.st_mode)) {
		buf_addf(problem, "%s is not a regular file, so not an orderhook store", path);
		return -ERR_STORE_FOREIGN;
	}
	if (status.st_size == 0) {
		buf_addf(problem,
			 "%s is empty, so not an orderhook store: restore a backup over it, or "
			 "remove it and run `orderhook init`",
			 path);
		return -ERR_STORE_FOREIGN;
	}
	if (has_journal(path)) {
		buf_addf(problem,
			 "%s-journal is there, so `orderhook init` was interrupted while it made "
			 "%s, "
			 "which holds no event yet: move both away and run `orderhook init` again",
			 path, path);
		return -ERR_STORE_FOREIGN;
	}
	return 0;
}

int store_tell_corrupt(const char *path, const char *detail, struct buf *problem)
{
	buf_addf(problem,
		 "%s is damaged (%s): keep it and %s-wal as they are, and restore a backup; "
		 "sqlite3's .recover may save more, on a copy",
		 path, detail, path);
	return -ERR_STORE_CORRUPT;
}

static int tell_foreign(const char *path, struct buf *problem)
{
	buf_addf(problem,
		 "%s is not an orderhook store; name another path in [store], or move it away and "
		 "run `orderhook init`",
		 path);
	return -ERR_STORE_FOREIGN;
}

/* A checkpoint that the power failed in may leave anything as the first page: what holds then is
 * the log's. */
static bool is_ours_by_log(struct connection *connection, const char *path)
{
	int64_t id = 0;

	return store_has_wal(path) &&
	       connection_pragma_int(connection, "PRAGMA application_id", &id) == 0 &&
	       id == STORE_APPLICATION_ID;
}

bool store_header_is_ours(const unsigned char header[STORE_HEADER_BYTES])
{
	static const char magic[16] = "SQLite format 3";
	uint32_t id = 0;

	for (int i = 0; i < 4; i++)
		id = id << 8 | header[HEADER_APPLICATION_ID + i];
	return memcmp(header, magic, sizeof(magic)) == 0 && id == STORE_APPLICATION_ID;
}

/* Through SQLite's own descriptor, and before SQLite itself has read anything. */
static int check_header(struct connection *connection, const char *path, struct buf *problem)
{
	unsigned char header[STORE_HEADER_BYTES];
	sqlite3_file *file = NULL;
	int code = sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (code == SQLITE_OK)
		code = file->pMethods->xRead(file, header, sizeof(header), 0);
	if (code == SQLITE_IOERR_SHORT_READ)
		return tell_foreign(path, problem);
	if (code != SQLITE_OK) {
		int err = connection_fail(connection, code, "reading its first page");
		buf_addf(problem, "%s cannot be read: %s", path, connection->problem);
		return err;
	}
	if (!store_header_is_ours(header) && !is_ours_by_log(connection, path))
		return tell_foreign(path, problem);
	return 0;
}

int store_read_identity(struct connection *connection, struct store_identity *ret)
{
	struct statement statement;
	int err = statement_prepare(connection, "identify", SQL_identify, &statement);

	if (err)
		return err;
	err = statement_step(connection, &statement);
	if (err == 1) {
		err = column_text(connection, &statement, 0, ret->store_id, sizeof(ret->store_id));
		if (!err)
			err = column_text(connection, &statement, 1, ret->environment,
					  sizeof(ret->environment));
		ret->last_event_id = sqlite3_column_int64(statement.handle, 2);
	} else if (err == 0) {
		snprintf(connection->problem, sizeof(connection->problem), "its stamp is missing");
		err = -ERR_STORE_CORRUPT;
	}
	statement_release(&statement);
	return err;
}

/* A file that says it is ours and whose tables cannot be read is damaged. */
static int tell_unreadable(struct connection *connection, const char *path, int err,
			   struct buf *problem)
{
	if (err == -ERR_STORE_CORRUPT || sqlite3_errcode(connection->db) == SQLITE_ERROR)
		return store_tell_corrupt(path, connection->problem, problem);
	if (err == -ERR_STORE_BUSY)
		buf_addf(problem,
			 "%s is held by another process for itself alone; `fuser -v %s` names it",
			 path, path);
	else
		buf_addf(problem, "%s cannot be read: %s", path, connection->problem);
	return err;
}

int store_identify(struct connection *connection, const char *path, int newest,
		   struct store_identity *ret, struct buf *problem)
{
	struct store_identity identity = {0};
	int err = check_header(connection, path, problem);

	if (err)
		return err;
	err = connection_harden(connection);
	if (!err)
		err = connection_pragma_int(connection, "PRAGMA user_version", &identity.version);
	if (err)
		return tell_unreadable(connection, path, err, problem);
	if (identity.version > newest) {
		buf_addf(problem,
			 "%s was written by a newer orderhook (its version is %lld, this program "
			 "knows up to %d); install that orderhook again",
			 path, (long long)identity.version, newest);
		return -ERR_STORE_NEWER;
	}
	err = store_read_identity(connection, &identity);
	if (err)
		return tell_unreadable(connection, path, err, problem);
	*ret = identity;
	return 0;
}

/* The id in the database alone; "" when it cannot be read so. */
static void id_without_log(const char *path, char ret[STORE_ID_BYTES])
{
	struct connection connection;
	struct store_identity identity = {0};

	ret[0] = '\0';
	if (connection_open(&connection, path, SQLITE_OPEN_READONLY, true))
		return;
	/* A checkpoint that the power failed in may have left anything where the stamp is. */
	if (store_read_identity(&connection, &identity) == 0 &&
	    strspn(identity.store_id, "0123456789abcdef") == STORE_ID_BYTES - 1)
		memcpy(ret, identity.store_id, STORE_ID_BYTES);
	connection_close(&connection);
}

/* SQLite replays whatever log lies beside a database, another store's as well. The stamp is in the
 * database since it was made, so a log that brings another one was put there. */
static int check_log_owner(const char *path, const char *store_id, struct buf *problem)
{
	char alone[STORE_ID_BYTES];

	id_without_log(path, alone);
	if (!alone[0] || strcmp(alone, store_id) == 0)
		return 0;
	buf_addf(problem,
		 "%s-wal is the log of another store: %s is store %s and the log is of %s; put its "
		 "own log back, or move this one away",
		 path, path, alone, store_id);
	return -ERR_STORE_CORRUPT;
}

int store_open_look(const char *path, int newest, struct connection *ret_connection,
		    struct store_identity *ret, struct buf *problem)
{
	struct connection connection;
	int err = connection_open(&connection, path, SQLITE_OPEN_READONLY, !store_has_wal(path));

	if (err) {
		buf_addf(problem, "%s cannot be opened: %s", path, connection.problem);
		return err;
	}
	sqlite3_db_config(connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	err = store_identify(&connection, path, newest, ret, problem);
	if (!err)
		err = check_log_owner(path, ret->store_id, problem);
	if (err)
		connection_close(&connection);
	else
		*ret_connection = connection;
	return err;
}

int store_look(const char *path, int newest, struct store_identity *ret, struct buf *problem)
{
	struct connection connection;
	int err = store_open_look(path, newest, &connection, ret, problem);

	if (!err)
		connection_close(&connection);
	return err;
}
