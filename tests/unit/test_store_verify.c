/* Verify: what it finds in a store that was changed behind its back, and that it finds nothing in
 * one that was not; and that a start refuses an older store. */
#include "store_fixture.h"

#include "orderhook/store_verify.h"

#define EVENTS 12

static char found[4096];

/* "link 5-5" a line. */
static void note_finding(const struct store_finding *finding, void *context)
{
	size_t *len = context;

	*len += (size_t)snprintf(found + *len, sizeof(found) - *len, "%s%s %lld-%lld",
				 *len ? "\n" : "", finding_key(finding->finding),
				 (long long)finding->event_id, (long long)finding->last_event_id);
	assert_true(*len < sizeof(found));
}

static struct store_verify_totals verify(struct fixture *f)
{
	size_t len = 0;
	const struct store_verify options = {
		.machine = order_machine_v5(), .found = note_finding, .context = &len};
	struct store_verify_totals totals;

	found[0] = '\0';
	open_reader(f);
	assert_int_equal(store_verify(f->reader, &options, &totals), 0);
	store_reader_close(f->reader);
	f->reader = NULL;
	return totals;
}

/* Orders of two events; the fifth names no orderNo, the sixth binds it; one is of another kind. */
static int setup_events(void **state)
{
	struct fixture *f;

	if (setup_store(state))
		return -1;
	f = *state;
	for (int i = 0; i < EVENTS; i++) {
		char iss[16];
		snprintf(iss, sizeof(iss), "A%d", i / 2);
		struct event *event = add_event(f, iss, i % 2 ? 30 : 20, 1, i, i % 2 ? "C1" : "");
		if (i == 4)
			event->order_no[0] = '\0';
		if (i == 8)
			event->kind = EVENT_OTHER;
	}
	return write_added(f);
}

static void expect_found(struct fixture *f, const char *change, const char *expected)
{
	sql_write(f, change);
	verify(f);
	assert_string_equal(found, expected);
}

static void test_nothing_is_found_in_what_was_written(void **state)
{
	struct fixture *f = *state;
	struct store_verify_totals totals = verify(f);

	assert_string_equal(found, "");
	assert_int_equal(totals.events, EVENTS);
	assert_int_equal(totals.orders, EVENTS / 2);
	assert_int_equal(totals.head, STORE_HEAD_COMPARED);
	assert_int_equal(totals.head_since, 0);
	/* A duplicate changes its first event's count, and nothing that is vouched for. */
	take(f, "A0", 20, 1, 0, "");
	close_store(f);
	open_store(f);
	take(f, "A9", 20, 1, 50, "");
	assert_int_equal(verify(f).events, EVENTS + 1);
	assert_string_equal(found, "");
}

static void test_changed_body_is_named(void **state)
{
	expect_found(*state, "UPDATE event SET body = x'00' WHERE event_id = 3", "body 3-3");
}

static void test_changed_hash_of_a_body_is_named(void **state)
{
	expect_found(*state, "UPDATE event SET body_sha256 = zeroblob(32) WHERE event_id = 3",
		     "body 3-3\nlink 3-3");
}

static void test_every_changed_column_names_its_event_alone(void **state)
{
	static const char *const changes[] = {
		"occurred_from = 1", "from_status = 99", "from_sub_status = 7", "auth = 1",
		"source = 1",        "remote = 'x'",     "notes = 'x'",         "head = x'00'",
		"order_no = 'x'",    "shop_id = 'x'",    "link = zeroblob(32)"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char change[256];
		snprintf(
			change, sizeof(change),
			"DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM event WHERE "
			"event_id = 4;"
			"UPDATE event SET %s WHERE event_id = 4",
			changes[i]);
		expect_found(f, change, "link 4-4");
		sql_write(f, "PRAGMA foreign_keys = OFF; DELETE FROM event WHERE event_id = 4;"
			     "INSERT INTO event SELECT * FROM kept; DROP TABLE kept");
		verify(f);
		assert_string_equal(found, "");
	}
}

static void test_changed_other_event_is_named(void **state)
{
	expect_found(*state, "UPDATE other SET callback_event = 'x' WHERE event_id = 9",
		     "link 9-9");
}

static void test_changed_name_of_an_order_names_its_events(void **state)
{
	expect_found(*state, "UPDATE orders SET order_no = 'x' WHERE iss_order_no = 'A1'",
		     "link 3-3\nlink 4-4");
}

static void test_order_bound_late_is_covered_from_there(void **state)
{
	expect_found(*state, "UPDATE orders SET order_no = 'x' WHERE iss_order_no = 'A2'",
		     "link 6-6");
}

static void test_missing_events_are_a_range(void **state)
{
	expect_found(*state, "DELETE FROM event WHERE event_id IN (5, 6)",
		     "missing 5-6\ncount 0-0\nstate 0-0");
}

static void test_missing_newest_events_are_named_by_the_head(void **state)
{
	expect_found(*state,
		     "DELETE FROM event WHERE event_id > 10; DELETE FROM orders WHERE "
		     "iss_order_no = 'A5'; UPDATE event_span SET last_event_id = 10;"
		     "UPDATE status_count SET orders = orders - 1 WHERE status = 30",
		     "missing 11-12");
}

static void test_rewritten_newest_event_is_not_the_acknowledged_one(void **state)
{
	expect_found(*state,
		     "UPDATE event SET link = zeroblob(32), notes = 'x' WHERE event_id = 12",
		     "link 12-12\nhead 12-12");
}

