/* The store's readers: filters, the newest ones, pages, and reading beside the writer. */
#include "store_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

/* The values of one column, joined by blanks. */
static const char *drain(struct store_cursor *cursor, int column)
{
	static char text[65536];
	struct store_row row;
	size_t len = 0;
	int rc;

	text[0] = '\0';
	while ((rc = store_cursor_next(cursor, &row)) == 1) {
		const struct store_value *value = &row.values[column];
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s", len ? " " : "",
					value->type == STORE_NULL ? 4 : (int)value->text.len,
					value->type == STORE_NULL ? "NULL" : value->text.at);
		assert_true(len < sizeof(text));
	}
	assert_int_equal(rc, 0);
	assert_int_equal(store_cursor_next(cursor, &row), 0);
	store_cursor_close(cursor);
	return text;
}

static const char *events(struct fixture *f, struct event_filter filter)
{
	struct store_cursor *cursor = NULL;

	assert_int_equal(store_events(f->reader, &filter, &cursor), 0);
	return drain(cursor, EVENT_COL_event_id);
}

static const char *orders(struct fixture *f, struct order_filter filter)
{
	struct store_cursor *cursor = NULL;

	assert_int_equal(store_orders(f->reader, &filter, &cursor), 0);
	return drain(cursor, ORDER_COL_iss_order_no);
}

/*
 * Event by event, with the second that it happened at:
 *   order A  1 20/1 at 0   4 30/1 at 10   5 40/1 at 30   7 20/2 at 20, late
 *   order B  2 20/1 at 5   6 99/1 at 40, unknown, signed
 *   order C  3 20/1 at 5, at the endpoint "backup", of another shop, with A's orderNo
 */
static int setup_three(void **state)
{
	struct fixture *f;

	if (setup_store(state))
		return -1;
	f = *state;
	take(f, "A", 20, 1, 0, "");
	take(f, "B", 20, 1, 5, "");
	snprintf(add_event(f, "C", 20, 1, 5, "")->order_no, EVENT_ID_BYTES_MAX, "no-A");
	snprintf(f->events[0].shop_id, EVENT_ID_BYTES_MAX, "shop-2");
	f->items[0].endpoint = "backup";
	write_one(f);
	take(f, "A", 30, 1, 10, "C1");
	take(f, "A", 40, 1, 30, "C1");
	add_event(f, "B", 99, 1, 40, "")->auth = EVENT_AUTH_SIGNED;
	assert_int_equal(write_one(f), VERDICT_UNKNOWN);
	assert_int_equal(take(f, "A", 20, 2, 20, ""), VERDICT_LATE);
	open_reader(f);
	return 0;
}

static void test_events_come_in_the_order_of_arrival(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(events(f, (struct event_filter){0}), "1 2 3 4 5 6 7");
}

static void test_an_orders_events_by_either_number(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(events(f, (struct event_filter){.order = "A"}), "1 4 5 7");
	assert_string_equal(events(f, (struct event_filter){.order = "no-A"}), "1 3 4 5 7");
	assert_string_equal(events(f, (struct event_filter){.order = "no-B"}), "2 6");
	assert_string_equal(events(f, (struct event_filter){.order = "nothing"}), "");
	assert_string_equal(events(f, (struct event_filter){.order = ""}), "");
}

static void test_events_in_the_order_of_the_fold(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(events(f, (struct event_filter){.order = "A", .by_occurred = true}),
			    "1 4 7 5");
	assert_string_equal(events(f, (struct event_filter){.by_occurred = true, .limit = 3}),
			    "7 5 6");
	assert_string_equal(
		events(f, (struct event_filter){.order = "A", .by_occurred = true, .limit = 2}),
		"7 5");
}

static void test_the_newest_events_oldest_first(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(events(f, (struct event_filter){.limit = 3}), "5 6 7");
	assert_string_equal(events(f, (struct event_filter){.limit = 100}), "1 2 3 4 5 6 7");
	assert_string_equal(events(f, (struct event_filter){.limit = 2, .after_id = 6}), "7");
	assert_string_equal(events(f, (struct event_filter){.limit = 2, .order = "A"}), "5 7");
}

