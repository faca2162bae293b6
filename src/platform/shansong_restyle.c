/*
 * The ways in which JSON libraries write one value: with or without blanks, with or without escapes
 * for what is not ASCII, with or without an escaped slash. Only for finding out which of them a
 * signer has signed: what is authenticated is never written anew.
 */
#include <string.h>

#include "orderhook/err.h"
#include "shansong_private.h"

/* One code point of well-formed UTF-8; returns its length. */
static size_t code_point(struct slice text, uint32_t *ret)
{
	unsigned char first = (unsigned char)text.at[0];
	size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t value = len == 1 ? first : first & (0x7fU >> len);

	for (size_t i = 1; i < len; i++)
		value = value << 6 | ((unsigned char)text.at[i] & 0x3f);
	*ret = value;
	return len;
}

static int add_escape(struct buf *out, uint32_t value)
{
	if (value < 0x10000)
		return buf_addf(out, "\\u%04x", value);
	value -= 0x10000;
	return buf_addf(out, "\\u%04x\\u%04x", 0xd800 + (value >> 10), 0xdc00 + (value & 0x3ff));
}

static int add_string(struct buf *out, struct slice raw, unsigned style)
{
	BUF_AUTO struct buf decoded = BUF_INIT(raw.len + 1);
	BUF_AUTO struct buf quoted = BUF_INIT(6 * raw.len + 2);
	size_t len = 0;
	int err = buf_reserve(&decoded, raw.len + 1);

	if (!err)
		err = json_string_decode(raw, decoded.data, raw.len, &len);
	if (!err)
		err = json_add_string(&quoted, (struct slice){decoded.data, len});
	for (size_t i = 0; !err && i < quoted.len;) {
		struct slice rest = {quoted.data + i, quoted.len - i};
		uint32_t value;
		size_t taken = code_point(rest, &value);
		if (value == '/' && style & RESTYLE_SLASH)
			err = buf_add_string(out, "\\/");
		else if (value >= 0x80 && style & RESTYLE_ASCII)
			err = add_escape(out, value);
		else
			err = buf_add(out, rest.at, taken);
		i += taken;
	}
	return err;
}

/* The length of the string that opens at the front, with both quotes. */
static size_t string_len(struct slice text)
{
	size_t i = 1;

	while (text.at[i] != '"')
		i += text.at[i] == '\\' ? 2 : 1;
	return i + 1;
}

int shansong_restyle(struct slice json, unsigned style, struct buf *out)
{
	int err = 0;

	while (!err && json.len) {
		char c = json.at[0];
		size_t taken = 1;
		if (c == '"') {
			taken = string_len(json);
			err = add_string(out, (struct slice){json.at + 1, taken - 2}, style);
		} else if (!memchr(" \t\r\n", c, 4)) {
			err = buf_add_char(out, c);
			if (!err && style & RESTYLE_SPACED && (c == ',' || c == ':'))
				err = buf_add_char(out, ' ');
		}
		json.at += taken;
		json.len -= taken;
	}
	return err;
}
