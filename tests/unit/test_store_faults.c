/*
 * Every system call and every allocation of SQLite's that creating, opening, writing, backing up
 * and reading a store make fails once, in its turn. Whatever fails, the answer is an error of the
 * table or a store as if nothing had failed: no half-made file that the next try stumbles over, no
 * event that was acknowledged and is not there, and, once the fault has passed, work as before.
 *
 * The calls are this program's own, which come before the C library's; SQLite gets them through its
 * table of system calls.
 */
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "orderhook/store_verify.h"

#define EACH_OF 30

enum kind {
	CALL_SYSTEM = 0,
	CALL_RARE,      /* system calls of ours and not of SQLite's, so that each is met */
	CALL_ALLOCATION /* of SQLite's */
};

/* What fails, and when. */
static struct {
	int left; /* calls until the one that fails; 0: none does */
	int error;
	enum kind kind;
	bool struck;
} fault;

static bool fails(enum kind kind)
{
	bool meant = kind == fault.kind || (kind == CALL_RARE && fault.kind == CALL_SYSTEM);

	if (fault.left == 0 || !meant || --fault.left > 0)
		return false;
	fault.struck = true;
	errno = fault.error;
	return true;
}

/* ------------------------------------------------------------------ the calls ---------- */

int open(const char *path, int flags, ...)
{
	va_list arguments;
	unsigned mode = 0;

	if (flags & O_CREAT) {
		va_start(arguments, flags);
		mode = va_arg(arguments, unsigned);
		va_end(arguments);
	}
	return fails(CALL_SYSTEM) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
	return fails(CALL_SYSTEM) ? -1 : syscall(SYS_pread64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return fails(CALL_SYSTEM) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

int fsync(int fd)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fchmod(int fd, mode_t mode)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int fchown(int fd, uid_t user, gid_t group)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_fchown, fd, user, group);
}

int link(const char *from, const char *to)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_link, from, to);
}

int flock(int fd, int how)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_flock, fd, how);
}

int ftruncate(int fd, off_t len)
{
	return fails(CALL_RARE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
	return fails(CALL_RARE) ? -1 : syscall(SYS_getrandom, bytes, len, flags);
}

/* SQLite's alone. */
static ssize_t failing_read(int fd, void *bytes, size_t len)
{
	return fails(CALL_SYSTEM) ? -1 : read(fd, bytes, len);
}

static ssize_t failing_write(int fd, const void *bytes, size_t len)
{
	return fails(CALL_SYSTEM) ? -1 : write(fd, bytes, len);
}

static int failing_ftruncate(int fd, off_t len)
{
	return fails(CALL_SYSTEM) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

static sqlite3_mem_methods system_memory;

static void *failing_malloc(int len)
{
	return fails(CALL_ALLOCATION) ? NULL : system_memory.xMalloc(len);
}

static void *failing_realloc(void *old, int len)
{
	return fails(CALL_ALLOCATION) ? NULL : system_memory.xRealloc(old, len);
}

static int setup_faults(void **state)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr call;
	} calls[] = {
		{"open", (sqlite3_syscall_ptr)open},
		{"read", (sqlite3_syscall_ptr)failing_read},
		{"write", (sqlite3_syscall_ptr)failing_write},
		{"pread", (sqlite3_syscall_ptr)pread},
		{"pwrite", (sqlite3_syscall_ptr)pwrite},
		{"pread64", (sqlite3_syscall_ptr)pread},
		{"pwrite64", (sqlite3_syscall_ptr)pwrite},
		{"ftruncate", (sqlite3_syscall_ptr)failing_ftruncate},
	};
	sqlite3_mem_methods memory;

	(void)state;
	sqlite3_shutdown();
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_memory), SQLITE_OK);
	memory = system_memory;
	memory.xMalloc = failing_malloc;
	memory.xRealloc = failing_realloc;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory), SQLITE_OK);
	/* Every allocation is asked of ours, none of a cache. */
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
	assert_int_equal(sqlite3_initialize(), SQLITE_OK);
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		/* It has some of them only where it was built to use them. */
		vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call);
	order_machine_v5();
	return 0;
}

/* ------------------------------------------------------------------ the work ----------- */

/* One step of a store's life; 0 or an error. undo brings things to where they were before. */
struct work {
	const char *name;
	int (*run)(struct fixture *fixture, struct buf *problem);
	void (*undo)(struct fixture *fixture);
	/* Asked after every try, failed or not, and while nothing fails. */
	void (*check)(struct fixture *fixture, int err);
};

static int run_create(struct fixture *fixture, struct buf *problem)
{
	return store_create(fixture->path, ENVIRONMENT, problem);
}

static void undo_create(struct fixture *fixture)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".head", ".lock"};
	char path[128];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", fixture->path, suffixes[i]);
		unlink(path);
	}
}

