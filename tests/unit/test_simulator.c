/* The simulator without its network: walks, bodies, shares, expectations, ledger lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/tools/simulator_private.h"
#include "orderhook/err.h"
#include "orderhook/json_scan.h"

#define START_MS 1748595319000 /* 2025-05-30 16:55:19 in China */
#define ORDERS 3000

static const struct sim_identity identity = {"clientId", "shopId"};

static struct sim_shares shares_of(const char *text)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	struct sim_shares shares;

	assert_int_equal(sim_shares_parse(slice_of(text), &shares, &problem), 0);
	return shares;
}

static struct sim_shares everything(void)
{
	return shares_of("duplicate=20%,reorder=20%,late=10%,skip=10%,slow=5%,bad-signature=10%,"
			 "reassign=50%,cancel=50%,refund=50%");
}

static struct sim_order order_of(const struct sim_shares *shares, uint64_t seed, uint64_t index)
{
	struct sim_order order;

	sim_order_make(shares, seed, index, START_MS, &order);
	return order;
}

/* ------------------------------------------------------------------ walks -------------- */

static void test_every_step_follows_an_edge_of_the_table(void **state)
{
	struct sim_shares shares = everything();

	(void)state;
	for (uint64_t i = 0; i < ORDERS; i++) {
		struct sim_order order = order_of(&shares, 1, i);
		enum order_node at = NODE_NONE;
		for (size_t s = 0; s < order.n_steps; s++) {
			assert_int_equal(order_machine_v5()->steps[at][order.steps[s].node], 1);
			at = order.steps[s].node;
		}
		assert_true(at == NODE_S50_1 || at == NODE_S50_2 || at == NODE_S60);
	}
}

static void test_every_edge_of_the_table_is_walked(void **state)
{
	struct sim_shares shares = everything();
	bool walked[NODE_MAX][NODE_MAX] = {{false}};

	(void)state;
	for (uint64_t i = 0; i < ORDERS; i++) {
		struct sim_order order = order_of(&shares, 1, i);
		enum order_node at = NODE_NONE;
		for (size_t s = 0; s < order.n_steps; s++) {
			walked[at][order.steps[s].node] = true;
			at = order.steps[s].node;
		}
	}
#define ORDER_EDGE(from, to, verdict) assert_true(walked[NODE_##from][NODE_##to]);
#include "orderhook/tbl/order_edge.def"
#undef ORDER_EDGE
}

static void test_times_go_forward_within_the_promised_span(void **state)
{
	struct sim_shares shares = everything();

	(void)state;
	for (uint64_t i = 0; i < ORDERS; i++) {
		struct sim_order order = order_of(&shares, 2, i);
		assert_true(order.steps[0].occurred_ms >= START_MS);
		for (size_t s = 1; s < order.n_steps; s++)
			assert_true(order.steps[s].occurred_ms >=
				    order.steps[s - 1].occurred_ms + 1000);
		assert_true(order.steps[order.n_steps - 1].occurred_ms <
			    START_MS + SIM_ORDER_SPAN_MS);
	}
}

static void test_without_faults_an_order_is_completed_and_sent_as_it_happened(void **state)
{
	struct sim_shares none = shares_of("none");

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		struct sim_order order = order_of(&none, 3, i);
		assert_int_equal(order.steps[order.n_steps - 1].node, NODE_S50_1);
		assert_int_equal(order.n_sends, order.n_steps);
		for (size_t s = 0; s < order.n_sends; s++) {
			assert_int_equal(order.sends[s].step, s);
			assert_int_equal(order.sends[s].kind, SIM_SEND_CALLBACK);
			assert_false(order.sends[s].slow);
		}
	}
}

