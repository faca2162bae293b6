/*
 * PATH.lock: one writer at a time, and the writer's word of what it has committed, kept outside the
 * database. The file stays when the lock is released: removing it would let two processes lock two
 * files of one name.
 */
#pragma once

#include <stdint.h>

#include "orderhook/buf.h"

#define STORE_ID_BYTES 33 /* 32 hex digits and a NUL */

struct store_lock {
	int fd; /* -1: not held */
};

/*
 * Takes the lock without waiting. -ERR_STORE_LOCKED with the holder's pid in problem;
 * -ERR_STORE_IO when the file cannot be made or locked.
 */
int store_lock_take(const char *store_path, struct store_lock *ret, struct buf *problem);
void store_lock_release(struct store_lock *lock); /* one that is not held is fine */

/* The last event that a writer said was committed in the store of this id; 0: nobody did. */
int64_t store_lock_committed(const struct store_lock *lock, const char *store_id);
/*
 * Says that everything up to this event is committed. Not synced: after a power loss it may be an
 * older word, which is still true.
 */
void store_lock_commit(const struct store_lock *lock, const char *store_id, int64_t event_id);
