#include "order_fixture.h"

#define STORED_MAX 16

/* One order as the store keeps it. */
struct order {
	struct order_known known;
	struct order_event history[STORED_MAX];
	size_t n;
};

static struct judgement judge(const struct order *order, const struct event *event)
{
	struct order_event history[STORED_MAX + 1];
	struct judgement judgement;

	memcpy(history, order->history, sizeof(order->history));
	order_judge(order_machine_v5(), &order->known, history, order->n, event, &judgement);
	return judgement;
}

static enum verdict take(struct order *order, struct event event)
{
	struct judgement judgement = judge(order, &event);

	if (judgement.verdict != VERDICT_DUPLICATE) {
		struct order_event *stored = &order->history[order->n];
		*stored = order_event_of(&event);
		stored->id = (int64_t)++order->n;
		stored->verdict = judgement.verdict;
		order->known.exists = true;
		order->known.state = judgement.after;
	}
	return judgement.verdict;
}

static enum verdict take_at(struct order *order, int minute, int status, int sub_status,
			    const char *courier)
{
	return take(order, event_at(minute, status, sub_status, courier, 0));
}

/* What comes of a second event after a first one. */
static enum verdict verdict_after(int status, int sub_status, int next_status, int next_sub_status)
{
	struct order order = {0};

	take_at(&order, 1, status, sub_status, "");
	return take_at(&order, 2, next_status, next_sub_status, "");
}

static void test_captured_order(void **state)
{
	struct order order = {0};

	(void)state;
	assert_int_equal(take_at(&order, 1, 20, 1, ""), VERDICT_APPLIED);
	assert_int_equal(take_at(&order, 2, 30, 1, "A"), VERDICT_APPLIED);
	assert_int_equal(take_at(&order, 3, 20, 2, ""), VERDICT_REASSIGNED);
	assert_int_equal(take_at(&order, 4, 40, 1, "A"), VERDICT_JUMPED);
	assert_int_equal(take_at(&order, 5, 50, 1, "A"), VERDICT_APPLIED);
	assert_state(&order.known.state, 50, 1, 5);
	assert_int_equal(order.known.state.reassignments, 1);
}

static void test_first_event_other_than_placed_has_jumped(void **state)
{
	struct order order = {0};
	struct event event = event_at(1, 20, 2, "", 0);
	struct judgement judgement = judge(&order, &event);

	(void)state;
	assert_int_equal(judgement.verdict, VERDICT_JUMPED);
	assert_int_equal(judgement.from_status, 0);
	assert_state(&judgement.after, 20, 2, 1);
	/* By whichever verdict. */
	assert_int_equal(judgement.after.reassignments, 1);
}

static void test_steps_jumps_and_no_ways(void **state)
{
	(void)state;
	assert_int_equal(verdict_after(20, 1, 60, -1), VERDICT_APPLIED);
	assert_int_equal(verdict_after(20, 1, 50, 2), VERDICT_JUMPED);
	assert_int_equal(verdict_after(30, 2, 30, 1), VERDICT_JUMPED);
	assert_int_equal(verdict_after(40, 1, 60, -1), VERDICT_JUMPED);
	assert_int_equal(verdict_after(40, 1, 20, 2), VERDICT_ILLEGAL);
	assert_int_equal(verdict_after(50, 1, 60, -1), VERDICT_ILLEGAL);
	assert_int_equal(verdict_after(60, -1, 20, 1), VERDICT_ILLEGAL);
}

static void test_illegal_event_changes_nothing_now(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 60, -1, "");
	struct event event = event_at(2, 40, 1, "A", 0);
	struct judgement judgement = judge(&order, &event);
	assert_int_equal(judgement.verdict, VERDICT_ILLEGAL);
	assert_int_equal(judgement.from_status, 60);
	assert_int_equal(judgement.from_sub_status, EVENT_SUB_ABSENT);
	assert_state(&judgement.after, 60, EVENT_SUB_ABSENT, 1);
	assert_string_equal(judgement.after.courier_id, "");
}

