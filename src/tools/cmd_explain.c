/*
 * `orderhook explain`: why a delivery was taken or refused, and why its event was judged so, step
 * by step. Nothing is remembered for it: the stored bytes go through ingest again, in the daemon
 * that has the secrets, and the event through the judge again, here.
 */
#include <string.h>

#include "explain_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"

#define DELIVERY_BYTES_MAX (64U * 1024 * 1024)
#define HELD_PREFIX "held:"

struct explain_options {
	const char *body; /* a file, "-" for standard input */
	const char *endpoint;
	struct buf headers;
	int64_t received_ms; /* 0: now */
	bool reveal;
	enum print_format format;
};

/* ------------------------------------------------------------------ what --------------- */

static int erased(struct tool *tool, int64_t id)
{
	return tool_fail(tool, TOOL_NO_SUCH,
			 "event %lld was erased; nothing is left of it to explain", (long long)id);
}

static int no_event(struct tool *tool, struct store_reader *reader, int64_t id)
{
	int err = store_raw(reader, id, NULL, NULL);

	if (!err)
		return tool_fail(tool, TOOL_NO_SUCH,
				 "event %lld is of another callbackEvent: it was kept and judged "
				 "by nobody; 'orderhook raw %lld' prints it",
				 (long long)id, (long long)id);
	if (err == -ERR_ERASED)
		return erased(tool, id);
	if (err != -ERR_NOT_FOUND)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	return tool_fail(tool, TOOL_NO_SUCH,
			 "no event has the number %lld; 'orderhook events' lists them",
			 (long long)id);
}

static int copy_row(const struct store_row *row, struct explain_subject *ret)
{
	const struct store_value *v = row->values;
	int err = row_copy(row, &ret->row);

	if (!err)
		err = slice_copy(v[EVENT_COL_endpoint].text, ret->endpoint, sizeof(ret->endpoint));
	if (!err)
		err = slice_copy(v[EVENT_COL_remote].text, ret->remote, sizeof(ret->remote));
	return err ? err : clock_parse_rfc3339(v[EVENT_COL_received].text, &ret->received_ms);
}

/* 1: found, 0: there is none of that number. */
static int find_event(struct store_reader *reader, int64_t id, struct explain_subject *ret)
{
	const struct event_filter filter = {.after_id = id - 1};
	struct store_cursor *cursor;
	struct store_row row;
	int err = store_events(reader, &filter, &cursor);

	if (err)
		return err;
	int step = store_cursor_next(cursor, &row);
	if (step == 1 && row.values[EVENT_COL_event_id].integer == id)
		err = copy_row(&row, ret);
	else
		err = step < 0 ? step : -ERR_NOT_FOUND;
	store_cursor_close(cursor);
	return err;
}

static int load_event(struct tool *tool, int64_t id, struct explain_subject *ret)
{
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	ret->kind = EXPLAIN_EVENT;
	ret->id = id;
	/* Nothing gets past the gate without the token, where there is one. */
	ret->url_token = true;
	int err = find_event(reader, id, ret);
	if (err == -ERR_NOT_FOUND)
		return no_event(tool, reader, id);
	if (!err)
		err = store_raw(reader, id, &ret->body, &ret->head);
	if (err == -ERR_ERASED)
		return erased(tool, id);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}

static int load_held(struct tool *tool, int64_t id, struct explain_subject *ret)
{
	struct store_held_delivery held = {.head = BUF_INIT(DELIVERY_BYTES_MAX),
					   .body = BUF_INIT(DELIVERY_BYTES_MAX)};
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_reader_held(reader, id, &held);
	ret->kind = EXPLAIN_HELD;
	ret->id = id;
	if (!err) {
		memcpy(ret->endpoint, held.endpoint, sizeof(ret->endpoint));
		memcpy(ret->remote, held.remote, sizeof(ret->remote));
		memcpy(ret->reason, held.reason, sizeof(ret->reason));
		ret->received_ms = held.received_ms;
		ret->url_token = held.token_ok;
	}
	ret->head = held.head;
	ret->body = held.body;
	if (err == -ERR_NOT_FOUND)
		return tool_fail(tool, TOOL_NO_SUCH,
				 "no refused delivery has the number %lld, or it was pushed out of "
				 "the ring; 'orderhook held' lists them",
				 (long long)id);
	return err ? tool_store_failed(tool, err, store_reader_problem(reader)) : 0;
}

