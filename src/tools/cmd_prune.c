/*
 * `orderhook prune`: removes old orders, by the configured retention or an age that is given. The
 * timer of the package runs it without arguments; where nothing is to be removed it says so and is
 * done. A signal ends it between two steps, with what was removed told.
 */
#include <inttypes.h>

#include "care_private.h"
#include "interrupt_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/retention.h"

#define EXIT_SIGNAL 128
#define REQUEST_BYTES (32 * 1024)
#define ANSWER_BYTES (64 * 1024)
#define RETRIES_MS (60 * 60 * 1000LL) /* the platform gives up long before */

struct given {
	int64_t age_ms; /* 0: the configuration's retention */
	bool attention_too;
	bool dry_run;
	enum print_format format;
};

static int print_counts(struct tool *tool, const struct given *given,
			const struct store_pruned *counts)
{
	const struct care_row rows[] = {
		{"orders", counts->orders},
		{"events", counts->events},
		{"other events", counts->others},
		{"refused deliveries", counts->held},
		{"bytes", counts->bytes},
		{"kept: quarantined", counts->kept_quarantined},
		{"kept: overdue", counts->kept_overdue},
		{"kept: newest event", counts->kept_newest},
	};
	int code = care_print(tool, given->format, rows, sizeof(rows) / sizeof(rows[0]));

	if (code)
		return code;
	tool_note(tool, "%lld orders of %lld events %s", (long long)counts->orders,
		  (long long)counts->events, given->dry_run ? "would be removed" : "removed");
	if (counts->kept_quarantined || counts->kept_overdue)
		tool_note(tool,
			  "%lld orders that are old enough stay, because 'orderhook attention' "
			  "names them; --attention-too removes them as well",
			  (long long)(counts->kept_quarantined + counts->kept_overdue));
	return TOOL_DONE;
}

static int plan(struct tool *tool, const struct given *given, const struct store_prune *options)
{
	struct store_pruned counts;
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_prune_plan(reader, options, &counts);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	return print_counts(tool, given, &counts);
}

/* ------------------------------------------------------------------ by whom ------------ */

/* A prune that is under way: by the daemon, or by us once it turned out that none runs. */
struct pruning {
	struct tool *tool;
	const struct store_prune *options;
	struct store *store; /* owned; NULL: the daemon */
	struct store_prune_place place;
	struct store_pruned counts;
};

static int add_request(const struct pruning *pruning, struct buf *request)
{
	const struct store_prune *options = pruning->options;
	const char *separator = "";
	int err = buf_addf(request,
			   "{\"before_ms\":%" PRId64 ",\"attention_too\":%s,\"part\":%d,"
			   "\"after_id\":%" PRId64 ",\"overdue\":\"",
			   options->before_ms, options->attention_too ? "true" : "false",
			   pruning->place.part, pruning->place.after_id);

	for (int status = 0; status <= EVENT_STATUS_MAX && !err; status++) {
		if (!options->overdue_before_ms[status])
			continue;
		err = buf_addf(request, "%s%d %" PRId64, separator, status,
			       options->overdue_before_ms[status]);
		separator = " ";
	}
	return err ? err : buf_add_string(request, "\"}");
}

static void add_answer(struct pruning *pruning, const struct json_object *answer)
{
	struct store_pruned *counts = &pruning->counts;

	counts->orders += care_number(answer, "orders");
	counts->events += care_number(answer, "events");
	counts->others += care_number(answer, "others");
	counts->held += care_number(answer, "held");
	counts->bytes += care_number(answer, "bytes");
	counts->kept_quarantined += care_number(answer, "kept_quarantined");
	counts->kept_overdue += care_number(answer, "kept_overdue");
	counts->kept_newest += care_number(answer, "kept_newest");
	pruning->place.part = (int)care_number(answer, "part");
	pruning->place.after_id = care_number(answer, "after_id");
}

/* A part of it. 0, DAEMON_NONE, or the exit code after a message. */
static int ask(struct pruning *pruning)
{
	BUF_AUTO struct buf request = BUF_INIT(REQUEST_BYTES);
	BUF_AUTO struct buf answer = BUF_INIT(ANSWER_BYTES);
	struct json_object members;

	if (add_request(pruning, &request))
		return tool_fail(pruning->tool, TOOL_STORE, "%s", err_text(ERR_NOMEM));
	int code = care_ask(pruning->tool, "prune", buf_slice(&request), &answer, &members);
	if (!code)
		add_answer(pruning, &members);
	return code;
}

