/*
 * `orderhook simulate`: the options, what they must not contradict, and what a run looks like from
 * outside: a bar while it goes on, a word as soon as something fails, a summary, an exit code.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "interrupt_private.h"
#include "orderhook/err.h"
#include "orderhook/http_client.h"
#include "progress_private.h"
#include "simulator_report_private.h"
#include "simulator_target_private.h"

#define ENDPOINT_PREFIX "endpoint:"
#define ORDERS_MAX 100000000
#define RATE_MILLI_MAX (1000000 * UINT64_C(1000))
#define TIMEOUT_MS_MAX (10 * 60 * 1000)
#define RETRY_INTERVAL_MS_MAX (24 * 60 * 60 * 1000)
#define EXIT_SIGNAL 128 /* as a shell says it */
/* As the captured callbacks have them. */
#define DEFAULT_CLIENT_ID "clientId"
#define DEFAULT_SHOP_ID "shopId"
/* The callbacks tell of what has happened: a receiver distrusts times that are ahead of its clock.
 */
#define DEFAULT_START_AGO_MS (30 * 60 * 1000)

enum form {
	FORM_BY_SECRET = 0, /* flat with a secret, unsigned without */
	FORM_FLAT,
	FORM_ENVELOPE,
	FORM_UNSIGNED,
	FORM_MAX
};

struct given {
	const char *to;
	const char *unix_socket;
	const char *token_file;
	const char *secret_file;
	const char *client_id;
	const char *shop_id;
	const char *ledger;
	const char *faults;
	bool allow_external;
	enum form form;
	int64_t orders;
	uint64_t rate_milli;
	int64_t concurrency;
	int64_t seed;     /* -1: any */
	int64_t start_ms; /* 0: half an hour ago */
	int64_t retry_interval_ms;
	int64_t timeout_ms;
	enum print_format format;
};

/* While the run goes on. */
struct watch {
	struct tool *tool;
	const struct given *given;
	struct interrupt interrupt;
	struct progress progress;
	int signal;        /* that came, 0: none */
	bool told_failure; /* the first one */
	bool told_unexpected;
};

/* ------------------------------------------------------------------ options ------------ */

static int option_form(struct tool *tool, const struct tool_option *option, const char *value)
{
	int chosen;
	int code = option_choose(tool, option, value, &chosen);

	if (!code)
		*(enum form *)option->into = (enum form)(FORM_FLAT + chosen);
	return code;
}

static int option_rate(struct tool *tool, const struct tool_option *option, const char *value)
{
	uint64_t rate;

	if (sim_decimal(slice_of(value), 3, RATE_MILLI_MAX, &rate) || rate == 0)
		return option_bad(tool, option, value, "callbacks a second, from 0.001 to 1000000");
	*(uint64_t *)option->into = rate;
	return 0;
}

static int option_id(struct tool *tool, const struct tool_option *option, const char *value)
{
	size_t len = strlen(value);

	for (const char *c = value; *c; c++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-",
			    *c))
			len = 0;
	}
	if (len == 0 || len > EVENT_ID_BYTES_MAX)
		return option_bad(tool, option, value,
				  "1 to 64 of A-Z a-z 0-9 _ . : - are allowed");
	*(const char **)option->into = value;
	return 0;
}

static const char help_text[] =
	"Plays whole orders through the platform's state diagram, as the platform would: signed\n"
	"callbacks of the captured shape, each sent again (five times at most) until the answer's\n"
	"body says status 200, the next one of an order only after that.\n"
	"\n"
	"The same --seed and --start make the same orders. With --rate the callbacks follow a "
	"fixed\n"
	"schedule and latencies count from it, so a receiver that stalls cannot hide it.\n"
	"\n"
	"--faults is a list like duplicate=5%,slow=0.5%; what it does not name does not happen.\n"
	"'none' is none at all, 'default' is what happens without the option:\n";

static const char help_examples[] =
	"  orderhook simulate --to endpoint:shansong --orders 100\n"
	"  orderhook simulate --to http://127.0.0.1:8080/callback/shansong \\\n"
	"      --token-file token --secret-file secret --rate 500 --orders 10000\n";

