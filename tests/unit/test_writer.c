/* The writer over a store of the test's own: batches, ownership, limits, failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/writer.h"

/* A store whose commits wait until the test lets them through, and fail as the test says. */
struct fake_store {
	struct store store;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int permits; /* guarded by lock: how many batches may still commit */
	int inside;  /* guarded by lock: batches that wait for a permit */
	int fail_with;
	int moved;
	size_t batches[64];
	size_t n_batches;
	int64_t next_id;
	size_t n_held; /* guarded by lock */
};

struct fixture {
	struct fake_store fake;
	struct clock clock;
	struct writer *writer;
};

struct outcome {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int done;
	int abandoned;
	int err;
	int64_t event_id;
};

static int fake_write(struct store *store, struct store_item **items, size_t n)
{
	struct fake_store *fake = (struct fake_store *)store;

	pthread_mutex_lock(&fake->lock);
	fake->inside++;
	pthread_cond_broadcast(&fake->changed);
	while (fake->permits == 0)
		pthread_cond_wait(&fake->changed, &fake->lock);
	fake->permits--;
	fake->inside--;
	int err = fake->fail_with;
	if (fake->n_batches < 64)
		fake->batches[fake->n_batches++] = n;
	for (size_t i = 0; i < n; i++) {
		items[i]->result.err = err;
		items[i]->result.event_id = err ? 0 : ++fake->next_id;
		items[i]->result.verdict = VERDICT_APPLIED;
	}
	pthread_mutex_unlock(&fake->lock);
	return err;
}

static int fake_check(struct store *store)
{
	struct fake_store *fake = (struct fake_store *)store;

	pthread_mutex_lock(&fake->lock);
	int moved = fake->moved;
	pthread_mutex_unlock(&fake->lock);
	return moved ? -ERR_STORE_MOVED : 0;
}

static int fake_touch(struct store *store)
{
	(void)store;
	return 0;
}

static void fake_close(struct store *store)
{
	(void)store;
}

static void fake_hold(struct store *store, const struct store_hold *holds, size_t n)
{
	struct fake_store *fake = (struct fake_store *)store;

	(void)holds;
	pthread_mutex_lock(&fake->lock);
	fake->n_held += n;
	pthread_mutex_unlock(&fake->lock);
}

static const struct store_ops fake_ops = {fake_write, fake_check, fake_touch,
					  fake_touch, fake_close, fake_hold};

static void permit(struct fixture *fixture, int batches)
{
	pthread_mutex_lock(&fixture->fake.lock);
	fixture->fake.permits += batches;
	pthread_cond_broadcast(&fixture->fake.changed);
	pthread_mutex_unlock(&fixture->fake.lock);
}

static void wait_inside(struct fixture *fixture)
{
	pthread_mutex_lock(&fixture->fake.lock);
	while (fixture->fake.inside == 0)
		pthread_cond_wait(&fixture->fake.changed, &fixture->fake.lock);
	pthread_mutex_unlock(&fixture->fake.lock);
}

static void start(struct fixture *fixture, size_t batch_limit, size_t queue_limit)
{
	struct writer_options options = {.store = &fixture->fake.store,
					 .clock = &fixture->clock,
					 .batch_limit = batch_limit,
					 .queue_limit = queue_limit,
					 .commit_timeout_us = 1000};

	memset(&fixture->fake, 0, sizeof(fixture->fake));
	fixture->fake.store.ops = &fake_ops;
	pthread_mutex_init(&fixture->fake.lock, NULL);
	pthread_cond_init(&fixture->fake.changed, NULL);
	/* It stands still, so that no housekeeping interferes. */
	fixture->clock = clock_fixed(1000, 1);
	assert_int_equal(writer_new(&options, &fixture->writer), 0);
}

static void finish(struct fixture *fixture)
{
	permit(fixture, 1000);
	writer_free(fixture->writer);
	pthread_cond_destroy(&fixture->fake.changed);
	pthread_mutex_destroy(&fixture->fake.lock);
}

static void note_done(struct write_job *job, void *waiter, bool abandoned)
{
	struct outcome *outcome = waiter;

	pthread_mutex_lock(&outcome->lock);
	outcome->done++;
	outcome->abandoned = abandoned;
	if (!abandoned) {
		outcome->err = job->item.result.err;
		outcome->event_id = job->item.result.event_id;
		write_job_free(job);
	}
	pthread_cond_broadcast(&outcome->changed);
	pthread_mutex_unlock(&outcome->lock);
}

static struct outcome outcome_new(void)
{
	return (struct outcome){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 1, 0};
}

static void wait_done(struct outcome *outcome)
{
	pthread_mutex_lock(&outcome->lock);
	while (!outcome->done)
		pthread_cond_wait(&outcome->changed, &outcome->lock);
	pthread_mutex_unlock(&outcome->lock);
}

