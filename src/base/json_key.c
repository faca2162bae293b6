/*
 * Keys are compared decoded and without regard to the case of ASCII letters. A new key meets those
 * of its own object by their marks first: a mark is a hash of what is compared, eight bytes a step,
 * so that keys with equal marks are as good as always the same key. Then they are really compared.
 * Keys that were made to share a mark cost JSON_MEMBERS_MAX comparisons each and no more: linear in
 * the body.
 */
#include <string.h>

#include "json_private.h"
#include "orderhook/err.h"

static uint32_t lower(uint32_t code)
{
	return code >= 'A' && code <= 'Z' ? code + 32 : code;
}

/* The next character of a key that was scanned. */
static uint32_t take_code(struct json_key *key)
{
	const char *at = key->raw.at;
	const char *end = at + key->raw.len;
	uint32_t code = 0;

	if (key->escaped && *at == '\\') {
		at++;
		json_take_escape(&at, end, &code);
	} else {
		at += json_take_utf8(at, end, &code);
	}
	key->raw = (struct slice){at, (size_t)(end - at)};
	return code;
}

static bool same_key(struct json_key a, struct json_key b)
{
	if (!a.escaped && !b.escaped)
		return slice_equal_nocase(a.raw, b.raw);
	while (a.raw.len && b.raw.len) {
		if (lower(take_code(&a)) != lower(take_code(&b)))
			return false;
	}
	return a.raw.len == b.raw.len;
}

/* Up to eight bytes as a word, the bit in which the two cases of a letter differ set in each. */
static uint64_t folded_word(const char *at, size_t len)
{
	uint32_t front;
	uint32_t back;
	uint64_t word = 0;

	if (len >= 8) {
		memcpy(&word, at, 8);
	} else if (len >= 4) {
		memcpy(&front, at, 4);
		memcpy(&back, at + len - 4, 4);
		word = (uint64_t)back << 32 | front;
	} else {
		for (size_t i = 0; i < len; i++)
			word = word << 8 | (unsigned char)at[i];
	}
	return word | JSON_EIGHT(0x20);
}

static uint64_t mix(uint64_t mark, uint64_t word)
{
	mark = (mark ^ word) * 0x9e3779b97f4a7c15u;
	return mark ^ mark >> 32;
}

static uint64_t mark_of_plain(struct slice raw)
{
	uint64_t mark = 0;

	for (; raw.len >= 8; raw.at += 8, raw.len -= 8)
		mark = mix(mark, folded_word(raw.at, 8));
	return mix(mark + raw.len, folded_word(raw.at, raw.len));
}

/* The same over the decoded bytes. */
static uint64_t mark_of_escaped(struct json_key key)
{
	char bytes[8 + JSON_UTF8_BYTES_MAX] = {0};
	uint64_t mark = 0;
	size_t n = 0;

	while (key.raw.len) {
		n += json_put_utf8(take_code(&key), bytes + n);
		if (n < 8)
			continue;
		mark = mix(mark, folded_word(bytes, 8));
		n -= 8;
		memcpy(bytes, bytes + 8, JSON_UTF8_BYTES_MAX);
	}
	return mix(mark + n, folded_word(bytes, n));
}

int json_keys_add(struct json_keys *keys, size_t open, struct slice raw, bool escaped)
{
	struct json_key key = {raw, escaped};
	uint64_t mark = escaped ? mark_of_escaped(key) : mark_of_plain(raw);

	for (size_t i = open; i < keys->n; i++) {
		if (keys->marks[i] == mark && same_key(keys->list[i], key))
			return -ERR_JSON_KEY_TWICE;
	}
	keys->marks[keys->n] = mark;
	keys->list[keys->n] = key;
	keys->n++;
	return 0;
}

static bool decodes_to(struct json_key key, struct slice wanted)
{
	char utf8[JSON_UTF8_BYTES_MAX];

	while (key.raw.len) {
		struct slice next = {utf8, json_put_utf8(take_code(&key), utf8)};
		if (!slice_starts_with(wanted, next))
			return false;
		wanted = (struct slice){wanted.at + next.len, wanted.len - next.len};
	}
	return wanted.len == 0;
}

const struct json_member *json_find(const struct json_object *object, const char *key)
{
	struct slice wanted = slice_of(key);

	for (size_t i = 0; i < object->n; i++) {
		const struct json_member *m = &object->members[i];
		if (m->key_escaped ? decodes_to((struct json_key){m->key, true}, wanted)
				   : slice_equal(m->key, wanted))
			return m;
	}
	return NULL;
}
