/*
 * Answers for json_scan_object(), many texts in one process. Reads texts from stdin, each behind
 * its length as four bytes, most significant first; writes a line for each: the error's key, or
 * "ok", the number of members and the beginning of a hash of what they are.
 * tests/integration/test_5_json.py holds the lines against a reader of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/digest.h"
#include "orderhook/err.h"
#include "orderhook/json_scan.h"

#define TEXT_BYTES_MAX (1 << 24)
#define SHOWN_DIGITS 16

static const char type_letters[JSON_TYPE_MAX] = {
	[JSON_NULL] = 'n',   [JSON_FALSE] = 'f', [JSON_TRUE] = 't',   [JSON_NUMBER] = 'd',
	[JSON_STRING] = 's', [JSON_ARRAY] = 'a', [JSON_OBJECT] = 'o',
};

/* Every part behind its length, so that no two lists of parts look the same. */
static int add_part(struct buf *buf, struct slice part)
{
	int err = buf_addf(buf, "%zu:", part.len);

	return err ? err : buf_add_slice(buf, part);
}

/* Into exactly as much memory as the decoder promises to be content with. */
static int add_decoded(struct buf *buf, struct slice raw)
{
	char *out = malloc(raw.len ? raw.len : 1);
	size_t len;
	int err = out ? json_string_decode(raw, out, raw.len, &len) : -ERR_NOMEM;

	if (!err)
		err = add_part(buf, (struct slice){out, len});
	free(out);
	return err;
}

static int add_member(struct buf *buf, const struct json_member *member)
{
	int err = add_decoded(buf, member->key);

	if (!err)
		err = buf_add_char(buf, type_letters[member->type]);
	if (!err)
		err = add_part(buf, member->value);
	if (!err && member->type == JSON_STRING)
		err = add_decoded(buf, member->value);
	return err;
}

static int answer(struct slice text)
{
	BUF_AUTO struct buf parts = BUF_INIT(4 * TEXT_BYTES_MAX);
	struct json_object object;
	uint8_t hash[DIGEST_SHA256_BYTES];
	char digits[2 * DIGEST_SHA256_BYTES + 1];
	int err = json_scan_object(text, &object);

	if (err) {
		puts(err_key(err));
		return 0;
	}
	for (size_t i = 0; !err && i < object.n; i++)
		err = add_member(&parts, &object.members[i]);
	if (!err)
		err = digest_sha256(&(struct slice){parts.data, parts.len}, 1, hash);
	if (err)
		return err;
	digest_hex_lower(hash, sizeof(hash), digits);
	printf("ok %zu %.*s\n", object.n, SHOWN_DIGITS, digits);
	return 0;
}

/* 1 and a text in memory of just its size, 0 at the end of the input, or an error. */
static int read_text(struct slice *ret)
{
	unsigned char head[4];
	size_t got = fread(head, 1, sizeof(head), stdin);
	char *text;

	if (got == 0)
		return 0;
	size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (got != sizeof(head) || len > TEXT_BYTES_MAX)
		return -ERR_SYNTAX;
	text = malloc(len ? len : 1);
	if (!text)
		return -ERR_NOMEM;
	if (fread(text, 1, len, stdin) != len) {
		free(text);
		return -ERR_SYNTAX;
	}
	*ret = (struct slice){text, len};
	return 1;
}

int main(void)
{
	struct slice text;
	int err = 0;
	int got = 1;

	while (!err && (got = read_text(&text)) > 0) {
		err = answer(text);
		free((char *)text.at);
		/* Whoever asks may wait for this answer before the next question. */
		fflush(stdout);
	}
	err = err ? err : got;
	if (err)
		fprintf(stderr, "json_driver: %s\n", err_text(err));
	return err ? 1 : 0;
}
