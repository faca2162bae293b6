/*
 * What may be asked of any store that is open for writing. A store answers through its ops; what it
 * leaves out reads as nothing, so that a test's store has only what its test needs.
 */
#include "orderhook/store.h"

#include "orderhook/err.h"

bool store_is_final(int err)
{
	return err == -ERR_STORE_IO || err == -ERR_STORE_MOVED || err == -ERR_STORE_CORRUPT ||
	       err == -ERR_INTERNAL;
}

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}

const char *store_problem(const struct store *store)
{
	return store && store->ops->problem ? store->ops->problem(store) : "";
}

int store_sync_head(struct store *store)
{
	return store->ops->sync_head ? store->ops->sync_head(store) : 0;
}

int64_t store_wal_bytes(const struct store *store)
{
	return store && store->ops->wal_bytes ? store->ops->wal_bytes(store) : 0;
}

void store_log_readers(const struct store *store, struct buf *out)
{
	if (store->ops->log_readers)
		store->ops->log_readers(store, out);
}

void store_held_limit(struct store *store, int64_t bytes)
{
	if (store->ops->held_limit)
		store->ops->held_limit(store, bytes);
}

void store_held_stats(const struct store *store, struct store_held_stats *ret)
{
	*ret = (struct store_held_stats){0};
	if (store->ops->held_stats)
		store->ops->held_stats(store, ret);
}

int store_count_orders(struct store *store, struct store_status_count *counts, size_t cap,
		       size_t *ret_n)
{
	if (store->ops->count_orders)
		return store->ops->count_orders(store, counts, cap, ret_n);
	*ret_n = 0;
	return 0;
}
