/*
 * A life of a store on a disk that can lose its power: what was sent, what was acknowledged, and
 * when, counted in the disk's operations, so that it can be asked of any moment.
 */
#pragma once

#include "../../src/store/sqlite_private.h"
#include "crash_disk.h"
#include "orderhook/err.h"

#define POWER_PATH DISK_DIRECTORY "/orderhook.db"
#define POWER_NAME "orderhook.db"
#define POWER_ENVIRONMENT "test"
#define NEVER SIZE_MAX
#define NO_PROMISE (-1)
#define EVENTS_MAX 512
#define ATTEMPTS_MAX 1024
#define HOLDS_MAX 128
#define PROMISES_MAX 128
#define BATCH_MAX 8
#define POWER_BODY_BYTES 9000

struct attempt {
	int number; /* of the event, or of the refused delivery */
	size_t sent_at;
	size_t acked_at; /* NEVER: no answer, or a refusal */
};

/* PATH.head was synced: from here on it names this event or a newer one. NO_PROMISE: somebody has
 * removed it. */
struct promise {
	int64_t event_id;
	size_t at;
};

struct life {
	uint64_t seed;
	struct attempt attempts[ATTEMPTS_MAX];
	size_t n_attempts;
	struct attempt holds[HOLDS_MAX];
	size_t n_holds;
	struct promise promises[PROMISES_MAX];
	size_t n_promises;
	int n_events;
	size_t made_at;     /* init said that it made the store */
	size_t migrated_at; /* a program with a newer schema began to open it */
	char why[512];      /* what a healthy life could not do */
};

/* Makes the store, opens it, writes, closes it, opens it again; on the disk in use. False when
 * something failed that had no reason to. */
bool life_run(struct life *life, struct disk *disk, struct rng *rng);
/* As it was when so many operations had been issued. */
void life_at(const struct life *life, size_t at, struct life *ret);
/* The daemon's way: open and commit once. */
int life_open(const struct life *life, struct store **ret, struct buf *problem);
/* Sends these events in one batch and notes what was acknowledged. */
int life_send(struct life *life, struct disk *disk, struct store *store, const int *numbers,
	      size_t n, size_t n_holds);
/* The connection that the store writes with. */
sqlite3 *store_db(struct store *store);
size_t power_body(uint64_t seed, int number, bool held, char ret[POWER_BODY_BYTES]);
