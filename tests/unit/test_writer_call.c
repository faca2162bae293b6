/* Calls: steps between batches, turns, rests, ends. The queue by itself, then behind the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../src/pipeline/call_queue.h"
#include "orderhook/err.h"

struct probe {
	struct writer_call call; /* first */
	struct clock *clock;
	int64_t step_us; /* how long a step takes, by the clock */
	int steps_left;
	int fail_with;
	int steps;
	int done;
	int abandoned;
	int outcome;
	int freed;
	struct writer *writer; /* a callback comes during each step */
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static int probe_step(struct writer_call *call, struct store *store)
{
	struct probe *probe = (struct probe *)call;

	(void)store;
	probe->steps++;
	probe->clock->test_elapsed_us += probe->step_us;
	if (probe->fail_with)
		return probe->fail_with;
	return --probe->steps_left > 0 ? WRITER_CALL_MORE : 0;
}

static void probe_done(struct writer_call *call, void *waiter, bool abandoned)
{
	struct probe *probe = waiter;

	pthread_mutex_lock(&probe->lock);
	probe->done++;
	probe->abandoned = abandoned;
	if (!abandoned)
		probe->outcome = call->outcome;
	pthread_cond_broadcast(&probe->changed);
	pthread_mutex_unlock(&probe->lock);
}

static void probe_free(struct writer_call *call)
{
	((struct probe *)call)->freed++;
}

static struct probe probe_new(struct clock *clock, int steps)
{
	struct probe probe = {.clock = clock, .steps_left = steps};

	probe.call.step = probe_step;
	probe.call.done = probe_done;
	probe.call.free = probe_free;
	pthread_mutex_init(&probe.lock, NULL);
	pthread_cond_init(&probe.changed, NULL);
	return probe;
}

static void put(struct call_queue *queue, struct probe *probe)
{
	probe->call.waiter = probe;
	assert_int_equal(call_queue_put(queue, &probe->call), 0);
}

static void test_calls_take_turns_step_by_step(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe first = probe_new(&clock, 3);
	struct probe second = probe_new(&clock, 1);
	struct call_queue queue;

	(void)state;
	call_queue_init(&queue, &clock);
	put(&queue, &first);
	put(&queue, &second);
	assert_int_equal(call_queue_run(&queue, NULL, 0, false), 0);
	assert_int_equal(call_queue_run(&queue, NULL, 0, false), 0);
	assert_int_equal(first.steps, 1);
	assert_int_equal(second.done, 1);
	assert_int_equal(second.outcome, 0);
	assert_int_equal(first.done, 0);
	while (call_queue_waits(&queue))
		call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(first.steps, 3);
	assert_int_equal(first.done, 1);
	assert_int_equal(first.freed, 0);
	call_queue_release(&queue);
}

static void test_among_callbacks_steps_take_a_quarter_of_the_time(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe probe = probe_new(&clock, 3);
	struct call_queue queue;

	(void)state;
	probe.step_us = 10000;
	call_queue_init(&queue, &clock);
	put(&queue, &probe);
	call_queue_run(&queue, NULL, 0, true);
	assert_int_equal(call_queue_rest_us(&queue), 30000);
	clock.test_elapsed_us += 29999;
	call_queue_run(&queue, NULL, 0, true);
	assert_int_equal(probe.steps, 1);
	clock.test_elapsed_us += 1;
	call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(probe.steps, 2);
	/* Nobody waited this time, so there is no rest. */
	assert_int_equal(call_queue_rest_us(&queue), 0);
	call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(probe.done, 1);
	call_queue_release(&queue);
}

static void test_a_call_ends_when_its_turn_is_over_and_says_that_there_is_more(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe probe = probe_new(&clock, 1000000);
	struct call_queue queue;

	(void)state;
	probe.step_us = WRITER_CALL_TURN_US / 4;
	call_queue_init(&queue, &clock);
	put(&queue, &probe);
	while (call_queue_waits(&queue))
		call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(probe.steps, 4);
	assert_int_equal(probe.done, 1);
	assert_int_equal(probe.outcome, WRITER_CALL_MORE);
	call_queue_release(&queue);
}

static void test_an_overdue_call_is_given_up_once_and_never_begun(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe probe = probe_new(&clock, 1);
	struct call_queue queue;

	(void)state;
	call_queue_init(&queue, &clock);
	put(&queue, &probe);
	clock.test_elapsed_us += 1000;
	call_queue_expire(&queue, 1000);
	assert_int_equal(probe.done, 0);
	clock.test_elapsed_us += 1;
	call_queue_expire(&queue, 1000);
	call_queue_expire(&queue, 1000);
	assert_int_equal(probe.done, 1);
	assert_true(probe.abandoned);
	assert_int_equal(probe.freed, 0);
	call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(probe.steps, 0);
	assert_int_equal(probe.freed, 1);
	assert_int_equal(probe.done, 1);
	call_queue_release(&queue);
}

