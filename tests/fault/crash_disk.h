/*
 * A disk that can lose its power: one directory of files in memory, what a process sees of them,
 * and what of it would be there after a crash. crash_calls.c puts it under the system calls of the
 * program that it is linked into, so SQLite's own unix VFS runs on it, whatever is stacked on that,
 * and so do the store's own files.
 *
 * A process's writes, truncations, syncs, creations and removals are a list of operations. A file's
 * sync makes the operations on it durable, the directory's those on names. At any point of the list
 * a crash makes a new disk: what was synced is there, and of the rest what the style says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_DIRECTORY "/crash"
#define DISK_FILES 96 /* files ever made on one disk */
#define DISK_NAMES 12 /* files at one time */
#define DISK_NAME_BYTES 32
#define DISK_MAPPED_BYTES (64 * 1024) /* of a file at most: two pieces of the log's index */

struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t limit); /* 0 to limit - 1 */

struct file_bytes {
	uint8_t *at; /* owned */
	size_t len;
	size_t cap;
};

struct entry {
	char name[DISK_NAME_BYTES]; /* "": free */
	int file;
};

/* What is on a disk at one moment. */
struct image {
	struct file_bytes files[DISK_FILES];
	struct entry names[DISK_NAMES];
};

enum op_kind {
	OP_WRITE = 0,
	OP_TRUNCATE,
	OP_SYNC,
	OP_SYNC_FAILED, /* the kernel gives up what was dirty: some of it is on disk, some never */
	OP_CREATE,
	OP_REMOVE,
	OP_SYNC_DIRECTORY,
	OP_KIND_MAX
};

struct op {
	enum op_kind kind;
	int file;
	size_t offset; /* OP_TRUNCATE: the new length */
	size_t len;
	size_t bytes_at; /* in the disk's arena */
	char name[DISK_NAME_BYTES];
};

/* One call fails, once: the first at or after this operation. */
struct failing {
	size_t from;
	int error;
	const char *sync_of; /* only the syncs of this file; NULL: any call */
};

struct disk {
	struct image base; /* durable when the list begins */
	struct image now;  /* as a process sees it */
	int n_files;
	bool mapped[DISK_FILES]; /* shared memory: its writes are not seen */
	struct op *ops;          /* owned */
	size_t n_ops;
	size_t cap_ops;
	uint8_t *arena; /* owned */
	size_t n_arena;
	size_t cap_arena;
	uint64_t serial; /* its device number */
	struct failing failing;
	bool failed;
};

struct disk *disk_new(void);
void disk_free(struct disk *disk); /* NULL is fine */
/* -1: there is none. */
int disk_find(const struct image *image, const char *name);
/* -1: there is no room. */
int disk_create(struct disk *disk, const char *name);
void disk_remove(struct disk *disk, const char *name);
void disk_write(struct disk *disk, int file, size_t offset, const void *bytes, size_t len);
void disk_truncate(struct disk *disk, int file, size_t len);
/* file -1: the directory */
void disk_sync(struct disk *disk, int file, bool failed);
void disk_map(struct disk *disk, int file);
/* As it was made; "" for the directory, and when it is not known any more. */
const char *disk_name_of(const struct disk *disk, int file);
const char *op_name(enum op_kind kind);

/* ------------------------------------------------------------------ crashes ------------ */

enum crash_style {
	CRASH_FORGOTTEN = 0, /* nothing that was not synced */
	CRASH_KEPT,          /* all of it */
	CRASH_PREFIX,        /* the first ones, the last of them torn */
	CRASH_SUBSET,        /* any of them: reordered */
	CRASH_TORN_512,      /* any sectors of any of them */
	CRASH_TORN_4096,
	CRASH_GARBAGE, /* like the one before; some sectors in flight hold anything */
	CRASH_KILLED,  /* the process alone: nothing is lost yet, and nothing more is durable */
	CRASH_STYLE_MAX
};

const char *crash_style_name(enum crash_style style);

/* Walks along a disk's list, knowing what is durable and what is not. */
struct replay {
	const struct disk *disk;
	size_t at; /* operations before this one were issued */
	struct image durable;
	size_t *pending; /* owned: operations that no sync has covered */
	size_t n_pending;
	size_t cap_pending;
	struct rng rng; /* what a failed sync gave up */
};

void replay_init(struct replay *replay, const struct disk *disk, uint64_t seed);
void replay_to(struct replay *replay, size_t at);
void replay_release(struct replay *replay);
struct disk *replay_crash(const struct replay *replay, enum crash_style style, struct rng *rng);

/* ------------------------------------------------------------------ the calls ---------- */

/* From now on the calls of this process go to this disk; random bytes come from the seed. */
void disk_use(struct disk *disk, uint64_t seed);
/* Descriptors that are still open: a process that ends has none. */
int disk_open_files(void);

/* ------------------------------------------------------------------ memory ------------- */

/* SQLite's blocks come from here; before its first use. */
void crash_memory_use(void);
