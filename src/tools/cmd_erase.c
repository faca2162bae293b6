/*
 * `orderhook erase`: takes a person's data out of an order and leaves the skeleton that the chain
 * needs. It is one piece of work that is over in a moment or changes nothing, so a signal waits for
 * its end.
 */
#include <stdio.h>
#include <string.h>

#include "care_private.h"
#include "interrupt_private.h"
#include "orderhook/err.h"
#include "orderhook/store_care.h"

#define REQUEST_BYTES 1024
#define ANSWER_BYTES (64 * 1024)
#define PROBLEM_BYTES 512

static int print_counts(struct tool *tool, enum print_format format,
			const struct store_erased *erased)
{
	const struct care_row rows[] = {
		{"orders", erased->orders},
		{"events", erased->events},
		{"events erased before", erased->events_before},
		{"other events", erased->others},
		{"refused deliveries", erased->held},
	};

	return care_print(tool, format, rows, sizeof(rows) / sizeof(rows[0]));
}

static int no_such(struct tool *tool, const char *order)
{
	return tool_fail(tool, TOOL_NO_SUCH,
			 "no order has the number '%s'; 'orderhook orders' lists them", order);
}

static int report(struct tool *tool, const char *order, enum print_format format, int err,
		  const char *problem, const struct store_erased *erased)
{
	if (err == -ERR_NOT_FOUND)
		return tool_fail(tool, TOOL_NO_SUCH,
				 "no order has the number '%s'; 'orderhook orders' lists them",
				 order);
	if (err == -ERR_EVIDENCE)
		return tool_fail(tool, TOOL_REFUSED,
				 "event %lld is not what was stored, and once it is erased nobody "
				 "can tell; nothing was erased: see 'orderhook verify'",
				 (long long)erased->event_id);
	if (err && err != -ERR_TRACES)
		return tool_store_failed(tool, err, problem);
	int code = print_counts(tool, format, erased);
	if (code)
		return code;
	if (erased->moving)
		tool_note(
			tool,
			"%lld of them can still get callbacks, with the data in them: erase again "
			"when they are in 50 or 60",
			(long long)erased->moving);
	if (err)
		return tool_fail(tool, TOOL_STORE,
				 "the rows are erased, and their bytes are not gone yet: %s; once "
				 "that has ended, erase again",
				 problem);
	tool_note(tool, "backups made before still have the data: 'orderhook --db BACKUP erase'");
	return TOOL_DONE;
}

/* ------------------------------------------------------------------ by whom ------------ */

struct erasure {
	int err; /* of the store's erase */
	struct store_erased counts;
	char problem[PROBLEM_BYTES];
};

static bool read_answer(const struct json_object *answer, struct erasure *ret)
{
	const struct json_member *outcome = json_find(answer, "outcome");
	const struct json_member *text = json_find(answer, "text");
	size_t len = 0;

	if (!outcome || outcome->type != JSON_STRING)
		return false;
	*ret = (struct erasure){.counts = {.orders = care_number(answer, "orders"),
					   .events = care_number(answer, "events"),
					   .events_before = care_number(answer, "events_before"),
					   .others = care_number(answer, "others"),
					   .held = care_number(answer, "held"),
					   .moving = care_number(answer, "moving"),
					   .event_id = care_number(answer, "event_id")}};
	if (text && text->type == JSON_STRING &&
	    json_string_decode(text->value, ret->problem, sizeof(ret->problem) - 1, &len) == 0)
		ret->problem[len] = '\0';
	if (slice_equal_string(outcome->value, "erased"))
		return true;
	ret->err = err_of_key(outcome->value);
	return ret->err == -ERR_NOT_FOUND || ret->err == -ERR_EVIDENCE || ret->err == -ERR_TRACES;
}

static int ask(struct tool *tool, const char *order, struct erasure *ret)
{
	BUF_AUTO struct buf request = BUF_INIT(REQUEST_BYTES);
	BUF_AUTO struct buf answer = BUF_INIT(ANSWER_BYTES);
	struct json_object members;

	if (buf_add_string(&request, "{\"order\":") || json_add_string(&request, slice_of(order)) ||
	    buf_add_char(&request, '}'))
		return tool_fail(tool, TOOL_STORE, "%s", err_text(ERR_NOMEM));
	int code = care_ask(tool, "erase", buf_slice(&request), &answer, &members);
	if (!code && !read_answer(&members, ret))
		return tool_fail(tool, TOOL_STORE, "the daemon's answer is not understood");
	return code;
}

static int erase_here(struct tool *tool, const char *order, struct erasure *ret)
{
	struct interrupt interrupt;
	struct store *store;
	int code = care_open(tool, &store);

	if (code)
		return code;
	ret->err = interrupt_begin(&interrupt);
	if (!ret->err) {
		ret->err = store->ops->erase(store, order, &ret->counts);
		interrupt_end(&interrupt);
	}
	snprintf(ret->problem, sizeof(ret->problem), "%s", store_problem(store));
	store_close(store);
	return 0;
}

static int run(struct tool *tool, const char *order, enum print_format format)
{
	struct erasure erasure = {.err = 0};
	int code = ask(tool, order, &erasure);

	if (code == DAEMON_NONE)
		code = erase_here(tool, order, &erasure);
	return code ? code
		    : report(tool, order, format, erasure.err, erasure.problem, &erasure.counts);
}

int cmd_erase(struct tool *tool, int argc, char **argv)
{
	enum print_format format = PRINT_TABLE;
	const struct tool_option options[] = {
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.min_arguments = 1,
		.max_arguments = 1,
		.text = "Removes what is personal in an order, by issOrderNo or, for every "
			"dispatch of\n"
			"it, by orderNo: bodies, headers, addresses, notes, couriers, orderNo and "
			"shopId;\n"
			"and what names it among events of another kind and refused deliveries. It "
			"is\n"
			"gone from the database, its log and its free space. There is no way "
			"back.\n"
			"The skeleton stays (issOrderNo, times, statuses, verdicts, hashes), so "
			"that\n"
			"'orderhook verify' passes and says how many events were erased. A backup "
			"made\n"
			"before still has the data: erase with --db BACKUP, too. Callbacks wait "
			"while the\n"
			"database is read through: about a second for a gigabyte.\n",
		.examples =
			"  orderhook erase TDH2025053050205843      one dispatch\n"
			"  orderhook erase cp451412923563114496     every dispatch of an order\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	/* Nor does a request have room for more. */
	if (!argv[1][0] || strlen(argv[1]) > EVENT_ID_BYTES_MAX)
		return no_such(tool, argv[1]);
	return run(tool, argv[1], format);
}
