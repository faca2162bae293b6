/*
 * `orderhook show`: one order, its state and how it came about. A merchant's number may have been
 * dispatched several times: the newest dispatch is shown and the others are named on stderr, so
 * that nobody takes the history of one for the history of all.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "show_private.h"

static void release(struct show *show)
{
	for (size_t i = 0; i < show->n_events; i++)
		row_copy_release(&show->events[i].row);
	free(show->events);
	row_copy_release(&show->order);
}

/* True when row is to be shown rather than best: named by the platform's number itself, or else
 * dispatched later. */
static bool better(const char *name, const struct store_row *row, const struct store_row *best)
{
	struct slice a = row->values[ORDER_COL_first_received].text;
	struct slice b = best->values[ORDER_COL_first_received].text;
	bool named = slice_equal_string(row->values[ORDER_COL_iss_order_no].text, name);
	bool best_named = slice_equal_string(best->values[ORDER_COL_iss_order_no].text, name);

	if (named != best_named)
		return named;
	/* The views' times compare as text. */
	size_t len = a.len < b.len ? a.len : b.len;
	return memcmp(a.at, b.at, len) >= 0;
}

static int add_other(struct buf *others, const struct store_row *row)
{
	return buf_addf(others, "%s%.*s", others->len ? ", " : "",
			SLICE_ARG(row->values[ORDER_COL_iss_order_no].text));
}

/* Keeps the best of the orders that the cursor gives, and the others' numbers. 1: one was found. */
static int pick_order(struct store_cursor *cursor, const char *name, struct row_copy *best,
		      struct buf *others)
{
	struct store_row row;
	int step;
	int err = 0;

	while ((step = store_cursor_next(cursor, &row)) == 1 && !err) {
		struct row_copy copy;
		if (best->text && !better(name, &row, &best->row)) {
			err = add_other(others, &row);
			continue;
		}
		err = row_copy(&row, &copy);
		if (err)
			break;
		if (best->text)
			err = add_other(others, &best->row);
		row_copy_release(best);
		*best = copy;
	}
	if (step < 0 || err)
		return err ? err : step;
	return best->text != NULL;
}

static int add_event(struct show *show, size_t *cap, const struct store_row *row)
{
	if (show->n_events == *cap) {
		size_t more = *cap ? *cap * 2 : 16;
		struct show_event *events = reallocarray(show->events, more, sizeof(*events));
		if (!events)
			return -ERR_NOMEM;
		show->events = events;
		*cap = more;
	}
	int err = row_copy(row, &show->events[show->n_events].row);
	if (!err)
		show->n_events++;
	return err;
}

static int read_folds(struct store_reader *reader, struct show *show)
{
	int err = 0;

	for (size_t i = 0; i < show->n_events && !err; i++) {
		struct show_event *event = &show->events[i];
		int64_t id = event->row.row.values[EVENT_COL_event_id].integer;
		err = store_fold_event(reader, id, &event->fold);
	}
	return err;
}

static int read_events(struct store_reader *reader, struct show *show, enum show_as as)
{
	const struct store_value *v = show->order.row.values;
	char iss[EVENT_ID_BYTES_MAX + 1];
	char endpoint[EVENT_ID_BYTES_MAX + 1];
	struct event_filter filter = {
		.order = iss, .endpoint = endpoint, .by_occurred = as == SHOW_AS_OCCURRED};
	struct store_cursor *cursor;
	struct store_row row;
	size_t cap = 0;
	int step = 0;
	int err = slice_copy(v[ORDER_COL_iss_order_no].text, iss, sizeof(iss));

	if (!err)
		err = slice_copy(v[ORDER_COL_endpoint].text, endpoint, sizeof(endpoint));
	if (!err)
		err = store_events(reader, &filter, &cursor);
	if (err)
		return err;
	while (!err && (step = store_cursor_next(cursor, &row)) == 1) {
		/* Another order may have this issOrderNo as its orderNo. */
		if (slice_equal_string(row.values[EVENT_COL_iss_order_no].text, iss))
			err = add_event(show, &cap, &row);
	}
	store_cursor_close(cursor);
	err = err ? err : step;
	return err ? err : read_folds(reader, show);
}

static int load(struct tool *tool, const struct show_options *options, struct show *show)
{
	const struct order_filter filter = {.order = options->name};
	BUF_AUTO struct buf others = BUF_INIT(64 * 1024);
	struct store_reader *reader;
	struct store_cursor *cursor;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_orders(reader, &filter, &cursor);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	int found = pick_order(cursor, options->name, &show->order, &others);
	store_cursor_close(cursor);
	if (found == 0)
		return tool_fail(tool, TOOL_NO_SUCH, "no order has the number '%s'", options->name);
	if (found > 0 && others.len)
		tool_note(tool,
			  "%s was dispatched more than once; this is the newest, the others "
			  "are %s",
			  options->name, others.data);
	err = found < 0 ? found : read_events(reader, show, options->as);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}

static int run(struct tool *tool, const struct show_options *options)
{
	struct show show = {.n_events = 0};
	int code = load(tool, options, &show);

	if (!code && options->at_ms && !show_rewind(&show, options->as, options->at_ms))
		code = tool_fail(tool, TOOL_NO_SUCH, "%s: no event of it had %s by then",
				 options->name,
				 options->as == SHOW_AS_RECEIVED ? "been received" : "happened");
	if (!code)
		code = show_print(tool, &show, options);
	release(&show);
	return code;
}

int cmd_show(struct tool *tool, int argc, char **argv)
{
	struct show_options show = {.name = NULL};
	int as = SHOW_AS_OCCURRED;
	const struct tool_option options[] = {
		{"at", 0, "TIME", "the order as it was at TIME", option_instant, &show.at_ms},
		{"as", 0, "occurred|received",
		 "as things happened (so if not given), or as we were told of them", option_word,
		 &as},
		{"reveal", 0, NULL, "print the courier's name and phone", option_flag,
		 &show.reveal},
		OPTION_FORMAT(&show.format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.min_arguments = 1,
		.max_arguments = 1,
		.text = "Shows one order, named by issOrderNo or orderNo: its state, and every "
			"event\n"
			"with its verdict and what that means. Of an orderNo that was dispatched "
			"more\n"
			"than once the newest dispatch is shown. --at with --as occurred leaves "
			"out\n"
			"what happened later, with --as received what we were told later.\n"
			"json is one object, csv the events alone.\n",
		.examples = "  orderhook show cp451412923563114496\n"
			    "  orderhook show TDH2025053050205843 --at 2025-05-30T17:02:00+08:00\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	show.name = argv[1];
	show.as = (enum show_as)as;
	return run(tool, &show);
}
