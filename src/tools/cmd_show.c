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

struct show_options {
	const char *name; /* the ORDER that was asked for */
	enum print_format format;
	enum show_as as;
	int64_t at_ms; /* 0: now */
	bool reveal;
};

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

static int add_event(struct show *show, size_t *cap, const struct store_row *row,
		     const struct order_event *fold)
{
	if (show->n_events == *cap) {
		size_t more = *cap ? *cap * 2 : 16;
		struct show_event *events = reallocarray(show->events, more, sizeof(*events));
		if (!events)
			return -ERR_NOMEM;
		show->events = events;
		*cap = more;
	}
	struct show_event *event = &show->events[show->n_events];
	int err = row_copy(row, &event->row);
	if (err)
		return err;
	event->fold = *fold;
	show->n_events++;
	return 0;
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
			err = add_event(show, &cap, &row, store_cursor_event(cursor));
	}
	store_cursor_close(cursor);
	return err ? err : step;
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
		return tool_fail(TOOL_NO_SUCH, tool, "no order has the number '%s'", options->name);
	if (found > 0 && others.len)
		tool_note(tool,
			  "%s was dispatched more than once; this is the newest, the others "
			  "are %s",
			  options->name, others.data);
	err = found < 0 ? found : read_events(reader, show, options->as);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}

/* The newest event that names the courier of the order's state has the number that is valid. */
static bool find_courier(struct tool *tool, const struct show *show, struct courier_text *ret)
{
	const struct store_value *id = &show->order.row.values[ORDER_COL_courier_id];

	for (size_t i = show->n_events; i-- > 0 && id->type == STORE_TEXT;) {
		BUF_AUTO struct buf body = BUF_INIT(64 * 1024 * 1024);
		const struct order_event *event = &show->events[i].fold;
		if (!slice_equal_string(id->text, event->courier_id))
			continue;
		if (store_raw(tool->reader, event->id, &body, NULL) == 0 &&
		    courier_of_body(buf_slice(&body), ret))
			return true;
	}
	return false;
}

static int add_field(struct out *out, const char *name, struct slice text, enum print_style style)
{
	BUF_AUTO struct buf safe = BUF_INIT(64 * 1024);
	int err = text_add_safe(&safe, text, TEXT_ONE_LINE);

	out_f(out, "%s%-14s%s  %s", style_begin(out, STYLE_QUIET), name,
	      style_end(out, STYLE_QUIET), style_begin(out, style));
	out_bytes(out, buf_slice(&safe).at, safe.len);
	out_f(out, "%s\n", style_end(out, style));
	return err;
}

static int add_value(struct out *out, const char *name, const struct store_value *value)
{
	return add_field(out, name, value->type == STORE_NULL ? SLICE("-") : value->text,
			 STYLE_PLAIN);
}

static int add_time(struct out *out, const char *name, const struct store_value *value)
{
	char text[CLOCK_LOCAL_BYTES + sizeof(" " CHINA_ZONE)];
	int64_t wall_ms;

	if (value->type != STORE_TEXT || clock_parse_rfc3339(value->text, &wall_ms))
		return add_value(out, name, value);
	clock_format_local(wall_ms, CHINA_OFFSET_MS, text);
	memcpy(text + CLOCK_LOCAL_BYTES - 1, " " CHINA_ZONE, sizeof(" " CHINA_ZONE));
	return add_field(out, name, slice_of(text), STYLE_PLAIN);
}

static int add_courier(struct tool *tool, const struct show *show, bool reveal)
{
	const struct store_value *id = &show->order.row.values[ORDER_COL_courier_id];
	BUF_AUTO struct buf text = BUF_INIT(4096);
	struct courier_text courier;
	int err;

	if (id->type != STORE_TEXT)
		return add_value(&tool->out, "courier_id", id);
	err = buf_add_slice(&text, id->text);
	if (!err && !reveal)
		err = buf_add_string(&text, "  (name and phone: --reveal)");
	else if (!err && find_courier(tool, show, &courier))
		err = buf_addf(&text, "  %s  %s", courier.name, courier.mobile);
	return err ? err : add_field(&tool->out, "courier_id", buf_slice(&text), STYLE_PLAIN);
}

static int add_status(struct out *out, const struct store_row *order)
{
	const struct store_value *status = &order->values[ORDER_COL_status];
	const struct store_value *sub = &order->values[ORDER_COL_sub_status];
	BUF_AUTO struct buf text = BUF_INIT(256);
	int err;

	if (status->type != STORE_INTEGER)
		return add_field(out, "status", SLICE("none yet"), STYLE_PLAIN);
	err = status_add(&text, status->integer,
			 sub->type == STORE_INTEGER ? sub->integer : EVENT_SUB_ABSENT);
	return err ? err : add_field(out, "status", buf_slice(&text), STYLE_HEADING);
}

