/*
 * The run. An order in play is in exactly one place: in the queue of those that are ready, in the
 * queue of those that wait for a retry (all wait equally long, so it is in the order of their due
 * times), or under way as the tag of a request. Its next callback goes out only after the final
 * outcome of the one before, as the platform's do.
 *
 * With a rate the schedule is fixed beforehand: the n-th callback is meant for start + n / rate,
 * whatever the receiver does, and its latency counts from then. So a receiver that stalls is
 * charged for every callback that should have gone out meanwhile, not only for those that were
 * under way.
 */
#include "simulator_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/http_client.h"

#define TICK_US 100000
#define ORDERS_PER_CONNECTION 4
#define SLOW_PAUSE_US_MAX 1000000
#define BODY_BYTES_MAX (16 * 1024)
#define FORGER_SECRET "not-the-platforms-secret"

struct play {
	struct play *next;
	struct sim_order order;
	size_t at; /* index of the present send */
	struct sim_attempt attempt;
	int64_t due_us; /* when it is, or was, meant to go out */
	uint32_t acked_steps;
	unsigned lost;
};

struct queue {
	struct play *first;
	struct play **end;
};

struct run {
	const struct sim_options *options;
	struct sim_summary *summary;
	struct buf *problem;
	struct http_client *client;
	struct queue ready;
	struct queue waiting;
	size_t in_play;
	size_t under_way;
	uint64_t scheduled; /* callbacks whose time of the schedule has been used */
	int64_t began_us;
	bool stopping;
	int err; /* the first failure of ours: ends the run */
	struct buf object;
	struct buf body;
};

static void push(struct queue *queue, struct play *play)
{
	play->next = NULL;
	*queue->end = play;
	queue->end = &play->next;
}

static struct play *pop(struct queue *queue)
{
	struct play *play = queue->first;

	if (!play)
		return NULL;
	queue->first = play->next;
	if (!queue->first)
		queue->end = &queue->first;
	return play;
}

static int64_t now_us(const struct run *run)
{
	return clock_elapsed_us(run->options->clock);
}

static void fail(struct run *run, int err, const char *what)
{
	if (run->err)
		return;
	run->err = err;
	buf_addf(run->problem, "%s: %s", what,
		 err == -ERR_SYSTEM ? strerror(errno) : err_text(err));
}

/* ------------------------------------------------------------------ ends --------------- */

/* Writes the ledger's line; err is what became of composing it. */
static void write_ledger(struct run *run, int err)
{
	if (!err)
		err = sim_ledger_write(run->options->ledger);
	if (err)
		fail(run, err, run->options->ledger->path);
}

static void finish(struct run *run, struct play *play)
{
	struct sim_expected expected = sim_order_expected(&play->order, play->acked_steps);
	struct sim_ledger *ledger = run->options->ledger;

	run->summary->finished++;
	run->summary->finals[expected.node]++;
	if (ledger)
		write_ledger(run, sim_ledger_order_line(&ledger->line, &play->order, &expected,
							play->lost));
	run->in_play--;
	free(play);
}

/* The present send has its final outcome. */
static void advance(struct run *run, struct play *play)
{
	play->at++;
	play->attempt.attempt = 0;
	if (play->at == play->order.n_sends)
		finish(run, play);
	else
		push(&run->ready, play);
}

/* ------------------------------------------------------------------ answers ------------ */

/* What the platform does with an outcome: on, once more in a minute, or given up. */
static void go_on(struct run *run, struct play *play, enum sim_outcome outcome)
{
	const struct sim_send *send = &play->order.sends[play->at];

	if (outcome == SIM_ACKED && send->kind != SIM_SEND_FORGED)
		play->acked_steps |= 1u << send->step;
	if (outcome == SIM_ACKED || send->kind == SIM_SEND_FORGED) {
		advance(run, play);
	} else if (play->attempt.attempt > SIM_RETRIES_MAX) {
		play->lost++;
		run->summary->lost++;
		advance(run, play);
	} else {
		play->due_us = now_us(run) + run->options->retry_interval_ms * 1000;
		push(&run->waiting, play);
	}
}