static void test_the_same_seed_makes_the_same_orders_and_bodies(void **state)
{
	struct sim_shares shares = everything();

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		BUF_AUTO struct buf a = BUF_INIT(65536);
		BUF_AUTO struct buf b = BUF_INIT(65536);
		struct sim_order one = order_of(&shares, 7, i);
		struct sim_order two = order_of(&shares, 7, i);
		assert_memory_equal(one.sends, two.sends, sizeof(one.sends));
		for (size_t s = 0; s < one.n_steps; s++) {
			assert_int_equal(sim_body(&one, s, &identity, &a), 0);
			assert_int_equal(sim_body(&two, s, &identity, &b), 0);
		}
		assert_true(slice_equal(buf_slice(&a), buf_slice(&b)));
	}
	assert_string_not_equal(order_of(&shares, 7, 0).iss_order_no,
				order_of(&shares, 8, 0).iss_order_no);
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void test_order_numbers_are_unique_within_a_run(void **state)
{
	struct sim_shares none = shares_of("none");
	char(*numbers)[20] = calloc(ORDERS, sizeof(*numbers));

	(void)state;
	assert_non_null(numbers);
	for (uint64_t i = 0; i < ORDERS; i++)
		snprintf(numbers[i], sizeof(numbers[i]), "%s", order_of(&none, 9, i).iss_order_no);
	qsort(numbers, ORDERS, sizeof(*numbers), compare_strings);
	for (size_t i = 1; i < ORDERS; i++)
		assert_string_not_equal(numbers[i - 1], numbers[i]);
	free(numbers);
}

/* ------------------------------------------------------------------ on their way ------- */

static void test_reordering_swaps_neighbours_and_loses_nothing(void **state)
{
	struct sim_shares shares = shares_of("reorder=100%");
	struct sim_order order = order_of(&shares, 4, 0);

	(void)state;
	assert_int_equal(order.n_sends, order.n_steps);
	for (size_t i = 0; i + 1 < order.n_steps; i += 2) {
		assert_int_equal(order.sends[i].step, i + 1);
		assert_int_equal(order.sends[i + 1].step, i);
	}
	assert_int_equal(order.faults[SIM_REORDER], order.n_steps / 2);
}

static void test_late_callbacks_come_after_all_others(void **state)
{
	struct sim_shares shares = shares_of("late=100%");
	struct sim_order order = order_of(&shares, 4, 0);

	(void)state;
	assert_int_equal(order.n_sends, order.n_steps);
	assert_int_equal(order.sends[0].step, order.n_steps - 1);
	for (size_t i = 1; i < order.n_sends; i++)
		assert_int_equal(order.sends[i].step, i - 1);
}

static void test_skipped_callbacks_never_go_out(void **state)
{
	struct sim_shares shares = shares_of("skip=100%");
	struct sim_order order = order_of(&shares, 4, 0);

	(void)state;
	assert_int_equal(order.n_sends, 0);
	assert_int_equal(order.faults[SIM_SKIP], order.n_steps);
}

static void test_a_forgery_precedes_and_a_duplicate_follows_the_callback(void **state)
{
	struct sim_shares shares = shares_of("bad-signature=100%,duplicate=100%,slow=100%");
	struct sim_order order = order_of(&shares, 4, 0);

	(void)state;
	assert_int_equal(order.n_sends, 3 * order.n_steps);
	for (size_t i = 0; i < order.n_sends; i++) {
		assert_int_equal(order.sends[i].step, i / 3);
		assert_int_equal(order.sends[i].kind, i % 3 == 0   ? SIM_SEND_FORGED
						      : i % 3 == 1 ? SIM_SEND_CALLBACK
								   : SIM_SEND_DUPLICATE);
		assert_int_equal(order.sends[i].slow, i % 3 == 1);
	}
}

static void assert_share(uint64_t count, uint64_t of, double share)
{
	double got = (double)count / (double)of;

	/* 3000 orders, 15000 callbacks: four standard deviations of the rarest are below this. */
	if (got < share - 0.02 || got > share + 0.02)
		fail_msg("%.4f instead of %.4f", got, share);
}

