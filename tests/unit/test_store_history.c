/*
 * Random histories: what the store decides from an order's row and, where it must, from part of the
 * history is what the judge says given all of it; and what it keeps is what a recount gives.
 */
#include "store_fixture.h"

#define ORDERS 6
#define HISTORY_MAX 400
#define SEEDS 25
#define BATCHES 12

struct model {
	struct order_known known;
	struct order_event history[HISTORY_MAX + 1];
	size_t n;
};

static struct model models[ORDERS];

/* xorshift: the same histories on every machine. */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static int below(uint32_t *seed, int n)
{
	return (int)(next_random(seed) % (uint32_t)n);
}

static void add_random_event(struct fixture *f, uint32_t *seed)
{
	static const int states[][2] = {{20, 1},  {30, 1}, {30, 2},  {20, 2}, {40, 1},
					{40, 2},  {40, 4}, {40, 3},  {50, 1}, {50, 2},
					{60, -1}, {99, 1}, {30, -1}, {40, 9}, {60, 3}};
	static const char *const couriers[] = {"", "C1", "C2"};
	const int *pair = states[below(seed, sizeof(states) / sizeof(states[0]))];
	char iss[8];
	struct event *event;

	snprintf(iss, sizeof(iss), "R%d", below(seed, ORDERS));
	event = add_event(f, iss, pair[0], pair[1], below(seed, 40), couriers[below(seed, 3)]);
	event->received_ms = BASE_MS + below(seed, 3000) * 1000;
	if (below(seed, 8) == 0) {
		event->occurred_from = EVENT_FROM_RECEIPT;
		event->occurred_ms = event->received_ms;
	}
	if (below(seed, 10) == 0)
		event->content[0] ^= 1;
	if (below(seed, 12) == 0)
		snprintf(event->order_no, sizeof(event->order_no), "stranger");
	if (below(seed, 6) == 0)
		event->order_no[0] = '\0';
	event->stale = below(seed, 15) == 0;
}

static struct model *model_of(const struct event *event)
{
	return &models[event->iss_order_no[1] - '0'];
}

static void bind_model(struct order_known *known, const struct event *event)
{
	known->exists = true;
	if (!known->order_no[0])
		memcpy(known->order_no, event->order_no, sizeof(known->order_no));
	if (!known->shop_id[0])
		memcpy(known->shop_id, event->shop_id, sizeof(known->shop_id));
}

/* The whole history, every time. */
static void expect_as_judged(const struct store_item *item)
{
	const struct event *event = item->event;
	struct model *model = model_of(event);
	struct order_event all[HISTORY_MAX + 1];
	struct judgement judgement;

	memcpy(all, model->history, sizeof(all));
	order_judge(order_machine_v5(), &model->known, all, model->n, event, &judgement);
	if (event->stale && judgement.verdict != VERDICT_DUPLICATE) {
		assert_int_equal(item->result.err, -ERR_TIMESTAMP_STALE);
		return;
	}
	assert_int_equal(item->result.err, 0);
	assert_string_equal(verdict_key(item->result.verdict), verdict_key(judgement.verdict));
	assert_int_equal(item->result.from_status, judgement.from_status);
	assert_int_equal(item->result.from_sub_status, judgement.from_sub_status);
	if (judgement.verdict == VERDICT_DUPLICATE) {
		assert_int_equal(item->result.event_id, judgement.duplicate_of);
		return;
	}
	assert_true(model->n < HISTORY_MAX);
	model->history[model->n] = order_event_of(event);
	model->history[model->n].id = item->result.event_id;
	model->history[model->n++].verdict = judgement.verdict;
	model->known.exists = true;
	if (judgement.verdict != VERDICT_MISMATCH)
		bind_model(&model->known, event);
	if (verdict_folded(judgement.verdict))
		model->known.state = judgement.after;
}

