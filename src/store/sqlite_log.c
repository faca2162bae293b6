/*
 * The log: when it is copied into the database, and what is taken out of it when its sync failed.
 *
 * Checkpoints are made here and not by SQLite's autocheckpoint, which drops their errors: a
 * checkpoint whose fsync failed must never be tried again, for the second one would succeed over
 * pages that the kernel has dropped, and the log would be overwritten. The log still has them, so
 * such a failure ends the writing, nothing more is checkpointed, and the next start recovers.
 *
 * A commit whose fsync failed leaves frames that the kernel may go on showing though they are not
 * on disk. A start would take them for committed and append behind them, and all that would be lost
 * with the power. So they are cut off: nobody has seen them, and nothing in them was acknowledged.
 */
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

/*
 * A checkpoint holds the writer up for the time of its sync, which is that of the pages it copies.
 * These are about as many as there were events: in large batches few pages of the log are written
 * twice, in small ones most are. So many events are enough when the log has grown at all; a log
 * that was written over and over may grow longer.
 */
#define CHECKPOINT_EVENTS 350
#define CHECKPOINT_PAGES_LEAST 200
#define CHECKPOINT_PAGES 1000
#define WAL_HEADER_BYTES 32
#define WAL_INDEX_BYTES 32768
#define WAL_INDEX_MX_FRAME 16

/* The log's frames that are committed, from the header of its index in shared memory, which is part
 * of the file format ("WAL-Index File Format": mxFrame). -1: not known. */
static int64_t committed_frames(sqlite3 *db)
{
	volatile void *index = NULL;
	sqlite3_file *file = NULL;
	uint32_t frames;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (!file || !file->pMethods || file->pMethods->iVersion < 2 ||
	    file->pMethods->xShmMap(file, 0, WAL_INDEX_BYTES, 0, &index) != SQLITE_OK || !index)
		return -1;
	memcpy(&frames, (const char *)index + WAL_INDEX_MX_FRAME, sizeof(frames));
	return frames;
}

bool sqlite_log_is_whole(struct sqlite_store *store, int64_t bytes)
{
	int64_t frames = committed_frames(store->connection.db);

	return frames == 0 ||
	       (frames > 0 && bytes >= WAL_HEADER_BYTES + frames * store->frame_bytes);
}

void sqlite_log_cut(struct sqlite_store *store)
{
	sqlite3 *db = store->connection.db;
	sqlite3_file *log = NULL;
	int64_t frames;

	/* With the write lock, so that no other program is about to append. */
	if (!db || !store->frame_bytes ||
	    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return;
	frames = committed_frames(db);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (frames >= 0 && log && log->pMethods)
		log->pMethods->xTruncate(log, WAL_HEADER_BYTES + frames * store->frame_bytes);
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

static int note_commit(void *context, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_store *store = context;

	(void)db;
	(void)name;
	/* The log begins anew when all of it has been copied and nobody reads the old part. */
	if (pages < store->wal_pages)
		store->wal_copied = 0;
	store->wal_pages = pages;
	if (WAL_HEADER_BYTES + pages * store->frame_bytes > store->wal.bytes)
		store->wal.bytes = WAL_HEADER_BYTES + pages * store->frame_bytes;
	return SQLITE_OK;
}

void sqlite_log_watch(struct sqlite_store *store)
{
	sqlite3_wal_hook(store->connection.db, note_commit, store);
}

static bool checkpoint_due(const struct sqlite_store *store)
{
	int64_t pages = store->wal_pages - store->wal_copied;
	int64_t events = store->head.event_id - store->copied_event_id;

	return pages >= CHECKPOINT_PAGES ||
	       (pages >= CHECKPOINT_PAGES_LEAST && events >= CHECKPOINT_EVENTS);
}

int sqlite_store_checkpoint(struct sqlite_store *store, bool forced)
{
	int pages = 0;
	int copied = 0;
	int code;
	int err;

	if (store->failed)
		return store->failed;
	if (!forced && !checkpoint_due(store))
		return 0;
	/* Copying pages into a database that was cut would make it look whole again. */
	err = sqlite_store_check_file(store);
	if (err)
		return err;
	code = sqlite3_wal_checkpoint_v2(store->connection.db, "main", SQLITE_CHECKPOINT_PASSIVE,
					 &pages, &copied);
	if (code == SQLITE_OK) {
		store->wal_copied = copied;
		store->copied_event_id = store->head.event_id;
		return sqlite_store_check_file(store);
	}
	err = connection_fail(&store->connection, code, "checkpoint");
	/* A full disk takes nothing from the log: the next batch tries again. */
	if (err == -ERR_STORE_BUSY || err == -ERR_STORE_FULL)
		return 0;
	return sqlite_store_failed(store, err);
}