static int print_order(struct tool *tool, const struct show *show,
		       const struct show_options *options)
{
	const struct store_value *v = show->order.row.values;
	struct out *out = &tool->out;
	const struct store_value *quarantined = &v[ORDER_COL_quarantined];
	int err = add_value(out, "iss_order_no", &v[ORDER_COL_iss_order_no]);

	err = err ? err : add_value(out, "order_no", &v[ORDER_COL_order_no]);
	err = err ? err : add_value(out, "shop_id", &v[ORDER_COL_shop_id]);
	err = err ? err : add_value(out, "endpoint", &v[ORDER_COL_endpoint]);
	err = err ? err : add_status(out, &show->order.row);
	err = err ? err : add_time(out, "since", &v[ORDER_COL_since]);
	err = err ? err : add_courier(tool, show, options->reveal);
	err = err ? err : add_value(out, "events", &v[ORDER_COL_events]);
	err = err ? err : add_time(out, "first_received", &v[ORDER_COL_first_received]);
	err = err ? err : add_time(out, "last_received", &v[ORDER_COL_last_received]);
	err = err ? err : add_value(out, "reassignments", &v[ORDER_COL_reassignments]);
	if (!err)
		err = add_field(out, "quarantined", quarantined->text,
				quarantined->integer ? STYLE_ALARM : STYLE_PLAIN);
	return err;
}

static void print_json(struct out *out, const struct show *show, bool pretty)
{
	const char *line = pretty ? "\n" : "";

	out_string(out, "{\"order\":");
	rows_add_object(out, order_column_names, &show->order.row);
	out_f(out, ",%s\"events\":[", line);
	for (size_t i = 0; i < show->n_events; i++) {
		out_f(out, "%s%s", i ? "," : "", line);
		rows_add_object(out, event_column_names, &show->events[i].row.row);
	}
	out_f(out, "%s]}\n", line);
}

static void print_csv(struct out *out, const struct show *show)
{
	struct rows rows = {out, PRINT_CSV, event_column_names, EVENT_COL_MAX, 0};

	rows_begin(&rows);
	for (size_t i = 0; i < show->n_events; i++)
		rows_add(&rows, &show->events[i].row.row);
	rows_end(&rows);
}

static int print_show(struct tool *tool, const struct show *show,
		      const struct show_options *options)
{
	int err;

	switch (options->format) {
	case PRINT_JSON:
	case PRINT_JSONL:
		print_json(&tool->out, show, options->format == PRINT_JSON);
		return TOOL_DONE;
	case PRINT_CSV:
		print_csv(&tool->out, show);
		return TOOL_DONE;
	default:
		err = print_order(tool, show, options);
		if (err)
			return tool_fail(TOOL_STORE, tool, "%s", err_text(err));
		out_char(&tool->out, '\n');
		timeline_print(&tool->out, show, options->as);
		return TOOL_DONE;
	}
}

static int option_as(struct tool *tool, const struct tool_option *option, const char *value)
{
	enum show_as *as = option->into;

	if (strcmp(value, "occurred") == 0)
		*as = SHOW_AS_OCCURRED;
	else if (strcmp(value, "received") == 0)
		*as = SHOW_AS_RECEIVED;
	else
		return option_bad(tool, option, value, "occurred and received are allowed");
	return 0;
}

static int run(struct tool *tool, const struct show_options *options)
{
	struct show show = {.n_events = 0};
	int code = load(tool, options, &show);

	if (!code && options->at_ms && !show_rewind(&show, options->as, options->at_ms))
		code = tool_fail(TOOL_NO_SUCH, tool, "%s: no event of it had %s by then",
				 options->name,
				 options->as == SHOW_AS_RECEIVED ? "been received" : "happened");
	if (!code)
		code = print_show(tool, &show, options);
	release(&show);
	return code;
}

int cmd_show(struct tool *tool, int argc, char **argv)
{
	struct show_options show = {.as = SHOW_AS_OCCURRED};
	const struct tool_option options[] = {
		{"at", 0, "TIME", "the order as it was at TIME", option_instant, &show.at_ms},
		{"as", 0, "ORDERING",
		 "occurred: as things happened (the default); received: as we "
		 "were told",
		 option_as, &show.as},
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
		.examples =
			"  orderhook show cp451412923563114496\n"
			"  orderhook show TDH2025053050205843 --at 2025-05-30T17:02:00+08:00 --as "
			"received\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	show.name = argv[1];
	return run(tool, &show);
}
