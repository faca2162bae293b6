/* Refused deliveries on their way to the writer: a bounded list behind a token bucket. A part of
 * both is kept for ours, so that junk, however much of it comes, takes none of their places. */
#pragma once

#include <pthread.h>

#include "orderhook/writer.h"

#define HOLD_QUEUE_MAX 264
#define HOLD_QUEUE_STRANGERS 64 /* no stranger is put behind that many */

struct hold_queue {
	pthread_mutex_t lock;
	struct write_hold *first;                /* guarded by lock */
	struct write_hold **end;                 /* guarded by lock */
	size_t n;                                /* guarded by lock */
	int64_t tokens_us;                       /* guarded by lock: credit, in time */
	int64_t filled_us;                       /* guarded by lock */
	struct write_hold *taken;                /* the writer's: those of its batch */
	struct store_hold holds[HOLD_QUEUE_MAX]; /* the same for the store */
};

void hold_queue_init(struct hold_queue *queue, int64_t now_us);
void hold_queue_release(struct hold_queue *queue); /* frees what is left */
/* False when there is no room or no token for one of its half: then the delivery stays the
 * caller's. */
bool hold_queue_put(struct hold_queue *queue, struct write_hold *hold, int64_t now_us);
/* Takes all of them into holds, and returns how many. */
size_t hold_queue_take(struct hold_queue *queue);
/* Frees what was taken. */
void hold_queue_drop_taken(struct hold_queue *queue);
