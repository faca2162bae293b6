/* The chain's encoding, and the head outside the database: torn, stale and foreign slots. */
#include "store_fixture.h"

#include <fcntl.h>

#define SLOT_BYTES 512

static void link_of(const struct chain_row *row, uint8_t ret[CHAIN_BYTES])
{
	uint8_t previous[CHAIN_BYTES] = {7};
	uint8_t private_sha256[CHAIN_BYTES];

	assert_int_equal(chain_private(row, private_sha256), 0);
	assert_int_equal(chain_link(previous, row, private_sha256, ret), 0);
}

static void expect_other_link(const struct chain_row *a, const struct chain_row *b)
{
	uint8_t x[CHAIN_BYTES];
	uint8_t y[CHAIN_BYTES];

	link_of(a, x);
	link_of(b, y);
	assert_memory_not_equal(x, y, CHAIN_BYTES);
}

static void test_every_column_is_in_the_link(void **state)
{
	(void)state;
	for (int i = 0; i < CHAIN_MAX; i++) {
		struct chain_row before = {.event_id = 5};
		struct chain_row after = before;
		struct chain_row other = before;
		after.values[i] = chain_integer(0);
		other.values[i] = chain_integer(1);
		expect_other_link(&before, &after);
		expect_other_link(&after, &other);
	}
}

static void test_number_and_body_are_in_the_link(void **state)
{
	struct chain_row before = {.event_id = 5};
	struct chain_row number = {.event_id = 6};
	struct chain_row body = {.event_id = 5, .body_sha256 = {1}};

	(void)state;
	expect_other_link(&before, &number);
	expect_other_link(&before, &body);
}

static void test_bytes_do_not_move_between_columns(void **state)
{
	struct chain_row a = {.event_id = 5};
	struct chain_row b = {.event_id = 5};

	(void)state;
	a.values[CHAIN_order_no] = chain_text_or_null("ab");
	a.values[CHAIN_shop_id] = chain_text_or_null("c");
	b.values[CHAIN_order_no] = chain_text_or_null("a");
	b.values[CHAIN_shop_id] = chain_text_or_null("bc");
	expect_other_link(&a, &b);
}

static void test_text_and_bytes_are_two_things(void **state)
{
	struct chain_row a = {.event_id = 5};
	struct chain_row b = {.event_id = 5};

	(void)state;
	a.values[CHAIN_head] = chain_blob(SLICE("x"));
	b.values[CHAIN_head] = chain_text_or_null("x");
	expect_other_link(&a, &b);
}

/* What is gathered and what is hashed from its place must make one string. */
static void test_long_value_is_hashed_like_its_parts(void **state)
{
	static char head[5000];
	struct chain_row row = {.event_id = 5};
	uint8_t expected[CHAIN_BYTES];
	uint8_t private_sha256[CHAIN_BYTES];
	const uint8_t prefix[] = {0, 0, 0, 0, CHAIN_TEXT, 0, 0, 0, 1};
	const uint8_t before_head[] = {CHAIN_BLOB, 0, 0, 0x13, 0x88};
	const struct slice parts[] = {{(const char *)prefix + 4, 5},
				      SLICE("c"),
				      {(const char *)prefix, 4},
				      {(const char *)before_head, 5},
				      {head, sizeof(head)}};

	(void)state;
	memset(head, 'h', sizeof(head));
	row.values[CHAIN_courier_id] = chain_text_or_null("c");
	row.values[CHAIN_head] = chain_blob((struct slice){head, sizeof(head)});
	assert_int_equal(digest_sha256(parts, 5, expected), 0);
	assert_int_equal(chain_private(&row, private_sha256), 0);
	assert_memory_equal(private_sha256, expected, CHAIN_BYTES);
}

/* ------------------------------------------------------------------ the head ----------- */

static const char id[] = "0123456789abcdef0123456789abcdef";

static void write_head(struct fixture *f, int64_t event_id)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	struct store_head_file file;
	struct store_head head = {.event_id = event_id, .since_event_id = 3, .link = {9}};

	memcpy(head.store_id, id, sizeof(id));
	assert_int_equal(store_head_open(f->path, false, &file, &problem), 0);
	store_head_write(&file, &head);
	assert_int_equal(store_head_sync(&file), 0);
	store_head_close(&file);
}

static void damage(struct fixture *f, off_t at)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s.head", f->path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff\xfe", 2, at), 2);
	close(fd);
}

static void expect_head(struct fixture *f, int64_t event_id)
{
	struct store_head head;

	assert_int_equal(store_head_read(f->path, &head), 0);
	assert_int_equal(head.event_id, event_id);
	assert_int_equal(head.since_event_id, 3);
	assert_int_equal(head.link[0], 9);
	assert_string_equal(head.store_id, id);
}

static void test_head_that_is_missing_is_not_found(void **state)
{
	struct store_head head;

	assert_int_equal(store_head_read(((struct fixture *)*state)->path, &head), -ERR_NOT_FOUND);
}

static void test_newer_slot_holds(void **state)
{
	for (int64_t event_id = 10; event_id < 15; event_id++) {
		write_head(*state, event_id);
		expect_head(*state, event_id);
	}
}

static void test_torn_write_leaves_the_word_before_it(void **state)
{
	write_head(*state, 10);
	write_head(*state, 11);
	damage(*state, SLOT_BYTES + 60);
	expect_head(*state, 10);
	/* The next write goes to the torn slot, not over the one that holds. */
	write_head(*state, 12);
	expect_head(*state, 12);
	damage(*state, SLOT_BYTES + 60);
	expect_head(*state, 10);
}

static void test_two_torn_slots_are_damage(void **state)
{
	struct store_head head;

	write_head(*state, 10);
	write_head(*state, 11);
	damage(*state, 60);
	damage(*state, SLOT_BYTES + 60);
	assert_int_equal(store_head_read(((struct fixture *)*state)->path, &head),
			 -ERR_STORE_CORRUPT);
}

#define TEST(name) cmocka_unit_test(name)
#define TEST_HEAD(name) cmocka_unit_test_setup_teardown(name, setup_dir, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_column_is_in_the_link),
		TEST(test_number_and_body_are_in_the_link),
		TEST(test_bytes_do_not_move_between_columns),
		TEST(test_text_and_bytes_are_two_things),
		TEST(test_long_value_is_hashed_like_its_parts),
		TEST_HEAD(test_head_that_is_missing_is_not_found),
		TEST_HEAD(test_newer_slot_holds),
		TEST_HEAD(test_torn_write_leaves_the_word_before_it),
		TEST_HEAD(test_two_torn_slots_are_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
