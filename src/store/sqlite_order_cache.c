/*
 * The rows of the orders that the writer saved last, so that the next event of an order finds its
 * row without reading the index and the table: a fifth of what an event costs in SQLite.
 *
 * A slot for each hash of a name; a newer order takes the slot over. What is kept is what the
 * present transaction has written, so whatever else changes a row must make it forgotten:
 *
 * - another commit on this connection, or by another process (an operator's shell), is seen by
 *   the pager's version, which each commit moves: order_cache_begin() compares it with the one that
 *   the last batch left;
 * - a rollback, and a change inside the batch's own transaction that does not go through
 *   order_save(), calls order_cache_forget().
 */
#include <stdlib.h>
#include <string.h>

#include "sqlite_private.h"

#define SLOT_BITS 12

struct order_slot {
	uint64_t generation; /* 0: nothing was ever kept here */
	int64_t endpoint_id;
	char name[EVENT_ID_BYTES_MAX + 1];
	struct order_row row;
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static struct order_slot *slot_of(struct order_cache *cache, int64_t endpoint_id, const char *name)
{
	size_t len = strlen(name);
	uint64_t hash = mix((uint64_t)endpoint_id, len);
	uint64_t word = 0;

	for (; len >= sizeof(word); name += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, name, len);
	/* The upper bits: a product's lower ones do not see what differs at a word's end. */
	return &cache->slots[(hash ^ word) * 0x9e3779b97f4a7c15u >> (64 - SLOT_BITS)];
}

static bool holds(const struct order_cache *cache, const struct order_slot *slot,
		  int64_t endpoint_id, const char *name)
{
	return slot->generation == cache->generation && slot->endpoint_id == endpoint_id &&
	       strcmp(slot->name, name) == 0;
}

void order_cache_init(struct order_cache *cache)
{
	/* Without memory nothing is kept. */
	*cache = (struct order_cache){
		.slots = calloc((size_t)1 << SLOT_BITS, sizeof(struct order_slot)),
		.generation = 1};
}

void order_cache_release(struct order_cache *cache)
{
	free(cache->slots);
	cache->slots = NULL;
}

const struct order_row *order_cache_find(struct order_cache *cache, int64_t endpoint_id,
					 const char *name)
{
	struct order_slot *slot;

	if (!cache->slots)
		return NULL;
	slot = slot_of(cache, endpoint_id, name);
	return holds(cache, slot, endpoint_id, name) ? &slot->row : NULL;
}

void order_cache_keep(struct order_cache *cache, int64_t endpoint_id, const char *name,
		      const struct order_row *row)
{
	struct order_slot *slot;

	if (!cache->slots)
		return;
	slot = slot_of(cache, endpoint_id, name);
	if (!holds(cache, slot, endpoint_id, name)) {
		slot->generation = cache->generation;
		slot->endpoint_id = endpoint_id;
		memcpy(slot->name, name, strlen(name) + 1);
	}
	slot->row = *row;
}

void order_cache_forget(struct order_cache *cache)
{
	cache->generation++;
}

static unsigned pager_version(struct connection *connection)
{
	unsigned version = 0;

	sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_DATA_VERSION, &version);
	return version;
}

void order_cache_begin(struct order_cache *cache, struct connection *connection)
{
	if (pager_version(connection) != cache->version)
		order_cache_forget(cache);
}

void order_cache_committed(struct order_cache *cache, struct connection *connection)
{
	cache->version = pager_version(connection);
}
