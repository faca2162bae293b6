/*
 * `orderhook events`: the log of what was stored, in the order of arrival. Event ids only grow, so
 * following is listing what comes after the last id, with a wait where there is nothing more.
 */
#include <string.h>

#include "follow_private.h"
#include "orderhook/err.h"

#define FOLLOW_FIRST 10

static const struct table_column columns[] = {
	{.heading = "event_id", .right = true},
	{.heading = "received (" CHINA_ZONE ")"},
	{.heading = "occurred", .optional = true},
	{.heading = "iss_order_no", .fit = TABLE_CUT_LATE},
	{.heading = "status", .fit = TABLE_CUT},
	{.heading = "verdict"},
	{.heading = "auth", .optional = true},
	{.heading = "deliveries", .right = true, .optional = true},
	{.heading = "notes", .fit = TABLE_CUT, .optional = true},
};

static void cells(struct table *table, const struct store_row *row)
{
	const struct store_value *v = row->values;

	cell_value(table, &v[EVENT_COL_event_id]);
	cell_time(table, &v[EVENT_COL_received]);
	cell_time(table, &v[EVENT_COL_occurred]);
	cell_value(table, &v[EVENT_COL_iss_order_no]);
	cell_status(table, &v[EVENT_COL_status], &v[EVENT_COL_sub_status]);
	cell_verdict(table, &v[EVENT_COL_verdict]);
	cell_value(table, &v[EVENT_COL_auth]);
	cell_value(table, &v[EVENT_COL_deliveries]);
	table_cell(table, STYLE_PLAIN, v[EVENT_COL_notes].text);
}

static const struct view events_view = {event_column_names, EVENT_COL_MAX, columns,
					sizeof(columns) / sizeof(columns[0]), cells};

/* Prints what matches after filter->after_id, and moves that past it. */
static int print_all(struct store_reader *reader, struct event_filter *filter, struct list *list)
{
	struct store_cursor *cursor;
	struct store_row row;
	int step = 0;
	int err = store_events(reader, filter, &cursor);

	if (err)
		return err;
	while (!list->out->error && (step = store_cursor_next(cursor, &row)) == 1) {
		filter->after_id = row.values[EVENT_COL_event_id].integer;
		filter->limit = 0;
		list_row(list, &row);
	}
	store_cursor_close(cursor);
	/* A look that failed before its first row has picked nothing yet. */
	if (step == 0)
		filter->limit = 0;
	return step < 0 ? step : 0;
}

/* The newest event of any kind: 0 in an empty store, or an error. */
static int64_t newest_id(struct store_reader *reader)
{
	const struct event_filter newest = {.limit = 1};
	struct store_cursor *cursor;
	struct store_row row;
	int err = store_events(reader, &newest, &cursor);

	if (err)
		return err;
	int step = store_cursor_next(cursor, &row);
	int64_t id = step == 1 ? row.values[EVENT_COL_event_id].integer : step;
	store_cursor_close(cursor);
	return id;
}

/*
 * What is new since the last round, if anything. The newest id is read first, in an older view of
 * the store than the matching events are: so everything up to it that matches is printed now, and
 * what does not match need not be looked at again.
 */
static int print_new(struct store_reader *reader, struct event_filter *filter, struct list *list)
{
	int64_t newest = newest_id(reader);

	if (newest < 0)
		return (int)newest;
	if (newest <= filter->after_id) {
		filter->limit = 0;
		return 0;
	}
	int64_t before = list->count;
	int err = print_all(reader, filter, list);
	if (err)
		return err;
	if (filter->after_id < newest)
		filter->after_id = newest;
	return list->count > before;
}

static int follow(struct tool *tool, struct store_reader *reader, struct event_filter *filter,
		  struct list *list)
{
	struct follow *wait;
	const char *path;
	int code = tool_store_path(tool, &path);

	if (code)
		return code;
	int err = follow_new(path, STDOUT_FILENO, &wait);
	if (err)
		return tool_fail(tool, TOOL_STORE, "cannot watch %s: %s", path, err_text(err));
	tool->out.interrupt_fd = follow_interrupt_fd(wait);
	enum follow_reason reason = FOLLOW_LOOK;
	while (reason == FOLLOW_LOOK) {
		err = print_new(reader, filter, list);
		if (err < 0 && err != -ERR_STORE_BUSY)
			break;
		list_flush(list);
		if (out_flush(&tool->out))
			break;
		reason = follow_wait(wait, err == 1);
	}
	tool->out.interrupt_fd = -1;
	follow_free(wait);
	if (err < 0 && err != -ERR_STORE_BUSY)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	if (reason == FOLLOW_REPLACED)
		return tool_fail(tool, TOOL_STORE,
				 "%s was removed or replaced; start again to follow the new store",
				 path);
	return TOOL_DONE;
}

static int print_events(struct tool *tool, struct event_filter *filter, enum print_format format,
			bool following)
{
	struct store_reader *reader;
	struct list list;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = list_begin(&list, &tool->out, format, &events_view);
	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	if (following) {
		code = follow(tool, reader, filter, &list);
		list_end(&list);
		return code;
	}
	err = print_all(reader, filter, &list);
	list_end(&list);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	if (list.count)
		return TOOL_DONE;
	tool_note(tool, "no event matches");
	return TOOL_NOTHING;
}

static int check(struct tool *tool, const struct event_filter *filter, enum print_format format,
		 bool following)
{
	if (following && format == PRINT_JSON)
		return tool_usage(tool, "--follow has no end, and so no array; use --format jsonl");
	if (following && filter->received_to_ms)
		return tool_usage(tool, "--follow and --until exclude each other");
	return 0;
}

int cmd_events(struct tool *tool, int argc, char **argv)
{
	struct event_filter filter = {.limit = -1};
	enum print_format format = PRINT_TABLE;
	bool following = false;
	const struct tool_option options[] = {
		{"follow", 'f', NULL, "print what arrives until Ctrl-C; begins with the newest 10",
		 option_flag, &following},
		{"order", 0, "ORDER", "only events of this issOrderNo or orderNo", option_string,
		 &filter.order},
		{"verdict", 0, "VERDICT,...", "only events with one of these verdicts",
		 option_verdicts, &filter.verdicts},
		{"auth", 0, "signed|token", "only events authenticated so", option_auth,
		 &filter.auth},
		OPTION_SINCE(&filter.received_from_ms),
		OPTION_UNTIL(&filter.received_to_ms),
		OPTION_LIMIT(&filter.limit),
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Lists stored events in the order in which they arrived. A duplicate is "
			"no\n"
			"event of its own: it is counted as a delivery of the first one. With -f "
			"it\n"
			"goes on with what arrives, across restarts of the daemon, each event "
			"once;\n"
			"it begins with all that --since or --limit pick, or else with the newest "
			"10.\n",
		.examples = "  orderhook events -f --verdict conflict,illegal   contradictions, as "
			    "they come\n"
			    "  orderhook events --since 2h --format jsonl       for a script\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	code = check(tool, &filter, format, following);
	if (code)
		return code;
	if (filter.limit < 0)
		filter.limit = following && !filter.received_from_ms ? FOLLOW_FIRST : 0;
	return print_events(tool, &filter, format, following);
}