static int pick_endpoint(struct tool *tool, const char *name, struct explain_subject *ret)
{
	const struct config *config;
	int code = tool_config(tool, &config);

	if (code)
		return code;
	if (!name && config->n_endpoints > 1)
		return tool_usage(tool, "%s has more than one endpoint; --endpoint NAME picks one",
				  config->file);
	for (size_t i = 0; i < config->n_endpoints; i++) {
		if (name && strcmp(config->endpoints[i].name, name) != 0)
			continue;
		int err = slice_copy(slice_of(config->endpoints[i].name), ret->endpoint,
				     sizeof(ret->endpoint));
		return err ? tool_fail(tool, TOOL_CONFIG, "%s", err_text(err)) : 0;
	}
	return tool_fail(tool, TOOL_CONFIG, "%s has no [endpoint %s]", config->file,
			 name ? name : "");
}

static int load_body(struct tool *tool, struct explain_options *options,
		     struct explain_subject *ret)
{
	int code = pick_endpoint(tool, options->endpoint, ret);

	if (!code)
		code = tool_read_file(tool, options->body, &ret->body);
	if (code)
		return code;
	ret->kind = EXPLAIN_BODY;
	ret->url_token = true;
	ret->received_ms = options->received_ms ? options->received_ms : clock_wall_ms(tool->clock);
	int err = buf_add_slice(&ret->head, buf_slice(&options->headers));
	return err ? tool_fail(tool, TOOL_REFUSED, "%s", err_text(err)) : 0;
}

static int load(struct tool *tool, const char *argument, struct explain_options *options,
		struct explain_subject *ret)
{
	struct slice text = slice_of(argument);
	bool held = argument && slice_starts_with(text, SLICE(HELD_PREFIX));
	int64_t id;

	if (!argument)
		return load_body(tool, options, ret);
	if (held) {
		text.at += sizeof(HELD_PREFIX) - 1;
		text.len -= sizeof(HELD_PREFIX) - 1;
	}
	if (slice_to_i64(text, 1, INT64_MAX, &id))
		return tool_usage(tool,
				  "'%s' is neither an event's number nor " HELD_PREFIX
				  "N with that of a refused delivery",
				  argument);
	return held ? load_held(tool, id, ret) : load_event(tool, id, ret);
}

/* ------------------------------------------------------------------ the answer --------- */

static bool was_refused(const struct json_object *explanation)
{
	const struct json_member *outcome = json_find(explanation, "outcome");

	return outcome && !slice_equal_string(outcome->value, "accepted");
}

static int print(struct tool *tool, const struct explain_subject *subject,
		 const struct explain_options *options, const struct buf *explanation,
		 const struct explain_verdict *verdict)
{
	BUF_AUTO struct buf masked = BUF_INIT(DELIVERY_BYTES_MAX);
	int err = options->reveal || !explanation->len
			  ? buf_add_slice(&masked, buf_slice(explanation))
			  : mask_body(&masked, buf_slice(explanation));

	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	return options->format == PRINT_TABLE
		       ? explain_print(tool, subject, buf_slice(&masked), verdict)
		       : explain_print_json(tool, subject, buf_slice(&masked), verdict);
}

/* What the secrets can tell may be out of reach; what is stored is told all the same. */
static int answer(struct tool *tool, const struct explain_subject *subject,
		  const struct explain_options *options)
{
	BUF_AUTO struct buf explanation = BUF_INIT(DELIVERY_BYTES_MAX);
	struct explain_verdict verdict = {.stored = -1, .why = BUF_INIT(4096)};
	struct json_object object = {.n = 0};
	int asked = explain_ask(tool, subject, &explanation);
	int code = 0;

	if (asked)
		buf_reset(&explanation);
	else if (json_scan_object(buf_slice(&explanation), &object))
		asked = tool_fail(tool, TOOL_STORE, "the daemon's answer is not understood");
	if (subject->kind == EXPLAIN_EVENT)
		code = explain_stored(tool, subject, &verdict);
	else if (!asked)
		code = explain_would(tool, subject, &object, &verdict);
	if (!asked || verdict.judged) {
		int printed = print(tool, subject, options, &explanation, &verdict);
		code = printed ? printed : code;
	}
	buf_release(&verdict.why);
	if (asked || code)
		return asked ? asked : code;
	if (subject->kind == EXPLAIN_EVENT)
		return TOOL_DONE;
	return was_refused(&object) || verdict.stale ? TOOL_NOTHING : TOOL_DONE;
}

