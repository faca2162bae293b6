/*
 * A body becomes members whose keys and values are plain slices, decoded at most once. Callbacks of
 * the platform escape nothing, so in the common case every slice points into the body itself and
 * nothing is copied. What is decoded never grows, so the room for it is known before the first
 * byte, and slices into scratch stay valid because scratch is never moved afterwards.
 */
#include <assert.h>
#include <string.h>

#include "orderhook/err.h"
#include "shansong_private.h"

/* The unused room of scratch; taken by moving len. */
static char *room(struct buf *scratch, size_t need)
{
	assert(scratch->cap > scratch->len && scratch->cap - scratch->len > need);
	return scratch->data + scratch->len;
}

static struct slice take(struct buf *scratch, size_t len)
{
	struct slice taken = {scratch->data + scratch->len, len};

	scratch->len += len;
	scratch->data[scratch->len] = '\0';
	return taken;
}

static int decode(struct slice *text, struct buf *scratch)
{
	size_t len;
	int err = json_string_decode(*text, room(scratch, text->len), text->len, &len);

	if (!err)
		*text = take(scratch, len);
	return err;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* White space outside strings means nothing, so a retry that is laid out anew must not differ. */
static void compact(struct slice *json, struct buf *scratch)
{
	char *out = room(scratch, json->len);
	bool in_string = false;
	size_t len = 0;

	for (size_t i = 0; i < json->len; i++) {
		char c = json->at[i];
		if (!in_string && is_space(c))
			continue;
		if (in_string && c == '\\')
			out[len++] = json->at[i++];
		else if (c == '"')
			in_string = !in_string;
		out[len++] = json->at[i];
	}
	*json = take(scratch, len);
}

int shansong_scan(struct slice text, struct buf *scratch, struct json_object *ret)
{
	int err = json_scan_object(text, ret);

	for (size_t i = 0; !err && i < ret->n; i++) {
		struct json_member *member = &ret->members[i];
		if (member->key_escaped)
			err = decode(&member->key, scratch);
		if (!err && member->type == JSON_STRING && member->value_escaped)
			err = decode(&member->value, scratch);
		member->key_escaped = member->value_escaped = false;
		/* The courier is signed as its bytes came; of it only three members ever count. */
		if (!err && (member->type == JSON_OBJECT || member->type == JSON_ARRAY) &&
		    !slice_equal_string(member->key, shansong_name(KEY_COURIER)))
			compact(&member->value, scratch);
	}
	return err;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One name or value. Blanks and control characters must come encoded: raw they are another
 * format's, or a line that was cut. */
static int decode_form(struct slice raw, struct buf *scratch, struct slice *ret)
{
	char *out = room(scratch, raw.len);
	struct slice text = {out, 0};

	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.at[i];
		if (c == '%') {
			int high = raw.len - i > 2 ? hex_digit(raw.at[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(raw.at[i + 2]) : -1;
			if (low < 0)
				return -ERR_FORM_SYNTAX;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		} else if (c != '\0' && (c <= ' ' || c == 0x7f)) {
			return -ERR_FORM_SYNTAX;
		}
		if (c == '\0')
			return -ERR_JSON_NUL;
		out[text.len++] = (char)c;
	}
	if (!json_valid_utf8(text))
		return -ERR_JSON_UTF8;
	*ret = take(scratch, text.len);
	return 0;
}

static int add_pair(struct slice pair, struct buf *scratch, struct json_object *ret)
{
	const char *equals = pair.len ? memchr(pair.at, '=', pair.len) : NULL;
	struct json_member member = {.type = JSON_STRING};
	int err;

	if (!equals || equals == pair.at)
		return -ERR_FORM_SYNTAX;
	if (ret->n == JSON_MEMBERS_MAX)
		return -ERR_JSON_MEMBERS;
	size_t key_len = (size_t)(equals - pair.at);
	err = decode_form((struct slice){pair.at, key_len}, scratch, &member.key);
	if (err)
		return err;
	for (size_t i = 0; i < ret->n; i++) {
		if (slice_equal_nocase(ret->members[i].key, member.key))
			return -ERR_FORM_KEY_TWICE;
	}
	err = decode_form((struct slice){equals + 1, pair.len - key_len - 1}, scratch,
			  &member.value);
	if (err)
		return err;
	ret->members[ret->n++] = member;
	return 0;
}

int shansong_form(struct slice text, struct buf *scratch, struct json_object *ret)
{
	ret->n = 0;
	/* A webhook's HMAC signs bytes and not the Content-Type: no text may have both readings, or
	 * who controls a string of a signed object could have it read as another event. */
	if (text.len && text.at[0] == '{')
		return -ERR_FORM_SYNTAX;
	while (text.len) {
		const char *end = memchr(text.at, '&', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;
		int err = add_pair((struct slice){text.at, len}, scratch, ret);
		if (err)
			return err;
		text.at += len;
		text.len -= len;
		if (end && --text.len == 0)
			return -ERR_FORM_SYNTAX;
		text.at += end != NULL;
	}
	return 0;
}
