/*
 * A short list with a lock of its own. Calls take turns: one step, then back to the end, so that a
 * long one does not keep a short one waiting.
 *
 * A step delays the callbacks that come during it. After one that was taken among callbacks the
 * next has to wait three times as long as it took, which leaves callbacks three quarters of the
 * thread's time however slow the disk is; on an idle daemon there is no pause.
 *
 * Who completes a call is decided by one exchange on its state, as for a write job.
 */
#include "call_queue.h"

#include <assert.h>

#include "orderhook/err.h"

#define REST_FACTOR 3

enum call_state {
	CALL_WAITED = 0,
	CALL_DONE,
	CALL_ABANDONED
};

void call_queue_init(struct call_queue *queue, const struct clock *clock)
{
	*queue = (struct call_queue){.clock = clock};
	queue->end = &queue->first;
	pthread_mutex_init(&queue->lock, NULL);
}

void call_queue_release(struct call_queue *queue)
{
	assert(!queue->first && !queue->running);
	pthread_mutex_destroy(&queue->lock);
}

static void append_locked(struct call_queue *queue, struct writer_call *call)
{
	call->next = NULL;
	*queue->end = call;
	queue->end = &call->next;
	queue->n++;
}

int call_queue_put(struct call_queue *queue, struct writer_call *call)
{
	int err = 0;

	assert(call->step && call->done && call->free);
	call->submitted_us = clock_elapsed_us(queue->clock);
	atomic_init(&call->state, CALL_WAITED);
	pthread_mutex_lock(&queue->lock);
	if (queue->ended)
		err = -ERR_DRAINING;
	else if (queue->n + (queue->running != NULL) >= WRITER_CALLS_MAX)
		err = -ERR_CONTROL_BUSY;
	else
		append_locked(queue, call);
	pthread_mutex_unlock(&queue->lock);
	return err;
}

void call_queue_end(struct call_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->ended = true;
	pthread_mutex_unlock(&queue->lock);
}

bool call_queue_waits(struct call_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool waits = queue->first != NULL;
	pthread_mutex_unlock(&queue->lock);
	return waits;
}

int64_t call_queue_rest_us(struct call_queue *queue)
{
	int64_t rest_us = queue->rest_until_us - clock_elapsed_us(queue->clock);

	pthread_mutex_lock(&queue->lock);
	bool ended = queue->ended;
	pthread_mutex_unlock(&queue->lock);
	return ended || rest_us < 0 ? 0 : rest_us;
}

static struct writer_call *take(struct call_queue *queue, bool *ret_ended)
{
	struct writer_call *call;

	pthread_mutex_lock(&queue->lock);
	call = queue->first;
	if (call) {
		queue->first = call->next;
		queue->n--;
		if (!queue->first)
			queue->end = &queue->first;
	}
	queue->running = call;
	*ret_ended = queue->ended;
	pthread_mutex_unlock(&queue->lock);
	return call;
}

static void put_back(struct call_queue *queue, struct writer_call *call)
{
	pthread_mutex_lock(&queue->lock);
	queue->running = NULL;
	append_locked(queue, call);
	pthread_mutex_unlock(&queue->lock);
}

/* From here on call_queue_expire() does not see it, so it has one owner. */
static void finish(struct call_queue *queue, struct writer_call *call, int outcome)
{
	pthread_mutex_lock(&queue->lock);
	queue->running = NULL;
	pthread_mutex_unlock(&queue->lock);
	call->outcome = outcome;
	if (atomic_exchange(&call->state, CALL_DONE) == CALL_ABANDONED)
		call->free(call);
	else
		call->done(call, call->waiter, false);
}

int call_queue_run(struct call_queue *queue, struct store *store, int failure, bool busy)
{
	int64_t start_us = clock_elapsed_us(queue->clock);
	struct writer_call *call;
	bool ended;
	int outcome;

	if (call_queue_rest_us(queue) > 0)
		return 0;
	call = take(queue, &ended);
	if (!call)
		return 0;
	if (failure)
		outcome = failure;
	else if (ended || atomic_load(&call->state) == CALL_ABANDONED)
		outcome = -ERR_DRAINING;
	else
		outcome = call->step(call, store);
	int64_t now_us = clock_elapsed_us(queue->clock);
	queue->rest_until_us = busy ? now_us + REST_FACTOR * (now_us - start_us) : now_us;
	if (outcome == WRITER_CALL_MORE && now_us - call->submitted_us < WRITER_CALL_TURN_US)
		put_back(queue, call);
	else
		finish(queue, call, outcome);
	return outcome < 0 ? outcome : 0;
}

struct overdue {
	struct writer_call *call;
	void (*done)(struct writer_call *call, void *waiter, bool abandoned);
	void *waiter;
};

static size_t collect(struct writer_call *call, int64_t before_us, struct overdue *overdue,
		      size_t n)
{
	int waited = CALL_WAITED;

	if (call->submitted_us < before_us &&
	    atomic_compare_exchange_strong(&call->state, &waited, CALL_ABANDONED))
		overdue[n++] = (struct overdue){call, call->done, call->waiter};
	return n;
}

void call_queue_expire(struct call_queue *queue, int64_t timeout_us)
{
	struct overdue overdue[WRITER_CALLS_MAX + 1];
	int64_t before_us = clock_elapsed_us(queue->clock) - timeout_us;
	size_t n = 0;

	pthread_mutex_lock(&queue->lock);
	if (queue->running)
		n = collect(queue->running, before_us, overdue, n);
	for (struct writer_call *call = queue->first; call; call = call->next)
		n = collect(call, before_us, overdue, n);
	pthread_mutex_unlock(&queue->lock);
	for (size_t i = 0; i < n; i++)
		overdue[i].done(overdue[i].call, overdue[i].waiter, true);
}