static void expect_row_is_the_fold(struct fixture *f, int i)
{
	struct model *model = &models[i];
	struct order_state state;
	char expected[512];
	char query[512];
	char since[CLOCK_RFC3339_BYTES] = "NULL";
	char status[16] = "NULL";
	char sub[16] = "NULL";
	size_t quarantined = 0;

	if (model->n == 0)
		return;
	order_fold(order_machine_v5(), model->history, model->n, &state, NULL);
	for (size_t j = 0; j < model->n; j++)
		quarantined += verdict_quarantined(model->history[j].verdict);
	if (state.status) {
		snprintf(status, sizeof(status), "%d", state.status);
		clock_format_rfc3339(state.since_ms, since);
		if (state.sub_status != EVENT_SUB_ABSENT)
			snprintf(sub, sizeof(sub), "%d", state.sub_status);
	}
	snprintf(expected, sizeof(expected), "%s|%s|%s|%d|%zu|%zu|%s|%s", status, sub, since,
		 state.reassignments, model->n, quarantined,
		 state.courier_id[0] ? state.courier_id : "NULL",
		 model->known.order_no[0] ? model->known.order_no : "NULL");
	snprintf(query, sizeof(query),
		 "SELECT status, sub_status, since, reassignments, events, quarantined, courier_id,"
		 " order_no FROM order_state WHERE iss_order_no = 'R%d'",
		 i);
	assert_string_equal(sql(f, query), expected);
}

static void expect_recount(struct fixture *f)
{
	char counted[1024];

	snprintf(counted, sizeof(counted), "%s",
		 sql(f, "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status"));
	assert_string_equal(
		sql(f, "SELECT status, orders FROM status_count WHERE orders ORDER BY status"),
		counted);
	assert_string_equal(sql(f, "SELECT iss_order_no FROM orders o WHERE last_occurred_ms <>"
				   " (SELECT max(occurred_ms) FROM event e"
				   "  WHERE e.order_id = o.order_id)"
				   " OR events <> (SELECT count(*) FROM event e"
				   "  WHERE e.order_id = o.order_id)"),
			    "");
	assert_string_equal(sql(f, "SELECT span FROM event_span s WHERE last_event_id <>"
				   " (SELECT max(event_id) FROM event)"
				   " OR received_from_ms > (SELECT min(received_ms) FROM event)"
				   " OR received_to_ms < (SELECT max(received_ms) FROM event)"),
			    "");
	assert_string_equal(sql(f, "PRAGMA integrity_check"), "ok");
	assert_string_equal(sql(f, "PRAGMA foreign_key_check"), "");
}

static void test_what_is_stored_is_the_fold_and_the_count(void **state)
{
	struct fixture *f = *state;

	for (uint32_t start = 1; start <= SEEDS; start++) {
		uint32_t seed = start * 2654435761u;
		memset(models, 0, sizeof(models));
		for (int batch = 0; batch < BATCHES; batch++) {
			int n = 1 + below(&seed, 20);
			for (int i = 0; i < n; i++)
				add_random_event(f, &seed);
			assert_int_equal(write_added(f), 0);
			for (int i = 0; i < n; i++)
				expect_as_judged(&f->items[i]);
		}
		for (int i = 0; i < ORDERS; i++)
			expect_row_is_the_fold(f, i);
		expect_recount(f);
		/* The next history is of new orders of the same names. */
		sql_write(f, "UPDATE orders SET iss_order_no = iss_order_no || '-' || order_id"
			     " WHERE iss_order_no GLOB 'R?'");
	}
}

static void test_counts_are_what_the_daemon_reports(void **state)
{
	struct fixture *f = *state;
	struct store_status_count counts[16];
	size_t n = 99;

	take(f, "A", 20, 1, 0, "");
	take(f, "B", 20, 1, 0, "");
	take(f, "B", 30, 1, 1, "");
	take(f, "C", 99, 1, 1, "");
	assert_int_equal(store_count_orders(f->store, counts, 16, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(counts[0].status, 20);
	assert_int_equal(counts[0].orders, 1);
	assert_int_equal(counts[1].status, 30);
	assert_int_equal(counts[1].orders, 1);
	/* A status that nobody is in any more is told as zero, or its gauge would stay. */
	take(f, "B", 40, 1, 2, "");
	assert_int_equal(store_count_orders(f->store, counts, 16, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(counts[1].orders, 0);
	assert_int_equal(counts[2].orders, 1);
	assert_int_equal(store_count_orders(f->store, counts, 1, &n), 0);
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_stored_is_the_fold_and_the_count,
						setup_store, teardown),
		cmocka_unit_test_setup_teardown(test_counts_are_what_the_daemon_reports,
						setup_store, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
