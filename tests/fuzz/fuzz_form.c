/*
 * Form decoding against the rule, read off the input once more: a pair for each '&' and one, a '+'
 * is a blank, a %XX a byte. And against an encoder: what was taken apart, encoded again with every
 * byte escaped, and once more with its blanks as '+', must be taken apart the same.
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

/* How an encoder writes a blank. */
enum blank {
	BLANK_ESCAPED = 0,
	BLANK_PLUS,
	BLANK_MAX
};

static void encode(struct buf *out, struct slice text, enum blank blank)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned c = (unsigned char)text.at[i];
		int err = c == ' ' && blank == BLANK_PLUS ? buf_add_char(out, '+')
							  : buf_addf(out, "%%%02x", c);
		FUZZ_ASSERT(err == 0);
	}
}

/* What the input's bytes stand for. */
static void check_decoded(struct slice raw, struct slice decoded)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++, n++) {
		char c = raw.at[i] == '+' ? ' ' : raw.at[i];
		if (c == '%') {
			FUZZ_ASSERT(i + 2 < raw.len);
			const char digits[3] = {raw.at[i + 1], raw.at[i + 2], '\0'};
			FUZZ_ASSERT(strspn(digits, "0123456789abcdefABCDEF") == 2);
			c = (char)strtol(digits, NULL, 16);
			i += 2;
		}
		FUZZ_ASSERT(n < decoded.len && decoded.at[n] == c);
	}
	FUZZ_ASSERT(n == decoded.len);
}

static void check_member(const struct json_object *object, size_t i)
{
	const struct json_member *member = &object->members[i];

	FUZZ_ASSERT(member->type == JSON_STRING && !member->key_escaped && !member->value_escaped);
	FUZZ_ASSERT(member->key.len > 0);
	FUZZ_ASSERT(fuzz_valid_utf8(member->key) && fuzz_valid_utf8(member->value));
	FUZZ_ASSERT(!memchr(member->key.at, '\0', member->key.len));
	FUZZ_ASSERT(member->value.len == 0 || !memchr(member->value.at, '\0', member->value.len));
	for (size_t j = 0; j < i; j++)
		FUZZ_ASSERT(!slice_equal_nocase(object->members[j].key, member->key));
}

static void check_again(const struct json_object *object, enum blank blank)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 24);
	BUF_AUTO struct buf encoded = BUF_INIT(1 << 24);
	static struct json_object other;

	for (size_t i = 0; i < object->n; i++) {
		FUZZ_ASSERT(i == 0 || buf_add_char(&encoded, '&') == 0);
		encode(&encoded, object->members[i].key, blank);
		FUZZ_ASSERT(buf_add_char(&encoded, '=') == 0);
		encode(&encoded, object->members[i].value, blank);
	}
	FUZZ_ASSERT(form(buf_slice(&encoded), &scratch, &other) == 0 && other.n == object->n);
	for (size_t i = 0; i < object->n; i++) {
		FUZZ_ASSERT(slice_equal(object->members[i].key, other.members[i].key));
		FUZZ_ASSERT(slice_equal(object->members[i].value, other.members[i].value));
	}
}

void fuzz_one(struct slice input)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 24);
	static struct json_object object;
	int err = form(input, &scratch, &object);

	FUZZ_ASSERT(err == 0 || err_http_status(err) == 400);
	if (err)
		return;
	for (size_t i = 0; i < object.n; i++) {
		FUZZ_ASSERT(input.len);
		struct slice pair = fuzz_take_until(&input, '&');
		struct slice key = fuzz_take_until(&pair, '=');
		check_member(&object, i);
		check_decoded(key, object.members[i].key);
		check_decoded(pair, object.members[i].value);
	}
	FUZZ_ASSERT(input.len == 0);
	for (enum blank blank = 0; blank < BLANK_MAX; blank++)
		check_again(&object, blank);
}