static void on_answer(void *context, void *tag, const struct http_answer *answer)
{
	struct run *run = context;
	struct play *play = tag;
	struct sim_ledger *ledger = run->options->ledger;
	struct sim_result result = {.outcome = SIM_UNKNOWN,
				    .http_status = answer->status,
				    .latency_us = answer->ended_us - play->due_us,
				    .problem = answer->problem};

	run->under_way--;
	if (answer->status) {
		result.body_status = sim_answer_status(answer->body);
		result.outcome = result.body_status == 200 ? SIM_ACKED : SIM_REFUSED;
	}
	sim_summary_count(run->summary, &play->order, &play->order.sends[play->at], &result);
	if (ledger)
		write_ledger(run, sim_ledger_line(&ledger->line, &play->order,
						  play->order.sends[play->at].step, &play->attempt,
						  &result));
	go_on(run, play, result.outcome);
}

/* ------------------------------------------------------------------ sending ------------ */

static int make_body(struct run *run, const struct play *play)
{
	const struct sim_options *options = run->options;
	const struct sim_send *send = &play->order.sends[play->at];
	bool forged = send->kind == SIM_SEND_FORGED;
	int err;

	buf_reset(&run->object);
	buf_reset(&run->body);
	err = sim_body(&play->order, send->step, &options->identity, &run->object);
	if (err)
		return err;
	if (!options->sign)
		return buf_add_slice(&run->body, buf_slice(&run->object));
	return shansong_sign(forged ? SLICE(FORGER_SECRET) : options->secret,
			     buf_slice(&run->object), options->form, play->attempt.sent_wall_ms,
			     &run->body);
}

static void count_attempt(struct sim_summary *summary, const struct play *play)
{
	summary->attempts++;
	if (play->attempt.attempt > 1)
		summary->retried++;
	else if (play->attempt.kind == SIM_SEND_FORGED)
		summary->forged++;
	else
		summary->callbacks++;
}

/* The next attempt's body, hash and line in the ledger. */
static int prepare(struct run *run, struct play *play)
{
	const struct sim_options *options = run->options;
	const struct sim_send *send = &play->order.sends[play->at];
	struct slice body;
	int err;

	play->attempt.seq = run->summary->attempts + 1;
	play->attempt.attempt++;
	play->attempt.kind = (enum sim_send_kind)send->kind;
	play->attempt.sent_wall_ms = clock_wall_ms(options->clock);
	err = make_body(run, play);
	if (err || !options->ledger)
		return err;
	body = buf_slice(&run->body);
	err = digest_sha256(&body, 1, play->attempt.sha256);
	if (err)
		return err;
	write_ledger(run, sim_ledger_line(&options->ledger->line, &play->order, send->step,
					  &play->attempt, NULL));
	return run->err;
}

static int send_one(struct run *run, struct play *play)
{
	int64_t pause_us = run->options->timeout_ms * 1000 / 3;
	bool slow = play->order.sends[play->at].slow;
	int err = prepare(run, play);

	if (err)
		return err;
	pause_us = pause_us < SLOW_PAUSE_US_MAX ? pause_us : SLOW_PAUSE_US_MAX;
	err = http_client_post(
		run->client,
		&(struct http_post){.body = buf_slice(&run->body),
				    .content_type = "application/json",
				    .pause_us = slow && play->attempt.attempt == 1 ? pause_us : 0,
				    .tag = play});
	if (err)
		return err;
	count_attempt(run->summary, play);
	run->under_way++;
	return 0;
}

/* ------------------------------------------------------------------ what goes next ----- */

static bool may_begin(const struct run *run)
{
	return run->summary->orders < run->options->orders && run->in_play < SIM_ORDERS_IN_PLAY_MAX;
}

static struct play *new_order(struct run *run)
{
	const struct sim_options *options = run->options;
	struct sim_summary *summary = run->summary;
	struct play *play;

	while (may_begin(run)) {
		play = calloc(1, sizeof(*play));
		if (!play) {
			fail(run, -ERR_NOMEM, "an order");
			return NULL;
		}
		sim_order_make(&options->shares, options->seed, summary->orders, options->start_ms,
			       &play->order);
		summary->orders++;
		run->in_play++;
		for (int i = 0; i < SIM_FAULT_MAX; i++)
			summary->faults[i] += play->order.faults[i];
		if (play->order.n_sends)
			return play;
		finish(run, play); /* every callback of it was skipped */
	}
	return NULL;
}

