/*
 * An order is a walk over the edges of tbl/order_edge.def, and what happens to its callbacks on
 * their way. What an order is going to do (reassignments, a cancel and where, a refund) is drawn
 * first, so that the shares of --faults are shares of orders; the walk then takes the next edge
 * that fits, and any of the plain ones where several do.
 *
 * Everything comes from one stream of numbers that begins with the seed and the order's number
 * (splitmix64: tiny, and good enough to make up orders with).
 */
#include "simulator_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "orderhook/digest.h"

#define REASSIGNMENTS_MAX 3
#define STEP_SECONDS_MIN 5
#define STEP_SECONDS_MAX 60

static const struct edge {
	enum order_node from;
	enum order_node to;
	enum verdict verdict;
} edges[] = {
#define ORDER_EDGE(from, to, verdict) {NODE_##from, NODE_##to, VERDICT_##verdict},
#include "orderhook/tbl/order_edge.def"
#undef ORDER_EDGE
};
#define EDGES (sizeof(edges) / sizeof(edges[0]))

static const struct {
	int status;
	int sub_status;
} nodes[NODE_MAX] = {
#define ORDER_STATE(name, status, sub, zh, en) [NODE_##name] = {status, sub},
#include "orderhook/tbl/order_state.def"
#undef ORDER_STATE
};

void sim_node_status(enum order_node node, int *ret_status, int *ret_sub_status)
{
	*ret_status = nodes[node].status;
	*ret_sub_status = nodes[node].sub_status ? nodes[node].sub_status : EVENT_SUB_ABSENT;
}

const char *sim_send_key(enum sim_send_kind kind)
{
	static const char *const keys[SIM_SEND_KIND_MAX] = {"callback", "duplicate", "forged"};

	return keys[kind];
}

/* ------------------------------------------------------------------ numbers ------------ */

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t sim_mix(uint64_t a, uint64_t b)
{
	return mix(mix(a + 0x9e3779b97f4a7c15u) + b * 0x9e3779b97f4a7c15u);
}

static uint64_t next(uint64_t *random)
{
	*random += 0x9e3779b97f4a7c15u;
	return mix(*random);
}

static unsigned below(uint64_t *random, unsigned n)
{
	return (unsigned)(next(random) % n);
}

static bool draw(uint64_t *random, const struct sim_shares *shares, enum sim_fault fault)
{
	return below(random, 10000) < shares->per_10000[fault];
}

/* ------------------------------------------------------------------ the walk ----------- */

enum edge_kind {
	EDGE_PLAIN = 0,
	EDGE_BACK, /* reassignment */
	EDGE_CANCEL,
	EDGE_REFUND,
	EDGE_KIND_MAX
};

static enum edge_kind kind_of(const struct edge *edge)
{
	if (edge->verdict == VERDICT_REASSIGNED)
		return EDGE_BACK;
	if (edge->to == NODE_S60 || (edge->from == NODE_S40_1 && edge->to == NODE_S40_2))
		return EDGE_CANCEL;
	return edge->to == NODE_S50_2 ? EDGE_REFUND : EDGE_PLAIN;
}

/* What an order is going to do. */
struct intent {
	unsigned reassignments;    /* left */
	enum order_node cancel_at; /* NODE_NONE: nowhere */
	bool refund;
};

struct choice {
	enum order_node nodes[EDGES];
	unsigned n;
};

static void choices(enum order_node from, enum edge_kind kind, struct choice *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < EDGES; i++) {
		if (edges[i].from == from && kind_of(&edges[i]) == kind)
			ret->nodes[ret->n++] = edges[i].to;
	}
}

static enum order_node any_of(uint64_t *random, const struct choice *choice)
{
	return choice->n ? choice->nodes[below(random, choice->n)] : NODE_NONE;
}

static bool has_edge(enum order_node from, enum edge_kind kind)
{
	struct choice choice;

	choices(from, kind, &choice);
	return choice.n > 0;
}

/* Back now, or from a later state that also has a way back. */
static enum order_node go_back(uint64_t *random, enum order_node at, struct intent *intent)
{
	struct choice plain;
	struct choice later = {.n = 0};
	struct choice back;