static void test_shares_are_what_the_option_says(void **state)
{
	struct sim_shares shares = shares_of(
		"duplicate=5%,skip=3%,late=2%,bad-signature=1%,slow=1.5%,reassign=10%,cancel=20%,"
		"refund=30%");
	uint64_t faults[SIM_FAULT_MAX] = {0};
	uint64_t steps = 0;
	uint64_t sent = 0;
	uint64_t completed = 0;

	(void)state;
	for (uint64_t i = 0; i < ORDERS; i++) {
		struct sim_order order = order_of(&shares, 5, i);
		for (int f = 0; f < SIM_FAULT_MAX; f++)
			faults[f] += order.faults[f];
		steps += order.n_steps;
		sent += order.n_steps - order.faults[SIM_SKIP];
		completed += order.steps[order.n_steps - 1].node != NODE_S60;
	}
	assert_share(faults[SIM_DUPLICATE], sent, 0.05);
	assert_share(faults[SIM_SKIP], steps, 0.03);
	assert_share(faults[SIM_LATE], steps, 0.02);
	assert_share(faults[SIM_BAD_SIGNATURE], sent, 0.01);
	assert_share(faults[SIM_SLOW], sent, 0.015);
	assert_share(faults[SIM_REASSIGN], ORDERS, 0.10);
	assert_share(faults[SIM_CANCEL], ORDERS, 0.20);
	assert_share(faults[SIM_REFUND], completed, 0.30);
	assert_int_equal(faults[SIM_REORDER], 0);
}

static void test_shares_parse_and_refuse(void **state)
{
	static const char *const bad[] = {"",
					  "duplicate",
					  "duplicate=5",
					  "duplicate=%",
					  "duplicate=101%",
					  "duplicate=1.234%",
					  "duplicate=1.%",
					  "duplicate=-1%",
					  "dupe=1%",
					  "none,",
					  "duplicate=5%,,skip=1%"};
	struct sim_shares shares = shares_of("default, slow=0%,skip=0.5%");
	struct sim_shares defaults;

	(void)state;
	sim_shares_default(&defaults);
	assert_int_equal(shares.per_10000[SIM_DUPLICATE], defaults.per_10000[SIM_DUPLICATE]);
	assert_int_equal(shares.per_10000[SIM_SLOW], 0);
	assert_int_equal(shares.per_10000[SIM_SKIP], 50);
	assert_int_equal(shares_of("skip=100%").per_10000[SIM_SKIP], 10000);
	assert_int_equal(shares_of("skip=100%").per_10000[SIM_DUPLICATE], 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		BUF_AUTO struct buf problem = BUF_INIT(1024);
		struct sim_shares untouched = defaults;
		assert_int_equal(sim_shares_parse(slice_of(bad[i]), &untouched, &problem),
				 -ERR_SYNTAX);
		assert_memory_equal(&untouched, &defaults, sizeof(defaults));
		assert_true(problem.len > 0);
	}
}

/* ------------------------------------------------------------------ bodies ------------- */

/* The members of text: their names and types, in their order, as one string. */
static void add_shape(struct buf *out, struct slice text)
{
	struct json_object object;

	assert_int_equal(json_scan_object(text, &object), 0);
	for (size_t i = 0; i < object.n; i++) {
		const struct json_member *member = &object.members[i];
		assert_int_equal(buf_addf(out, "%.*s:%d ", SLICE_ARG(member->key), member->type),
				 0);
		if (member->type == JSON_OBJECT)
			add_shape(out, member->value);
	}
}

/* Captured callbacks, their values shortened: what counts is which members they have, in which
 * order. The last one is constructed from the documentation. */
