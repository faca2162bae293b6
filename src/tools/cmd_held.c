/*
 * `orderhook held`: the deliveries that were refused with 400 or 401 and kept, newest first, each
 * with the key of the error that refused it. `held show ID` prints one with what that key means.
 */
#include <string.h>

#include "held_private.h"
#include "orderhook/err.h"

#define RAW_LIMIT_BYTES (64U * 1024 * 1024)

static const char *const held_column_names[HELD_COL_MAX] = {
#define STORE_COLUMN(name) #name,
#include "orderhook/tbl/held_column.def"
#undef STORE_COLUMN
};

static const struct table_column columns[] = {
	{.heading = "held_id", .right = true},
	{.heading = "received (" CHINA_ZONE ")"},
	{.heading = "last received", .optional = true},
	{.heading = "deliveries", .right = true, .optional = true},
	{.heading = "endpoint", .fit = TABLE_CUT},
	{.heading = "reason"},
	{.heading = "ours"},
	{.heading = "remote", .fit = TABLE_CUT, .optional = true},
	{.heading = "bytes", .right = true, .optional = true},
};

static void cells(struct table *table, const struct store_row *row)
{
	const struct store_value *v = row->values;

	cell_value(table, &v[HELD_COL_held_id]);
	cell_time(table, &v[HELD_COL_received]);
	cell_time(table, &v[HELD_COL_last_received]);
	cell_value(table, &v[HELD_COL_deliveries]);
	cell_value(table, &v[HELD_COL_endpoint]);
	cell_value(table, &v[HELD_COL_reason]);
	table_cell(table, STYLE_PLAIN, slice_of(v[HELD_COL_ours].integer ? "yes" : "no"));
	cell_value(table, &v[HELD_COL_remote]);
	cell_value(table, &v[HELD_COL_body_bytes]);
}

static const struct view held_view = {held_column_names, HELD_COL_MAX, columns,
				      sizeof(columns) / sizeof(columns[0]), cells};

static int add_row(void *context, const struct store_row *row)
{
	struct list *list = context;

	list_row(list, row);
	return list->out->error ? 1 : 0;
}

static int print_held(struct tool *tool, const struct held_filter *filter, enum print_format format)
{
	struct store_reader *reader;
	struct list list;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = list_begin(&list, &tool->out, format, &held_view);
	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	err = store_held(reader, filter, add_row, &list);
	list_end(&list);
	if (err < 0)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	if (list.count)
		return TOOL_DONE;
	tool_note(tool, "no refused delivery is held that matches");
	return TOOL_NOTHING;
}

/* The error of a key; 0 when no refusal that is kept has it. */
static int refusal_of_key(const char *key)
{
	for (int err = 1; err < ERR_MAX; err++) {
		int status = err_http_status(err);
		if ((status == 400 || status == 401) && strcmp(err_key(err), key) == 0)
			return err;
	}
	return 0;
}

static int option_reason(struct tool *tool, const struct tool_option *option, const char *value)
{
	const char *names[ERR_MAX + 1];
	size_t n = 0;

	for (int err = 1; err < ERR_MAX; err++) {
		int status = err_http_status(err);
		if (status == 400 || status == 401)
			names[n++] = err_key(err);
	}
	names[n] = NULL;
	if (refusal_of_key(value))
		return option_string(tool, option, value);
	return option_unknown(tool, option, slice_of(value), names);
}

/* ------------------------------------------------------------------ one ---------------- */

struct wanted {
	int64_t held_id;
	struct row_copy copy;
	int err;
	bool found;
};

static int find_row(void *context, const struct store_row *row)
{
	struct wanted *wanted = context;

	if (row->values[HELD_COL_held_id].integer != wanted->held_id)
		return 0;
	wanted->err = row_copy(row, &wanted->copy);
	wanted->found = !wanted->err;
	return 1;
}

static int print_head(struct out *out, const struct store_row *row)
{
	BUF_AUTO struct buf text = BUF_INIT(RAW_LIMIT_BYTES);
	BUF_AUTO struct buf safe = BUF_INIT(RAW_LIMIT_BYTES);
	const struct store_value *v = row->values;
	char reason[64] = "";
	int err = 0;

	(void)slice_copy(v[HELD_COL_reason].text, reason, sizeof(reason));
	int refusal = refusal_of_key(reason);
	for (int i = 0; i < HELD_COL_MAX && !err; i++)
		err = buf_addf(&text, "%-14s %.*s\n", held_column_names[i], SLICE_ARG(v[i].text));
	if (refusal && !err)
		err = buf_addf(&text, "%-14s %d: %s\n", "refused with", err_http_status(refusal),
			       err_text(refusal));
	if (!err)
		err = text_add_safe(&safe, buf_slice(&text), TEXT_KEEP_LINES);
	if (!err)
		out_bytes(out, safe.data, safe.len);
	return err;
}