static int parse(struct tool *tool, int argc, char **argv, struct given *given)
{
	BUF_AUTO struct buf text = BUF_INIT(8192);
	const struct tool_option options[] = {
		{"to", 0, "URL", "http://HOST:PORT/PATH, unix:/SOCKET:/PATH or endpoint:NAME",
		 option_string, &given->to},
		{"unix-socket", 0, "FILE", "connect to this socket, whatever the URL's host is",
		 option_string, &given->unix_socket},
		{"allow-external", 0, NULL, "let the URL be that of another host", option_flag,
		 &given->allow_external},
		{"token-file", 0, "FILE", "the URL's token: one more segment of its path",
		 option_string, &given->token_file},
		{"secret-file", 0, "FILE", "the secret to sign with", option_string,
		 &given->secret_file},
		{"form", 0, "flat|envelope|unsigned",
		 "the callbacks' form; flat with a secret, unsigned without, if not given",
		 option_form, &given->form},
		{"client-id", 0, "ID", "clientId of the callbacks (" DEFAULT_CLIENT_ID ")",
		 option_id, &given->client_id},
		{"shop-id", 0, "ID", "shopId of the callbacks (" DEFAULT_SHOP_ID ")", option_id,
		 &given->shop_id},
		{"orders", 0, "N", "orders to play (10)", option_count, &given->orders},
		{"rate", 0, "R",
		 "callbacks a second, on a fixed schedule (as fast as answers come)", option_rate,
		 &given->rate_milli},
		{"concurrency", 0, "N", "connections, kept open (4)", option_count,
		 &given->concurrency},
		{"seed", 0, "N", "which orders (any)", option_count, &given->seed},
		{"start", 0, "TIME", "when the orders were placed (half an hour ago)",
		 option_instant, &given->start_ms},
		{"faults", 0, "NAME=SHARE,...", "what happens on the way, and how often",
		 option_string, &given->faults},
		{"retry-interval", 0, "D", "until a callback is sent again (1m)", option_duration,
		 &given->retry_interval_ms},
		{"timeout", 0, "D", "for one answer (3s)", option_duration, &given->timeout_ms},
		{"ledger", 0, "FILE", "append every attempt and its outcome as JSON lines",
		 option_string, &given->ledger},
		{"format", 0, "table|json", "how to print the summary; table if not given",
		 option_format, &given->format},
		{NULL},
	};

	if (buf_add_string(&text, help_text) || sim_shares_help(&text))
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(ERR_NOMEM));
	struct tool_syntax syntax = {
		.options = options, .text = text.data, .examples = help_examples};
	return options_parse(tool, &syntax, &argc, argv);
}

static int check_bounds(struct tool *tool, const struct given *given)
{
	if (!given->to)
		return tool_usage(tool, "--to is missing");
	if (given->orders < 1 || given->orders > ORDERS_MAX)
		return tool_usage(tool, "--orders: 1 to %d are allowed", ORDERS_MAX);
	if (given->concurrency < 1 || given->concurrency > HTTP_CLIENT_CONNECTIONS_MAX)
		return tool_usage(tool, "--concurrency: 1 to %d are allowed",
				  HTTP_CLIENT_CONNECTIONS_MAX);
	if (given->timeout_ms < 1 || given->timeout_ms > TIMEOUT_MS_MAX)
		return tool_usage(tool, "--timeout: 1ms to 10m are allowed");
	if (given->retry_interval_ms > RETRY_INTERVAL_MS_MAX)
		return tool_usage(tool, "--retry-interval: 0 to 1d are allowed");
	return 0;
}

/* ------------------------------------------------------------------ from options to a run  */

