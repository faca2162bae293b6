/* The ring of refused deliveries: halves, counting, eviction, and that it never costs an event. */
#include "../../src/pipeline/hold_queue.h"
#include "store_fixture.h"

#define LIMIT_BYTES 8192 /* a half has room for a few deliveries of 1000 bytes */

static struct store_hold delivery(const char *body, bool ours)
{
	return (struct store_hold){.endpoint = "shansong",
				   .reason = "sign-wrong",
				   .remote = "127.0.0.1",
				   .head = SLICE("POST /callback HTTP/1.1\r\nHost: h\r\n"),
				   .body = slice_of(body),
				   .received_ms = BASE_MS,
				   .token_ok = ours,
				   .ours = ours};
}

static struct store_held_stats hold(struct fixture *fixture, const struct store_hold *holds,
				    size_t n)
{
	struct store_held_stats stats;

	fixture->store->ops->hold(fixture->store, holds, n);
	assert_int_equal(fixture->store->ops->write_batch(fixture->store, fixture->pointers, 0), 0);
	store_held_stats(fixture->store, &stats);
	return stats;
}

static int64_t ask(struct fixture *fixture, const char *sql)
{
	sqlite3_stmt *statement;
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READONLY, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	int64_t value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}

static void test_a_refused_delivery_is_kept_as_it_came(void **state)
{
	struct fixture *fixture = *state;
	struct store_hold one = delivery("{\"a\":1}", true);
	BUF_AUTO struct buf body = BUF_INIT(1024);
	BUF_AUTO struct buf head = BUF_INIT(1024);

	assert_int_equal(hold(fixture, &one, 1).held, 1);
	open_reader(fixture);
	assert_int_equal(store_raw_held(fixture->reader, 1, &body, &head), 0);
	assert_string_equal(body.data, "{\"a\":1}");
	assert_true(slice_equal(buf_slice(&head), one.head));
	assert_int_equal(store_raw_held(fixture->reader, 2, &body, &head), -ERR_NOT_FOUND);
	assert_int_equal(ask(fixture, "SELECT received = '2025-05-30T08:55:19.000Z' AND ours "
				      "AND reason = 'sign-wrong' FROM held_log"),
			 1);
}

static void test_an_identical_one_is_counted(void **state)
{
	struct fixture *fixture = *state;
	struct store_hold two[2] = {delivery("{}", true), delivery("{}", true)};

	two[1].received_ms += 60000;
	assert_int_equal(hold(fixture, two, 2).held, 1);
	assert_int_equal(ask(fixture, "SELECT deliveries FROM held"), 2);
	assert_int_equal(ask(fixture, "SELECT last_ms - received_ms FROM held"), 60000);
}

static void test_another_webhook_signature_is_another_delivery(void **state)
{
	struct fixture *fixture = *state;
	struct store_hold two[2] = {delivery("{}", true), delivery("{}", true)};

	two[0].head = SLICE("POST / HTTP/1.1\r\nwebhook-signature: v1,junk\r\n");
	two[1].head = SLICE("POST / HTTP/1.1\r\nWebhook-Signature: v1,right\r\n");
	assert_int_equal(hold(fixture, two, 2).held, 2);
}

static void test_the_oldest_of_a_full_half_goes(void **state)
{
	struct fixture *fixture = *state;
	char body[1001];
	struct store_held_stats stats = {0};

	store_held_limit(fixture->store, LIMIT_BYTES);
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	for (int i = 0; i < 10; i++) {
		body[0] = (char)('a' + i);
		struct store_hold one = delivery(body, true);
		stats = hold(fixture, &one, 1);
		assert_true(stats.bytes <= LIMIT_BYTES / 2);
	}
	assert_int_equal(stats.held + stats.evicted, 10);
	assert_int_equal(stats.held, 3);
	assert_int_equal(ask(fixture, "SELECT min(held_id) FROM held"), 8);
	assert_int_equal(ask(fixture, "SELECT sum(bytes) FROM held"), stats.bytes);
}