static void test_events_are_filtered(void **state)
{
	struct fixture *f = *state;
	const uint32_t late = 1u << VERDICT_LATE;
	const uint32_t unknown = 1u << VERDICT_UNKNOWN;

	assert_string_equal(events(f, (struct event_filter){.verdicts = late}), "7");
	assert_string_equal(events(f, (struct event_filter){.verdicts = late | unknown}), "6 7");
	assert_string_equal(events(f, (struct event_filter){.auth = EVENT_AUTH_SIGNED + 1}), "6");
	assert_string_equal(
		events(f, (struct event_filter){.auth = EVENT_AUTH_TOKEN + 1, .order = "B"}), "2");
	assert_string_equal(events(f, (struct event_filter){.endpoint = "backup"}), "3");
	assert_string_equal(events(f, (struct event_filter){.endpoint = "backup", .order = "no-A"}),
			    "3");
	assert_string_equal(events(f, (struct event_filter){.endpoint = "nowhere"}), "");
	assert_string_equal(events(f, (struct event_filter){.after_id = 5}), "6 7");
	assert_string_equal(events(f, (struct event_filter){.after_id = 4, .order = "A"}), "5 7");
	assert_string_equal(events(f, (struct event_filter){.after_id = 7}), "");
	/* Received a second after they happened; [from, to). */
	assert_string_equal(events(f, (struct event_filter){.received_from_ms = BASE_MS + 6000,
							    .received_to_ms = BASE_MS + 31000}),
			    "2 3 4 7");
	assert_string_equal(
		events(f, (struct event_filter){.received_from_ms = BASE_MS + 31000, .limit = 1}),
		"6");
	assert_string_equal(events(f, (struct event_filter){.received_from_ms = BASE_MS + 41001}),
			    "");
}

static void test_orders_are_filtered(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(orders(f, (struct order_filter){0}), "A B C");
	assert_string_equal(orders(f, (struct order_filter){.status = 20}), "B C");
	assert_string_equal(orders(f, (struct order_filter){.shop_id = "shop-2"}), "C");
	assert_string_equal(orders(f, (struct order_filter){.order = "no-A"}), "A C");
	assert_string_equal(orders(f, (struct order_filter){.order = "no-A", .limit = 1}), "C");
	assert_string_equal(orders(f, (struct order_filter){.order = "A", .status = 20}), "");
	assert_string_equal(orders(f, (struct order_filter){.since_before_ms = BASE_MS + 5001}),
			    "B C");
	assert_string_equal(orders(f, (struct order_filter){.since_before_ms = BASE_MS + 5000}),
			    "");
	assert_string_equal(orders(f, (struct order_filter){.received_from_ms = BASE_MS + 31000}),
			    "A B");
	assert_string_equal(orders(f, (struct order_filter){.received_to_ms = BASE_MS + 31000}),
			    "C");
	assert_string_equal(orders(f, (struct order_filter){.limit = 2}), "B C");
	assert_string_equal(orders(f, (struct order_filter){.limit = 2, .status = 40}), "A");
}

static void test_filters_are_data_and_no_sql(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(orders(f, (struct order_filter){.order = "' OR 1=1 --"}), "");
	assert_string_equal(events(f, (struct event_filter){.endpoint = "x') OR ('1'='1"}), "");
}

