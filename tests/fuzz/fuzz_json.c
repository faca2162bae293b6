/*
 * The scanner against cJSON, on whatever it accepts: cJSON accepts far more, so what we take it
 * must take as well, with the same members of the same types that say the same. What was taken
 * apart must also be whole: every slice inside the text, and each member findable under its name.
 * What is UTF-8 is told by a table of the Unicode standard.
 */
#include <cjson/cJSON.h>

#include "fuzz.h"
#include "orderhook/err.h"
#include "orderhook/json_scan.h"

void fuzz_begin(void)
{
}

static bool inside(struct slice text, struct slice part)
{
	return part.at >= text.at && part.at + part.len <= text.at + text.len;
}

/* A terminated copy, so that it can be compared with what cJSON has. */
static char *decode(struct slice raw)
{
	char *out = malloc(raw.len + 1);
	size_t len = 0;

	FUZZ_ASSERT(out);
	FUZZ_ASSERT(json_string_decode(raw, out, raw.len, &len) == 0 && len <= raw.len);
	FUZZ_ASSERT(fuzz_valid_utf8((struct slice){out, len}));
	FUZZ_ASSERT(!memchr(out, '\0', len));
	out[len] = '\0';
	return out;
}

static bool same_type(const struct json_member *member, const cJSON *other)
{
	switch (member->type) {
	case JSON_NULL:
		return cJSON_IsNull(other);
	case JSON_FALSE:
		return cJSON_IsFalse(other);
	case JSON_TRUE:
		return cJSON_IsTrue(other);
	case JSON_NUMBER:
		return cJSON_IsNumber(other);
	case JSON_STRING:
		return cJSON_IsString(other);
	case JSON_ARRAY:
		return cJSON_IsArray(other);
	case JSON_OBJECT:
		return cJSON_IsObject(other);
	case JSON_TYPE_MAX:
		break;
	}
	return false;
}

/* A string that is written and read again says what it said. */
static void check_written(const char *said)
{
	BUF_AUTO struct buf written = BUF_INIT(1 << 24);
	char *again;

	FUZZ_ASSERT(json_add_string(&written, slice_of(said)) == 0);
	FUZZ_ASSERT(written.len >= 2);
	again = decode((struct slice){written.data + 1, written.len - 2});
	FUZZ_ASSERT(strcmp(again, said) == 0);
	free(again);
}

static void check_member(struct slice text, const struct json_object *object,
			 const struct json_member *member, const cJSON *other)
{
	char *key = decode(member->key);

	FUZZ_ASSERT(inside(text, member->key) && inside(text, member->value));
	FUZZ_ASSERT(other && other->string && strcmp(other->string, key) == 0);
	FUZZ_ASSERT(json_find(object, key) == member);
	FUZZ_ASSERT(same_type(member, other));
	if (member->type == JSON_STRING) {
		char *value = decode(member->value);
		FUZZ_ASSERT(strcmp(other->valuestring, value) == 0);
		check_written(value);
		free(value);
	}
	if (member->type == JSON_OBJECT) {
		static struct json_object inner;
		FUZZ_ASSERT(json_scan_object(member->value, &inner) == 0);
		FUZZ_ASSERT((int)inner.n == cJSON_GetArraySize(other));
	}
	free(key);
}

void fuzz_one(struct slice input)
{
	static struct json_object object;
	int err = json_scan_object(input, &object);
	const cJSON *other;
	cJSON *root;

	FUZZ_ASSERT(err == 0 || err_http_status(err) == 400);
	FUZZ_ASSERT(json_valid_utf8(input) == fuzz_valid_utf8(input));
	if (err)
		return;
	FUZZ_ASSERT(fuzz_valid_utf8(input));
	root = cJSON_ParseWithLength(input.at, input.len);
	FUZZ_ASSERT(root && cJSON_IsObject(root));
	FUZZ_ASSERT(cJSON_GetArraySize(root) == (int)object.n);
	other = root->child;
	for (size_t i = 0; i < object.n; i++) {
		check_member(input, &object, &object.members[i], other);
		other = other->next;
	}
	cJSON_Delete(root);
}
