/* Which ids are taken from a proxy, and that those made here differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "orderhook/http_request_id.h"

static void test_grammar(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{"a", true},
		{"0f3c-AZ._9", true},
		{"0123456789012345678901234567890123456789012345678901234567890123", true},
		{"01234567890123456789012345678901234567890123456789012345678901234", false},
		{"", false},
		{"a b", false},
		{"a\nb", false},
		{"a=b", false},
		{"<script>", false},
		{"é", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(http_request_id_is(slice_of(cases[i].text)), cases[i].ok);
	assert_false(http_request_id_is((struct slice){"a\0b", 3}));
	assert_false(http_request_id_is((struct slice){NULL, 0}));
}

static void test_made_ids_have_the_grammar_and_differ(void **state)
{
	char ids[256][HTTP_REQUEST_ID_BYTES];
	struct http_request_ids maker;

	(void)state;
	http_request_id_seed(&maker);
	for (size_t i = 0; i < 256; i++) {
		http_request_id_make(&maker, ids[i]);
		assert_int_equal(strlen(ids[i]), 16);
		assert_true(http_request_id_is(slice_of(ids[i])));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_made_ids_have_the_grammar_and_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
