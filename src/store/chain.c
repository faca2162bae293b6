/*
 * A value is encoded as one byte for its type, then eight bytes for an integer, or four for a
 * length and the bytes; integers are big-endian. So no two rows have one encoding. Short values are
 * gathered in a buffer on the stack, because a call of the hash for each costs more than hashing.
 */
#include "chain.h"

#include <string.h>

#define GATHERED_BYTES 1024
#define PREFIX_BYTES 9
#define PARTS_MAX (2 * CHAIN_MAX + 4)

/* What is to be hashed: parts that point into gathered, or to a long value. */
struct encoding {
	uint8_t gathered[GATHERED_BYTES];
	size_t len;
	size_t from; /* of gathered: not in a part yet */
	struct slice parts[PARTS_MAX];
	size_t n;
};

struct chain_value chain_integer(int64_t value)
{
	return (struct chain_value){.type = CHAIN_INTEGER, .integer = value};
}

struct chain_value chain_text_or_null(const char *text)
{
	if (!text || !text[0])
		return (struct chain_value){.type = CHAIN_NULL};
	return (struct chain_value){.type = CHAIN_TEXT, .bytes = slice_of(text)};
}

struct chain_value chain_blob(struct slice bytes)
{
	return (struct chain_value){.type = CHAIN_BLOB, .bytes = bytes};
}

static void close_part(struct encoding *encoding)
{
	if (encoding->len == encoding->from)
		return;
	encoding->parts[encoding->n++] = (struct slice){
		(const char *)encoding->gathered + encoding->from, encoding->len - encoding->from};
	encoding->from = encoding->len;
}

/* Room is kept for the prefixes of all values, so that only values are ever too long. */
static void add_bytes(struct encoding *encoding, const void *bytes, size_t len)
{
	size_t reserved = PREFIX_BYTES * CHAIN_MAX;

	if (len > sizeof(encoding->gathered) - reserved ||
	    encoding->len + len > sizeof(encoding->gathered) - reserved) {
		close_part(encoding);
		encoding->parts[encoding->n++] = (struct slice){bytes, len};
	} else if (len) {
		memcpy(encoding->gathered + encoding->len, bytes, len);
		encoding->len += len;
	}
}

static void add_number(struct encoding *encoding, uint64_t value, int bytes)
{
	for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
		encoding->gathered[encoding->len++] = (uint8_t)(value >> shift);
}

static void add_value(struct encoding *encoding, const struct chain_value *value)
{
	add_number(encoding, value->type, 1);
	if (value->type == CHAIN_INTEGER) {
		add_number(encoding, (uint64_t)value->integer, 8);
	} else if (value->type == CHAIN_TEXT || value->type == CHAIN_BLOB) {
		add_number(encoding, value->bytes.len, 4);
		add_bytes(encoding, value->bytes.at, value->bytes.len);
	}
}

static void add_values(struct encoding *encoding, const struct chain_row *row, int from, int to)
{
	for (int i = from; i < to; i++)
		add_value(encoding, &row->values[i]);
}

static int hash(struct encoding *encoding, uint8_t ret[CHAIN_BYTES])
{
	close_part(encoding);
	return digest_sha256(encoding->parts, encoding->n, ret);
}

int chain_genesis(const char *store_id, uint8_t ret[CHAIN_BYTES])
{
	const struct slice parts[] = {SLICE("orderhook chain 1 "), slice_of(store_id)};

	return digest_sha256(parts, 2, ret);
}

int chain_private(const struct chain_row *row, uint8_t ret[CHAIN_BYTES])
{
	struct encoding encoding;

	encoding.len = encoding.from = encoding.n = 0;
	add_values(&encoding, row, CHAIN_FIRST_PRIVATE, CHAIN_MAX);
	return hash(&encoding, ret);
}

int chain_link(const uint8_t previous[CHAIN_BYTES], const struct chain_row *row,
	       const uint8_t private_sha256[CHAIN_BYTES], uint8_t ret[CHAIN_BYTES])
{
	struct encoding encoding;

	encoding.len = encoding.from = encoding.n = 0;
	add_bytes(&encoding, previous, CHAIN_BYTES);
	add_number(&encoding, (uint64_t)row->event_id, 8);
	add_bytes(&encoding, row->body_sha256, CHAIN_BYTES);
	add_values(&encoding, row, 0, CHAIN_FIRST_PRIVATE);
	add_bytes(&encoding, private_sha256, CHAIN_BYTES);
	return hash(&encoding, ret);
}
