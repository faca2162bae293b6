/* What a power loss, a failed sync and an interrupted init leave, one by one; tests/fault/power.c
 * looks for what nobody has thought of. */
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define HEAD_SLOT 512

static void read_bytes(const char *path, off_t at, void *bytes, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, bytes, len, at), len);
	close(fd);
}

static void write_bytes(const char *path, off_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

static off_t length_of(const char *path)
{
	struct stat status = {.st_size = -1};

	assert_int_equal(stat(path, &status), 0);
	return status.st_size;
}

static void expect_refusal(struct fixture *f, int err, const char *words)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);

	assert_int_equal(store_open_writer(f->path, ENVIRONMENT, &f->store, &problem), err);
	if (!strstr(problem.data, words))
		fail_msg("%s", problem.data);
}

/* Leaves the files as they are while they are open. */
static void copy_away(struct fixture *f)
{
	static const char *const suffixes[] = {"", "-wal", ".head"};
	static char bytes[1024 * 1024];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char to[160];
		size_t len = (size_t)length_of(beside(f, suffixes[i]));
		assert_in_range(len, 1, sizeof(bytes));
		read_bytes(beside(f, suffixes[i]), 0, bytes, len);
		snprintf(to, sizeof(to), "%s/copy.db%s", f->dir, suffixes[i]);
		write_bytes(to, 0, bytes, len);
	}
	close_store(f);
	snprintf(f->path, sizeof(f->path), "%s/copy.db", f->dir);
}

static void test_first_page_that_a_checkpoint_left_torn_is_read_from_the_log(void **state)
{
	struct fixture *f = *state;
	static const char torn[512] = "no page";

	take(f, "P1", 20, 1, 0, "");
	/* Another endpoint: the schema's counters on page 1 are in the log as well. */
	sqlite3_exec(store_test_connection(f->store), "PRAGMA user_version = 1", NULL, NULL, NULL);
	copy_away(f);
	write_bytes(f->path, 0, torn, sizeof(torn));
	open_store(f);
	assert_string_equal(sql(f, "SELECT iss_order_no FROM order_log"), "P1");
	open_reader(f);
}

static void test_init_that_was_interrupted_is_refused_as_it_is(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	char journal[128];

	close_store(f);
	snprintf(journal, sizeof(journal), "%s", beside(f, "-journal"));
	write_bytes(journal, 0, "journal", 7);
	expect_refusal(f, -ERR_STORE_FOREIGN, "`orderhook init` was interrupted");
	assert_int_equal(store_open_reader(f->path, &f->reader, &problem), -ERR_STORE_FOREIGN);
	assert_int_equal(length_of(journal), 7);
	unlink(journal);
	open_store(f);
}

static void test_head_that_was_synced_stays_until_the_next_sync(void **state)
{
	struct fixture *f = *state;
	char before[HEAD_SLOT];
	char now[HEAD_SLOT];
	struct store_head head;
	off_t slot;

	take(f, "P1", 20, 1, 0, "");
	assert_int_equal(store_sync_head(f->store), 0);
	slot = (off_t)(!((struct sqlite_store *)f->store)->head_file.slot) * HEAD_SLOT;
	read_bytes(beside(f, ".head"), slot, before, sizeof(before));
	for (int i = 0; i < 3; i++) {
		take(f, "P1", 30, 1, 10 + i, "c");
		read_bytes(beside(f, ".head"), slot, now, sizeof(now));
		assert_memory_equal(now, before, sizeof(now));
	}
	assert_int_equal(store_head_read(f->path, &head), 0);
	assert_int_equal(head.event_id, 4);
	assert_int_equal(store_sync_head(f->store), 0);
	take(f, "P1", 40, 1, 20, "c");
	read_bytes(beside(f, ".head"), slot, now, sizeof(now));
	assert_memory_not_equal(now, before, sizeof(now));
}

static void test_head_whose_sync_failed_is_not_taken_for_a_synced_one(void **state)
{
	struct fixture *f = *state;
	struct store_head_file *file = &((struct sqlite_store *)f->store)->head_file;
	struct store_head head;

	take(f, "P1", 20, 1, 0, "");
	assert_int_equal(store_sync_head(f->store), 0);
	take(f, "P1", 30, 1, 10, "c");
	assert_int_equal(store_head_read(f->path, &head), 0);
	assert_int_equal(head.event_id, 2);
	file->errno_of_write = EIO;
	assert_int_equal(store_sync_head(f->store), -ERR_STORE_IO);
	assert_int_equal(store_head_read(f->path, &head), 0);
	assert_int_equal(head.event_id, 1);
}

static void test_head_that_cannot_be_read_is_not_made_anew(void **state)
{
	struct fixture *f = *state;
	char head[128];
	char away[160];

	take(f, "P1", 20, 1, 0, "");
	close_store(f);
	snprintf(head, sizeof(head), "%s", beside(f, ".head"));
	snprintf(away, sizeof(away), "%s.away", head);
	assert_int_equal(rename(head, away), 0);
	/* Whoever runs this, root as well, cannot read a directory or follow a link here. */
	assert_int_equal(symlink(away, head), 0);
	expect_refusal(f, -ERR_STORE_IO, ".head cannot be read");
	assert_int_equal(unlink(head), 0);
	assert_int_equal(rename(away, head), 0);
	open_store(f);
}

