/*
 * What an answer means to the platform, and what it says about the receiver. The platform looks at
 * the status in the body and nothing else; a receiver that is well gives HTTP the same number.
 */
#include "simulator_private.h"

#include <stdio.h>

#include "orderhook/json_scan.h"

const char *sim_outcome_key(enum sim_outcome outcome)
{
	static const char *const keys[SIM_OUTCOME_MAX] = {"acked", "refused", "unknown"};

	return keys[outcome];
}

/* The status that the body says, 0 when it says none: that one decides, not HTTP's. */
int sim_answer_status(struct slice body)
{
	struct json_object object;
	const struct json_member *member;
	int64_t status;

	if (json_scan_object(body, &object))
		return 0;
	member = json_find(&object, "status");
	if (!member || member->type != JSON_NUMBER || slice_to_i64(member->value, 0, 9999, &status))
		return 0;
	return (int)status;
}

/* A healthy receiver acknowledges what is true, refuses what is forged with 401, and may answer
 * anything with 5xx, which only means "not now". */
static bool is_expected(enum sim_send_kind kind, const struct sim_result *result)
{
	if (result->outcome == SIM_UNKNOWN || result->http_status >= 500)
		return result->outcome != SIM_ACKED;
	if (kind == SIM_SEND_FORGED)
		return result->http_status == 401 && result->outcome == SIM_REFUSED;
	return result->http_status == 200 && result->outcome == SIM_ACKED;
}

static void remember_unexpected(struct sim_summary *summary, const struct sim_order *order,
				const struct sim_send *send, const struct sim_result *result)
{
	int status;
	int sub_status;

	sim_node_status(order->steps[send->step].node, &status, &sub_status);
	summary->first_unexpected_http = result->http_status;
	snprintf(summary->first_unexpected, sizeof(summary->first_unexpected),
		 "%s of order %s, status %d, was answered HTTP %d with status %d in the body",
		 send->kind == SIM_SEND_FORGED ? "a forged callback" : "a callback",
		 order->iss_order_no, status, result->http_status, result->body_status);
}

static void count_answer(struct sim_summary *summary, int http_status, int body_status)
{
	struct sim_answer *answer = summary->answers;
	struct sim_answer *end = answer + summary->n_answers;

	while (answer < end &&
	       (answer->http_status != http_status || answer->body_status != body_status))
		answer++;
	if (answer == end && summary->n_answers < SIM_ANSWERS_MAX) {
		*answer = (struct sim_answer){http_status, body_status, 0};
		summary->n_answers++;
	} else if (answer == end) {
		answer--;
	}
	answer->count++;
}

void sim_summary_count(struct sim_summary *summary, const struct sim_order *order,
		       const struct sim_send *send, const struct sim_result *result)
{
	bool forged = send->kind == SIM_SEND_FORGED;

	if (result->outcome == SIM_UNKNOWN)
		summary->unknown++;
	else
		count_answer(summary, result->http_status, result->body_status);
	if (result->outcome == SIM_UNKNOWN && !summary->first_failure[0])
		snprintf(summary->first_failure, sizeof(summary->first_failure), "%s",
			 result->problem);
	if (!is_expected((enum sim_send_kind)send->kind, result) && summary->unexpected++ == 0)
		remember_unexpected(summary, order, send, result);
	if (forged)
		summary->forged_refused +=
			result->outcome == SIM_REFUSED && result->http_status == 401;
	else if (result->outcome == SIM_ACKED)
		summary->acked++;
	if (!forged && result->outcome == SIM_ACKED && !send->slow)
		latency_add(&summary->latency, result->latency_us);
}

bool sim_summary_good(const struct sim_summary *summary)
{
	return summary->lost == 0 && summary->unexpected == 0;
}
