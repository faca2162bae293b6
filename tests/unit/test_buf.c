/* Slices and bounded buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "orderhook/buf.h"
#include "orderhook/err.h"

/* An allocation that cannot be had is NULL under the sanitizers, too. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static const struct slice absent = {NULL, 0};

static void test_absent_and_empty_slices_are_equal(void **state)
{
	(void)state;
	assert_null(slice_of(NULL).at);
	assert_int_equal(slice_of(NULL).len, 0);
	assert_true(slice_equal(absent, SLICE("")));
	assert_true(slice_equal_string(absent, ""));
	assert_true(slice_equal_nocase(SLICE(""), absent));
	assert_true(slice_starts_with(absent, absent));
	assert_null(slice_trim(absent).at);
}

static void test_equality_looks_at_every_byte(void **state)
{
	(void)state;
	assert_true(slice_equal(SLICE("a\0b"), SLICE("a\0b")));
	assert_false(slice_equal(SLICE("a\0b"), SLICE("a\0c")));
	assert_false(slice_equal(SLICE("ab"), SLICE("abc")));
	assert_true(slice_equal_string(SLICE("abc"), "abc"));
	assert_false(slice_equal_string(SLICE("abc"), "abd"));
	assert_false(slice_equal_string(SLICE("a\0b"), "a"));
}

static void test_nocase_folds_ascii_letters_and_nothing_else(void **state)
{
	(void)state;
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char x = (char)a;
			char y = (char)b;
			bool letters = (a | 32) >= 'a' && (a | 32) <= 'z' && (a | 32) == (b | 32);
			assert_int_equal(
				slice_equal_nocase((struct slice){&x, 1}, (struct slice){&y, 1}),
				a == b || letters);
		}
	}
	assert_true(slice_equal_nocase(SLICE("Content-Type"), SLICE("cONTENT-tYPE")));
	assert_false(slice_equal_nocase(SLICE("Content-Type"), SLICE("Content-Typ")));
}

static void test_prefix(void **state)
{
	(void)state;
	assert_true(slice_starts_with(SLICE("whsec_abc"), SLICE("whsec_")));
	assert_true(slice_starts_with(SLICE("abc"), SLICE("abc")));
	assert_true(slice_starts_with(SLICE("abc"), SLICE("")));
	assert_false(slice_starts_with(SLICE("ab"), SLICE("abc")));
	assert_false(slice_starts_with(SLICE("xabc"), SLICE("abc")));
}

static void test_find_gives_the_first_occurrence(void **state)
{
	struct slice s = SLICE("one\0two one");

	(void)state;
	assert_ptr_equal(slice_find(s, SLICE("one")), s.at);
	assert_ptr_equal(slice_find(s, SLICE("two")), s.at + 4);
	assert_ptr_equal(slice_find(s, SLICE("e\0t")), s.at + 2);
	assert_ptr_equal(slice_find(s, SLICE("")), s.at);
	assert_null(slice_find(s, SLICE("three")));
	assert_null(slice_find(SLICE("on"), SLICE("one")));
	/* Bytes behind the slice are not part of it. */
	assert_null(slice_find((struct slice){s.at, 6}, SLICE("two")));
}

static void test_trim_takes_blanks_and_tabs_off_both_ends(void **state)
{
	(void)state;
	assert_true(slice_equal_string(slice_trim(SLICE(" \t a b\t ")), "a b"));
	assert_true(slice_equal_string(slice_trim(SLICE("\na\r")), "\na\r"));
	assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
}

static void test_copy_needs_room_for_its_nul(void **state)
{
	char out[4] = "old";

	(void)state;
	assert_int_equal(slice_copy(SLICE("four"), out, sizeof(out)), -ERR_TOO_LONG);
	assert_string_equal(out, "old");
	assert_int_equal(slice_copy(SLICE("one"), out, sizeof(out)), 0);
	assert_string_equal(out, "one");
	assert_int_equal(slice_copy(absent, out, 1), 0);
	assert_string_equal(out, "");
	assert_int_equal(slice_copy(absent, out, 0), -ERR_TOO_LONG);
}

static void test_unsigned_numbers_within_their_maximum(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		uint64_t value;
	} rows[] = {
		{"0", 0, 0},
		{"000", 0, 0},
		{"007", 7, 7},
		{"999", 999, 999},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX},
		{"0000000000000000000000018446744073709551615", UINT64_MAX, UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 1;
		assert_int_equal(slice_to_u64(slice_of(rows[i].text), rows[i].max, &value), 0);
		assert_true(value == rows[i].value);
	}
}