static struct write_job *make_job(struct outcome *outcome)
{
	struct write_job *job = write_job_new(1024);

	assert_non_null(job);
	memset(&job->event, 0, sizeof(job->event));
	job->machine = order_machine_v5();
	job->done = note_done;
	job->waiter = outcome;
	return job;
}

static void test_result_is_poisoned_until_the_commit(void **state)
{
	struct fixture fixture;
	struct outcome outcome = outcome_new();
	struct write_job *job = make_job(&outcome);

	(void)state;
	start(&fixture, 8, 8);
	assert_int_equal(writer_submit(fixture.writer, job), 0);
	wait_inside(&fixture);
	assert_int_equal(job->item.result.err, -ERR_NOT_COMMITTED);
	assert_int_equal(outcome.done, 0);
	permit(&fixture, 1);
	wait_done(&outcome);
	assert_int_equal(outcome.err, 0);
	assert_int_equal(outcome.event_id, 1);
	finish(&fixture);
}

static void test_what_arrives_during_a_commit_is_the_next_batch(void **state)
{
	struct fixture fixture;
	struct outcome outcomes[10];

	(void)state;
	start(&fixture, 6, 100);
	for (int i = 0; i < 10; i++)
		outcomes[i] = outcome_new();
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[0])), 0);
	wait_inside(&fixture);
	for (int i = 1; i < 10; i++)
		assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[i])), 0);
	assert_int_equal(writer_queue_depth(fixture.writer), 10);
	permit(&fixture, 3);
	for (int i = 0; i < 10; i++) {
		wait_done(&outcomes[i]);
		assert_int_equal(outcomes[i].event_id, i + 1);
	}
	assert_int_equal(fixture.fake.n_batches, 3);
	assert_int_equal(fixture.fake.batches[0], 1);
	assert_int_equal(fixture.fake.batches[1], 6);
	assert_int_equal(fixture.fake.batches[2], 3);
	finish(&fixture);
}

static void test_queue_limit_counts_what_is_not_committed_yet(void **state)
{
	struct fixture fixture;
	struct outcome outcomes[3] = {outcome_new(), outcome_new(), outcome_new()};
	struct write_job *third = make_job(&outcomes[2]);

	(void)state;
	start(&fixture, 1, 2);
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[0])), 0);
	wait_inside(&fixture);
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[1])), 0);
	assert_int_equal(writer_ready(fixture.writer), -ERR_QUEUE_FULL);
	assert_int_equal(writer_submit(fixture.writer, third), -ERR_QUEUE_FULL);
	permit(&fixture, 2);
	wait_done(&outcomes[0]);
	wait_done(&outcomes[1]);
	assert_int_equal(outcomes[2].done, 0);
	write_job_free(third);
	finish(&fixture);
}

static void test_on_a_slow_disk_only_those_are_taken_who_are_answered_within_a_second(void **state)
{
	struct fixture fixture;
	struct outcome outcomes[4] = {outcome_new(), outcome_new(), outcome_new(), outcome_new()};

	(void)state;
	start(&fixture, 1, 100);
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[0])), 0);
	wait_inside(&fixture);
	/* Under a second: housekeeping would ask the store for more than this one can do. */
	fixture.clock.test_elapsed_us += 500000;
	permit(&fixture, 1);
	wait_done(&outcomes[0]);
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[1])), 0);
	wait_inside(&fixture);
	/* The batch under way may be the last slow one: whoever comes next is let in. */
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[2])), 0);
	assert_int_equal(writer_ready(fixture.writer), -ERR_QUEUE_FULL);
	permit(&fixture, 2);
	wait_done(&outcomes[2]);
	assert_int_equal(writer_ready(fixture.writer), 0);
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[3])), 0);
	permit(&fixture, 1);
	wait_done(&outcomes[3]);
	finish(&fixture);
}

static void test_failed_batch_acks_nobody_and_a_full_disk_passes(void **state)
{
	struct fixture fixture;
	struct outcome full = outcome_new();
	struct outcome good = outcome_new();

	(void)state;
	start(&fixture, 8, 8);
	fixture.fake.fail_with = -ERR_STORE_FULL;
	permit(&fixture, 1);
	assert_int_equal(writer_submit(fixture.writer, make_job(&full)), 0);
	wait_done(&full);
	assert_int_equal(full.err, -ERR_STORE_FULL);
	assert_int_equal(writer_failure(fixture.writer), 0);
	fixture.fake.fail_with = 0;
	permit(&fixture, 1);
	assert_int_equal(writer_submit(fixture.writer, make_job(&good)), 0);
	wait_done(&good);
	assert_int_equal(good.err, 0);
	finish(&fixture);
}