static int advance(struct pruning *pruning)
{
	int code = pruning->store ? 0 : ask(pruning);

	if (!pruning->store && code != DAEMON_NONE)
		return code;
	code = pruning->store ? 0 : care_open(pruning->tool, &pruning->store);
	if (code)
		return code;
	int more = pruning->store->ops->prune(pruning->store, pruning->options, &pruning->place,
					      &pruning->counts);
	return more < 0 ? tool_store_failed(pruning->tool, more, store_problem(pruning->store)) : 0;
}

static int prune(struct tool *tool, const struct given *given, const struct store_prune *options)
{
	struct pruning pruning = {.tool = tool, .options = options};
	struct interrupt interrupt;
	int signal = 0;
	int code = 0;

	if (interrupt_begin(&interrupt))
		return tool_fail(tool, TOOL_STORE, "%s", err_text(ERR_SYSTEM));
	while (!code && !signal && pruning.place.part < STORE_PRUNE_PARTS) {
		code = advance(&pruning);
		signal = interrupt_take(&interrupt);
	}
	interrupt_end(&interrupt);
	store_close(pruning.store);
	/* What was removed before a failure is gone, so it is told. */
	if (!code || pruning.counts.orders) {
		int printed = print_counts(tool, given, &pruning.counts);
		code = code ? code : printed;
	}
	if (!code && signal && pruning.place.part < STORE_PRUNE_PARTS)
		return tool_fail(tool, EXIT_SIGNAL + signal,
				 "stopped; the next prune goes on from here");
	return code;
}

static int run(struct tool *tool, const struct given *given)
{
	struct store_prune options;

	retention_prune(tool->config, clock_wall_ms(tool->clock), given->age_ms,
			given->attention_too, &options);
	if (given->age_ms < RETRIES_MS)
		tool_note(tool, "a callback that the platform sends again after its order was "
				"removed comes in as a new order; it does so for some minutes");
	return given->dry_run ? plan(tool, given, &options) : prune(tool, given, &options);
}

/* 0 when there is something to do. */
static int find_age(struct tool *tool, struct given *given)
{
	const struct config *config;
	int code;

	if (tool->db && !tool->config_file) {
		if (given->age_ms)
			return 0;
		return tool_usage(tool, "with --db and no configuration the age is missing: "
					"--older-than 90d");
	}
	code = tool_config(tool, &config);
	if (code || given->age_ms)
		return code;
	given->age_ms = config->store.retention_ms;
	return 0;
}

int cmd_prune(struct tool *tool, int argc, char **argv)
{
	struct given given = {.age_ms = 0};
	const struct tool_option options[] = {
		{"older-than", 0, "AGE", "instead of [store] retention: 90d", option_duration,
		 &given.age_ms},
		{"attention-too", 0, NULL, "also what 'orderhook attention' names", option_flag,
		 &given.attention_too},
		{"dry-run", 0, NULL, "only count; removes nothing", option_flag, &given.dry_run},
		OPTION_FORMAT(&given.format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Removes orders whose last callback came longer ago than [store] "
			"retention says,\n"
			"each with all its events or not at all, and events of another kind and "
			"refused\n"
			"deliveries of that age. What 'orderhook attention' names (quarantined, "
			"overdue)\n"
			"stays, and so does the newest event of all. Done in small steps, so "
			"callbacks\n"
			"are taken meanwhile; 'orderhook verify' passes afterwards. The file keeps "
			"its\n"
			"size: the room in it is used again. With retention 0 it says so and does\n"
			"nothing.\n",
		.examples =
			"  orderhook prune --older-than 90d --dry-run   how much that would be\n"
			"  orderhook prune                              what the timer runs\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	code = find_age(tool, &given);
	if (code)
		return code;
	if (given.age_ms == 0) {
		tool_note(tool, "retention is 0 in [store]: everything is kept; --older-than 90d "
				"removes what is older");
		return TOOL_DONE;
	}
	return run(tool, &given);
}