static void test_repeated_keeps_since(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 30, 1, "A");
	assert_int_equal(take_at(&order, 2, 30, 1, "A"), VERDICT_REPEATED);
	assert_int_equal(take_at(&order, 3, 30, 1, ""), VERDICT_REPEATED);
	assert_state(&order.known.state, 30, 1, 1);
}

static void test_another_courier_in_30_has_jumped_through_a_lost_reassignment(void **state)
{
	(void)state;
	for (int sub_status = 1; sub_status <= 2; sub_status++) {
		struct order order = {0};
		take_at(&order, 1, 30, sub_status, "A");
		assert_int_equal(take_at(&order, 2, 30, sub_status, "B"), VERDICT_JUMPED);
		assert_state(&order.known.state, 30, sub_status, 2);
		assert_string_equal(order.known.state.courier_id, "B");
		assert_int_equal(order.known.state.reassignments, 0);
	}
}

static void test_another_courier_later_is_repeated_with_a_note(void **state)
{
	static const int statuses[] = {40, 50, 60};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct order order = {0};
		take_at(&order, 1, statuses[i], 1, "A");
		struct event event = event_at(2, statuses[i], 1, "B", 0);
		struct judgement judgement = judge(&order, &event);
		assert_int_equal(judgement.verdict, VERDICT_REPEATED);
		assert_true(judgement.other_courier);
		assert_string_equal(judgement.after.courier_id, "A");
		event = event_at(2, statuses[i], 1, "", 0);
		assert_false(judge(&order, &event).other_courier);
	}
}

static void test_sub_status_of_60_is_ignored(void **state)
{
	struct order order = {0};

	(void)state;
	assert_int_equal(take_at(&order, 1, 60, 3, ""), VERDICT_JUMPED);
	assert_state(&order.known.state, 60, EVENT_SUB_ABSENT, 1);
	assert_int_equal(take_at(&order, 2, 60, 4, ""), VERDICT_REPEATED);
}

static void test_unknown_sub_status_is_judged_by_its_status(void **state)
{
	(void)state;
	for (int sub_status = EVENT_SUB_ABSENT; sub_status <= 9; sub_status += 10) {
		assert_int_equal(verdict_after(20, 1, 30, sub_status), VERDICT_APPLIED);
		assert_int_equal(verdict_after(20, 1, 40, sub_status), VERDICT_JUMPED);
		assert_int_equal(verdict_after(30, 1, 20, sub_status), VERDICT_REASSIGNED);
		assert_int_equal(verdict_after(40, 3, 50, sub_status), VERDICT_ILLEGAL);
		assert_int_equal(verdict_after(30, sub_status, 20, 2), VERDICT_REASSIGNED);
		assert_int_equal(verdict_after(40, sub_status, 60, -1), VERDICT_APPLIED);
		assert_int_equal(verdict_after(20, sub_status, 40, 1), VERDICT_JUMPED);
		assert_int_equal(verdict_after(50, sub_status, 40, 1), VERDICT_ILLEGAL);
		assert_int_equal(verdict_after(40, sub_status, 40, 1), VERDICT_APPLIED);
	}
	assert_int_equal(verdict_after(40, 3, 40, 9), VERDICT_APPLIED);
	assert_int_equal(verdict_after(40, 9, 40, 9), VERDICT_REPEATED);
	assert_int_equal(verdict_after(50, 2, 50, EVENT_SUB_ABSENT), VERDICT_REPEATED);
}

static void test_back_to_20_without_a_sub_status_counts_as_reassigned(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 30, 1, "A");
	take_at(&order, 2, 20, EVENT_SUB_ABSENT, "");
	assert_int_equal(order.known.state.reassignments, 1);
	assert_string_equal(order.known.state.courier_id, "");
}

