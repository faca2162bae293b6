/*
 * The tables as arrays, and what follows from them alone: texts, ranks, and the shortest numbers of
 * steps between all pairs of states (Floyd and Warshall; eleven states). Questions about a status
 * whose sub-status is unknown or absent are asked of a set of nodes: a path leads to it if one
 * leads to any of them, and out of it if one leads out of any.
 */
#include "orderhook/order_machine.h"

#include <assert.h>

#include "order_private.h"

struct state_row {
	int status;
	int sub_status; /* 0: the status has no sub-statuses */
	const char *zh;
	const char *en;
};

static const struct state_row states[NODE_MAX] = {
#define ORDER_STATE(name, status, sub, zh, en) [NODE_##name] = {status, sub, zh, en},
#include "orderhook/tbl/order_state.def"
#undef ORDER_STATE
};

struct edge_row {
	enum order_node from;
	enum order_node to;
	enum verdict verdict;
};

static const struct edge_row edges[] = {
#define ORDER_EDGE(from, to, verdict) {NODE_##from, NODE_##to, VERDICT_##verdict},
#include "orderhook/tbl/order_edge.def"
#undef ORDER_EDGE
};

struct verdict_row {
	const char *key;
	const char *meaning;
	bool quarantined;
	bool folded;
};

static const struct verdict_row verdicts[VERDICT_MAX] = {
#define VERDICT(name, key, quarantined, folded, meaning) \
	[VERDICT_##name] = {key, meaning, quarantined, folded},
#include "orderhook/tbl/verdict.def"
#undef VERDICT
};

static const struct verdict_row *verdict_row(enum verdict verdict)
{
	assert(verdict < VERDICT_MAX);
	return &verdicts[verdict];
}

const char *verdict_key(enum verdict verdict)
{
	return verdict_row(verdict)->key;
}

const char *verdict_meaning(enum verdict verdict)
{
	return verdict_row(verdict)->meaning;
}

bool verdict_quarantined(enum verdict verdict)
{
	return verdict_row(verdict)->quarantined;
}

bool verdict_folded(enum verdict verdict)
{
	return verdict_row(verdict)->folded;
}

int verdict_of_key(struct slice key)
{
	for (int i = 0; i < VERDICT_MAX; i++) {
		if (slice_equal_string(key, verdicts[i].key))
			return i;
	}
	return -1;
}

static void make_machine(struct order_machine *machine)
{
	uint8_t(*steps)[NODE_MAX] = machine->steps;

	for (int from = 0; from < NODE_MAX; from++) {
		for (int to = 0; to < NODE_MAX; to++)
			steps[from][to] = ORDER_NO_PATH;
	}
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		steps[edges[i].from][edges[i].to] = 1;
		machine->edge_verdict[edges[i].from][edges[i].to] = (uint8_t)edges[i].verdict;
	}
	/* A state is no way to itself unless a cycle leads back: nothing here is zero steps long.
	 */
	for (int via = 0; via < NODE_MAX; via++) {
		for (int from = 0; from < NODE_MAX; from++) {
			for (int to = 0; to < NODE_MAX; to++) {
				int length = steps[from][via] + steps[via][to];
				if (length < steps[from][to])
					steps[from][to] = (uint8_t)length;
			}
		}
	}
}

const struct order_machine *order_machine_v5(void)
{
	static struct order_machine machine;
	static bool made;

	if (!made) {
		make_machine(&machine);
		made = true;
	}
	return &machine;
}

static bool is_state_of(int node, int status)
{
	return node != NODE_NONE && states[node].status == status;
}

/* The first state of a status in the table, NODE_NONE for an unknown status. */
static int first_node_of(int status)
{
	for (int node = 1; node < NODE_MAX; node++) {
		if (is_state_of(node, status))
			return node;
	}
	return NODE_NONE;
}

bool order_status_rests(int status)
{
	return status == 50 || status == 60;
}

bool order_status_known(int status)
{
	return first_node_of(status) != NODE_NONE;
}

enum order_node order_node_of(int status, int sub_status)
{
	for (int node = 1; node < NODE_MAX; node++) {
		if (is_state_of(node, status) &&
		    (states[node].sub_status == sub_status || states[node].sub_status == 0))
			return (enum order_node)node;
	}
	return NODE_NONE;
}

static const struct state_row *text_row(int status, int sub_status)
{
	int node = order_node_of(status, sub_status);

	if (node == NODE_NONE)
		node = first_node_of(status);
	return &states[node]; /* the row of NODE_NONE has no texts */
}

const char *order_status_zh(int status, int sub_status)
{
	return text_row(status, sub_status)->zh;
}

const char *order_status_en(int status, int sub_status)
{
	return text_row(status, sub_status)->en;
}

unsigned order_nodes_of(int status, int sub_status)
{
	enum order_node known = order_node_of(status, sub_status);
	unsigned nodes = 0;

	if (known != NODE_NONE)
		return 1U << known;
	for (int node = 1; node < NODE_MAX; node++) {
		if (is_state_of(node, status))
			nodes |= 1U << node;
	}
	return nodes;
}

int order_sub_status_of(int status, int sub_status)
{
	int first = first_node_of(status);

	return first != NODE_NONE && states[first].sub_status == 0 ? EVENT_SUB_ABSENT : sub_status;
}

int order_rank_of(int status, int sub_status)
{
	enum order_node known = order_node_of(status, sub_status);
	int last = NODE_MAX; /* an unknown status after everything; the fold passes it over */

	if (known != NODE_NONE)
		return 2 * (int)known;
	for (int node = 1; node < NODE_MAX; node++) {
		if (is_state_of(node, status))
			last = node;
	}
	/* Between the last known state of its status and the next row of the table. */
	return 2 * last + 1;
}

int order_steps(const struct order_machine *machine, unsigned from, unsigned to,
		enum verdict *ret_verdict)
{
	int fewest = ORDER_NO_PATH;

	for (int a = 0; a < NODE_MAX; a++) {
		for (int b = 0; b < NODE_MAX; b++) {
			if (!(from >> a & 1) || !(to >> b & 1) || machine->steps[a][b] >= fewest)
				continue;
			fewest = machine->steps[a][b];
			if (ret_verdict && fewest == 1)
				*ret_verdict = (enum verdict)machine->edge_verdict[a][b];
		}
	}
	return fewest;
}
