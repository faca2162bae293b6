/* The store's file: made, locked, refused, migrated; what is refused stays as it was. */
#include "store_fixture.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct buf problem = BUF_INIT(2048);

static int teardown_file(void **state)
{
	buf_release(&problem);
	return teardown(state);
}

static int try_open_as(struct fixture *f, const char *environment)
{
	buf_reset(&problem);
	return store_open_writer(f->path, environment, &f->store, &problem);
}

static int try_open(struct fixture *f)
{
	return try_open_as(f, ENVIRONMENT);
}

static int try_reader(struct fixture *f)
{
	buf_reset(&problem);
	return store_open_reader(f->path, &f->reader, &problem);
}

static void expect_told(const char *text)
{
	assert_non_null(problem.data);
	if (!strstr(problem.data, text))
		fail_msg("'%s' is not in: %s", text, problem.data);
}

static bool is_there(const struct fixture *f, const char *suffix)
{
	return access(beside(f, suffix), F_OK) == 0;
}

/* Both ways of opening refuse the file with this error and these words, and leave it alone. */
static void expect_refused(struct fixture *f, int err, const char *words)
{
	BUF_AUTO struct buf before = read_file(f->path);

	assert_int_equal(try_open(f), err);
	assert_null(f->store);
	expect_told(words);
	expect_told(f->path);
	assert_int_equal(try_reader(f), err);
	assert_null(f->reader);
	expect_told(words);
	BUF_AUTO struct buf after = read_file(f->path);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data ? before.data : "", after.data ? after.data : "",
			    before.len);
	assert_false(is_there(f, "-wal"));
	assert_false(is_there(f, "-shm"));
	assert_false(is_there(f, "-journal"));
}

/* ------------------------------------------------------------------ making ------------- */

static void test_new_store_is_the_groups_to_read(void **state)
{
	struct fixture *f = *state;
	struct stat status;
	mode_t old = umask(077);

	create_store(f);
	umask(old);
	assert_int_equal(stat(f->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
	assert_int_equal(stat(beside(f, "-wal"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
	assert_int_equal(status.st_size, 0);
	assert_string_equal(sql(f, "PRAGMA journal_mode"), "wal");
	assert_string_equal(sql(f, "PRAGMA integrity_check"), "ok");
	assert_string_equal(sql(f, "SELECT environment, length(store_id) FROM store"), "test|32");
	assert_string_equal(sql(f, "PRAGMA user_version"), "1");
	assert_string_equal(sql(f, "PRAGMA application_id"), "1869767787");
}

static void test_file_that_is_there_is_not_overwritten(void **state)
{
	struct fixture *f = *state;
	struct stat status;

	write_file(f->path, "", 0);
	assert_int_equal(store_create(f->path, ENVIRONMENT, &problem), -ERR_STORE_EXISTS);
	expect_told(f->path);
	assert_int_equal(stat(f->path, &status), 0);
	assert_int_equal(status.st_size, 0);
}

static void test_log_of_a_store_that_is_gone_is_not_replayed(void **state)
{
	struct fixture *f = *state;

	write_file(beside(f, "-wal"), "evidence", 8);
	assert_int_equal(store_create(f->path, ENVIRONMENT, &problem), -ERR_STORE_EXISTS);
	expect_told("-wal");
	assert_false(is_there(f, ""));
	assert_int_equal(try_open(f), -ERR_STORE_MISSING);
	expect_told("put the database back");
	BUF_AUTO struct buf wal = read_file(beside(f, "-wal"));
	assert_string_equal(wal.data, "evidence");
}

static void test_create_that_fails_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/missing/orderhook.db", f->dir);
	assert_int_equal(store_create(path, ENVIRONMENT, &problem), -ERR_STORE_IO);
	expect_told("make the directory first");
	assert_int_equal(store_create(f->path, "", &problem), -ERR_CONFIG);
	assert_false(is_there(f, ""));
}

/* `sudo orderhook init` must not make what the daemon cannot write. */
static void test_root_makes_it_for_the_owner_of_the_directory(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".head"};
	struct fixture *f = *state;
	struct stat status;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->dir, 4711, 4712), 0);
	create_store(f);
	open_store(f);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(stat(beside(f, suffixes[i]), &status), 0);
		assert_int_equal(status.st_uid, 4711);
		assert_int_equal(status.st_gid, 4712);
	}
}

/* ------------------------------------------------------------------ refused ------------ */

static void test_missing_store_is_not_made(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try_open(f), -ERR_STORE_MISSING);
	expect_told("orderhook init");
	assert_int_equal(try_reader(f), -ERR_STORE_MISSING);
	assert_false(is_there(f, ""));
	assert_false(is_there(f, ".lock"));
}

