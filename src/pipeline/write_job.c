/*
 * Jobs and the pool of idle ones. A job that was used keeps the room of its buffers, so that under
 * load a request allocates nothing for it. What a large request has grown is given back to the
 * system at once: the pool must not remember the worst moment of the year.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/writer.h"

#define HEAD_BYTES_MAX (64 * 1024)
#define KEPT_JOBS 512
#define KEPT_BYTES 4096 /* of one buffer */

static void reset(struct write_job *job, size_t body_limit)
{
	memset(&job->item, 0, sizeof(job->item));
	job->machine = NULL;
	job->done = NULL;
	job->waiter = NULL;
	job->next = NULL;
	job->endpoint[0] = '\0';
	job->remote[0] = '\0';
	buf_reset(&job->body);
	buf_reset(&job->head);
	job->body.limit = body_limit;
	atomic_store_explicit(&job->state, 0, memory_order_relaxed);
}

struct write_job *write_job_new(size_t body_limit)
{
	struct write_job *job = malloc(sizeof(*job));

	if (!job)
		return NULL;
	buf_init(&job->body, body_limit);
	buf_init(&job->head, HEAD_BYTES_MAX);
	reset(job, body_limit);
	return job;
}

void write_job_free(struct write_job *job)
{
	if (!job)
		return;
	buf_release(&job->body);
	buf_release(&job->head);
	free(job);
}

void write_job_pool_init(struct write_job_pool *pool)
{
	*pool = (struct write_job_pool){.first = NULL};
	pthread_mutex_init(&pool->lock, NULL);
}

void write_job_pool_release(struct write_job_pool *pool)
{
	while (pool->first) {
		struct write_job *job = pool->first;
		pool->first = job->next;
		write_job_free(job);
	}
	pthread_mutex_destroy(&pool->lock);
}

struct write_job *write_job_take(struct write_job_pool *pool, size_t body_limit)
{
	struct write_job *job;

	pthread_mutex_lock(&pool->lock);
	job = pool->first;
	if (job) {
		pool->first = job->next;
		pool->n--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!job)
		return write_job_new(body_limit);
	reset(job, body_limit);
	return job;
}

void write_job_give(struct write_job_pool *pool, struct write_job *job)
{
	bool kept = false;

	if (!job)
		return;
	if (job->body.cap <= KEPT_BYTES && job->head.cap <= KEPT_BYTES) {
		pthread_mutex_lock(&pool->lock);
		kept = pool->n < KEPT_JOBS;
		if (kept) {
			job->next = pool->first;
			pool->first = job;
			pool->n++;
		}
		pthread_mutex_unlock(&pool->lock);
	}
	if (!kept)
		write_job_free(job);
}
