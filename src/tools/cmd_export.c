/*
 * `orderhook export`: the log with the bodies in it, for a spreadsheet, a warehouse or another
 * store. One event is in memory at a time, whatever the size of the store.
 *
 * A body is text where it is UTF-8 and base64 where it is not, in a member of its own, so that the
 * reader never has to guess and the bytes come back exactly.
 */
#include "orderhook/err.h"
#include "orderhook/json_scan.h"
#include "tool_private.h"

#define BODY_LIMIT_BYTES (64U * 1024 * 1024)

enum {
	EXPORT_BODY = EVENT_COL_MAX,
	EXPORT_BODY_BASE64,
	EXPORT_MAX
};

_Static_assert(EXPORT_MAX <= STORE_COLUMNS_MAX, "a row has room for the body");

static const char *const names[EXPORT_MAX] = {
#define STORE_COLUMN(name) #name,
#include "orderhook/tbl/event_column.def"
#undef STORE_COLUMN
	"body", "body_base64"};

struct export
{
	struct tool *tool;
	struct store_reader *reader;
	struct event_filter filter;
	enum print_format format;
	bool reveal;
	struct rows rows;
	int64_t unmasked; /* events whose body could not be masked and was left out */
};

static int add_base64(struct buf *out, struct slice bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	int err = 0;

	for (size_t i = 0; i < bytes.len && !err; i += 3) {
		size_t left = bytes.len - i;
		uint32_t bits = (uint32_t)(unsigned char)bytes.at[i] << 16;
		if (left > 1)
			bits |= (uint32_t)(unsigned char)bytes.at[i + 1] << 8;
		if (left > 2)
			bits |= (uint32_t)(unsigned char)bytes.at[i + 2];
		const char four[] = {digits[bits >> 18], digits[bits >> 12 & 63],
				     left > 1 ? digits[bits >> 6 & 63] : '=',
				     left > 2 ? digits[bits & 63] : '='};
		err = buf_add(out, four, sizeof(four));
	}
	return err;
}

static int add_row(struct export *export, const struct store_row *event, struct slice body)
{
	BUF_AUTO struct buf base64 = BUF_INIT(BODY_LIMIT_BYTES * 2);
	struct store_row row = *event;
	int err = 0;

	row.n = EXPORT_MAX;
	row.values[EXPORT_BODY] = (struct store_value){.type = STORE_NULL};
	row.values[EXPORT_BODY_BASE64] = (struct store_value){.type = STORE_NULL};
	if (body.at && json_valid_utf8(body)) {
		row.values[EXPORT_BODY] = (struct store_value){.type = STORE_TEXT, .text = body};
	} else if (body.at) {
		err = add_base64(&base64, body);
		row.values[EXPORT_BODY_BASE64] =
			(struct store_value){.type = STORE_TEXT, .text = buf_slice(&base64)};
	}
	if (!err)
		rows_add(&export->rows, &row);
	return err;
}

static int add_event(struct export *export, const struct store_row *event)
{
	BUF_AUTO struct buf raw = BUF_INIT(BODY_LIMIT_BYTES);
	BUF_AUTO struct buf masked = BUF_INIT(BODY_LIMIT_BYTES);
	int64_t event_id = event->values[EVENT_COL_event_id].integer;
	int err = store_raw(export->reader, event_id, &raw, NULL);

	/* Gone meanwhile: it is no longer in the store. */
	if (err == -ERR_NOT_FOUND)
		return 0;
	/* Its notes say that it was erased. */
	if (err == -ERR_ERASED)
		return add_row(export, event, slice_of(NULL));
	if (err)
		return err;
	if (export->reveal)
		return add_row(export, event, raw.len ? buf_slice(&raw) : SLICE(""));
	err = mask_body(&masked, buf_slice(&raw));
	if (err == -ERR_NOMEM)
		return err;
	export->unmasked += err ? 1 : 0;
	return add_row(export, event, err ? slice_of(NULL) : buf_slice(&masked));
}

static int add_all(struct export *export)
{
	struct store_cursor *cursor;
	struct store_row event;
	int step;
	int err = store_events(export->reader, &export->filter, &cursor);

	if (err)
		return err;
	export->rows = (struct rows){&export->tool->out, export->format, names, EXPORT_MAX, 0};
	rows_begin(&export->rows);
	while (!err && !export->tool->out.error && (step = store_cursor_next(cursor, &event)) != 0)
		err = step < 0 ? step : add_event(export, &event);
	rows_end(&export->rows);
	store_cursor_close(cursor);
	return err;
}

static int run(struct export *export)
{
	struct tool *tool = export->tool;
	int code = tool_reader(tool, &export->reader);

	if (code)
		return code;
	int err = add_all(export);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(export->reader));
	if (export->unmasked)
		tool_note(tool,
			  "%lld bodies are left out, because nothing in them can be masked; "
			  "--reveal exports them",
			  (long long)export->unmasked);
	if (export->rows.count)
		return TOOL_DONE;
	tool_note(tool, "no event matches");
	return TOOL_NOTHING;
}

int cmd_export(struct tool *tool, int argc, char **argv)
{
	struct export export = {.tool = tool, .format = PRINT_JSONL};
	const struct tool_option options[] = {
		{"order", 0, "ORDER", "only events of this issOrderNo or orderNo", option_string,
		 &export.filter.order},
		{"verdict", 0, "VERDICT,...", "only events with one of these verdicts",
		 option_verdicts, &export.filter.verdicts},
		{"auth", 0, "signed|token", "only events authenticated so", option_auth,
		 &export.filter.auth},
		OPTION_SINCE(&export.filter.received_from_ms),
		OPTION_UNTIL(&export.filter.received_to_ms),
		OPTION_LIMIT(&export.filter.limit),
		{"format", 0, "jsonl|json|csv", "how to print; jsonl if not given", option_format,
		 &export.format},
		{"reveal", 0, NULL, "exact bodies, with names, phones and hand-over codes",
		 option_flag, &export.reveal},
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Prints stored events in the order in which they arrived, with the columns "
			"of\n"
			"order_log and their bodies: `body` where it is UTF-8, else "
			"`body_base64`; the\n"
			"other one is null. Names, phones, positions and hand-over codes are "
			"masked;\n"
			"with --reveal the bodies are the exact bytes. Memory does not grow with "
			"the store.\n"
			"Callbacks of another callbackEvent are not orders' events: the view "
			"other_event\n"
			"has them.\n",
		.examples = "  orderhook export --since today > today.jsonl                what "
			    "came today\n"
			    "  orderhook export --reveal --format csv | gzip > all.csv.gz  "
			    "everything\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	return run(&export);
}
