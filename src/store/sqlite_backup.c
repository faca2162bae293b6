/*
 * A backup is one VACUUM INTO through a reader: SQLite copies a snapshot, page by page anew, while
 * the writer goes on. The log cannot begin anew meanwhile, so it grows with what is written.
 *
 * The copy is made under a name of its own and gets the one it was asked for last, when it is
 * complete, checked and synced: a file that has the name is a backup, whenever the power went. It
 * is checked as what it will be used as, a store: its identity, every page and index, and that it
 * has as many events as its orders count.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

#define PROGRESS_STEPS 10000

struct stopper {
	store_stop_fn stop;
	void *context;
};

static int on_progress(void *context)
{
	const struct stopper *stopper = context;

	return stopper->stop && stopper->stop(stopper->context);
}

static int make_partial(const char *file, const char *partial, struct buf *problem)
{
	int fd;

	if (access(file, F_OK) == 0) {
		buf_addf(problem, "%s is there already; name another file", file);
		return -ERR_STORE_EXISTS;
	}
	fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, STORE_MODE);
	if (fd < 0 && errno == EEXIST) {
		buf_addf(problem,
			 "%s is there, of a backup that is running or was killed; remove it when "
			 "none is running",
			 partial);
		return -ERR_STORE_EXISTS;
	}
	if (fd < 0 || fchmod(fd, STORE_MODE) != 0) {
		buf_addf(problem, "%s cannot be made: %s", partial, strerror(errno));
		if (fd >= 0) {
			close(fd);
			unlink(partial);
		}
		return -ERR_STORE_IO;
	}
	close(fd);
	return 0;
}

static int copy(const char *path, const char *partial, struct stopper *stopper, struct buf *problem)
{
	struct store_reader *reader;
	int err = store_open_reader(path, &reader, problem);

	if (err)
		return err;
	sqlite3_progress_handler(reader->connection.db, PROGRESS_STEPS, on_progress, stopper);
	bind_text(&reader->statements[R_backup], P_file, partial);
	err = statement_run(&reader->connection, &reader->statements[R_backup]);
	if (err)
		buf_addf(problem, "%s cannot be copied to %s: %s", path, partial,
			 reader->connection.problem);
	store_reader_close(reader);
	return err;
}

static int check_pages(struct connection *connection)
{
	sqlite3_stmt *handle = NULL;
	int code =
		sqlite3_prepare_v2(connection->db, "PRAGMA integrity_check(1)", -1, &handle, NULL);
	int err = 0;

	if (code == SQLITE_OK)
		code = sqlite3_step(handle);
	if (code != SQLITE_ROW) {
		err = connection_fail(connection, code, "checking its integrity");
	} else if (strcmp((const char *)sqlite3_column_text(handle, 0), "ok") != 0) {
		snprintf(connection->problem, sizeof(connection->problem), "%s",
			 (const char *)sqlite3_column_text(handle, 0));
		err = -ERR_STORE_CORRUPT;
	}
	sqlite3_finalize(handle);
	return err;
}

static int count(struct connection *connection, struct store_backup *ret)
{
	int64_t counted = 0;
	int err = connection_pragma_int(connection, "SELECT COUNT(*) FROM event", &ret->events);

	if (!err)
		err = connection_pragma_int(connection, "SELECT COUNT(*) FROM orders",
					    &ret->orders);
	if (!err)
		err = connection_pragma_int(
			connection, "SELECT COALESCE(SUM(events), 0) FROM orders", &counted);
	if (err || counted == ret->events)
		return err;
	snprintf(connection->problem, sizeof(connection->problem),
		 "it has %lld events and its orders count %lld", (long long)ret->events,
		 (long long)counted);
	return -ERR_STORE_CORRUPT;
}

static int check(const char *path, const char *partial, struct stopper *stopper,
		 struct store_backup *ret, struct buf *problem)
{
	struct connection connection;
	struct store_identity identity;
	int err = connection_open(&connection, partial, SQLITE_OPEN_READONLY, true);

	if (err) {
		buf_addf(problem, "%s cannot be read again: %s", partial, connection.problem);
		return err;
	}
	sqlite3_progress_handler(connection.db, PROGRESS_STEPS, on_progress, stopper);
	err = store_identify(&connection, partial, migrations_newest(sql_migrations), &identity,
			     problem);
	if (!err) {
		err = check_pages(&connection);
		if (!err)
			err = count(&connection, ret);
		if (err)
			buf_addf(problem,
				 "the copy of %s is not whole (%s), so it was removed; check the "
				 "store and the disk",
				 path, connection.problem);
	}
	connection_close(&connection);
	if (err)
		return err;
	ret->last_event_id = identity.last_event_id;
	return slice_copy(slice_of(identity.environment), ret->environment,
			  sizeof(ret->environment));
}

/* Gives the copy its name, unless somebody has taken that meanwhile. */
static int publish(const char *partial, const char *file, struct buf *problem)
{
	char directory[STORE_PATH_BYTES];
	int err = store_sync_path(partial, 0, problem);

	if (err)
		return err;
	if (link(partial, file) != 0) {
		int cause = errno;
		buf_addf(problem, "%s cannot be named %s: %s", partial, file, strerror(cause));
		return cause == EEXIST ? -ERR_STORE_EXISTS : -ERR_STORE_IO;
	}
	unlink(partial);
	store_directory_of(file, directory);
	err = store_sync_path(directory, O_DIRECTORY, problem);
	if (err)
		unlink(file);
	return err;
}

int store_backup(const char *path, const char *file, store_stop_fn stop, void *context,
		 struct store_backup *ret, struct buf *problem)
{
	struct stopper stopper = {stop, context};
	struct store_backup backup = {0};
	char partial[STORE_PATH_BYTES];
	struct stat status;
	/* A name such as file:x would be a URI to SQLite. */
	int len = snprintf(partial, sizeof(partial), "%s%s.partial", file[0] == '/' ? "" : "./",
			   file);

	if (len < 0 || len >= STORE_PATH_BYTES) {
		buf_add_string(problem, "the backup's path is too long");
		return -ERR_STORE_IO;
	}
	int err = store_check_path(path, problem);
	if (!err)
		err = make_partial(file, partial, problem);
	if (err)
		return err;
	err = copy(path, partial, &stopper, problem);
	if (!err)
		err = check(path, partial, &stopper, &backup, problem);
	if (!err)
		err = stat(partial, &status) == 0 ? publish(partial, file, problem) : -ERR_STORE_IO;
	if (err) {
		store_remove_files(partial);
		return err;
	}
	backup.bytes = status.st_size;
	*ret = backup;
	return 0;
}
