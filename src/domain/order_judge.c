/*
 * Judging asks in the contract's order: duplicate, mismatch, unknown, conflict, late, and then the
 * way from the state that the order is in. The verdict tells how the event looked when it came;
 * what the order is afterwards is never taken from the verdict but folded from all its events,
 * because an event that comes after the one that set the state may still come before others that
 * moved nothing at their turn and do now.
 *
 * With an empty history the caller vouches that the event comes after everything. Then none of the
 * stored ones can be the same event (that would be at the same time), none comes between, and one
 * step from the known state is the fold.
 */
#include "orderhook/order_machine.h"

#include <assert.h>
#include <string.h>

#include "order_private.h"

/* The first stored delivery of the event, 0 when there is none. Of any verdict: what was refused
 * once would only be refused again. Equal content has the same courier, so he is not compared: an
 * event that was erased has lost him, and a retry of it must not bring his data back. */
static int64_t find_same(const struct order_event *history, size_t n,
			 const struct order_event *self)
{
	int64_t first = 0;

	for (size_t i = 0; i < n; i++) {
		if (order_event_same_but_courier(&history[i], self) &&
		    memcmp(history[i].content, self->content, sizeof(self->content)) == 0 &&
		    (first == 0 || history[i].id < first))
			first = history[i].id;
	}
	return first;
}

/* The first value that is present binds, an absent one never disagrees. */
static bool disagree(const char *bound, const char *given)
{
	return bound[0] && given[0] && strcmp(bound, given) != 0;
}

/* True where the event's key is taken; its content is known to differ. A mismatch takes no key: it
 * is about another order, and must not keep an event of this one out. */
static bool is_conflict(const struct order_event *history, size_t n, const struct order_event *self)
{
	/* The time of receipt is no part of a key, so nothing can be contradicted by it. */
	if (self->occurred_from != EVENT_FROM_PLATFORM)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (history[i].verdict != VERDICT_MISMATCH &&
		    order_event_same_key(&history[i], self))
			return true;
	}
	return false;
}

/* What keeps an event out of the fold; VERDICT_APPLIED when nothing does. */
static enum verdict refuse(const struct order_known *known, const struct order_event *history,
			   size_t n, const struct event *event, const struct order_event *self)
{
	if (known->exists && (disagree(known->order_no, event->order_no) ||
			      disagree(known->shop_id, event->shop_id)))
		return VERDICT_MISMATCH;
	if (!order_status_known(self->status))
		return VERDICT_UNKNOWN;
	if (is_conflict(history, n, self))
		return VERDICT_CONFLICT;
	return VERDICT_APPLIED;
}

void order_judge(const struct order_machine *machine, const struct order_known *known,
		 struct order_event *history, size_t n, const struct event *event,
		 struct judgement *ret)
{
	struct order_event self = order_event_of(event);
	struct order_state present = known->state;
	struct judgement judgement = {0};
	ptrdiff_t setter = -1;
	int64_t same;

	assert(event->kind == EVENT_ORDER);
	if (n > 0)
		order_fold(machine, history, n, &present, &setter);
	judgement.from_status = present.status;
	judgement.from_sub_status = present.sub_status;
	judgement.after = present;

	same = find_same(history, n, &self);
	judgement.duplicate_of = same;
	judgement.verdict = same ? VERDICT_DUPLICATE : refuse(known, history, n, event, &self);
	if (verdict_folded(judgement.verdict)) {
		if (setter >= 0 && order_event_compare(&self, &history[setter]) < 0)
			judgement.verdict = VERDICT_LATE;
		else
			judgement.verdict = order_step(machine, &judgement.after, &self,
						       &judgement.other_courier);
		if (n > 0) {
			history[n] = self;
			order_fold(machine, history, n + 1, &judgement.after, NULL);
		}
	}
	*ret = judgement;
}
