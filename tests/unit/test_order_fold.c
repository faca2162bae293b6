#include "order_fixture.h"

static struct order_event stored_at(int minute, int status, int sub_status, const char *courier)
{
	struct event event = event_at(minute, status, sub_status, courier, 0);

	return order_event_of(&event);
}

/* Adds the events to nothing in every order of arrival; all must make one state, which it returns.
 */
static struct order_state fold_in_every_order(const struct order_event *events, size_t n)
{
	size_t arrival[8] = {0};
	struct order_state first = {0};
	bool any = false;

	assert_true(n <= 8);
	/* Counts in base n; the numbers with n different digits are the orders. */
	for (size_t digit = 0; digit < n;) {
		struct order_event shuffled[8];
		struct order_state state;
		unsigned seen = 0;

		for (size_t i = 0; i < n; i++) {
			shuffled[i] = events[arrival[i]];
			seen |= 1U << arrival[i];
		}
		if (seen == (1U << n) - 1) {
			order_fold(order_machine_v5(), shuffled, n, &state, NULL);
			if (!any)
				first = state;
			any = true;
			assert_state(&state, first.status, first.sub_status,
				     (int)(first.since_ms / MINUTE_MS));
			assert_string_equal(state.courier_id, first.courier_id);
			assert_int_equal(state.reassignments, first.reassignments);
		}
		for (digit = 0; digit < n && ++arrival[digit] == n; digit++)
			arrival[digit] = 0;
	}
	return first;
}

static void test_no_events_make_no_state(void **state)
{
	struct order_state folded = {.status = 1};
	ptrdiff_t setter = 7;

	(void)state;
	order_fold(order_machine_v5(), NULL, 0, &folded, &setter);
	assert_int_equal(folded.status, 0);
	assert_string_equal(folded.courier_id, "");
	assert_int_equal(setter, -1);
}

static void test_captured_order_folds_to_completed(void **state)
{
	const struct order_event events[] = {stored_at(1, 20, 1, ""), stored_at(2, 30, 1, "A"),
					     stored_at(3, 20, 2, ""), stored_at(4, 40, 1, "A"),
					     stored_at(5, 50, 1, "A")};
	struct order_state folded = fold_in_every_order(events, 5);

	(void)state;
	assert_state(&folded, 50, 1, 5);
	assert_string_equal(folded.courier_id, "A");
	assert_int_equal(folded.reassignments, 1);
}

static void test_events_are_sorted_in_place_and_the_setter_is_an_index_of_them(void **state)
{
	struct order_event events[] = {stored_at(9, 20, 1, ""), stored_at(5, 40, 1, ""),
				       stored_at(1, 20, 1, ""), stored_at(7, 40, 1, "A")};
	struct order_state folded;
	ptrdiff_t setter;

	(void)state;
	order_fold(order_machine_v5(), events, 4, &folded, &setter);
	for (int i = 1; i < 4; i++)
		assert_true(events[i - 1].occurred_ms < events[i].occurred_ms);
	/* Neither the repeated nor the illegal one after it sets the state. */
	assert_int_equal(setter, 1);
	assert_state(&folded, 40, 1, 5);
}

static void test_events_out_of_the_fold_are_passed_over(void **state)
{
	struct order_event events[] = {stored_at(1, 20, 1, ""), stored_at(2, 60, -1, ""),
				       stored_at(3, 30, 1, ""), stored_at(4, 40, 1, "")};
	struct order_state folded;
	ptrdiff_t setter;

	(void)state;
	events[1].verdict = VERDICT_MISMATCH;
	events[2].verdict = VERDICT_CONFLICT;
	events[3].verdict = VERDICT_UNKNOWN;
	events[3].status = 77;
	order_fold(order_machine_v5(), events, 4, &folded, &setter);
	assert_state(&folded, 20, 1, 1);
	assert_int_equal(setter, 0);
}