static void test_empty_file_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f->path, "", 0);
	expect_refused(f, -ERR_STORE_FOREIGN, "is empty");
}

static void test_file_that_is_no_database_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[3000];

	memset(text, 'x', sizeof(text));
	write_file(f->path, text, sizeof(text));
	expect_refused(f, -ERR_STORE_FOREIGN, "not an orderhook store");
	write_file(f->path, text, 10);
	expect_refused(f, -ERR_STORE_FOREIGN, "not an orderhook store");
}

static void test_database_of_another_program_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f->path, "", 0);
	sql_write(f, "CREATE TABLE t (x)");
	expect_refused(f, -ERR_STORE_FOREIGN, "not an orderhook store");
}

static void test_directory_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(try_open(f), -ERR_STORE_FOREIGN);
	expect_told("not a regular file");
}

static void test_newer_store_is_refused(void **state)
{
	struct fixture *f = *state;

	create_store(f);
	sql_write(f, "PRAGMA user_version = 9999");
	forget_log(f);
	expect_refused(f, -ERR_STORE_NEWER, "newer orderhook");
	expect_told("9999");
}

static void test_newer_version_that_is_only_in_the_log_is_seen(void **state)
{
	struct fixture *f = *state;
	sqlite3 *newer;

	create_store(f);
	newer = open_sql(f, SQLITE_OPEN_READWRITE);
	assert_int_equal(sqlite3_exec(newer, "PRAGMA user_version = 9999", NULL, NULL, NULL),
			 SQLITE_OK);
	BUF_AUTO struct buf before = read_file(beside(f, "-wal"));
	assert_int_equal(try_open(f), -ERR_STORE_NEWER);
	assert_int_equal(try_reader(f), -ERR_STORE_NEWER);
	BUF_AUTO struct buf after = read_file(beside(f, "-wal"));
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, before.len);
	sqlite3_close(newer);
}

static void test_store_of_another_environment_is_refused(void **state)
{
	struct fixture *f = *state;

	create_store(f);
	assert_int_equal(try_open_as(f, "production"), -ERR_STORE_ENVIRONMENT);
	expect_told("production");
	expect_told("environment test");
	/* A reader needs none. */
	open_reader(f);
}

static void damage(struct fixture *f, long offset, size_t len)
{
	FILE *file = fopen(f->path, "r+b");

	assert_non_null(file);
	assert_int_equal(fseek(file, offset, SEEK_SET), 0);
	for (size_t i = 0; i < len; i++)
		fputc(0xa5, file);
	assert_int_equal(fclose(file), 0);
}

static void test_damaged_store_is_refused_and_left_as_evidence(void **state)
{
	struct fixture *f = *state;

	create_store(f);
	forget_log(f);
	/* The first page behind the header: the schema. */
	damage(f, 100, 400);
	expect_refused(f, -ERR_STORE_CORRUPT, "restore a backup");
}

static void test_store_without_its_stamp_is_damaged(void **state)
{
	struct fixture *f = *state;

	create_store(f);
	sql_write(f, "DELETE FROM store");
	forget_log(f);
	expect_refused(f, -ERR_STORE_CORRUPT, "stamp");
}

/* ------------------------------------------------------------------ the lock ----------- */

static void test_second_writer_is_refused_and_told_the_pid(void **state)
{
	struct fixture *f = *state;
	struct store *first;
	char pid[32];

	create_store(f);
	open_store(f);
	first = f->store;
	f->store = NULL;
	assert_int_equal(try_open(f), -ERR_STORE_LOCKED);
	snprintf(pid, sizeof(pid), "process %ld ", (long)getpid());
	expect_told(pid);
	store_close(first);
	assert_int_equal(try_open(f), 0);
}

static void test_lock_survives_reading_in_the_same_process(void **state)
{
	struct fixture *f = *state;
	struct store *second = NULL;

	create_store(f);
	open_store(f);
	take(f, "A", 20, 1, 0, "");
	open_reader(f);
	store_reader_close(f->reader);
	f->reader = NULL;
	assert_int_equal(store_open_writer(f->path, ENVIRONMENT, &second, &problem),
			 -ERR_STORE_LOCKED);
	assert_int_equal(take(f, "A", 30, 1, 1, ""), VERDICT_APPLIED);
}