static struct call_queue *stuck_queue;

/* The disk does not answer, and the main thread gives up what is overdue meanwhile. */
static int stuck_step(struct writer_call *call, struct store *store)
{
	struct probe *probe = (struct probe *)call;

	(void)store;
	probe->clock->test_elapsed_us += 2000;
	call_queue_expire(stuck_queue, 1000);
	assert_int_equal(probe->done, 1);
	return WRITER_CALL_MORE;
}

static void test_a_call_given_up_during_its_step_is_freed_by_the_writer(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe probe = probe_new(&clock, 1);
	struct call_queue queue;

	(void)state;
	call_queue_init(&queue, &clock);
	stuck_queue = &queue;
	probe.call.step = stuck_step;
	put(&queue, &probe);
	call_queue_run(&queue, NULL, 0, false);
	call_queue_run(&queue, NULL, 0, false);
	assert_true(probe.abandoned);
	assert_int_equal(probe.done, 1);
	assert_int_equal(probe.freed, 1);
	call_queue_release(&queue);
}

static void test_at_the_end_those_that_wait_are_answered_and_new_ones_refused(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe waits = probe_new(&clock, 1);
	struct probe late = probe_new(&clock, 1);
	struct call_queue queue;

	(void)state;
	call_queue_init(&queue, &clock);
	put(&queue, &waits);
	call_queue_end(&queue);
	assert_int_equal(call_queue_put(&queue, &late.call), -ERR_DRAINING);
	call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(waits.steps, 0);
	assert_int_equal(waits.outcome, -ERR_DRAINING);
	assert_int_equal(late.done, 0);
	call_queue_release(&queue);
}

static void test_at_the_end_nobody_waits_out_a_rest(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe probe = probe_new(&clock, 2);
	struct call_queue queue;

	(void)state;
	probe.step_us = 10000;
	call_queue_init(&queue, &clock);
	put(&queue, &probe);
	call_queue_run(&queue, NULL, 0, true);
	call_queue_end(&queue);
	assert_int_equal(call_queue_rest_us(&queue), 0);
	call_queue_run(&queue, NULL, 0, false);
	assert_int_equal(probe.done, 1);
	assert_int_equal(probe.outcome, -ERR_DRAINING);
	call_queue_release(&queue);
}

static void test_too_many_calls_are_refused(void **state)
{
	struct clock clock = clock_fixed(1000, 1);
	struct probe probes[WRITER_CALLS_MAX + 1];
	struct call_queue queue;

	(void)state;
	call_queue_init(&queue, &clock);
	for (int i = 0; i <= WRITER_CALLS_MAX; i++)
		probes[i] = probe_new(&clock, 1);
	for (int i = 0; i < WRITER_CALLS_MAX; i++)
		put(&queue, &probes[i]);
	assert_int_equal(call_queue_put(&queue, &probes[WRITER_CALLS_MAX].call), -ERR_CONTROL_BUSY);
	call_queue_end(&queue);
	while (call_queue_waits(&queue))
		call_queue_run(&queue, NULL, 0, false);
	call_queue_release(&queue);
}

/* ------------------------------------------------------------------ behind the writer -- */

struct fake_store {
	struct store store;
	_Atomic int written;
};

static int fake_write(struct store *store, struct store_item **items, size_t n)
{
	struct fake_store *fake = (struct fake_store *)store;

	for (size_t i = 0; i < n; i++)
		items[i]->result = (struct store_result){.event_id = 1};
	fake->written += (int)n;
	return 0;
}

static int fake_well(struct store *store)
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
	(void)store;
	(void)holds;
	(void)n;
}

static const struct store_ops fake_ops = {fake_write, fake_well,  fake_well,
					  fake_well,  fake_close, fake_hold};

struct fixture {
	struct fake_store fake;
	struct clock clock;
	struct writer *writer;
};

static void start(struct fixture *fixture)
{
	struct writer_options options = {.store = &fixture->fake.store,
					 .clock = &fixture->clock,
					 .batch_limit = 8,
					 .queue_limit = 8,
					 .commit_timeout_us = 1000};

	memset(&fixture->fake, 0, sizeof(fixture->fake));
	fixture->fake.store.ops = &fake_ops;
	fixture->clock = clock_fixed(1000, 1);
	assert_int_equal(writer_new(&options, &fixture->writer), 0);
}

