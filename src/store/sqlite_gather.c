/*
 * SQLite writes each frame of the log with two calls, 24 bytes and a page. This VFS stands in
 * front of the system's and keeps what is written to the log one after the other, and hands it over
 * in one write when anything else happens to the log: a sync above all, but also a read, a question
 * for its size, a truncation, a write at another place.
 *
 * Nobody can tell the difference. Other processes find frames by the shared index, which SQLite
 * writes after the sync of a commit; this connection's own reads hand over first. A write that
 * fails is told by whatever made it happen, so by the sync at the latest, and a transaction is as
 * little committed as if the write itself had said so: SQLite may go on after a read that failed,
 * so until the transaction is rolled back no write and no sync succeeds. What is still gathered at
 * a rollback is of no commit, and is dropped.
 *
 * A sync of a log that this connection has not written since the last one is not made. That takes
 * for granted that nobody else writes the store, or that who does syncs it.
 *
 * Only the log passes through here; every other file is the system's own. A VFS belongs to one
 * store, so that it stands in front of whichever was the default one when the store was opened.
 */
#include "sqlite_gather.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The system's VFS writes at most 0x1ffff bytes at once, and takes only the lower bits of more. */
#define GATHER_BYTES (124 * 1024)

struct gather_file {
	sqlite3_file file;       /* first: SQLite's view of it */
	sqlite3_file *real;      /* owned */
	struct gather_vfs *home; /* where it is the open log */
	sqlite3_int64 at;        /* where the gathered bytes belong */
	int unsynced; /* something was written since the last sync, by this process or an earlier
			 one */
	int lost;     /* the code of the write of this transaction that failed, 0: none did */
	int len;
	unsigned char *bytes; /* owned, GATHER_BYTES */
};

static struct gather_file *gather_of(sqlite3_file *file)
{
	return (struct gather_file *)file;
}

/* ------------------------------------------------------------------ the log ------------ */

static int hand_over(struct gather_file *file)
{
	int len = file->len;
	int code;

	if (!len)
		return SQLITE_OK;
	file->len = 0;
	file->unsynced = 1;
	code = file->real->pMethods->xWrite(file->real, file->bytes, len, file->at);
	if (code != SQLITE_OK)
		file->lost = code;
	return code;
}

static int gather_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 at)
{
	struct gather_file *file = gather_of(base);
	int code = file->lost;

	assert(len <= GATHER_BYTES); /* SQLite writes at most a page at once */
	if (code == SQLITE_OK && (at != file->at + file->len || len > GATHER_BYTES - file->len))
		code = hand_over(file);
	if (code != SQLITE_OK)
		return code;
	if (!file->len)
		file->at = at;
	memcpy(file->bytes + file->len, bytes, (size_t)len);
	file->len += len;
	return SQLITE_OK;
}

static int gather_sync(sqlite3_file *base, int flags)
{
	struct gather_file *file = gather_of(base);
	int code = hand_over(file);

	if (code == SQLITE_OK)
		code = file->lost;
	/* A checkpoint begins with a sync of the log, which each commit has synced already. */
	if (code != SQLITE_OK || !file->unsynced)
		return code;
	code = file->real->pMethods->xSync(file->real, flags);
	file->unsynced = code != SQLITE_OK;
	return code;
}

static int gather_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 at)
{
	struct gather_file *file = gather_of(base);
	int code = hand_over(file);

	return code == SQLITE_OK ? file->real->pMethods->xRead(file->real, bytes, len, at) : code;
}

static int gather_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct gather_file *file = gather_of(base);
	int code = SQLITE_OK;

	/* What would be cut off again need not be written, and may not be writable. */
	if (file->at >= size)
		file->len = 0;
	else
		code = hand_over(file);
	file->unsynced = 1;
	return code == SQLITE_OK ? file->real->pMethods->xTruncate(file->real, size) : code;
}

static int gather_size(sqlite3_file *base, sqlite3_int64 *ret)
{
	struct gather_file *file = gather_of(base);
	int code = hand_over(file);

	return code == SQLITE_OK ? file->real->pMethods->xFileSize(file->real, ret) : code;
}

static void release(struct gather_file *file)
{
	sqlite3_free(file->bytes);
	sqlite3_free(file->real);
}

/* What is left is of no commit: each one was synced. */
static int gather_close(sqlite3_file *base)
{
	struct gather_file *file = gather_of(base);
	int code = file->real->pMethods->xClose(file->real);

	file->home->log = NULL;
	release(file);
	return code;
}

/* Locks are taken on the database; nothing asks a log for one. */
static int gather_lock(sqlite3_file *base, int level)
{
	(void)base;
	(void)level;
	return SQLITE_OK;
}

