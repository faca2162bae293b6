/*
 * Feeding refused deliveries in again: by the daemon when one runs, else here under the writer's
 * lock, with the same function. All are tried, oldest first, as they came; one that is refused
 * again stays held.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "daemon_ask_private.h"
#include "held_private.h"
#include "orderhook/control.h"
#include "orderhook/err.h"
#include "orderhook/readmit.h"

struct ids {
	int64_t *ids; /* owned */
	size_t n;
	size_t cap;
};

static int add_id(struct ids *ids, int64_t id)
{
	if (ids->n == ids->cap) {
		size_t cap = ids->cap ? 2 * ids->cap : 64;
		int64_t *grown = realloc(ids->ids, cap * sizeof(*grown));
		if (!grown)
			return -ERR_NOMEM;
		ids->ids = grown;
		ids->cap = cap;
	}
	ids->ids[ids->n++] = id;
	return 0;
}

static int pick_row(void *context, const struct store_row *row)
{
	return add_id(context, row->values[HELD_COL_held_id].integer);
}

/* Newest first, as they are listed. */
static int pick_all(struct tool *tool, const struct held_filter *filter, struct ids *ids)
{
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_held(reader, filter, pick_row, ids);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}

static int pick_numbers(struct tool *tool, char *const *numbers, size_t n, struct ids *ids)
{
	for (size_t i = n; i > 0; i--) {
		int64_t id;
		if (slice_to_i64(slice_of(numbers[i - 1]), 1, INT64_MAX, &id))
			return tool_usage(tool, "'%s' is not a refused delivery's number",
					  numbers[i - 1]);
		if (add_id(ids, id))
			return tool_fail(tool, TOOL_STORE, "%s", err_text(ERR_NOMEM));
	}
	return 0;
}

/* Where they are fed in: the daemon, or a store of our own once it turned out that none runs. */
struct target {
	struct store *store; /* owned; NULL: the daemon */
	struct endpoint_set *endpoints;
};

struct readmitted {
	int err; /* 0, or why it is still refused */
	int64_t event_id;
};

static bool is_refusal(int err)
{
	return err == -ERR_NOT_FOUND || (err_http_status(err) >= 400 && err_http_status(err) < 500);
}

/* One line for one. The exit code: 4 for a refusal, 3 for a number that is none. */
static int say(struct tool *tool, int64_t held_id, const struct readmitted *readmitted)
{
	long long id = (long long)held_id;
	int err = readmitted->err;

	if (!err)
		out_f(&tool->out, "%lld stored as event %lld\n", id,
		      (long long)readmitted->event_id);
	else if (err == -ERR_NOT_FOUND)
		out_f(&tool->out, "%lld is not held\n", id);
	else
		out_f(&tool->out, "%lld still refused: %s: %s\n", id, err_key(err), err_text(err));
	return !err ? TOOL_DONE : err == -ERR_NOT_FOUND ? TOOL_NO_SUCH : TOOL_REFUSED;
}

static bool read_answer(const struct json_object *answer, struct readmitted *ret)
{
	const struct json_member *outcome = json_find(answer, "outcome");
	const struct json_member *reason = json_find(answer, "reason");
	const struct json_member *event = json_find(answer, "event_id");

	*ret = (struct readmitted){.err = 0};
	if (outcome && slice_equal_string(outcome->value, "not-held"))
		ret->err = -ERR_NOT_FOUND;
	else if (reason)
		ret->err = err_of_key(reason->value);
	else
		return event && slice_to_i64(event->value, 1, INT64_MAX, &ret->event_id) == 0;
	return is_refusal(ret->err);
}

/* 0, DAEMON_NONE, or the exit code of a failure. */
static int ask_for(struct tool *tool, int64_t held_id, struct readmitted *ret)
{
	BUF_AUTO struct buf request = BUF_INIT(64);
	BUF_AUTO struct buf answer = BUF_INIT(CONTROL_ANSWER_BYTES_MAX);
	struct json_object members;
	int code;

	if (buf_addf(&request, "{\"held_id\":%" PRId64 "}", held_id))
		return tool_fail(tool, TOOL_STORE, "%s", err_text(ERR_NOMEM));
	code = daemon_ask(tool, "readmit", buf_slice(&request), &answer, &members);
	if (!code && !read_answer(&members, ret))
		return tool_fail(tool, TOOL_STORE, "the daemon's answer is not understood");
	return code;
}

static int open_target(struct tool *tool, struct target *target)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	const struct config *config;
	int code = daemon_instead(tool, &target->store);

	if (!code)
		code = tool_config(tool, &config);
	if (!code && endpoint_set_new(config, &target->endpoints, &problem))
		return tool_fail(tool, TOOL_CONFIG, "%s", problem.len ? problem.data : "");
	return code;
}

static int feed_in(struct tool *tool, struct target *target, int64_t held_id,
		   struct readmitted *ret)
{
	struct store_result result = {.event_id = 0};
	struct event event;

	ret->err = readmit(target->store, target->endpoints, held_id, &event, &result);
	ret->event_id = result.event_id;
	return !ret->err || is_refusal(ret->err)
		       ? 0
		       : tool_store_failed(tool, ret->err, store_problem(target->store));
}

static int readmit_one(struct tool *tool, struct target *target, int64_t held_id,
		       struct readmitted *ret)
{
	int code = target->store ? DAEMON_NONE : ask_for(tool, held_id, ret);

	if (code != DAEMON_NONE)
		return code;
	code = target->store ? 0 : open_target(tool, target);
	return code ? code : feed_in(tool, target, held_id, ret);
}

/* A refusal of one outweighs a number that is not held; a failure ends it all. */
static int readmit_all(struct tool *tool, const struct ids *ids)
{
	struct target target = {NULL, NULL};
	int worst = TOOL_DONE;
	int failed = 0;

	for (size_t i = ids->n; i > 0 && !failed; i--) {
		struct readmitted readmitted;
		failed = readmit_one(tool, &target, ids->ids[i - 1], &readmitted);
		int code = failed ? failed : say(tool, ids->ids[i - 1], &readmitted);
		if (failed || code > worst)
			worst = code;
	}
	store_close(target.store);
	endpoint_set_unref(target.endpoints);
	return worst;
}

int held_readmit(struct tool *tool, char *const *numbers, size_t n,
		 const struct held_filter *filter)
{
	struct ids ids = {NULL, 0, 0};
	int code = n ? pick_numbers(tool, numbers, n, &ids) : pick_all(tool, filter, &ids);

	if (!code && !ids.n) {
		tool_note(tool, "no refused delivery is held that matches");
		code = TOOL_NOTHING;
	} else if (!code) {
		code = readmit_all(tool, &ids);
	}
	free(ids.ids);
	return code;
}