static void test_a_flood_of_strangers_pushes_no_real_one_out(void **state)
{
	struct fixture *fixture = *state;
	struct store_hold real = delivery("{\"issOrderNo\":\"TDH1\"}", true);
	char body[1001];

	store_held_limit(fixture->store, LIMIT_BYTES);
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	hold(fixture, &real, 1);
	for (int i = 0; i < 200; i++) {
		snprintf(body, 8, "%07d", i);
		body[7] = 'x';
		struct store_hold junk = delivery(body, false);
		hold(fixture, &junk, 1);
	}
	assert_int_equal(ask(fixture, "SELECT count(*) FROM held WHERE ours"), 1);
	assert_int_equal(ask(fixture, "SELECT count(*) FROM held WHERE NOT ours"), 3);
}

static void test_one_larger_than_its_half_is_not_kept(void **state)
{
	struct fixture *fixture = *state;
	char body[LIMIT_BYTES];
	struct store_hold big;

	store_held_limit(fixture->store, LIMIT_BYTES);
	memset(body, 'x', sizeof(body));
	big = delivery("{}", true);
	big.body = (struct slice){body, sizeof(body)};
	struct store_held_stats stats = hold(fixture, &big, 1);
	assert_int_equal(stats.held, 0);
	assert_int_equal(stats.failed, 1);
}

