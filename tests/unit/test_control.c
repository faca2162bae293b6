/* Requests to the admin socket: what they are, before anything is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "orderhook/control.h"
#include "orderhook/err.h"

static int parse(const char *method, const char *path, const char *body)
{
	const struct control_row *row = NULL;
	struct json_object object;
	int err = control_parse(slice_of(method), slice_of(path), slice_of(body), &row, &object);

	assert_true(err ? row == NULL : row != NULL);
	return err;
}

static void test_only_the_rows_of_the_table_are_paths(void **state)
{
	(void)state;
	assert_int_equal(parse("POST", "/control/readmit", "{}"), 0);
	assert_int_equal(parse("POST", "/control/readmit/", "{}"), -ERR_PATH);
	assert_int_equal(parse("POST", "/control/READMIT", "{}"), -ERR_PATH);
	assert_int_equal(parse("POST", "/control//readmit", "{}"), -ERR_PATH);
	assert_int_equal(parse("POST", "/control/%72eadmit", "{}"), -ERR_PATH);
	assert_int_equal(parse("POST", "/control/", "{}"), -ERR_PATH);
	assert_int_equal(parse("POST", "readmit", "{}"), -ERR_PATH);
	assert_int_equal(parse("POST", "", "{}"), -ERR_PATH);
}

static void test_a_request_is_one_strict_object_of_bounded_length(void **state)
{
	const struct control_row *row = control_find(SLICE("/control/readmit"));
	char body[4096];

	(void)state;
	assert_int_equal(parse("GET", "/control/readmit", "{}"), -ERR_METHOD);
	assert_int_equal(parse("post", "/control/readmit", "{}"), -ERR_METHOD);
	assert_int_equal(parse("POST", "/control/readmit", ""), -ERR_JSON_SYNTAX);
	assert_int_equal(parse("POST", "/control/readmit", "[]"), -ERR_JSON_SYNTAX);
	assert_int_equal(parse("POST", "/control/readmit", "{\"a\":1,\"A\":2}"),
			 -ERR_JSON_KEY_TWICE);
	assert_true(row->request_bytes + 1 < sizeof(body));
	memset(body, ' ', sizeof(body));
	memcpy(body, "{}", 2);
	body[row->request_bytes] = '\0';
	assert_int_equal(parse("POST", "/control/readmit", body), 0);
	body[row->request_bytes] = ' ';
	body[row->request_bytes + 1] = '\0';
	assert_int_equal(parse("POST", "/control/readmit", body), -ERR_BODY_TOO_LARGE);
}

static void test_every_row_names_who_may(void **state)
{
	static const char *const paths[] = {
#define CONTROL(name, peers, request_bytes) CONTROL_PATH #name,
#include "orderhook/tbl/control.def"
#undef CONTROL
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const struct control_row *row = control_find(slice_of(paths[i]));
		assert_non_null(row);
		assert_true(row->peers & PEER_ROOT);
		assert_int_equal(row->peers & ~(unsigned)(PEER_ROOT | PEER_DAEMON | PEER_ADMINS),
				 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_the_rows_of_the_table_are_paths),
		cmocka_unit_test(test_a_request_is_one_strict_object_of_bounded_length),
		cmocka_unit_test(test_every_row_names_who_may),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
