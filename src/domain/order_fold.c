/*
 * An order's state is what is left when its events are taken in the order in which they happened
 * and each acts on the state that the ones before it made. Nothing else enters, so the order in
 * which they arrived cannot matter.
 *
 * How one event acts (order_step) is the same here and when it is judged on arrival. A state may
 * stand for several nodes, and so may an event; where the two sets meet, the event may say no more
 * than what is known, and the graph is not asked. docs/decisions/0002-judging.md has the reasons.
 */
#include "orderhook/order_machine.h"

#include <stdlib.h>
#include <string.h>

#include "order_private.h"

#define S20_2 (1U << NODE_S20_2)
#define STATUS_DISPATCHING 20

struct order_event order_event_of(const struct event *event)
{
	struct order_event self = {
		.occurred_ms = event->occurred_ms,
		.received_ms = event->received_ms,
		.status = event->status,
		.sub_status = event->sub_status,
		.occurred_from = event->occurred_from,
		.verdict = VERDICT_APPLIED, /* takes part in a fold until it is judged */
	};

	memcpy(self.courier_id, event->courier_id, sizeof(self.courier_id));
	memcpy(self.content, event->content, sizeof(self.content));
	return self;
}

static int compare_int64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

int order_event_compare(const void *a, const void *b)
{
	const struct order_event *x = a;
	const struct order_event *y = b;
	int order = compare_int64(x->occurred_ms, y->occurred_ms);

	if (order == 0)
		order = compare_int64(order_rank_of(x->status, x->sub_status),
				      order_rank_of(y->status, y->sub_status));
	if (order == 0)
		order = compare_int64(x->sub_status, y->sub_status);
	if (order == 0)
		order = strcmp(x->courier_id, y->courier_id);
	if (order == 0)
		order = memcmp(x->content, y->content, sizeof(x->content));
	return order;
}

bool order_event_same_but_courier(const struct order_event *a, const struct order_event *b)
{
	if (a->status != b->status || a->sub_status != b->sub_status ||
	    a->occurred_from != b->occurred_from)
		return false;
	if (a->occurred_from == EVENT_FROM_PLATFORM)
		return a->occurred_ms == b->occurred_ms;
	/* Either may be the earlier one: a readmitted delivery keeps its time of receipt. */
	return llabs(a->received_ms - b->received_ms) <= EVENT_SAME_WITHIN_MS;
}

bool order_event_same_key(const struct order_event *a, const struct order_event *b)
{
	return order_event_same_but_courier(a, b) && strcmp(a->courier_id, b->courier_id) == 0;
}

/* No courier equals any courier. */
static bool is_other_courier(const struct order_state *state, const struct order_event *event)
{
	return state->courier_id[0] && event->courier_id[0] &&
	       strcmp(state->courier_id, event->courier_id) != 0;
}

/* An event whose state may be the very one that the order is in. */
static enum verdict step_inside(const struct order_machine *machine,
				const struct order_state *state, const struct order_event *event,
				bool *ret_other_courier)
{
	unsigned from = order_nodes_of(state->status, state->sub_status);
	unsigned to = order_nodes_of(event->status, event->sub_status);
	int sub_status = order_sub_status_of(event->status, event->sub_status);
	bool other = is_other_courier(state, event);

	/* An order changes hands in 20/2 only: the way there and back must be there. */
	if (other && order_steps(machine, from, S20_2, NULL) != ORDER_NO_PATH &&
	    order_steps(machine, S20_2, to, NULL) != ORDER_NO_PATH)
		return VERDICT_JUMPED;
	if (sub_status == state->sub_status || sub_status == EVENT_SUB_ABSENT) {
		*ret_other_courier = other;
		return VERDICT_REPEATED;
	}
	/* One of the two is a sub-status that nobody knows the place of: follow the times. */
	return to == S20_2 ? VERDICT_REASSIGNED : VERDICT_APPLIED;
}

static enum verdict step_along(const struct order_machine *machine, unsigned from, unsigned to)
{
	enum verdict verdict = VERDICT_JUMPED;

	return order_steps(machine, from, to, &verdict) == ORDER_NO_PATH ? VERDICT_ILLEGAL
									 : verdict;
}

static void enter(struct order_state *state, const struct order_event *event, enum verdict verdict)
{
	if (verdict == VERDICT_REASSIGNED ||
	    order_node_of(event->status, event->sub_status) == NODE_S20_2)
		state->reassignments++;
	/* While an order is dispatched nobody has it; elsewhere silence is no change of hands. */
	if (event->courier_id[0] || event->status == STATUS_DISPATCHING)
		memcpy(state->courier_id, event->courier_id, sizeof(state->courier_id));
	state->status = event->status;
	state->sub_status = order_sub_status_of(event->status, event->sub_status);
	state->since_ms = event->occurred_ms;
}

enum verdict order_step(const struct order_machine *machine, struct order_state *state,
			const struct order_event *event, bool *ret_other_courier)
{
	unsigned from =
		state->status ? order_nodes_of(state->status, state->sub_status) : 1U << NODE_NONE;
	unsigned to = order_nodes_of(event->status, event->sub_status);
	bool other_courier = false;
	enum verdict verdict = from & to ? step_inside(machine, state, event, &other_courier)
					 : step_along(machine, from, to);

	if (verdict == VERDICT_REPEATED) {
		/* Who has the order may become known only now; that is no move. */
		if (!state->courier_id[0])
			memcpy(state->courier_id, event->courier_id, sizeof(state->courier_id));
	} else if (verdict != VERDICT_ILLEGAL) {
		enter(state, event, verdict);
	}
	*ret_other_courier = other_courier;
	return verdict;
}

static void sort_events(struct order_event *events, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (order_event_compare(&events[i - 1], &events[i]) > 0) {
			qsort(events, n, sizeof(*events), order_event_compare);
			return;
		}
	}
}

/* What was unknown to an older machine takes its place once this one knows it. */
static bool takes_part(const struct order_event *event)
{
	return verdict_folded(event->verdict) ||
	       (event->verdict == VERDICT_UNKNOWN && order_status_known(event->status));
}

void order_fold(const struct order_machine *machine, struct order_event *events, size_t n,
		struct order_state *ret, ptrdiff_t *ret_setter)
{
	struct order_state state = {0};
	ptrdiff_t setter = -1;
	bool other_courier;

	sort_events(events, n);
	for (size_t i = 0; i < n; i++) {
		if (!takes_part(&events[i]))
			continue;
		enum verdict verdict = order_step(machine, &state, &events[i], &other_courier);
		if (verdict != VERDICT_REPEATED && verdict != VERDICT_ILLEGAL)
			setter = (ptrdiff_t)i;
	}
	*ret = state;
	if (ret_setter)
		*ret_setter = setter;
}
