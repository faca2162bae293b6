/*
 * `orderhook rejudge`: would the machine of this program have judged the stored history otherwise?
 * For the day after an upgrade, and before its states are trusted. It reads and changes nothing.
 */
#include <stdio.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/rejudge.h"
#include "tool_private.h"

enum diff_column {
	DIFF_ISS_ORDER_NO = 0,
	DIFF_EVENT_ID, /* NULL: the order itself */
	DIFF_WHAT,
	DIFF_STORED,
	DIFF_JUDGED,
	DIFF_MAX
};

static const char *const names[DIFF_MAX] = {"iss_order_no", "event_id", "what", "stored", "judged"};

static const struct table_column columns[] = {
	{.heading = "iss_order_no", .fit = TABLE_CUT_LATE},
	{.heading = "event_id", .right = true},
	{.heading = "what"},
	{.heading = "stored", .fit = TABLE_CUT},
	{.heading = "judged", .fit = TABLE_CUT},
};

static void cells(struct table *table, const struct store_row *row)
{
	for (int i = 0; i < DIFF_MAX; i++)
		cell_value(table, &row->values[i]);
}

static const struct view view = {names, DIFF_MAX, columns, sizeof(columns) / sizeof(columns[0]),
				 cells};

static void add(struct list *list, const struct store_history *history, int64_t event_id,
		const char *what, const char *stored, const char *judged)
{
	char number[24];
	struct store_row row = {.n = DIFF_MAX};
	const char *texts[DIFF_MAX] = {history->iss_order_no, NULL, what, stored, judged};

	for (int i = 0; i < DIFF_MAX; i++)
		row.values[i] = (struct store_value){.type = texts[i] ? STORE_TEXT : STORE_NULL,
						     .text = slice_of(texts[i])};
	if (event_id) {
		snprintf(number, sizeof(number), "%lld", (long long)event_id);
		row.values[DIFF_EVENT_ID] = (struct store_value){
			.type = STORE_INTEGER, .integer = event_id, .text = slice_of(number)};
	}
	list_row(list, &row);
}

static void add_state(struct list *list, const struct store_history *history,
		      const struct order_state *judged)
{
	const struct order_state *states[] = {&history->state, judged};
	char status[2][STATUS_CODE_BYTES];
	char since[2][CLOCK_RFC3339_BYTES];
	char reassignments[2][16];

	for (int i = 0; i < 2; i++) {
		status_code(states[i]->status, states[i]->sub_status, status[i]);
		if (!states[i]->status)
			snprintf(status[i], sizeof(status[i]), "none");
		clock_format_rfc3339(states[i]->since_ms, since[i]);
		snprintf(reassignments[i], sizeof(reassignments[i]), "%d",
			 states[i]->reassignments);
	}
	if (history->state.status != judged->status ||
	    history->state.sub_status != judged->sub_status)
		add(list, history, 0, "state", status[0], status[1]);
	if (history->state.since_ms != judged->since_ms)
		add(list, history, 0, "since", since[0], since[1]);
	if (history->state.reassignments != judged->reassignments)
		add(list, history, 0, "reassignments", reassignments[0], reassignments[1]);
	if (!slice_equal_string(slice_of(history->state.courier_id), judged->courier_id))
		add(list, history, 0, "courier_id", history->state.courier_id, judged->courier_id);
}

static void compare(struct list *list, const struct store_history *history,
		    const struct rejudged *rejudged)
{
	for (size_t i = 0; i < history->n; i++) {
		const struct order_event *event = &history->arrivals[i].event;
		if (event->verdict != rejudged->verdicts[i])
			add(list, history, event->id, "verdict", verdict_key(event->verdict),
			    verdict_key(rejudged->verdicts[i]));
	}
	if (rejudge_state_differs(&history->state, &rejudged->state))
		add_state(list, history, &rejudged->state);
}

static int compare_all(struct store_reader *reader, struct list *list, int64_t *ret_orders,
		       int64_t *ret_events)
{
	struct store_history history = {0};
	struct rejudged rejudged = {0};
	int err = 0;
	int step = 0;

	while (!err && !list->out->error && (step = store_next_history(reader, &history)) == 1) {
		err = rejudge_order(order_machine_v5(), &history, &rejudged);
		if (!err)
			compare(list, &history, &rejudged);
		++*ret_orders;
		*ret_events += (int64_t)history.n;
	}
	store_history_release(&history);
	rejudged_release(&rejudged);
	return err ? err : step < 0 ? step : 0;
}

static int run(struct tool *tool, enum print_format format)
{
	struct store_reader *reader;
	struct list list;
	int64_t orders = 0;
	int64_t events = 0;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = list_begin(&list, &tool->out, format, &view);
	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	err = compare_all(reader, &list, &orders, &events);
	list_end(&list);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	tool_note(tool, "%lld events of %lld orders judged again, %lld differences",
		  (long long)events, (long long)orders, (long long)list.count);
	return list.count ? TOOL_NOTHING : TOOL_DONE;
}

int cmd_rejudge(struct tool *tool, int argc, char **argv)
{
	enum print_format format = PRINT_TABLE;
	const struct tool_option options[] = {
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Judges all stored events again, in the order of their arrival, with the "
			"state\n"
			"machine of this program, and prints every verdict and every state that "
			"would\n"
			"differ. It changes nothing. Exits 1 when there is a difference: after an "
			"upgrade\n"
			"that changes the machine, or in a store that was changed by other "
			"hands.\n",
		.examples =
			"  orderhook rejudge                                 after an upgrade\n"
			"  orderhook rejudge --format csv > differences.csv  for a closer look\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	return code >= 0 ? code : run(tool, format);
}