static void test_lock_of_a_killed_writer_is_free(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	create_store(f);
	child = fork();
	if (child == 0) {
		open_store(f);
		take(f, "A", 20, 1, 0, "");
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	open_store(f);
	assert_string_equal(sql(f, "SELECT iss_order_no, status FROM order_state"), "A|20");
}

/* ------------------------------------------------------------------ what was committed - */

static void test_lost_log_is_noticed(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	create_store(f);
	child = fork();
	if (child == 0) {
		open_store(f);
		take(f, "A", 20, 1, 0, "");
		take(f, "A", 30, 1, 1, "");
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	forget_log(f);
	assert_int_equal(try_open(f), -ERR_STORE_ROLLED_BACK);
	expect_told("ends at event 0, but events up to 2 were acknowledged");
	expect_told(".head away");
	/* The remedy that it names. */
	assert_int_equal(unlink(beside(f, ".head")), 0);
	assert_int_equal(try_open(f), 0);
}

static void test_log_that_a_shell_copied_into_the_database_is_no_loss(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	create_store(f);
	child = fork();
	if (child == 0) {
		open_store(f);
		take(f, "A", 20, 1, 0, "");
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	/* A read-write connection that is the last to close removes the log. */
	sql_write(f, "SELECT 1 FROM event");
	assert_false(is_there(f, "-wal"));
	assert_int_equal(try_open(f), 0);
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "1");
}

static void test_word_of_another_store_is_not_held_against_a_new_one(void **state)
{
	struct fixture *f = *state;

	create_store(f);
	open_store(f);
	take(f, "A", 20, 1, 0, "");
	close_store(f);
	forget_log(f);
	assert_int_equal(unlink(f->path), 0);
	create_store(f);
	assert_int_equal(try_open(f), 0);
}

static void test_numbers_are_not_given_out_twice(void **state)
{
	struct fixture *f = *state;

	create_store(f);
	open_store(f);
	take(f, "A", 20, 1, 0, "");
	take(f, "A", 30, 1, 1, "");
	close_store(f);
	sql_write(f, "INSERT INTO anchor SELECT 1, 2, link FROM event WHERE event_id = 2;"
		     "DELETE FROM event; DELETE FROM orders");
	open_store(f);
	take(f, "A", 20, 1, 0, "");
	assert_int_equal(f->items[0].result.event_id, 3);
}

/* ------------------------------------------------------------------ migrations --------- */

/* The built-in migrations and two of a future. */
static void later_migrations(struct sql_text ret[], bool broken)
{
	size_t n = 0;

	while (sql_migrations[n].text) {
		ret[n] = sql_migrations[n];
		n++;
	}
	ret[n++] = (struct sql_text){2, "0002_a.sql", "CREATE TABLE a (x INTEGER) STRICT;"};
	ret[n++] = (struct sql_text){3, "0003_b.sql",
				     broken ? "CREATE TABLE c (x); CREATE TABLE a (y);"
					    : "CREATE TABLE b (x); INSERT INTO a VALUES (7);"};
	ret[n] = (struct sql_text){0};
}

static void test_older_store_is_migrated_with_what_it_holds(void **state)
{
	struct fixture *f = *state;
	struct sql_text migrations[16];

	close_store(f);
	later_migrations(migrations, false);
	assert_int_equal(sqlite_store_open(f->path, ENVIRONMENT, migrations, &f->store, &problem),
			 0);
	take(f, "A", 30, 1, 1, "");
	assert_string_equal(sql(f, "PRAGMA user_version"), "3");
	assert_string_equal(sql(f, "SELECT x FROM a"), "7");
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "2");
	close_store(f);
	/* And once only. */
	assert_int_equal(sqlite_store_open(f->path, ENVIRONMENT, migrations, &f->store, &problem),
			 0);
	assert_string_equal(sql(f, "SELECT x FROM a"), "7");
	close_store(f);
	assert_int_equal(try_open(f), -ERR_STORE_NEWER);
	assert_int_equal(try_reader(f), -ERR_STORE_NEWER);
}

static void test_migration_that_fails_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct sql_text migrations[16];

	close_store(f);
	later_migrations(migrations, true);
	assert_int_not_equal(
		sqlite_store_open(f->path, ENVIRONMENT, migrations, &f->store, &problem), 0);
	expect_told("table a already exists");
	assert_string_equal(sql(f, "PRAGMA user_version"), "1");
	assert_string_equal(sql(f, "SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'c')"),
			    "0");
	assert_int_equal(try_open(f), 0);
}

static void test_reader_does_not_migrate(void **state)
{
	struct fixture *f = *state;

	close_store(f);
	sql_write(f, "PRAGMA user_version = 0");
	assert_int_equal(try_reader(f), -ERR_STORE_OLDER);
	expect_told("migrates");
}

/* ------------------------------------------------------------------ other users -------- */

