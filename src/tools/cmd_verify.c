/*
 * `orderhook verify`: whether the store is what was written. A row for each finding, then a line on
 * stderr that says what was looked at, so that silence is never taken for a look.
 */
#include <stdio.h>

#include "orderhook/err.h"
#include "orderhook/store_verify.h"
#include "tool_private.h"

enum finding_cell {
	CELL_FINDING = 0,
	CELL_EVENT_ID,
	CELL_LAST_EVENT_ID,
	CELL_ENDPOINT,
	CELL_ISS_ORDER_NO,
	CELL_DETAIL,
	CELL_MAX
};

static const char *const names[CELL_MAX] = {"finding",  "event_id",     "last_event_id",
					    "endpoint", "iss_order_no", "detail"};

static const struct table_column columns[] = {
	{.heading = "finding"},
	{.heading = "event_id", .right = true},
	{.heading = "last_event_id", .right = true},
	{.heading = "endpoint", .optional = true},
	{.heading = "iss_order_no"},
	{.heading = "detail", .fit = TABLE_CUT_LATE},
};

static void cells(struct table *table, const struct store_row *row)
{
	for (size_t i = 0; i < CELL_MAX; i++)
		cell_value(table, &row->values[i]);
}

static const struct view view = {names, CELL_MAX, columns, CELL_MAX, cells};

static struct store_value text_or_null(const char *text)
{
	if (!text[0])
		return (struct store_value){.type = STORE_NULL};
	return (struct store_value){.type = STORE_TEXT, .text = slice_of(text)};
}

#define NUMBER_BYTES 24

static struct store_value number_or_null(int64_t number, char text[NUMBER_BYTES])
{
	if (!number)
		return (struct store_value){.type = STORE_NULL};
	snprintf(text, NUMBER_BYTES, "%lld", (long long)number);
	return (struct store_value){STORE_INTEGER, number, slice_of(text)};
}

static void print_finding(const struct store_finding *finding, void *context)
{
	char first[NUMBER_BYTES];
	char last[NUMBER_BYTES];
	const char *detail = finding->detail[0] ? finding->detail : finding_text(finding->finding);
	const struct store_row row = {
		.values = {text_or_null(finding_key(finding->finding)),
			   number_or_null(finding->event_id, first),
			   number_or_null(finding->last_event_id, last),
			   text_or_null(finding->endpoint), text_or_null(finding->order),
			   text_or_null(detail)},
		.n = CELL_MAX,
	};

	list_row(context, &row);
}

static void note_head(struct tool *tool, const struct store_verify_totals *totals)
{
	static const char *const missing[STORE_HEAD_STATE_MAX] = {
		[STORE_HEAD_MISSING] = "there is none",
		[STORE_HEAD_DAMAGED] = "it is damaged",
		[STORE_HEAD_FOREIGN] = "it is another store's",
		[STORE_HEAD_UNREADABLE] = "it cannot be read",
	};

	if (totals->head != STORE_HEAD_COMPARED)
		tool_note(tool,
			  "not compared with the head outside the database: %s; a loss of the "
			  "newest events would not be seen (orderhookd makes it at its next start)",
			  missing[totals->head]);
	else if (totals->head_since)
		tool_note(tool,
			  "the head outside the database was made anew at event %lld, when the "
			  "store came without one: a loss before that would not be seen",
			  (long long)totals->head_since);
}

static void note_totals(struct tool *tool, const struct store_verify_totals *totals)
{
	if (totals->erased)
		tool_note(tool,
			  "%lld events were erased and %lld orders have one: their bodies and "
			  "states cannot be compared",
			  (long long)totals->erased, (long long)totals->orders_erased);
	if (totals->pruned)
		tool_note(tool, "%lld events were pruned", (long long)totals->pruned);
	note_head(tool, totals);
	tool_note(tool, "%lld events, %lld orders: %lld findings", (long long)totals->events,
		  (long long)totals->orders, (long long)totals->findings);
}

static int run(struct tool *tool, bool quick, enum print_format format)
{
	struct store_verify_totals totals;
	struct store_reader *reader;
	struct list list;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = list_begin(&list, &tool->out, format, &view);
	if (err)
		return tool_store_failed(tool, err, NULL);
	const struct store_verify options = {.quick = quick,
					     .machine = order_machine_v5(),
					     .found = print_finding,
					     .context = &list};
	err = store_verify(reader, &options, &totals);
	list_end(&list);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	note_totals(tool, &totals);
	return totals.findings ? TOOL_NOTHING : TOOL_DONE;
}

int cmd_verify(struct tool *tool, int argc, char **argv)
{
	enum print_format format = PRINT_TABLE;
	bool quick = false;
	const struct tool_option options[] = {
		OPTION_FORMAT(&format),
		{"quick", 0, NULL, "do not compare SQLite's indexes with their tables", option_flag,
		 &quick},
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Looks through the whole store, beside a running daemon or without one: "
			"SQLite's\n"
			"own check, the chain of hashes over all events and the newest event that\n"
			"PATH.head names, and every order's state against the fold of its events.\n"
			"A row for each finding; exit 1 when there is one.\n",
		.examples = "  orderhook verify\n"
			    "  orderhook --db backup.db verify --format jsonl\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	return code >= 0 ? code : run(tool, quick, format);
}