	choices(at, EDGE_PLAIN, &plain);
	for (unsigned i = 0; i < plain.n; i++) {
		if (has_edge(plain.nodes[i], EDGE_BACK))
			later.nodes[later.n++] = plain.nodes[i];
	}
	if (later.n && below(random, 2))
		return any_of(random, &later);
	choices(at, EDGE_BACK, &back);
	intent->reassignments--;
	return any_of(random, &back);
}

/* NODE_NONE: the order is over. */
static enum order_node step(uint64_t *random, enum order_node at, struct intent *intent)
{
	struct choice choice;

	if (intent->reassignments && has_edge(at, EDGE_BACK))
		return go_back(random, at, intent);
	choices(at, EDGE_CANCEL, &choice);
	/* After pickup is the last chance: a walk need not come through the state that was drawn.
	 */
	if (choice.n && intent->cancel_at != NODE_NONE && !intent->reassignments &&
	    (at == intent->cancel_at || at == NODE_S40_1))
		return any_of(random, &choice);
	choices(at, EDGE_PLAIN, &choice);
	if (choice.n)
		return any_of(random, &choice);
	choices(at, EDGE_REFUND, &choice);
	if (choice.n)
		return intent->refund ? any_of(random, &choice) : NODE_NONE;
	/* Only a cancel that has been agreed on is left, or nothing. */
	choices(at, EDGE_CANCEL, &choice);
	return any_of(random, &choice);
}

static bool has_courier(enum order_node node)
{
	return nodes[node].status > 20 && nodes[node].status < 60;
}

static void walk(uint64_t *random, struct intent *intent, int64_t start_ms, struct sim_order *order)
{
	enum order_node at = NODE_NONE;
	unsigned courier = 0;
	int64_t at_ms = start_ms;

	while ((at = step(random, at, intent)) != NODE_NONE) {
		enum order_node from =
			order->n_steps ? order->steps[order->n_steps - 1].node : NODE_NONE;
		if (has_courier(at) && !has_courier(from))
			courier++;
		assert(order->n_steps < SIM_STEPS_MAX);
		order->steps[order->n_steps++] = (struct sim_step){
			.node = at, .courier = has_courier(at) ? courier : 0, .occurred_ms = at_ms};
		at_ms += (STEP_SECONDS_MIN +
			  below(random, STEP_SECONDS_MAX - STEP_SECONDS_MIN + 1)) *
			 1000;
	}
}

static struct intent make_intent(uint64_t *random, const struct sim_shares *shares,
				 struct sim_order *order)
{
	struct intent intent = {.cancel_at = NODE_NONE};
	struct choice where = {.n = 0};

	if (draw(random, shares, SIM_REASSIGN))
		intent.reassignments = 1 + below(random, REASSIGNMENTS_MAX);
	if (draw(random, shares, SIM_CANCEL)) {
		for (int node = NODE_NONE; node < NODE_MAX; node++) {
			if (node != NODE_S40_3 && has_edge((enum order_node)node, EDGE_CANCEL))
				where.nodes[where.n++] = (enum order_node)node;
		}
		intent.cancel_at = any_of(random, &where);
	}
	intent.refund = draw(random, shares, SIM_REFUND);
	order->faults[SIM_REASSIGN] = intent.reassignments > 0;
	order->faults[SIM_CANCEL] = intent.cancel_at != NODE_NONE;
	return intent;
}

/* ------------------------------------------------------------------ on their way ------- */