/* A body that is no JSON or form cannot be masked, and is only shown when that is asked for. */
static int print_body(struct tool *tool, const struct buf *head, const struct buf *body,
		      bool reveal)
{
	BUF_AUTO struct buf masked = BUF_INIT(RAW_LIMIT_BYTES);
	BUF_AUTO struct buf safe = BUF_INIT(2 * RAW_LIMIT_BYTES);
	int err = text_add_safe(&safe, buf_slice(head), TEXT_KEEP_LINES);
	int unmasked = 0;

	if (!err)
		err = buf_add_char(&safe, '\n');
	if (!err && !reveal)
		unmasked = mask_body(&masked, buf_slice(body));
	if (!err && !unmasked)
		err = text_add_safe(&safe, buf_slice(reveal ? body : &masked), TEXT_KEEP_LINES);
	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	out_f(&tool->out, "\n%.*s\n", SLICE_ARG(buf_slice(&safe)));
	if (unmasked)
		tool_note(tool,
			  "the body is left out: %s, so nothing in it can be masked; --reveal "
			  "prints it",
			  err_text(unmasked));
	return TOOL_DONE;
}

static int show_held(struct tool *tool, int64_t held_id, bool reveal)
{
	BUF_AUTO struct buf head = BUF_INIT(RAW_LIMIT_BYTES);
	BUF_AUTO struct buf body = BUF_INIT(RAW_LIMIT_BYTES);
	struct wanted wanted = {.held_id = held_id};
	const struct held_filter all = {.limit = 0};
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_held(reader, &all, find_row, &wanted);
	if (err >= 0)
		err = wanted.err ? wanted.err : store_raw_held(reader, held_id, &body, &head);
	if (!err && !wanted.found)
		err = -ERR_NOT_FOUND;
	if (err == -ERR_NOT_FOUND)
		code = tool_fail(tool, TOOL_NO_SUCH,
				 "no refused delivery has the number %lld, or it was pushed out of "
				 "the ring; 'orderhook held' lists them",
				 (long long)held_id);
	else if (err)
		code = tool_store_failed(tool, err, store_reader_problem(reader));
	if (!code) {
		err = print_head(&tool->out, &wanted.copy.row);
		code = err ? tool_fail(tool, TOOL_STORE, "%s", err_text(err))
			   : print_body(tool, &head, &body, reveal);
	}
	row_copy_release(&wanted.copy);
	return code;
}

static int run(struct tool *tool, int argc, char **argv, const struct held_filter *filter,
	       enum print_format format, bool reveal, bool all)
{
	int64_t held_id;

	if (argc > 1 && strcmp(argv[1], "readmit") == 0) {
		if (all == (argc > 2))
			return tool_usage(tool, "readmit: give numbers, or else --all");
		return held_readmit(tool, argv + 2, (size_t)argc - 2, filter);
	}
	if (all)
		return tool_usage(tool, "--all goes with 'held readmit'");

	if (argc == 1)
		return reveal ? tool_usage(tool, "--reveal goes with 'held show ID'")
			      : print_held(tool, filter, format);
	if (strcmp(argv[1], "show") != 0)
		return tool_usage(tool,
				  "unknown word '%s'; 'show ID' and 'readmit ID...' are allowed",
				  argv[1]);
	if (argc > 3)
		return tool_usage(tool, "unexpected argument '%s'", argv[3]);
	if (argc < 3)
		return tool_usage(tool, "show: which one? 'orderhook held' lists the numbers");
	if (slice_to_i64(slice_of(argv[2]), 1, INT64_MAX, &held_id))
		return tool_usage(tool, "'%s' is not a refused delivery's number", argv[2]);
	return show_held(tool, held_id, reveal);
}

int cmd_held(struct tool *tool, int argc, char **argv)
{
	struct held_filter filter = {.limit = 0};
	enum print_format format = PRINT_TABLE;
	bool reveal = false;
	bool ours = false;
	bool all = false;
	const struct tool_option options[] = {
		{"reason", 0, "REASON", "only those refused for this, as the column reason has it",
		 option_reason, &filter.reason},
		{"endpoint", 0, "NAME", "only those of this endpoint", option_string,
		 &filter.endpoint},
		{"ours", 0, NULL, "only those with a right token, or our clientId and shopId",
		 option_flag, &ours},
		{"reveal", 0, NULL, "show: people's data and hand-over codes too", option_flag,
		 &reveal},
		{"all", 0, NULL, "readmit: all that the other options pick", option_flag, &all},
		OPTION_LIMIT(&filter.limit),
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.max_arguments = -1,
		.text = "Lists the deliveries that were refused with 400 or 401 and kept, newest "
			"first.\n"
			"An identical one that comes again is counted, not repeated. 'held show "
			"ID'\n"
			"prints one with its headers and its masked body. 'held readmit ID...' "
			"feeds\n"
			"them in again, oldest first, after the configuration was mended: every "
			"check,\n"
			"with the time of the original receipt. The daemon does it, when one "
			"runs.\n",
		.examples =
			"  orderhook held --ours --reason sign-wrong   after a secret was changed\n"
			"  orderhook held show 3                       what it was\n"
			"  orderhook held readmit --all --reason sign-wrong   once it is mended\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	filter.ours = ours ? 1 : 0;
	return run(tool, argc, argv, &filter, format, reveal, all);
}