static void test_a_failing_one_does_not_fail_the_batch(void **state)
{
	struct fixture *fixture = *state;
	struct store_hold one = delivery("{}", true);
	struct store_held_stats stats;
	sqlite3 *db = ((struct sqlite_store *)fixture->store)->connection.db;

	/* What a damaged page or a full disk would do, but on purpose and always. */
	assert_int_equal(sqlite3_exec(db,
				      "CREATE TEMP TRIGGER broken BEFORE INSERT ON held BEGIN "
				      "SELECT RAISE(ABORT, 'broken'); END",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	add_event(fixture, "TDH1", 20, 1, 0, "");
	fixture->store->ops->hold(fixture->store, &one, 1);
	assert_int_equal(fixture->store->ops->write_batch(fixture->store, fixture->pointers, 1), 0);
	assert_int_equal(fixture->items[0].result.err, 0);
	store_held_stats(fixture->store, &stats);
	assert_int_equal(stats.held, 0);
	assert_int_equal(stats.failed, 1);
	assert_int_equal(ask(fixture, "SELECT count(*) FROM event"), 1);
}

static void test_the_ring_is_known_again_after_a_restart(void **state)
{
	struct fixture *fixture = *state;
	struct store_hold two[2] = {delivery("{}", true), delivery("[]", false)};
	struct store_held_stats before = hold(fixture, two, 2);
	struct store_held_stats after;

	close_store(fixture);
	open_store(fixture);
	store_held_stats(fixture->store, &after);
	assert_int_equal(after.held, 2);
	assert_int_equal(after.bytes, before.bytes);
}

static struct write_hold *new_hold(bool ours)
{
	struct write_hold *made = calloc(1, sizeof(*made));

	assert_non_null(made);
	made->ours = ours;
	return made;
}

static size_t put_many(struct hold_queue *queue, size_t n, bool ours, int64_t now_us)
{
	size_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		struct write_hold *one = new_hold(ours);
		if (hold_queue_put(queue, one, now_us))
			taken++;
		else
			write_hold_free(one);
	}
	return taken;
}

static void test_a_hundred_a_second_are_taken(void **state)
{
	struct hold_queue queue;

	(void)state;
	hold_queue_init(&queue, 0);
	assert_int_equal(put_many(&queue, 300, true, 0), WRITER_HOLDS_PER_SECOND);
	assert_int_equal(hold_queue_take(&queue), WRITER_HOLDS_PER_SECOND);
	hold_queue_drop_taken(&queue);
	assert_int_equal(put_many(&queue, 300, true, 500000), WRITER_HOLDS_PER_SECOND / 2);
	hold_queue_take(&queue);
	hold_queue_drop_taken(&queue);
	assert_int_equal(put_many(&queue, 300, true, 3600000000), WRITER_HOLDS_PER_SECOND);
	hold_queue_release(&queue);
}

static void test_the_queue_is_bounded(void **state)
{
	struct hold_queue queue;

	(void)state;
	hold_queue_init(&queue, 0);
	assert_int_equal(put_many(&queue, 100, true, 0) + put_many(&queue, 100, true, 1000000) +
				 put_many(&queue, 100, true, 2000000),
			 HOLD_QUEUE_MAX);
	hold_queue_release(&queue);
}

/* The half that the ring reserves is of no use to those who never reach it. */
static void test_however_much_junk_comes_ours_find_half_of_the_rate(void **state)
{
	struct hold_queue queue;
	size_t ours = 0;

	(void)state;
	hold_queue_init(&queue, 0);
	assert_int_equal(put_many(&queue, 300, false, 0), WRITER_HOLDS_PER_SECOND / 2);
	assert_int_equal(put_many(&queue, 300, true, 0), WRITER_HOLDS_PER_SECOND / 2);
	hold_queue_take(&queue);
	hold_queue_drop_taken(&queue);
	/* Both halves ask for more than there is: what comes in is for ours. */
	for (int64_t now_us = 10000; now_us <= 1000000; now_us += 10000) {
		assert_int_equal(put_many(&queue, 10, false, now_us), 0);
		ours += put_many(&queue, 10, true, now_us);
	}
	assert_int_equal(ours, WRITER_HOLDS_PER_SECOND);
	hold_queue_release(&queue);
}

static void test_a_queue_that_is_full_of_junk_has_room_for_a_second_of_ours(void **state)
{
	struct hold_queue queue;
	size_t junk = 0;

	(void)state;
	hold_queue_init(&queue, 0);
	for (int64_t now_us = 0; now_us <= 10000000; now_us += 10000)
		junk += put_many(&queue, 10, false, now_us);
	assert_int_equal(junk, HOLD_QUEUE_STRANGERS);
	/* All that the bucket holds, and what a second adds to it. */
	assert_int_equal(put_many(&queue, 300, true, 20000000) +
				 put_many(&queue, 300, true, 21000000),
			 2 * WRITER_HOLDS_PER_SECOND);
	hold_queue_release(&queue);
}

static void test_without_ours_strangers_get_the_whole_rate(void **state)
{
	struct hold_queue queue;
	size_t junk = 0;

	(void)state;
	hold_queue_init(&queue, 0);
	put_many(&queue, 300, false, 0);
	for (int64_t now_us = 10000; now_us <= 1000000; now_us += 10000) {
		hold_queue_take(&queue);
		hold_queue_drop_taken(&queue);
		junk += put_many(&queue, 10, false, now_us);
	}
	assert_int_equal(junk, WRITER_HOLDS_PER_SECOND);
	hold_queue_release(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown)
		STORE_TEST(test_a_refused_delivery_is_kept_as_it_came),
		STORE_TEST(test_an_identical_one_is_counted),
		STORE_TEST(test_another_webhook_signature_is_another_delivery),
		STORE_TEST(test_the_oldest_of_a_full_half_goes),
		STORE_TEST(test_a_flood_of_strangers_pushes_no_real_one_out),
		STORE_TEST(test_one_larger_than_its_half_is_not_kept),
		STORE_TEST(test_a_failing_one_does_not_fail_the_batch),
		STORE_TEST(test_the_ring_is_known_again_after_a_restart),
		cmocka_unit_test(test_a_hundred_a_second_are_taken),
		cmocka_unit_test(test_the_queue_is_bounded),
		cmocka_unit_test(test_however_much_junk_comes_ours_find_half_of_the_rate),
		cmocka_unit_test(test_a_queue_that_is_full_of_junk_has_room_for_a_second_of_ours),
		cmocka_unit_test(test_without_ours_strangers_get_the_whole_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
