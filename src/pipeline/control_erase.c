/*
 * POST /control/erase {"order":"NUMBER"}: one step, and the writer is busy while it reads the
 * database through. The number is not logged: it may be what is to be erased.
 *
 * Answer: "outcome" and the members of struct store_erased. The outcome is "erased", or the key of
 * the error: "not-found"; "evidence", with the event that is not what was stored; "traces", with
 * the text that says who keeps the log.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control_private.h"
#include "orderhook/err.h"
#include "orderhook/store_care.h"

#define PROBLEM_BYTES 512

struct erasure {
	char order[EVENT_ID_BYTES_MAX + 1];
	int err; /* 0, or an outcome: not a failure of the call */
	struct store_erased counts;
	char problem[PROBLEM_BYTES];
};

static int begin(struct control_call *call, const struct json_object *request)
{
	static const char *const names[] = {"order", NULL};
	struct erasure *erasure = calloc(1, sizeof(*erasure));

	if (!erasure)
		return -ERR_NOMEM;
	call->state = erasure;
	if (control_only(call, request, names))
		control_take_text(call, request, "order", true, erasure->order,
				  sizeof(erasure->order));
	return 0;
}

static int step(struct control_call *call, struct store *store)
{
	struct erasure *erasure = call->state;
	int err = store->ops->erase(store, erasure->order, &erasure->counts);

	if (err && err != -ERR_NOT_FOUND && err != -ERR_EVIDENCE && err != -ERR_TRACES)
		return err;
	erasure->err = err;
	snprintf(erasure->problem, sizeof(erasure->problem), "%s", store_problem(store));
	return 0;
}

static int answer(struct control_call *call, int outcome)
{
	const struct erasure *erasure = call->state;
	const struct store_erased *counts = &erasure->counts;
	const char *key = erasure->err ? err_key(erasure->err) : "erased";
	const struct control_count members[] = {
		{"orders", counts->orders},
		{"events", counts->events},
		{"events_before", counts->events_before},
		{"others", counts->others},
		{"held", counts->held},
		{"moving", counts->moving},
		{"event_id", counts->event_id},
	};
	int err = control_add_text(call, "outcome", slice_of(key));

	(void)outcome;
	if (!err && erasure->err == -ERR_TRACES)
		err = control_add_text(call, "text", slice_of(erasure->problem));
	if (!err)
		err = control_add_counts(call, members, sizeof(members) / sizeof(members[0]));
	snprintf(call->what, sizeof(call->what), "%s: %lld orders, %lld events", key,
		 (long long)counts->orders, (long long)counts->events);
	return err;
}

const struct control_handler control_erase = {begin, step, answer, NULL};