static int run(struct tool *tool, const char *argument, struct explain_options *options)
{
	struct explain_subject subject = {.head = BUF_INIT(DELIVERY_BYTES_MAX),
					  .body = BUF_INIT(DELIVERY_BYTES_MAX)};
	int code = load(tool, argument, options, &subject);

	if (!code)
		code = answer(tool, &subject, options);
	row_copy_release(&subject.row);
	buf_release(&subject.head);
	buf_release(&subject.body);
	return code;
}

/* "Name: value", as curl's -H takes it. */
static int option_header(struct tool *tool, const struct tool_option *option, const char *value)
{
	struct buf *headers = option->into;
	const char *colon = strchr(value, ':');
	struct slice text = colon ? slice_trim(slice_of(colon + 1)) : SLICE("");

	if (!colon || colon == value || strpbrk(value, "\r\n"))
		return option_bad(tool, option, value, "'NAME: VALUE' is allowed");
	if (buf_addf(headers, "%.*s: %.*s\r\n", (int)(colon - value), value, SLICE_ARG(text)))
		return option_bad(tool, option, value, "32K of them are the most");
	return 0;
}

static int check_options(struct tool *tool, const struct explain_options *options,
			 const char *argument)
{
	if (!argument == !options->body)
		return tool_usage(tool, "give an event's number, " HELD_PREFIX
					"N for a refused delivery, or --body FILE");
	if (argument && (options->endpoint || options->headers.len || options->received_ms))
		return tool_usage(tool,
				  "--endpoint, --header and --received go with --body: what is "
				  "stored has its own");
	if (options->format == PRINT_CSV)
		return tool_usage(tool, "--format: 'csv' is wrong; an explanation is no list: "
					"table, json or jsonl");
	return 0;
}

int cmd_explain(struct tool *tool, int argc, char **argv)
{
	struct explain_options options = {.headers = BUF_INIT(32 * 1024)};
	const struct tool_option rows[] = {
		{"body", 0, "FILE", "a body that was not received; - is standard input",
		 option_string, &options.body},
		{"endpoint", 0, "NAME", "--body: where it would be sent", option_string,
		 &options.endpoint},
		{"header", 0, "HEADER", "--body: 'Name: value' that goes with it; may be repeated",
		 option_header, &options.headers},
		{"received", 0, "TIME", "--body: when it would come (now)", option_instant,
		 &options.received_ms},
		{"reveal", 0, NULL, "people's data and hand-over codes too", option_flag,
		 &options.reveal},
		OPTION_FORMAT(&options.format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = rows,
		.max_arguments = 1,
		.text = "Tells step by step why a delivery is taken or refused, and why its event "
			"is\n"
			"judged so: each check, the text that is signed (the secret as ***), the "
			"sign\n"
			"given and the first eight digits of the one expected, which of the usual\n"
			"mistakes would have made it, the event, and the edge of the machine that "
			"it\n"
			"takes or misses. The checks are those of the configuration as it is now. "
			"The\n"
			"daemon does what needs the secrets; root, its user and members of\n"
			"orderhook-admin may ask it.\n\n"
			"HELD is held:N. Exits 1 when --body or HELD would be refused now.\n",
		.examples = "  orderhook explain 17          why the event was judged so\n"
			    "  orderhook explain held:3      why the delivery was refused\n"
			    "  orderhook explain --body body.json --header 'Content-Type: "
			    "application/json'\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code < 0) {
		const char *argument = argc > 1 ? argv[1] : NULL;
		code = check_options(tool, &options, argument);
		if (!code)
			code = run(tool, argument, &options);
	}
	buf_release(&options.headers);
	return code;
}
