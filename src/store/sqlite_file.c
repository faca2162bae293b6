/*
 * Are the files under the open connection still the store that was opened? Asked before every batch
 * and every second, so it costs two calls of stat: the path still names the file, the file is not
 * shorter than it was, and the database is looked into when the time of its last change has moved.
 * Only the log may be shorter, when a shell has copied it and cut it: as long as it has all that is
 * committed in it.
 *
 * That time moves with every checkpoint, ours or a shell's, and with a touch, so by itself it means
 * nothing. What no checkpoint takes away are the first page's header and the row that says which
 * store this is, which never leaves its page: where they are gone, another file was written over
 * this one. They are read past SQLite's cache and log, through its own descriptor, since closing
 * another one would drop its locks. Should a power loss have torn those two pages, they are missing
 * from the database until the log is copied, so only what was there before is missed.
 *
 * Damage behind those pages is not looked for here; `orderhook verify` finds it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

static int identify_file(const char *path, struct file_identity *ret)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return -ERR_STORE_MOVED;
	*ret = (struct file_identity){status.st_dev, status.st_ino, status.st_size, status.st_mtim};
	return 0;
}

static int compare_file(struct sqlite_store *store, const char *path,
			const struct file_identity *known, struct file_identity *now)
{
	if (identify_file(path, now) == 0 && now->device == known->device &&
	    now->inode == known->inode)
		return 0;
	snprintf(store->connection.problem, STORE_PROBLEM_BYTES,
		 "%s is not the file that was opened", path);
	return -ERR_STORE_MOVED;
}

static int tell_cut(struct sqlite_store *store, const char *path, const struct file_identity *known,
		    const struct file_identity *now)
{
	snprintf(store->connection.problem, STORE_PROBLEM_BYTES,
		 "%s was cut from %lld to %lld bytes", path, (long long)known->bytes,
		 (long long)now->bytes);
	return -ERR_STORE_CORRUPT;
}

/* ------------------------------------------------------------------ what is in it ------ */

/* ret: the bytes on disk say that they are this store. */
static int find_stamp(struct sqlite_store *store, bool *ret)
{
	unsigned char header[STORE_HEADER_BYTES];
	struct connection *connection = &store->connection;
	struct database_stamp *stamp = &store->stamp;
	sqlite3_file *file = NULL;
	int code = sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (code == SQLITE_OK)
		code = file->pMethods->xRead(file, header, sizeof(header), 0);
	if (code == SQLITE_OK)
		code = file->pMethods->xRead(file, stamp->page, stamp->page_bytes, stamp->at);
	if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ)
		return connection_fail(connection, code, "looking whether it is the same store");
	*ret = code == SQLITE_OK && store_header_is_ours(header) &&
	       memmem(stamp->page, (size_t)stamp->page_bytes, store->head.store_id,
		      STORE_ID_BYTES - 1);
	return 0;
}

static int look_into_file(struct sqlite_store *store)
{
	bool found = false;
	int err = find_stamp(store, &found);

	if (err)
		return err;
	if (!found && store->stamp.seen) {
		snprintf(store->connection.problem, STORE_PROBLEM_BYTES,
			 "%s was written over: its header, or its stamp, is not this store's",
			 store->path);
		return -ERR_STORE_MOVED;
	}
	store->stamp.seen = found;
	return 0;
}

static int find_stamp_page(struct sqlite_store *store)
{
	struct database_stamp *stamp = &store->stamp;
	int64_t page = 0;
	int err = connection_pragma_int(&store->connection, SQL_stamp_page, &page);

	if (err)
		return err;
	stamp->page_bytes = (int)store->frame_bytes - STORE_FRAME_HEADER_BYTES;
	stamp->at = (page - 1) * stamp->page_bytes;
	stamp->page = malloc((size_t)stamp->page_bytes);
	return stamp->page ? 0 : -ERR_NOMEM;
}

/* ------------------------------------------------------------------ both ---------------- */

int sqlite_file_identify(struct sqlite_store *store)
{
	int err = identify_file(store->path, &store->file);

	return err ? err : identify_file(store->wal_path, &store->wal);
}

int sqlite_file_find_stamp(struct sqlite_store *store)
{
	int err = find_stamp_page(store);

	return err ? err : look_into_file(store);
}

static int check_database(struct sqlite_store *store)
{
	struct file_identity now;
	int err = compare_file(store, store->path, &store->file, &now);

	if (err)
		return err;
	if (now.bytes < store->file.bytes)
		return tell_cut(store, store->path, &store->file, &now);
	if (now.changed.tv_sec != store->file.changed.tv_sec ||
	    now.changed.tv_nsec != store->file.changed.tv_nsec)
		err = look_into_file(store);
	if (!err)
		store->file = now;
	return err;
}

static int check_log(struct sqlite_store *store)
{
	struct file_identity now;
	int err = compare_file(store, store->wal_path, &store->wal, &now);

	if (err)
		return err;
	if (now.bytes < store->wal.bytes) {
		if (!sqlite_log_is_whole(store, now.bytes))
			return tell_cut(store, store->wal_path, &store->wal, &now);
		/* A shell copied and cut it: the next log is another one. */
		store->wal_pages = 0;
		store->wal_copied = 0;
	}
	store->wal = now;
	return 0;
}

int sqlite_store_check_file(struct sqlite_store *store)
{
	int err = store->failed;

	if (err)
		return err;
	err = check_database(store);
	if (!err)
		err = check_log(store);
	return sqlite_store_failed(store, err);
}
