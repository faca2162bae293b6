/* The rows of orders that the writer keeps between batches must never be older than the store's. */
#include "store_fixture.h"

#define ORDER "SELECT status, sub_status, order_no, events FROM order_state"

static struct order_cache *cache_of(struct fixture *fixture)
{
	return &((struct sqlite_store *)fixture->store)->orders;
}

static bool is_kept(struct fixture *fixture, const char *iss)
{
	return order_cache_find(cache_of(fixture), 1, iss) != NULL;
}

static void test_row_is_kept_from_one_batch_to_the_next(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	assert_true(is_kept(f, "A"));
	assert_false(is_kept(f, "B"));
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_APPLIED);
	assert_true(is_kept(f, "A"));
	assert_string_equal(sql(f, ORDER), "30|1|no-A|2");
}

static void test_same_number_at_another_endpoint_is_not_found(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	assert_null(order_cache_find(cache_of(f), 2, "A"));
}

static void test_change_by_another_process_is_seen(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	sql_write(f, "UPDATE orders SET order_no = 'another'");
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_MISMATCH);
	assert_string_equal(sql(f, ORDER), "20|1|another|2");
}

static void test_change_by_another_commit_of_the_writers_connection_is_seen(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	assert_int_equal(sqlite3_exec(store_test_connection(f->store),
				      "UPDATE orders SET order_no = 'another'", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_MISMATCH);
}

static void test_rows_of_a_batch_that_failed_are_forgotten(void **state)
{
	struct fixture *f = *state;
	static char body[4000];
	sqlite3 *db = store_test_connection(f->store);
	char pragma[64];

	take(f, "A", 20, 1, 0, "");
	snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count = %s", sql(f, "PRAGMA page_count"));
	assert_int_equal(sqlite3_exec(db, pragma, NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 20; i++) {
		add_event(f, "A", 30, 1, 10 + i, "c");
		f->items[i].body = (struct slice){body, sizeof(body)};
	}
	assert_int_equal(write_added(f), -ERR_STORE_FULL);
	assert_false(is_kept(f, "A"));
	sqlite3_exec(db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
	assert_int_equal(take(f, "A", 30, 1, 1, "c"), VERDICT_APPLIED);
	assert_string_equal(sql(f, ORDER), "30|1|no-A|2");
}

static void test_receipt_of_a_duplicate_is_in_the_kept_row(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 20, 1, 0, "")->received_ms = BASE_MS + 60000;
	assert_int_equal(write_one(f), VERDICT_DUPLICATE);
	assert_true(is_kept(f, "A"));
	assert_int_equal(order_cache_find(cache_of(f), 1, "A")->last_received_ms, BASE_MS + 60000);
	take(f, "A", 30, 1, 1, "c");
	assert_string_equal(sql(f, "SELECT last_received FROM order_state"),
			    "2025-05-30T08:56:19.000Z");
}

/* More orders than there are slots: who loses one is read again. */
static void test_order_that_lost_its_slot_is_read_from_the_store(void **state)
{
	struct fixture *f = *state;
	char iss[16];

	take(f, "first", 20, 1, 0, "");
	for (int i = 0; i < 20000 && is_kept(f, "first"); i++) {
		struct order_row row = {.order_id = 1};
		snprintf(iss, sizeof(iss), "o%d", i);
		order_cache_keep(cache_of(f), 1, iss, &row);
	}
	assert_false(is_kept(f, "first"));
	assert_int_equal(take(f, "first", 30, 1, 1, "c"), VERDICT_APPLIED);
	assert_string_equal(sql(f, ORDER), "30|1|no-first|2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_row_is_kept_from_one_batch_to_the_next),
		TEST(test_same_number_at_another_endpoint_is_not_found),
		TEST(test_change_by_another_process_is_seen),
		TEST(test_change_by_another_commit_of_the_writers_connection_is_seen),
		TEST(test_rows_of_a_batch_that_failed_are_forgotten),
		TEST(test_receipt_of_a_duplicate_is_in_the_kept_row),
		TEST(test_order_that_lost_its_slot_is_read_from_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
