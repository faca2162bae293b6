/*
 * Recursive descent over the grammar of RFC 8259, one function for each production, one pass from
 * left to right; the fault that is met first is the one that is named. The recursion is bounded by
 * JSON_DEPTH_MAX.
 *
 * Callbacks are mostly strings of plain ASCII: those are passed eight bytes at a time. What makes
 * two keys the same is json_key.c's.
 */
#include <string.h>

#include "json_private.h"
#include "orderhook/err.h"

struct scanner {
	const char *at;
	const char *end;
	struct json_keys keys;
};

static int scan_value(struct scanner *s, int level, struct json_member *ret);

/* ------------------------------------------------------------------ tokens ------------- */

/* The next character that is no white space, 0 at the end: NUL is in no production either. */
static char peek(struct scanner *s)
{
	while (s->at < s->end) {
		char c = *s->at;
		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return c;
		s->at++;
	}
	return '\0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Past the characters that stand for themselves and are one byte each. */
static const char *skip_plain(const char *at, const char *end)
{
	uint64_t word;

	while (end - at >= 8) {
		memcpy(&word, at, 8);
		/* Sets the top bit of every byte that needs a look: below 0x20, '"', '\\', above
		 * 0x7f. A borrow may set that of the byte behind such a one, too. */
		word |= (word - JSON_EIGHT(0x20)) | ((word ^ JSON_EIGHT('"')) - JSON_EIGHT(1)) |
			((word ^ JSON_EIGHT('\\')) - JSON_EIGHT(1));
		if (word & JSON_EIGHT(0x80))
			break;
		at += 8;
	}
	while (at < end && is_plain((unsigned char)*at))
		at++;
	return at;
}

/* Past a run of characters of several bytes each; NULL when it is not well-formed. */
static const char *skip_utf8(const char *at, const char *end)
{
	uint32_t code;

	while (at < end && (unsigned char)*at >= 0x80) {
		size_t len = json_take_utf8(at, end, &code);
		if (len == 0)
			return NULL;
		at += len;
	}
	return at;
}

/* s->at is behind the opening quote, and is moved behind the closing one. */
static int scan_string(struct scanner *s, struct slice *ret, bool *ret_escaped)
{
	const char *at = s->at;
	uint32_t code;

	*ret_escaped = false;
	for (;;) {
		at = skip_plain(at, s->end);
		if (at == s->end)
			return -ERR_JSON_SYNTAX;
		unsigned char c = (unsigned char)*at;
		if (c == '"')
			break;
		if (c == '\\') {
			at++;
			int err = json_take_escape(&at, s->end, &code);
			if (err)
				return err;
			if (code == 0)
				return -ERR_JSON_NUL;
			*ret_escaped = true;
		} else if (c >= 0x80) {
			at = skip_utf8(at, s->end);
			if (!at)
				return -ERR_JSON_UTF8;
		} else {
			return c ? -ERR_JSON_SYNTAX : -ERR_JSON_NUL;
		}
	}
	*ret = (struct slice){s->at, (size_t)(at - s->at)};
	s->at = at + 1;
	return 0;
}

static int scan_digits(struct scanner *s)
{
	const char *start = s->at;

	while (s->at < s->end && is_digit(*s->at))
		s->at++;
	return s->at > start ? 0 : -ERR_JSON_SYNTAX;
}

/* What may not follow a number, like the 1 of 01, is refused by whoever looks for a comma. */
static int scan_number(struct scanner *s)
{
	int err = 0;

	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else
		err = scan_digits(s);
	if (!err && s->at < s->end && *s->at == '.') {
		s->at++;
		err = scan_digits(s);
	}
	if (!err && s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		err = scan_digits(s);
	}
	return err;
}

static int scan_word(struct scanner *s, struct slice word)
{
	struct slice rest = {s->at, (size_t)(s->end - s->at)};

	if (!slice_starts_with(rest, word))
		return -ERR_JSON_SYNTAX;
	s->at += word.len;
	return 0;
}

/* ------------------------------------------------------------------ values ------------- */

static int scan_array(struct scanner *s, int level)
{
	struct json_member element;
	int err;

	s->at++;
	if (peek(s) == ']') {
		s->at++;
		return 0;
	}
	for (;;) {
		err = scan_value(s, level, &element);
		if (err)
			return err;
		char c = peek(s);
		if (c != ',' && c != ']')
			return -ERR_JSON_SYNTAX;
		s->at++;
		if (c == ']')
			return 0;
	}
}

/* One member of an object whose keys begin at open. */
static int scan_member(struct scanner *s, int level, size_t open, struct json_member *ret)
{
	int err;

	if (peek(s) != '"')
		return -ERR_JSON_SYNTAX;
	if (s->keys.n - open == JSON_MEMBERS_MAX)
		return -ERR_JSON_MEMBERS;
	s->at++;
	err = scan_string(s, &ret->key, &ret->key_escaped);
	if (!err)
		err = json_keys_add(&s->keys, open, ret->key, ret->key_escaped);
	if (err)
		return err;
	if (peek(s) != ':')
		return -ERR_JSON_SYNTAX;
	s->at++;
	return scan_value(s, level, ret);
}

/* members: room for JSON_MEMBERS_MAX, or NULL for an object whose members nobody asks for. */
static int scan_object(struct scanner *s, int level, struct json_member *members, size_t *ret_n)
{
	struct json_member unwanted;
	size_t open = s->keys.n;
	size_t n = 0;
	char c = ',';

	s->at++;
	if (peek(s) == '}') {
		s->at++;
		c = '}';
	}
	while (c != '}') {
		int err = scan_member(s, level, open, members ? &members[n] : &unwanted);
		if (err)
			return err;
		n++;
		c = peek(s);
		if (c != ',' && c != '}')
			return -ERR_JSON_SYNTAX;
		s->at++;
	}
	s->keys.n = open;
	*ret_n = n;
	return 0;
}

static int scan_container(struct scanner *s, int level, enum json_type type)
{
	size_t n;

	if (level > JSON_DEPTH_MAX)
		return -ERR_JSON_DEPTH;
	return type == JSON_ARRAY ? scan_array(s, level) : scan_object(s, level, NULL, &n);
}

static enum json_type type_by_first(char c)
{
	switch (c) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return c == '-' || is_digit(c) ? JSON_NUMBER : JSON_TYPE_MAX;
	}
}