static void test_values_have_types_and_text(void **state)
{
	struct fixture *f = *state;
	struct store_cursor *cursor = NULL;
	struct event_filter filter = {.after_id = 5, .limit = 2};
	struct store_row row;

	assert_int_equal(store_events(f->reader, &filter, &cursor), 0);
	assert_int_equal(store_cursor_next(cursor, &row), 1);
	assert_int_equal(row.n, EVENT_COL_MAX);
	assert_int_equal(row.values[EVENT_COL_event_id].type, STORE_INTEGER);
	assert_int_equal(row.values[EVENT_COL_event_id].integer, 6);
	assert_true(slice_equal_string(row.values[EVENT_COL_event_id].text, "6"));
	assert_int_equal(row.values[EVENT_COL_auth].type, STORE_TEXT);
	assert_true(slice_equal_string(row.values[EVENT_COL_auth].text, "signed"));
	assert_true(slice_equal_string(row.values[EVENT_COL_received].text,
				       "2025-05-30T08:56:00.000Z"));
	assert_int_equal(row.values[EVENT_COL_notes].type, STORE_NULL);
	assert_null(row.values[EVENT_COL_notes].text.at);
	store_cursor_close(cursor);
	store_cursor_close(NULL);
}

static void test_event_as_the_fold_takes_it(void **state)
{
	struct fixture *f = *state;
	struct order_event event = {0};

	assert_int_equal(store_fold_event(f->reader, 99, &event), -ERR_NOT_FOUND);
	assert_int_equal(event.id, 0);
	assert_int_equal(store_fold_event(f->reader, 5, &event), 0);
	assert_int_equal(event.id, 5);
	assert_int_equal(event.occurred_ms, BASE_MS + 30000);
	assert_int_equal(event.received_ms, BASE_MS + 31000);
	assert_int_equal(event.status, 40);
	assert_int_equal(event.sub_status, 1);
	assert_int_equal(event.verdict, VERDICT_APPLIED);
	assert_string_equal(event.courier_id, "C1");
}

/* ------------------------------------------------------------------ pages -------------- */

#define MANY 9000 /* more than two windows of events, more than one of orders */

/* Order number i is received i seconds after the start; every third is signed. */
static int setup_many(void **state)
{
	struct fixture *f;

	if (setup_store(state))
		return -1;
	f = *state;
	for (int i = 0; i < MANY; i++) {
		char iss[32];
		snprintf(iss, sizeof(iss), "M%05d", i);
		add_event(f, iss, 20, 1, i, "")->auth =
			i % 3 ? EVENT_AUTH_TOKEN : EVENT_AUTH_SIGNED;
		if (f->n_items == ITEMS_MAX || i == MANY - 1)
			assert_int_equal(write_added(f), 0);
	}
	open_reader(f);
	return 0;
}

/* The first and the last number, and how many. They must rise. */
struct extent {
	int64_t first;
	int64_t last;
	int64_t n;
};

static struct extent measure(struct store_cursor *cursor)
{
	struct extent extent = {0};
	struct store_row row;
	int rc;

	while ((rc = store_cursor_next(cursor, &row)) == 1) {
		int64_t id = row.values[EVENT_COL_event_id].integer;
		assert_true(id > extent.last);
		extent.last = id;
		extent.first = extent.first ? extent.first : id;
		extent.n++;
	}
	assert_int_equal(rc, 0);
	store_cursor_close(cursor);
	return extent;
}

static void expect_extent(struct fixture *f, struct event_filter filter, int64_t first,
			  int64_t last, int64_t n)
{
	struct store_cursor *cursor = NULL;
	struct extent extent;

	assert_int_equal(store_events(f->reader, &filter, &cursor), 0);
	extent = measure(cursor);
	assert_int_equal(extent.first, first);
	assert_int_equal(extent.last, last);
	assert_int_equal(extent.n, n);
}