static void wait_done(struct probe *probe)
{
	pthread_mutex_lock(&probe->lock);
	while (!probe->done)
		pthread_cond_wait(&probe->changed, &probe->lock);
	pthread_mutex_unlock(&probe->lock);
}

static void free_job(struct write_job *job, void *waiter, bool abandoned)
{
	(void)waiter;
	assert_false(abandoned);
	write_job_free(job);
}

/* A callback comes during each step, and is on disk before the next. */
static int crowded_step(struct writer_call *call, struct store *store)
{
	struct probe *probe = (struct probe *)call;
	struct fake_store *fake = (struct fake_store *)store;
	struct write_job *job = write_job_new(1024);

	assert_int_equal(fake->written, probe->steps);
	memset(&job->event, 0, sizeof(job->event));
	job->machine = order_machine_v5();
	job->done = free_job;
	assert_int_equal(writer_submit(probe->writer, job), 0);
	return ++probe->steps < 20 ? WRITER_CALL_MORE : 0;
}

static void test_callbacks_are_written_between_the_steps_of_a_call(void **state)
{
	struct fixture fixture;
	struct probe probe;

	(void)state;
	start(&fixture);
	probe = probe_new(&fixture.clock, 1);
	probe.writer = fixture.writer;
	probe.call.step = crowded_step;
	probe.call.waiter = &probe;
	assert_int_equal(writer_call(fixture.writer, &probe.call), 0);
	wait_done(&probe);
	assert_int_equal(probe.outcome, 0);
	assert_int_equal(probe.steps, 20);
	writer_free(fixture.writer);
	assert_int_equal(fixture.fake.written, 20);
}

static void test_a_store_that_fails_in_a_call_stops_the_writer(void **state)
{
	struct fixture fixture;
	struct probe probe;
	struct probe next;

	(void)state;
	start(&fixture);
	probe = probe_new(&fixture.clock, 1);
	next = probe_new(&fixture.clock, 1);
	probe.fail_with = -ERR_STORE_IO;
	probe.call.waiter = &probe;
	assert_int_equal(writer_call(fixture.writer, &probe.call), 0);
	wait_done(&probe);
	assert_int_equal(probe.outcome, -ERR_STORE_IO);
	/* The failure is noted after the call is answered, and before the thread goes on. */
	for (int i = 0; i < 10000 && !writer_failure(fixture.writer); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_int_equal(writer_call(fixture.writer, &next.call), -ERR_STORE_IO);
	assert_int_equal(writer_ready(fixture.writer), -ERR_STORE_IO);
	writer_free(fixture.writer);
}

/* As the store does in the midst of clearing a large file. */
static int long_step(struct writer_call *call, struct store *store)
{
	struct probe *probe = (struct probe *)call;

	probe->clock->test_elapsed_us += 30000000;
	store->at_work(store->at_work_context);
	probe->steps = writer_progress_us(probe->writer) == clock_elapsed_us(probe->clock);
	return 0;
}

static void test_a_long_step_that_is_at_work_does_not_look_stuck(void **state)
{
	struct fixture fixture;
	struct probe probe;

	(void)state;
	start(&fixture);
	probe = probe_new(&fixture.clock, 1);
	probe.writer = fixture.writer;
	probe.call.step = long_step;
	probe.call.waiter = &probe;
	assert_int_equal(writer_call(fixture.writer, &probe.call), 0);
	wait_done(&probe);
	assert_int_equal(probe.steps, 1);
	writer_free(fixture.writer);
	assert_null(fixture.fake.store.at_work);
}

static void test_a_full_disk_in_a_call_passes(void **state)
{
	struct fixture fixture;
	struct probe probe;

	(void)state;
	start(&fixture);
	probe = probe_new(&fixture.clock, 1);
	probe.fail_with = -ERR_STORE_FULL;
	probe.call.waiter = &probe;
	assert_int_equal(writer_call(fixture.writer, &probe.call), 0);
	wait_done(&probe);
	assert_int_equal(probe.outcome, -ERR_STORE_FULL);
	writer_free(fixture.writer);
	assert_int_equal(probe.done, 1);
}

/* ------------------------------------------------------------------ asleep ------------- */

#define HANGS_AFTER_S 20

/* The writer's thread sleeps by this function: it is counted, and may be kept from waking up by
 * itself, so that a wake-up that nobody sends is one that never comes. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int times; /* guarded by lock: that it slept for ever */
	_Atomic bool for_ever;
} sleeps = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
			   const struct timespec *until)
{
	if (!sleeps.for_ever)
		return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
	pthread_mutex_lock(&sleeps.lock);
	sleeps.times++;
	pthread_cond_broadcast(&sleeps.changed);
	pthread_mutex_unlock(&sleeps.lock);
	return pthread_cond_wait(condition, mutex);
}

