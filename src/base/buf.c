/*
 * Slices compare and parse in place. A buf grows by doubling up to its limit; every size is checked
 * before it is used, so a caller's arithmetic mistake is an error and not an overflow.
 */
#include "orderhook/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"

struct slice slice_of(const char *string)
{
	return (struct slice){string, string ? strlen(string) : 0};
}

bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool slice_equal_string(struct slice a, const char *b)
{
	return slice_equal(a, slice_of(b));
}

static unsigned char lower(char c)
{
	/* Not tolower(): the locale must not decide which keys are the same. */
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : (unsigned char)c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	}
	return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && slice_equal((struct slice){s.at, prefix.len}, prefix);
}

const char *slice_find(struct slice s, struct slice needle)
{
	if (needle.len == 0)
		return s.at;
	if (s.len < needle.len)
		return NULL;
	return memmem(s.at, s.len, needle.at, needle.len);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.len && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

int slice_copy(struct slice s, char *out, size_t cap)
{
	if (s.len >= cap)
		return -ERR_TOO_LONG;
	if (s.len)
		memcpy(out, s.at, s.len);
	out[s.len] = '\0';
	return 0;
}

int slice_to_u64(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	bool too_big = false;

	if (s.len == 0)
		return -ERR_SYNTAX;
	/* To the end even when it is too big by then: what is no number is not out of range. */
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return -ERR_SYNTAX;
		unsigned digit = (unsigned)(s.at[i] - '0');
		too_big = too_big || value > (UINT64_MAX - digit) / 10;
		value = value * 10 + digit;
	}
	if (too_big || value > max)
		return -ERR_RANGE;
	*ret = value;
	return 0;
}

int slice_to_i64(struct slice s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = s.len && s.at[0] == '-';
	uint64_t magnitude;
	int err;

	if (negative) {
		s.at++;
		s.len--;
	}
	/* INT64_MIN has no positive counterpart. */
	err = slice_to_u64(s, (uint64_t)INT64_MAX + negative, &magnitude);
	if (err)
		return err;
	int64_t value = (int64_t)(negative ? 0 - magnitude : magnitude);
	if (value < min || value > max)
		return -ERR_RANGE;
	*ret = value;
	return 0;
}

void buf_init(struct buf *buf, size_t limit)
{
	*buf = (struct buf)BUF_INIT(limit);
}

void buf_release(struct buf *buf)
{
	if (!buf)
		return;
	free(buf->data);
	*buf = (struct buf)BUF_INIT(buf->limit);
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

void buf_wipe(struct buf *buf)
{
	if (buf && buf->data)
		explicit_bzero(buf->data, buf->cap);
	buf_release(buf);
}

int buf_reserve(struct buf *buf, size_t len)
{
	size_t cap = buf->cap ? buf->cap : 64;
	char *data;

	if (len > buf->limit)
		return -ERR_TOO_LONG;
	if (len < buf->cap)
		return 0;
	while (cap <= len) {
		if (cap > SIZE_MAX / 2)
			return -ERR_TOO_LONG;
		cap *= 2;
	}
	data = realloc(buf->data, cap);
	if (!data)
		return -ERR_NOMEM;
	buf->data = data;
	buf->cap = cap;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_add(struct buf *buf, const void *bytes, size_t len)
{
	int err;

	if (len > SIZE_MAX - buf->len)
		return -ERR_TOO_LONG;
	err = buf_reserve(buf, buf->len + len);
	if (err)
		return err;
	if (len)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_add_slice(struct buf *buf, struct slice s)
{
	return buf_add(buf, s.at, s.len);
}

int buf_add_string(struct buf *buf, const char *string)
{
	return buf_add(buf, string, strlen(string));
}

int buf_add_char(struct buf *buf, char c)
{
	return buf_add(buf, &c, 1);
}

int buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int len;
	int err;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return -ERR_INTERNAL;
	if ((size_t)len > SIZE_MAX - buf->len)
		return -ERR_TOO_LONG;
	err = buf_reserve(buf, buf->len + (size_t)len);
	if (err)
		return err;
	va_start(args, format);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
	return 0;
}

struct slice buf_slice(const struct buf *buf)
{
	return (struct slice){buf->data ? buf->data : "", buf->len};
}
