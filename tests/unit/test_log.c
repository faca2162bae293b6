/* Where lines go and what they look like; the journal itself is tested under a real systemd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/log.h"

/* What a call writes to stderr, as text. */
struct capture {
	int saved;
	FILE *file;
	char text[4096];
};

static void capture_begin(struct capture *capture)
{
	capture->file = tmpfile();
	assert_non_null(capture->file);
	capture->saved = dup(STDERR_FILENO);
	dup2(fileno(capture->file), STDERR_FILENO);
}

static const char *capture_end(struct capture *capture)
{
	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	rewind(capture->file);
	size_t len = fread(capture->text, 1, sizeof(capture->text) - 1, capture->file);
	capture->text[len] = '\0';
	fclose(capture->file);
	return capture->text;
}

static void test_line_has_the_priority_of_its_message(void **state)
{
	struct capture capture;

	(void)state;
	capture_begin(&capture);
	log_message(MESSAGE_STOPPED, NULL, "one %d", 1);
	log_message(MESSAGE_START_FAILED, &(struct log_fields){.order_no = "m-1"}, "two");
	assert_string_equal(capture_end(&capture), "<6>one 1\n<3>two\n");
}

static void test_control_characters_cannot_forge_a_line(void **state)
{
	struct capture capture;

	(void)state;
	capture_begin(&capture);
	log_message(MESSAGE_STOPPED, NULL, "a%sb", "\n<0>forged\x1b[31m\x7f");
	assert_string_equal(capture_end(&capture), "<6>a\\x0a<0>forged\\x1b[31m\\x7fb\n");
}

static void test_what_a_terminal_obeys_is_written_as_a_number(void **state)
{
	struct capture capture;

	(void)state;
	capture_begin(&capture);
	/* CSI in one character, an override of direction, a byte that is no UTF-8; then text. */
	log_message(MESSAGE_STOPPED, NULL, "%s",
		    "\xc2\x9b"
		    "2J \xe2\x80\xae"
		    "05 \xff 闪送");
	assert_string_equal(capture_end(&capture), "<6>\\u{9b}2J \\u{202e}05 \\xff 闪送\n");
}

static void test_over_long_line_is_cut_and_stays_one_line(void **state)
{
	char text[4096];
	struct capture capture;

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture_begin(&capture);
	log_message(MESSAGE_STOPPED, NULL, "%s", text);
	const char *line = capture_end(&capture);
	assert_in_range(strlen(line), 1500, 2100);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_line_below_the_level_is_dropped(void **state)
{
	struct capture capture;

	(void)state;
	capture_begin(&capture);
	log_debug("nobody %s", "asked");
	log_set_level(LOG_DEBUG);
	log_debug("somebody %s", "asked");
	log_set_level(LOG_INFO);
	assert_string_equal(capture_end(&capture), "<7>somebody asked\n");
}

static void test_stream_of_another_file_is_no_journal(void **state)
{
	struct capture capture;

	(void)state;
	setenv("JOURNAL_STREAM", "1:2", 1);
	capture_begin(&capture);
	log_message(MESSAGE_STOPPED, NULL, "line");
	assert_string_equal(capture_end(&capture), "<6>line\n");
	unsetenv("JOURNAL_STREAM");
}

static void test_limit_lets_so_many_lines_through_each_second(void **state)
{
	struct log_limit limit = {0};

	(void)state;
	for (int second = 1; second <= 2; second++) {
		for (int i = 0; i < 3; i++)
			assert_true(log_allowed(&limit, second * 1000000LL + i, 3));
		assert_false(log_allowed(&limit, second * 1000000LL + 999999, 3));
	}
	assert_false(log_allowed(&limit, 3000000, 0));
}

static void test_every_message_has_an_id_of_its_own(void **state)
{
	static const char *const ids[] = {
#define MESSAGE(name, id, priority, subject, explanation) id,
#include "orderhook/tbl/message.def"
#undef MESSAGE
	};

	(void)state;
	for (size_t i = 0; i < MESSAGE_MAX; i++) {
		assert_int_equal(strlen(ids[i]), 32);
		assert_int_equal(strspn(ids[i], "0123456789abcdef"), 32);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_has_the_priority_of_its_message),
		cmocka_unit_test(test_control_characters_cannot_forge_a_line),
		cmocka_unit_test(test_what_a_terminal_obeys_is_written_as_a_number),
		cmocka_unit_test(test_over_long_line_is_cut_and_stays_one_line),
		cmocka_unit_test(test_line_below_the_level_is_dropped),
		cmocka_unit_test(test_stream_of_another_file_is_no_journal),
		cmocka_unit_test(test_limit_lets_so_many_lines_through_each_second),
		cmocka_unit_test(test_every_message_has_an_id_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
