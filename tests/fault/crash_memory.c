/*
 * Memory for SQLite that costs little: a state of the crash harness makes and frees some ten
 * thousand blocks, the same ones as the state before it, and the C library spends a fifth of the
 * time on putting them together again. Here a block is of a power of two, and a freed one waits for
 * the next of its size.
 */
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crash_disk.h"

#define SMALLEST 5 /* 32 bytes */
#define LARGEST 31 /* SQLite asks for less than 2 GB */
#define CHUNK_BYTES ((size_t)1024 * 1024)

/* What stands before each block, and keeps it aligned. */
struct block {
	size_t class;
	struct block *next; /* that waits as well */
};

static struct block *waiting[LARGEST + 1];
static uint8_t *chunk;
static size_t chunk_left;

static size_t class_of(int bytes)
{
	size_t last = (size_t)bytes + sizeof(struct block) - 1;

	return last >> SMALLEST ? 64 - (size_t)__builtin_clzll(last) : SMALLEST;
}

static struct block *carve(size_t class)
{
	size_t bytes = (size_t)1 << class;
	struct block *block;

	if (bytes >= CHUNK_BYTES)
		return malloc(bytes);
	if (chunk_left < bytes) {
		chunk = malloc(CHUNK_BYTES);
		chunk_left = chunk ? CHUNK_BYTES : 0;
		if (!chunk)
			return NULL;
	}
	block = (struct block *)chunk;
	chunk += bytes;
	chunk_left -= bytes;
	return block;
}

static void *take(int bytes)
{
	size_t class = class_of(bytes);
	struct block *block = waiting[class];

	if (block)
		waiting[class] = block->next;
	else
		block = carve(class);
	if (!block)
		return NULL;
	block->class = class;
	return block + 1;
}

static struct block *block_of(void *memory)
{
	return (struct block *)memory - 1;
}

static void give_back(void *memory)
{
	struct block *block;

	if (!memory)
		return;
	block = block_of(memory);
	block->next = waiting[block->class];
	waiting[block->class] = block;
}

static int size_of(void *memory)
{
	return memory ? (int)(((size_t)1 << block_of(memory)->class) - sizeof(struct block)) : 0;
}

static void *resize(void *memory, int bytes)
{
	int old = size_of(memory);
	void *moved;

	if (bytes <= old)
		return memory;
	moved = take(bytes);
	if (!moved)
		return NULL;
	memcpy(moved, memory, (size_t)old);
	give_back(memory);
	return moved;
}

static int round_up(int bytes)
{
	return (int)(((size_t)1 << class_of(bytes)) - sizeof(struct block));
}

static int begin(void *context)
{
	(void)context;
	return SQLITE_OK;
}

static void end(void *context)
{
	(void)context;
}

void crash_memory_use(void)
{
	static const sqlite3_mem_methods methods = {
		.xMalloc = take,
		.xFree = give_back,
		.xRealloc = resize,
		.xSize = size_of,
		.xRoundup = round_up,
		.xInit = begin,
		.xShutdown = end,
	};

	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}
