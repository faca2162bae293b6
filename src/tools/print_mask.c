/*
 * Masking for a screen. The scanner passes the body first; then this is a lexer and not a parser:
 * it looks for strings that are keys, and masks the value after one of the listed names, whatever
 * its type and however deep it lies. A string that itself holds an object (an envelope's data, a
 * form's courier) is decoded, masked and encoded again. In every other string a run of digits that
 * can be a Chinese mobile number is masked too, because the free texts are typed by people.
 */
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/json_scan.h"
#include "print_private.h"

#define MASK "***"
#define NESTED_MAX 4
#define PHONE_DIGITS 11

/* By the end of its name, so that a member that the platform adds is more likely masked than not.
 */
static bool is_secret_key(struct slice key)
{
	static const char *const ends[] = {"mobile",   "phone",     "name", "password", "address",
					   "latitude", "longitude", "lat",  "lng",      "trail"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct slice end = slice_of(ends[i]);
		if (key.len < end.len)
			continue;
		struct slice tail = {key.at + key.len - end.len, end.len};
		if (slice_equal_nocase(tail, end))
			return true;
	}
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_phone(struct slice digits)
{
	if (digits.len == PHONE_DIGITS + 2 && memcmp(digits.at, "86", 2) == 0) {
		digits.at += 2;
		digits.len -= 2;
	}
	return digits.len == PHONE_DIGITS && digits.at[0] == '1' && digits.at[1] >= '3';
}

/* Appends text with mobile numbers masked. */
static int add_text(struct buf *buf, struct slice text)
{
	size_t at = 0;
	int err = 0;

	while (at < text.len && !err) {
		size_t end = at;
		while (end < text.len && is_digit(text.at[end]))
			end++;
		size_t digits = end - at;
		if (digits == 0) {
			err = buf_add_char(buf, text.at[at++]);
			continue;
		}
		err = is_phone((struct slice){text.at + at, digits})
			      ? buf_add_string(buf, MASK)
			      : buf_add(buf, text.at + at, digits);
		at = end;
	}
	return err;
}

/* The index after the string that opens at text[at], or the end of a text that breaks off. */
static size_t string_end(struct slice text, size_t at)
{
	for (at++; at < text.len; at++) {
		if (text.at[at] == '\\')
			at++;
		else if (text.at[at] == '"')
			return at + 1;
	}
	return text.len;
}

static size_t skip_space(struct slice text, size_t at)
{
	while (at < text.len && memchr(" \t\r\n", text.at[at], 4))
		at++;
	return at;
}

/* The index after the value at text[at]. */
static size_t value_end(struct slice text, size_t at)
{
	size_t depth = 0;

	while (at < text.len) {
		char c = text.at[at];
		if (c == '"') {
			at = string_end(text, at);
			if (depth == 0)
				return at;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if (depth && (c == '}' || c == ']') && --depth == 0)
			return at + 1;
		else if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return at;
		at++;
	}
	return at;
}

static int mask_json(struct buf *buf, struct slice text, int nested);

/* Decodes a string that holds an object, masks that, and appends it as a string again. */
static int add_nested(struct buf *buf, struct slice raw, int nested)
{
	BUF_AUTO struct buf decoded = BUF_INIT(raw.len);
	BUF_AUTO struct buf masked = BUF_INIT(buf->limit);
	struct json_object object;
	size_t len = 0;
	int err = buf_reserve(&decoded, raw.len);

	if (!err)
		err = json_string_decode(raw, decoded.data, decoded.cap, &len);
	struct slice text = {decoded.data, len};
	if (!err)
		err = json_scan_object(text, &object);
	if (!err)
		err = mask_json(&masked, text, nested + 1);
	return err ? err : json_add_string(buf, buf_slice(&masked));
}

/* A string, with its quotes, that is no secret by its key. */
static int add_string(struct buf *buf, struct slice quoted, int nested)
{
	struct slice raw = {quoted.at + 1, quoted.len >= 2 ? quoted.len - 2 : 0};

	if (nested < NESTED_MAX && raw.len >= 2 && raw.at[0] == '{' &&
	    add_nested(buf, raw, nested) == 0)
		return 0;
	return add_text(buf, quoted);
}

/* A key's name in JSON may be escaped; one that cannot be decoded is compared as it stands. */
static bool secret_string(struct slice quoted)
{
	char name[64];
	size_t len;

	if (quoted.len < 2)
		return false;
	struct slice raw = {quoted.at + 1, quoted.len - 2};
	if (json_string_decode(raw, name, sizeof(name), &len) == 0)
		return is_secret_key((struct slice){name, len});
	return is_secret_key(raw);
}

static int mask_json(struct buf *buf, struct slice text, int nested)
{
	size_t at = 0;
	int err = 0;

	while (at < text.len && !err) {
		size_t end = text.at[at] == '"' ? string_end(text, at) : at + 1;
		struct slice token = {text.at + at, end - at};
		size_t next = skip_space(text, end);
		bool key = token.at[0] == '"' && next < text.len && text.at[next] == ':';
		if (key && secret_string(token)) {
			size_t value = skip_space(text, next + 1);
			err = buf_add(buf, text.at + at, value - at);
			if (!err)
				err = buf_add_string(buf, "\"" MASK "\"");
			end = value_end(text, value);
		} else if (is_digit(token.at[0])) {
			while (end < text.len && is_digit(text.at[end]))
				end++;
			err = add_text(buf, (struct slice){text.at + at, end - at});
		} else if (token.at[0] == '"') {
			err = add_string(buf, token, nested);
		} else {
			err = buf_add_slice(buf, token);
		}
		at = end;
	}
	return err;
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? memchr(digits, c | 0x20, 16) : NULL;

	if (is_digit(c))
		return c - '0';
	return at ? (int)(at - digits) : -1;
}

/* Form decoding for a look at a name: what is malformed stays as it is. */
static size_t form_decode(struct slice text, char *out, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len && len < cap; i++) {
		int high = text.at[i] == '%' && i + 2 < text.len ? hex_value(text.at[i + 1]) : -1;
		int low = high >= 0 ? hex_value(text.at[i + 2]) : -1;
		if (low >= 0) {
			out[len++] = (char)(high * 16 + low);
			i += 2;
		} else {
			out[len++] = text.at[i];
		}
	}
	return len;
}

static int mask_form(struct buf *buf, struct slice text)
{
	int err = 0;

	while (text.len && !err) {
		const char *amp = memchr(text.at, '&', text.len);
		size_t len = amp ? (size_t)(amp - text.at) : text.len;
		const char *equals = memchr(text.at, '=', len);
		size_t key_len = equals ? (size_t)(equals - text.at) : len;
		char name[64];
		struct slice key = {
			name, form_decode((struct slice){text.at, key_len}, name, sizeof(name))};
		/* The courier's members and an envelope's data are percent-encoded JSON: not for a
		 * reader in any case. */
		bool whole = is_secret_key(key) || slice_equal_nocase(key, SLICE("courier")) ||
			     slice_equal_nocase(key, SLICE("data"));
		if (equals && whole) {
			err = buf_add(buf, text.at, key_len + 1);
			if (!err)
				err = buf_add_string(buf, MASK);
		} else {
			err = add_text(buf, (struct slice){text.at, len});
		}
		if (amp && !err)
			err = buf_add_char(buf, '&');
		len += amp ? 1 : 0;
		text.at += len;
		text.len -= len;
	}
	return err;
}

int mask_body(struct buf *buf, struct slice body)
{
	size_t first = skip_space(body, 0);
	struct json_object object;
	int err;

	if (first == body.len || body.at[first] != '{')
		return mask_form(buf, body);
	err = json_scan_object(body, &object);
	return err ? err : mask_json(buf, body, 0);
}