/* A create that failed has left nothing: the next one is not refused. */
static void check_create(struct fixture *fixture, int err)
{
	if (err)
		assert_int_equal(access(fixture->path, F_OK), -1);
	else
		open_store(fixture);
	close_store(fixture);
}

static int run_open(struct fixture *fixture, struct buf *problem)
{
	return store_open_writer(fixture->path, ENVIRONMENT, &fixture->store, problem);
}

static void check_open(struct fixture *fixture, int err)
{
	if (!err)
		close_store(fixture);
	open_store(fixture);
	close_store(fixture);
}

/* Opened before the fault, so that it strikes the write. */
static void undo_write(struct fixture *fixture)
{
	if (!fixture->store)
		open_store(fixture);
	fixture->n_items = 0;
	for (int i = 0; i < 3; i++) {
		static int64_t at_s;
		add_event(fixture, "W", i % 2 ? 30 : 20, 1, ++at_s % 3 ? at_s : -at_s, "C");
	}
}

static int run_write(struct fixture *fixture, struct buf *problem)
{
	const struct store_hold hold = {.endpoint = "shansong",
					.reason = "sign-wrong",
					.remote = "192.0.2.8",
					.body = SLICE("{}")};
	int err;

	(void)problem;
	fixture->store->ops->hold(fixture->store, &hold, 1);
	err = write_added(fixture);
	if (!err)
		err = store_sync_head(fixture->store);
	return err ? err : fixture->store->ops->checkpoint(fixture->store);
}

/* What was acknowledged is there after the next start. */
static void check_write(struct fixture *fixture, int err)
{
	int acked = 0;
	int64_t stored;

	for (size_t i = 0; i < 3; i++)
		acked += fixture->items[i].result.err == 0;
	assert_true(acked == 3 || acked == 0);
	assert_true(err || acked == 3);
	close_store(fixture);
	open_store(fixture);
	for (size_t i = 0; acked && i < 3; i++) {
		char query[128];
		snprintf(query, sizeof(query),
			 "SELECT count(*) FROM order_log WHERE CAST(body AS TEXT) = '%s'",
			 fixture->bodies[i]);
		assert_int_equal(slice_to_i64(slice_of(sql(fixture, query)), 0, INT64_MAX, &stored),
				 0);
		assert_int_equal(stored, 1);
	}
}

static int run_backup(struct fixture *fixture, struct buf *problem)
{
	struct store_backup backup;
	char file[128];

	snprintf(file, sizeof(file), "%s/copy.db", fixture->dir);
	return store_backup(fixture->path, file, NULL, NULL, &backup, problem);
}

static void remove_copy(struct fixture *fixture)
{
	char file[128];

	snprintf(file, sizeof(file), "%s/copy.db", fixture->dir);
	unlink(file);
}

static void check_backup(struct fixture *fixture, int err)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	struct store_reader *reader;
	char file[128];

	snprintf(file, sizeof(file), "%s/copy.db", fixture->dir);
	assert_int_equal(access(file, F_OK), err ? -1 : 0);
	if (err)
		return;
	assert_int_equal(store_open_reader(file, &reader, &problem), 0);
	store_reader_close(reader);
}

static void ignore_finding(const struct store_finding *finding, void *context)
{
	(void)finding;
	(void)context;
}

static int drain(struct store_cursor *cursor)
{
	struct store_row row;
	int err;

	while ((err = store_cursor_next(cursor, &row)) == 1)
		;
	store_cursor_close(cursor);
	return err;
}

static int ignore_row(void *context, const struct store_row *row)
{
	(void)context;
	(void)row;
	return 0;
}

static int read_all(struct store_reader *reader)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	BUF_AUTO struct buf head = BUF_INIT(1 << 16);
	const struct order_filter orders = {.limit = 0};
	const struct event_filter events = {.by_occurred = true};
	const struct held_filter held = {.limit = 0};
	struct store_verify verify = {.machine = order_machine_v5(), .found = ignore_finding};
	struct store_verify_totals totals;
	struct store_history history = {.order_id = 0};
	struct store_receipt_step steps[2];
	struct order_event event;
	struct store_cursor *cursor;
	size_t n;
	int err = store_orders(reader, &orders, &cursor);

	if (!err)
		err = drain(cursor);
	if (!err)
		err = store_events(reader, &events, &cursor);
	if (!err)
		err = drain(cursor);
	if (!err)
		err = store_held(reader, &held, ignore_row, NULL);
	if (!err)
		err = store_raw(reader, 1, &body, &head);
	if (!err)
		err = store_fold_event(reader, 1, &event);
	if (!err)
		err = store_receipt_steps(reader, 10, steps, 2, &n);
	while (!err && (err = store_next_history(reader, &history)) == 1)
		err = 0;
	store_history_release(&history);
	return err ? err : store_verify(reader, &verify, &totals);
}

