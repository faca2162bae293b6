/* Clocks, the calendar, and the grammars of times and durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"

#define CHINA_MS (8 * 3600 * 1000LL)
#define DAY_MS (24 * 3600 * 1000LL)
#define FIRST_MS (-62167219200000LL) /* 0000-01-01T00:00:00.000Z */
#define LAST_MS 253402300799999LL    /* 9999-12-31T23:59:59.999Z */

static void test_system_clock_tells_the_time_and_never_goes_back(void **state)
{
	const struct clock *clock = clock_system();
	int64_t before_us = clock_elapsed_us(clock);
	int64_t before_s = (int64_t)time(NULL);
	int64_t now_ms = clock_wall_ms(clock);
	int64_t after_s = (int64_t)time(NULL);

	(void)state;
	/* time() may lag by one tick of the kernel. */
	assert_true(now_ms >= before_s * 1000 && now_ms < (after_s + 2) * 1000);
	for (int i = 0; i < 1000; i++) {
		int64_t now_us = clock_elapsed_us(clock);
		assert_true(now_us >= before_us);
		before_us = now_us;
	}
}

static void test_fixed_clock_stands_still_until_it_is_moved(void **state)
{
	struct clock clock = clock_fixed(1000, 2000);

	(void)state;
	assert_int_equal(clock_wall_ms(&clock), 1000);
	assert_int_equal(clock_elapsed_us(&clock), 2000);
	clock.test_wall_ms += 5;
	clock.test_elapsed_us += 7;
	assert_int_equal(clock_wall_ms(&clock), 1005);
	assert_int_equal(clock_elapsed_us(&clock), 2007);
}

