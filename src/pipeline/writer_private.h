/* What the two parts of the writer share. */
#pragma once

#include <pthread.h>

#include "call_queue.h"
#include "hold_queue.h"
#include "orderhook/writer.h"

#define WRITER_ROUND_US 1000000 /* the thread's loop turns at least this often */

struct writer {
	struct writer_options options;
	pthread_t thread;
	bool stopped; /* the thread has ended. Its owner's */
	pthread_mutex_t lock;
	pthread_cond_t wake;

	struct write_job *queue_first; /* guarded by lock */
	struct write_job **queue_end;  /* guarded by lock */
	size_t n_queued;               /* guarded by lock */
	size_t n_batch;                /* guarded by lock: jobs in batch not completed yet */
	bool asleep;                   /* guarded by lock */
	bool stopping;                 /* guarded by lock */
	int64_t batch_us;              /* guarded by lock: what a batch takes of late */
	bool call_waits;               /* guarded by lock */

	struct write_job **batch; /* the thread writes it under lock, writer_expire() reads it so */
	struct store_item **items;
	int64_t housekept_us; /* the thread's */
	int64_t alarmed_us;   /* the thread's; 0: never */

	struct hold_queue refused;
	struct call_queue calls;

	atomic_int failure;
	atomic_int trouble; /* what the last batch was refused for and passes by itself */
	_Atomic int64_t progress_us;
};

/* writer_upkeep.c, for the writer's thread. Says that a batch or a call failed; a final failure is
 * the writer's last. */
void writer_note_failure(struct writer *writer, int err);
/* At least every second: is the file still ours, and what do the gauges say. */
void writer_housekeep(struct writer *writer, int64_t now_us);
