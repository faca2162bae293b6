/* What is written to the log in many small pieces reaches the system's VFS in few large ones, and
 * neither order nor errors nor anybody else's view of the log changes. */
#include "store_fixture.h"

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *system;
	sqlite3_io_methods methods;
	const sqlite3_io_methods *real;
	int writes;
	int syncs;
	int fail_write; /* the code that the next write fails with */
	int fail_again; /* and so many after it */
	int fail_sync;  /* the code that syncs fail with */
} spy;

static int spy_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	int code = spy.fail_write;

	spy.writes++;
	if (spy.fail_again > 0)
		spy.fail_again--;
	else
		spy.fail_write = 0;
	return code ? code : spy.real->xWrite(file, bytes, len, at);
}

static int spy_sync(sqlite3_file *file, int flags)
{
	spy.syncs++;
	return spy.fail_sync ? spy.fail_sync : spy.real->xSync(file, flags);
}

static int spy_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
	int code = spy.system->xOpen(spy.system, name, file, flags, ret);

	(void)vfs;
	if (code == SQLITE_OK && flags & SQLITE_OPEN_WAL) {
		spy.real = file->pMethods;
		spy.methods = *spy.real;
		spy.methods.xWrite = spy_write;
		spy.methods.xSync = spy_sync;
		file->pMethods = &spy.methods;
	}
	return code;
}

/* The spy is the default VFS while the store is opened: so it stands behind the gathering one. */
static int setup(void **state)
{
	if (setup_dir(state))
		return -1;
	create_store(*state);
	memset(&spy, 0, sizeof(spy));
	spy.system = sqlite3_vfs_find(NULL);
	spy.vfs = *spy.system;
	spy.vfs.zName = "spy";
	spy.vfs.xOpen = spy_open;
	sqlite3_vfs_register(&spy.vfs, 1);
	open_store(*state);
	return 0;
}

static int end(void **state)
{
	int failed = teardown(state);

	sqlite3_vfs_unregister(&spy.vfs);
	return failed;
}

static void exec(struct fixture *f, const char *statements)
{
	sqlite3 *db = store_test_connection(f->store);

	if (sqlite3_exec(db, statements, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", statements, sqlite3_errmsg(db));
}

static sqlite3_file *log_of(struct fixture *f)
{
	sqlite3_file *file = NULL;

	sqlite3_file_control(store_test_connection(f->store), "main", SQLITE_FCNTL_JOURNAL_POINTER,
			     &file);
	assert_non_null(file);
	return file;
}

static void test_batch_reaches_the_log_in_one_write_and_one_sync(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	for (int i = 0; i < 20; i++)
		add_event(f, i % 2 ? "A" : "B", 30, 1, i, "");
	spy.writes = spy.syncs = 0;
	assert_int_equal(write_added(f), 0);
	assert_int_equal(spy.writes, 1);
	assert_int_equal(spy.syncs, 1);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "21");
}

static void test_large_batch_takes_a_write_for_every_hundred_kilobytes(void **state)
{
	struct fixture *f = *state;
	static char body[50000];

	take(f, "A", 20, 1, 0, "");
	for (int i = 0; i < 20; i++) {
		add_event(f, "B", 30, 1, i, "");
		memset(body, 'a' + i, sizeof(body));
		f->items[i].body = (struct slice){body, sizeof(body)};
	}
	spy.writes = 0;
	assert_int_equal(write_added(f), 0);
	assert_in_range(spy.writes, 8, 12);
	assert_string_equal(sql(f, "SELECT count(*), sum(length(body)) / 50000 FROM order_log"),
			    "21|20");
	assert_string_equal(sql(f, "PRAGMA integrity_check"), "ok");
}

/* Pages that do not fit the cache go to the log in the middle of the transaction. */
static void test_spilled_pages_are_read_back_and_rolled_back(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	exec(f, "PRAGMA cache_size = 5; PRAGMA cache_spill = 5; BEGIN;"
		"WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
		"INSERT INTO endpoint (name) SELECT printf('%0500d', i) FROM n;"
		"UPDATE endpoint SET name = name || 'x' WHERE endpoint_id > 1");
	exec(f, "ROLLBACK");
	assert_string_equal(sql(f, "SELECT count(*) FROM endpoint"), "1");
	exec(f, "BEGIN;"
		"WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
		"INSERT INTO endpoint (name) SELECT printf('%0500d', i) FROM n;"
		"UPDATE endpoint SET name = name || 'x' WHERE endpoint_id > 1; COMMIT");
	assert_string_equal(sql(f, "SELECT count(*) FROM endpoint WHERE name LIKE '%x'"), "300");
	assert_string_equal(sql(f, "PRAGMA integrity_check"), "ok");
}

static void test_failed_write_fails_the_batch_and_the_next_one_passes(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 30, 1, 1, "c");
	spy.fail_write = SQLITE_FULL;
	spy.syncs = 0;
	assert_int_equal(write_added(f), -ERR_STORE_FULL);
	assert_int_equal(f->items[0].result.err, -ERR_STORE_FULL);
	assert_int_equal(spy.syncs, 0);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "1");
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_APPLIED);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "2");
	close_store(f);
	open_store(f);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "2");
}

