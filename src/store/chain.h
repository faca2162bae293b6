/*
 * The chain of events: each has a link, the SHA-256 of the link before it, its number, the SHA-256
 * of its body and its columns. docs/decisions/0005-evidence.md has the reasons. Pure: no file.
 */
#pragma once

#include "orderhook/digest.h"

#define CHAIN_BYTES DIGEST_SHA256_BYTES

enum chain_column {
#define PUBLIC_COLUMN(name) CHAIN_##name,
#define PRIVATE_COLUMN(name) CHAIN_##name,
#include "chain_column.def"
	CHAIN_MAX
};
#define CHAIN_FIRST_PRIVATE CHAIN_courier_id

enum chain_kind {
	CHAIN_KIND_EVENT = 0,
	CHAIN_KIND_OTHER,
	CHAIN_KIND_MAX
};

enum chain_type {
	CHAIN_NULL = 0,
	CHAIN_INTEGER,
	CHAIN_TEXT,
	CHAIN_BLOB,
	CHAIN_ALIEN, /* of a type that no column has: only in a damaged file */
	CHAIN_TYPE_MAX
};

struct chain_value {
	enum chain_type type;
	int64_t integer;    /* CHAIN_INTEGER */
	struct slice bytes; /* CHAIN_TEXT, CHAIN_BLOB; borrowed */
};

/* All zero: every value is NULL. */
struct chain_row {
	int64_t event_id;
	uint8_t body_sha256[CHAIN_BYTES];
	struct chain_value values[CHAIN_MAX];
};

struct chain_value chain_integer(int64_t value);
struct chain_value chain_text_or_null(const char *text); /* NULL for "" */
struct chain_value chain_blob(struct slice bytes);

/* Each fails only as hashing does. */
/* What stands in front of the first event of the store. */
int chain_genesis(const char *store_id, uint8_t ret[CHAIN_BYTES]);
int chain_private(const struct chain_row *row, uint8_t ret[CHAIN_BYTES]);
/* ret may be previous. */
int chain_link(const uint8_t previous[CHAIN_BYTES], const struct chain_row *row,
	       const uint8_t private_sha256[CHAIN_BYTES], uint8_t ret[CHAIN_BYTES]);