static void test_unknown_status_is_not_folded(void **state)
{
	struct order order = {0};

	(void)state;
	assert_int_equal(take_at(&order, 1, 70, 1, ""), VERDICT_UNKNOWN);
	assert_int_equal(order.known.state.status, 0);
	assert_int_equal(take_at(&order, 2, 0, 0, ""), VERDICT_UNKNOWN);
	assert_int_equal(take_at(&order, 3, 20, 1, ""), VERDICT_APPLIED);
}

static void test_late_event_refolds_and_is_seen_from_the_present_state(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 20, 1, "");
	take_at(&order, 5, 40, 1, "A");
	struct event event = event_at(3, 20, 2, "", 0);
	struct judgement judgement = judge(&order, &event);
	assert_int_equal(judgement.verdict, VERDICT_LATE);
	assert_int_equal(judgement.from_status, 40);
	assert_int_equal(judgement.from_sub_status, 1);
	assert_state(&judgement.after, 40, 1, 5);
	assert_int_equal(judgement.after.reassignments, 1);
}

static void test_late_event_may_change_the_state(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 20, 1, "");
	take_at(&order, 5, 40, 1, "A");
	/* Cancelled before: then it was never picked up. */
	assert_int_equal(take_at(&order, 3, 60, -1, ""), VERDICT_LATE);
	assert_state(&order.known.state, 60, EVENT_SUB_ABSENT, 3);
}

static void test_event_before_one_that_set_nothing_is_not_late(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 30, 1, "A");
	take_at(&order, 5, 30, 1, "A");
	assert_int_equal(take_at(&order, 3, 20, 2, ""), VERDICT_REASSIGNED);
	/* And the one after it is 30/1 again: a step now, no repetition. */
	assert_state(&order.known.state, 30, 1, 5);
	assert_int_equal(order.known.state.reassignments, 1);
}

static void test_events_of_one_instant_are_late_by_rank(void **state)
{
	struct order order = {0};

	(void)state;
	assert_int_equal(take_at(&order, 1, 30, 2, ""), VERDICT_JUMPED);
	assert_int_equal(take_at(&order, 1, 30, 1, ""), VERDICT_LATE);
	assert_int_equal(take_at(&order, 1, 20, 2, ""), VERDICT_REASSIGNED);
}

static void test_duplicate_names_the_first_delivery(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 20, 1, "");
	take_at(&order, 2, 30, 1, "A");
	take_at(&order, 3, 40, 1, "A");
	struct event again = event_at(2, 30, 1, "A", 0);
	again.received_ms += 60 * MINUTE_MS;
	struct judgement judgement = judge(&order, &again);
	assert_int_equal(judgement.verdict, VERDICT_DUPLICATE);
	assert_int_equal(judgement.duplicate_of, 2);
	assert_state(&judgement.after, 40, 1, 3);
}

static void test_duplicate_is_asked_before_everything_and_of_any_verdict(void **state)
{
	struct order order = {.known = {.exists = true, .order_no = "m"}};
	struct event mismatch = event_at(2, 30, 1, "A", 0);
	struct event conflict = event_at(1, 20, 1, "", 9);

	(void)state;
	memcpy(mismatch.order_no, "n", 2);
	take_at(&order, 1, 20, 1, "");
	assert_int_equal(take(&order, conflict), VERDICT_CONFLICT);
	assert_int_equal(take(&order, conflict), VERDICT_DUPLICATE);
	assert_int_equal(take(&order, mismatch), VERDICT_MISMATCH);
	assert_int_equal(take(&order, mismatch), VERDICT_DUPLICATE);
	assert_int_equal(take_at(&order, 3, 70, 1, ""), VERDICT_UNKNOWN);
	assert_int_equal(take_at(&order, 3, 70, 1, ""), VERDICT_DUPLICATE);
	assert_int_equal(order.n, 4);
}

