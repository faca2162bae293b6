/*
 * Feeding refused deliveries in again. It changes the store, so the tool takes the writer's lock,
 * which it gets only while no daemon runs. All are tried, oldest first, as they came; one that is
 * refused again stays held.
 */
#include <stdlib.h>

#include "held_private.h"
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

/* One line for each. The worst exit code of all: 4 for a refusal, 3 for a number that is none. */
static int readmit_all(struct tool *tool, struct store *store, const struct endpoint_set *endpoints,
		       const struct ids *ids)
{
	int code = TOOL_DONE;

	for (size_t i = ids->n; i > 0; i--) {
		struct store_result result;
		long long id = (long long)ids->ids[i - 1];
		int err = readmit(store, endpoints, ids->ids[i - 1], &result);
		if (!err)
			out_f(&tool->out, "%lld stored as event %lld\n", id,
			      (long long)result.event_id);
		else if (err == -ERR_NOT_FOUND)
			out_f(&tool->out, "%lld is not held\n", id);
		else if (err_http_status(err) >= 400 && err_http_status(err) < 500)
			out_f(&tool->out, "%lld still refused: %s: %s\n", id, err_key(err),
			      err_text(err));
		else
			return tool_store_failed(tool, err, store_problem(store));
		if (err == -ERR_NOT_FOUND && code == TOOL_DONE)
			code = TOOL_NO_SUCH;
		else if (err && err != -ERR_NOT_FOUND)
			code = TOOL_REFUSED;
	}
	return code;
}

static int open_and_readmit(struct tool *tool, const struct ids *ids)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct endpoint_set *endpoints = NULL;
	struct store *store = NULL;
	const struct config *config;
	const char *path;
	int code = tool_config(tool, &config);

	if (!code)
		code = tool_store_path(tool, &path);
	if (code)
		return code;
	if (endpoint_set_new(config, &endpoints, &problem))
		return tool_fail(tool, TOOL_CONFIG, "%s", problem.len ? problem.data : "");
	int err = store_open_writer(path, config->store.environment, &store, &problem);
	if (err == -ERR_STORE_LOCKED)
		code = tool_fail(tool, TOOL_REFUSED, "%s; stop it, then try again", problem.data);
	else if (err)
		code = tool_store_failed(tool, err, problem.data);
	else
		code = readmit_all(tool, store, endpoints, ids);
	store_close(store);
	endpoint_set_unref(endpoints);
	return code;
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
		code = open_and_readmit(tool, &ids);
	}
	free(ids.ids);
	return code;
}