static void test_pruned_range_with_its_anchor_is_no_hole(void **state)
{
	struct fixture *f = *state;

	expect_found(f,
		     "INSERT INTO anchor SELECT 5, 6, link FROM event WHERE event_id = 6;"
		     "DELETE FROM event WHERE event_id IN (5, 6); DELETE FROM orders WHERE "
		     "iss_order_no = 'A2';"
		     "UPDATE status_count SET orders = orders - 1 WHERE status = 30",
		     "");
	assert_int_equal(verify(f).pruned, 2);
	/* The chain goes on with the anchor's link. */
	expect_found(f, "UPDATE anchor SET link = zeroblob(32)", "link 7-7");
}

static void test_erased_event_keeps_the_chain(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[CHAIN_BYTES];
	char hex[2 * CHAIN_BYTES + 1];
	char change[512];
	struct chain_row row = {0};

	row.values[CHAIN_order_no] = chain_text_or_null("no-A1");
	row.values[CHAIN_shop_id] = chain_text_or_null("shop-1");
	row.values[CHAIN_remote] = chain_text_or_null("192.0.2.7");
	row.values[CHAIN_head] = chain_blob(SLICE("POST /callback HTTP/1.1\r\n"));
	assert_int_equal(chain_private(&row, digest), 0);
	digest_hex_lower(digest, sizeof(digest), hex);
	snprintf(change, sizeof(change),
		 "UPDATE event SET private_sha256 = x'%s', body = x'', head = x'', remote = NULL "
		 "WHERE event_id = 3",
		 hex);
	expect_found(f, change, "");
	assert_int_equal(verify(f).erased, 1);
	expect_found(f, "UPDATE event SET status = 40 WHERE event_id = 3", "link 3-3");
	expect_found(f, "UPDATE event SET status = 20, notes = 'x' WHERE event_id = 3",
		     "erased 3-3\nbody 3-3\nlink 3-3");
}

static void test_state_that_is_not_the_fold_is_named(void **state)
{
	expect_found(*state,
		     "UPDATE orders SET courier_id = 'x' WHERE iss_order_no = 'A1';"
		     "UPDATE orders SET quarantined = 1 WHERE iss_order_no = 'A2';"
		     "UPDATE status_count SET orders = 7 WHERE status = 30",
		     "state 0-0\ncount 0-0\ncount 0-0");
}

static void test_missing_head_is_told_and_made_anew(void **state)
{
	struct fixture *f = *state;
	char head[128];

	snprintf(head, sizeof(head), "%s.head", f->path);
	close_store(f);
	assert_int_equal(unlink(head), 0);
	assert_int_equal(verify(f).head, STORE_HEAD_MISSING);
	assert_string_equal(found, "");
	open_store(f);
	assert_int_equal(verify(f).head, STORE_HEAD_COMPARED);
	assert_int_equal(verify(f).head_since, EVENTS);
}

/* ------------------------------------------------------------------ the writer --------- */

static void test_rolled_back_batch_leaves_the_chain(void **state)
{
	struct fixture *f = *state;

	add_event(f, "B0", 20, 1, 100, "");
	f->items[0].head.len = 0;
	/* The second insertion of the batch fails. */
	add_event(f, "B1", 20, 1, 101, "");
	sqlite3_limit(store_test_connection(f->store), SQLITE_LIMIT_LENGTH, 200);
	static char large[400];
	memset(large, 'x', sizeof(large));
	f->items[1].body = (struct slice){large, sizeof(large)};
	assert_int_not_equal(write_added(f), 0);
	sqlite3_limit(store_test_connection(f->store), SQLITE_LIMIT_LENGTH, 1000000);
	verify(f);
	assert_string_equal(found, "");
}

static int try_to_open(struct fixture *f)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);

	return store_open_writer(f->path, ENVIRONMENT, &f->store, &problem);
}

static void test_store_with_another_event_of_that_number_is_refused(void **state)
{
	struct fixture *f = *state;

	close_store(f);
	/* As a store would be that was put back to an older state and went on from there. */
	sql_write(f, "UPDATE event SET link = zeroblob(32) WHERE event_id = 12");
	assert_int_equal(try_to_open(f), -ERR_STORE_ROLLED_BACK);
}

static void test_store_newer_than_its_head_is_opened(void **state)
{
	struct fixture *f = *state;
	char head[128];
	static char bytes[1024];
	FILE *file;
	size_t len;

	snprintf(head, sizeof(head), "%s.head", f->path);
	file = fopen(head, "r");
	len = fread(bytes, 1, sizeof(bytes), file);
	assert_in_range(len, 512, sizeof(bytes));
	fclose(file);
	take(f, "B0", 20, 1, 100, "");
	close_store(f);
	file = fopen(head, "w");
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
	verify(f);
	assert_string_equal(found, "");
	assert_int_equal(try_to_open(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_events, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_found_in_what_was_written),
		TEST(test_changed_body_is_named),
		TEST(test_changed_hash_of_a_body_is_named),
		TEST(test_every_changed_column_names_its_event_alone),
		TEST(test_changed_other_event_is_named),
		TEST(test_changed_name_of_an_order_names_its_events),
		TEST(test_order_bound_late_is_covered_from_there),
		TEST(test_missing_events_are_a_range),
		TEST(test_missing_newest_events_are_named_by_the_head),
		TEST(test_rewritten_newest_event_is_not_the_acknowledged_one),
		TEST(test_pruned_range_with_its_anchor_is_no_hole),
		TEST(test_erased_event_keeps_the_chain),
		TEST(test_state_that_is_not_the_fold_is_named),
		TEST(test_missing_head_is_told_and_made_anew),
		TEST(test_rolled_back_batch_leaves_the_chain),
		TEST(test_store_with_another_event_of_that_number_is_refused),
		TEST(test_store_newer_than_its_head_is_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
