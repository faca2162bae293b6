/*
 * The digest of the normalised members: equal for two deliveries of one event and for nothing else.
 *
 * Hashed are records, in an order that does not depend on the body's: the known members by name,
 * then id, name and mobile of the courier, then the unknown members by name. A record is a kind,
 * the lengths of name and value, name and value; so no two lists of records are one string. A
 * number is hashed by its digits whether it came as a number or a string, without leading zeros.
 * Null and "" make no record.
 *
 * Left out are timestamp and sign (a retry is signed anew) and the rest of the courier (it has
 * moved since). Unknown members count, and so do known ones outside their grammar, as they came: a
 * retry carries them equally, and a delivery that differs only there is not thrown away as a
 * duplicate but shown to a person as a conflict. Inside an unknown object only white space is
 * normalised.
 */
#include <assert.h>
#include <string.h>

#include "orderhook/err.h"
#include "shansong_private.h"

#define COURIER_FIELDS 3
#define RECORDS_MAX (JSON_MEMBERS_MAX + COURIER_FIELDS)
#define HEAD_BYTES 9

enum record_kind {
	RECORD_KNOWN = 'k',    /* inside its grammar, in its one spelling */
	RECORD_NEGATIVE = 'n', /* the same, a number below zero */
	RECORD_COURIER = 'c',  /* a field of the courier */
	RECORD_TEXT = 's',     /* unknown or outside its grammar: a string, or a number's token */
	RECORD_LITERAL = 'l',  /* true, false */
	RECORD_JSON = 'j'      /* an object or array */
};

struct records {
	struct slice parts[RECORDS_MAX * 3];
	size_t n_parts;
	uint8_t heads[RECORDS_MAX][HEAD_BYTES];
	size_t n;
	char courier[COURIER_FIELDS][SHANSONG_TEXT_BYTES_MAX]; /* decoded */
};

static void put_u32(uint8_t *out, size_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void add(struct records *records, enum record_kind kind, struct slice name,
		struct slice value)
{
	uint8_t *head = records->heads[records->n++];

	head[0] = (uint8_t)kind;
	put_u32(head + 1, name.len);
	put_u32(head + 5, value.len);
	records->parts[records->n_parts++] = (struct slice){(const char *)head, HEAD_BYTES};
	records->parts[records->n_parts++] = name;
	records->parts[records->n_parts++] = value;
}

static void add_as_it_came(struct records *records, const struct json_member *member)
{
	enum record_kind kind = RECORD_TEXT;

	if (member->type == JSON_TRUE || member->type == JSON_FALSE)
		kind = RECORD_LITERAL;
	if (member->type == JSON_OBJECT || member->type == JSON_ARRAY)
		kind = RECORD_JSON;
	add(records, kind, member->key, member->value);
}

/* "020" is the number 20, and "-0" is 0. */
static void add_number(struct records *records, struct slice name, struct slice text)
{
	bool negative = text.at[0] == '-';

	text.at += negative;
	text.len -= negative;
	while (text.len > 1 && text.at[0] == '0') {
		text.at++;
		text.len--;
	}
	negative = negative && text.at[0] != '0';
	add(records, negative ? RECORD_NEGATIVE : RECORD_KNOWN, name, text);
}

static void add_known(struct records *records, const struct shansong_view *view)
{
	for (int i = 0; i < SHANSONG_KEYS; i++) {
		enum shansong_key key = (enum shansong_key)i;
		const struct json_member *member = view->known[key];
		enum shansong_grammar grammar = shansong_grammar(key);
		if (!member || key == KEY_SIGN || key == KEY_TIMESTAMP || key == KEY_COURIER)
			continue;
		if (view->outside & 1u << key)
			add_as_it_came(records, member);
		else if (grammar == GRAMMAR_SMALL || grammar == GRAMMAR_AMOUNT)
			add_number(records, member->key, member->value);
		else
			add(records, RECORD_KNOWN, member->key, member->value);
	}
}

static void add_courier(struct records *records, const struct json_object *courier)
{
	static const char *const fields[COURIER_FIELDS] = {"id", "mobile", "name"};

	for (size_t i = 0; i < COURIER_FIELDS; i++) {
		const struct json_member *field = json_find(courier, fields[i]);
		struct slice value;
		if (!field || shansong_is_empty(field))
			continue;
		value = field->value;
		/* A longer one is no name and no number; its bytes do. */
		if (field->type == JSON_STRING && field->value_escaped &&
		    json_string_decode(value, records->courier[i], SHANSONG_TEXT_BYTES_MAX,
				       &value.len) == 0)
			value.at = records->courier[i];
		add(records, RECORD_COURIER, slice_of(fields[i]), value);
	}
}

static bool name_before(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.at, b.at, common) : 0;

	return order ? order < 0 : a.len < b.len;
}

static void add_unknown(struct records *records, const struct json_object *object,
			const struct shansong_view *view)
{
	const struct json_member *sorted[JSON_MEMBERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < object->n; i++) {
		const struct json_member *member = &object->members[i];
		size_t to = n;
		if (view->key_of[i] != SHANSONG_UNKNOWN || shansong_is_empty(member))
			continue;
		for (; to > 0 && name_before(member->key, sorted[to - 1]->key); to--)
			sorted[to] = sorted[to - 1];
		sorted[to] = member;
		n++;
	}
	for (size_t i = 0; i < n; i++)
		add_as_it_came(records, sorted[i]);
}

int shansong_content(const struct json_object *object, const struct shansong_view *view,
		     const struct json_object *courier, uint8_t ret[DIGEST_SHA256_BYTES])
{
	struct records records;

	records.n = records.n_parts = 0;
	add_known(&records, view);
	if (courier)
		add_courier(&records, courier);
	if (view->n_unknown)
		add_unknown(&records, object, view);
	assert(records.n <= RECORDS_MAX && records.n_parts == 3 * records.n);
	return digest_sha256(records.parts, records.n_parts, ret);
}
