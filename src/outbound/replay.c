/*
 * What is under way is a small array, one place for each connection, with the order's number in it:
 * the next callback of an order waits for the one before, as the platform itself would send it, and
 * since callbacks go out in the order of arrival nothing overtakes within an order.
 */
#include "orderhook/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/http_client.h"
#include "orderhook/json_scan.h"

#define WAIT_US 100000

struct flight {
	struct replay *replay;
	int64_t event_id; /* 0: free */
	char iss_order_no[EVENT_ID_BYTES_MAX + 1];
};

struct replay {
	struct http_client *client;
	struct flight flights[REPLAY_CONNECTIONS_MAX];
	size_t n_flights;
	replay_failed_fn failed;
	void *context;
	struct replay_counts counts;
};

/* The number that the platform takes for its answer: 0 when there is none. */
static int status_of_body(struct slice body)
{
	struct json_object object;
	const struct json_member *status;
	uint64_t number;

	if (json_scan_object(body, &object))
		return 0;
	status = json_find(&object, "status");
	if (!status || status->type != JSON_NUMBER || slice_to_u64(status->value, 999, &number))
		return 0;
	return (int)number;
}

static void on_done(void *context, void *tag, const struct http_answer *answer)
{
	struct replay *replay = context;
	struct flight *flight = tag;
	char problem[REPLAY_PROBLEM_BYTES] = "";

	if (answer->status == 200 && status_of_body(answer->body) == 200) {
		replay->counts.acked++;
	} else {
		if (answer->status)
			snprintf(problem, sizeof(problem),
				 "answered with HTTP %d, status %d in the body", answer->status,
				 status_of_body(answer->body));
		else
			snprintf(problem, sizeof(problem), "no answer: %s", answer->problem);
		replay->failed(replay->context, flight->event_id, answer->status, problem);
	}
	flight->event_id = 0;
}

int replay_new(const struct replay_options *options, struct replay **ret, struct buf *problem)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	int err;

	if (!replay)
		return -ERR_NOMEM;
	replay->n_flights = options->connections;
	replay->failed = options->failed;
	replay->context = options->context;
	err = http_client_new(
		&(struct http_client_options){.url = options->url,
					      .token = options->token,
					      .allow_external = options->allow_external,
					      .connections = options->connections,
					      .timeout_ms = options->timeout_ms,
					      .done = on_done,
					      .context = replay},
		&replay->client, problem);
	if (err) {
		free(replay);
		return err;
	}
	*ret = replay;
	return 0;
}

static bool is_under_way(const struct replay *replay, const char *iss_order_no)
{
	for (size_t i = 0; i < replay->n_flights; i++) {
		const struct flight *flight = &replay->flights[i];
		if (flight->event_id &&
		    (!iss_order_no || strcmp(flight->iss_order_no, iss_order_no) == 0))
			return true;
	}
	return false;
}

static struct flight *free_flight(struct replay *replay)
{
	for (size_t i = 0; i < replay->n_flights; i++) {
		if (!replay->flights[i].event_id)
			return &replay->flights[i];
	}
	return NULL;
}

int replay_send(struct replay *replay, int64_t event_id, const char *iss_order_no,
		const struct replay_message *message)
{
	struct flight *flight;
	int err = 0;

	while (!err && (is_under_way(replay, iss_order_no) ||
			!http_client_free_connections(replay->client)))
		err = http_client_run(replay->client, WAIT_US);
	if (err)
		return err;
	flight = free_flight(replay);
	if (!flight)
		return -ERR_INTERNAL;
	err = slice_copy(slice_of(iss_order_no), flight->iss_order_no,
			 sizeof(flight->iss_order_no));
	if (!err)
		err = http_client_post(
			replay->client,
			&(struct http_post){.body = buf_slice(&message->body),
					    .content_type = message->content_type.data,
					    .headers = message->headers.data,
					    .tag = flight});
	if (err)
		return err;
	flight->event_id = event_id;
	replay->counts.sent++;
	return http_client_run(replay->client, 0);
}

int replay_wait(struct replay *replay, int64_t until_us)
{
	int64_t left_us;
	int err = 0;

	while (!err && (left_us = until_us - clock_elapsed_us(clock_system())) > 0)
		err = http_client_run(replay->client, left_us < WAIT_US ? left_us : WAIT_US);
	return err;
}

int replay_finish(struct replay *replay)
{
	int err = 0;

	while (!err && is_under_way(replay, NULL))
		err = http_client_run(replay->client, WAIT_US);
	return err;
}

const struct replay_counts *replay_counts(const struct replay *replay)
{
	return &replay->counts;
}

const char *replay_target(const struct replay *replay)
{
	return http_client_target(replay->client);
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	http_client_free(replay->client);
	free(replay);
}
