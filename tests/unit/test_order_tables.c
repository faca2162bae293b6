#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "orderhook/order_machine.h"

struct row {
	enum order_node node;
	int status;
	int sub_status;
	const char *zh;
	const char *en;
};

/* The table itself, in its order: what the code makes of it is compared with it. */
static const struct row rows[] = {
#define ORDER_STATE(name, status, sub, zh, en) {NODE_##name, status, sub, zh, en},
#include "orderhook/tbl/order_state.def"
#undef ORDER_STATE
};

static const enum order_node edge_ends[][2] = {
#define ORDER_EDGE(from, to, verdict) {NODE_##from, NODE_##to},
#include "orderhook/tbl/order_edge.def"
#undef ORDER_EDGE
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))
#define N_EDGES (sizeof(edge_ends) / sizeof(edge_ends[0]))

static bool has_way(enum order_node from, enum order_node to)
{
	return order_machine_v5()->steps[from][to] != ORDER_NO_PATH;
}

static void test_verdicts_round_trip_and_their_keys_are_unique(void **state)
{
	(void)state;
	assert_int_equal(VERDICT_MAX, 10);
	/* The first of two equal keys would be found for both. */
	for (int i = 0; i < VERDICT_MAX; i++) {
		assert_int_equal(verdict_of_key(slice_of(verdict_key(i))), i);
		assert_true(strlen(verdict_meaning(i)) > 0);
	}
	assert_int_equal(verdict_of_key(SLICE("")), -1);
	assert_int_equal(verdict_of_key(SLICE("Applied")), -1);
}

static void test_quarantined_are_exactly_those_of_the_contract(void **state)
{
	(void)state;
	for (int i = 0; i < VERDICT_MAX; i++)
		assert_int_equal(verdict_quarantined(i),
				 i == VERDICT_CONFLICT || i == VERDICT_ILLEGAL ||
					 i == VERDICT_UNKNOWN || i == VERDICT_MISMATCH);
}

static void test_folded_are_all_but_conflict_mismatch_and_unknown(void **state)
{
	(void)state;
	for (int i = 0; i < VERDICT_MAX; i++)
		assert_int_equal(verdict_folded(i),
				 i != VERDICT_CONFLICT && i != VERDICT_MISMATCH &&
					 i != VERDICT_UNKNOWN && i != VERDICT_DUPLICATE);
}

static void test_states_are_found_by_status_and_sub_status(void **state)
{
	(void)state;
	assert_int_equal(N_ROWS, NODE_MAX - 1);
	for (size_t i = 0; i < N_ROWS; i++)
		assert_int_equal(order_node_of(rows[i].status, rows[i].sub_status), rows[i].node);
	assert_int_equal(order_node_of(20, 3), NODE_NONE);
	assert_int_equal(order_node_of(20, 0), NODE_NONE);
	assert_int_equal(order_node_of(20, EVENT_SUB_ABSENT), NODE_NONE);
	assert_int_equal(order_node_of(70, 1), NODE_NONE);
	assert_int_equal(order_node_of(0, 0), NODE_NONE);
}

static void test_sub_status_of_60_is_ignored(void **state)
{
	(void)state;
	assert_int_equal(order_node_of(60, EVENT_SUB_ABSENT), NODE_S60);
	assert_int_equal(order_node_of(60, 0), NODE_S60);
	assert_int_equal(order_node_of(60, 7), NODE_S60);
}

static void test_known_statuses_are_those_of_the_table(void **state)
{
	(void)state;
	for (int status = -1; status <= EVENT_STATUS_MAX + 1; status++) {
		bool expected = status == 20 || status == 30 || status == 40 || status == 50 ||
				status == 60;
		assert_int_equal(order_status_known(status), expected);
	}
}

static void test_every_state_has_its_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		assert_true(strlen(rows[i].zh) > 0 && strlen(rows[i].en) > 0);
		assert_string_equal(order_status_zh(rows[i].status, rows[i].sub_status),
				    rows[i].zh);
		assert_string_equal(order_status_en(rows[i].status, rows[i].sub_status),
				    rows[i].en);
	}
}

static void test_unknown_sub_status_has_the_text_of_the_first_state(void **state)
{
	(void)state;
	assert_string_equal(order_status_zh(20, 9), "派单中");
	assert_string_equal(order_status_en(30, EVENT_SUB_ABSENT), "awaiting pickup");
	assert_string_equal(order_status_en(40, 0), "delivering");
	assert_string_equal(order_status_zh(50, 9), "已完成");
	assert_string_equal(order_status_zh(60, 9), "已取消");
	assert_null(order_status_zh(70, 1));
	assert_null(order_status_en(0, 0));
}

static void test_nothing_leads_out_of_60_and_of_a_refund(void **state)
{
	(void)state;
	for (int from = 0; from < NODE_MAX; from++) {
		bool out = false;
		for (int to = 0; to < NODE_MAX; to++)
			out |= has_way(from, to);
		assert_int_equal(out, from != NODE_S60 && from != NODE_S50_2);
	}
}

