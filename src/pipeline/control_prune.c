/*
 * POST /control/prune {"before_ms":N,"attention_too":B,"overdue":"20 N 40
 * N","part":N,"after_id":N}: a part of a prune, as many steps as fit a second or two. The tool goes
 * on with the place that the answer names, so that it can be stopped, and no request waits long.
 *
 * overdue has pairs of a status and the instant of retention_overdue(): the limits are the
 * configuration's that the tool has read.
 *
 * Answer: the members of struct store_pruned, and the place; part STORE_PRUNE_PARTS is the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control_private.h"
#include "orderhook/err.h"
#include "orderhook/store_care.h"

#define STEPS_MAX 64

struct pruning {
	struct store_prune options;
	struct store_prune_place place;
	struct store_pruned counts;
	int64_t status; /* of the pair that is being read; -1: none */
	int steps;
};

static int take_overdue(void *context, int64_t number)
{
	struct pruning *pruning = context;

	if (pruning->status < 0) {
		pruning->status = number;
		return number <= EVENT_STATUS_MAX ? 0 : -ERR_RANGE;
	}
	pruning->options.overdue_before_ms[pruning->status] = number;
	pruning->status = -1;
	return 0;
}

static int begin(struct control_call *call, const struct json_object *request)
{
	static const char *const names[] = {"before_ms", "attention_too", "overdue",
					    "part",      "after_id",      NULL};
	struct pruning *pruning = calloc(1, sizeof(*pruning));
	int64_t part = 0;

	if (!pruning)
		return -ERR_NOMEM;
	call->state = pruning;
	pruning->status = -1;
	if (control_only(call, request, names) &&
	    control_take_int(call, request, "before_ms", true, 0, INT64_MAX,
			     &pruning->options.before_ms) &&
	    control_take_bool(call, request, "attention_too", &pruning->options.attention_too) &&
	    control_take_numbers(call, request, "overdue", take_overdue, pruning) &&
	    control_take_int(call, request, "part", false, 0, STORE_PRUNE_PARTS - 1, &part) &&
	    control_take_int(call, request, "after_id", false, 0, INT64_MAX,
			     &pruning->place.after_id))
		pruning->place.part = (int)part;
	return 0;
}

static int step(struct control_call *call, struct store *store)
{
	struct pruning *pruning = call->state;
	int more = store->ops->prune(store, &pruning->options, &pruning->place, &pruning->counts);

	if (more <= 0)
		return more;
	return ++pruning->steps < STEPS_MAX ? WRITER_CALL_MORE : 0;
}

static int answer(struct control_call *call, int outcome)
{
	const struct pruning *pruning = call->state;
	const struct store_pruned *counts = &pruning->counts;
	const struct control_count members[] = {
		{"orders", counts->orders},
		{"events", counts->events},
		{"others", counts->others},
		{"held", counts->held},
		{"bytes", counts->bytes},
		{"kept_quarantined", counts->kept_quarantined},
		{"kept_overdue", counts->kept_overdue},
		{"kept_newest", counts->kept_newest},
		{"part", pruning->place.part},
		{"after_id", pruning->place.after_id},
	};
	int err = control_add_counts(call, members, sizeof(members) / sizeof(members[0]));

	(void)outcome;
	snprintf(call->what, sizeof(call->what),
		 "%lld orders, %lld events, %lld other events, %lld refused deliveries removed",
		 (long long)counts->orders, (long long)counts->events, (long long)counts->others,
		 (long long)counts->held);
	return err;
}

const struct control_handler control_prune = {begin, step, answer, NULL};
