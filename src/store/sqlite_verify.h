/* What the parts of verify share: sqlite_verify.c, sqlite_verify_chain.c, sqlite_verify_fold.c. */
#pragma once

#include "orderhook/store_verify.h"
#include "sqlite_private.h"

struct verify {
	struct store_reader *reader;
	const struct store_verify *options;
	struct store_verify_totals totals;
	struct store_head head;
};

/* Tells about events [first, last], or none (0, 0), of an order or none (NULL). */
void verify_found(struct verify *verify, enum finding finding, int64_t first, int64_t last,
		  const char *detail);
void verify_found_order(struct verify *verify, enum finding finding, const char *endpoint,
			const char *order, const char *detail);
/* True for an error that means that the file is damaged. */
bool verify_is_damage(int err);
/* Each returns what store_verify() does. */
int verify_chain(struct verify *verify, const char *store_id, int64_t last_number);
int verify_orders(struct verify *verify);
