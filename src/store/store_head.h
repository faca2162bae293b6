/*
 * PATH.head: which event is the newest and its link, kept outside the database. A database whose
 * log was lost, or that was put back to an older state, opens without an error; this file is how
 * the next start, and `orderhook verify`, notice.
 */
#pragma once

#include "chain.h"

#define STORE_ID_BYTES 33 /* 32 hex digits and a NUL */

struct store_head {
	char store_id[STORE_ID_BYTES];
	int64_t event_id;       /* 0: no event yet */
	int64_t since_event_id; /* the newest one when this file was made: it vouches from here on
				 */
	uint8_t link[CHAIN_BYTES];
};

struct store_head_file {
	int fd;   /* -1: not open */
	int slot; /* to be written until the next sync; the other one has what was synced */
	int errno_of_write;
	bool dirty; /* written and not synced */
};

/* What PATH.head says. -ERR_NOT_FOUND: there is no such file; -ERR_STORE_CORRUPT: neither of its
 * slots is whole; -ERR_STORE_IO, where errno tells why, or -ERR_NOMEM: it may say anything. */
int store_head_read(const char *store_path, struct store_head *ret);

/* Opens the file for the writer, and makes it when it is missing; anew: what it says is not of this
 * store. What it says is durable then, but a new file's name only with its directory's sync.
 * -ERR_STORE_IO, -ERR_NOMEM. */
int store_head_open(const char *store_path, bool anew, struct store_head_file *ret,
		    struct buf *problem);
/* Writes one slot; the other one keeps what was synced before. What is not written leaves that
 * older word, which is still true: the next sync tells. */
void store_head_write(struct store_head_file *file, const struct store_head *head);
/* Makes durable what was written. -ERR_STORE_IO, after which nothing is to be trusted. */
int store_head_sync(struct store_head_file *file);
/* True while the path still names the file that is open. */
bool store_head_is_there(const struct store_head_file *file, const char *store_path);
/* Does not sync. One that is not open is fine. */
void store_head_close(struct store_head_file *file);
