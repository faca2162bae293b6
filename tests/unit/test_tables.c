/* The single-source tables, walked as tables: what the code and the manuals take for granted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/store.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct error_row {
	const char *name;
	const char *key;
	const char *text;
	int http;
	enum err_fault fault;
	int retry;
};

static const struct error_row errors[] = {
#define ERROR(name, http, whose, retry, key, text) \
	{#name, key, text, http, ERR_FAULT_##whose, retry},
#include "orderhook/tbl/error.def"
#undef ERROR
};

static bool only_has(const char *text, const char *allowed)
{
	return *text && strspn(text, allowed) == strlen(text);
}

static void assert_all_differ(const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	}
}

static void test_error_keys_are_words_and_unique(void **state)
{
	const char *keys[COUNT(errors)];

	(void)state;
	assert_int_equal(COUNT(errors), ERR_MAX - 1);
	for (size_t i = 0; i < COUNT(errors); i++) {
		keys[i] = errors[i].key;
		assert_true(only_has(keys[i], "abcdefghijklmnopqrstuvwxyz0123456789-"));
		assert_string_not_equal(keys[i], "ok");
	}
	assert_all_differ(keys, COUNT(keys));
}

static void test_error_texts_are_one_clause_each(void **state)
{
	const char *texts[COUNT(errors)];

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		texts[i] = errors[i].text;
		assert_true(strlen(texts[i]) > 10);
		assert_null(strpbrk(texts[i], "\"\\\n%"));
		/* They are put into sentences, and into JSON. */
		assert_int_not_equal(texts[i][strlen(texts[i]) - 1], '.');
		assert_true(texts[i][0] < 'A' || texts[i][0] > 'Z' || texts[i][1] == ' ');
	}
	assert_all_differ(texts, COUNT(texts));
}

static void test_error_statuses_say_whose_fault_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		const struct error_row *row = &errors[i];
		assert_true(row->retry == 0 || row->retry == 1);
		assert_in_range(row->fault, ERR_FAULT_NONE + 1, ERR_FAULT_MAX - 1);
		if (row->http == 0)
			continue;
		/* 200 is built in one place, from a commit, and never from an error. */
		assert_true((row->http >= 400 && row->http < 500) || row->http == 500 ||
			    row->http == 503);
		assert_int_equal(row->http < 500, row->fault == ERR_FAULT_CALLER);
		/* The platform tries again after a 503, so it must be worth it, and only then. */
		assert_int_equal(row->retry, row->http == 503 || row->http == 408);
	}
}

static void test_error_functions_give_the_tables_rows(void **state)
{
	(void)state;
	for (int i = 0; i < (int)COUNT(errors); i++) {
		for (int err = -(i + 1); err <= i + 1; err += 2 * (i + 1)) {
			assert_string_equal(err_key(err), errors[i].key);
			assert_string_equal(err_text(err), errors[i].text);
			assert_int_equal(err_http_status(err), errors[i].http);
			assert_int_equal(err_fault(err), errors[i].fault);
			assert_int_equal(err_retryable(err), errors[i].retry);
		}
	}
	assert_string_equal(err_key(-ERR_JSON_UTF8), "json-utf8");
	assert_int_equal(err_http_status(-ERR_BODY_TOO_LARGE), 413);
}

static void test_success_is_ok_and_nobodys_fault(void **state)
{
	(void)state;
	assert_string_equal(err_key(0), "ok");
	assert_int_equal(err_http_status(0), 200);
	assert_int_equal(err_fault(0), ERR_FAULT_NONE);
	assert_int_equal(err_retryable(0), 0);
}

static void test_unknown_errors_read_as_internal(void **state)
{
	static const int unknown[] = {ERR_MAX, -ERR_MAX, ERR_MAX + 1, INT_MAX, INT_MIN};

	(void)state;
	for (size_t i = 0; i < COUNT(unknown); i++) {
		assert_string_equal(err_key(unknown[i]), "internal");
		assert_string_equal(err_text(unknown[i]), err_text(-ERR_INTERNAL));
		assert_int_equal(err_http_status(unknown[i]), 500);
		assert_int_equal(err_fault(unknown[i]), ERR_FAULT_SELF);
		assert_int_equal(err_retryable(unknown[i]), 0);
	}
}

static void test_view_columns_are_names_of_columns(void **state)
{
#define STORE_COLUMN(name) #name,
	static const char *const order_columns[] = {
#include "orderhook/tbl/order_column.def"
	};
	static const char *const event_columns[] = {
#include "orderhook/tbl/event_column.def"
	};
#undef STORE_COLUMN

	(void)state;
	assert_all_differ(order_columns, COUNT(order_columns));
	assert_all_differ(event_columns, COUNT(event_columns));
	for (size_t i = 0; i < COUNT(order_columns); i++)
		assert_true(only_has(order_columns[i], "abcdefghijklmnopqrstuvwxyz_"));
	for (size_t i = 0; i < COUNT(event_columns); i++)
		assert_true(only_has(event_columns[i], "abcdefghijklmnopqrstuvwxyz_"));
	/* A row holds the columns and, for one event, the body. */
	assert_true(COUNT(order_columns) <= STORE_COLUMNS_MAX);
	assert_true(COUNT(event_columns) < STORE_COLUMNS_MAX);
}

