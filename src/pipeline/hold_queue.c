/*
 * The bucket holds a second's worth of tokens and is kept as time: a token is WINDOW_US /
 * WRITER_HOLDS_PER_SECOND of it. It has a lock of its own, so that junk never waits for, or keeps,
 * the lock of the events' queue.
 *
 * One bucket, so that the two halves together keep to the rate, but a stranger takes a token only
 * while more than half of them are there. In a flood of junk ours find the other half at once and
 * then every token that comes; without ours, strangers get the whole rate. A bucket for each half
 * would give ours no more than half of the rate even when nobody else calls.
 */
#include "hold_queue.h"

#include <stdlib.h>

#define WINDOW_US 1000000
#define TOKEN_US (WINDOW_US / WRITER_HOLDS_PER_SECOND)

/* No token is left to strangers below this. */
#define RESERVED_US (WINDOW_US / 2)

/* The writer comes within a second: until then ours have room for all that the bucket lets in, what
 * it holds and what a second adds. */
_Static_assert(HOLD_QUEUE_MAX - HOLD_QUEUE_STRANGERS >= 2 * WRITER_HOLDS_PER_SECOND,
	       "ours of a second have room");

void write_hold_free(struct write_hold *hold)
{
	if (!hold)
		return;
	buf_release(&hold->head);
	buf_release(&hold->body);
	free(hold);
}

static void free_list(struct write_hold *hold)
{
	while (hold) {
		struct write_hold *next = hold->next;
		write_hold_free(hold);
		hold = next;
	}
}

void hold_queue_init(struct hold_queue *queue, int64_t now_us)
{
	*queue = (struct hold_queue){.tokens_us = WINDOW_US, .filled_us = now_us};
	queue->end = &queue->first;
	pthread_mutex_init(&queue->lock, NULL);
}

void hold_queue_release(struct hold_queue *queue)
{
	free_list(queue->first);
	free_list(queue->taken);
	pthread_mutex_destroy(&queue->lock);
}

static bool take_token_locked(struct hold_queue *queue, bool ours, int64_t now_us)
{
	int64_t reserved_us = ours ? 0 : RESERVED_US;

	if (now_us > queue->filled_us) {
		int64_t passed_us = now_us - queue->filled_us;
		queue->filled_us = now_us;
		queue->tokens_us += passed_us < WINDOW_US ? passed_us : WINDOW_US;
		if (queue->tokens_us > WINDOW_US)
			queue->tokens_us = WINDOW_US;
	}
	if (queue->tokens_us < reserved_us + TOKEN_US)
		return false;
	queue->tokens_us -= TOKEN_US;
	return true;
}

bool hold_queue_put(struct hold_queue *queue, struct write_hold *hold, int64_t now_us)
{
	size_t room = hold->ours ? HOLD_QUEUE_MAX : HOLD_QUEUE_STRANGERS;
	bool taken;

	pthread_mutex_lock(&queue->lock);
	taken = queue->n < room && take_token_locked(queue, hold->ours, now_us);
	if (taken) {
		hold->next = NULL;
		*queue->end = hold;
		queue->end = &hold->next;
		queue->n++;
	}
	pthread_mutex_unlock(&queue->lock);
	return taken;
}

size_t hold_queue_take(struct hold_queue *queue)
{
	size_t n = 0;

	pthread_mutex_lock(&queue->lock);
	queue->taken = queue->first;
	queue->first = NULL;
	queue->end = &queue->first;
	queue->n = 0;
	pthread_mutex_unlock(&queue->lock);
	for (struct write_hold *hold = queue->taken; hold; hold = hold->next)
		queue->holds[n++] = (struct store_hold){
			.endpoint = hold->endpoint,
			.reason = hold->reason,
			.remote = hold->remote,
			.head = buf_slice(&hold->head),
			.body = buf_slice(&hold->body),
			.received_ms = hold->received_ms,
			.token_ok = hold->token_ok,
			.ours = hold->ours,
		};
	return n;
}

void hold_queue_drop_taken(struct hold_queue *queue)
{
	free_list(queue->taken);
	queue->taken = NULL;
}