static void test_pages_neither_lose_nor_repeat(void **state)
{
	struct fixture *f = *state;
	struct store_cursor *cursor = NULL;
	struct order_filter all = {0};
	struct store_row row;
	int64_t n = 0;

	expect_extent(f, (struct event_filter){0}, 1, MANY, MANY);
	expect_extent(f, (struct event_filter){.limit = 5000}, MANY - 4999, MANY, 5000);
	expect_extent(f, (struct event_filter){.by_occurred = true}, 1, MANY, MANY);
	expect_extent(f, (struct event_filter){.by_occurred = true, .limit = 70}, MANY - 69, MANY,
		      70);
	expect_extent(f, (struct event_filter){.auth = EVENT_AUTH_SIGNED + 1}, 1, MANY - 2,
		      MANY / 3);
	expect_extent(f, (struct event_filter){.auth = EVENT_AUTH_SIGNED + 1, .limit = 2000},
		      MANY - 2 - 3 * 1999, MANY - 2, 2000);
	/* At the edges of the windows of 4096. */
	expect_extent(f, (struct event_filter){.after_id = 4094}, 4095, MANY, MANY - 4094);
	expect_extent(f, (struct event_filter){.after_id = 4095}, 4096, MANY, MANY - 4095);
	expect_extent(f, (struct event_filter){.after_id = 4096}, 4097, MANY, MANY - 4096);
	expect_extent(f, (struct event_filter){.limit = MANY - 4096}, 4097, MANY, MANY - 4096);
	expect_extent(f, (struct event_filter){.limit = MANY - 4095}, 4096, MANY, MANY - 4095);

	assert_int_equal(store_orders(f->reader, &all, &cursor), 0);
	while (store_cursor_next(cursor, &row) == 1)
		n++;
	store_cursor_close(cursor);
	assert_int_equal(n, MANY);
	assert_string_equal(orders(f, (struct order_filter){.limit = 2}), "M08998 M08999");
	assert_string_equal(
		orders(f, (struct order_filter){.limit = 3, .received_to_ms = BASE_MS + 3 * 1000}),
		"M00000 M00001");
}

static void test_times_of_receipt_are_found_in_their_spans(void **state)
{
	struct fixture *f = *state;

	/* Event i + 1 was received at i + 1 seconds. */
	for (int64_t from = 4090; from < 4100; from++)
		expect_extent(f,
			      (struct event_filter){.received_from_ms = BASE_MS + from * 1000,
						    .received_to_ms = BASE_MS + (from + 3) * 1000},
			      from, from + 2, 3);
	/* A readmitted one has the time of long ago, and the newest number. */
	add_event(f, "old", 20, 1, -1000000, "")->source = EVENT_READMIT;
	write_one(f);
	expect_extent(f, (struct event_filter){.received_to_ms = BASE_MS}, MANY + 1, MANY + 1, 1);
	expect_extent(f, (struct event_filter){.received_to_ms = BASE_MS, .limit = 10}, MANY + 1,
		      MANY + 1, 1);
}

static void test_spans_that_cannot_match_are_not_read(void **state)
{
	struct fixture *f = *state;
	struct event_filter filter = {.received_from_ms = BASE_MS + (MANY - 1) * 1000, .limit = 50};
	struct store_cursor *cursor = NULL;
	struct statement *down = &f->reader->statements[R_events_down];

	sqlite3_stmt_status(down->handle, SQLITE_STMTSTATUS_RUN, 1);
	assert_int_equal(store_events(f->reader, &filter, &cursor), 0);
	assert_int_equal(measure(cursor).n, 2);
	assert_int_equal(sqlite3_stmt_status(down->handle, SQLITE_STMTSTATUS_RUN, 0), 1);
}

