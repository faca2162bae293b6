/*
 * Between json_scan.c, json_key.c and json_string.c: what they have in common is taking one
 * character off the front of a string, as a code point. A position is moved only past what is
 * well-formed.
 */
#pragma once

#include "orderhook/json_scan.h"

#define JSON_UTF8_BYTES_MAX 4
#define JSON_EIGHT(byte) (0x0101010101010101u * (byte)) /* a word of eight times this byte */

/* Bytes of the well-formed UTF-8 sequence at the front of [at, end), 0 when there is none. */
static inline size_t json_take_utf8(const char *at, const char *end, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char lead = (unsigned char)*at;
	size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	uint32_t code = lead & (0x7fu >> len);

	if (lead < 0x80) {
		*ret = lead;
		return 1;
	}
	if (lead < 0xc0 || lead >= 0xf8 || (size_t)(end - at) < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)at[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret = code;
	return len;
}

/* The other way. code is a code point and no surrogate. */
size_t json_put_utf8(uint32_t code, char out[JSON_UTF8_BYTES_MAX]);

/* *at is behind the backslash; it is moved behind the escape, or behind the second one of a pair of
 * surrogates. -ERR_JSON_SYNTAX, -ERR_JSON_SURROGATE. */
int json_take_escape(const char **at, const char *end, uint32_t *ret);

struct json_key {
	struct slice raw;
	bool escaped;
};

/*
 * The keys of every object that is still open, outermost first: JSON_MEMBERS_MAX for each level at
 * most, so the stack has a fixed size and nothing is allocated.
 */
struct json_keys {
	size_t n;
	uint64_t marks[JSON_DEPTH_MAX * JSON_MEMBERS_MAX];
	struct json_key list[JSON_DEPTH_MAX * JSON_MEMBERS_MAX];
};

/* Pushes a scanned key of the object whose keys begin at open. -ERR_JSON_KEY_TWICE. */
int json_keys_add(struct json_keys *keys, size_t open, struct slice raw, bool escaped);
