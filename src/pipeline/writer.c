/*
 * A list of jobs, a lock, a condition. The thread takes the whole list (up to batch_limit) at once,
 * so the lock is held for pointer work only, and the condition is signalled only while the thread
 * sleeps: under load a submission is a lock, three stores and an unlock.
 *
 * Who completes a job is decided by one atomic exchange on its state: WAITED to DONE by the writer,
 * WAITED to ABANDONED by writer_expire(). Whoever finds WAITED calls done; the writer, finding
 * ABANDONED, frees the job that nobody waits for.
 *
 * Failures: a full disk and a busy store pass, and the next batch tries again. A store that failed
 * in a way that an fsync may have been lost, or whose file is gone, is never written again: the
 * failure sticks, every job is refused, and the daemon ends (74) so that recovery starts from the
 * log on disk.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "orderhook/err.h"
#include "orderhook/metrics.h"
#include "writer_private.h"

#define WAIT_LIMIT_US 700000 /* callers are promised an answer within a second */

enum job_state {
	JOB_WAITED = 0, /* as write_job.c makes it */
	JOB_DONE,
	JOB_ABANDONED
};

/* How long a job submitted now would wait, from how long batches take: the rest of the one that is
 * being written, those that are queued, and its own. A batch that hangs is no sign of how the next
 * ones will go, so while there is less than one queued everybody is let in. */
static bool waits_too_long(const struct writer *writer)
{
	int64_t queued = (int64_t)(writer->n_queued / writer->options.batch_limit);

	return queued > 0 && (queued + 2) * writer->batch_us > WAIT_LIMIT_US;
}

static int refusal_locked(const struct writer *writer)
{
	int failure = atomic_load_explicit(&writer->failure, memory_order_relaxed);

	if (failure)
		return failure;
	if (writer->stopping)
		return -ERR_DRAINING;
	if (writer->n_queued + writer->n_batch >= writer->options.queue_limit ||
	    waits_too_long(writer))
		return -ERR_QUEUE_FULL;
	return 0;
}

int writer_ready(struct writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	int err = refusal_locked(writer);
	pthread_mutex_unlock(&writer->lock);
	return err;
}

static void job_prepare(struct write_job *job)
{
	job->item.event = &job->event;
	job->item.machine = job->machine;
	job->item.endpoint = job->endpoint;
	job->item.body = buf_slice(&job->body);
	job->item.head = buf_slice(&job->head);
	job->item.remote = job->remote;
	job->item.result = (struct store_result){.err = -ERR_NOT_COMMITTED};
	job->next = NULL;
}

int writer_submit(struct writer *writer, struct write_job *job)
{
	bool wake;
	int err;

	assert(job->done && job->machine);
	job_prepare(job);
	job->submitted_us = clock_elapsed_us(writer->options.clock);
	atomic_store_explicit(&job->state, JOB_WAITED, memory_order_relaxed);

	pthread_mutex_lock(&writer->lock);
	err = refusal_locked(writer);
	wake = !err && writer->asleep;
	if (!err) {
		*writer->queue_end = job;
		writer->queue_end = &job->next;
		writer->n_queued++;
		/* Cleared here, so that a burst signals once and not once for each job. */
		writer->asleep = false;
	}
	pthread_mutex_unlock(&writer->lock);
	if (wake)
		pthread_cond_signal(&writer->wake);
	return err;
}

/* Sleeps until there is work or a second has passed. Calls that wait out their rest are no work
 * yet. */
static void wait_for_work(struct writer *writer)
{
	bool resting = writer->call_waits;
	int64_t wait_us = resting ? call_queue_rest_us(&writer->calls) : WRITER_ROUND_US;
	struct timespec until;

	if (wait_us > WRITER_ROUND_US)
		wait_us = WRITER_ROUND_US;
	if (wait_us == 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += wait_us * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!writer->queue_first && !writer->stopping && writer->call_waits == resting &&
	       (!resting || call_queue_rest_us(&writer->calls))) {
		/* Anew each time: whoever woke it has cleared it, and may have brought no work. */
		writer->asleep = true;
		if (pthread_cond_timedwait(&writer->wake, &writer->lock, &until) == ETIMEDOUT)
			break;
	}
	writer->asleep = false;
}

static size_t take_batch(struct writer *writer)
{
	size_t n = 0;

	while (writer->queue_first && n < writer->options.batch_limit) {
		struct write_job *job = writer->queue_first;
		writer->queue_first = job->next;
		writer->batch[n] = job;
		writer->items[n] = &job->item;
		n++;
	}
	if (!writer->queue_first)
		writer->queue_end = &writer->queue_first;
	writer->n_queued -= n;
	writer->n_batch = n;
	return n;
}