static void test_metrics_are_named_as_prometheus_names_them(void **state)
{
	enum kind {
		COUNTER,
		GAUGE,
		HISTOGRAM
	};
	static const struct {
		const char *name;
		enum kind kind;
		const char *help;
	} metrics[] = {
#define METRIC(name, kind, exposed, help) {exposed, kind, help},
#include "orderhook/tbl/metric.def"
#undef METRIC
	};
	const char *names[COUNT(metrics)];

	(void)state;
	for (size_t i = 0; i < COUNT(metrics); i++) {
		const char *name = names[i] = metrics[i].name;
		size_t len = strlen(name);
		assert_true(only_has(name, "abcdefghijklmnopqrstuvwxyz_"));
		assert_int_equal(strncmp(name, "orderhook_", 10), 0);
		assert_int_equal(strcmp(name + len - 6, "_total") == 0, metrics[i].kind == COUNTER);
		assert_int_equal(metrics[i].help[strlen(metrics[i].help) - 1], '.');
		assert_null(strpbrk(metrics[i].help, "\\\n\""));
	}
	assert_all_differ(names, COUNT(names));
}

struct edge {
	enum order_node from;
	enum order_node to;
	bool reassigned;
};

enum {
	EDGE_APPLIED = 0,
	EDGE_REASSIGNED
};

static const struct edge edges[] = {
#define ORDER_EDGE(from, to, verdict) {NODE_##from, NODE_##to, EDGE_##verdict},
#include "orderhook/tbl/order_edge.def"
#undef ORDER_EDGE
};

static void test_order_states_are_distinct(void **state)
{
	static const struct {
		int status;
		int sub_status;
		const char *zh;
		const char *en;
	} states[] = {
#define ORDER_STATE(name, status, sub_status, zh, en) {status, sub_status, zh, en},
#include "orderhook/tbl/order_state.def"
#undef ORDER_STATE
	};

	(void)state;
	for (size_t i = 0; i < COUNT(states); i++) {
		assert_true(states[i].status >= 20 && states[i].status <= 60);
		assert_int_equal(states[i].status % 10, 0);
		assert_int_equal(states[i].sub_status == 0, states[i].status == 60);
		for (size_t j = 0; j < i; j++) {
			assert_false(states[i].status == states[j].status &&
				     states[i].sub_status == states[j].sub_status);
			assert_string_not_equal(states[i].zh, states[j].zh);
			assert_string_not_equal(states[i].en, states[j].en);
		}
	}
}

static void test_order_edges_are_distinct_and_lead_elsewhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(edges); i++) {
		assert_int_not_equal(edges[i].from, edges[i].to);
		assert_int_not_equal(edges[i].to, NODE_NONE);
		for (size_t j = 0; j < i; j++)
			assert_false(edges[i].from == edges[j].from && edges[i].to == edges[j].to);
	}
}

static void test_only_a_cancelled_or_refunded_order_has_no_way_on(void **state)
{
	int ways_out[NODE_MAX] = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(edges); i++)
		ways_out[edges[i].from]++;
	for (int node = 0; node < NODE_MAX; node++)
		assert_int_equal(ways_out[node] == 0, node == NODE_S60 || node == NODE_S50_2);
	assert_int_equal(ways_out[NODE_NONE], 1);
}

static void test_every_order_state_is_reachable_from_none(void **state)
{
	bool reached[NODE_MAX] = {[NODE_NONE] = true};

	(void)state;
	/* As many rounds as there are nodes are enough for the longest way. */
	for (int round = 0; round < NODE_MAX; round++) {
		for (size_t i = 0; i < COUNT(edges); i++)
			reached[edges[i].to] |= reached[edges[i].from];
	}
	for (int node = 0; node < NODE_MAX; node++)
		assert_true(reached[node]);
}

static void test_reassignment_is_what_enters_20_2(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(edges); i++)
		assert_int_equal(edges[i].reassigned, edges[i].to == NODE_S20_2);
}

static void test_verdicts_are_words_with_flags(void **state)
{
	static const struct {
		const char *key;
		int quarantined;
		int folded;
		const char *meaning;
	} verdicts[] = {
#define VERDICT(name, key, quarantined, folded, meaning) {key, quarantined, folded, meaning},
#include "orderhook/tbl/verdict.def"
#undef VERDICT
	};
	const char *keys[COUNT(verdicts)];

	(void)state;
	for (size_t i = 0; i < COUNT(verdicts); i++) {
		keys[i] = verdicts[i].key;
		assert_true(only_has(keys[i], "abcdefghijklmnopqrstuvwxyz"));
		assert_true(verdicts[i].meaning[0] != '\0');
		assert_in_range(verdicts[i].quarantined, 0, 1);
		/* Of what is in quarantine only the illegal one may be opened by a late event. */
		bool folded = !verdicts[i].quarantined || strcmp(keys[i], "illegal") == 0;
		if (strcmp(keys[i], "duplicate") == 0)
			folded = false;
		assert_int_equal(verdicts[i].folded, folded);
	}
	assert_all_differ(keys, COUNT(keys));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_keys_are_words_and_unique),
		cmocka_unit_test(test_error_texts_are_one_clause_each),
		cmocka_unit_test(test_error_statuses_say_whose_fault_it_is),
		cmocka_unit_test(test_error_functions_give_the_tables_rows),
		cmocka_unit_test(test_success_is_ok_and_nobodys_fault),
		cmocka_unit_test(test_unknown_errors_read_as_internal),
		cmocka_unit_test(test_view_columns_are_names_of_columns),
		cmocka_unit_test(test_metrics_are_named_as_prometheus_names_them),
		cmocka_unit_test(test_order_states_are_distinct),
		cmocka_unit_test(test_order_edges_are_distinct_and_lead_elsewhere),
		cmocka_unit_test(test_only_a_cancelled_or_refunded_order_has_no_way_on),
		cmocka_unit_test(test_every_order_state_is_reachable_from_none),
		cmocka_unit_test(test_reassignment_is_what_enters_20_2),
		cmocka_unit_test(test_verdicts_are_words_with_flags),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
