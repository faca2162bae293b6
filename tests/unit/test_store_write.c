/* The store's writer: what a batch leaves in the file, and what it says of it. */
#include "store_fixture.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int sync_errno; /* 0: syncs are real */
static int syncs;

/* The program's own comes before libc's, also for SQLite. */
int fdatasync(int fd)
{
	syncs++;
	if (sync_errno) {
		errno = sync_errno;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static const char state_query[] =
	"SELECT status, sub_status, since, reassignments, events, quarantined, courier_id"
	" FROM order_state";

static void test_an_orders_way_is_judged_and_folded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take(f, "A", 20, 1, 0, ""), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.event_id, 1);
	assert_int_equal(f->items[0].result.from_status, 0);
	assert_int_equal(take(f, "A", 30, 1, 35, "C1"), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.from_status, 20);
	assert_int_equal(f->items[0].result.from_sub_status, 1);
	assert_int_equal(take(f, "A", 20, 2, 379, ""), VERDICT_REASSIGNED);
	assert_int_equal(take(f, "A", 40, 1, 486, "C2"), VERDICT_JUMPED);
	assert_int_equal(take(f, "A", 50, 1, 545, "C2"), VERDICT_APPLIED);
	assert_string_equal(sql(f, state_query), "50|1|2025-05-30T09:04:24.000Z|1|5|0|C2");
	assert_string_equal(sql(f, "SELECT event_id, status, sub_status, from_status,"
				   " from_sub_status, verdict, deliveries FROM order_log"),
			    "1|20|1|NULL|NULL|applied|1\n"
			    "2|30|1|20|1|applied|1\n"
			    "3|20|2|30|1|reassigned|1\n"
			    "4|40|1|20|2|jumped|1\n"
			    "5|50|1|40|1|applied|1");
}

static void test_bytes_are_kept_as_they_came(void **state)
{
	struct fixture *f = *state;
	static const char body[] = "{\"a\":\"\0\xff\xfe\xe9\x97\xaa\"}\r\n";
	static const char head[] = "POST / HTTP/1.1\r\nX: \xe9\r\n";
	BUF_AUTO struct buf kept_body = BUF_INIT(1024);
	BUF_AUTO struct buf kept_head = BUF_INIT(1024);

	add_event(f, "A", 20, 1, 0, "");
	f->items[0].body = (struct slice){body, sizeof(body)};
	f->items[0].head = (struct slice){head, sizeof(head) - 1};
	write_one(f);
	add_event(f, "A", 30, 1, 1, "");
	f->items[0].body = (struct slice){NULL, 0};
	write_one(f);
	open_reader(f);
	assert_int_equal(store_raw(f->reader, 1, &kept_body, &kept_head), 0);
	assert_int_equal(kept_body.len, sizeof(body));
	assert_memory_equal(kept_body.data, body, sizeof(body));
	assert_int_equal(kept_head.len, sizeof(head) - 1);
	assert_memory_equal(kept_head.data, head, sizeof(head) - 1);
	assert_int_equal(store_raw(f->reader, 2, &kept_body, NULL), 0);
	assert_int_equal(kept_body.len, sizeof(body));
	assert_int_equal(store_raw(f->reader, 3, &kept_body, NULL), -ERR_NOT_FOUND);
}

static void test_raw_bytes_that_do_not_fit_leave_the_buffers_alone(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf body = BUF_INIT(4);
	BUF_AUTO struct buf head = BUF_INIT(1024);

	take(f, "A", 20, 1, 0, "");
	open_reader(f);
	buf_add_string(&head, "before");
	assert_int_equal(store_raw(f->reader, 1, &body, &head), -ERR_TOO_LONG);
	assert_int_equal(body.len, 0);
	assert_string_equal(head.data, "before");
}

static void test_duplicate_is_counted_on_the_first(void **state)
{
	struct fixture *f = *state;
	struct event *again;

	take(f, "A", 20, 1, 0, "");
	take(f, "A", 30, 1, 10, "C1");
	again = add_event(f, "A", 20, 1, 0, "");
	again->received_ms = BASE_MS + 60000;
	assert_int_equal(write_one(f), VERDICT_DUPLICATE);
	assert_int_equal(f->items[0].result.event_id, 1);
	assert_string_equal(sql(f, "SELECT event_id, deliveries FROM order_log"), "1|2\n2|1");
	assert_string_equal(sql(f, "SELECT events, first_received, last_received FROM order_state"),
			    "2|2025-05-30T08:55:20.000Z|2025-05-30T08:56:19.000Z");
	/* The newest event has nothing after it either, and is found all the same. */
	add_event(f, "A", 30, 1, 10, "C1");
	assert_int_equal(write_one(f), VERDICT_DUPLICATE);
	assert_int_equal(f->items[0].result.event_id, 2);
}

