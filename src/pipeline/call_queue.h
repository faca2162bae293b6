/* Calls on their way to the writer's thread, and the one that it is at. */
#pragma once

#include <pthread.h>

#include "orderhook/writer.h"

struct call_queue {
	const struct clock *clock;
	pthread_mutex_t lock;
	struct writer_call *first;   /* guarded by lock */
	struct writer_call **end;    /* guarded by lock */
	size_t n;                    /* guarded by lock */
	bool ended;                  /* guarded by lock: no new ones, those that wait are refused */
	struct writer_call *running; /* guarded by lock */
	int64_t rest_until_us;       /* the writer's thread's */
};

void call_queue_init(struct call_queue *queue, const struct clock *clock);
void call_queue_release(struct call_queue *queue); /* an empty one */
/* -ERR_CONTROL_BUSY, -ERR_DRAINING: then the call stays the caller's. */
int call_queue_put(struct call_queue *queue, struct writer_call *call);
void call_queue_end(struct call_queue *queue);
bool call_queue_waits(struct call_queue *queue);

/*
 * For the writer's thread: one step of the call whose turn it is. With a failure (of the store) the
 * call ends with it instead. busy: callbacks come, so the thread's time is shared out. Returns the
 * error of the call, else 0.
 */
int call_queue_run(struct call_queue *queue, struct store *store, int failure, bool busy);

/* For the same thread: how long until the next step may be taken. At the end there is no rest. */
int64_t call_queue_rest_us(struct call_queue *queue);

/* Gives up what has waited longer than timeout_us. */
void call_queue_expire(struct call_queue *queue, int64_t timeout_us);