static int find_target(struct tool *tool, const struct given *given, struct sim_target *target)
{
	struct slice to = slice_of(given->to);
	int code = 0;

	*target = (struct sim_target){
		.url = given->to, .client_id = given->client_id, .shop_id = given->shop_id};
	if (given->token_file)
		code = sim_target_file(tool, given->token_file, SECRET_TOKEN, &target->token);
	if (!code && given->secret_file)
		code = sim_target_file(tool, given->secret_file, SECRET_KEY, &target->secret);
	if (!code && slice_starts_with(to, SLICE(ENDPOINT_PREFIX)))
		code = sim_target_endpoint(tool, given->to + strlen(ENDPOINT_PREFIX), target);
	return code;
}

static int choose_form(struct tool *tool, const struct given *given,
		       const struct sim_target *target, struct sim_options *options)
{
	bool has_secret = target->secret.bytes != NULL;

	options->sign = given->form == FORM_BY_SECRET ? has_secret : given->form != FORM_UNSIGNED;
	options->form = given->form == FORM_ENVELOPE ? SHANSONG_ENVELOPE : SHANSONG_FLAT;
	if (options->sign && !has_secret)
		return tool_usage(tool, "a signed form needs --secret-file");
	options->secret = (struct slice){target->secret.bytes, target->secret.len};
	return 0;
}

static int choose_faults(struct tool *tool, const struct given *given, struct sim_options *options)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);

	sim_shares_default(&options->shares);
	if (given->faults && sim_shares_parse(slice_of(given->faults), &options->shares, &problem))
		return tool_usage(tool, "--faults: %s", problem.data);
	if (options->sign || !options->shares.per_10000[SIM_BAD_SIGNATURE])
		return 0;
	/* An unsigned forgery is indistinguishable from the callback that it forges. */
	if (given->faults)
		return tool_usage(tool, "--faults: bad-signature needs callbacks that are signed");
	options->shares.per_10000[SIM_BAD_SIGNATURE] = 0;
	return 0;
}

static uint64_t any_seed(void)
{
	uint32_t seed = 0;

	/* Short, so that it can be typed again; what fails here just makes it 0. */
	return getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed) ? seed : 0;
}

static int make_options(struct tool *tool, const struct given *given,
			const struct sim_target *target, struct sim_options *ret)
{
	*ret = (struct sim_options){
		.url = target->url,
		.unix_socket = given->unix_socket,
		.token = target->token.bytes,
		.allow_external = given->allow_external,
		.identity = {target->client_id ? target->client_id : DEFAULT_CLIENT_ID,
			     target->shop_id ? target->shop_id : DEFAULT_SHOP_ID},
		.seed = given->seed < 0 ? any_seed() : (uint64_t)given->seed,
		.orders = (uint64_t)given->orders,
		.start_ms = given->start_ms ? given->start_ms
					    : clock_wall_ms(tool->clock) - DEFAULT_START_AGO_MS,
		.rate_milli = given->rate_milli,
		.concurrency = (size_t)given->concurrency,
		.retry_interval_ms = given->retry_interval_ms,
		.timeout_ms = given->timeout_ms,
		.clock = tool->clock};
	int code = choose_form(tool, given, target, ret);

	return code ? code : choose_faults(tool, given, ret);
}

/* ------------------------------------------------------------------ the run ------------ */

static void show_progress(struct watch *watch, const struct sim_summary *so_far)
{
	double seconds = (double)so_far->elapsed_us / 1e6;
	char rest[128];

	snprintf(rest, sizeof(rest), "orders  %.0f/s  %" PRIu64 " retried  %" PRIu64 " lost",
		 seconds > 0 ? (double)so_far->acked / seconds : 0, so_far->retried, so_far->lost);
	progress_show(&watch->progress, so_far->finished, (uint64_t)watch->given->orders, rest);
}

static const char *remedy(int http_status)
{
	switch (http_status) {
	case 401:
		return "; are --secret-file, --client-id and --shop-id the endpoint's?";
	case 404:
		return "; are the URL's path and --token-file the endpoint's?";
	default:
		return "";
	}
}