static void test_what_an_older_machine_did_not_know_takes_its_place(void **state)
{
	struct order_event events[] = {stored_at(1, 20, 1, ""), stored_at(2, 30, 1, "")};
	struct order_state folded;

	(void)state;
	events[1].verdict = VERDICT_UNKNOWN;
	order_fold(order_machine_v5(), events, 2, &folded, NULL);
	assert_state(&folded, 30, 1, 2);
}

static void test_illegal_event_acts_once_an_earlier_one_opens_the_way(void **state)
{
	struct order_event events[] = {stored_at(1, 20, 1, ""), stored_at(3, 50, 1, ""),
				       stored_at(4, 60, -1, ""), stored_at(2, 40, 3, "")};
	struct order_state folded;

	(void)state;
	events[2].verdict = VERDICT_ILLEGAL;
	order_fold(order_machine_v5(), events, 3, &folded, NULL);
	assert_state(&folded, 50, 1, 3);
	/* On its way back to the sender it was not completed but cancelled. */
	events[3].verdict = VERDICT_LATE;
	order_fold(order_machine_v5(), events, 4, &folded, NULL);
	assert_state(&folded, 60, EVENT_SUB_ABSENT, 4);
}

static void test_one_instant_is_ordered_by_rank(void **state)
{
	const struct order_event events[] = {stored_at(1, 50, 1, ""), stored_at(1, 20, 2, ""),
					     stored_at(1, 30, 1, ""), stored_at(1, 40, 1, ""),
					     stored_at(1, 30, 2, ""), stored_at(1, 20, 1, "")};
	struct order_state folded = fold_in_every_order(events, 6);

	(void)state;
	assert_state(&folded, 50, 1, 1);
	assert_int_equal(folded.reassignments, 1);
}

static void test_ties_end_with_courier_and_content(void **state)
{
	struct order_event a = stored_at(1, 30, 1, "A");
	struct order_event b = stored_at(1, 30, 1, "B");
	struct order_event more = a;

	(void)state;
	assert_true(order_event_compare(&a, &b) < 0);
	more.content[31] = 1;
	assert_true(order_event_compare(&a, &more) < 0);
	assert_true(order_event_compare(&more, &b) < 0);
	assert_int_equal(order_event_compare(&a, &a), 0);
	/* received and id are how it came, not what happened. */
	more = a;
	more.id = 5;
	more.received_ms++;
	assert_int_equal(order_event_compare(&a, &more), 0);
}

static void test_times_far_apart_are_ordered(void **state)
{
	struct order_event first = stored_at(0, 20, 1, "");
	struct order_event last = first;

	(void)state;
	first.occurred_ms = INT64_MIN;
	last.occurred_ms = INT64_MAX;
	assert_true(order_event_compare(&first, &last) < 0);
	assert_true(order_event_compare(&last, &first) > 0);
}

static void test_every_entry_into_20_2_counts_and_a_lost_one_does_not(void **state)
{
	const struct order_event events[] = {stored_at(1, 20, 1, ""),  stored_at(2, 20, 2, ""),
					     stored_at(3, 30, 2, "A"), stored_at(4, 20, 2, ""),
					     stored_at(5, 20, 2, ""),  stored_at(6, 30, 1, "B"),
					     stored_at(7, 30, 1, "C")};
	struct order_state folded = fold_in_every_order(events, 5);

	(void)state;
	assert_state(&folded, 20, 2, 4);
	assert_int_equal(folded.reassignments, 2);
	folded = fold_in_every_order(events + 2, 5);
	assert_state(&folded, 30, 1, 7);
	assert_string_equal(folded.courier_id, "C");
	assert_int_equal(folded.reassignments, 1);
}

