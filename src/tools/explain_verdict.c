/*
 * The verdict and why. It is judged here by the judge that the writer uses, not read off: a stored
 * event against those that had arrived before it, anything else against the store as it is. What
 * the machine is asked about the way there is its own table.
 */
#include <stdlib.h>
#include <string.h>

#include "explain_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/rejudge.h"
#include "way_private.h"

static struct place place_of(const struct order_state *state)
{
	return (struct place){state->status, state->sub_status};
}

/* "30/1 → 40/1 → 50/1" */
static int add_way(struct buf *buf, const struct way *way)
{
	char code[STATUS_CODE_BYTES];
	int err = 0;

	for (size_t i = 0; !err && i < way->n; i++) {
		way_code(way_place(way->nodes[i]), code);
		err = buf_addf(buf, "%s%s", i ? " → " : "", code);
	}
	return err;
}

static int add_missing_edge(struct buf *buf, struct place from, struct place to)
{
	char codes[2][STATUS_CODE_BYTES];
	int err;

	way_code(from, codes[0]);
	way_code(to, codes[1]);
	err = buf_addf(buf, "the machine has no way from %s to %s: from %s a step leads to ",
		       codes[0], codes[1], codes[0]);
	if (!err)
		err = way_add_next(buf, from);
	if (!err)
		err = buf_addf(buf, ", and to %s a step leads from ", codes[1]);
	return err ? err : way_add_before(buf, to);
}

static int add_edge(struct buf *buf, struct place from, struct place to)
{
	struct way way;
	int err;

	if (!way_find(from, to, &way))
		return 0;
	if (way.n == 2)
		err = buf_add_string(buf, "the edge ");
	else
		err = buf_addf(buf,
			       "no edge leads there; the shortest way has %zu steps: ", way.n - 1);
	return err ? err : add_way(buf, &way);
}

static int add_why(struct explain_verdict *verdict)
{
	struct place to = {verdict->status, verdict->sub_status};
	struct place from = place_of(&verdict->before);
	struct buf *buf = &verdict->why;
	char code[STATUS_CODE_BYTES];

	switch (verdict->verdict) {
	case VERDICT_APPLIED:
	case VERDICT_JUMPED:
	case VERDICT_REASSIGNED:
		return add_edge(buf, from, to);
	case VERDICT_ILLEGAL:
		return add_missing_edge(buf, from, to);
	case VERDICT_REPEATED:
		way_code(from, code);
		return buf_addf(buf, "the order is in %s already", code);
	case VERDICT_UNKNOWN:
		return buf_addf(buf, "the machine has no status %d", verdict->status);
	case VERDICT_DUPLICATE:
		return buf_addf(buf, "it is event %lld once more: the same key and equal members",
				(long long)verdict->same_event);
	case VERDICT_CONFLICT:
		return buf_addf(buf, "event %lld has the same key and other members",
				(long long)verdict->same_event);
	case VERDICT_LATE:
		way_code(from, code);
		return buf_addf(buf, "it happened before %s, which had arrived already", code);
	case VERDICT_MISMATCH:
		return buf_add_string(buf, "its orderNo or shopId is not the order's");
	default:
		return buf_add_string(buf, verdict_meaning(verdict->verdict));
	}
}

/* The first of the events before that has the key of this one. */
static int64_t same_key(const struct store_history *history, size_t n,
			const struct order_event *event)
{
	for (size_t i = 0; i < n; i++) {
		if (order_event_same_key(&history->arrivals[i].event, event))
			return history->arrivals[i].event.id;
	}
	return 0;
}

/* ------------------------------------------------------------------ a stored one ------- */

static size_t index_of(const struct store_history *history, int64_t event_id)
{
	size_t i = 0;

	while (i < history->n && history->arrivals[i].event.id != event_id)
		i++;
	return i;
}

static int judge_stored(struct store_history *history, size_t i, struct explain_verdict *ret)
{
	const struct order_event *event = &history->arrivals[i].event;
	struct rejudged rejudged = {0};
	size_t all = history->n;
	int err;

	history->n = i;
	err = rejudge_order(order_machine_v5(), history, &rejudged);
	ret->before = rejudged.state;
	history->n = i + 1;
	if (!err)
		err = rejudge_order(order_machine_v5(), history, &rejudged);
	history->n = all;
	if (!err) {
		ret->after = rejudged.state;
		ret->verdict = rejudged.verdicts[i];
		ret->stored = (int)event->verdict;
		ret->status = event->status;
		ret->sub_status = event->sub_status;
		ret->same_event = same_key(history, i, event);
		ret->judged = true;
		err = add_why(ret);
	}
	rejudged_release(&rejudged);
	return err;
}

