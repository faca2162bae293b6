/*
 * The machine answers in numbers of steps; a person wants to see the states. Where a sub-status is
 * unknown or absent every state of its status may be meant, as for the judge.
 */
#include "way_private.h"

#include <stdio.h>

static const struct {
	int status, sub_status;
} node_codes[NODE_MAX] = {
#define ORDER_STATE(name, status, sub, zh, en) [NODE_##name] = {status, sub},
#include "orderhook/tbl/order_state.def"
#undef ORDER_STATE
};

/* True when the place may be this state: itself, or any of its status where the machine does not
 * know the sub-status. */
static bool may_be(struct place place, enum order_node node)
{
	enum order_node known;

	if (place.status == 0)
		return node == NODE_NONE;
	if (place.status < 0 || place.status > EVENT_STATUS_MAX ||
	    place.sub_status > EVENT_STATUS_MAX)
		return false;
	known = order_node_of((int)place.status, (int)place.sub_status);
	if (known != NODE_NONE)
		return node == known;
	return node != NODE_NONE && node_codes[node].status == place.status;
}

bool way_find(struct place from, struct place to, struct way *ret)
{
	const struct order_machine *machine = order_machine_v5();
	unsigned best = ORDER_NO_PATH;
	enum order_node at = NODE_NONE;
	enum order_node end = NODE_NONE;

	for (int a = 0; a < NODE_MAX; a++) {
		for (int b = 0; b < NODE_MAX; b++) {
			if (machine->steps[a][b] >= best || !may_be(from, (enum order_node)a) ||
			    !may_be(to, (enum order_node)b))
				continue;
			best = machine->steps[a][b];
			at = (enum order_node)a;
			end = (enum order_node)b;
		}
	}
	if (best == ORDER_NO_PATH)
		return false;
	ret->n = 0;
	ret->nodes[ret->n++] = at;
	while (machine->steps[at][end] > 1) {
		int next = 0;
		while (machine->steps[at][next] != 1 ||
		       machine->steps[next][end] != machine->steps[at][end] - 1)
			next++;
		at = (enum order_node)next;
		ret->nodes[ret->n++] = at;
	}
	ret->nodes[ret->n++] = end;
	return true;
}

struct place way_place(enum order_node node)
{
	int sub = node_codes[node].sub_status;

	return (struct place){node_codes[node].status, sub ? sub : EVENT_SUB_ABSENT};
}

void way_code(struct place place, char out[STATUS_CODE_BYTES])
{
	if (place.status)
		status_code(place.status, place.sub_status, out);
	else
		snprintf(out, STATUS_CODE_BYTES, "(none)");
}

static int add_node(struct buf *buf, enum order_node node, size_t *n)
{
	char code[STATUS_CODE_BYTES];

	way_code(way_place(node), code);
	return buf_addf(buf, "%s%s", (*n)++ ? ", " : "", code);
}

static int add_neighbours(struct buf *buf, struct place place, bool forward)
{
	const struct order_machine *machine = order_machine_v5();
	size_t n = 0;
	int err = 0;

	for (int other = 0; !err && other < NODE_MAX; other++) {
		bool step = false;
		for (int node = 0; node < NODE_MAX && !step; node++)
			step = may_be(place, (enum order_node)node) &&
			       (forward ? machine->steps[node][other]
					: machine->steps[other][node]) == 1;
		if (step)
			err = add_node(buf, (enum order_node)other, &n);
	}
	return err || n ? err : buf_add_string(buf, "nothing");
}

int way_add_next(struct buf *buf, struct place from)
{
	return add_neighbours(buf, from, true);
}

int way_add_before(struct buf *buf, struct place to)
{
	return add_neighbours(buf, to, false);
}
