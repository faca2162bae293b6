#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "orderhook/event.h"

static void test_keys_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < EVENT_AUTH_MAX; i++)
		assert_int_equal(event_auth_of_key(slice_of(event_auth_key(i))), i);
	for (int i = 0; i < EVENT_SOURCE_MAX; i++)
		assert_int_equal(event_source_of_key(slice_of(event_source_key(i))), i);
	for (int i = 0; i < EVENT_OCCURRED_FROM_MAX; i++)
		assert_int_equal(event_occurred_from_of_key(slice_of(event_occurred_from_key(i))),
				 i);
}

static void test_keys_are_those_of_the_contract(void **state)
{
	(void)state;
	assert_string_equal(event_auth_key(EVENT_AUTH_TOKEN), "token");
	assert_string_equal(event_auth_key(EVENT_AUTH_SIGNED), "signed");
	assert_string_equal(event_source_key(EVENT_CALLBACK), "callback");
	assert_string_equal(event_source_key(EVENT_READMIT), "readmit");
	assert_string_equal(event_occurred_from_key(EVENT_FROM_PLATFORM), "platform");
	assert_string_equal(event_occurred_from_key(EVENT_FROM_RECEIPT), "receipt");
}

static void test_other_words_are_no_keys(void **state)
{
	(void)state;
	assert_int_equal(event_auth_of_key(SLICE("tokens")), -1);
	assert_int_equal(event_auth_of_key(SLICE("toke")), -1);
	assert_int_equal(event_source_of_key(SLICE("Callback")), -1);
	assert_int_equal(event_occurred_from_of_key(SLICE("")), -1);
	assert_int_equal(event_occurred_from_of_key((struct slice){NULL, 0}), -1);
}

static void test_notes_are_separated(void **state)
{
	struct event event = {0};

	(void)state;
	event_note(&event, "courier is no %s", "object");
	assert_string_equal(event.notes, "courier is no object");
	event_note(&event, "time is %d minutes ahead", 11);
	assert_string_equal(event.notes, "courier is no object; time is 11 minutes ahead");
}

static void test_note_that_does_not_fit_is_cut_and_marked(void **state)
{
	struct event event = {0};
	char expected[EVENT_NOTES_BYTES];

	(void)state;
	event_note(&event, "%0200d", 0);
	event_note(&event, "%0100d", 0);
	memset(expected, '0', sizeof(expected));
	memcpy(expected + 200, "; ", 2);
	memcpy(expected + 252, "…", sizeof("…"));
	assert_string_equal(event.notes, expected);
	event_note(&event, "x");
	assert_string_equal(event.notes, expected);
}

static void test_notes_that_are_full_to_the_last_byte_can_still_be_marked(void **state)
{
	struct event event = {0};

	(void)state;
	event_note(&event, "%0252d", 0);
	assert_int_equal(strlen(event.notes), 252);
	assert_null(strstr(event.notes, "…"));
	event_note(&event, "x");
	assert_int_equal(strlen(event.notes), 255);
	assert_string_equal(event.notes + 252, "…");
}

static void test_note_longer_than_everything_is_cut_too(void **state)
{
	struct event event = {0};

	(void)state;
	event_note(&event, "%05000d", 0);
	assert_int_equal(strlen(event.notes), 255);
	assert_string_equal(event.notes + 252, "…");
}

static void test_cut_splits_no_character(void **state)
{
	(void)state;
	/* Whichever byte of the character the cut would fall on. */
	for (int padding = 249; padding <= 252; padding++) {
		struct event event = {0};
		int len = padding == 249 ? 252 : padding;

		event_note(&event, "%0*d送货", padding, 0);
		assert_int_equal(strlen(event.notes), len + 3);
		assert_string_equal(event.notes + len, "…");
		if (padding == 249)
			assert_memory_equal(event.notes + padding, "送", 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_round_trip),
		cmocka_unit_test(test_keys_are_those_of_the_contract),
		cmocka_unit_test(test_other_words_are_no_keys),
		cmocka_unit_test(test_notes_are_separated),
		cmocka_unit_test(test_note_that_does_not_fit_is_cut_and_marked),
		cmocka_unit_test(test_notes_that_are_full_to_the_last_byte_can_still_be_marked),
		cmocka_unit_test(test_note_longer_than_everything_is_cut_too),
		cmocka_unit_test(test_cut_splits_no_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