static const struct {
	enum order_node node;
	const char *body;
} captured[] = {
	{NODE_S20_1,
	 "{\"clientId\":\"\",\"drawback\":0,\"issOrderNo\":\"\",\"orderNo\":\"\","
	 "\"sendBackFee\":0,\"shopId\":\"\",\"status\":20,\"statusChangeTime\":\"\","
	 "\"statusDesc\":\"派单中\",\"subStatus\":1,\"subStatusDesc\":\"派单中\",\"token\":\"\"}"},
	{NODE_S30_1,
	 "{\"clientId\":\"\",\"courier\":{\"blacklisted\":0,\"deliveryProcessTrail\":[],"
	 "\"estimateDeliveryTimeTip\":\"即将上门取件\",\"gcj02Trail\":[],\"headIcon\":\"\","
	 "\"id\":\"\",\"mobile\":\"\",\"name\":\"\",\"orderCount\":9435,\"type\":1},"
	 "\"deliveryPassword\":\"4004\",\"drawback\":0,\"issOrderNo\":\"\",\"orderNo\":\"\","
	 "\"pickupPassword\":\"\",\"sendBackFee\":0,\"shopId\":\"\",\"status\":30,"
	 "\"statusChangeTime\":\"\",\"statusDesc\":\"待取货\",\"subStatus\":1,"
	 "\"subStatusDesc\":\"待取货\",\"token\":\"\"}"},
	{NODE_S20_2, "{\"clientId\":\"\",\"drawback\":0,\"issOrderNo\":\"\",\"orderNo\":\"\","
		     "\"sendBackFee\":0,\"shopId\":\"\",\"status\":20,\"statusChangeTime\":\"\","
		     "\"statusDesc\":\"派单中\",\"subStatus\":2,\"subStatusDesc\":\"转单改派中\","
		     "\"token\":\"\"}"},
	{NODE_S40_1,
	 "{\"clientId\":\"\",\"courier\":{\"blacklisted\":0,\"deliveryProcessTrail\":[],"
	 "\"estimateDeliveryTimeTip\":\"闪送员正在配送\",\"gcj02Trail\":[],\"headIcon\":\"\","
	 "\"id\":\"\",\"mobile\":\"\",\"name\":\"\",\"orderCount\":9435,\"type\":1},"
	 "\"deliveryPassword\":\"4004\",\"drawback\":0,\"issOrderNo\":\"\",\"orderNo\":\"\","
	 "\"pickupPassword\":\"\",\"sendBackFee\":0,\"shopId\":\"\",\"status\":40,"
	 "\"statusChangeTime\":\"\",\"statusDesc\":\"闪送中\",\"subStatus\":1,"
	 "\"subStatusDesc\":\"闪送中\",\"token\":\"\"}"},
	{NODE_S50_1,
	 "{\"clientId\":\"\",\"courier\":{\"blacklisted\":0,\"deliveryProcessTrail\":[],"
	 "\"gcj02Trail\":[],\"headIcon\":\"\",\"id\":\"\",\"mobile\":\"\",\"name\":\"\","
	 "\"orderCount\":9435,\"type\":1},\"deliveryPassword\":\"4004\",\"drawback\":0,"
	 "\"issOrderNo\":\"\",\"orderNo\":\"\",\"pickupPassword\":\"\",\"sendBackFee\":0,"
	 "\"shopId\":\"\",\"status\":50,\"statusChangeTime\":\"\",\"statusDesc\":\"已完成\","
	 "\"subStatus\":1,\"subStatusDesc\":\"已完成\",\"token\":\"\"}"},
	{NODE_S60, "{\"abortReason\":\"\",\"abortType\":3,\"clientId\":\"\",\"deductAmount\":0,"
		   "\"drawback\":0,\"issOrderNo\":\"\",\"orderNo\":\"\",\"punishType\":3,"
		   "\"sendBackFee\":0,\"shopId\":\"\",\"status\":60,\"statusChangeTime\":\"\","
		   "\"statusDesc\":\"已取消\",\"token\":\"\"}"},
};
#define CAPTURED (sizeof(captured) / sizeof(captured[0]))

static const char *const texts[] = {"status", "statusDesc", "subStatus", "subStatusDesc"};

static void assert_like_captured(struct slice body, size_t c)
{
	BUF_AUTO struct buf shape = BUF_INIT(4096);
	BUF_AUTO struct buf wanted = BUF_INIT(4096);
	struct json_object object;
	struct json_object sample;

	add_shape(&shape, body);
	add_shape(&wanted, slice_of(captured[c].body));
	assert_string_equal(shape.data, wanted.data);
	assert_int_equal(json_scan_object(body, &object), 0);
	assert_int_equal(json_scan_object(slice_of(captured[c].body), &sample), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct json_member *has = json_find(&object, texts[i]);
		const struct json_member *wants = json_find(&sample, texts[i]);
		assert_int_equal(has != NULL, wants != NULL);
		if (has)
			assert_true(slice_equal(has->value, wants->value));
	}
}