/* The steps in the order in which they are sent first; returns how many. */
static size_t arrange(uint64_t *random, const struct sim_shares *shares, struct sim_order *order,
		      uint8_t out[SIM_STEPS_MAX])
{
	uint8_t late[SIM_STEPS_MAX];
	size_t n_late = 0;
	size_t n = 0;
	bool behind_next = false; /* the last one of out waits for its successor */

	for (size_t i = 0; i < order->n_steps; i++) {
		bool last = i + 1 == order->n_steps;
		enum sim_fault fault = SIM_FAULT_MAX;
		if (draw(random, shares, SIM_SKIP))
			fault = SIM_SKIP;
		else if (!last && draw(random, shares, SIM_LATE))
			fault = SIM_LATE;
		else if (!last && !behind_next && draw(random, shares, SIM_REORDER))
			fault = SIM_REORDER;
		if (fault == SIM_SKIP || fault == SIM_LATE)
			order->faults[fault]++;
		if (fault == SIM_LATE)
			late[n_late++] = (uint8_t)i;
		if (fault == SIM_SKIP || fault == SIM_LATE)
			continue;
		out[n++] = (uint8_t)i;
		if (behind_next) {
			uint8_t before = out[n - 2];
			out[n - 2] = out[n - 1];
			out[n - 1] = before;
			order->faults[SIM_REORDER]++;
		}
		behind_next = fault == SIM_REORDER;
	}
	memcpy(out + n, late, n_late);
	return n + n_late;
}

static void add_send(struct sim_order *order, uint8_t step_index, enum sim_send_kind kind,
		     bool slow)
{
	assert(order->n_sends < SIM_SENDS_MAX);
	order->sends[order->n_sends++] =
		(struct sim_send){.step = step_index, .kind = (uint8_t)kind, .slow = slow};
}

static void make_sends(uint64_t *random, const struct sim_shares *shares, struct sim_order *order)
{
	uint8_t arranged[SIM_STEPS_MAX];
	size_t n = arrange(random, shares, order, arranged);

	for (size_t i = 0; i < n; i++) {
		bool forged = draw(random, shares, SIM_BAD_SIGNATURE);
		bool slow = draw(random, shares, SIM_SLOW);
		bool duplicate = draw(random, shares, SIM_DUPLICATE);
		if (forged)
			add_send(order, arranged[i], SIM_SEND_FORGED, false);
		add_send(order, arranged[i], SIM_SEND_CALLBACK, slow);
		if (duplicate)
			add_send(order, arranged[i], SIM_SEND_DUPLICATE, false);
		order->faults[SIM_BAD_SIGNATURE] += forged;
		order->faults[SIM_SLOW] += slow;
		order->faults[SIM_DUPLICATE] += duplicate;
	}
}

void sim_order_make(const struct sim_shares *shares, uint64_t seed, uint64_t index,
		    int64_t start_ms, struct sim_order *ret)
{
	uint64_t random = sim_mix(seed, index);
	uint64_t run = mix(seed) % 100000000;
	uint64_t token[2];
	struct intent intent;

	*ret = (struct sim_order){.n_steps = 0};
	/* Unique within a run, and different from other seeds'. */
	snprintf(ret->iss_order_no, sizeof(ret->iss_order_no), "TDH%08u%08u", (unsigned)run,
		 (unsigned)(index % 100000000));
	snprintf(ret->order_no, sizeof(ret->order_no), "cp%09u%09u", (unsigned)run,
		 (unsigned)(index % 1000000000));
	token[0] = next(&random);
	token[1] = next(&random);
	digest_hex_upper((const uint8_t *)token, sizeof(token), ret->token);
	if (below(&random, 2))
		snprintf(ret->pickup_password, sizeof(ret->pickup_password), "%04u",
			 below(&random, 10000));
	snprintf(ret->delivery_password, sizeof(ret->delivery_password), "%04u",
		 below(&random, 10000));
	ret->salt = next(&random);
	intent = make_intent(&random, shares, ret);
	walk(&random, &intent, start_ms + below(&random, 60) * 1000, ret);
	ret->faults[SIM_REFUND] = ret->steps[ret->n_steps - 1].node == NODE_S50_2;
	make_sends(&random, shares, ret);
}

struct sim_expected sim_order_expected(const struct sim_order *order, uint32_t acked_steps)
{
	struct sim_expected expected = {.node = NODE_NONE};

	for (size_t i = 0; i < order->n_steps; i++) {
		enum order_node to = order->steps[i].node;
		if (!(acked_steps & (1u << i)))
			continue;
		/* 20/2 twice in a row, with what was in between lost, is the same state again. */
		if (to == NODE_S20_2 && expected.node != NODE_S20_2)
			expected.reassignments++;
		expected.node = to;
		expected.events++;
	}
	return expected;
}
