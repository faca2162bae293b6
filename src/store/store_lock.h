/*
 * PATH.lock: one writer at a time. The file stays when the lock is released: removing it would let
 * two processes lock two files of one name.
 */
#pragma once

#include "orderhook/buf.h"

struct store_lock {
	int fd; /* -1: not held */
};

/*
 * Takes the lock without waiting. -ERR_STORE_LOCKED with the holder's pid in problem;
 * -ERR_STORE_IO when the file cannot be made or locked.
 */
int store_lock_take(const char *store_path, struct store_lock *ret, struct buf *problem);
/* The pid that the file names; 0 when it names none, or cannot be read. */
long store_lock_holder(const char *store_path);
void store_lock_release(struct store_lock *lock); /* one that is not held is fine */