static void test_unsigned_number_out_of_range_leaves_the_output_alone(void **state)
{
	uint64_t value = 42;

	(void)state;
	assert_int_equal(slice_to_u64(SLICE("1000"), 999, &value), -ERR_RANGE);
	assert_int_equal(slice_to_u64(SLICE("1"), 0, &value), -ERR_RANGE);
	assert_int_equal(slice_to_u64(SLICE("18446744073709551616"), UINT64_MAX, &value),
			 -ERR_RANGE);
	assert_int_equal(slice_to_u64(SLICE("18446744073709551620"), UINT64_MAX, &value),
			 -ERR_RANGE);
	/* 2^64 + 5, which a wrapping sum takes for 5. */
	assert_int_equal(slice_to_u64(SLICE("18446744073709551621"), 999, &value), -ERR_RANGE);
	assert_int_equal(slice_to_u64(SLICE("36893488147419103237"), 999, &value), -ERR_RANGE);
	assert_int_equal(value, 42);
}

static void test_what_is_no_number_is_syntax_however_long_it_is(void **state)
{
	static const char *const texts[] = {
		"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "一", "99999999999999999999999x",
	};
	uint64_t value = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(slice_to_u64(slice_of(texts[i]), 999, &value), -ERR_SYNTAX);
	assert_int_equal(slice_to_u64(absent, 999, &value), -ERR_SYNTAX);
	assert_int_equal(value, 42);
}

static void test_signed_numbers_reach_both_ends_of_their_type(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} rows[] = {
		{"0", 0},
		{"-0", 0},
		{"-007", -7},
		{"9223372036854775807", INT64_MAX},
		{"-9223372036854775807", -INT64_MAX},
		{"-9223372036854775808", INT64_MIN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t value = 1;
		assert_int_equal(slice_to_i64(slice_of(rows[i].text), INT64_MIN, INT64_MAX, &value),
				 0);
		assert_true(value == rows[i].value);
	}
}

static void test_signed_number_refused_leaves_the_output_alone(void **state)
{
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{"9223372036854775808", -ERR_RANGE},
		{"-9223372036854775809", -ERR_RANGE},
		{"-11", -ERR_RANGE},
		{"11", -ERR_RANGE},
		{"", -ERR_SYNTAX},
		{"-", -ERR_SYNTAX},
		{"--1", -ERR_SYNTAX},
		{"+1", -ERR_SYNTAX},
		{"- 1", -ERR_SYNTAX},
	};
	int64_t value = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(slice_to_i64(slice_of(rows[i].text), -10, 10, &value),
				 rows[i].err);
	assert_int_equal(value, 42);
}

static void test_buf_grows_and_stays_terminated(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(100000);

	(void)state;
	assert_true(slice_equal_string(buf_slice(&buf), ""));
	assert_non_null(buf_slice(&buf).at);
	for (size_t i = 0; i < 100000; i++) {
		assert_int_equal(buf_add_char(&buf, (char)('a' + i % 26)), 0);
		assert_int_equal(buf.len, i + 1);
		assert_int_equal(buf.data[i + 1], '\0');
	}
	for (size_t i = 0; i < buf.len; i++)
		assert_int_equal(buf.data[i], 'a' + i % 26);
}

static void test_buf_takes_every_kind_of_bytes(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(100);

	(void)state;
	assert_int_equal(buf_add_string(&buf, "one"), 0);
	assert_int_equal(buf_add_slice(&buf, SLICE("\0two")), 0);
	assert_int_equal(buf_add_slice(&buf, absent), 0);
	assert_int_equal(buf_add(&buf, NULL, 0), 0);
	assert_int_equal(buf_addf(&buf, " %d %s", -3, "four"), 0);
	assert_true(slice_equal(buf_slice(&buf), SLICE("one\0two -3 four")));
}

static void test_buf_at_its_limit_stays_as_it_is(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(5);

	(void)state;
	assert_int_equal(buf_add_string(&buf, "123456"), -ERR_TOO_LONG);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf_add_string(&buf, "1234"), 0);
	assert_int_equal(buf_addf(&buf, "%d", 56), -ERR_TOO_LONG);
	assert_int_equal(buf_add_string(&buf, "56"), -ERR_TOO_LONG);
	assert_string_equal(buf.data, "1234");
	assert_int_equal(buf_addf(&buf, "%d", 5), 0);
	assert_int_equal(buf_add_char(&buf, '6'), -ERR_TOO_LONG);
	assert_int_equal(buf_add_string(&buf, ""), 0);
	assert_string_equal(buf.data, "12345");
	assert_int_equal(buf.len, 5);
}