static void test_bodies_have_the_captured_members_in_the_captured_order(void **state)
{
	struct sim_shares shares = everything();
	bool seen[CAPTURED] = {false};

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		struct sim_order order = order_of(&shares, 6, i);
		for (size_t s = 0; s < order.n_steps; s++) {
			for (size_t c = 0; c < CAPTURED; c++) {
				BUF_AUTO struct buf body = BUF_INIT(4096);
				if (order.steps[s].node != captured[c].node)
					continue;
				assert_int_equal(sim_body(&order, s, &identity, &body), 0);
				assert_like_captured(buf_slice(&body), c);
				seen[c] = true;
			}
		}
	}
	for (size_t c = 0; c < CAPTURED; c++)
		assert_true(seen[c]);
}

static void copy_member(struct slice body, const char *outer, const char *key, char out[64])
{
	struct json_object object;
	const struct json_member *member;

	assert_int_equal(json_scan_object(body, &object), 0);
	member = json_find(&object, outer ? outer : key);
	assert_non_null(member);
	if (outer) {
		copy_member(member->value, NULL, key, out);
		return;
	}
	assert_int_equal(slice_copy(member->value, out, 64), 0);
}

static void test_each_reassignment_brings_another_courier(void **state)
{
	struct sim_shares shares = shares_of("reassign=100%");

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		struct sim_order order = order_of(&shares, 8, i);
		char last[64] = "";
		bool reassigned = true; /* the first courier is new too */
		for (size_t s = 0; s < order.n_steps; s++) {
			BUF_AUTO struct buf body = BUF_INIT(4096);
			char now[64];
			if (!order.steps[s].courier) {
				reassigned = true;
				continue;
			}
			assert_int_equal(sim_body(&order, s, &identity, &body), 0);
			copy_member(buf_slice(&body), "courier", "id", now);
			assert_int_equal(strcmp(now, last) != 0, reassigned);
			memcpy(last, now, sizeof(last));
			reassigned = false;
		}
	}
}

static void test_status_change_time_is_china_time_and_the_token_is_the_orders(void **state)
{
	struct sim_shares shares = everything();
	struct sim_order order = order_of(&shares, 10, 3);

	(void)state;
	for (size_t s = 0; s < order.n_steps; s++) {
		BUF_AUTO struct buf body = BUF_INIT(4096);
		char text[64];
		int64_t occurred_ms;
		assert_int_equal(sim_body(&order, s, &identity, &body), 0);
		copy_member(buf_slice(&body), NULL, "token", text);
		assert_string_equal(text, order.token);
		copy_member(buf_slice(&body), NULL, "statusChangeTime", text);
		assert_int_equal(clock_parse_local(slice_of(text), 8 * 3600 * 1000, &occurred_ms),
				 0);
		assert_int_equal(occurred_ms, order.steps[s].occurred_ms);
	}
}

static void test_every_body_can_be_signed_in_both_forms(void **state)
{
	struct sim_shares shares = everything();

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		struct sim_order order = order_of(&shares, 11, i);
		for (size_t s = 0; s < order.n_steps; s++) {
			for (int form = SHANSONG_FLAT; form < SHANSONG_FORM_MAX; form++) {
				BUF_AUTO struct buf object = BUF_INIT(4096);
				BUF_AUTO struct buf body = BUF_INIT(16384);
				struct json_object members;
				assert_int_equal(sim_body(&order, s, &identity, &object), 0);
				assert_int_equal(
					shansong_sign(SLICE("0123456789abcdef"), buf_slice(&object),
						      (enum shansong_form)form, START_MS, &body),
					0);
				assert_int_equal(json_scan_object(buf_slice(&body), &members), 0);
				assert_non_null(json_find(&members, "sign"));
			}
		}
	}
}

/* ------------------------------------------------------------------ expectations ------- */

