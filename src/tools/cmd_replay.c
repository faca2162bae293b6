/*
 * `orderhook replay`: does my receiver handle what really came? Stored callbacks go out again in
 * the order of arrival. What is sent is printed when it goes out, so a dry run, which does all but
 * the sending, prints the same lines.
 */
#include <stdlib.h>
#include <string.h>

#include "interrupt_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/replay.h"
#include "simulator_target_private.h"

#define EXIT_SIGNAL 128
#define RAW_LIMIT_BYTES (16U * 1024 * 1024)
#define RATE_MAX 1000000
#define SPEED_MAX 1000000
#define TOLD_MAX 10
#define SLICE_US 200000

struct given {
	struct tool *tool;
	const char *to;
	const char *token_file;
	const char *secret_file;
	struct event_filter filter;
	enum print_format format;
	int64_t rate;
	int64_t speed;
	int64_t concurrency;
	int64_t timeout_ms;
	bool resign;
	bool dry_run;
	bool allow_external;
	char **ids; /* NULL-terminated; none: the filter picks */
};

struct run {
	const struct given *given;
	struct store_reader *reader;
	struct replay *replay; /* NULL: a dry run */
	const struct sim_target *target;
	struct interrupt interrupt;
	int signal;
	struct list list;
	int64_t begun_us;
	int64_t first_received_ms;
	int64_t failures;
};

static const struct table_column columns[] = {
	{.heading = "event_id", .right = true},
	{.heading = "received (" CHINA_ZONE ")"},
	{.heading = "iss_order_no", .fit = TABLE_CUT_LATE},
	{.heading = "status", .fit = TABLE_CUT},
	{.heading = "verdict"},
};

static void cells(struct table *table, const struct store_row *row)
{
	const struct store_value *v = row->values;

	cell_value(table, &v[EVENT_COL_event_id]);
	cell_time(table, &v[EVENT_COL_received]);
	cell_value(table, &v[EVENT_COL_iss_order_no]);
	cell_status(table, &v[EVENT_COL_status], &v[EVENT_COL_sub_status]);
	cell_verdict(table, &v[EVENT_COL_verdict]);
}

static const struct view view = {event_column_names, EVENT_COL_MAX, columns,
				 sizeof(columns) / sizeof(columns[0]), cells};

static void on_failed(void *context, int64_t event_id, int http_status, const char *problem)
{
	struct run *run = context;

	(void)http_status;
	if (++run->failures <= TOLD_MAX)
		tool_note(run->given->tool, "event %lld: %s", (long long)event_id, problem);
	if (run->failures == TOLD_MAX)
		tool_note(run->given->tool, "further ones are only counted");
}

static bool stopped(struct run *run)
{
	if (!run->signal)
		run->signal = interrupt_take(&run->interrupt);
	return run->signal != 0;
}

/* When the event is due, by --rate or --speed; the beginning without either. */
static int64_t due_us(const struct run *run, int64_t received_ms)
{
	const struct given *given = run->given;

	if (given->rate)
		return run->begun_us + run->list.count * 1000000 / given->rate;
	if (given->speed && received_ms > run->first_received_ms)
		return run->begun_us + (received_ms - run->first_received_ms) * 1000 / given->speed;
	return run->begun_us;
}

/* In slices, so that a signal is seen. */
static int wait_until_due(struct run *run, int64_t due)
{
	int err = 0;

	while (!err && !stopped(run)) {
		int64_t now_us = clock_elapsed_us(clock_system());
		if (now_us >= due)
			break;
		err = replay_wait(run->replay, due - now_us > SLICE_US ? now_us + SLICE_US : due);
	}
	return err;
}

static int send_message(struct run *run, int64_t event_id, const char *iss_order_no,
			const struct store_row *row, const struct replay_message *message)
{
	int64_t received_ms = 0;

	(void)clock_parse_rfc3339(row->values[EVENT_COL_received].text, &received_ms);
	if (run->list.count == 0)
		run->first_received_ms = received_ms;
	int err = run->replay ? wait_until_due(run, due_us(run, received_ms)) : 0;
	if (err || stopped(run))
		return err;
	list_row(&run->list, row);
	return run->replay ? replay_send(run->replay, event_id, iss_order_no, message) : 0;
}

static int make_message(struct run *run, int64_t event_id, struct replay_message *message)
{
	const struct secret *secret = &run->target->secret;
	BUF_AUTO struct buf body = BUF_INIT(RAW_LIMIT_BYTES);
	BUF_AUTO struct buf head = BUF_INIT(RAW_LIMIT_BYTES);
	int err = store_raw(run->reader, event_id, &body, &head);

	if (err == -ERR_ERASED) {
		tool_note(run->given->tool, "event %lld was erased and is not sent",
			  (long long)event_id);
		return 1;
	}
	if (err)
		return err;
	if (!run->given->resign)
		return replay_message_stored(buf_slice(&body), buf_slice(&head), message);
	err = replay_message_signed(buf_slice(&body), buf_slice(&head),
				    (struct slice){secret->bytes, secret->len},
				    clock_wall_ms(run->given->tool->clock), message);
	if (!err || err == -ERR_NOMEM)
		return err;
	on_failed(run, event_id, 0, "it cannot be signed anew and is not sent");
	return 1;
}

