/*
 * Bytes: a slice borrows them, a buf owns a bounded number of them. Nothing here is NUL-terminated
 * unless it says so, and no size is ever trusted: a buf that would outgrow its limit stays as it is
 * and reports -ERR_TOO_LONG.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes. {NULL, 0} is "absent"; an empty value that is present has a non-NULL at. */
struct slice {
	const char *at;
	size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_ARG(s) (int)(s).len, (s).at /* for "%.*s" */

struct slice slice_of(const char *string); /* strlen; NULL gives the absent slice */
bool slice_equal(struct slice a, struct slice b);
bool slice_equal_string(struct slice a, const char *b);
bool slice_equal_nocase(struct slice a, struct slice b); /* ASCII letters only */
bool slice_starts_with(struct slice s, struct slice prefix);
/* First occurrence of needle, as a pointer into s; NULL when there is none. An empty needle is
 * found at the start. */
const char *slice_find(struct slice s, struct slice needle);
/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);
/* Copies s and a NUL to out. -ERR_TOO_LONG when it does not fit cap with its NUL. */
int slice_copy(struct slice s, char *out, size_t cap);

/* Unsigned decimal, digits only, no sign, no blank, at most max. Leading zeros are allowed.
 * -ERR_SYNTAX, -ERR_RANGE. */
int slice_to_u64(struct slice s, uint64_t max, uint64_t *ret);
/* The same with an optional leading '-', within [min, max]. */
int slice_to_i64(struct slice s, int64_t min, int64_t max, int64_t *ret);

struct buf {
	char *data; /* owned, malloc'ed; NULL while empty. data[len] is always NUL once allocated */
	size_t len;
	size_t cap;
	size_t limit; /* len never exceeds it */
};

#define BUF_INIT(limit_bytes)             \
	{                                 \
		NULL, 0, 0, (limit_bytes) \
	}

void buf_init(struct buf *buf, size_t limit);
void buf_release(struct buf *buf); /* NULL and released ones are fine */
void buf_reset(struct buf *buf);   /* empties it, keeps the memory */
/* Overwrites the memory before it is freed: for what held a secret. Reserve first: a buf that had
 * to grow has left copies behind. */
void buf_wipe(struct buf *buf);
/* Makes room for len bytes in all. -ERR_TOO_LONG, -ERR_NOMEM. */
int buf_reserve(struct buf *buf, size_t len);
int buf_add(struct buf *buf, const void *bytes, size_t len);
int buf_add_slice(struct buf *buf, struct slice s);
int buf_add_string(struct buf *buf, const char *string);
int buf_add_char(struct buf *buf, char c);
int buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct slice buf_slice(const struct buf *buf); /* valid until the next change */

/* Frees at the end of the scope: `BUF_AUTO struct buf b = BUF_INIT(4096);` */
#define BUF_AUTO __attribute__((cleanup(buf_release)))