static size_t events_of(const struct sim_order *order, uint32_t set, struct order_event *out)
{
	size_t n = 0;

	for (size_t s = 0; s < order->n_steps; s++) {
		struct order_event *event = &out[n];
		if (!(set & (1u << s)))
			continue;
		*event = (struct order_event){.id = (int64_t)s + 1,
					      .occurred_ms = order->steps[s].occurred_ms,
					      .received_ms = START_MS,
					      .verdict = VERDICT_APPLIED};
		sim_node_status(order->steps[s].node, &event->status, &event->sub_status);
		if (order->steps[s].courier)
			snprintf(event->courier_id, sizeof(event->courier_id), "C%u",
				 order->steps[s].courier);
		n++;
	}
	return n;
}

static void test_what_is_expected_is_what_the_machine_folds(void **state)
{
	const struct order_machine *machine = order_machine_v5();
	struct sim_shares shares = everything();

	(void)state;
	for (uint64_t i = 0; i < ORDERS; i++) {
		struct sim_order order = order_of(&shares, 12, i);
		uint32_t set = (uint32_t)sim_mix(12, i) & ((1u << order.n_steps) - 1);
		struct sim_expected expected = sim_order_expected(&order, set);
		struct order_event events[SIM_STEPS_MAX];
		size_t n = events_of(&order, set, events);
		struct order_state folded;
		order_fold(machine, events, n, &folded, NULL);
		assert_int_equal(expected.events, n);
		if (n == 0)
			continue;
		assert_int_equal(order_node_of(folded.status, folded.sub_status), expected.node);
		assert_int_equal(folded.reassignments, expected.reassignments);
	}
}

/* ------------------------------------------------------------------ outcomes ----------- */