/* The batch, with whatever was refused since the last one. */
static int write_to_store(struct writer *writer, size_t n)
{
	struct store *store = writer->options.store;
	struct store_held_stats stats;
	size_t n_holds = hold_queue_take(&writer->refused);
	int err = 0;

	if (n_holds)
		store->ops->hold(store, writer->refused.holds, n_holds);
	if (n || n_holds)
		err = store->ops->write_batch(store, writer->items, n);
	hold_queue_drop_taken(&writer->refused);
	for (size_t i = 0; err && i < n_holds; i++)
		metrics_held_dropped();
	store_held_stats(store, &stats);
	metrics_held(stats.held, stats.evicted, stats.failed);
	return err;
}

static void write_batch(struct writer *writer, size_t n)
{
	int64_t start_us = clock_elapsed_us(writer->options.clock);
	int err = atomic_load(&writer->failure);

	writer_housekeep(writer, start_us);
	if (!err)
		err = atomic_load(&writer->failure);
	if (!err) {
		err = write_to_store(writer, n);
		if (err)
			writer_note_failure(writer, err);
		else if (n)
			atomic_store(&writer->trouble, 0);
		if (!err && n)
			metrics_commit(clock_elapsed_us(writer->options.clock) - start_us, n,
				       clock_wall_ms(writer->options.clock));
	}
	/* A batch that was never tried is refused with the failure that kept it from it. */
	for (size_t i = 0; err && i < n; i++)
		writer->items[i]->result = (struct store_result){.err = err};
}

static void complete(struct write_job *job)
{
	const struct store_result *result = &job->item.result;

	if (result->err == 0 && job->event.kind == EVENT_ORDER)
		metrics_event(result->verdict);
	if (atomic_exchange(&job->state, JOB_DONE) == JOB_ABANDONED)
		write_job_free(job);
	else
		job->done(job, job->waiter, false);
}

/* One step of what an operator asked for. */
static void run_call(struct writer *writer, bool busy)
{
	bool waits;
	int err;

	pthread_mutex_lock(&writer->lock);
	/* Looked at under the lock under which writer_call() sets it after it has put one there. */
	waits = writer->call_waits = call_queue_waits(&writer->calls);
	pthread_mutex_unlock(&writer->lock);
	if (!waits)
		return;
	err = call_queue_run(&writer->calls, writer->options.store, atomic_load(&writer->failure),
			     busy);
	if (store_is_final(err) && !atomic_load(&writer->failure))
		writer_note_failure(writer, err);
}

/* An average that forgets: each batch counts an eighth. */
static void note_pace(struct writer *writer, int64_t took_us)
{
	writer->batch_us = writer->batch_us ? (writer->batch_us * 7 + took_us) / 8 : took_us;
}

static void note_progress(void *context)
{
	struct writer *writer = context;

	atomic_store(&writer->progress_us, clock_elapsed_us(writer->options.clock));
}

static void *writer_run(void *arg)
{
	struct writer *writer = arg;

	pthread_mutex_lock(&writer->lock);
	for (;;) {
		if (!writer->queue_first && !writer->stopping)
			wait_for_work(writer);
		if (!writer->queue_first && writer->stopping)
			break;
		size_t n = take_batch(writer);
		pthread_mutex_unlock(&writer->lock);

		int64_t start_us = clock_elapsed_us(writer->options.clock);
		write_batch(writer, n);
		int64_t took_us = clock_elapsed_us(writer->options.clock) - start_us;

		/* From here on writer_expire() does not see the batch, so each job has one owner.
		 */
		pthread_mutex_lock(&writer->lock);
		writer->n_batch = 0;
		if (n)
			note_pace(writer, took_us);
		metrics_queue_depth(writer->n_queued);
		pthread_mutex_unlock(&writer->lock);
		for (size_t i = 0; i < n; i++)
			complete(writer->batch[i]);
		run_call(writer, n > 0);
		note_progress(writer);
		pthread_mutex_lock(&writer->lock);
	}
	pthread_mutex_unlock(&writer->lock);
	call_queue_end(&writer->calls);
	while (call_queue_waits(&writer->calls))
		call_queue_run(&writer->calls, writer->options.store, 0, false);
	/* What was refused after the last batch. */
	write_batch(writer, 0);
	return NULL;
}

void writer_hold(struct writer *writer, struct write_hold *hold)
{
	int64_t now_us = clock_elapsed_us(writer->options.clock);

	if (hold_queue_put(&writer->refused, hold, now_us))
		return;
	write_hold_free(hold);
	metrics_held_dropped();
}

static void wake_for_calls(struct writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	writer->call_waits = true;
	writer->asleep = false;
	pthread_mutex_unlock(&writer->lock);
	pthread_cond_signal(&writer->wake);
}

