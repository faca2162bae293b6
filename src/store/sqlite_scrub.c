/*
 * Where deleted data is left although SQLite clears what it deletes (secure_delete): in the log,
 * until it is used again from its beginning; and between the rows of a page, where SQLite leaves
 * copies of rows that it moved when it balanced pages, which nothing deletes afterwards.
 *
 * The log is copied and emptied. Then every page of a table or an index has the gap between its
 * cell pointers and its cells cleared. Nothing reads a gap, so this may be done in the file, under
 * readers and without a transaction, and a crash leaves some gaps as they were. It goes through
 * SQLite's own file, because opening the database another way would drop its locks; and the pages
 * in memory are dropped afterwards, or they would be written with their old gaps one day.
 *
 * A page is known by its first byte. Pages that are not of a tree (rest of a long row, free) begin
 * with the number of another page, whose first byte is none of those four below 2^25 pages.
 *
 * https://www.sqlite.org/fileformat2.html, "B-tree Pages".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_care.h"

#define FILE_HEADER_BYTES 100
#define PAGES_MAX ((int64_t)1 << 25)
#define PAGES_AT_ONCE 64

enum page_kind {
	INDEX_INTERIOR = 2,
	TABLE_INTERIOR = 5,
	INDEX_LEAF = 10,
	TABLE_LEAF = 13
};

struct gap {
	size_t from;
	size_t to;
};

static size_t number_at(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* False when the page is of no tree, or has none. */
static bool find_gap(const uint8_t *page, size_t page_bytes, bool first, struct gap *ret)
{
	size_t header = first ? FILE_HEADER_BYTES : 0;
	const uint8_t *at = page + header;
	bool interior = at[0] == INDEX_INTERIOR || at[0] == TABLE_INTERIOR;
	size_t cells;

	if (!interior && at[0] != INDEX_LEAF && at[0] != TABLE_LEAF)
		return false;
	cells = number_at(at + 5);
	ret->from = header + (interior ? 12 : 8) + 2 * number_at(at + 3);
	ret->to = cells ? cells : 65536;
	return ret->from < ret->to && ret->to <= page_bytes;
}

static bool is_clear(const uint8_t *bytes, size_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

static int clear_page(sqlite3_file *file, int64_t offset, uint8_t *page, size_t page_bytes)
{
	struct gap gap;

	if (!find_gap(page, page_bytes, offset == 0, &gap) ||
	    is_clear(page + gap.from, gap.to - gap.from))
		return SQLITE_OK;
	memset(page + gap.from, 0, gap.to - gap.from);
	return file->pMethods->xWrite(file, page + gap.from, (int)(gap.to - gap.from),
				      offset + (int64_t)gap.from);
}

static int clear_gaps(struct store *store, sqlite3_file *file, uint8_t *pages, size_t page_bytes,
		      int64_t bytes)
{
	int64_t step = (int64_t)page_bytes * PAGES_AT_ONCE;
	int code = SQLITE_OK;

	for (int64_t at = 0; at < bytes && code == SQLITE_OK; at += step) {
		int64_t n = bytes - at < step ? bytes - at : step;
		code = file->pMethods->xRead(file, pages, (int)n, at);
		for (int64_t i = 0; i < n && code == SQLITE_OK; i += (int64_t)page_bytes)
			code = clear_page(file, at + i, pages + i, page_bytes);
		if (store->at_work)
			store->at_work(store->at_work_context);
	}
	return code == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : code;
}

static int scrub_database(struct sqlite_store *store, sqlite3_file *file, size_t page_bytes)
{
	sqlite3_int64 bytes = 0;
	uint8_t *pages;
	int code = file->pMethods->xFileSize(file, &bytes);

	if (code != SQLITE_OK)
		return connection_fail(&store->connection, code, "scrub");
	bytes -= bytes % (int64_t)page_bytes;
	if (bytes / (int64_t)page_bytes >= PAGES_MAX) {
		snprintf(store->connection.problem, STORE_PROBLEM_BYTES,
			 "a database of more than %lld pages cannot be cleared",
			 (long long)PAGES_MAX);
		return -ERR_TRACES;
	}
	pages = malloc(page_bytes * PAGES_AT_ONCE);
	if (!pages)
		return -ERR_NOMEM;
	code = clear_gaps(&store->store, file, pages, page_bytes, bytes);
	free(pages);
	sqlite3_db_release_memory(store->connection.db);
	return code == SQLITE_OK ? 0 : connection_fail(&store->connection, code, "scrub");
}

static int empty_log(struct sqlite_store *store)
{
	BUF_AUTO struct buf readers = BUF_INIT(STORE_PROBLEM_BYTES / 2);
	int code = sqlite3_wal_checkpoint_v2(store->connection.db, "main",
					     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	int err = code == SQLITE_OK ? 0 : connection_fail(&store->connection, code, "checkpoint");

	if (err == -ERR_STORE_BUSY) {
		sqlite_store_log_readers(&store->store, &readers);
		snprintf(store->connection.problem, STORE_PROBLEM_BYTES,
			 "%s still has them, because somebody reads an old state of the store: %s",
			 store->wal_path,
			 readers.len ? readers.data
				     : "`orderhook attention --wal-over 0` names them");
		return -ERR_TRACES;
	}
	if (!err) {
		/* It is shorter than it was, and by our own hand. */
		store->wal.bytes = 0;
		store->wal_pages = 0;
		store->wal_copied = 0;
	}
	return err;
}

int sqlite_store_scrub(struct sqlite_store *store)
{
	sqlite3_file *file = NULL;
	size_t page_bytes = (size_t)store->frame_bytes - STORE_FRAME_HEADER_BYTES;
	int err = sqlite_store_check_file(store);

	if (!err)
		err = empty_log(store);
	if (err)
		return err;
	sqlite3_file_control(store->connection.db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (!file || !file->pMethods)
		return -ERR_INTERNAL;
	return scrub_database(store, file, page_bytes);
}
