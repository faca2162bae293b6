/* What the tests of the store share: a store in a directory of its own, events made by hand. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/store/sqlite_private.h"
#include "orderhook/err.h"

#define ENVIRONMENT "test"
#define BASE_MS INT64_C(1748595319000) /* 2025-05-30T08:55:19Z */
#define ITEMS_MAX 64

struct fixture {
	char dir[64];
	char path[96];
	struct store *store;
	struct store_reader *reader;
	struct event events[ITEMS_MAX];
	char bodies[ITEMS_MAX][64];
	struct store_item items[ITEMS_MAX];
	struct store_item *pointers[ITEMS_MAX];
	size_t n_items;
};

/* In memory where there is such a place: nothing here is about the disk, and it has many syncs. */
static inline int setup_dir(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	if (!fixture)
		return -1;
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/test-store-XXXXXX", parent);
	if (!mkdtemp(fixture->dir)) {
		free(fixture);
		return -1;
	}
	snprintf(fixture->path, sizeof(fixture->path), "%s/orderhook.db", fixture->dir);
	*state = fixture;
	return 0;
}

static inline void open_store(struct fixture *fixture)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	int err = store_open_writer(fixture->path, ENVIRONMENT, &fixture->store, &problem);

	if (err)
		fail_msg("%s", problem.data);
}

static inline void close_store(struct fixture *fixture)
{
	store_close(fixture->store);
	fixture->store = NULL;
}

static inline void open_reader(struct fixture *fixture)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	int err = store_open_reader(fixture->path, &fixture->reader, &problem);

	if (err)
		fail_msg("%s", problem.data);
}

static inline void create_store(struct fixture *fixture)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	int err = store_create(fixture->path, ENVIRONMENT, &problem);

	if (err)
		fail_msg("%s", problem.data);
}

/* A new store, open for writing. */
static inline int setup_store(void **state)
{
	if (setup_dir(state))
		return -1;
	create_store(*state);
	open_store(*state);
	return 0;
}

static inline int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_reader_close(fixture->reader);
	store_close(fixture->store);
	nftw(fixture->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

/* ------------------------------------------------------------------ events ------------- */

/* The next event of the batch: an order's, at so many seconds after BASE_MS, received a second
 * later. Its content is of what distinguishes it, as an adapter's would be. */
static inline struct event *add_event(struct fixture *fixture, const char *iss, int status,
				      int sub_status, int64_t at_s, const char *courier)
{
	size_t i = fixture->n_items++;
	struct event *event = &fixture->events[i];
	int len = snprintf(fixture->bodies[i], sizeof(fixture->bodies[i]), "%s %d/%d %lld %s", iss,
			   status, sub_status, (long long)at_s, courier);
	struct slice body = {fixture->bodies[i], (size_t)len};

	assert_true(i < ITEMS_MAX);
	memset(event, 0, sizeof(*event));
	event->status = status;
	event->sub_status = sub_status;
	event->occurred_ms = BASE_MS + at_s * 1000;
	event->received_ms = event->occurred_ms + 1000;
	snprintf(event->iss_order_no, sizeof(event->iss_order_no), "%s", iss);
	snprintf(event->order_no, sizeof(event->order_no), "no-%s", iss);
	snprintf(event->shop_id, sizeof(event->shop_id), "shop-1");
	snprintf(event->courier_id, sizeof(event->courier_id), "%s", courier);
	digest_sha256(&body, 1, event->content);
	fixture->items[i] = (struct store_item){.event = event,
						.machine = order_machine_v5(),
						.endpoint = "shansong",
						.body = body,
						.head = SLICE("POST /callback HTTP/1.1\r\n"),
						.remote = "192.0.2.7"};
	fixture->pointers[i] = &fixture->items[i];
	return event;
}

/* Writes what was added; the results stay in items. */
static inline int write_added(struct fixture *fixture)
{
	size_t n = fixture->n_items;

	fixture->n_items = 0;
	return fixture->store->ops->write_batch(fixture->store, fixture->pointers, n);
}

/* Writes one event in a batch of its own; its verdict. */
static inline enum verdict write_one(struct fixture *fixture)
{
	assert_int_equal(write_added(fixture), 0);
	assert_int_equal(fixture->items[0].result.err, 0);
	return fixture->items[0].result.verdict;
}

static inline enum verdict take(struct fixture *fixture, const char *iss, int status,
				int sub_status, int64_t at_s, const char *courier)
{
	add_event(fixture, iss, status, sub_status, at_s, courier);
	return write_one(fixture);
}

static inline int setup_written(void **state)
{
	if (setup_store(state))
		return -1;
	take(*state, "A", 20, 1, 0, "");
	return 0;
}

/* ------------------------------------------------------------------ files -------------- */

/* A file that lies beside the store; until the next call. */
static inline const char *beside(const struct fixture *f, const char *suffix)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s%s", f->path, suffix);
	return path;
}

static inline void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static inline struct buf read_file(const char *path)
{
	struct buf bytes = BUF_INIT(16 * 1024 * 1024);
	char chunk[4096];
	FILE *file = fopen(path, "rb");
	size_t n;

	assert_non_null(file);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		assert_int_equal(buf_add(&bytes, chunk, n), 0);
	fclose(file);
	return bytes;
}

static inline void forget_log(struct fixture *f)
{
	unlink(beside(f, "-wal"));
	unlink(beside(f, "-shm"));
}

/* ------------------------------------------------------------------ SQL ---------------- */

static inline sqlite3 *open_sql(const struct fixture *fixture, int flags)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open_v2(fixture->path, &db, flags, NULL), SQLITE_OK);
	return db;
}

/* The rows of a query through a connection of its own: columns joined by '|', rows by '\n'. */
static inline const char *sql(const struct fixture *fixture, const char *query)
{
	static char text[16384];
	sqlite3 *db = open_sql(fixture, SQLITE_OPEN_READONLY);
	sqlite3_stmt *statement = NULL;
	size_t len = 0;
	int rc = sqlite3_prepare_v2(db, query, -1, &statement, NULL);

	if (rc != SQLITE_OK)
		fail_msg("%s: %s", query, sqlite3_errmsg(db));
	text[0] = '\0';
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			const char *value = (const char *)sqlite3_column_text(statement, i);
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						i     ? "|"
						: len ? "\n"
						      : "",
						value ? value : "NULL");
			assert_true(len < sizeof(text));
		}
	}
	if (rc != SQLITE_DONE)
		fail_msg("%s: %s", query, sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return text;
}

/* The store's own connection: to limit it, or to ask what it does. */
static inline sqlite3 *store_test_connection(struct store *store)
{
	return ((struct sqlite_store *)store)->connection.db;
}

/* Changes the file behind the store's back. */
static inline void sql_write(const struct fixture *fixture, const char *statements)
{
	sqlite3 *db = open_sql(fixture, SQLITE_OPEN_READWRITE);

	if (sqlite3_exec(db, statements, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", statements, sqlite3_errmsg(db));
	sqlite3_close(db);
}