int writer_call(struct writer *writer, struct writer_call *call)
{
	int err = atomic_load(&writer->failure);

	if (!err)
		err = call_queue_put(&writer->calls, call);
	if (!err)
		wake_for_calls(writer);
	return err;
}

void writer_end_calls(struct writer *writer)
{
	call_queue_end(&writer->calls);
	wake_for_calls(writer);
}

/* Marks a job abandoned if it has waited too long; true when the caller must call its done. */
static bool expire_job(struct writer *writer, struct write_job *job, int64_t now_us)
{
	int waited = JOB_WAITED;

	return now_us - job->submitted_us > writer->options.commit_timeout_us &&
	       atomic_compare_exchange_strong(&job->state, &waited, JOB_ABANDONED);
}

struct expired {
	struct write_job *job;
	write_done_fn done;
	void *waiter;
};

#define EXPIRE_AT_ONCE 64

static size_t collect_expired(struct writer *writer, int64_t now_us, struct expired *expired)
{
	size_t n = 0;

	pthread_mutex_lock(&writer->lock);
	for (size_t i = 0; i < writer->n_batch && n < EXPIRE_AT_ONCE; i++) {
		struct write_job *job = writer->batch[i];
		if (expire_job(writer, job, now_us))
			expired[n++] = (struct expired){job, job->done, job->waiter};
	}
	for (struct write_job *job = writer->queue_first; job && n < EXPIRE_AT_ONCE;
	     job = job->next) {
		if (expire_job(writer, job, now_us))
			expired[n++] = (struct expired){job, job->done, job->waiter};
	}
	pthread_mutex_unlock(&writer->lock);
	return n;
}

void writer_expire(struct writer *writer)
{
	struct expired expired[EXPIRE_AT_ONCE];
	int64_t now_us = clock_elapsed_us(writer->options.clock);
	size_t n;

	do {
		n = collect_expired(writer, now_us, expired);
		for (size_t i = 0; i < n; i++)
			expired[i].done(expired[i].job, expired[i].waiter, true);
	} while (n == EXPIRE_AT_ONCE);
	call_queue_expire(&writer->calls, WRITER_CALL_TURN_US + writer->options.commit_timeout_us);
}

int writer_failure(const struct writer *writer)
{
	return atomic_load(&writer->failure);
}

int writer_trouble(const struct writer *writer)
{
	return atomic_load(&writer->trouble);
}

int64_t writer_progress_us(const struct writer *writer)
{
	return atomic_load(&writer->progress_us);
}

size_t writer_queue_depth(struct writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	size_t depth = writer->n_queued + writer->n_batch;
	pthread_mutex_unlock(&writer->lock);
	return depth;
}

static int start_thread(struct writer *writer)
{
	pthread_condattr_t attributes;
	int err;

	pthread_mutex_init(&writer->lock, NULL);
	/* Deadlines must not move when somebody sets the clock. */
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	err = pthread_create(&writer->thread, NULL, writer_run, writer);
	if (err) {
		pthread_cond_destroy(&writer->wake);
		pthread_mutex_destroy(&writer->lock);
	}
	return err ? -ERR_SYSTEM : 0;
}

static void writer_free_memory(struct writer *writer)
{
	writer->options.store->at_work = NULL;
	hold_queue_release(&writer->refused);
	call_queue_release(&writer->calls);
	free(writer->batch);
	free(writer->items);
	free(writer);
}

int writer_new(const struct writer_options *options, struct writer **ret)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	int err = -ERR_NOMEM;

	if (!writer)
		return -ERR_NOMEM;
	writer->options = *options;
	writer->queue_end = &writer->queue_first;
	writer->batch = calloc(options->batch_limit, sizeof(struct write_job *));
	writer->items = calloc(options->batch_limit, sizeof(struct store_item *));
	hold_queue_init(&writer->refused, clock_elapsed_us(options->clock));
	call_queue_init(&writer->calls, options->clock);
	note_progress(writer);
	options->store->at_work = note_progress;
	options->store->at_work_context = writer;
	if (writer->batch && writer->items)
		err = start_thread(writer);
	if (err) {
		writer_free_memory(writer);
		return err;
	}
	*ret = writer;
	return 0;
}

static void end_thread(struct writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	writer->stopping = true;
	pthread_mutex_unlock(&writer->lock);
	pthread_cond_signal(&writer->wake);
	pthread_join(writer->thread, NULL);
	writer->stopped = true;
}

int writer_stop(struct writer *writer)
{
	if (!writer)
		return 0;
	if (!writer->stopped)
		end_thread(writer);
	return atomic_load(&writer->failure);
}

void writer_free(struct writer *writer)
{
	if (!writer)
		return;
	writer_stop(writer);
	pthread_cond_destroy(&writer->wake);
	pthread_mutex_destroy(&writer->lock);
	writer_free_memory(writer);
}