static void test_conflict_is_kept_apart(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	memset(add_event(f, "A", 20, 1, 0, "")->content, 7, DIGEST_SHA256_BYTES);
	assert_int_equal(write_one(f), VERDICT_CONFLICT);
	assert_string_equal(sql(f, state_query), "20|1|2025-05-30T08:55:19.000Z|0|2|1|NULL");
	/* And a duplicate of the conflict is one. */
	memset(add_event(f, "A", 20, 1, 0, "")->content, 7, DIGEST_SHA256_BYTES);
	assert_int_equal(write_one(f), VERDICT_DUPLICATE);
	assert_int_equal(f->items[0].result.event_id, 2);
}

static void test_mismatch_keeps_its_own_numbers_and_binds_nothing(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	snprintf(add_event(f, "A", 30, 1, 10, "")->order_no, EVENT_ID_BYTES_MAX, "stranger");
	assert_int_equal(write_one(f), VERDICT_MISMATCH);
	snprintf(add_event(f, "A", 30, 1, 20, "")->shop_id, EVENT_ID_BYTES_MAX, "shop-2");
	assert_int_equal(write_one(f), VERDICT_MISMATCH);
	assert_string_equal(sql(f, "SELECT event_id, order_no, shop_id FROM order_log"),
			    "1|no-A|shop-1\n2|stranger|shop-1\n3|no-A|shop-2");
	assert_string_equal(
		sql(f, "SELECT order_no, shop_id, status, quarantined FROM order_state"),
		"no-A|shop-1|20|2");
	assert_string_equal(sql(f, "SELECT order_no, shop_id FROM event ORDER BY event_id"),
			    "NULL|NULL\nstranger|NULL\nNULL|shop-2");
}

static void test_first_number_that_is_present_binds(void **state)
{
	struct fixture *f = *state;
	struct event *event = add_event(f, "A", 20, 1, 0, "");

	event->order_no[0] = '\0';
	event->shop_id[0] = '\0';
	write_one(f);
	assert_string_equal(sql(f, "SELECT order_no, shop_id FROM order_state"), "NULL|NULL");
	/* An unknown status is in quarantine, but it is about this order. */
	add_event(f, "A", 99, 1, 10, "")->shop_id[0] = '\0';
	assert_int_equal(write_one(f), VERDICT_UNKNOWN);
	assert_string_equal(sql(f, "SELECT order_no, shop_id FROM order_state"), "no-A|NULL");
	take(f, "A", 30, 1, 20, "");
	assert_string_equal(sql(f, "SELECT order_no, shop_id FROM order_state"), "no-A|shop-1");
	add_event(f, "A", 30, 2, 30, "")->order_no[0] = '\0';
	assert_int_equal(write_one(f), VERDICT_APPLIED);
	snprintf(add_event(f, "A", 40, 1, 40, "")->order_no, EVENT_ID_BYTES_MAX, "other");
	assert_int_equal(write_one(f), VERDICT_MISMATCH);
	/* The index by the merchant's number follows the binding. */
	assert_string_equal(sql(f, "SELECT iss_order_no FROM orders WHERE order_no = 'no-A'"), "A");
}

static void test_same_number_at_another_endpoint_is_another_order(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 60, EVENT_SUB_ABSENT, 0, "");
	f->items[0].endpoint = "backup";
	write_one(f);
	assert_string_equal(sql(f, "SELECT endpoint, iss_order_no, status FROM order_state"),
			    "shansong|A|20\nbackup|A|60");
}

static void test_absent_sub_status_is_null(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 30, EVENT_SUB_ABSENT, 0, "");
	take(f, "A", 40, 1, 1, "");
	assert_string_equal(
		sql(f, "SELECT sub_status, from_status, from_sub_status FROM order_log"),
		"NULL|NULL|NULL\n1|30|NULL");
	take(f, "B", 30, EVENT_SUB_ABSENT, 0, "");
	assert_string_equal(sql(f, "SELECT status, sub_status, status_text FROM order_state"
				   " WHERE iss_order_no = 'B'"),
			    "30|NULL|待取货");
}

static void test_order_that_nothing_moved_has_no_status(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take(f, "A", 99, 1, 0, ""), VERDICT_UNKNOWN);
	assert_string_equal(sql(f, "SELECT status, sub_status, status_text, since, events,"
				   " quarantined FROM order_state"),
			    "NULL|NULL|NULL|NULL|1|1");
	assert_int_equal(take(f, "A", 20, 1, 5, ""), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.from_status, 0);
}

