/* Stored histories judged again: the verdicts and the state are those of the writer. */
#include "order_fixture.h"
#include "orderhook/err.h"
#include "orderhook/rejudge.h"

#define ARRIVALS_MAX 64

struct stored {
	struct store_history history;
	struct store_arrival arrivals[ARRIVALS_MAX];
	struct order_known known;
	struct order_event past[ARRIVALS_MAX + 1];
};

static void begin(struct stored *stored)
{
	memset(stored, 0, sizeof(*stored));
	stored->history.arrivals = stored->arrivals;
	memcpy(stored->history.iss_order_no, "T1", sizeof("T1"));
}

static void bind(char bound[EVENT_ID_BYTES_MAX + 1], const char *given)
{
	if (!bound[0])
		memcpy(bound, given, strlen(given) + 1);
}

/* As the writer does it: judged against the whole history, then kept. */
static enum verdict arrive(struct stored *stored, struct event event)
{
	struct store_history *history = &stored->history;
	struct order_event scratch[ARRIVALS_MAX + 1];
	struct judgement judgement;

	memcpy(scratch, stored->past, sizeof(scratch));
	order_judge(order_machine_v5(), &stored->known, scratch, history->n, &event, &judgement);
	assert_true(history->n < ARRIVALS_MAX);
	struct store_arrival *arrival = &history->arrivals[history->n++];
	arrival->event = order_event_of(&event);
	arrival->event.id = (int64_t)history->n;
	arrival->event.verdict = judgement.verdict;
	stored->past[history->n - 1] = arrival->event;
	stored->known.exists = true;
	stored->known.state = judgement.after;
	bind(stored->known.order_no, event.order_no);
	bind(stored->known.shop_id, event.shop_id);
	bind(history->order_no, event.order_no);
	bind(history->shop_id, event.shop_id);
	/* The store keeps with an event only what differs from its order. */
	if (strcmp(event.order_no, history->order_no) != 0)
		memcpy(arrival->order_no, event.order_no, sizeof(event.order_no));
	if (strcmp(event.shop_id, history->shop_id) != 0)
		memcpy(arrival->shop_id, event.shop_id, sizeof(event.shop_id));
	history->state = judgement.after;
	return judgement.verdict;
}

static void assert_same_again(const struct stored *stored, struct rejudged *rejudged)
{
	assert_int_equal(rejudge_order(order_machine_v5(), &stored->history, rejudged), 0);
	for (size_t i = 0; i < stored->history.n; i++)
		assert_int_equal(rejudged->verdicts[i], stored->arrivals[i].event.verdict);
	assert_false(rejudge_state_differs(&stored->history.state, &rejudged->state));
}

static struct event of_order(struct event event, const char *order_no, const char *shop_id)
{
	memcpy(event.order_no, order_no, strlen(order_no) + 1);
	memcpy(event.shop_id, shop_id, strlen(shop_id) + 1);
	return event;
}

static void test_every_verdict_comes_out_as_it_was_given(void **state)
{
	struct rejudged rejudged = {0};
	struct stored stored;

	(void)state;
	begin(&stored);
	assert_int_equal(arrive(&stored, of_order(event_at(10, 20, 1, "", 0), "m-1", "s-1")),
			 VERDICT_APPLIED);
	assert_int_equal(arrive(&stored, event_at(20, 40, 1, "A", 0)), VERDICT_JUMPED);
	assert_int_equal(arrive(&stored, event_at(15, 30, 1, "A", 0)), VERDICT_LATE);
	assert_int_equal(arrive(&stored, event_at(20, 40, 1, "A", 1)), VERDICT_CONFLICT);
	assert_int_equal(arrive(&stored, event_at(30, 99, 1, "", 0)), VERDICT_UNKNOWN);
	assert_int_equal(arrive(&stored, of_order(event_at(31, 50, 1, "", 0), "m-2", "s-1")),
			 VERDICT_MISMATCH);
	assert_int_equal(arrive(&stored, of_order(event_at(31, 50, 1, "", 2), "m-1", "s-2")),
			 VERDICT_MISMATCH);
	assert_int_equal(arrive(&stored, event_at(40, 40, 1, "A", 0)), VERDICT_REPEATED);
	assert_int_equal(arrive(&stored, event_at(50, 50, 1, "A", 0)), VERDICT_APPLIED);
	assert_int_equal(arrive(&stored, event_at(60, 30, 1, "B", 0)), VERDICT_ILLEGAL);
	assert_same_again(&stored, &rejudged);
	rejudged_release(&rejudged);
}

/* One structure serves orders of every length, one after the other. */
static void test_orders_one_after_the_other_do_not_disturb_each_other(void **state)
{
	static const size_t lengths[] = {1, 40, 2, 60, 60, 3, 0, 5};
	struct rejudged rejudged = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct stored stored;
		begin(&stored);
		for (size_t j = 0; j < lengths[i]; j++)
			arrive(&stored, event_at((int)j, j % 3 == 1 ? 30 : 20, j % 3 == 2 ? 2 : 1,
						 j % 2 ? "A" : "B", 0));
		assert_same_again(&stored, &rejudged);
	}
	rejudged_release(&rejudged);
}

static void test_verdicts_are_judged_against_the_new_past_and_not_the_stored_one(void **state)
{
	struct rejudged rejudged = {0};
	struct stored stored;

	(void)state;
	begin(&stored);
	arrive(&stored, event_at(10, 20, 1, "", 0));
	arrive(&stored, event_at(20, 30, 1, "A", 0));
	/* As a machine that knew no 20 would have left it: what comes after it is a step from 20
	 * all the same. */
	stored.arrivals[0].event.verdict = VERDICT_UNKNOWN;
	stored.arrivals[1].event.verdict = VERDICT_JUMPED;
	assert_int_equal(rejudge_order(order_machine_v5(), &stored.history, &rejudged), 0);
	assert_int_equal(rejudged.verdicts[0], VERDICT_APPLIED);
	assert_int_equal(rejudged.verdicts[1], VERDICT_APPLIED);
	assert_int_equal(rejudged.state.status, 30);
	rejudged_release(&rejudged);
}

static void test_each_part_of_a_state_tells_a_difference(void **state)
{
	const struct order_state one = {.status = 40,
					.sub_status = 1,
					.courier_id = "A",
					.since_ms = 5,
					.reassignments = 1};
	struct order_state other[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		other[i] = one;
	assert_false(rejudge_state_differs(&one, &other[0]));
	other[0].status = 50;
	other[1].sub_status = 2;
	other[2].courier_id[0] = 'B';
	other[3].since_ms = 6;
	other[4].reassignments = 2;
	for (int i = 0; i < 5; i++)
		assert_true(rejudge_state_differs(&one, &other[i]));
	rejudged_release(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_verdict_comes_out_as_it_was_given),
		cmocka_unit_test(test_orders_one_after_the_other_do_not_disturb_each_other),
		cmocka_unit_test(
			test_verdicts_are_judged_against_the_new_past_and_not_the_stored_one),
		cmocka_unit_test(test_each_part_of_a_state_tells_a_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