static void test_instants_known_from_elsewhere(void **state)
{
	static const struct {
		int64_t wall_ms;
		const char *text;
	} rows[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{1748595319000, "2025-05-30T08:55:19.000Z"},
		{951782400000, "2000-02-29T00:00:00.000Z"},
		{951868799999, "2000-02-29T23:59:59.999Z"},
		{951868800000, "2000-03-01T00:00:00.000Z"},
		{-2203891200000, "1900-03-01T00:00:00.000Z"},
		{2147483648000, "2038-01-19T03:14:08.000Z"},
		{FIRST_MS, "0000-01-01T00:00:00.000Z"},
		{LAST_MS, "9999-12-31T23:59:59.999Z"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[CLOCK_RFC3339_BYTES];
		int64_t wall_ms = 1;
		clock_format_rfc3339(rows[i].wall_ms, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(clock_parse_rfc3339(slice_of(text), &wall_ms), 0);
		assert_true(wall_ms == rows[i].wall_ms);
	}
}

static void test_times_beyond_four_digit_years_are_clamped(void **state)
{
	static const int64_t beyond[] = {1, 1000, DAY_MS, INT64_MAX - LAST_MS};
	char text[CLOCK_RFC3339_BYTES];
	char local[CLOCK_LOCAL_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		clock_format_rfc3339(LAST_MS + beyond[i], text);
		assert_string_equal(text, "9999-12-31T23:59:59.999Z");
		clock_format_rfc3339(FIRST_MS - beyond[i], text);
		assert_string_equal(text, "0000-01-01T00:00:00.000Z");
		clock_format_local(LAST_MS + beyond[i], CHINA_MS, local);
		assert_string_equal(local, "9999-12-31 23:59:59");
		clock_format_local(FIRST_MS - beyond[i], -CHINA_MS, local);
		assert_string_equal(local, "0000-01-01 00:00:00");
	}
	clock_format_local(INT64_MIN, -CHINA_MS, local);
	assert_string_equal(local, "0000-01-01 00:00:00");
}

static int month_days(int year, int month)
{
	if (month == 2) {
		if (year % 400 == 0)
			return 29;
		return year % 4 == 0 && year % 100 != 0 ? 29 : 28;
	}
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* The day as text both ways, and no day behind the last one of the month. */
static void check_day(int year, int month, int day, int64_t wall_ms)
{
	char expected[64];
	char text[CLOCK_RFC3339_BYTES];
	int64_t parsed_ms = 0;

	snprintf(expected, sizeof(expected), "%04d-%02d-%02dT00:00:00.000Z", year, month, day);
	clock_format_rfc3339(wall_ms, text);
	assert_string_equal(text, expected);
	assert_int_equal(clock_parse_rfc3339(slice_of(expected), &parsed_ms), 0);
	assert_true(parsed_ms == wall_ms);
}

static void test_calendar_agrees_with_counting_the_days(void **state)
{
	int64_t wall_ms = FIRST_MS;

	(void)state;
	for (int year = 0; year <= 9999; year++) {
		bool every_day = year >= 1890 && year <= 2110;
		for (int month = 1; month <= 12; month++) {
			int days = month_days(year, month);
			for (int day = 1; day <= days; day++, wall_ms += DAY_MS) {
				if (every_day || day == 1 || day == days)
					check_day(year, month, day, wall_ms);
			}
		}
	}
	assert_true(wall_ms == LAST_MS + 1);
}

static void test_every_millisecond_of_a_second_and_second_of_a_day_round_trips(void **state)
{
	(void)state;
	/* The steps are prime to each other, so that every field takes every value. */
	for (int64_t wall_ms = -DAY_MS; wall_ms < DAY_MS; wall_ms += 1009) {
		char text[CLOCK_RFC3339_BYTES];
		int64_t parsed_ms = 1;
		clock_format_rfc3339(wall_ms, text);
		assert_int_equal(clock_parse_rfc3339(slice_of(text), &parsed_ms), 0);
		assert_true(parsed_ms == wall_ms);
	}
}

static void test_spellings_of_rfc_3339(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* behind 2025-05-30T08:55:19Z */
	} rows[] = {
		{"2025-05-30T08:55:19Z", 0},
		{"2025-05-30t08:55:19z", 0},
		{"2025-05-30 08:55:19Z", 0},
		{"2025-05-30T16:55:19+08:00", 0},
		{"2025-05-30T08:55:19-00:00", 0},
		{"2025-05-29T23:25:19-09:30", 0},
		{"2025-05-31T08:54:19+23:59", 0},
		{"2025-05-30T08:55:19.1Z", 100},
		{"2025-05-30T08:55:19.12Z", 120},
		{"2025-05-30T08:55:19.123Z", 123},
		{"2025-05-30T08:55:19.1239Z", 123},
		{"2025-05-30T08:55:19.001000000Z", 1},
		{"2025-05-30T08:55:19.999999999+00:00", 999},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t wall_ms = 0;
		assert_int_equal(clock_parse_rfc3339(slice_of(rows[i].text), &wall_ms), 0);
		assert_true(wall_ms == 1748595319000 + rows[i].ms);
	}
}

static void test_what_is_no_time_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"2025-05-30",
		"2025-05-30T08:55Z",
		"2025-05-30T08:55:19",
		"2025-05-30T08:55:60Z",
		"2025-05-30T08:60:19Z",
		"2025-05-30T24:00:00Z",
		"2025-04-31T08:55:19Z",
		"2025-05-32T08:55:19Z",
		"2025-05-00T08:55:19Z",
		"2025-00-30T08:55:19Z",
		"2025-13-30T08:55:19Z",
		"2025-02-29T08:55:19Z",
		"1900-02-29T08:55:19Z",
		"2024-02-30T08:55:19Z",
		"2025-5-30T08:55:19Z",
		"25-05-30T08:55:19Z",
		"2025-05-30T 8:55:19Z",
		"2025-05-30T+8:55:19Z",
		"2025/05/30T08:55:19Z",
		"2025-05-30_08:55:19Z",
		"2025-05-30T08.55.19Z",
		"2025-05-30T08:55:19.Z",
		"2025-05-30T08:55:19,5Z",
		"2025-05-30T08:55:19.0000000000Z",
		"2025-05-30T08:55:19+0800",
		"2025-05-30T08:55:19+08",
		"2025-05-30T08:55:19+24:00",
		"2025-05-30T08:55:19+08:60",
		"2025-05-30T08:55:19ZZ",
		"2025-05-30T08:55:19Z ",
		" 2025-05-30T08:55:19Z",
		"-2025-05-30T08:55:19Z",
		"12025-05-30T08:55:19Z",
		"２025-05-30T08:55:19Z",
	};
	int64_t wall_ms = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(clock_parse_rfc3339(slice_of(texts[i]), &wall_ms), -ERR_SYNTAX);
	assert_int_equal(clock_parse_rfc3339((struct slice){NULL, 0}, &wall_ms), -ERR_SYNTAX);
	assert_int_equal(wall_ms, 42);
}

static void test_truncated_times_are_refused(void **state)
{
	struct slice whole = SLICE("2025-05-30T16:55:19.123+08:00");
	struct slice local = SLICE("2025-05-30 16:55:19");
	int64_t wall_ms = 42;

	(void)state;
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(clock_parse_rfc3339((struct slice){whole.at, len}, &wall_ms),
				 -ERR_SYNTAX);
	for (size_t len = 0; len < local.len; len++)
		assert_int_equal(
			clock_parse_local((struct slice){local.at, len}, CHINA_MS, &wall_ms),
			-ERR_SYNTAX);
	assert_int_equal(wall_ms, 42);
}