static void test_formatting_into_the_last_byte(void **state)
{
	(void)state;
	/* Around the sizes in which the memory grows. */
	for (size_t len = 0; len < 300; len++) {
		BUF_AUTO struct buf buf = BUF_INIT(len + 1);
		assert_int_equal(buf_addf(&buf, "%*s", (int)len, ""), 0);
		assert_int_equal(buf_addf(&buf, "%c", 'x'), 0);
		assert_int_equal(buf.len, len + 1);
		assert_int_equal(buf.data[len], 'x');
		assert_int_equal(buf.data[len + 1], '\0');
	}
}

static void test_sizes_that_overflow_are_too_long(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(SIZE_MAX);

	(void)state;
	assert_int_equal(buf_add_string(&buf, "abc"), 0);
	assert_int_equal(buf_add(&buf, "x", SIZE_MAX - 2), -ERR_TOO_LONG);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX), -ERR_TOO_LONG);
	assert_string_equal(buf.data, "abc");
	assert_int_equal(buf.len, 3);
}

static void test_without_memory_the_buf_stays_as_it_is(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(SIZE_MAX);

	(void)state;
	assert_int_equal(buf_add_string(&buf, "abc"), 0);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX / 4), -ERR_NOMEM);
	assert_string_equal(buf.data, "abc");
	assert_int_equal(buf_add_string(&buf, "def"), 0);
	assert_string_equal(buf.data, "abcdef");
}

static void test_reserved_memory_does_not_move(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(1000);

	(void)state;
	assert_int_equal(buf_reserve(&buf, 1000), 0);
	assert_int_equal(buf_reserve(&buf, 1001), -ERR_TOO_LONG);
	const char *before = buf.data;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_add_char(&buf, 'x'), 0);
	assert_ptr_equal(buf.data, before);
}

static void test_reset_empties_and_keeps_the_memory(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(10);

	(void)state;
	buf_reset(&buf);
	assert_int_equal(buf_add_string(&buf, "abc"), 0);
	const char *before = buf.data;
	buf_reset(&buf);
	assert_ptr_equal(buf.data, before);
	assert_string_equal(buf.data, "");
	assert_int_equal(buf.len, 0);
}

static void test_release_and_wipe_take_what_holds_nothing(void **state)
{
	struct buf buf;

	(void)state;
	buf_release(NULL);
	buf_wipe(NULL);
	buf_init(&buf, 3);
	buf_wipe(&buf);
	buf_release(&buf);
	assert_int_equal(buf_add_string(&buf, "abc"), 0);
	buf_wipe(&buf);
	buf_wipe(&buf);
	buf_release(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	/* It can be used again, under the same limit. */
	assert_int_equal(buf_add_string(&buf, "abcd"), -ERR_TOO_LONG);
	assert_int_equal(buf_add_string(&buf, "abc"), 0);
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absent_and_empty_slices_are_equal),
		cmocka_unit_test(test_equality_looks_at_every_byte),
		cmocka_unit_test(test_nocase_folds_ascii_letters_and_nothing_else),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_find_gives_the_first_occurrence),
		cmocka_unit_test(test_trim_takes_blanks_and_tabs_off_both_ends),
		cmocka_unit_test(test_copy_needs_room_for_its_nul),
		cmocka_unit_test(test_unsigned_numbers_within_their_maximum),
		cmocka_unit_test(test_unsigned_number_out_of_range_leaves_the_output_alone),
		cmocka_unit_test(test_what_is_no_number_is_syntax_however_long_it_is),
		cmocka_unit_test(test_signed_numbers_reach_both_ends_of_their_type),
		cmocka_unit_test(test_signed_number_refused_leaves_the_output_alone),
		cmocka_unit_test(test_buf_grows_and_stays_terminated),
		cmocka_unit_test(test_buf_takes_every_kind_of_bytes),
		cmocka_unit_test(test_buf_at_its_limit_stays_as_it_is),
		cmocka_unit_test(test_formatting_into_the_last_byte),
		cmocka_unit_test(test_sizes_that_overflow_are_too_long),
		cmocka_unit_test(test_without_memory_the_buf_stays_as_it_is),
		cmocka_unit_test(test_reserved_memory_does_not_move),
		cmocka_unit_test(test_reset_empties_and_keeps_the_memory),
		cmocka_unit_test(test_release_and_wipe_take_what_holds_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