/* ------------------------------------------------------------------ a failed sync ------ */

/* SQLite's own VFS with one log whose next sync fails. */
static sqlite3_io_methods failing_methods;
static const sqlite3_io_methods *sound_methods;
static int syncs_until_failure; /* 0: none fails */

static int sync_or_fail(sqlite3_file *file, int flags)
{
	int code = sound_methods->xSync(file, flags);

	if (syncs_until_failure && --syncs_until_failure == 0)
		return SQLITE_IOERR_FSYNC;
	return code;
}

static void fail_sync_of_the_log(struct fixture *f, int which)
{
	sqlite3_file *log = NULL;

	sqlite3_file_control(store_test_connection(f->store), "main", SQLITE_FCNTL_JOURNAL_POINTER,
			     &log);
	sound_methods = log->pMethods;
	failing_methods = *sound_methods;
	failing_methods.xSync = sync_or_fail;
	log->pMethods = &failing_methods;
	syncs_until_failure = which;
}

static void test_what_a_failed_sync_left_in_the_log_is_cut_off(void **state)
{
	struct fixture *f = *state;
	off_t committed;

	take(f, "P1", 20, 1, 0, "");
	committed = length_of(beside(f, "-wal"));
	fail_sync_of_the_log(f, 1);
	add_event(f, "P2", 20, 1, 1, "");
	assert_int_equal(write_added(f), -ERR_STORE_IO);
	assert_int_equal(f->items[0].result.err, -ERR_STORE_IO);
	assert_true(length_of(beside(f, "-wal")) <= committed);
	close_store(f);
	open_store(f);
	assert_string_equal(sql(f, "SELECT iss_order_no FROM order_log"), "P1");
	assert_int_equal(take(f, "P2", 20, 1, 1, ""), VERDICT_APPLIED);
}

static void test_what_a_failed_sync_left_in_a_log_begun_anew_is_cut_off(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++)
		take(f, "P1", 20, 1, i, "");
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	take(f, "P1", 30, 1, 30, "c");
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	/* The first one is of the new header. */
	fail_sync_of_the_log(f, 2);
	add_event(f, "P2", 20, 1, 1, "");
	assert_int_equal(write_added(f), -ERR_STORE_IO);
	close_store(f);
	open_store(f);
	assert_string_equal(sql(f, "SELECT iss_order_no FROM order_state"), "P1");
}

/* ------------------------------------------------------------------ other files -------- */

static void test_log_of_another_store_that_had_begun_anew_is_refused(void **state)
{
	struct fixture *f = *state;
	struct fixture other = {0};
	static char bytes[1024 * 1024];
	size_t len;

	snprintf(other.path, sizeof(other.path), "%s/other.db", f->dir);
	create_store(&other);
	open_store(&other);
	take(&other, "P1", 20, 1, 0, "");
	assert_int_equal(other.store->ops->checkpoint(other.store), 0);
	take(&other, "P1", 30, 1, 10, "c");
	len = (size_t)length_of(beside(&other, "-wal"));
	read_bytes(beside(&other, "-wal"), 0, bytes, len);
	close_store(&other);
	take(f, "P9", 20, 1, 0, "");
	close_store(f);
	write_bytes(beside(f, "-wal"), 0, bytes, len);
	expect_refusal(f, -ERR_STORE_CORRUPT, "is the log of another store");
}

static void test_head_that_is_removed_is_made_anew_with_what_it_said(void **state)
{
	struct fixture *f = *state;
	struct store_head before;
	struct store_head now;

	take(f, "P1", 20, 1, 0, "");
	assert_int_equal(store_sync_head(f->store), 0);
	assert_int_equal(store_head_read(f->path, &before), 0);
	assert_int_equal(unlink(beside(f, ".head")), 0);
	assert_int_equal(store_sync_head(f->store), 1);
	assert_int_equal(store_head_read(f->path, &now), 0);
	assert_int_equal(now.event_id, before.event_id);
	assert_int_equal(now.since_event_id, before.since_event_id);
	assert_string_equal(now.store_id, before.store_id);
	assert_memory_equal(now.link, before.link, sizeof(now.link));
	assert_int_equal(store_sync_head(f->store), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_page_that_a_checkpoint_left_torn_is_read_from_the_log),
		TEST(test_init_that_was_interrupted_is_refused_as_it_is),
		TEST(test_head_that_was_synced_stays_until_the_next_sync),
		TEST(test_head_whose_sync_failed_is_not_taken_for_a_synced_one),
		TEST(test_head_that_cannot_be_read_is_not_made_anew),
		TEST(test_what_a_failed_sync_left_in_the_log_is_cut_off),
		TEST(test_what_a_failed_sync_left_in_a_log_begun_anew_is_cut_off),
		TEST(test_log_of_another_store_that_had_begun_anew_is_refused),
		TEST(test_head_that_is_removed_is_made_anew_with_what_it_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