static void test_two_events_of_one_order_in_a_batch_see_each_other(void **state)
{
	struct fixture *f = *state;

	add_event(f, "A", 20, 1, 0, "");
	add_event(f, "A", 30, 1, 10, "C1");
	add_event(f, "A", 20, 1, 0, "");
	add_event(f, "A", 20, 2, 20, "");
	assert_int_equal(write_added(f), 0);
	assert_int_equal(f->items[0].result.verdict, VERDICT_APPLIED);
	assert_int_equal(f->items[1].result.verdict, VERDICT_APPLIED);
	assert_int_equal(f->items[1].result.from_status, 20);
	assert_int_equal(f->items[2].result.verdict, VERDICT_DUPLICATE);
	assert_int_equal(f->items[2].result.event_id, 1);
	assert_int_equal(f->items[3].result.verdict, VERDICT_REASSIGNED);
	assert_int_equal(f->items[3].result.event_id, 3);
	assert_string_equal(sql(f, state_query), "20|2|2025-05-30T08:55:39.000Z|1|3|0|NULL");
}

static void test_late_event_refolds_the_order(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	take(f, "A", 40, 1, 100, "C2");
	assert_int_equal(take(f, "A", 20, 2, 50, ""), VERDICT_LATE);
	assert_string_equal(sql(f, state_query), "40|1|2025-05-30T08:56:59.000Z|1|3|0|C2");
}

static void test_stale_event_counts_only_as_a_duplicate(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 20, 1, 0, "")->stale = true;
	add_event(f, "A", 30, 1, 10, "")->stale = true;
	add_event(f, "B", 20, 1, 10, "")->stale = true;
	add_event(f, "A", 40, 1, 20, "");
	add_event(f, "A", 99, 1, 30, "")->stale = true;
	assert_int_equal(write_added(f), 0);
	assert_int_equal(f->items[0].result.err, 0);
	assert_int_equal(f->items[0].result.verdict, VERDICT_DUPLICATE);
	assert_int_equal(f->items[1].result.err, -ERR_TIMESTAMP_STALE);
	assert_int_equal(f->items[2].result.err, -ERR_TIMESTAMP_STALE);
	assert_int_equal(f->items[3].result.err, 0);
	assert_int_equal(f->items[3].result.verdict, VERDICT_JUMPED);
	assert_int_equal(f->items[4].result.err, -ERR_TIMESTAMP_STALE);
	assert_string_equal(sql(f, "SELECT event_id, status, deliveries FROM order_log"),
			    "1|20|2\n2|40|1");
	assert_string_equal(sql(f, "SELECT count(*) FROM order_state"), "1");
}

static void test_without_a_time_equal_events_close_together_are_one(void **state)
{
	struct fixture *f = *state;
	const int64_t received_s[] = {0, 599, 601, 2000};
	const enum verdict verdicts[] = {VERDICT_APPLIED, VERDICT_DUPLICATE, VERDICT_REPEATED,
					 VERDICT_REPEATED};

	for (int i = 0; i < 4; i++) {
		struct event *event = add_event(f, "A", 20, 1, 0, "");
		event->occurred_from = EVENT_FROM_RECEIPT;
		event->received_ms = BASE_MS + received_s[i] * 1000;
		event->occurred_ms = event->received_ms;
		assert_int_equal(write_one(f), verdicts[i]);
	}
	assert_string_equal(sql(f, "SELECT occurred_from, deliveries FROM order_log"),
			    "receipt|2\nreceipt|1\nreceipt|1");
}

static void test_another_courier_without_a_reassignment_is_noted(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 40, 1, 0, "C1");
	snprintf(add_event(f, "A", 40, 1, 10, "C2")->notes, EVENT_NOTES_BYTES, "first");
	assert_int_equal(write_one(f), VERDICT_REPEATED);
	assert_string_equal(sql(f, "SELECT notes FROM order_log"),
			    "NULL\nfirst; another courier than the order's");
}

