/* For the tests of the scanner: texts in exactly sized memory, and the reason they must end in. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/json_scan.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT (1 << 20)

static inline bool lies_within(struct slice part, struct slice whole)
{
	return part.at > whole.at && part.at + part.len < whole.at + whole.len;
}

/* Scans a copy that ends where its memory ends, so that a sanitizer sees one byte too much. */
static inline int scan(struct slice text)
{
	struct json_object object;
	char *copy = malloc(text.len ? text.len : 1);
	struct slice whole = {copy, text.len};
	bool within = true;

	assert_non_null(copy);
	if (text.len)
		memcpy(copy, text.at, text.len);
	int err = json_scan_object(whole, &object);
	for (size_t i = 0; !err && i < object.n; i++) {
		const struct json_member *m = &object.members[i];
		within = within && lies_within(m->key, whole) && lies_within(m->value, whole) &&
			 m->type < JSON_TYPE_MAX;
	}
	free(copy);
	assert_true(within);
	return err;
}

static inline void assert_scan(int expected, struct slice text)
{
	int err = scan(text);

	if (err != expected)
		fail_msg("%.*s: %s instead of %s", (int)text.len, text.at ? text.at : "",
			 err_key(err), err_key(expected));
}

/* inner stands where the @ of the frame is. */
static inline void assert_scan_at(int expected, const char *frame, struct slice inner)
{
	BUF_AUTO struct buf text = BUF_INIT(LIMIT);
	const char *at = strchr(frame, '@');

	assert_int_equal(buf_add(&text, frame, (size_t)(at - frame)), 0);
	assert_int_equal(buf_add_slice(&text, inner), 0);
	assert_int_equal(buf_add_string(&text, at + 1), 0);
	assert_scan(expected, buf_slice(&text));
}

/* In every place in which a string can be. */
static inline void assert_scan_string(int expected, struct slice inner)
{
	static const char *const frames[] = {"{\"a\":\"@\"}",
					     "{\"@\":1}",
					     "{\"a\":[\"@\"]}",
					     "{\"a\":{\"b\":\"@\"}}",
					     "{\"a\":{\"@\":\"b\"}}",
					     "{\"a\":\"a plain run before @\"}",
					     "{\"a\":\"@ and one behind it\"}"};

	for (size_t i = 0; i < COUNT(frames); i++)
		assert_scan_at(expected, frames[i], inner);
}
