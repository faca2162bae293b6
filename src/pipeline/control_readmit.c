/*
 * POST /control/readmit {"held_id":N}: one refused delivery, fed in by the same function as with no
 * daemon running. One delivery is one request, one step and one line in the log.
 *
 * Answer: {"held_id":N,"outcome":"stored","event_id":N}, or "refused" with the key of the error as
 * "reason" (it stays held), or "not-held".
 */
#include <stdio.h>
#include <stdlib.h>

#include "control_private.h"
#include "orderhook/err.h"
#include "orderhook/log.h"
#include "orderhook/metrics.h"
#include "orderhook/readmit.h"

struct readmission {
	int64_t held_id;
	int err; /* 0, or a refusal: not a failure of the call */
	struct event event;
	struct store_result result;
};

static int begin(struct control_call *call, const struct json_object *request)
{
	static const char *const names[] = {"held_id", NULL};
	struct readmission *readmission = calloc(1, sizeof(*readmission));

	if (!readmission)
		return -ERR_NOMEM;
	call->state = readmission;
	if (control_only(call, request, names))
		control_take_int(call, request, "held_id", true, 1, INT64_MAX,
				 &readmission->held_id);
	return 0;
}

static bool is_refusal(int err)
{
	int status = err_http_status(err);

	return err == -ERR_NOT_FOUND || (status >= 400 && status < 500);
}

static int step(struct control_call *call, struct store *store)
{
	struct readmission *readmission = call->state;
	int err = readmit(store, call->endpoints, readmission->held_id, &readmission->event,
			  &readmission->result);

	if (err && !is_refusal(err))
		return err;
	readmission->err = err;
	if (!err && readmission->event.kind == EVENT_ORDER)
		metrics_event(readmission->result.verdict);
	return 0;
}

static void log_stored(const struct readmission *readmission)
{
	const struct event *event = &readmission->event;
	bool judged = event->kind == EVENT_ORDER;
	bool trouble = judged && verdict_quarantined(readmission->result.verdict);
	const char *verdict = judged ? verdict_key(readmission->result.verdict) : "other-event";

	log_message(trouble ? MESSAGE_CALLBACK_QUARANTINED : MESSAGE_CALLBACK_STORED,
		    &(struct log_fields){.order_no = event->order_no,
					 .iss_order_no = event->iss_order_no,
					 .event_id = readmission->result.event_id,
					 .verdict = verdict},
		    "callback stored: order %s, event %lld, %s; refused delivery %lld was "
		    "readmitted",
		    event->iss_order_no[0] ? event->iss_order_no : "-",
		    (long long)readmission->result.event_id, verdict,
		    (long long)readmission->held_id);
}

static int answer(struct control_call *call, int outcome)
{
	const struct readmission *readmission = call->state;
	long long held_id = (long long)readmission->held_id;
	int err = control_add_int(call, "held_id", readmission->held_id);

	(void)outcome;
	if (err)
		return err;
	if (readmission->err == -ERR_NOT_FOUND) {
		snprintf(call->what, sizeof(call->what), "refused delivery %lld: is not held",
			 held_id);
		return control_add_text(call, "outcome", SLICE("not-held"));
	}
	if (readmission->err) {
		const char *reason = err_key(readmission->err);
		snprintf(call->what, sizeof(call->what), "refused delivery %lld: still refused: %s",
			 held_id, reason);
		err = control_add_text(call, "outcome", SLICE("refused"));
		return err ? err : control_add_text(call, "reason", slice_of(reason));
	}
	log_stored(readmission);
	snprintf(call->what, sizeof(call->what), "refused delivery %lld: stored as event %lld",
		 held_id, (long long)readmission->result.event_id);
	err = control_add_text(call, "outcome", SLICE("stored"));
	return err ? err : control_add_int(call, "event_id", readmission->result.event_id);
}

const struct control_handler control_readmit = {begin, step, answer, NULL};
