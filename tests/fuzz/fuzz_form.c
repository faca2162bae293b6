/*
 * Form decoding against an encoder: what was taken apart, encoded again in the one way that escapes
 * every byte, must be taken apart the same. And against counting: a member for each '&' and one.
 */
#include "../../src/platform/shansong_private.h"
#include "fuzz.h"
#include "orderhook/err.h"

void fuzz_begin(void)
{
}

static int form(struct slice text, struct buf *scratch, struct json_object *ret)
{
	FUZZ_ASSERT(buf_reserve(scratch, text.len + 1) == 0);
	return shansong_form(text, scratch, ret);
}

static void encode(struct buf *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		FUZZ_ASSERT(buf_addf(out, "%%%02x", (unsigned)(unsigned char)text.at[i]) == 0);
}

static void check_member(const struct json_object *object, size_t i)
{
	const struct json_member *member = &object->members[i];

	FUZZ_ASSERT(member->type == JSON_STRING && !member->key_escaped && !member->value_escaped);
	FUZZ_ASSERT(member->key.len > 0);
	FUZZ_ASSERT(json_valid_utf8(member->key) && json_valid_utf8(member->value));
	FUZZ_ASSERT(!memchr(member->key.at, '\0', member->key.len));
	FUZZ_ASSERT(member->value.len == 0 || !memchr(member->value.at, '\0', member->value.len));
	for (size_t j = 0; j < i; j++)
		FUZZ_ASSERT(!slice_equal_nocase(object->members[j].key, member->key));
}

void fuzz_one(struct slice input)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 24);
	BUF_AUTO struct buf again = BUF_INIT(1 << 24);
	BUF_AUTO struct buf encoded = BUF_INIT(1 << 24);
	static struct json_object object;
	static struct json_object other;
	int err = form(input, &scratch, &object);
	size_t pairs = input.len > 0;

	FUZZ_ASSERT(err == 0 || err_http_status(err) == 400);
	if (err)
		return;
	for (size_t i = 0; i < input.len; i++)
		pairs += input.at[i] == '&';
	FUZZ_ASSERT(pairs == object.n);
	for (size_t i = 0; i < object.n; i++) {
		check_member(&object, i);
		FUZZ_ASSERT(i == 0 || buf_add_char(&encoded, '&') == 0);
		encode(&encoded, object.members[i].key);
		FUZZ_ASSERT(buf_add_char(&encoded, '=') == 0);
		encode(&encoded, object.members[i].value);
	}
	FUZZ_ASSERT(form(buf_slice(&encoded), &again, &other) == 0 && other.n == object.n);
	for (size_t i = 0; i < object.n; i++) {
		FUZZ_ASSERT(slice_equal(object.members[i].key, other.members[i].key));
		FUZZ_ASSERT(slice_equal(object.members[i].value, other.members[i].value));
	}
}