/* When the schedule wants its next callback; the past without a rate. */
static int64_t scheduled_us(const struct run *run)
{
	uint64_t rate_milli = run->options->rate_milli;

	if (!rate_milli)
		return run->began_us;
	return run->began_us + (int64_t)((double)run->scheduled * 1e9 / (double)rate_milli);
}

/* What should go out now, or NULL. */
static struct play *next_play(struct run *run)
{
	int64_t now = now_us(run);
	int64_t meant_us = scheduled_us(run);
	struct play *play;

	if (run->stopping || run->err)
		return NULL;
	if (run->waiting.first && run->waiting.first->due_us <= now)
		return pop(&run->waiting);
	if (meant_us > now)
		return NULL;
	/* Several orders for each connection, so that their callbacks come mixed as in life. */
	play = run->in_play < ORDERS_PER_CONNECTION * run->options->concurrency ? new_order(run)
										: NULL;
	if (!play)
		play = pop(&run->ready);
	if (!play)
		play = new_order(run);
	if (!play)
		return NULL;
	play->due_us = run->options->rate_milli ? meant_us : now;
	run->scheduled++;
	return play;
}

static void send_due(struct run *run)
{
	struct play *play;

	while (http_client_free_connections(run->client) && (play = next_play(run))) {
		int err = send_one(run, play);
		if (err) {
			fail(run, err, "a callback could not be sent");
			free(play);
			run->in_play--;
			return;
		}
	}
}

static int64_t until_next(const struct run *run, int64_t tick_us)
{
	int64_t until = tick_us;
	bool more = run->ready.first || may_begin(run);

	if (!http_client_free_connections(run->client) || run->stopping)
		return until - now_us(run);
	if (run->waiting.first && run->waiting.first->due_us < until)
		until = run->waiting.first->due_us;
	if (more && run->options->rate_milli && scheduled_us(run) < until)
		until = scheduled_us(run);
	return until - now_us(run);
}

static bool is_over(const struct run *run)
{
	if (run->err)
		return true;
	if (run->stopping)
		return run->under_way == 0;
	return run->in_play == 0 && run->summary->orders == run->options->orders;
}

static void play_all(struct run *run)
{
	int64_t tick_us = now_us(run);

	while (!is_over(run)) {
		int64_t now = now_us(run);
		if (now >= tick_us) {
			run->summary->elapsed_us = now - run->began_us;
			enum sim_command command =
				run->options->tick(run->options->context, run->summary);
			run->stopping = run->stopping || command != SIM_GO_ON;
			if (command == SIM_STOP_NOW)
				break;
			tick_us = now + TICK_US;
		}
		send_due(run);
		int64_t wait_us = until_next(run, tick_us);
		int err = http_client_run(run->client, wait_us > 0 ? wait_us : 0);
		if (err)
			fail(run, err, "waiting for answers");
	}
	run->summary->elapsed_us = now_us(run) - run->began_us;
}

static void drop(struct queue *queue)
{
	struct play *play;

	while ((play = pop(queue)))
		free(play);
}

int sim_run(const struct sim_options *options, struct sim_summary *ret, struct buf *problem)
{
	struct run run = {.options = options, .summary = ret, .problem = problem};
	struct http_client_options client = {.url = options->url,
					     .unix_socket = options->unix_socket,
					     .token = options->token,
					     .allow_external = options->allow_external,
					     .connections = options->concurrency,
					     .timeout_ms = options->timeout_ms,
					     .done = on_answer,
					     .context = &run};
	int err;

	*ret = (struct sim_summary){.orders = 0};
	run.ready.end = &run.ready.first;
	run.waiting.end = &run.waiting.first;
	buf_init(&run.object, BODY_BYTES_MAX);
	buf_init(&run.body, BODY_BYTES_MAX);
	err = http_client_new(&client, &run.client, problem);
	if (err)
		return err;
	snprintf(ret->target, sizeof(ret->target), "%s", http_client_target(run.client));
	run.began_us = now_us(&run);
	play_all(&run);
	http_client_free(run.client);
	drop(&run.ready);
	drop(&run.waiting);
	buf_release(&run.object);
	buf_release(&run.body);
	return run.err;
}