static int send_event(struct run *run, const struct store_row *row)
{
	int64_t event_id = row->values[EVENT_COL_event_id].integer;
	char iss_order_no[EVENT_ID_BYTES_MAX + 1];
	struct replay_message message;
	int err = slice_copy(row->values[EVENT_COL_iss_order_no].text, iss_order_no,
			     sizeof(iss_order_no));

	if (err)
		return err;
	replay_message_init(&message);
	err = make_message(run, event_id, &message);
	if (!err)
		err = send_message(run, event_id, iss_order_no, row, &message);
	replay_message_release(&message);
	return err < 0 ? err : 0;
}

static int send_picked(struct run *run, const struct event_filter *filter, bool only_first)
{
	struct store_cursor *cursor;
	struct store_row row;
	int step = 0;
	int err = store_events(run->reader, filter, &cursor);

	if (err)
		return err;
	while (!err && !stopped(run) && !run->list.out->error &&
	       (step = store_cursor_next(cursor, &row)) != 0) {
		err = step < 0 ? step : send_event(run, &row);
		if (only_first)
			break;
	}
	store_cursor_close(cursor);
	return err;
}

static int send_all(struct run *run)
{
	int err = 0;

	if (!run->given->ids[0])
		err = send_picked(run, &run->given->filter, false);
	for (char **id = run->given->ids; *id && !err; id++) {
		struct event_filter filter = {.after_id = strtoll(*id, NULL, 10) - 1};
		err = send_picked(run, &filter, true);
	}
	if (!err && run->replay)
		err = replay_finish(run->replay);
	return err;
}

/* Before anything is sent: every number that was given is an event's. */
static int check_ids(struct tool *tool, struct store_reader *reader, char **ids)
{
	struct order_event event;
	int64_t id;

	for (; *ids; ids++) {
		if (slice_to_i64(slice_of(*ids), 1, INT64_MAX, &id))
			return tool_usage(tool, "'%s' is not an event's number", *ids);
		int err = store_fold_event(reader, id, &event);
		if (err == -ERR_NOT_FOUND)
			return tool_fail(tool, TOOL_NO_SUCH,
					 "no event has the number %s; 'orderhook events' lists "
					 "them",
					 *ids);
		if (err)
			return tool_store_failed(tool, err, store_reader_problem(reader));
	}
	return 0;
}

static int report(struct run *run, int err)
{
	struct tool *tool = run->given->tool;
	const struct replay_counts none = {0};
	const struct replay_counts *counts = run->replay ? replay_counts(run->replay) : &none;

	if (err)
		return tool_store_failed(tool, err, store_reader_problem(run->reader));
	if (run->replay)
		tool_note(tool, "%lld sent to %s, %lld acknowledged, %lld not",
			  (long long)counts->sent, replay_target(run->replay),
			  (long long)counts->acked, (long long)run->failures);
	else
		tool_note(tool, "%lld would be sent", (long long)run->list.count);
	if (run->signal)
		return EXIT_SIGNAL + run->signal;
	return run->failures || !run->list.count ? TOOL_NOTHING : TOOL_DONE;
}

static int run_replay(struct run *run)
{
	struct tool *tool = run->given->tool;
	int err = interrupt_begin(&run->interrupt);

	if (!err)
		err = list_begin(&run->list, &tool->out, run->given->format, &view);
	if (err)
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(err));
	run->begun_us = clock_elapsed_us(clock_system());
	err = send_all(run);
	list_end(&run->list);
	int code = report(run, err);
	interrupt_end(&run->interrupt);
	return code;
}

static int connect_and_run(const struct given *given, const struct sim_target *target)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct run run = {.given = given, .target = target};
	const struct replay_options options = {.url = target->url,
					       .token = target->token.bytes,
					       .allow_external = given->allow_external,
					       .connections = (size_t)given->concurrency,
					       .timeout_ms = given->timeout_ms,
					       .failed = on_failed,
					       .context = &run};
	int code = tool_reader(given->tool, &run.reader);

	if (!code)
		code = check_ids(given->tool, run.reader, given->ids);
	if (code)
		return code;
	int err = replay_new(&options, &run.replay, &problem);
	if (err == -ERR_SYNTAX)
		return tool_usage(given->tool, "--to: %s", problem.data);
	if (err)
		return tool_fail(given->tool, TOOL_REFUSED, "%s",
				 problem.len ? problem.data : err_text(err));
	/* A dry run checks the target as well, and then has none. */
	if (given->dry_run) {
		replay_free(run.replay);
		run.replay = NULL;
	}
	code = run_replay(&run);
	replay_free(run.replay);
	return code;
}

