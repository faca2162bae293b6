/*
 * `orderhook rejudge`: would the machine of this program have judged the stored history otherwise?
 * For the day after an upgrade, and before its states are trusted. It reads and changes nothing,
 * unless it is told to apply: then the orders that it has named are judged once more by the writer
 * and written, so that what arrived meanwhile is in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "care_private.h"
#include "orderhook/clock.h"
#include "orderhook/control.h"
#include "orderhook/err.h"
#include "orderhook/id_list.h"
#include "orderhook/rejudge.h"

#define REQUEST_BYTES ((size_t)4 * 1024 * 1024)

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

static void add_number(struct list *list, const struct store_history *history, const char *what,
		       int64_t stored, int64_t judged)
{
	char numbers[2][24];

	if (stored == judged)
		return;
	snprintf(numbers[0], sizeof(numbers[0]), "%" PRId64, stored);
	snprintf(numbers[1], sizeof(numbers[1]), "%" PRId64, judged);
	add(list, history, 0, what, numbers[0], numbers[1]);
}

static void add_time(struct list *list, const struct store_history *history, const char *what,
		     int64_t stored_ms, int64_t judged_ms)
{
	char times[2][CLOCK_RFC3339_BYTES];

	if (stored_ms == judged_ms)
		return;
	clock_format_rfc3339(stored_ms, times[0]);
	clock_format_rfc3339(judged_ms, times[1]);
	add(list, history, 0, what, times[0], times[1]);
}

static void add_counts(struct list *list, const struct store_history *history)
{
	const struct store_counts *stored = &history->counts;
	struct store_counts counts;

	store_history_count(history, &counts);
	add_number(list, history, "events", stored->events, counts.events);
	add_number(list, history, "quarantined", stored->quarantined, counts.quarantined);
	add_time(list, history, "first_received", stored->first_received_ms,
		 counts.first_received_ms);
	add_time(list, history, "last_received", stored->last_received_ms, counts.last_received_ms);
	add_time(list, history, "last_occurred", stored->last_occurred_ms, counts.last_occurred_ms);
}

/* True when the order's row is not what its events make of it. */
static bool compare(struct list *list, const struct store_history *history,
		    const struct rejudged *rejudged)
{
	int64_t before;

	for (size_t i = 0; i < history->n; i++) {
		const struct order_event *event = &history->arrivals[i].event;
		if (event->verdict != rejudged->verdicts[i])
			add(list, history, event->id, "verdict", verdict_key(event->verdict),
			    verdict_key(rejudged->verdicts[i]));
	}
	before = list->count;
	if (rejudge_state_differs(&history->state, &rejudged->state))
		add_state(list, history, &rejudged->state);
	add_counts(list, history);
	return list->count > before;
}

/* What was looked at, and the orders to write. */
struct findings {
	int64_t orders;
	int64_t events;
	int64_t erased; /* orders that were passed over */
	struct id_list wrong;
};

static int compare_all(struct store_reader *reader, struct list *list, struct findings *findings)
{
	struct store_history history = {0};
	struct rejudged rejudged = {0};
	int err = 0;
	int step = 0;

	while (!err && !list->out->error && (step = store_next_history(reader, &history)) == 1) {
		findings->erased += history.erased;
		if (history.erased)
			continue;
		err = rejudge_order(order_machine_v5(), &history, &rejudged);
		if (!err && compare(list, &history, &rejudged))
			err = id_list_add(&findings->wrong, history.order_id);
		findings->orders++;
		findings->events += (int64_t)history.n;
	}
	store_history_release(&history);
	rejudged_release(&rejudged);
	return err ? err : step < 0 ? step : 0;
}

/* ------------------------------------------------------------------ apply -------------- */

static int ask(struct tool *tool, const struct findings *findings, int64_t *ret_orders)
{
	BUF_AUTO struct buf request = BUF_INIT(REQUEST_BYTES);
	BUF_AUTO struct buf answer = BUF_INIT(CONTROL_ANSWER_BYTES_MAX);
	struct json_object members;
	int err = buf_add_string(&request, "{\"orders\":\"");

	for (size_t i = 0; i < findings->wrong.n && !err; i++)
		err = buf_addf(&request, "%s%" PRId64, i ? " " : "", findings->wrong.ids[i]);
	if (!err)
		err = buf_add_string(&request, "\"}");
	if (err)
		return tool_fail(tool, TOOL_REFUSED,
				 "%zu orders are too many to ask the daemon for; stop it, then try "
				 "again",
				 findings->wrong.n);
	int code = care_ask(tool, "apply", buf_slice(&request), &answer, &members);
	if (!code)
		*ret_orders = care_number(&members, "orders");
	return code;
}

static int apply_here(struct tool *tool, const struct findings *findings, int64_t *ret_orders)
{
	struct store *store;
	int code = care_open(tool, &store);

	if (code)
		return code;
	int err = rejudge_apply(store, findings->wrong.ids, findings->wrong.n, ret_orders);
	if (err)
		code = tool_store_failed(tool, err, store_problem(store));
	store_close(store);
	return code;
}

static int apply(struct tool *tool, const struct findings *findings)
{
	int64_t orders = 0;
	int code = ask(tool, findings, &orders);

	if (code == DAEMON_NONE)
		code = apply_here(tool, findings, &orders);
	if (!code)
		tool_note(tool, "%lld orders written; the events' verdicts stay as they were",
			  (long long)orders);
	return code;
}

static int judge_again(struct tool *tool, enum print_format format, bool applying,
		       struct findings *findings)
{
	struct store_reader *reader;
	struct list list;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = list_begin(&list, &tool->out, format, &view);
	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	err = compare_all(reader, &list, findings);
	list_end(&list);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	tool_note(tool, "%lld events of %lld orders judged again, %lld differences",
		  (long long)findings->events, (long long)findings->orders, (long long)list.count);
	if (findings->erased)
		tool_note(tool, "%lld orders have an erased event and cannot be judged again",
			  (long long)findings->erased);
	if (applying && !list.out->error)
		return apply(tool, findings);
	return list.count ? TOOL_NOTHING : TOOL_DONE;
}

static int run(struct tool *tool, enum print_format format, bool applying)
{
	struct findings findings = {0};
	int code = judge_again(tool, format, applying, &findings);

	id_list_release(&findings.wrong);
	return code;
}

int cmd_rejudge(struct tool *tool, int argc, char **argv)
{
	enum print_format format = PRINT_TABLE;
	bool applying = false;
	const struct tool_option options[] = {
		OPTION_FORMAT(&format),
		{"apply", 0, NULL, "write the states and counts that come out", option_flag,
		 &applying},
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Judges all stored events again, in the order of their arrival, with the "
			"state\n"
			"machine of this program, and prints every verdict, state and count that "
			"would\n"
			"differ. Exits 1 when there is a difference: after an upgrade that changes "
			"the\n"
			"machine, or in a store that was changed by other hands. It changes "
			"nothing,\n"
			"unless --apply is given: then the orders' states and counts are written, "
			"all in\n"
			"one transaction, and it exits 0. Events are never changed: a verdict "
			"tells how\n"
			"its event looked when it came. Orders with an erased event are passed "
			"over.\n",
		.examples =
			"  orderhook rejudge                                 after an upgrade\n"
			"  orderhook rejudge --format csv > differences.csv  for a closer look\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	return code >= 0 ? code : run(tool, format, applying);
}
