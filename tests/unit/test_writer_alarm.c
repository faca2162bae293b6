/* The alarm of a log that somebody keeps from being used again: when it is told, and when not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/pipeline/writer_private.h"
#include "orderhook/clock.h"

#define SECOND_US 1000000
#define MINUTE_US (60 * SECOND_US)
#define LONG_BYTES (64 * 1024 * 1024 + 1)

static int64_t log_bytes;
static const char *log_reader;

static int fine(struct store *store)
{
	(void)store;
	return 0;
}

static int64_t bytes_of_log(const struct store *store)
{
	(void)store;
	return log_bytes;
}

static void name_reader(const struct store *store, struct buf *out)
{
	(void)store;
	if (log_reader)
		assert_int_equal(buf_add_string(out, log_reader), 0);
}

static const struct store_ops ops = {
	.check_file = fine,
	.touch = fine,
	.wal_bytes = bytes_of_log,
	.log_readers = name_reader,
};

/* The alarms of one round at this time; the last one's text is left in line. */
static int alarms_at(struct writer *writer, int64_t now_us, char line[1024])
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	int n = 0;

	assert_non_null(file);
	dup2(fileno(file), STDERR_FILENO);
	writer_housekeep(writer, now_us);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	while (fgets(line, 1024, file))
		n += strstr(line, "write-ahead log") != NULL;
	fclose(file);
	return n;
}

struct fixture {
	struct store store;
	struct writer writer;
	char line[1024];
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.store.ops = &ops, .writer.options.store = &fixture.store};
	log_bytes = LONG_BYTES;
	log_reader = "process 12 (shell)";
	*state = &fixture;
	return 0;
}

static void test_alarm_is_told_again_every_minute_while_somebody_reads(void **state)
{
	struct fixture *f = *state;
	int told = 0;

	/* A round every second, for three minutes and a bit. */
	for (int64_t at_us = SECOND_US; at_us <= 3 * MINUTE_US + 2 * SECOND_US; at_us += SECOND_US)
		told += alarms_at(&f->writer, at_us, f->line);
	assert_int_equal(told, 4);
}

static void test_alarm_says_who_reads_and_how_long_the_log_is(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(alarms_at(&f->writer, SECOND_US, f->line), 1);
	assert_non_null(strstr(f->line, "process 12 (shell)"));
	assert_non_null(strstr(f->line, "64 MB"));
}

static void test_log_that_keeps_its_length_when_nobody_reads_is_no_alarm(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(alarms_at(&f->writer, SECOND_US, f->line), 1);
	log_reader = NULL;
	assert_int_equal(alarms_at(&f->writer, 2 * MINUTE_US, f->line), 0);
	log_reader = "process 13 (shell)";
	assert_int_equal(alarms_at(&f->writer, 3 * MINUTE_US, f->line), 1);
}

static void test_reader_that_cannot_be_seen_is_one_that_attention_names(void **state)
{
	struct fixture *f = *state;

	log_reader = NULL;
	assert_int_equal(alarms_at(&f->writer, SECOND_US, f->line), 1);
	assert_non_null(strstr(f->line, "`orderhook attention` names them"));
}

static void test_log_of_the_usual_length_is_no_alarm(void **state)
{
	struct fixture *f = *state;

	log_bytes = LONG_BYTES - 1;
	assert_int_equal(alarms_at(&f->writer, SECOND_US, f->line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_alarm_is_told_again_every_minute_while_somebody_reads,
				       setup),
		cmocka_unit_test_setup(test_alarm_says_who_reads_and_how_long_the_log_is, setup),
		cmocka_unit_test_setup(test_log_that_keeps_its_length_when_nobody_reads_is_no_alarm,
				       setup),
		cmocka_unit_test_setup(test_reader_that_cannot_be_seen_is_one_that_attention_names,
				       setup),
		cmocka_unit_test_setup(test_log_of_the_usual_length_is_no_alarm, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