static void test_same_key_with_other_content_is_a_conflict_that_changes_nothing(void **state)
{
	struct order order = {0};

	(void)state;
	take_at(&order, 1, 20, 1, "");
	take_at(&order, 2, 60, -1, "");
	assert_int_equal(take(&order, event_at(2, 60, -1, "", 1)), VERDICT_CONFLICT);
	assert_int_equal(take(&order, event_at(2, 60, -1, "", 2)), VERDICT_CONFLICT);
	assert_state(&order.known.state, 60, EVENT_SUB_ABSENT, 2);
}

static void test_courier_is_part_of_the_key(void **state)
{
	struct order order = {0};

	(void)state;
	assert_int_equal(take_at(&order, 1, 30, 1, "A"), VERDICT_JUMPED);
	/* Before it in the fold, where no courier comes before any. */
	assert_int_equal(take_at(&order, 1, 30, 1, ""), VERDICT_LATE);
	assert_state(&order.known.state, 30, 1, 1);
	assert_string_equal(order.known.state.courier_id, "A");
}

static void test_mismatch_takes_no_key_from_an_event_of_the_order(void **state)
{
	struct order order = {.known = {.exists = true, .order_no = "m"}};
	struct event wrong = event_at(1, 20, 1, "", 7);

	(void)state;
	memcpy(wrong.order_no, "n", 2);
	assert_int_equal(take(&order, wrong), VERDICT_MISMATCH);
	assert_int_equal(take_at(&order, 1, 20, 1, ""), VERDICT_APPLIED);
}

static void test_only_what_is_present_on_both_sides_mismatches(void **state)
{
	struct order order = {.known = {.exists = true, .order_no = "m", .shop_id = ""}};
	struct event event = event_at(1, 20, 1, "", 0);

	(void)state;
	assert_int_equal(judge(&order, &event).verdict, VERDICT_APPLIED);
	memcpy(event.shop_id, "s", 2);
	assert_int_equal(judge(&order, &event).verdict, VERDICT_APPLIED);
	memcpy(order.known.shop_id, "t", 2);
	assert_int_equal(judge(&order, &event).verdict, VERDICT_MISMATCH);
	memcpy(order.known.shop_id, "s", 2);
	memcpy(event.order_no, "mm", 3);
	assert_int_equal(judge(&order, &event).verdict, VERDICT_MISMATCH);
}

static void test_mismatch_is_asked_before_unknown_and_unknown_before_conflict(void **state)
{
	struct order order = {.known = {.exists = true, .order_no = "m"}};
	struct event event = event_at(1, 70, 1, "", 1);

	(void)state;
	take_at(&order, 1, 70, 1, "");
	assert_int_equal(judge(&order, &event).verdict, VERDICT_UNKNOWN);
	memcpy(event.order_no, "n", 2);
	assert_int_equal(judge(&order, &event).verdict, VERDICT_MISMATCH);
}

static void test_equal_events_without_a_time_are_one_for_ten_minutes(void **state)
{
	struct order order = {0};
	struct event late = event_received(11, 20, 1, "", 0);

	(void)state;
	assert_int_equal(take(&order, event_received(1, 20, 1, "", 0)), VERDICT_APPLIED);
	assert_int_equal(take(&order, late), VERDICT_DUPLICATE);
	late.received_ms++;
	late.occurred_ms++;
	assert_int_equal(take(&order, late), VERDICT_REPEATED);
}

static void test_duplicate_of_several_is_counted_on_the_one_stored_first(void **state)
{
	struct order order = {0};
	struct event readmitted = event_received(6, 20, 1, "", 0);

	(void)state;
	take(&order, event_received(1, 20, 1, "", 0));
	take(&order, event_received(12, 20, 1, "", 0));
	assert_int_equal(order.n, 2);
	assert_int_equal(judge(&order, &readmitted).duplicate_of, 1);
}