static void test_io_failure_is_final_and_is_never_retried(void **state)
{
	struct fixture fixture;
	struct outcome outcome = outcome_new();
	struct outcome after = outcome_new();
	struct write_job *job = make_job(&after);

	(void)state;
	start(&fixture, 8, 8);
	fixture.fake.fail_with = -ERR_STORE_IO;
	permit(&fixture, 1);
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcome)), 0);
	wait_done(&outcome);
	assert_int_equal(outcome.err, -ERR_STORE_IO);
	assert_int_equal(writer_failure(fixture.writer), -ERR_STORE_IO);
	assert_int_equal(writer_submit(fixture.writer, job), -ERR_STORE_IO);
	write_job_free(job);
	finish(&fixture);
	assert_int_equal(fixture.fake.n_batches, 1);
}

static void test_expired_job_is_given_up_once_and_stays_the_writers(void **state)
{
	struct fixture fixture;
	struct outcome in_batch = outcome_new();
	struct outcome queued = outcome_new();

	(void)state;
	start(&fixture, 1, 8);
	assert_int_equal(writer_submit(fixture.writer, make_job(&in_batch)), 0);
	wait_inside(&fixture);
	assert_int_equal(writer_submit(fixture.writer, make_job(&queued)), 0);
	writer_expire(fixture.writer);
	assert_int_equal(in_batch.done, 0);
	fixture.clock.test_elapsed_us += 2000;
	writer_expire(fixture.writer);
	writer_expire(fixture.writer);
	assert_int_equal(in_batch.done, 1);
	assert_int_equal(in_batch.abandoned, 1);
	assert_int_equal(queued.done, 1);
	assert_int_equal(queued.abandoned, 1);
	finish(&fixture);
	/* Both were written all the same: the retry will find them. */
	assert_int_equal(fixture.fake.next_id, 2);
	assert_int_equal(in_batch.done, 1);
}

static void test_free_writes_what_is_queued(void **state)
{
	struct fixture fixture;
	struct outcome outcomes[5];

	(void)state;
	start(&fixture, 2, 8);
	for (int i = 0; i < 5; i++) {
		outcomes[i] = outcome_new();
		assert_int_equal(writer_submit(fixture.writer, make_job(&outcomes[i])), 0);
	}
	finish(&fixture);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(outcomes[i].done, 1);
		assert_int_equal(outcomes[i].err, 0);
	}
}

static void test_after_the_stop_a_job_is_refused_and_stays_its_makers(void **state)
{
	struct fixture fixture;
	struct outcome queued = outcome_new();
	struct outcome late = outcome_new();
	struct write_job *job = make_job(&late);

	(void)state;
	start(&fixture, 8, 8);
	assert_int_equal(writer_submit(fixture.writer, make_job(&queued)), 0);
	permit(&fixture, 1000);
	writer_stop(fixture.writer);
	assert_int_equal(queued.done, 1);
	assert_int_equal(queued.err, 0);
	assert_int_equal(writer_ready(fixture.writer), -ERR_DRAINING);
	assert_int_equal(writer_submit(fixture.writer, job), -ERR_DRAINING);
	writer_expire(fixture.writer);
	assert_int_equal(late.done, 0);
	write_job_free(job);
	finish(&fixture);
	assert_int_equal(late.done, 0);
}

static void test_file_that_is_gone_stops_the_acks(void **state)
{
	struct fixture fixture;
	struct outcome outcome = outcome_new();

	(void)state;
	start(&fixture, 2, 8);
	fixture.fake.moved = 1;
	permit(&fixture, 1);
	/* Housekeeping is due after a second. */
	fixture.clock.test_elapsed_us += 2000000;
	assert_int_equal(writer_submit(fixture.writer, make_job(&outcome)), 0);
	wait_done(&outcome);
	assert_int_equal(outcome.err, -ERR_STORE_MOVED);
	finish(&fixture);
	assert_int_equal(fixture.fake.n_batches, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result_is_poisoned_until_the_commit),
		cmocka_unit_test(test_what_arrives_during_a_commit_is_the_next_batch),
		cmocka_unit_test(test_queue_limit_counts_what_is_not_committed_yet),
		cmocka_unit_test(
			test_on_a_slow_disk_only_those_are_taken_who_are_answered_within_a_second),
		cmocka_unit_test(test_failed_batch_acks_nobody_and_a_full_disk_passes),
		cmocka_unit_test(test_io_failure_is_final_and_is_never_retried),
		cmocka_unit_test(test_expired_job_is_given_up_once_and_stays_the_writers),
		cmocka_unit_test(test_free_writes_what_is_queued),
		cmocka_unit_test(test_after_the_stop_a_job_is_refused_and_stays_its_makers),
		cmocka_unit_test(test_file_that_is_gone_stops_the_acks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
