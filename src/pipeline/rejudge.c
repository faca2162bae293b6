/*
 * Each event is judged by order_judge() itself, against those before it with the verdicts that came
 * out now, not with the stored ones: a machine that has changed must be asked about a past of its
 * own making. What an event was bound to is told by the order's row, except where the event says
 * otherwise.
 */
#include "orderhook/rejudge.h"

#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/store_care.h"

static int reserve(struct rejudged *rejudged, size_t n)
{
	enum verdict *verdicts;
	struct order_event *past;

	/* order_judge() wants room for one more event. */
	if (n < rejudged->cap)
		return 0;
	verdicts = reallocarray(rejudged->verdicts, n + 1, sizeof(*verdicts));
	if (!verdicts)
		return -ERR_NOMEM;
	rejudged->verdicts = verdicts;
	/* The events so far, and the copy of them that order_judge() sorts. */
	past = reallocarray(rejudged->past, 2 * (n + 1), sizeof(*past));
	if (!past)
		return -ERR_NOMEM;
	rejudged->past = past;
	rejudged->cap = n + 1;
	return 0;
}

static void copy_id(char out[EVENT_ID_BYTES_MAX + 1], const char *own, const char *order)
{
	memcpy(out, own[0] ? own : order, EVENT_ID_BYTES_MAX + 1);
}

/* The event as it was when it was judged, as far as a judge looks at it. */
static void restore(const struct store_history *history, const struct store_arrival *arrival,
		    struct event *ret)
{
	const struct order_event *stored = &arrival->event;

	memset(ret, 0, sizeof(*ret));
	ret->kind = EVENT_ORDER;
	ret->status = stored->status;
	ret->sub_status = stored->sub_status;
	ret->occurred_ms = stored->occurred_ms;
	ret->received_ms = stored->received_ms;
	ret->occurred_from = stored->occurred_from;
	memcpy(ret->courier_id, stored->courier_id, sizeof(ret->courier_id));
	memcpy(ret->content, stored->content, sizeof(ret->content));
	memcpy(ret->iss_order_no, history->iss_order_no, sizeof(ret->iss_order_no));
	copy_id(ret->order_no, arrival->order_no, history->order_no);
	copy_id(ret->shop_id, arrival->shop_id, history->shop_id);
}

int rejudge_order(const struct order_machine *machine, const struct store_history *history,
		  struct rejudged *ret)
{
	struct order_known known = {.exists = false};
	struct judgement judgement;
	struct event event;
	int err = reserve(ret, history->n);

	if (err)
		return err;
	struct order_event *scratch = ret->past + ret->cap;
	for (size_t i = 0; i < history->n; i++) {
		restore(history, &history->arrivals[i], &event);
		memcpy(scratch, ret->past, i * sizeof(*scratch));
		order_judge(machine, &known, scratch, i, &event, &judgement);
		ret->verdicts[i] = judgement.verdict;
		ret->past[i] = history->arrivals[i].event;
		ret->past[i].verdict = judgement.verdict;
		known.exists = true;
		known.state = judgement.after;
		memcpy(known.order_no, history->order_no, sizeof(known.order_no));
		memcpy(known.shop_id, history->shop_id, sizeof(known.shop_id));
	}
	ret->state = known.state;
	return 0;
}

bool rejudge_state_differs(const struct order_state *stored, const struct order_state *judged)
{
	return stored->status != judged->status || stored->sub_status != judged->sub_status ||
	       stored->since_ms != judged->since_ms ||
	       stored->reassignments != judged->reassignments ||
	       strcmp(stored->courier_id, judged->courier_id) != 0;
}

static int judge(const struct store_history *history, struct order_state *ret, void *context)
{
	struct rejudged *rejudged = context;
	int err = rejudge_order(order_machine_v5(), history, rejudged);

	if (!err)
		*ret = rejudged->state;
	return err;
}

int rejudge_apply(struct store *store, const int64_t *order_ids, size_t n, int64_t *ret_orders)
{
	struct rejudged rejudged = {0};
	const struct store_apply apply = {
		.order_ids = order_ids, .n = n, .judge = judge, .context = &rejudged};
	int err = store->ops->apply(store, &apply, ret_orders);

	rejudged_release(&rejudged);
	return err;
}

void rejudged_release(struct rejudged *rejudged)
{
	if (!rejudged)
		return;
	free(rejudged->verdicts);
	free(rejudged->past);
	*rejudged = (struct rejudged){0};
}