static void test_other_events_are_kept_beside(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf body = BUF_INIT(1024);
	struct event *other;

	take(f, "A", 20, 1, 0, "");
	other = add_event(f, "", 0, 0, 10, "");
	other->kind = EVENT_OTHER;
	other->order_no[0] = '\0';
	snprintf(other->callback_event, sizeof(other->callback_event), "COURIER_MOVED");
	add_event(f, "A", 30, 1, 20, "");
	assert_int_equal(write_added(f), 0);
	assert_int_equal(f->items[0].result.err, 0);
	assert_int_equal(f->items[0].result.event_id, 2);
	assert_int_equal(f->items[1].result.event_id, 3);
	assert_string_equal(sql(f, "SELECT event_id, endpoint, callback_event, iss_order_no,"
				   " order_no, shop_id, received, auth, source, remote, notes"
				   " FROM other_event"),
			    "2|shansong|COURIER_MOVED|NULL|NULL|shop-1|2025-05-30T08:55:30.000Z"
			    "|token|callback|192.0.2.7|NULL");
	assert_string_equal(sql(f, "SELECT event_id FROM order_log"), "1\n3");
	open_reader(f);
	assert_int_equal(store_raw(f->reader, 2, &body, NULL), 0);
	assert_string_equal(body.data, f->bodies[0]);

	other = add_event(f, "", 0, 0, 10, "");
	other->kind = EVENT_OTHER;
	other->stale = true;
	assert_int_equal(write_added(f), 0);
	assert_int_equal(f->items[0].result.err, -ERR_TIMESTAMP_STALE);
	assert_string_equal(sql(f, "SELECT count(*) FROM other_event"), "1");
}

/* ------------------------------------------------------------------ failures ----------- */

/* A batch of new orders whose bodies need many pages. */
static void add_big_batch(struct fixture *f, const char *body, size_t len)
{
	for (int i = 0; i < 20; i++) {
		char iss[32];
		snprintf(iss, sizeof(iss), "big-%d", i);
		add_event(f, iss, 20, 1, i, "");
		f->items[i].body = (struct slice){body, len};
		f->items[i].endpoint = "new-endpoint";
	}
}

static void expect_refused(struct fixture *f, int err)
{
	assert_int_equal(write_added(f), err);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(f->items[i].result.err, err);
		assert_int_equal(f->items[i].result.event_id, 0);
	}
	assert_string_not_equal(store_problem(f->store), "");
}

static void expect_only_the_first(struct fixture *f)
{
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "1");
	assert_string_equal(sql(f, "SELECT count(*) FROM endpoint"), "1");
	assert_string_equal(sql(f, "SELECT status, orders FROM status_count"), "20|1");
}

/* What was remembered of the failed batch is forgotten: numbers, the endpoint's id, counts. */
static void expect_recovered(struct fixture *f)
{
	add_event(f, "after", 30, 1, 0, "");
	f->items[0].endpoint = "another";
	write_one(f);
	assert_int_equal(f->items[0].result.event_id, 2);
	add_event(f, "after", 40, 1, 1, "");
	f->items[0].endpoint = "new-endpoint";
	write_one(f);
	assert_string_equal(sql(f, "SELECT event_id, endpoint, status FROM order_log"),
			    "1|shansong|20\n2|another|30\n3|new-endpoint|40");
	assert_string_equal(sql(f, "SELECT status, orders FROM status_count WHERE orders"),
			    "20|1\n30|1\n40|1");
}