static void wait_slept(int times)
{
	pthread_mutex_lock(&sleeps.lock);
	while (sleeps.times < times)
		pthread_cond_wait(&sleeps.changed, &sleeps.lock);
	pthread_mutex_unlock(&sleeps.lock);
}

/* Its second step is taken among callbacks and is a long one, so that a rest follows. */
static int resting_step(struct writer_call *call, struct store *store)
{
	struct probe *probe = (struct probe *)call;

	(void)store;
	if (probe->steps++ == 0) {
		struct write_job *job = write_job_new(1024);
		memset(&job->event, 0, sizeof(job->event));
		job->machine = order_machine_v5();
		job->done = free_job;
		assert_int_equal(writer_submit(probe->writer, job), 0);
	} else {
		probe->clock->test_elapsed_us += 1000000;
		sleeps.for_ever = true;
	}
	return WRITER_CALL_MORE;
}

static void note_written(struct write_job *job, void *waiter, bool abandoned)
{
	struct probe *probe = waiter;

	write_job_free(job);
	probe_done(&probe->call, probe, abandoned);
}

static void start_resting(struct fixture *fixture, struct probe *probe)
{
	start(fixture);
	*probe = probe_new(&fixture->clock, 1);
	probe->writer = fixture->writer;
	probe->call.step = resting_step;
	probe->call.waiter = probe;
	alarm(HANGS_AFTER_S);
	assert_int_equal(writer_call(fixture->writer, &probe->call), 0);
	wait_slept(1);
}

static void end_resting(struct fixture *fixture, const struct probe *probe)
{
	writer_free(fixture->writer);
	assert_int_equal(probe->done, 1);
	assert_int_equal(probe->outcome, -ERR_DRAINING);
	sleeps.for_ever = false;
	sleeps.times = 0;
	alarm(0);
}

static void test_a_callback_wakes_the_writer_from_a_rest_in_which_another_call_came(void **state)
{
	struct fixture fixture;
	struct probe rests;
	struct probe second;
	struct probe callback;
	struct write_job *job = write_job_new(1024);

	(void)state;
	start_resting(&fixture, &rests);
	second = probe_new(&fixture.clock, 1);
	second.call.waiter = &second;
	assert_int_equal(writer_call(fixture.writer, &second.call), 0);
	wait_slept(2);
	callback = probe_new(&fixture.clock, 1);
	memset(&job->event, 0, sizeof(job->event));
	job->machine = order_machine_v5();
	job->done = note_written;
	job->waiter = &callback;
	assert_int_equal(writer_submit(fixture.writer, job), 0);
	wait_done(&callback);
	assert_int_equal(second.steps, 0);
	end_resting(&fixture, &rests);
	assert_int_equal(second.outcome, -ERR_DRAINING);
}

static void test_at_the_end_of_calls_one_that_rests_is_answered_at_once(void **state)
{
	struct fixture fixture;
	struct probe rests;

	(void)state;
	start_resting(&fixture, &rests);
	writer_end_calls(fixture.writer);
	wait_done(&rests);
	end_resting(&fixture, &rests);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_take_turns_step_by_step),
		cmocka_unit_test(test_among_callbacks_steps_take_a_quarter_of_the_time),
		cmocka_unit_test(
			test_a_call_ends_when_its_turn_is_over_and_says_that_there_is_more),
		cmocka_unit_test(test_an_overdue_call_is_given_up_once_and_never_begun),
		cmocka_unit_test(test_a_call_given_up_during_its_step_is_freed_by_the_writer),
		cmocka_unit_test(test_at_the_end_those_that_wait_are_answered_and_new_ones_refused),
		cmocka_unit_test(test_at_the_end_nobody_waits_out_a_rest),
		cmocka_unit_test(test_too_many_calls_are_refused),
		cmocka_unit_test(test_callbacks_are_written_between_the_steps_of_a_call),
		cmocka_unit_test(test_a_store_that_fails_in_a_call_stops_the_writer),
		cmocka_unit_test(test_a_long_step_that_is_at_work_does_not_look_stuck),
		cmocka_unit_test(test_a_full_disk_in_a_call_passes),
		cmocka_unit_test(
			test_a_callback_wakes_the_writer_from_a_rest_in_which_another_call_came),
		cmocka_unit_test(test_at_the_end_of_calls_one_that_rests_is_answered_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
