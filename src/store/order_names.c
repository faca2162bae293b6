/*
 * A refused delivery may be no JSON and no form, so nothing is parsed: the name is looked for at
 * every place, decoding as it goes. What stands around it must not be a character of an order
 * number; a colon before it may be JSON's, so that one is taken for the end of a word.
 */
#include "order_names.h"

#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The value of n hex digits, -1 when they are not all there. */
static int hex(const char *at, const char *end, int n)
{
	int value = 0;

	if (end - at < n)
		return -1;
	for (int i = 0; i < n; i++) {
		int digit = hex_digit(at[i]);
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* The character at this place, and how many bytes it takes. Above ASCII none is in a name. */
static int decode(const char *at, const char *end, size_t *ret_len)
{
	int value = -1;

	*ret_len = 1;
	if (*at == '%') {
		value = hex(at + 1, end, 2);
		*ret_len = value < 0 ? 1 : 3;
	} else if (*at == '\\' && end - at > 1 && at[1] == 'u') {
		value = hex(at + 2, end, 4);
		*ret_len = value < 0 ? 1 : 6;
	}
	return value < 0 ? (unsigned char)*at : value;
}

static bool in_word(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c == '.' || c == '-';
}

static bool stands_here(const char *at, const char *end, const char *name)
{
	size_t len;

	for (; *name; name++) {
		if (at == end || decode(at, end, &len) != (unsigned char)*name)
			return false;
		at += len;
	}
	if (at == end)
		return true;
	int next = decode(at, end, &len);
	return !in_word(next) && next != ':';
}

bool text_names_order(struct slice text, const char *name)
{
	const char *end = text.at + text.len;
	int before = 0;
	size_t len;

	if (!text.len || !name[0])
		return false;
	for (const char *at = text.at; at < end; at += len) {
		if (!in_word(before) && stands_here(at, end, name))
			return true;
		before = decode(at, end, &len);
	}
	return false;
}