static void test_checkpoint_copies_what_was_gathered(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	take(f, "A", 30, 1, 1, "c");
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	close_store(f);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "2");
}

static void test_log_is_synced_once_for_a_commit_and_its_checkpoint(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	spy.syncs = 0;
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	assert_int_equal(spy.syncs, 0);
	take(f, "A", 30, 1, 1, "c");
	assert_in_range(spy.syncs, 1, 2); /* the second is of the new log's header */
}

/* Nobody knows what a process that was killed had synced. */
static void test_first_checkpoint_after_an_open_syncs_the_log(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	((struct sqlite_store *)f->store)->failed = -ERR_STORE_IO; /* so that the log stays */
	close_store(f);
	open_store(f);
	spy.syncs = 0;
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	assert_int_equal(spy.syncs, 1);
}

/* Each asks the log itself, as SQLite does. */
static void test_everything_but_a_write_hands_over_first(void **state)
{
	struct fixture *f = *state;
	sqlite3_file *log = log_of(f);
	sqlite3_int64 size = 0;
	char back[4] = "";

	spy.writes = 0;
	assert_int_equal(log->pMethods->xWrite(log, "ab", 2, 1000), SQLITE_OK);
	assert_int_equal(log->pMethods->xWrite(log, "cd", 2, 1002), SQLITE_OK);
	assert_int_equal(spy.writes, 0);
	assert_int_equal(log->pMethods->xRead(log, back, 4, 1000), SQLITE_OK);
	assert_memory_equal(back, "abcd", 4);
	assert_int_equal(spy.writes, 1);
	assert_int_equal(log->pMethods->xWrite(log, "ef", 2, 1004), SQLITE_OK);
	assert_int_equal(log->pMethods->xFileSize(log, &size), SQLITE_OK);
	assert_int_equal(size, 1006);
	assert_int_equal(log->pMethods->xWrite(log, "gh", 2, 1006), SQLITE_OK);
	assert_int_equal(log->pMethods->xTruncate(log, 1007), SQLITE_OK);
	assert_int_equal(log->pMethods->xFileSize(log, &size), SQLITE_OK);
	assert_int_equal(size, 1007);
	assert_int_equal(spy.writes, 3);
	/* Another place: the first piece goes. */
	assert_int_equal(log->pMethods->xWrite(log, "ij", 2, 0), SQLITE_OK);
	assert_int_equal(log->pMethods->xWrite(log, "kl", 2, 500), SQLITE_OK);
	assert_int_equal(spy.writes, 4);
	log->pMethods->xTruncate(log, 0);
}

/* A frame of the same transaction is written again in its place, before what was lost and behind
 * what was handed over: that makes up for nothing. */
static void test_nothing_is_synced_after_lost_bytes_before_the_rollback(void **state)
{
	struct fixture *f = *state;
	sqlite3_file *log = log_of(f);
	char back[2];

	log->pMethods->xWrite(log, "abcd", 4, 1000);
	assert_int_equal(log->pMethods->xRead(log, back, 2, 1000), SQLITE_OK);
	log->pMethods->xWrite(log, "ef", 2, 1004);
	spy.fail_write = SQLITE_FULL;
	assert_int_equal(log->pMethods->xRead(log, back, 2, 1000), SQLITE_FULL);
	spy.syncs = spy.writes = 0;
	assert_int_equal(log->pMethods->xWrite(log, "AB", 2, 1000), SQLITE_FULL);
	assert_int_equal(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL), SQLITE_FULL);
	assert_int_equal(log->pMethods->xWrite(log, "gh", 2, 1006), SQLITE_FULL);
	assert_int_equal(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL), SQLITE_FULL);
	assert_int_equal(spy.syncs, 0);
	assert_int_equal(spy.writes, 0);
	exec(f, "BEGIN IMMEDIATE; ROLLBACK");
	assert_int_equal(log->pMethods->xWrite(log, "AB", 2, 1000), SQLITE_OK);
	assert_int_equal(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_equal(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_equal(spy.syncs, 1);
	log->pMethods->xTruncate(log, 0);
}

static void test_what_was_gathered_is_dropped_at_the_rollback(void **state)
{
	struct fixture *f = *state;
	sqlite3_file *log = log_of(f);

	spy.writes = 0;
	exec(f, "BEGIN IMMEDIATE");
	assert_int_equal(log->pMethods->xWrite(log, "ab", 2, 1000), SQLITE_OK);
	exec(f, "ROLLBACK");
	take(f, "A", 20, 1, 0, "");
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "1");
	assert_in_range(spy.writes, 1, 2); /* the second is of the new log's header */
}

