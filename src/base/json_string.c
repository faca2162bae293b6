/*
 * JSON strings: escapes to code points and back. Whoever reads an escape does it through
 * json_take_escape(), so that the scanner, the comparison of keys and the decoder cannot disagree
 * about what a string says.
 */
#include <string.h>

#include "json_private.h"
#include "orderhook/err.h"

size_t json_put_utf8(uint32_t code, char out[JSON_UTF8_BYTES_MAX])
{
	size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	if (len == 1) {
		out[0] = (char)code;
		return 1;
	}
	for (size_t i = len - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	out[0] = (char)((0xf00u >> len & 0xf0) | code);
	return len;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "uXXXX" at the front of [at, end). */
static bool take_hex4(const char *at, const char *end, uint32_t *ret)
{
	uint32_t code = 0;

	if (end - at < 5 || at[0] != 'u')
		return false;
	for (int i = 1; i < 5; i++) {
		int digit = hex_value(at[i]);
		if (digit < 0)
			return false;
		code = code << 4 | (uint32_t)digit;
	}
	*ret = code;
	return true;
}

static int take_unicode(const char **at, const char *end, uint32_t *ret)
{
	const char *next = *at + 5;
	uint32_t high;
	uint32_t low;

	if (!take_hex4(*at, end, &high))
		return -ERR_JSON_SYNTAX;
	if (high < 0xd800 || high > 0xdfff) {
		*at = next;
		*ret = high;
		return 0;
	}
	if (high > 0xdbff || end - next < 6 || *next != '\\' || !take_hex4(next + 1, end, &low) ||
	    low < 0xdc00 || low > 0xdfff)
		return -ERR_JSON_SURROGATE;
	*at = next + 6;
	*ret = 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
	return 0;
}

int json_take_escape(const char **at, const char *end, uint32_t *ret)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (*at == end)
		return -ERR_JSON_SYNTAX;
	if (**at == 'u')
		return take_unicode(at, end, ret);
	found = memchr(letters, **at, sizeof(letters) - 1);
	if (!found)
		return -ERR_JSON_SYNTAX;
	*ret = (unsigned char)meanings[found - letters];
	(*at)++;
	return 0;
}

bool json_valid_utf8(struct slice text)
{
	uint32_t code;

	for (size_t i = 0; i < text.len;) {
		size_t len = json_take_utf8(text.at + i, text.at + text.len, &code);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

/* Without out it only measures. */
static int decode(struct slice raw, char *out, size_t *ret_len)
{
	size_t len = 0;
	size_t i = 0;

	while (i < raw.len) {
		const char *at = raw.at + i;
		const char *backslash = memchr(at, '\\', raw.len - i);
		size_t run = backslash ? (size_t)(backslash - at) : raw.len - i;
		char utf8[JSON_UTF8_BYTES_MAX];
		uint32_t code;

		if (out)
			memcpy(out + len, at, run);
		len += run;
		i += run;
		if (!backslash)
			continue;
		at = backslash + 1;
		int err = json_take_escape(&at, raw.at + raw.len, &code);
		if (err)
			return err;
		i = (size_t)(at - raw.at);
		size_t n = json_put_utf8(code, utf8);
		if (out)
			memcpy(out + len, utf8, n);
		len += n;
	}
	*ret_len = len;
	return 0;
}

int json_string_decode(struct slice raw, char *out, size_t cap, size_t *ret_len)
{
	size_t len = 0;

	/* Decoding only shrinks, so what is not longer than cap needs no measuring. */
	if (raw.len > cap) {
		int err = decode(raw, NULL, &len);
		if (err)
			return err;
		if (len > cap)
			return -ERR_TOO_LONG;
	}
	return decode(raw, out, ret_len);
}

/*
 * The code point of the character at text.at[i] when it must be escaped, else -1. Beyond what RFC
 * 8259 asks for these are DEL and the C1 controls: a terminal acts on them, and what the tool
 * prints as JSON may end on one.
 */
static int must_escape(struct slice text, size_t i)
{
	unsigned char c = (unsigned char)text.at[i];

	if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
		return c;
	if (c != 0xc2 || i + 1 == text.len)
		return -1;
	c = (unsigned char)text.at[i + 1];
	return c >= 0x80 && c <= 0x9f ? c : -1;
}

static int add_escape(struct buf *buf, int code)
{
	static const char meanings[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	const char *found = memchr(meanings, code, sizeof(meanings) - 1);
	char pair[2] = {'\\'};

	if (!found)
		return buf_addf(buf, "\\u%04x", (unsigned)code);
	pair[1] = letters[found - meanings];
	return buf_add(buf, pair, sizeof(pair));
}

static int add_quoted(struct buf *buf, struct slice text)
{
	size_t run = 0;
	int err = buf_add_char(buf, '"');

	for (size_t i = 0; !err && i < text.len; i++) {
		int code = must_escape(text, i);
		if (code < 0)
			continue;
		err = buf_add(buf, text.at + run, i - run);
		if (!err)
			err = add_escape(buf, code);
		if (code >= 0x80)
			i++;
		run = i + 1;
	}
	if (!err && run < text.len)
		err = buf_add(buf, text.at + run, text.len - run);
	return err ? err : buf_add_char(buf, '"');
}

int json_add_string(struct buf *buf, struct slice text)
{
	size_t before = buf->len;
	int err = add_quoted(buf, text);

	/* Half a string in front of what the caller adds next would be worse than none. */
	if (err && buf->data) {
		buf->len = before;
		buf->data[before] = '\0';
	}
	return err;
}