int explain_stored(struct tool *tool, const struct explain_subject *subject,
		   struct explain_verdict *ret)
{
	struct store_history history = {0};
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_event_history(reader, subject->id, &history);
	size_t i = err ? 0 : index_of(&history, subject->id);
	if (!err)
		err = i < history.n ? judge_stored(&history, i, ret) : -ERR_NOT_FOUND;
	store_history_release(&history);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}

/* ------------------------------------------------------------------ one that is not ---- */

static void take_id(const struct json_object *object, const char *name,
		    char ret[EVENT_ID_BYTES_MAX + 1])
{
	const struct json_member *member = json_find(object, name);
	size_t len = 0;

	if (!member || member->type != JSON_STRING ||
	    json_string_decode(member->value, ret, EVENT_ID_BYTES_MAX, &len))
		len = 0;
	ret[len] = '\0';
}

static int take_number(const struct json_object *object, const char *name, int absent)
{
	const struct json_member *member = json_find(object, name);
	int64_t value;

	return member && slice_to_i64(member->value, 0, EVENT_STATUS_MAX, &value) == 0 ? (int)value
										       : absent;
}

static bool take_content(const struct json_object *object, uint8_t ret[DIGEST_SHA256_BYTES])
{
	const struct json_member *member = json_find(object, "content");
	static const char digits[] = "0123456789abcdef";

	if (!member || member->value.len != 2 * (size_t)DIGEST_SHA256_BYTES)
		return false;
	for (size_t i = 0; i < DIGEST_SHA256_BYTES; i++) {
		const char *high = strchr(digits, member->value.at[2 * i]);
		const char *low = strchr(digits, member->value.at[2 * i + 1]);
		if (!high || !low)
			return false;
		ret[i] = (uint8_t)((high - digits) << 4 | (low - digits));
	}
	return true;
}

/* The event that ingest made, from what explain() says of it. False where there is none to judge.
 */
static bool take_event(const struct json_object *explanation, int64_t received_ms,
		       struct event *ret)
{
	const struct json_member *member = json_find(explanation, "event");
	const struct json_member *stale;
	const struct json_member *occurred;
	const struct json_member *from;
	struct json_object object;

	*ret = (struct event){.kind = EVENT_ORDER, .received_ms = received_ms};
	if (!member || member->type != JSON_OBJECT || json_scan_object(member->value, &object))
		return false;
	stale = json_find(&object, "stale");
	ret->stale = stale && stale->type == JSON_TRUE;
	take_id(&object, "iss_order_no", ret->iss_order_no);
	take_id(&object, "order_no", ret->order_no);
	take_id(&object, "shop_id", ret->shop_id);
	take_id(&object, "courier_id", ret->courier_id);
	ret->status = take_number(&object, "status", -1);
	ret->sub_status = take_number(&object, "sub_status", EVENT_SUB_ABSENT);
	occurred = json_find(&object, "occurred");
	from = json_find(&object, "occurred_from");
	int source = from ? event_occurred_from_of_key(from->value) : -1;
	if (!occurred || source < 0 || clock_parse_rfc3339(occurred->value, &ret->occurred_ms) ||
	    ret->status < 0)
		return false;
	ret->occurred_from = (enum event_occurred_from)source;
	return take_content(&object, ret->content);
}

static int judge_new(const struct store_history *history, const struct event *event,
		     struct explain_verdict *ret)
{
	struct order_known known = {.exists = history->n > 0, .state = history->state};
	struct order_event self = order_event_of(event);
	struct judgement judgement;
	struct order_event *past = calloc(history->n + 1, sizeof(*past));

	if (!past)
		return -ERR_NOMEM;
	memcpy(known.order_no, history->order_no, sizeof(known.order_no));
	memcpy(known.shop_id, history->shop_id, sizeof(known.shop_id));
	for (size_t i = 0; i < history->n; i++)
		past[i] = history->arrivals[i].event;
	order_judge(order_machine_v5(), &known, past, history->n, event, &judgement);
	free(past);
	ret->judged = true;
	ret->verdict = judgement.verdict;
	ret->before = history->state;
	ret->after = judgement.after;
	ret->status = event->status;
	ret->sub_status = event->sub_status;
	ret->same_event = judgement.duplicate_of ? judgement.duplicate_of
						 : same_key(history, history->n, &self);
	return add_why(ret);
}

int explain_would(struct tool *tool, const struct explain_subject *subject,
		  const struct json_object *explanation, struct explain_verdict *ret)
{
	struct store_history history = {0};
	struct store_reader *reader;
	struct event event;
	int err = 0;

	bool order = take_event(explanation, subject->received_ms, &event);
	ret->stale = event.stale;
	if (!order)
		return 0;
	int code = tool_reader(tool, &reader);
	if (code)
		return code;
	err = store_order_history(reader, subject->endpoint, event.iss_order_no, &history);
	if (!err || err == -ERR_NOT_FOUND)
		err = judge_new(&history, &event, ret);
	ret->stale = event.stale && ret->verdict != VERDICT_DUPLICATE;
	store_history_release(&history);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}