static void test_the_body_says_whether_a_callback_is_acknowledged(void **state)
{
	static const struct {
		const char *body;
		int status;
	} rows[] = {
		{"{\"status\":200,\"msg\":\"\",\"data\":null}", 200},
		{" {\"data\":{\"status\":500},\"status\":200} ", 200},
		{"{\"status\":503}", 503},
		{"{\"status\":\"200\"}", 0},
		{"{\"status\":200.0}", 0},
		{"{\"status\":-200}", 0},
		{"{\"data\":{\"status\":200}}", 0},
		{"{\"status\":200} x", 0},
		{"OK", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(sim_answer_status(slice_of(rows[i].body)), rows[i].status);
}

static void test_answers_that_a_healthy_receiver_does_not_give_are_counted(void **state)
{
	static const struct {
		enum sim_send_kind kind;
		enum sim_outcome outcome;
		int http;
		int body;
		bool unexpected;
	} rows[] = {
		{SIM_SEND_CALLBACK, SIM_ACKED, 200, 200, false},
		{SIM_SEND_DUPLICATE, SIM_ACKED, 200, 200, false},
		{SIM_SEND_CALLBACK, SIM_REFUSED, 503, 503, false},
		{SIM_SEND_CALLBACK, SIM_UNKNOWN, 0, 0, false},
		{SIM_SEND_CALLBACK, SIM_REFUSED, 401, 401, true},
		{SIM_SEND_CALLBACK, SIM_REFUSED, 200, 500, true},
		{SIM_SEND_CALLBACK, SIM_REFUSED, 307, 0, true},
		{SIM_SEND_CALLBACK, SIM_ACKED, 503, 200, true},
		{SIM_SEND_CALLBACK, SIM_ACKED, 201, 200, true},
		{SIM_SEND_FORGED, SIM_REFUSED, 401, 401, false},
		{SIM_SEND_FORGED, SIM_REFUSED, 503, 503, false},
		{SIM_SEND_FORGED, SIM_UNKNOWN, 0, 0, false},
		{SIM_SEND_FORGED, SIM_ACKED, 200, 200, true},
		{SIM_SEND_FORGED, SIM_ACKED, 401, 200, true},
		{SIM_SEND_FORGED, SIM_REFUSED, 400, 400, true},
	};
	struct sim_shares none = shares_of("none");
	struct sim_order order = order_of(&none, 1, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sim_summary summary = {.orders = 0};
		struct sim_send send = {.kind = (uint8_t)rows[i].kind};
		struct sim_result result = {.outcome = rows[i].outcome,
					    .http_status = rows[i].http,
					    .body_status = rows[i].body,
					    .problem = ""};
		sim_summary_count(&summary, &order, &send, &result);
		if (summary.unexpected != rows[i].unexpected)
			fail_msg("row %zu", i);
		assert_int_equal(sim_summary_good(&summary), !rows[i].unexpected);
		assert_int_equal(summary.first_unexpected[0] != '\0', rows[i].unexpected);
	}
}

static void test_kinds_of_answers_are_bounded_and_none_is_uncounted(void **state)
{
	struct sim_shares none = shares_of("none");
	struct sim_order order = order_of(&none, 1, 0);
	struct sim_send send = {.kind = SIM_SEND_CALLBACK};
	struct sim_summary summary = {.orders = 0};
	uint64_t counted = 0;

	(void)state;
	for (int i = 0; i < 2 * SIM_ANSWERS_MAX; i++) {
		struct sim_result result = {
			.outcome = SIM_REFUSED, .http_status = 500 + i, .problem = ""};
		sim_summary_count(&summary, &order, &send, &result);
	}
	assert_int_equal(summary.n_answers, SIM_ANSWERS_MAX);
	for (size_t i = 0; i < summary.n_answers; i++)
		counted += summary.answers[i].count;
	assert_int_equal(counted, 2 * SIM_ANSWERS_MAX);
}

/* ------------------------------------------------------------------ ledger ------------- */

static const char hash_of_zeros[] =
	"0000000000000000000000000000000000000000000000000000000000000000";

static void assert_member(const struct json_object *object, const char *key, const char *value)
{
	const struct json_member *member = json_find(object, key);

	if (!member)
		fail_msg("no %s", key);
	assert_true(slice_equal_string(member->value, value));
}

static void test_ledger_lines_are_json_and_repeat_the_attempt(void **state)
{
	struct sim_shares none = shares_of("none");
	struct sim_order order = order_of(&none, 13, 0);
	struct sim_attempt attempt = {.seq = 5, .attempt = 2, .sent_wall_ms = START_MS};
	struct sim_result result = {.outcome = SIM_REFUSED,
				    .http_status = 503,
				    .body_status = 503,
				    .latency_us = 1234,
				    .problem = ""};
	char time[CLOCK_LOCAL_BYTES];
	char key[128];

	(void)state;
	clock_format_local(order.steps[0].occurred_ms, 8 * 3600 * 1000, time);
	snprintf(key, sizeof(key), "%s/20/1/%s/", order.iss_order_no, time);
	for (int i = 0; i < 2; i++) {
		BUF_AUTO struct buf line = BUF_INIT(4096);
		struct json_object object;
		assert_int_equal(sim_ledger_line(&line, &order, 0, &attempt, i ? &result : NULL),
				 0);
		assert_int_equal(line.data[line.len - 1], '\n');
		assert_int_equal(json_scan_object(buf_slice(&line), &object), 0);
		assert_member(&object, "line", i ? "outcome" : "sent");
		assert_member(&object, "seq", "5");
		assert_member(&object, "order", order.iss_order_no);
		assert_member(&object, "status", "20");
		assert_member(&object, "sub", "1");
		assert_member(&object, "key", key);
		assert_member(&object, "kind", "callback");
		assert_member(&object, "attempt", "2");
		assert_member(&object, "sha256", hash_of_zeros);
		assert_member(&object, "sent", "2025-05-30T08:55:19.000Z");
		assert_int_equal(json_find(&object, "outcome") != NULL, i);
		if (i) {
			assert_member(&object, "outcome", "refused");
			assert_member(&object, "http", "503");
			assert_member(&object, "latency_us", "1234");
		}
	}
}

static void test_a_problem_is_escaped_in_the_ledger(void **state)
{
	struct sim_shares none = shares_of("none");
	struct sim_order order = order_of(&none, 13, 0);
	struct sim_attempt attempt = {.seq = 1, .attempt = 1};
	struct sim_result result = {.outcome = SIM_UNKNOWN, .problem = "a \"quoted\"\nline"};
	BUF_AUTO struct buf line = BUF_INIT(4096);
	struct json_object object;

	(void)state;
	assert_int_equal(sim_ledger_line(&line, &order, 0, &attempt, &result), 0);
	assert_int_equal(json_scan_object(buf_slice(&line), &object), 0);
	assert_member(&object, "outcome", "unknown");
	assert_member(&object, "http", "null");
	assert_ptr_equal(memchr(line.data, '\n', line.len), line.data + line.len - 1);
}

static void test_the_orders_line_tells_what_must_be_known(void **state)
{
	struct sim_shares none = shares_of("none");
	struct sim_order order = order_of(&none, 13, 0);
	struct sim_expected expected = sim_order_expected(&order, 1);
	BUF_AUTO struct buf line = BUF_INIT(4096);
	struct json_object object;

	(void)state;
	assert_int_equal(sim_ledger_order_line(&line, &order, &expected, 2), 0);
	assert_int_equal(json_scan_object(buf_slice(&line), &object), 0);
	assert_member(&object, "line", "order");
	assert_member(&object, "events", "1");
	assert_member(&object, "lost", "2");
	assert_member(&object, "status", "20");
	assert_member(&object, "sub", "1");
	assert_member(&object, "reassignments", "0");
}

static void test_the_ledger_is_appended_to_and_closed_to_others(void **state)
{
	char path[] = "/tmp/orderhook-ledger-XXXXXX";
	struct sim_ledger ledger;
	char text[16] = "";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sim_ledger_open(path, &ledger), 0);
		assert_int_equal(buf_add_string(&ledger.line, i ? "two\n" : "one\n"), 0);
		assert_int_equal(sim_ledger_write(&ledger), 0);
		assert_int_equal(ledger.line.len, 0);
		sim_ledger_close(&ledger);
	}
	assert_int_equal(read(fd, text, sizeof(text)), 8);
	assert_memory_equal(text, "one\ntwo\n", 8);
	close(fd);
	unlink(path);
	assert_int_equal(sim_ledger_open("/tmp", &ledger), -ERR_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step_follows_an_edge_of_the_table),
		cmocka_unit_test(test_every_edge_of_the_table_is_walked),
		cmocka_unit_test(test_times_go_forward_within_the_promised_span),
		cmocka_unit_test(test_without_faults_an_order_is_completed_and_sent_as_it_happened),
		cmocka_unit_test(test_the_same_seed_makes_the_same_orders_and_bodies),
		cmocka_unit_test(test_order_numbers_are_unique_within_a_run),
		cmocka_unit_test(test_reordering_swaps_neighbours_and_loses_nothing),
		cmocka_unit_test(test_late_callbacks_come_after_all_others),
		cmocka_unit_test(test_skipped_callbacks_never_go_out),
		cmocka_unit_test(test_a_forgery_precedes_and_a_duplicate_follows_the_callback),
		cmocka_unit_test(test_shares_are_what_the_option_says),
		cmocka_unit_test(test_shares_parse_and_refuse),
		cmocka_unit_test(test_bodies_have_the_captured_members_in_the_captured_order),
		cmocka_unit_test(test_each_reassignment_brings_another_courier),
		cmocka_unit_test(test_status_change_time_is_china_time_and_the_token_is_the_orders),
		cmocka_unit_test(test_every_body_can_be_signed_in_both_forms),
		cmocka_unit_test(test_what_is_expected_is_what_the_machine_folds),
		cmocka_unit_test(test_the_body_says_whether_a_callback_is_acknowledged),
		cmocka_unit_test(test_answers_that_a_healthy_receiver_does_not_give_are_counted),
		cmocka_unit_test(test_kinds_of_answers_are_bounded_and_none_is_uncounted),
		cmocka_unit_test(test_ledger_lines_are_json_and_repeat_the_attempt),
		cmocka_unit_test(test_a_problem_is_escaped_in_the_ledger),
		cmocka_unit_test(test_the_orders_line_tells_what_must_be_known),
		cmocka_unit_test(test_the_ledger_is_appended_to_and_closed_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