/* A statement without a transaction of its own is rolled back by SQLite. */
static void test_a_failed_write_outside_of_a_batch_passes_as_well(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	spy.fail_write = SQLITE_FULL;
	assert_int_equal(f->store->ops->touch(f->store), -ERR_STORE_FULL);
	assert_int_equal(f->store->ops->touch(f->store), 0);
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_APPLIED);
}

static void hold_one(struct fixture *f)
{
	static const struct store_hold junk = {.endpoint = "shansong",
					       .reason = "json-syntax",
					       .remote = "192.0.2.8",
					       .body = SLICE("{")};

	f->store->ops->hold(f->store, &junk, 1);
}

static struct store_held_stats held_of(struct fixture *f)
{
	struct store_held_stats stats;

	store_held_stats(f->store, &stats);
	return stats;
}

static void test_events_are_written_without_the_refused_for_which_there_is_no_room(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 30, 1, 1, "c");
	add_event(f, "B", 20, 1, 1, "");
	hold_one(f);
	spy.fail_write = SQLITE_FULL;
	spy.syncs = 0;
	assert_int_equal(write_added(f), 0);
	assert_int_equal(f->items[0].result.err, 0);
	assert_int_equal(f->items[0].result.verdict, VERDICT_APPLIED);
	assert_int_equal(f->items[1].result.err, 0);
	assert_int_equal(spy.syncs, 1);
	assert_int_equal(held_of(f).held, 0);
	assert_int_equal(held_of(f).failed, 1);
	close_store(f);
	open_store(f);
	assert_string_equal(sql(f, "SELECT (SELECT count(*) FROM order_log), count(*) FROM held"),
			    "3|0");
	hold_one(f);
	assert_int_equal(write_added(f), 0);
	assert_int_equal(held_of(f).held, 1);
}

/* Who hands them in counts those of a batch that failed. */
static void test_batch_that_has_no_room_without_the_refused_is_refused(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 30, 1, 1, "c");
	hold_one(f);
	spy.fail_write = SQLITE_FULL;
	spy.fail_again = 1;
	spy.writes = spy.syncs = 0;
	assert_int_equal(write_added(f), -ERR_STORE_FULL);
	assert_int_equal(f->items[0].result.err, -ERR_STORE_FULL);
	assert_int_equal(spy.writes, 2);
	assert_int_equal(spy.syncs, 0);
	assert_int_equal(held_of(f).held, 0);
	assert_int_equal(held_of(f).failed, 0);
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_APPLIED);
}

static void test_batch_whose_sync_failed_is_not_tried_without_the_refused(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 30, 1, 1, "c");
	hold_one(f);
	spy.fail_sync = SQLITE_IOERR_FSYNC;
	spy.writes = spy.syncs = 0;
	assert_int_equal(write_added(f), -ERR_STORE_IO);
	assert_int_equal(f->items[0].result.err, -ERR_STORE_IO);
	assert_int_equal(spy.writes, 1);
	assert_int_equal(spy.syncs, 1);
	spy.fail_sync = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_batch_reaches_the_log_in_one_write_and_one_sync),
		TEST(test_large_batch_takes_a_write_for_every_hundred_kilobytes),
		TEST(test_spilled_pages_are_read_back_and_rolled_back),
		TEST(test_failed_write_fails_the_batch_and_the_next_one_passes),
		TEST(test_checkpoint_copies_what_was_gathered),
		TEST(test_log_is_synced_once_for_a_commit_and_its_checkpoint),
		TEST(test_first_checkpoint_after_an_open_syncs_the_log),
		TEST(test_everything_but_a_write_hands_over_first),
		TEST(test_nothing_is_synced_after_lost_bytes_before_the_rollback),
		TEST(test_what_was_gathered_is_dropped_at_the_rollback),
		TEST(test_a_failed_write_outside_of_a_batch_passes_as_well),
		TEST(test_events_are_written_without_the_refused_for_which_there_is_no_room),
		TEST(test_batch_that_has_no_room_without_the_refused_is_refused),
		TEST(test_batch_whose_sync_failed_is_not_tried_without_the_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