static void test_every_state_is_reached_and_none_leads_back_to_nothing(void **state)
{
	(void)state;
	for (int node = NODE_NONE + 1; node < NODE_MAX; node++) {
		assert_true(has_way(NODE_NONE, node));
		assert_false(has_way(node, NODE_NONE));
	}
	assert_false(has_way(NODE_NONE, NODE_NONE));
}

static void test_one_step_is_an_edge_and_reassigned_exactly_into_20_2(void **state)
{
	const struct order_machine *machine = order_machine_v5();
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < N_EDGES; i++) {
		assert_int_equal(machine->steps[edge_ends[i][0]][edge_ends[i][1]], 1);
		assert_int_equal(machine->edge_verdict[edge_ends[i][0]][edge_ends[i][1]],
				 edge_ends[i][1] == NODE_S20_2 ? VERDICT_REASSIGNED
							       : VERDICT_APPLIED);
	}
	for (int from = 0; from < NODE_MAX; from++) {
		for (int to = 0; to < NODE_MAX; to++)
			n += machine->steps[from][to] == 1;
	}
	assert_int_equal(n, N_EDGES);
}

static void test_longer_ways_are_the_shortest_ones(void **state)
{
	const struct order_machine *machine = order_machine_v5();

	(void)state;
	assert_int_equal(machine->steps[NODE_NONE][NODE_S50_2], 5);
	assert_int_equal(machine->steps[NODE_S20_1][NODE_S20_2], 2);
	assert_int_equal(machine->steps[NODE_S20_2][NODE_S40_1], 2);
	assert_int_equal(machine->steps[NODE_S40_1][NODE_S60], 3);
	/* Round trips, not nothing. */
	assert_int_equal(machine->steps[NODE_S30_1][NODE_S30_1], 2);
	assert_int_equal(machine->steps[NODE_S30_2][NODE_S30_2], 3);
	assert_int_equal(machine->steps[NODE_S20_2][NODE_S20_2], 2);
	assert_int_equal(machine->steps[NODE_S40_1][NODE_S40_1], ORDER_NO_PATH);
	assert_int_equal(machine->steps[NODE_S40_1][NODE_S20_2], ORDER_NO_PATH);
	assert_int_equal(machine->steps[NODE_S50_1][NODE_S60], ORDER_NO_PATH);
}

static int compare_at_one_instant(int status, int sub_status, int next_status, int next_sub_status)
{
	struct order_event event = {.status = status, .sub_status = sub_status};
	struct order_event next = {.status = next_status, .sub_status = next_sub_status};
	int order = order_event_compare(&event, &next);

	assert_int_equal(order_event_compare(&next, &event), -order);
	return order;
}

static void test_ranks_follow_the_table_and_are_strict(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		for (size_t j = i + 1; j < N_ROWS; j++)
			assert_true(compare_at_one_instant(rows[i].status, rows[i].sub_status,
							   rows[j].status, rows[j].sub_status) < 0);
	}
}

static void test_unknown_sub_statuses_rank_after_the_known_ones_of_their_status(void **state)
{
	(void)state;
	assert_true(compare_at_one_instant(30, 2, 30, 9) < 0);
	assert_true(compare_at_one_instant(30, 9, 20, 2) < 0);
	assert_true(compare_at_one_instant(20, 2, 20, EVENT_SUB_ABSENT) < 0);
	assert_true(compare_at_one_instant(20, 9, 40, 1) < 0);
	assert_true(compare_at_one_instant(40, 3, 40, 0) < 0);
	assert_true(compare_at_one_instant(40, 9, 50, 1) < 0);
	assert_true(compare_at_one_instant(50, EVENT_SUB_ABSENT, 60, EVENT_SUB_ABSENT) < 0);
	/* And among themselves by their number, absent first. */
	assert_true(compare_at_one_instant(40, 8, 40, 9) < 0);
	assert_true(compare_at_one_instant(40, EVENT_SUB_ABSENT, 40, 8) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts_round_trip_and_their_keys_are_unique),
		cmocka_unit_test(test_quarantined_are_exactly_those_of_the_contract),
		cmocka_unit_test(test_folded_are_all_but_conflict_mismatch_and_unknown),
		cmocka_unit_test(test_states_are_found_by_status_and_sub_status),
		cmocka_unit_test(test_sub_status_of_60_is_ignored),
		cmocka_unit_test(test_known_statuses_are_those_of_the_table),
		cmocka_unit_test(test_every_state_has_its_texts),
		cmocka_unit_test(test_unknown_sub_status_has_the_text_of_the_first_state),
		cmocka_unit_test(test_nothing_leads_out_of_60_and_of_a_refund),
		cmocka_unit_test(test_every_state_is_reached_and_none_leads_back_to_nothing),
		cmocka_unit_test(test_one_step_is_an_edge_and_reassigned_exactly_into_20_2),
		cmocka_unit_test(test_longer_ways_are_the_shortest_ones),
		cmocka_unit_test(test_ranks_follow_the_table_and_are_strict),
		cmocka_unit_test(
			test_unknown_sub_statuses_rank_after_the_known_ones_of_their_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
