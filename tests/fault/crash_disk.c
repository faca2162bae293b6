/*
 * The disk's memory and what a crash makes of it.
 *
 * What is durable of a file and what is not is decided sector by sector, each for itself, which is
 * the most that any order of writing back can do. A sector in flight may hold garbage, but only
 * where it was being written: bytes beside a write survive it, as SQLite assumes of every disk
 * ("powersafe overwrite"). A file whose making was never synced may be gone, one whose removal was
 * not may be back, and a write that would have made a file longer may leave it longer and zero.
 */
#include "crash_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t limit)
{
	return rng_next(rng) % limit;
}

/* A harness without memory has nothing to say. */
static void *must(void *memory)
{
	if (!memory) {
		fputs("crash_disk: out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* ------------------------------------------------------------------ images ------------- */

static void reserve(struct file_bytes *file, size_t cap)
{
	if (cap <= file->cap)
		return;
	cap = cap < 2 * file->cap ? 2 * file->cap : cap;
	file->at = must(realloc(file->at, cap));
	memset(file->at + file->cap, 0, cap - file->cap);
	file->cap = cap;
}

static void set_length(struct file_bytes *file, size_t len)
{
	reserve(file, len);
	if (len < file->len)
		memset(file->at + len, 0, file->len - len);
	file->len = len;
}

static void put(struct file_bytes *file, size_t offset, const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return;
	if (offset + len > file->len)
		set_length(file, offset + len);
	memcpy(file->at + offset, bytes, len);
}

static void copy_image(struct image *to, const struct image *from)
{
	*to = *from;
	for (int i = 0; i < DISK_FILES; i++) {
		struct file_bytes *file = &to->files[i];
		*file = (struct file_bytes){0};
		if (from->files[i].len)
			put(file, 0, from->files[i].at, from->files[i].len);
	}
}

static void release_image(struct image *image)
{
	for (int i = 0; i < DISK_FILES; i++)
		free(image->files[i].at);
}

static struct entry *find_entry(struct image *image, const char *name)
{
	for (int i = 0; i < DISK_NAMES; i++) {
		if (strcmp(image->names[i].name, name) == 0)
			return &image->names[i];
	}
	return NULL;
}

int disk_find(const struct image *image, const char *name)
{
	for (int i = 0; i < DISK_NAMES && name[0]; i++) {
		if (strcmp(image->names[i].name, name) == 0)
			return image->names[i].file;
	}
	return -1;
}

static void name_file(struct image *image, const char *name, int file)
{
	struct entry *entry = find_entry(image, name);

	if (!entry)
		entry = must(find_entry(image, ""));
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->file = file;
}

static void remove_name(struct image *image, const char *name)
{
	struct entry *entry = find_entry(image, name);

	if (entry)
		entry->name[0] = '\0';
}

/* What an operation does when all of it happens. */
static void apply(struct image *image, const struct disk *disk, const struct op *op)
{
	switch (op->kind) {
	case OP_WRITE:
		put(&image->files[op->file], op->offset, disk->arena + op->bytes_at, op->len);
		break;
	case OP_TRUNCATE:
		set_length(&image->files[op->file], op->offset);
		break;
	case OP_CREATE:
		name_file(image, op->name, op->file);
		break;
	case OP_REMOVE:
		remove_name(image, op->name);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------ the disk ----------- */

struct disk *disk_new(void)
{
	static uint64_t serial;
	struct disk *disk = must(calloc(1, sizeof(*disk)));

	disk->serial = ++serial;
	disk->failing.from = SIZE_MAX;
	return disk;
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	release_image(&disk->base);
	release_image(&disk->now);
	free(disk->ops);
	free(disk->arena);
	free(disk);
}

static void add_op(struct disk *disk, struct op op, const void *bytes, const char *name)
{
	if (disk->n_ops == disk->cap_ops) {
		disk->cap_ops = disk->cap_ops ? 2 * disk->cap_ops : 256;
		disk->ops = must(realloc(disk->ops, disk->cap_ops * sizeof(op)));
	}
	if (disk->n_arena + op.len > disk->cap_arena) {
		disk->cap_arena = 2 * (disk->cap_arena + op.len);
		disk->arena = must(realloc(disk->arena, disk->cap_arena));
	}
	op.bytes_at = disk->n_arena;
	if (op.len)
		memcpy(disk->arena + disk->n_arena, bytes, op.len);
	disk->n_arena += op.len;
	snprintf(op.name, sizeof(op.name), "%s", name);
	disk->ops[disk->n_ops++] = op;
	apply(&disk->now, disk, &op);
}

int disk_create(struct disk *disk, const char *name)
{
	if (disk->n_files == DISK_FILES)
		return -1;
	add_op(disk, (struct op){.kind = OP_CREATE, .file = disk->n_files}, NULL, name);
	return disk->n_files++;
}

void disk_remove(struct disk *disk, const char *name)
{
	add_op(disk, (struct op){.kind = OP_REMOVE, .file = -1}, NULL, name);
}

void disk_write(struct disk *disk, int file, size_t offset, const void *bytes, size_t len)
{
	add_op(disk, (struct op){.kind = OP_WRITE, .file = file, .offset = offset, .len = len},
	       bytes, "");
}

void disk_truncate(struct disk *disk, int file, size_t len)
{
	add_op(disk, (struct op){.kind = OP_TRUNCATE, .file = file, .offset = len}, NULL, "");
}

void disk_sync(struct disk *disk, int file, bool failed)
{
	enum op_kind kind = file < 0 ? OP_SYNC_DIRECTORY : failed ? OP_SYNC_FAILED : OP_SYNC;

	if (file >= 0 || !failed)
		add_op(disk, (struct op){.kind = kind, .file = file}, NULL, "");
}

void disk_map(struct disk *disk, int file)
{
	disk->mapped[file] = true;
	/* Never moved again: a map points into it. */
	reserve(&disk->now.files[file], DISK_MAPPED_BYTES);
}

const char *disk_name_of(const struct disk *disk, int file)
{
	for (size_t i = 0; i < disk->n_ops; i++) {
		if (disk->ops[i].kind == OP_CREATE && disk->ops[i].file == file)
			return disk->ops[i].name;
	}
	for (int i = 0; i < DISK_NAMES; i++) {
		if (disk->base.names[i].name[0] && disk->base.names[i].file == file)
			return disk->base.names[i].name;
	}
	return "";
}

const char *op_name(enum op_kind kind)
{
	static const char *const names[OP_KIND_MAX] = {
		"write", "truncate", "sync", "failed sync", "create", "remove", "directory sync"};

	return names[kind];
}

/* ------------------------------------------------------------------ replay ------------- */

void replay_init(struct replay *replay, const struct disk *disk, uint64_t seed)
{
	*replay = (struct replay){.disk = disk, .rng = {seed}};
	copy_image(&replay->durable, &disk->base);
}

void replay_release(struct replay *replay)
{
	release_image(&replay->durable);
	free(replay->pending);
}

static bool is_of_directory(const struct op *op)
{
	return op->kind == OP_CREATE || op->kind == OP_REMOVE;
}

/* The operations that this sync is about are no longer pending. */
static void sync_pending(struct replay *replay, const struct op *sync)
{
	size_t kept = 0;

	for (size_t i = 0; i < replay->n_pending; i++) {
		const struct op *op = &replay->disk->ops[replay->pending[i]];
		bool covered = sync->kind == OP_SYNC_DIRECTORY
				       ? is_of_directory(op)
				       : !is_of_directory(op) && op->file == sync->file;
		if (!covered)
			replay->pending[kept++] = replay->pending[i];
		else if (sync->kind != OP_SYNC_FAILED || rng_below(&replay->rng, 2))
			apply(&replay->durable, replay->disk, op);
	}
	replay->n_pending = kept;
}

void replay_to(struct replay *replay, size_t at)
{
	for (; replay->at < at; replay->at++) {
		const struct op *op = &replay->disk->ops[replay->at];
		if (op->kind == OP_SYNC || op->kind == OP_SYNC_FAILED ||
		    op->kind == OP_SYNC_DIRECTORY) {
			sync_pending(replay, op);
			continue;
		}
		if (replay->n_pending == replay->cap_pending) {
			replay->cap_pending = replay->cap_pending ? 2 * replay->cap_pending : 64;
			replay->pending = must(realloc(
				replay->pending, replay->cap_pending * sizeof(*replay->pending)));
		}
		replay->pending[replay->n_pending++] = replay->at;
	}
}

/* ------------------------------------------------------------------ crashes ------------ */

const char *crash_style_name(enum crash_style style)
{
	static const char *const names[CRASH_STYLE_MAX] = {
		"forgotten",
		"kept",
		"a prefix kept",
		"any subset kept",
		"torn in sectors of 512",
		"torn in sectors of 4096",
		"torn in sectors of 512 with garbage",
		"killed",
	};

	return names[style];
}

struct crash {
	enum crash_style style;
	size_t sector;
	size_t prefix; /* so many pending operations are kept */
	struct rng *rng;
};

static void put_garbage(struct file_bytes *file, size_t offset, size_t len, struct rng *rng)
{
	uint8_t bytes[4096];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)rng_next(rng);
	put(file, offset, bytes, len);
}

/* Each sector of the write is there, or not, or anything. */
static void put_torn(struct file_bytes *file, const struct disk *disk, const struct op *op,
		     const struct crash *crash)
{
	bool garbage = crash->style == CRASH_GARBAGE;

	for (size_t done = 0; done < op->len;) {
		size_t offset = op->offset + done;
		size_t len = crash->sector - offset % crash->sector;
		uint64_t choice = rng_below(crash->rng, 4);
		if (len > op->len - done)
			len = op->len - done;
		if (choice >= 2)
			put(file, offset, disk->arena + op->bytes_at + done, len);
		else if (garbage && choice == 1)
			put_garbage(file, offset, len, crash->rng);
		done += len;
	}
}

/* A write that is forgotten may leave the length that it would have made. */
static void forget(struct file_bytes *file, const struct op *op, const struct crash *crash)
{
	if (op->kind == OP_WRITE && crash->style >= CRASH_SUBSET &&
	    op->offset + op->len > file->len && rng_below(crash->rng, 4) == 0)
		set_length(file, op->offset + op->len);
}

static void crash_op(struct image *image, const struct disk *disk, const struct op *op, size_t n,
		     const struct crash *crash)
{
	bool kept = crash->style == CRASH_KEPT || n < crash->prefix;
	bool torn = crash->style >= CRASH_TORN_512 ||
		    (crash->style == CRASH_PREFIX && n == crash->prefix);

	if (crash->style >= CRASH_SUBSET)
		kept = rng_below(crash->rng, 2);
	if (torn && op->kind == OP_WRITE && rng_below(crash->rng, 2))
		put_torn(&image->files[op->file], disk, op, crash);
	else if (kept)
		apply(image, disk, op);
	else if (!is_of_directory(op))
		forget(&image->files[op->file], op, crash);
}

/* Shared memory is never synced: after a crash it is gone, empty, old or anything. */
static void crash_mapped(struct image *image, int file, const struct crash *crash)
{
	struct file_bytes *bytes = &image->files[file];
	uint64_t choice = rng_below(crash->rng, 3);

	set_length(bytes, choice ? 32768 : 0);
	for (size_t i = 0; choice == 2 && i < bytes->len; i += 8) {
		uint64_t random = rng_next(crash->rng);
		memcpy(bytes->at + i, &random, sizeof(random));
	}
}

/* What is not durable becomes the beginning of the new disk's list. */
static void carry_pending(struct disk *next, const struct replay *replay)
{
	for (size_t i = 0; i < replay->n_pending; i++) {
		struct op op = replay->disk->ops[replay->pending[i]];
		add_op(next, op, replay->disk->arena + op.bytes_at, op.name);
	}
}

struct disk *replay_crash(const struct replay *replay, enum crash_style style, struct rng *rng)
{
	struct disk *next = disk_new();
	struct crash crash = {
		.style = style,
		.sector = style == CRASH_TORN_4096 ? 4096 : 512,
		.prefix = style == CRASH_PREFIX ? rng_below(rng, replay->n_pending + 1) : 0,
		.rng = rng};

	next->n_files = replay->disk->n_files;
	copy_image(&next->base, &replay->durable);
	for (size_t i = 0; i < replay->n_pending && style != CRASH_KILLED; i++)
		crash_op(&next->base, replay->disk, &replay->disk->ops[replay->pending[i]], i,
			 &crash);
	for (int i = 0; i < next->n_files; i++) {
		if (replay->disk->mapped[i])
			crash_mapped(&next->base, i, &crash);
	}
	copy_image(&next->now, &next->base);
	if (style == CRASH_KILLED)
		carry_pending(next, replay);
	return next;
}