static void test_other_content_without_a_time_is_no_conflict(void **state)
{
	struct order order = {0};

	(void)state;
	take(&order, event_received(1, 20, 1, "", 0));
	assert_int_equal(take(&order, event_received(1, 20, 1, "", 1)), VERDICT_REPEATED);
	/* Nor with an event that has a time, at the same instant. */
	assert_int_equal(take_at(&order, 2, 30, 1, ""), VERDICT_APPLIED);
	struct event event = event_received(2, 30, 1, "", 1);
	event.content[2] = 3;
	assert_int_equal(take(&order, event), VERDICT_REPEATED);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* Without the history, where its header allows that, the judge says exactly the same. */
static void test_empty_history_is_as_good_for_an_event_after_everything(void **state)
{
	static const int statuses[] = {20, 20, 30, 30, 40, 40, 50, 60, 70};
	static const char *const couriers[] = {"", "A", "B"};
	uint32_t seed = 20250530;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct order order = {0};

		for (int minute = 1; minute <= STORED_MAX / 2; minute++) {
			struct event event = event_at(minute, statuses[next_random(&seed) % 9],
						      (int)(next_random(&seed) % 6) - 1,
						      couriers[next_random(&seed) % 3], 0);
			struct judgement full = judge(&order, &event), fast;

			order_judge(order_machine_v5(), &order.known, NULL, 0, &event, &fast);
			assert_int_equal(fast.verdict, full.verdict);
			assert_int_equal(fast.from_status, full.from_status);
			assert_int_equal(fast.from_sub_status, full.from_sub_status);
			assert_int_equal(fast.other_courier, full.other_courier);
			assert_int_equal(fast.after.status, full.after.status);
			assert_int_equal(fast.after.sub_status, full.after.sub_status);
			assert_int_equal(fast.after.since_ms, full.after.since_ms);
			assert_int_equal(fast.after.reassignments, full.after.reassignments);
			assert_string_equal(fast.after.courier_id, full.after.courier_id);
			take(&order, event);
			/* One that is not the last, so that the history is no mere chain. */
			if (next_random(&seed) % 2)
				take_at(&order, minute - 1, statuses[next_random(&seed) % 9], 2,
					"C");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captured_order),
		cmocka_unit_test(test_first_event_other_than_placed_has_jumped),
		cmocka_unit_test(test_steps_jumps_and_no_ways),
		cmocka_unit_test(test_illegal_event_changes_nothing_now),
		cmocka_unit_test(test_repeated_keeps_since),
		cmocka_unit_test(test_another_courier_in_30_has_jumped_through_a_lost_reassignment),
		cmocka_unit_test(test_another_courier_later_is_repeated_with_a_note),
		cmocka_unit_test(test_sub_status_of_60_is_ignored),
		cmocka_unit_test(test_unknown_sub_status_is_judged_by_its_status),
		cmocka_unit_test(test_back_to_20_without_a_sub_status_counts_as_reassigned),
		cmocka_unit_test(test_unknown_status_is_not_folded),
		cmocka_unit_test(test_late_event_refolds_and_is_seen_from_the_present_state),
		cmocka_unit_test(test_late_event_may_change_the_state),
		cmocka_unit_test(test_event_before_one_that_set_nothing_is_not_late),
		cmocka_unit_test(test_events_of_one_instant_are_late_by_rank),
		cmocka_unit_test(test_duplicate_names_the_first_delivery),
		cmocka_unit_test(test_duplicate_is_asked_before_everything_and_of_any_verdict),
		cmocka_unit_test(
			test_same_key_with_other_content_is_a_conflict_that_changes_nothing),
		cmocka_unit_test(test_courier_is_part_of_the_key),
		cmocka_unit_test(test_mismatch_takes_no_key_from_an_event_of_the_order),
		cmocka_unit_test(test_only_what_is_present_on_both_sides_mismatches),
		cmocka_unit_test(test_mismatch_is_asked_before_unknown_and_unknown_before_conflict),
		cmocka_unit_test(test_equal_events_without_a_time_are_one_for_ten_minutes),
		cmocka_unit_test(test_duplicate_of_several_is_counted_on_the_one_stored_first),
		cmocka_unit_test(test_other_content_without_a_time_is_no_conflict),
		cmocka_unit_test(test_empty_history_is_as_good_for_an_event_after_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
