/*
 * A new store. The file is made with O_EXCL, filled in one transaction, stamp included, and synced
 * with its directory before it is called a store. Whatever fails, nothing is left behind; a crash
 * in between leaves an empty file, or one with a journal beside it, which nothing opens and
 * `orderhook init` names.
 *
 * The log and its shared memory are made at once and kept, so that a reader who may not write into
 * the directory can read before the daemon's first start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

static int path_with(const char *path, const char *suffix, char out[STORE_PATH_BYTES])
{
	int len = snprintf(out, STORE_PATH_BYTES, "%s%s", path, suffix);

	return len < 0 || len >= STORE_PATH_BYTES ? -ERR_TOO_LONG : 0;
}

void store_directory_of(const char *path, char out[STORE_PATH_BYTES])
{
	char *slash;

	snprintf(out, STORE_PATH_BYTES, "%s", path);
	slash = strrchr(out, '/');
	if (!slash)
		snprintf(out, STORE_PATH_BYTES, ".");
	else
		slash[slash == out] = '\0';
}

/* A log left over from another database would be replayed into the new one. */
static int refuse_leftovers(const char *path, struct buf *problem)
{
	static const char *const suffixes[] = {"-wal", "-journal"};
	char name[STORE_PATH_BYTES];

	/* The log of a store that is there is its own: nobody may be told to move that away. */
	if (access(path, F_OK) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (path_with(path, suffixes[i], name)) {
			buf_add_string(problem, "the store's path is too long");
			return -ERR_STORE_IO;
		}
		if (access(name, F_OK) == 0) {
			buf_addf(problem,
				 "%s is there, left by a store that is gone; it may hold events: "
				 "move it away first",
				 name);
			return -ERR_STORE_EXISTS;
		}
	}
	return 0;
}

static int make_file(const char *path, struct buf *problem)
{
	char directory[STORE_PATH_BYTES];
	struct stat status;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, STORE_MODE);

	if (fd < 0 && errno == EEXIST) {
		buf_addf(problem, "%s is there already; move it away, or name another store", path);
		return -ERR_STORE_EXISTS;
	}
	store_directory_of(path, directory);
	if (fd < 0) {
		buf_addf(problem, "%s cannot be made: %s%s%s", path, strerror(errno),
			 errno == ENOENT ? "; make the directory first: " : "",
			 errno == ENOENT ? directory : "");
		return -ERR_STORE_IO;
	}
	/* Made by root, it must be the daemon's all the same: whose the directory is. */
	if (fchmod(fd, STORE_MODE) != 0 ||
	    (geteuid() == 0 &&
	     (stat(directory, &status) != 0 || fchown(fd, status.st_uid, status.st_gid) != 0))) {
		buf_addf(problem, "%s: its owner or mode cannot be set: %s", path, strerror(errno));
		close(fd);
		unlink(path);
		return -ERR_STORE_IO;
	}
	close(fd);
	return 0;
}

static int add_stamp(struct connection *connection, const char *environment)
{
	struct statement statement;
	uint8_t id[16];
	char hex[STORE_ID_BYTES];
	int err = statement_prepare(connection, "stamp", SQL_stamp, &statement);

	if (err)
		return err;
	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		statement_release(&statement);
		return -ERR_SYSTEM;
	}
	digest_hex_lower(id, sizeof(id), hex);
	bind_text(&statement, P_store_id, hex);
	bind_text(&statement, P_environment, environment);
	bind_int(&statement, P_created_ms, clock_wall_ms(clock_system()));
	err = statement_run(connection, &statement);
	statement_release(&statement);
	return err;
}

static int fill(struct connection *connection, const char *environment)
{
	char application_id[64];
	int persist = 1;
	int err = connection_harden(connection);

	snprintf(application_id, sizeof(application_id), "PRAGMA application_id = %d",
		 STORE_APPLICATION_ID);
	if (!err)
		err = connection_exec(connection, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE");
	if (!err)
		err = migrations_apply(connection, sql_migrations, 0);
	if (!err)
		err = add_stamp(connection, environment);
	if (!err)
		err = connection_exec(connection, application_id);
	if (!err)
		err = connection_exec(connection, "COMMIT; PRAGMA journal_mode = WAL");
	if (err)
		return err;
	sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
	err = connection_exec(connection, SQL_touch);
	return err ? err : connection_exec(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
}

int store_sync_path(const char *path, int flags, struct buf *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	int failed = fd < 0 || fsync(fd) != 0;

	if (failed)
		buf_addf(problem, "%s cannot be synced: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return failed ? -ERR_STORE_IO : 0;
}

void store_remove_files(const char *path)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal", ""};
	char name[STORE_PATH_BYTES];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (path_with(path, suffixes[i], name) == 0)
			unlink(name);
	}
}

static int fill_and_sync(const char *path, const char *environment, struct buf *problem)
{
	char directory[STORE_PATH_BYTES];
	struct connection connection;
	int err = connection_open(&connection, path, SQLITE_OPEN_READWRITE, false);

	if (!err) {
		err = fill(&connection, environment);
		connection_close(&connection);
	}
	if (err) {
		buf_addf(problem, "%s cannot be filled: %s", path,
			 connection.problem[0] ? connection.problem : err_text(err));
		return err;
	}
	store_directory_of(path, directory);
	err = store_sync_path(path, 0, problem);
	return err ? err : store_sync_path(directory, O_DIRECTORY, problem);
}

int store_create(const char *path, const char *environment, struct buf *problem)
{
	int err;

	if (!environment[0] || strlen(environment) >= STORE_ENVIRONMENT_BYTES) {
		buf_add_string(problem, "the environment's name must have 1 to 64 bytes");
		return -ERR_CONFIG;
	}
	err = refuse_leftovers(path, problem);
	if (!err)
		err = make_file(path, problem);
	if (err)
		return err;
	err = fill_and_sync(path, environment, problem);
	if (err)
		store_remove_files(path);
	return err;
}