static void test_full_database_refuses_the_whole_batch_and_passes(void **state)
{
	struct fixture *f = *state;
	static char body[4000];
	sqlite3 *db;
	char pragma[64];

	take(f, "A", 20, 1, 0, "");
	/* A limit of the file's size is the connection's own, so it is set on the store's. */
	db = store_test_connection(f->store);
	snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count = %s", sql(f, "PRAGMA page_count"));
	assert_int_equal(sqlite3_exec(db, pragma, NULL, NULL, NULL), SQLITE_OK);
	add_big_batch(f, body, sizeof(body));
	expect_refused(f, -ERR_STORE_FULL);
	expect_only_the_first(f);
	sqlite3_exec(db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
	expect_recovered(f);
}

static void test_file_size_limit_refuses_the_whole_batch_and_passes(void **state)
{
	struct fixture *f = *state;
	static char body[4000];
	struct rlimit limit;
	struct rlimit unlimited;
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGXFSZ, &ignore, NULL);
	take(f, "A", 20, 1, 0, "");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	limit = unlimited;
	limit.rlim_cur = (rlim_t)store_wal_bytes(f->store) + 8192;
	add_big_batch(f, body, sizeof(body));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect_refused(f, -ERR_STORE_FULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	expect_only_the_first(f);
	expect_recovered(f);
}

static void test_shell_that_holds_the_write_lock_is_busy_and_passes(void **state)
{
	struct fixture *f = *state;
	static char body[4000];
	sqlite3 *shell;

	take(f, "A", 20, 1, 0, "");
	sqlite3_busy_timeout(store_test_connection(f->store), 1);
	shell = open_sql(f, SQLITE_OPEN_READWRITE);
	assert_int_equal(sqlite3_exec(shell, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	add_big_batch(f, body, sizeof(body));
	expect_refused(f, -ERR_STORE_BUSY);
	sqlite3_exec(shell, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(shell);
	expect_only_the_first(f);
	expect_recovered(f);
}

static void test_damage_in_the_middle_of_a_batch_is_final(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	sql_write(f, "PRAGMA ignore_check_constraints = ON; UPDATE event SET content = x'00'");
	for (int i = 0; i < 20; i++)
		add_event(f, i == 19 ? "A" : "B", 20, 1, i ? 0 : -5, "");
	expect_refused(f, -ERR_STORE_CORRUPT);
	expect_only_the_first(f);
	/* Nothing more is tried, however good. */
	for (int i = 0; i < 20; i++)
		add_event(f, "C", 20, 1, 0, "");
	expect_refused(f, -ERR_STORE_CORRUPT);
	assert_int_equal(f->store->ops->touch(f->store), -ERR_STORE_CORRUPT);
	assert_int_equal(f->store->ops->check_file(f->store), -ERR_STORE_CORRUPT);
}

/* Refused now, and for ever: what the kernel has dropped does not come back by syncing again. */
static void expect_failed_for_good(struct fixture *f)
{
	sync_errno = 0;
	for (int i = 0; i < 20; i++)
		add_event(f, "C", 20, 1, 0, "");
	syncs = 0;
	expect_refused(f, -ERR_STORE_IO);
	assert_int_equal(f->store->ops->checkpoint(f->store), -ERR_STORE_IO);
	close_store(f);
	assert_int_equal(syncs, 0);
	open_store(f);
	assert_string_equal(sql(f, "PRAGMA integrity_check"), "ok");
}

static void test_every_batch_is_synced_once(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	for (int i = 0; i < 20; i++)
		add_event(f, i % 2 ? "A" : "B", 30, 1, i, "");
	syncs = 0;
	assert_int_equal(write_added(f), 0);
	assert_int_equal(syncs, 1);
}

static void test_failed_sync_of_a_commit_is_final(void **state)
{
	struct fixture *f = *state;
	/* Even a full disk: the number says why, not whether the data is still there. */
	const int reasons[] = {EIO, ENOSPC};

	for (int i = 0; i < 2; i++) {
		take(f, "A", 20, 1, i, "");
		for (int j = 0; j < 20; j++)
			add_event(f, "B", 30, 1, i, "");
		sync_errno = reasons[i];
		expect_refused(f, -ERR_STORE_IO);
		expect_failed_for_good(f);
	}
}

static void test_failed_sync_of_a_checkpoint_is_final(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	sync_errno = EIO;
	assert_int_equal(f->store->ops->checkpoint(f->store), -ERR_STORE_IO);
	expect_failed_for_good(f);
	/* What was acknowledged before is there: it is in the log. */
	assert_string_equal(sql(f, "SELECT iss_order_no FROM order_state"), "A");
}

static void test_empty_batch_is_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(write_added(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_orders_way_is_judged_and_folded),
		TEST(test_bytes_are_kept_as_they_came),
		TEST(test_raw_bytes_that_do_not_fit_leave_the_buffers_alone),
		TEST(test_duplicate_is_counted_on_the_first),
		TEST(test_conflict_is_kept_apart),
		TEST(test_mismatch_keeps_its_own_numbers_and_binds_nothing),
		TEST(test_first_number_that_is_present_binds),
		TEST(test_same_number_at_another_endpoint_is_another_order),
		TEST(test_absent_sub_status_is_null),
		TEST(test_order_that_nothing_moved_has_no_status),
		TEST(test_two_events_of_one_order_in_a_batch_see_each_other),
		TEST(test_late_event_refolds_the_order),
		TEST(test_stale_event_counts_only_as_a_duplicate),
		TEST(test_without_a_time_equal_events_close_together_are_one),
		TEST(test_another_courier_without_a_reassignment_is_noted),
		TEST(test_other_events_are_kept_beside),
		TEST(test_full_database_refuses_the_whole_batch_and_passes),
		TEST(test_file_size_limit_refuses_the_whole_batch_and_passes),
		TEST(test_shell_that_holds_the_write_lock_is_busy_and_passes),
		TEST(test_damage_in_the_middle_of_a_batch_is_final),
		TEST(test_every_batch_is_synced_once),
		TEST(test_failed_sync_of_a_commit_is_final),
		TEST(test_failed_sync_of_a_checkpoint_is_final),
		TEST(test_empty_batch_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
