/* The store's files under the open writer: harmed, copied by others, made longer and shorter. */
#include "store_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void expect_moved(struct fixture *f, int err)
{
	assert_int_equal(f->store->ops->check_file(f->store), err);
	assert_string_not_equal(store_problem(f->store), "");
	add_event(f, "B", 20, 1, 0, "");
	assert_int_equal(write_added(f), err);
	assert_int_equal(f->items[0].result.err, err);
}

static void test_file_in_its_place_passes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->store->ops->check_file(f->store), 0);
	assert_int_equal(f->store->ops->touch(f->store), 0);
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	assert_int_equal(f->store->ops->check_file(f->store), 0);
}

static void test_renamed_file_is_noticed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rename(f->path, beside(f, ".gone")), 0);
	expect_moved(f, -ERR_STORE_MOVED);
}

static void test_replaced_file_is_noticed(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf copy = read_file(f->path);

	write_file(beside(f, ".new"), copy.data, copy.len);
	assert_int_equal(rename(beside(f, ".new"), f->path), 0);
	expect_moved(f, -ERR_STORE_MOVED);
}

static void test_removed_log_is_noticed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unlink(beside(f, "-wal")), 0);
	expect_moved(f, -ERR_STORE_MOVED);
}

static void test_cut_file_is_noticed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(truncate(f->path, 4096), 0);
	expect_moved(f, -ERR_STORE_CORRUPT);
}

static void test_cut_log_is_noticed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->store->ops->check_file(f->store), 0);
	assert_int_equal(truncate(beside(f, "-wal"), 4096), 0);
	expect_moved(f, -ERR_STORE_CORRUPT);
}

static void checkpoint_by_a_shell(struct fixture *f, const char *mode)
{
	char text[64];

	snprintf(text, sizeof(text), "PRAGMA wal_checkpoint(%s)", mode);
	sql_write(f, text);
}

static void test_checkpoints_of_a_shell_pass(void **state)
{
	static const char *const modes[] = {"PASSIVE", "RESTART", "TRUNCATE"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		checkpoint_by_a_shell(f, modes[i]);
		assert_int_equal(f->store->ops->check_file(f->store), 0);
		take(f, "A", 20, 1, (int)i + 1, "");
	}
}

/* A log begins with the row that says whose it is, whoever ended the one before. */
static void test_log_after_one_that_a_shell_cut_begins_with_the_stamp(void **state)
{
	struct fixture *f = *state;
	char logs[32];

	checkpoint_by_a_shell(f, "TRUNCATE");
	snprintf(logs, sizeof(logs), "%s", sql(f, "SELECT logs_begun + 1 FROM store"));
	take(f, "A", 20, 1, 1, "");
	assert_string_equal(sql(f, "SELECT logs_begun FROM store"), logs);
}

static void test_new_time_of_the_file_passes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(utimensat(AT_FDCWD, f->path, NULL, 0), 0);
	assert_int_equal(f->store->ops->check_file(f->store), 0);
}

/* Writes over the file that is open, which stays as long as it was. */
static void write_over(struct fixture *f, size_t offset, const void *bytes, size_t len)
{
	int fd = open(f->path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	close(fd);
}

static void test_header_written_over_is_noticed(void **state)
{
	write_over(*state, 0, "Another format 3", 16);
	expect_moved(*state, -ERR_STORE_MOVED);
}

static void test_stamp_written_over_is_noticed(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf bytes = read_file(f->path);
	const char *id = sql(f, "SELECT store_id FROM store");
	const char *at = memmem(bytes.data, bytes.len, id, strlen(id));

	assert_non_null(at);
	write_over(f, (size_t)(at - bytes.data), "0123456789abcdef", 16);
	expect_moved(f, -ERR_STORE_MOVED);
}

static void test_touch_is_a_commit(void **state)
{
	struct fixture *f = *state;
	int64_t before = store_wal_bytes(f->store);
	char logs[32];

	snprintf(logs, sizeof(logs), "%s", sql(f, "SELECT logs_begun + 1 FROM store"));
	assert_int_equal(f->store->ops->touch(f->store), 0);
	assert_true(store_wal_bytes(f->store) > before);
	assert_string_equal(sql(f, "SELECT logs_begun FROM store"), logs);
}

static void test_log_is_copied_before_it_grows_without_end(void **state)
{
	struct fixture *f = *state;
	static char body[3000];
	int64_t most = 0;

	for (int i = 0; i < 100; i++) {
		for (int j = 0; j < 50; j++) {
			char iss[32];
			snprintf(iss, sizeof(iss), "W%d-%d", i, j);
			add_event(f, iss, 20, 1, i, "");
			f->items[j].body = (struct slice){body, sizeof(body)};
		}
		assert_int_equal(write_added(f), 0);
		if (store_wal_bytes(f->store) > most)
			most = store_wal_bytes(f->store);
	}
	/* 5000 events in 15 MB; the log begins anew after a thousand pages or less. */
	assert_in_range(most, 1, 6 * 1024 * 1024);
}

static void test_clean_stop_leaves_an_empty_log_and_all_in_the_file(void **state)
{
	struct fixture *f = *state;
	struct stat status;

	close_store(f);
	assert_int_equal(stat(beside(f, "-wal"), &status), 0);
	assert_int_equal(status.st_size, 0);
	forget_log(f);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "1");
}

static void test_failed_store_leaves_its_log_alone(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf before = read_file(beside(f, "-wal"));

	sqlite_store_failed((struct sqlite_store *)f->store, -ERR_STORE_IO);
	close_store(f);
	BUF_AUTO struct buf after = read_file(beside(f, "-wal"));
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, after.len);
	open_store(f);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "1");
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_file_in_its_place_passes, setup_written),
		TEST(test_renamed_file_is_noticed, setup_written),
		TEST(test_replaced_file_is_noticed, setup_written),
		TEST(test_removed_log_is_noticed, setup_written),
		TEST(test_cut_file_is_noticed, setup_written),
		TEST(test_cut_log_is_noticed, setup_written),
		TEST(test_checkpoints_of_a_shell_pass, setup_written),
		TEST(test_log_after_one_that_a_shell_cut_begins_with_the_stamp, setup_written),
		TEST(test_new_time_of_the_file_passes, setup_written),
		TEST(test_header_written_over_is_noticed, setup_written),
		TEST(test_stamp_written_over_is_noticed, setup_written),
		TEST(test_touch_is_a_commit, setup_written),
		TEST(test_log_is_copied_before_it_grows_without_end, setup_written),
		TEST(test_clean_stop_leaves_an_empty_log_and_all_in_the_file, setup_written),
		TEST(test_failed_store_leaves_its_log_alone, setup_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
