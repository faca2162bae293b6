/*
 * The writer: one thread, the only writer and the only checkpointer of the store. A callback is
 * handed to it as a write job; it takes whatever is queued (up to batch_limit), writes it in one
 * transaction with one fsync, and completes every job of the batch. No timer, no added delay: a
 * batch is what arrived during the last fsync.
 *
 * Ownership of a job: its maker's until writer_submit() succeeds; then the writer's; then, with the
 * call of done, the maker's again, who reads item.result and frees it. A job that waits longer than
 * commit_timeout is given up by writer_expire(): done is called with abandoned = true and the job
 * stays the writer's, which frees it after the commit.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "orderhook/store.h"

struct writer;
struct write_job;

/* Called without a lock held, from the writer's thread or from writer_expire()'s caller. */
typedef void (*write_done_fn)(struct write_job *job, void *waiter, bool abandoned);

#define WRITE_JOB_NAME_BYTES 65
#define WRITE_JOB_REMOTE_BYTES 64

struct write_job {
	/* The maker fills these before it submits. */
	struct event event;
	const struct order_machine *machine;
	struct buf body;
	struct buf head;
	char endpoint[WRITE_JOB_NAME_BYTES];
	char remote[WRITE_JOB_REMOTE_BYTES];
	write_done_fn done;
	void *waiter;

	/* The maker reads item.result once done was called with abandoned = false. */
	struct store_item item;

	/* The writer's own. */
	struct write_job *next; /* guarded by the writer's lock */
	int64_t submitted_us;
	atomic_int state;
};

struct writer_options {
	struct store *store; /* borrowed; nobody else touches it until writer_stop() */
	const struct clock *clock;
	size_t batch_limit;
	size_t queue_limit;
	int64_t commit_timeout_us;
};

/* Starts the thread. -ERR_NOMEM, -ERR_SYSTEM. */
int writer_new(const struct writer_options *options, struct writer **ret);
/* Writes what is queued, completes every job and call, ends the thread. The failure that stopped
 * the writer, 0 without one: the last of what was refused is written here. Who still has the writer
 * may go on using it: jobs and calls are refused. NULL is fine. */
int writer_stop(struct writer *writer);
/* Stops it, if that was not done. Nobody has it any more. NULL is fine. */
void writer_free(struct writer *writer);

/* An empty job whose buffers hold up to body_limit bytes each; NULL without memory. */
struct write_job *write_job_new(size_t body_limit);
void write_job_free(struct write_job *job); /* NULL is fine */

/* Idle jobs, to be used again with the room that their buffers have. For any thread. */
struct write_job_pool {
	pthread_mutex_t lock;
	struct write_job *first; /* guarded by lock */
	size_t n;                /* guarded by lock */
};
void write_job_pool_init(struct write_job_pool *pool);
void write_job_pool_release(struct write_job_pool *pool);
/* As write_job_new(). */
struct write_job *write_job_take(struct write_job_pool *pool, size_t body_limit);
/* As write_job_free(). */
void write_job_give(struct write_job_pool *pool, struct write_job *job);

/* 0 when a job submitted now would be queued; else the reason that writer_submit() would give. */
int writer_ready(struct writer *writer);
/* Takes the job over. -ERR_QUEUE_FULL, -ERR_DRAINING, or the failure that stopped the writer; then
 * the job stays the caller's. */
int writer_submit(struct writer *writer, struct write_job *job);
/* Gives up the jobs that have waited longer than commit_timeout, and calls that are overdue. */
void writer_expire(struct writer *writer);

/* One refused delivery to keep in the store's ring. */
struct write_hold {
	struct write_hold *next;
	char endpoint[WRITE_JOB_NAME_BYTES];
	char remote[WRITE_JOB_REMOTE_BYTES];
	const char *reason; /* a static string */
	struct buf head;
	struct buf body;
	int64_t received_ms;
	bool token_ok;
	bool ours;
};
void write_hold_free(struct write_hold *hold); /* NULL is fine */

#define WRITER_HOLDS_PER_SECOND 100

/*
 * Takes the delivery over, never waits and never fails: over WRITER_HOLDS_PER_SECOND, and without
 * room, it is dropped and counted. Half of the rate, and most of the room, are kept for ours. It is
 * written with the next batch, or within a second, and does not wake the writer: a commit of its
 * own would delay the events that come during it.
 */
void writer_hold(struct writer *writer, struct write_hold *hold);

/*
 * Work for the writer's thread that is no callback: what an operator asks for through the admin
 * socket. It is done in steps, one between two batches, and while callbacks wait the steps take at
 * most a quarter of the thread's time. Ownership is as of a job: the maker's until writer_call()
 * succeeds, then the writer's, and with the call of done the maker's again. A call that is not
 * done WRITER_CALL_TURN_US and commit_timeout after it was handed over is given up by
 * writer_expire(): done is called with abandoned = true, and the writer frees it when it gets hold
 * of it.
 */
struct writer_call {
	/* The maker fills these before it hands the call over. */

	/* On the writer's thread, without a lock held. A few tens of milliseconds of work, and what
	 * it did is committed when it returns: 0, WRITER_CALL_MORE to be called again, or the error
	 * that ends the call. */
	int (*step)(struct writer_call *call, struct store *store);
	/* Without a lock held, from the writer's thread or writer_expire()'s caller; once. */
	void (*done)(struct writer_call *call, void *waiter, bool abandoned);
	void (*free)(struct writer_call *call);
	void *waiter;

	/* The maker reads it once done was called with abandoned = false: 0; WRITER_CALL_MORE when
	 * its turn was over before its work was; the step's error; -ERR_DRAINING; the failure that
	 * stopped the writer. Steps before an error have happened. */
	int outcome;

	/* The writer's own. */
	struct writer_call *next;
	int64_t submitted_us;
	atomic_int state;
};

#define WRITER_CALL_MORE 1
/* No call keeps its place for longer: its maker hands in the rest as another one. */
#define WRITER_CALL_TURN_US 5000000
#define WRITER_CALLS_MAX 32

/* Takes the call over. -ERR_CONTROL_BUSY, -ERR_DRAINING, or the failure that stopped the writer;
 * then the call stays the caller's. */
int writer_call(struct writer *writer, struct writer_call *call);
/* From here on calls are refused, and those that wait end with -ERR_DRAINING. */
void writer_end_calls(struct writer *writer);

/* The failure after which nothing will be acknowledged any more, 0 while there is none. */
int writer_failure(const struct writer *writer);
/* The passing failure (a full disk, a held lock) of the last batch; 0 once a commit succeeded
 * again, which is tried every second without a callback. */
int writer_trouble(const struct writer *writer);
/* When the writer last finished a round of its loop: it does at least every second unless it is
 * stuck in the kernel. For the watchdog. */
int64_t writer_progress_us(const struct writer *writer);
size_t writer_queue_depth(struct writer *writer);