static void test_courier_is_kept_by_silence_and_let_go_by_dispatch(void **state)
{
	const struct order_event events[] = {stored_at(1, 30, 1, "A"), stored_at(2, 30, 2, ""),
					     stored_at(3, 20, 2, ""),  stored_at(4, 30, 1, ""),
					     stored_at(5, 30, 1, "B"), stored_at(6, 60, -1, "")};

	(void)state;
	assert_string_equal(fold_in_every_order(events, 2).courier_id, "A");
	assert_string_equal(fold_in_every_order(events, 3).courier_id, "");
	assert_string_equal(fold_in_every_order(events, 4).courier_id, "");
	/* A repetition that names the courier is no move. */
	struct order_state folded = fold_in_every_order(events, 5);
	assert_state(&folded, 30, 1, 4);
	assert_string_equal(folded.courier_id, "B");
	assert_string_equal(fold_in_every_order(events, 6).courier_id, "B");
}

static void test_unknown_sub_statuses_move_by_their_times(void **state)
{
	const struct order_event events[] = {
		stored_at(1, 40, 3, ""), stored_at(2, 40, 9, ""), stored_at(3, 40, 2, ""),
		stored_at(4, 40, EVENT_SUB_ABSENT, ""), stored_at(5, 40, 1, "")};
	struct order_state folded = fold_in_every_order(events, 2);

	(void)state;
	assert_state(&folded, 40, 9, 2);
	/* An absent one says nothing new, and 40/1 has no way from 40/2. */
	folded = fold_in_every_order(events, 5);
	assert_state(&folded, 40, 2, 3);
}

static void test_key_holds_everything_but_content_and_numbers(void **state)
{
	struct order_event a = stored_at(1, 30, 1, "A");
	struct order_event others[] = {
		stored_at(2, 30, 1, "A"), stored_at(1, 20, 1, "A"),
		stored_at(1, 30, 2, "A"), stored_at(1, 30, EVENT_SUB_ABSENT, "A"),
		stored_at(1, 30, 1, "B"), stored_at(1, 30, 1, "")};
	struct order_event same = a;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(order_event_same_key(&a, &others[i]));
	same.content[0]++;
	same.id = 9;
	same.received_ms += 60 * MINUTE_MS;
	assert_true(order_event_same_key(&a, &same));
	same.occurred_from = EVENT_FROM_RECEIPT;
	assert_false(order_event_same_key(&a, &same));
}

static void test_key_without_a_time_holds_for_ten_minutes_either_way(void **state)
{
	struct event event = event_received(20, 30, 1, "A", 0);
	struct order_event a = order_event_of(&event);
	struct order_event b = a;

	(void)state;
	b.received_ms += EVENT_SAME_WITHIN_MS;
	b.occurred_ms += EVENT_SAME_WITHIN_MS;
	assert_true(order_event_same_key(&a, &b));
	assert_true(order_event_same_key(&b, &a));
	b.received_ms++;
	assert_false(order_event_same_key(&a, &b));
	assert_false(order_event_same_key(&b, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_events_make_no_state),
		cmocka_unit_test(test_captured_order_folds_to_completed),
		cmocka_unit_test(
			test_events_are_sorted_in_place_and_the_setter_is_an_index_of_them),
		cmocka_unit_test(test_events_out_of_the_fold_are_passed_over),
		cmocka_unit_test(test_what_an_older_machine_did_not_know_takes_its_place),
		cmocka_unit_test(test_illegal_event_acts_once_an_earlier_one_opens_the_way),
		cmocka_unit_test(test_one_instant_is_ordered_by_rank),
		cmocka_unit_test(test_ties_end_with_courier_and_content),
		cmocka_unit_test(test_times_far_apart_are_ordered),
		cmocka_unit_test(test_every_entry_into_20_2_counts_and_a_lost_one_does_not),
		cmocka_unit_test(test_courier_is_kept_by_silence_and_let_go_by_dispatch),
		cmocka_unit_test(test_unknown_sub_statuses_move_by_their_times),
		cmocka_unit_test(test_key_holds_everything_but_content_and_numbers),
		cmocka_unit_test(test_key_without_a_time_holds_for_ten_minutes_either_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