/* level: of the object or array that the value is in. Leaves ret's key alone. */
static int scan_value(struct scanner *s, int level, struct json_member *ret)
{
	enum json_type type = type_by_first(peek(s));
	const char *start = s->at;
	int err = -ERR_JSON_SYNTAX;

	ret->type = type;
	ret->value_escaped = false;
	switch (type) {
	case JSON_STRING:
		s->at++;
		return scan_string(s, &ret->value, &ret->value_escaped);
	case JSON_NUMBER:
		err = scan_number(s);
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		err = scan_container(s, level + 1, type);
		break;
	case JSON_TRUE:
		err = scan_word(s, SLICE("true"));
		break;
	case JSON_FALSE:
		err = scan_word(s, SLICE("false"));
		break;
	case JSON_NULL:
		err = scan_word(s, SLICE("null"));
		break;
	case JSON_TYPE_MAX:
		break;
	}
	ret->value = (struct slice){start, (size_t)(s->at - start)};
	return err;
}

int json_scan_object(struct slice text, struct json_object *ret)
{
	struct scanner s;
	int err;

	if (text.len == 0)
		return -ERR_JSON_SYNTAX;
	s.at = text.at;
	s.end = text.at + text.len;
	s.keys.n = 0;
	if (peek(&s) != '{')
		return -ERR_JSON_SYNTAX;
	err = scan_object(&s, 1, ret->members, &ret->n);
	if (err)
		return err;
	peek(&s);
	return s.at == s.end ? 0 : -ERR_JSON_SYNTAX;
}