/* Told at once: the summary may be minutes of retries away. */
static void tell_first(struct watch *watch, const struct sim_summary *so_far)
{
	bool failure = so_far->first_failure[0] && !watch->told_failure;
	bool unexpected = so_far->first_unexpected[0] && !watch->told_unexpected;

	if (failure || unexpected)
		progress_clear(&watch->progress);
	if (failure)
		tool_note(watch->tool,
			  "no answer: %s; each callback is sent again every %g s, %d times at most",
			  so_far->first_failure, (double)watch->given->retry_interval_ms / 1000,
			  SIM_RETRIES_MAX);
	if (unexpected)
		tool_note(watch->tool, "unexpected: %s%s", so_far->first_unexpected,
			  remedy(so_far->first_unexpected_http));
	watch->told_failure |= failure;
	watch->told_unexpected |= unexpected;
}

static enum sim_command on_tick(void *context, const struct sim_summary *so_far)
{
	struct watch *watch = context;
	int signal_number = interrupt_take(&watch->interrupt);

	tell_first(watch, so_far);
	if (signal_number && watch->signal)
		return SIM_STOP_NOW;
	if (signal_number) {
		watch->signal = signal_number;
		progress_clear(&watch->progress);
		tool_note(watch->tool,
			  "stopping; what was sent is waited for, once more to give it up");
	}
	show_progress(watch, so_far);
	return watch->signal ? SIM_STOP : SIM_GO_ON;
}

/* The summary is also what is known when the run itself has failed. */
static int report(struct watch *watch, const struct sim_options *options,
		  const struct sim_summary *summary, int err, const char *problem)
{
	struct tool *tool = watch->tool;
	const struct sim_report text = {.summary = summary,
					.seed = options->seed,
					.start_ms = options->start_ms,
					.scheduled = options->rate_milli != 0};

	tell_first(watch, summary);
	progress_clear(&watch->progress);
	if (summary->attempts || !err)
		(watch->given->format == PRINT_TABLE ? sim_report_table
						     : sim_report_json)(&tool->out, &text);
	if (err == -ERR_SYNTAX)
		return tool_usage(tool, "--to: %s", problem);
	if (err)
		return tool_fail(tool, TOOL_REFUSED, "%s", problem[0] ? problem : err_text(err));
	if (watch->signal)
		return EXIT_SIGNAL + watch->signal;
	return sim_summary_good(summary) ? TOOL_DONE : TOOL_NOTHING;
}

static int run(struct tool *tool, const struct given *given, struct sim_options *options)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct watch watch = {.tool = tool, .given = given};
	struct sim_summary *summary = calloc(1, sizeof(*summary));
	int err = summary ? 0 : -ERR_NOMEM;

	if (!err)
		err = interrupt_begin(&watch.interrupt);
	if (err) {
		free(summary);
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(err));
	}
	progress_begin(&watch.progress, STDERR_FILENO);
	options->tick = on_tick;
	options->context = &watch;
	err = sim_run(options, summary, &problem);
	int code = report(&watch, options, summary, err, problem.len ? problem.data : "");
	interrupt_end(&watch.interrupt);
	free(summary);
	return code;
}

static int run_with_ledger(struct tool *tool, const struct given *given,
			   struct sim_options *options)
{
	struct sim_ledger ledger;
	int code;

	if (!given->ledger)
		return run(tool, given, options);
	if (sim_ledger_open(given->ledger, &ledger))
		return tool_fail(tool, TOOL_REFUSED, "%s: %s", given->ledger, strerror(errno));
	options->ledger = &ledger;
	code = run(tool, given, options);
	sim_ledger_close(&ledger);
	return code;
}

int cmd_simulate(struct tool *tool, int argc, char **argv)
{
	struct given given = {.orders = 10,
			      .concurrency = 4,
			      .seed = -1,
			      .retry_interval_ms = 60000,
			      .timeout_ms = 3000};
	struct sim_target target = {.url = NULL};
	struct sim_options options;
	int code = parse(tool, argc, argv, &given);

	if (code >= 0)
		return code;
	code = check_bounds(tool, &given);
	if (!code)
		code = find_target(tool, &given, &target);
	if (!code)
		code = make_options(tool, &given, &target, &options);
	if (!code)
		code = run_with_ledger(tool, &given, &options);
	sim_target_release(&target);
	return code;
}