static void test_rows_written_meanwhile_come_when_asked_for_again(void **state)
{
	struct fixture *f = *state;
	struct event_filter filter = {0};
	struct store_cursor *cursor = NULL;
	struct store_row row;

	assert_int_equal(store_events(f->reader, &filter, &cursor), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(store_cursor_next(cursor, &row), 1);
	take(f, "new", 20, 1, 0, "");
	struct extent rest = measure(cursor);
	assert_int_equal(rest.first, 101);
	assert_int_equal(rest.last, MANY);
	expect_extent(f, (struct event_filter){.after_id = MANY}, MANY + 1, MANY + 1, 1);
}

static void test_slow_reader_does_not_hold_the_log(void **state)
{
	struct fixture *f = *state;
	struct event_filter filter = {0};
	struct order_filter order_filter = {0};
	struct store_cursor *cursors[2] = {NULL, NULL};
	struct store_row row;
	int pages = -1;
	int copied = -1;

	assert_int_equal(store_events(f->reader, &filter, &cursors[0]), 0);
	assert_int_equal(store_orders(f->reader, &order_filter, &cursors[1]), 0);
	assert_int_equal(store_cursor_next(cursors[0], &row), 1);
	assert_int_equal(store_cursor_next(cursors[1], &row), 1);
	take(f, "new", 20, 1, 0, "");
	/* All of it can be copied, and the log begin anew, while both are in the middle. */
	assert_int_equal(sqlite3_wal_checkpoint_v2(store_test_connection(f->store), "main",
						   SQLITE_CHECKPOINT_RESTART, &pages, &copied),
			 SQLITE_OK);
	assert_int_equal(pages, copied);
	assert_int_equal(store_cursor_next(cursors[0], &row), 1);
	store_cursor_close(cursors[0]);
	store_cursor_close(cursors[1]);
}

/* ------------------------------------------------------------------ beside the writer -- */

struct beside {
	struct fixture *fixture;
	atomic_bool stop;
	int64_t rounds;
};

/* Follows the log: no event may be missing or come twice, whatever is written meanwhile. */
static void *follow(void *arg)
{
	struct beside *beside = arg;
	struct store_reader *reader = NULL;
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	int64_t last = 0;
	bool more = true;

	if (store_open_reader(beside->fixture->path, &reader, &problem))
		return (void *)"open";
	while (more) {
		struct event_filter filter = {.after_id = last};
		struct store_cursor *cursor = NULL;
		struct store_row row;
		int rc;
		/* One more round after the last batch. */
		more = !atomic_load(&beside->stop);
		if (store_events(reader, &filter, &cursor))
			return (void *)"events";
		while ((rc = store_cursor_next(cursor, &row)) == 1) {
			if (row.values[EVENT_COL_event_id].integer != ++last)
				return (void *)"gap";
		}
		store_cursor_close(cursor);
		if (rc)
			return (void *)"next";
		beside->rounds++;
	}
	store_reader_close(reader);
	return last == 6400 ? NULL : (void *)"last";
}

static void test_reader_beside_the_writer_misses_nothing(void **state)
{
	struct fixture *f = *state;
	struct beside beside = {.fixture = f};
	pthread_t thread;
	void *wrong = NULL;

	assert_int_equal(pthread_create(&thread, NULL, follow, &beside), 0);
	for (int i = 0; i < 6400; i++) {
		char iss[32];
		snprintf(iss, sizeof(iss), "F%d", i / 5);
		add_event(f, iss, 20, 1, i, "");
		if (f->n_items == ITEMS_MAX)
			assert_int_equal(write_added(f), 0);
	}
	atomic_store(&beside.stop, true);
	pthread_join(thread, &wrong);
	if (wrong)
		fail_msg("reader: %s", (const char *)wrong);
	assert_true(beside.rounds > 1);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_events_come_in_the_order_of_arrival, setup_three),
		TEST(test_an_orders_events_by_either_number, setup_three),
		TEST(test_events_in_the_order_of_the_fold, setup_three),
		TEST(test_the_newest_events_oldest_first, setup_three),
		TEST(test_events_are_filtered, setup_three),
		TEST(test_orders_are_filtered, setup_three),
		TEST(test_filters_are_data_and_no_sql, setup_three),
		TEST(test_values_have_types_and_text, setup_three),
		TEST(test_event_as_the_fold_takes_it, setup_three),
		TEST(test_pages_neither_lose_nor_repeat, setup_many),
		TEST(test_times_of_receipt_are_found_in_their_spans, setup_many),
		TEST(test_spans_that_cannot_match_are_not_read, setup_many),
		TEST(test_rows_written_meanwhile_come_when_asked_for_again, setup_many),
		TEST(test_slow_reader_does_not_hold_the_log, setup_many),
		TEST(test_reader_beside_the_writer_misses_nothing, setup_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