static int gather_reserved(sqlite3_file *base, int *ret)
{
	(void)base;
	*ret = 0;
	return SQLITE_OK;
}

static int gather_control(sqlite3_file *base, int op, void *argument)
{
	sqlite3_file *real = gather_of(base)->real;

	return real->pMethods->xFileControl(real, op, argument);
}

static int gather_sector(sqlite3_file *base)
{
	sqlite3_file *real = gather_of(base)->real;

	return real->pMethods->xSectorSize(real);
}

static int gather_characteristics(sqlite3_file *base)
{
	sqlite3_file *real = gather_of(base)->real;

	return real->pMethods->xDeviceCharacteristics(real);
}

static const sqlite3_io_methods gather_methods = {
	.iVersion = 1,
	.xClose = gather_close,
	.xRead = gather_read,
	.xWrite = gather_write,
	.xTruncate = gather_truncate,
	.xSync = gather_sync,
	.xFileSize = gather_size,
	.xLock = gather_lock,
	.xUnlock = gather_lock,
	.xCheckReservedLock = gather_reserved,
	.xFileControl = gather_control,
	.xSectorSize = gather_sector,
	.xDeviceCharacteristics = gather_characteristics,
};

/* ------------------------------------------------------------------ the VFS ------------ */

static sqlite3_vfs *system_of(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static int open_log(struct gather_vfs *gather, const char *name, struct gather_file *file,
		    int flags, int *ret_flags)
{
	sqlite3_vfs *system = system_of(&gather->vfs);
	int code = SQLITE_NOMEM;

	memset(file, 0, sizeof(*file));
	file->home = gather;
	file->unsynced = 1;
	file->bytes = sqlite3_malloc(GATHER_BYTES);
	file->real = sqlite3_malloc(system->szOsFile);
	if (file->bytes && file->real) {
		memset(file->real, 0, (size_t)system->szOsFile);
		code = system->xOpen(system, name, file->real, flags, ret_flags);
	}
	if (code == SQLITE_OK) {
		file->file.pMethods = &gather_methods;
		gather->log = file;
		return SQLITE_OK;
	}
	if (file->real && file->real->pMethods)
		file->real->pMethods->xClose(file->real);
	release(file);
	return code;
}

static int gather_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		       int *ret_flags)
{
	sqlite3_vfs *system = system_of(vfs);

	if (flags & SQLITE_OPEN_WAL)
		return open_log((struct gather_vfs *)vfs, name, gather_of(file), flags, ret_flags);
	return system->xOpen(system, name, file, flags, ret_flags);
}

static int gather_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
	return system_of(vfs)->xDelete(system_of(vfs), name, sync_directory);
}

static int gather_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	return system_of(vfs)->xAccess(system_of(vfs), name, flags, ret);
}

static int gather_full_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
	return system_of(vfs)->xFullPathname(system_of(vfs), name, cap, out);
}

static int gather_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	return system_of(vfs)->xRandomness(system_of(vfs), len, out);
}

static int gather_sleep(sqlite3_vfs *vfs, int us)
{
	return system_of(vfs)->xSleep(system_of(vfs), us);
}

static int gather_time(sqlite3_vfs *vfs, double *ret)
{
	return system_of(vfs)->xCurrentTime(system_of(vfs), ret);
}

static int gather_last_error(sqlite3_vfs *vfs, int cap, char *out)
{
	return system_of(vfs)->xGetLastError(system_of(vfs), cap, out);
}

int gather_vfs_register(struct gather_vfs *gather)
{
	sqlite3_vfs *system = sqlite3_vfs_find(NULL);
	int bytes = (int)sizeof(struct gather_file);

	if (!system)
		return SQLITE_ERROR;
	snprintf(gather->name, sizeof(gather->name), "orderhook-%p", (void *)gather);
	gather->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = bytes > system->szOsFile ? bytes : system->szOsFile,
		.mxPathname = system->mxPathname,
		.zName = gather->name,
		.pAppData = system,
		.xOpen = gather_open,
		.xDelete = gather_delete,
		.xAccess = gather_access,
		.xFullPathname = gather_full_path,
		.xRandomness = gather_randomness,
		.xSleep = gather_sleep,
		.xCurrentTime = gather_time,
		.xGetLastError = gather_last_error,
	};
	return sqlite3_vfs_register(&gather->vfs, 0);
}

void gather_vfs_rolled_back(struct gather_vfs *gather)
{
	if (!gather->log)
		return;
	gather->log->len = 0;
	gather->log->lost = SQLITE_OK;
}

void gather_vfs_unregister(struct gather_vfs *gather)
{
	if (gather->name[0])
		sqlite3_vfs_unregister(&gather->vfs);
	gather->name[0] = '\0';
}