/* Opens and reads as a user who may read the files and nothing else; the process's exit code. */
static int read_as_nobody(struct fixture *f, gid_t group)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct store_cursor *cursor = NULL;
		struct store_row row;
		struct event_filter filter = {.order = "A"};
		if (setgroups(1, &group) || setgid(65534) || setuid(65534))
			_exit(90);
		if (store_open_reader(f->path, &f->reader, &problem))
			_exit(strstr(problem.data, "its group may read it") ? 91 : 94);
		if (store_events(f->reader, &filter, &cursor))
			_exit(92);
		_exit(store_cursor_next(cursor, &row) == 1 ? 0 : 93);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void give_to_group(struct fixture *f, gid_t group)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	assert_int_equal(chmod(f->dir, 0755), 0);
	for (int i = 0; i < 3; i++) {
		if (is_there(f, suffixes[i]))
			assert_int_equal(chown(beside(f, suffixes[i]), 0, group), 0);
	}
}

static void test_group_reads_beside_the_writer_and_after_a_clean_stop(void **state)
{
	struct fixture *f = *state;
	const gid_t group = 4242;

	if (geteuid() != 0)
		skip();
	give_to_group(f, group);
	assert_int_equal(read_as_nobody(f, group), 0);
	close_store(f);
	give_to_group(f, group);
	assert_int_equal(read_as_nobody(f, group), 0);
	assert_int_equal(read_as_nobody(f, group + 1), 91);
}

static void test_backup_without_a_log_is_read_where_nothing_can_be_written(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	close_store(f);
	forget_log(f);
	give_to_group(f, 4242);
	assert_int_equal(read_as_nobody(f, 4242), 0);
}

/* As docs/store.md tells operators to make one and to put it back. */
static void test_copy_made_beside_the_writer_takes_its_place(void **state)
{
	struct fixture *f = *state;
	char statement[160];
	sqlite3 *shell = open_sql(f, SQLITE_OPEN_READONLY);

	snprintf(statement, sizeof(statement), "VACUUM INTO '%s.copy'", f->path);
	assert_int_equal(sqlite3_exec(shell, statement, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(shell);
	take(f, "A", 30, 1, 1, "");
	close_store(f);
	assert_int_equal(rename(beside(f, ".copy"), f->path), 0);
	forget_log(f);
	assert_int_equal(try_open(f), -ERR_STORE_ROLLED_BACK);
	expect_told("this is a backup");
	assert_int_equal(unlink(beside(f, ".head")), 0);
	assert_int_equal(try_open(f), 0);
	assert_string_equal(sql(f, "PRAGMA journal_mode"), "wal");
	assert_int_equal(take(f, "A", 30, 1, 1, ""), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.event_id, 2);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new_store_is_the_groups_to_read, setup_dir),
		TEST(test_file_that_is_there_is_not_overwritten, setup_dir),
		TEST(test_log_of_a_store_that_is_gone_is_not_replayed, setup_dir),
		TEST(test_create_that_fails_leaves_nothing, setup_dir),
		TEST(test_root_makes_it_for_the_owner_of_the_directory, setup_dir),
		TEST(test_missing_store_is_not_made, setup_dir),
		TEST(test_empty_file_is_refused, setup_dir),
		TEST(test_file_that_is_no_database_is_refused, setup_dir),
		TEST(test_database_of_another_program_is_refused, setup_dir),
		TEST(test_directory_is_refused, setup_dir),
		TEST(test_newer_store_is_refused, setup_dir),
		TEST(test_newer_version_that_is_only_in_the_log_is_seen, setup_dir),
		TEST(test_store_of_another_environment_is_refused, setup_dir),
		TEST(test_damaged_store_is_refused_and_left_as_evidence, setup_dir),
		TEST(test_store_without_its_stamp_is_damaged, setup_dir),
		TEST(test_second_writer_is_refused_and_told_the_pid, setup_dir),
		TEST(test_lock_survives_reading_in_the_same_process, setup_dir),
		TEST(test_lock_of_a_killed_writer_is_free, setup_dir),
		TEST(test_lost_log_is_noticed, setup_dir),
		TEST(test_log_that_a_shell_copied_into_the_database_is_no_loss, setup_dir),
		TEST(test_word_of_another_store_is_not_held_against_a_new_one, setup_dir),
		TEST(test_numbers_are_not_given_out_twice, setup_dir),
		TEST(test_older_store_is_migrated_with_what_it_holds, setup_written),
		TEST(test_migration_that_fails_changes_nothing, setup_written),
		TEST(test_reader_does_not_migrate, setup_written),
		TEST(test_group_reads_beside_the_writer_and_after_a_clean_stop, setup_written),
		TEST(test_backup_without_a_log_is_read_where_nothing_can_be_written, setup_written),
		TEST(test_copy_made_beside_the_writer_takes_its_place, setup_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
