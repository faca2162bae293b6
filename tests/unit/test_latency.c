/* Percentiles against sorted values, and the progress line, which has no other test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/tools/latency_private.h"
#include "../../src/tools/progress_private.h"

#define VALUES 20000

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Between the exact value and 1/64 above it. */
static void assert_close(int64_t got, int64_t exact)
{
	assert_in_range(got, exact, exact + exact / 64 + 1);
}

static void test_percentiles_are_within_their_promise(void **state)
{
	static const unsigned per_milles[] = {1, 500, 900, 990, 999, 1000};
	struct latency *latency = calloc(1, sizeof(*latency));
	int64_t *values = calloc(VALUES, sizeof(*values));
	uint64_t random = 1;

	(void)state;
	assert_non_null(latency);
	assert_non_null(values);
	for (size_t i = 0; i < VALUES; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		values[i] = (int64_t)(random >> (24 + random % 38));
		latency_add(latency, values[i]);
	}
	qsort(values, VALUES, sizeof(*values), compare);
	for (size_t i = 0; i < sizeof(per_milles) / sizeof(per_milles[0]); i++)
		assert_close(latency_per_mille(latency, per_milles[i]),
			     values[VALUES * per_milles[i] / 1000 - 1]);
	assert_int_equal(latency->max_us, values[VALUES - 1]);
	free(values);
	free(latency);
}

static void test_small_latencies_are_exact(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));

	(void)state;
	assert_non_null(latency);
	for (int64_t us = 1; us <= 100; us++)
		latency_add(latency, us);
	assert_int_equal(latency_per_mille(latency, 500), 50);
	assert_int_equal(latency_per_mille(latency, 990), 99);
	assert_int_equal(latency_per_mille(latency, 999), 100);
	free(latency);
}

static void test_extremes_stay_inside_the_histogram(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));

	(void)state;
	assert_non_null(latency);
	assert_int_equal(latency_per_mille(latency, 500), 0);
	latency_add(latency, -5);
	assert_int_equal(latency_per_mille(latency, 1000), 0);
	latency_add(latency, INT64_MAX);
	assert_int_equal(latency->n, 2);
	assert_int_equal(latency_per_mille(latency, 1000), (INT64_C(1) << LATENCY_BITS_MAX) - 1);
	free(latency);
}

static void test_progress_line_fits_and_drops_the_bar_first(void **state)
{
	(void)state;
	for (size_t width = 1; width < 120; width++) {
		BUF_AUTO struct buf line = BUF_INIT(1024);
		assert_int_equal(progress_line(&line, width, 50, 100, 10000000, "orders  5/s"), 0);
		assert_true(line.len <= width);
		assert_int_equal(strchr(line.data, '[') != NULL, width >= 48);
	}
}

static void test_progress_line_shows_share_and_rest_of_time(void **state)
{
	BUF_AUTO struct buf line = BUF_INIT(1024);
	BUF_AUTO struct buf whole = BUF_INIT(1024);

	(void)state;
	assert_int_equal(progress_line(&line, 100, 25, 100, 30000000, "orders"), 0);
	assert_string_equal(
		line.data,
		"[##########..............................]  25% 25/100  orders  1:30 left");
	assert_int_equal(progress_line(&whole, 20, 0, 0, 0, ""), 0);
	assert_string_equal(whole.data, "100% 0/0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percentiles_are_within_their_promise),
		cmocka_unit_test(test_small_latencies_are_exact),
		cmocka_unit_test(test_extremes_stay_inside_the_histogram),
		cmocka_unit_test(test_progress_line_fits_and_drops_the_bar_first),
		cmocka_unit_test(test_progress_line_shows_share_and_rest_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
