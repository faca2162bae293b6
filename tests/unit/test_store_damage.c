/*
 * Readers on files that SQLite itself takes for good, but in which rows do not come in the order
 * that was asked for, or have numbers that were never given: none of them may go round for ever.
 */
#include "store_fixture.h"

#include <fcntl.h>

#define ORDERS 3

static int setup_orders(void **state)
{
	struct fixture *fixture;

	if (setup_store(state))
		return -1;
	fixture = *state;
	for (int i = 0; i < ORDERS; i++) {
		char iss[8];
		snprintf(iss, sizeof(iss), "T%d", i);
		take(fixture, iss, 20, 1, i, "");
	}
	close_store(fixture);
	return 0;
}

static int64_t number(const struct fixture *fixture, const char *query)
{
	int64_t value = 0;

	assert_int_equal(slice_to_i64(slice_of(sql(fixture, query)), 0, INT64_MAX, &value), 0);
	return value;
}

/* Puts the first cell of a table's only page behind the others. */
static void rotate_cells(const struct fixture *fixture, const char *root_query)
{
	int64_t page = number(fixture, root_query);
	int64_t page_bytes = number(fixture, "PRAGMA page_size");
	unsigned char head[8 + 2 * 64];
	unsigned char first[2];
	int fd = open(fixture->path, O_RDWR | O_CLOEXEC);
	off_t at = (off_t)((page - 1) * page_bytes);

	assert_true(fd >= 0 && page > 1);
	assert_int_equal(pread(fd, head, sizeof(head), at), sizeof(head));
	size_t n = (size_t)head[3] << 8 | head[4];
	assert_int_equal(head[0], 0x0d); /* a table's leaf */
	assert_in_range(n, 2, 64);
	memcpy(first, head + 8, 2);
	memmove(head + 8, head + 10, 2 * (n - 1));
	memcpy(head + 8 + 2 * (n - 1), first, 2);
	assert_int_equal(pwrite(fd, head, sizeof(head), at), sizeof(head));
	close(fd);
}

static void test_histories_of_orders_out_of_their_order_end(void **state)
{
	struct fixture *fixture = *state;
	struct store_history history = {.order_id = 0};
	int n = 0;
	int err;

	rotate_cells(fixture, "SELECT rootpage FROM sqlite_master WHERE name = 'orders'");
	open_reader(fixture);
	while ((err = store_next_history(fixture->reader, &history)) == 1 && n < 100)
		n++;
	store_history_release(&history);
	assert_int_equal(err, -ERR_STORE_CORRUPT);
	assert_true(n <= ORDERS);
	assert_non_null(strstr(store_reader_problem(fixture->reader), "order"));
}

static int count(struct store_cursor *cursor)
{
	struct store_row row;
	int n = 0;
	int err;

	while ((err = store_cursor_next(cursor, &row)) == 1 && n < 100000)
		n++;
	store_cursor_close(cursor);
	return err ? err : n;
}

/* Window by window to that number there would be 2^49 of them. */
static void test_orders_with_numbers_far_apart_are_all_listed(void **state)
{
	static const int64_t limits[] = {0, ORDERS};
	struct fixture *fixture = *state;

	sql_write(fixture, "UPDATE orders SET order_id = 4611686018427387904 WHERE order_id = 2");
	open_reader(fixture);
	for (int i = 0; i < 2; i++) {
		struct order_filter filter = {.limit = limits[i]};
		struct store_cursor *cursor = NULL;
		alarm(20);
		assert_int_equal(store_orders(fixture->reader, &filter, &cursor), 0);
		assert_int_equal(count(cursor), ORDERS);
		alarm(0);
	}
}

static void test_events_with_spans_far_apart_are_all_listed(void **state)
{
	static const int64_t limits[] = {0, ORDERS};
	struct fixture *fixture = *state;

	sql_write(fixture, "INSERT INTO event_span SELECT 2251799813685247, 9223372036854775807,"
			   " received_from_ms, received_to_ms FROM event_span LIMIT 1");
	open_reader(fixture);
	for (int i = 0; i < 2; i++) {
		struct event_filter filter = {.limit = limits[i]};
		struct store_cursor *cursor = NULL;
		alarm(20);
		assert_int_equal(store_events(fixture->reader, &filter, &cursor), 0);
		assert_int_equal(count(cursor), ORDERS);
		alarm(0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_histories_of_orders_out_of_their_order_end,
						setup_orders, teardown),
		cmocka_unit_test_setup_teardown(test_orders_with_numbers_far_apart_are_all_listed,
						setup_orders, teardown),
		cmocka_unit_test_setup_teardown(test_events_with_spans_far_apart_are_all_listed,
						setup_orders, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