static int run_read(struct fixture *fixture, struct buf *problem)
{
	struct store_reader *reader;
	int err = store_open_reader(fixture->path, &reader, problem);

	if (err)
		return err;
	err = read_all(reader);
	store_reader_close(reader);
	return err;
}

static void leave(struct fixture *fixture)
{
	(void)fixture;
}

static void check_nothing(struct fixture *fixture, int err)
{
	(void)fixture;
	(void)err;
}

/* ------------------------------------------------------------------ each fails once ---- */

/*
 * Each of the first EACH_OF calls, then every so many: a store prepares its statements with
 * thousands of allocations that are all alike.
 */
static void fail_each(struct fixture *fixture, const struct work *work, enum kind kind, int error)
{
	int n = 0;
	int tries = 0;
	int failed = 0;

	do {
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		int err;
		n += 1 + (n > EACH_OF ? n / 5 : 0);
		work->undo(fixture);
		fault.left = n;
		fault.error = error;
		fault.kind = kind;
		fault.struck = false;
		err = work->run(fixture, &problem);
		fault.left = 0;
		if (err > 0 || err <= -ERR_MAX || err == -ERR_INTERNAL)
			fail_msg("%s, call %d: %d", work->name, n, err);
		tries++;
		failed += err != 0;
		work->check(fixture, err);
	} while (fault.struck);
	/* The last try met no fault, and not every fault is forgiven. A step may have no rare call.
	 */
	if ((failed == 0 && kind != CALL_RARE) || failed == tries)
		fail_msg("%s: %d of %d tries failed", work->name, failed, tries);
}

static void fail_each_way(struct fixture *fixture, const struct work *work)
{
	fail_each(fixture, work, CALL_SYSTEM, EIO);
	fail_each(fixture, work, CALL_SYSTEM, ENOSPC);
	fail_each(fixture, work, CALL_RARE, EIO);
	fail_each(fixture, work, CALL_ALLOCATION, ENOMEM);
}

static void test_create_leaves_nothing_half_made(void **state)
{
	static const struct work work = {"create", run_create, undo_create, check_create};

	fail_each_way(*state, &work);
}

static void test_open_fails_with_an_error_and_works_when_the_fault_has_passed(void **state)
{
	static const struct work work = {"open", run_open, leave, check_open};
	struct fixture *fixture = *state;

	close_store(fixture);
	fail_each_way(fixture, &work);
}

static void test_nothing_acked_is_lost_by_a_write_that_fails(void **state)
{
	static const struct work work = {"write", run_write, undo_write, check_write};

	fail_each_way(*state, &work);
}

static void test_backup_that_fails_leaves_no_file(void **state)
{
	static const struct work work = {"backup", run_backup, remove_copy, check_backup};
	struct fixture *fixture = *state;

	take(fixture, "A", 20, 1, 1, "");
	fail_each_way(fixture, &work);
}

static void test_reading_and_verifying_end_with_an_error(void **state)
{
	static const struct work work = {"read", run_read, leave, check_nothing};
	struct fixture *fixture = *state;

	undo_write(fixture);
	run_write(fixture, NULL);
	take(fixture, "A", 20, 1, 1, "");
	fail_each_way(fixture, &work);
}

static void test_path_beyond_its_bound_is_told(void **state)
{
	struct fixture *fixture = *state;
	BUF_AUTO struct buf problem = BUF_INIT(8192);
	struct store_backup backup;
	struct store *store;
	char path[6000];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_not_equal(store_create(path, ENVIRONMENT, &problem), 0);
	assert_int_not_equal(problem.len, 0);
	buf_reset(&problem);
	assert_int_not_equal(store_open_writer(path, ENVIRONMENT, &store, &problem), 0);
	assert_int_not_equal(problem.len, 0);
	buf_reset(&problem);
	assert_int_equal(store_backup(fixture->path, path, NULL, NULL, &backup, &problem),
			 -ERR_STORE_IO);
	assert_non_null(strstr(problem.data, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create_leaves_nothing_half_made, setup_dir,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_open_fails_with_an_error_and_works_when_the_fault_has_passed,
			setup_store, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_acked_is_lost_by_a_write_that_fails,
						setup_store, teardown),
		cmocka_unit_test_setup_teardown(test_backup_that_fails_leaves_no_file, setup_store,
						teardown),
		cmocka_unit_test_setup_teardown(test_path_beyond_its_bound_is_told, setup_store,
						teardown),
		cmocka_unit_test_setup_teardown(test_reading_and_verifying_end_with_an_error,
						setup_store, teardown),
	};

	return cmocka_run_group_tests(tests, setup_faults, NULL);
}