static int find_target(const struct given *given, struct sim_target *target)
{
	static const char prefix[] = "endpoint:";
	struct tool *tool = given->tool;
	int code = 0;

	if (given->token_file)
		code = sim_target_file(tool, given->token_file, SECRET_TOKEN, &target->token);
	if (!code && given->secret_file)
		code = sim_target_file(tool, given->secret_file, SECRET_KEY, &target->secret);
	target->url = given->to;
	if (!code && slice_starts_with(slice_of(given->to), SLICE(prefix)))
		code = sim_target_endpoint(tool, given->to + strlen(prefix), target);
	if (!code && given->resign && !target->secret.bytes)
		code = tool_usage(tool, "--resign needs a secret: --secret-file, or --to "
					"endpoint:NAME with secrets");
	return code;
}

static int check(const struct given *given, int n_ids)
{
	const struct event_filter *filter = &given->filter;
	struct tool *tool = given->tool;

	if (!given->to)
		return tool_usage(tool, "--to is missing: where the callbacks shall go");
	if (given->rate && given->speed)
		return tool_usage(tool, "--rate and --speed exclude each other");
	if (given->rate > RATE_MAX || given->speed > SPEED_MAX)
		return tool_usage(tool, "--rate and --speed are at most 1000000");
	if (given->concurrency < 1 || given->concurrency > REPLAY_CONNECTIONS_MAX)
		return tool_usage(tool, "--concurrency is 1 to %d", REPLAY_CONNECTIONS_MAX);
	if (given->timeout_ms < 1)
		return tool_usage(tool, "--timeout is at least 1ms");
	if (given->secret_file && !given->resign)
		return tool_usage(tool, "--secret-file goes with --resign only");
	if (n_ids && (filter->order || filter->verdicts || filter->auth || filter->limit ||
		      filter->received_from_ms || filter->received_to_ms))
		return tool_usage(tool, "events' numbers and options that pick exclude each other");
	return 0;
}

static int parse(struct given *given, int *argc, char **argv)
{
	const struct tool_option options[] = {
		{"to", 0, "URL", "http://HOST:PORT/PATH, unix:/SOCKET:/PATH or endpoint:NAME",
		 option_string, &given->to},
		{"allow-external", 0, NULL, "let the URL be that of another host", option_flag,
		 &given->allow_external},
		{"token-file", 0, "FILE", "the URL's token: one more segment of its path",
		 option_string, &given->token_file},
		{"resign", 0, NULL, "sign each anew, as of now; old signatures are stale",
		 option_flag, &given->resign},
		{"secret-file", 0, "FILE", "the secret to sign with", option_string,
		 &given->secret_file},
		{"order", 0, "ORDER", "only events of this issOrderNo or orderNo", option_string,
		 &given->filter.order},
		{"verdict", 0, "VERDICT,...", "only events with one of these verdicts",
		 option_verdicts, &given->filter.verdicts},
		{"auth", 0, "signed|token", "only events authenticated so", option_auth,
		 &given->filter.auth},
		OPTION_SINCE(&given->filter.received_from_ms),
		OPTION_UNTIL(&given->filter.received_to_ms),
		OPTION_LIMIT(&given->filter.limit),
		{"rate", 0, "R", "callbacks a second (as fast as answers come)", option_count,
		 &given->rate},
		{"speed", 0, "N", "the original pace, N times as fast", option_count,
		 &given->speed},
		{"concurrency", 0, "N", "connections (4)", option_count, &given->concurrency},
		{"timeout", 0, "D", "for one answer (3s)", option_duration, &given->timeout_ms},
		{"dry-run", 'n', NULL, "print the same lines and send nothing", option_flag,
		 &given->dry_run},
		OPTION_FORMAT(&given->format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.max_arguments = -1,
		.text = "Sends stored callbacks again, byte for byte, in the order in which they "
			"arrived;\n"
			"of one delivery order the next goes out when the one before is answered. "
			"The\n"
			"Content-Type and webhook-* headers go with them. Prints what it sends; a "
			"summary\n"
			"and what was not acknowledged go to stderr. Exits 1 unless all were.\n"
			"A signature's timestamp is stale ten minutes later: --resign replaces "
			"it.\n",
		.examples = "  orderhook replay --order TDH2025053050205843 --dry-run \\\n"
			    "      --to http://127.0.0.1:8080/callback\n"
			    "  orderhook replay --since 2h --resign --speed 10 --to "
			    "endpoint:shansong\n",
	};

	return options_parse(given->tool, &syntax, argc, argv);
}

int cmd_replay(struct tool *tool, int argc, char **argv)
{
	struct given given = {.tool = tool, .concurrency = 4, .timeout_ms = 3000};
	struct sim_target target = {.url = NULL};
	int code = parse(&given, &argc, argv);

	if (code >= 0)
		return code;
	given.ids = argv + 1;
	argv[argc] = NULL;
	code = check(&given, argc - 1);
	if (!code)
		code = find_target(&given, &target);
	if (!code)
		code = connect_and_run(&given, &target);
	sim_target_release(&target);
	return code;
}