static void test_local_times_of_the_platform(void **state)
{
	char text[CLOCK_LOCAL_BYTES];
	int64_t wall_ms = 0;

	(void)state;
	assert_int_equal(clock_parse_local(SLICE("2025-05-30 16:55:19"), CHINA_MS, &wall_ms), 0);
	assert_true(wall_ms == 1748595319000);
	clock_format_local(wall_ms + 999, CHINA_MS, text);
	assert_string_equal(text, "2025-05-30 16:55:19");
	/* China's midnight is the day before in UTC. */
	assert_int_equal(clock_parse_local(SLICE("2025-03-01 00:00:00"), CHINA_MS, &wall_ms), 0);
	clock_format_local(wall_ms, 0, text);
	assert_string_equal(text, "2025-02-28 16:00:00");
	assert_int_equal(clock_parse_local(SLICE("1970-01-01 00:00:00"), 0, &wall_ms), 0);
	assert_int_equal(wall_ms, 0);
}

static void test_other_local_times_are_refused(void **state)
{
	static const char *const texts[] = {
		"2025-05-30T16:55:19",    "2025-05-30 16:55:19Z", "2025-05-30 16:55:19.0",
		"2025-05-30 16:55:19 ",   " 2025-05-30 16:55:19", "2025-05-30  16:55:19",
		"2025-02-29 00:00:00",    "2025-05-30 24:00:00",  "2025-05-30 16:55:60",
		"2025-05-30\t16:55:19",   "2025-05-30 16:55",     "20250530165519",
		"2025年05月30日16:55:19", "0000-00-00 00:00:00",
	};
	int64_t wall_ms = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(clock_parse_local(slice_of(texts[i]), CHINA_MS, &wall_ms),
				 -ERR_SYNTAX);
	assert_int_equal(wall_ms, 42);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"0", 0},
		{"0s", 0},
		{"0d", 0},
		{"1ms", 1},
		{"500ms", 500},
		{"10s", 10000},
		{"5m", 300000},
		{"2h", 7200000},
		{"90d", 90 * DAY_MS},
		{"007s", 7000},
		{"9223372036854775807ms", INT64_MAX},
		{"106751991167d", 106751991167 * DAY_MS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = 1;
		assert_int_equal(clock_parse_duration(slice_of(rows[i].text), &ms), 0);
		assert_true(ms == rows[i].ms);
	}
}

static void test_what_is_no_duration_is_refused(void **state)
{
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{"", -ERR_SYNTAX},
		{"s", -ERR_SYNTAX},
		{"10", -ERR_SYNTAX},
		{"10S", -ERR_SYNTAX},
		{"10 s", -ERR_SYNTAX},
		{" 10s", -ERR_SYNTAX},
		{"10s ", -ERR_SYNTAX},
		{"-10s", -ERR_SYNTAX},
		{"+10s", -ERR_SYNTAX},
		{"1.5h", -ERR_SYNTAX},
		{"1h30m", -ERR_SYNTAX},
		{"10sec", -ERR_SYNTAX},
		{"1w", -ERR_SYNTAX},
		{"9223372036854775808ms", -ERR_RANGE},
		{"9223372036854775807s", -ERR_RANGE},
		{"106751991168d", -ERR_RANGE},
	};
	int64_t ms = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(clock_parse_duration(slice_of(rows[i].text), &ms), rows[i].err);
	assert_int_equal(clock_parse_duration((struct slice){NULL, 0}, &ms), -ERR_SYNTAX);
	assert_int_equal(ms, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_clock_tells_the_time_and_never_goes_back),
		cmocka_unit_test(test_fixed_clock_stands_still_until_it_is_moved),
		cmocka_unit_test(test_instants_known_from_elsewhere),
		cmocka_unit_test(test_times_beyond_four_digit_years_are_clamped),
		cmocka_unit_test(test_calendar_agrees_with_counting_the_days),
		cmocka_unit_test(
			test_every_millisecond_of_a_second_and_second_of_a_day_round_trips),
		cmocka_unit_test(test_spellings_of_rfc_3339),
		cmocka_unit_test(test_what_is_no_time_is_refused),
		cmocka_unit_test(test_truncated_times_are_refused),
		cmocka_unit_test(test_local_times_of_the_platform),
		cmocka_unit_test(test_other_local_times_are_refused),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_what_is_no_duration_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
