/*
 * Replay: stored callbacks, sent again over an http_client, in the order in which they arrived. Two
 * callbacks of one delivery order are never under way at once; those of different orders are.
 */
#pragma once

#include "orderhook/secret.h"
#include "orderhook/store.h"

#define REPLAY_CONNECTIONS_MAX 64
#define REPLAY_PROBLEM_BYTES 160

/* What goes out for an event. */
struct replay_message {
	struct buf body;
	struct buf content_type;
	struct buf headers; /* webhook-… as they came, "Name: value\n" each */
};

void replay_message_init(struct replay_message *message);
void replay_message_release(struct replay_message *message);
/* From the stored body and head, byte for byte. */
int replay_message_stored(struct slice body, struct slice head, struct replay_message *ret);
/* The same callback signed anew with MD5, in the form in which it came; webhook headers, which sign
 * the old bytes, are left out. Errors of shansong_sign() and json_scan_object(). */
int replay_message_signed(struct slice body, struct slice head, struct slice secret,
			  int64_t timestamp_ms, struct replay_message *ret);

/* Told of each one that was not acknowledged. http_status 0: no answer came. */
typedef void (*replay_failed_fn)(void *context, int64_t event_id, int http_status,
				 const char *problem);

struct replay_options {
	const char *url;
	const char *token; /* NULL: none */
	bool allow_external;
	size_t connections; /* 1 to REPLAY_CONNECTIONS_MAX */
	int64_t timeout_ms;
	replay_failed_fn failed;
	void *context;
};

struct replay_counts {
	int64_t sent;
	int64_t acked; /* HTTP 200 and a body whose status is 200 */
};

struct replay;

/* Errors and problem of http_client_new(). */
int replay_new(const struct replay_options *options, struct replay **ret, struct buf *problem);
/* Waits until nothing of this order is under way and a connection is free, then sends. */
int replay_send(struct replay *replay, int64_t event_id, const char *iss_order_no,
		const struct replay_message *message);
/* Lets the network go on until then (CLOCK_MONOTONIC), or until nothing is under way. */
int replay_wait(struct replay *replay, int64_t until_us);
int replay_finish(struct replay *replay);
const struct replay_counts *replay_counts(const struct replay *replay);
const char *replay_target(const struct replay *replay);
void replay_free(struct replay *replay); /* NULL is fine */
