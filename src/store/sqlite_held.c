/*
 * Refused deliveries: a ring of two halves, written with the events of a batch and never at their
 * cost. Each one is written under a savepoint, so that one that fails leaves no trace in the
 * transaction; only a failure that has ended the transaction itself fails the batch.
 *
 * What counts as one with an earlier delivery has the same body and the same webhook headers: with
 * the body alone, a wrong signature sent first would stand for the right one that comes after.
 *
 * A delivery may push out only older ones of its own half, and one that is larger than its half is
 * not kept. Nor is any while the disk has little left: one that still fits would take the place of
 * events that come after it.
 */
#include <string.h>
#include <sys/statvfs.h>

#include "orderhook/digest.h"
#include "orderhook/err.h"
#include "sqlite_private.h"

#define ROW_BYTES 128 /* what a row takes besides its head and body */
#define EVENTS_ROOM_BYTES ((uint64_t)1024 * 1024)

int held_load(struct sqlite_store *store)
{
	struct statement *statement = &store->statements[W_sum_held];
	struct held_ring *ring = &store->ring;
	int err;

	memset(ring->rows, 0, sizeof(ring->rows));
	memset(ring->bytes, 0, sizeof(ring->bytes));
	while ((err = statement_step(&store->connection, statement)) == 1) {
		int half = sqlite3_column_int(statement->handle, 0) != 0;
		ring->rows[half] = sqlite3_column_int64(statement->handle, 1);
		ring->bytes[half] = sqlite3_column_int64(statement->handle, 2);
	}
	statement_reset(statement);
	ring->known = err == 0;
	return err;
}

/* The lines of the head that a signature depends on. */
static struct slice webhook_line(struct slice *head)
{
	while (head->len) {
		const char *end = slice_find(*head, SLICE("\r\n"));
		struct slice line = {head->at, end ? (size_t)(end - head->at) : head->len};
		size_t taken = end ? line.len + 2 : line.len;
		head->at += taken;
		head->len -= taken;
		if (line.len > 8 &&
		    slice_equal_nocase((struct slice){line.at, 8}, SLICE("webhook-")))
			return line;
	}
	return slice_of(NULL);
}

static int identify(const struct store_hold *hold, uint8_t ret[DIGEST_SHA256_BYTES])
{
	struct slice parts[8] = {hold->body};
	struct slice head = hold->head;
	size_t n = 1;

	while (n < sizeof(parts) / sizeof(parts[0])) {
		struct slice line = webhook_line(&head);
		if (!line.at)
			break;
		parts[n++] = line;
	}
	return digest_sha256(parts, n, ret);
}

static int evict_oldest(struct sqlite_store *store, int half)
{
	struct statement *statement = &store->statements[W_oldest_held];
	int64_t bytes = 0;
	int64_t id = 0;
	int err;

	bind_int(statement, P_ours, half);
	err = statement_step(&store->connection, statement);
	if (err == 1) {
		id = sqlite3_column_int64(statement->handle, 0);
		bytes = sqlite3_column_int64(statement->handle, 1);
	}
	statement_reset(statement);
	if (err <= 0)
		return err ? err : -ERR_INTERNAL;
	statement = &store->statements[W_delete_held];
	bind_int(statement, P_held_id, id);
	err = statement_run(&store->connection, statement);
	if (err)
		return err;
	store->ring.rows[half]--;
	store->ring.bytes[half] -= bytes;
	store->ring.evicting++;
	return 0;
}

/* 1 when an equal one is there and was counted. */
static int count_again(struct sqlite_store *store, const struct store_hold *hold,
		       const uint8_t identity[DIGEST_SHA256_BYTES])
{
	struct statement *statement = &store->statements[W_count_held_again];
	int found;

	bind_int(statement, P_received_ms, hold->received_ms);
	bind_blob(statement, P_content, identity, DIGEST_SHA256_BYTES);
	bind_text(statement, P_endpoint, hold->endpoint);
	bind_text(statement, P_reason, hold->reason);
	found = statement_step(&store->connection, statement);
	statement_reset(statement);
	return found;
}

static int insert(struct sqlite_store *store, const struct store_hold *hold, int64_t bytes,
		  const uint8_t identity[DIGEST_SHA256_BYTES])
{
	struct statement *statement = &store->statements[W_insert_held];

	bind_int(statement, P_received_ms, hold->received_ms);
	bind_int(statement, P_ours, hold->ours);
	bind_int(statement, P_token_ok, hold->token_ok);
	bind_int(statement, P_bytes, bytes);
	bind_text(statement, P_endpoint, hold->endpoint);
	bind_text(statement, P_reason, hold->reason);
	bind_text_or_null(statement, P_remote, hold->remote);
	bind_blob(statement, P_content, identity, DIGEST_SHA256_BYTES);
	bind_blob(statement, P_head, hold->head.at, hold->head.len);
	bind_blob(statement, P_body, hold->body.at, hold->body.len);
	return statement_run(&store->connection, statement);
}

static int write_one(struct sqlite_store *store, const struct store_hold *hold)
{
	int64_t bytes = (int64_t)(hold->head.len + hold->body.len) + ROW_BYTES;
	int64_t half_bytes = store->ring.limit_bytes / 2;
	uint8_t identity[DIGEST_SHA256_BYTES];
	int half = hold->ours;
	int err;

	if (bytes > half_bytes)
		return -ERR_TOO_LONG;
	err = identify(hold, identity);
	if (!err)
		err = count_again(store, hold, identity);
	if (err)
		return err < 0 ? err : 0;
	while (!err && store->ring.bytes[half] + bytes > half_bytes)
		err = evict_oldest(store, half);
	if (!err)
		err = insert(store, hold, bytes, identity);
	if (err)
		return err;
	store->ring.rows[half]++;
	store->ring.bytes[half] += bytes;
	return 0;
}

/* 0 when the transaction can go on, whatever became of the delivery. */
static int write_guarded(struct sqlite_store *store, const struct store_hold *hold)
{
	struct connection *connection = &store->connection;
	struct held_ring before = store->ring;
	int err = statement_run(connection, &store->statements[W_savepoint_held]);

	if (err)
		return err;
	if (!store->ring.known)
		err = held_load(store);
	if (!err)
		err = write_one(store, hold);
	if (!err)
		return statement_run(connection, &store->statements[W_release_held]);
	store->ring = before;
	store->ring.failed++;
	/* A full disk or an I/O error may have ended the transaction: then its events are gone. */
	if (sqlite3_get_autocommit(connection->db))
		return err;
	err = statement_run(connection, &store->statements[W_rollback_held]);
	return err ? err : statement_run(connection, &store->statements[W_release_held]);
}

/* Where nobody can tell, there is. */
static bool has_room(const struct sqlite_store *store)
{
	struct statvfs disk;

	if (statvfs(store->path, &disk) != 0 || disk.f_blocks == 0)
		return true;
	return (uint64_t)disk.f_bavail * disk.f_frsize >= EVENTS_ROOM_BYTES;
}

int held_write(struct sqlite_store *store)
{
	int err = 0;

	store->ring.evicting = 0;
	if (store->n_holds > 0 && !has_room(store)) {
		store->ring.failed += (int64_t)store->n_holds;
		return 0;
	}
	for (size_t i = 0; i < store->n_holds && !err; i++)
		err = write_guarded(store, &store->holds[i]);
	return err;
}

void held_committed(struct sqlite_store *store)
{
	store->ring.evicted += store->ring.evicting;
	store->ring.evicting = 0;
}

int held_readmitted(struct sqlite_store *store, int64_t held_id)
{
	struct statement *statement = &store->statements[W_delete_held];

	bind_int(statement, P_held_id, held_id);
	/* Its size is not at hand; this is rare enough to count anew. */
	store->ring.known = false;
	return statement_run(&store->connection, statement);
}

static int copy_held(struct connection *connection, struct statement *statement,
		     struct store_held_delivery *ret)
{
	sqlite3_stmt *handle = statement->handle;
	int err = column_text(connection, statement, 0, ret->endpoint, sizeof(ret->endpoint));

	if (!err)
		err = column_text(connection, statement, 1, ret->remote, sizeof(ret->remote));
	ret->received_ms = sqlite3_column_int64(handle, 2);
	ret->token_ok = sqlite3_column_int(handle, 3) == 1;
	buf_reset(&ret->head);
	buf_reset(&ret->body);
	if (!err)
		err = buf_add(&ret->head, sqlite3_column_blob(handle, 4),
			      (size_t)sqlite3_column_bytes(handle, 4));
	if (!err)
		err = buf_add(&ret->body, sqlite3_column_blob(handle, 5),
			      (size_t)sqlite3_column_bytes(handle, 5));
	if (!err)
		err = column_text(connection, statement, 6, ret->reason, sizeof(ret->reason));
	return err;
}

static int find_held(struct connection *connection, struct statement *statement, int64_t held_id,
		     struct store_held_delivery *ret)
{
	int err;

	bind_int(statement, P_held_id, held_id);
	err = statement_step(connection, statement);
	if (err == 1)
		err = copy_held(connection, statement, ret);
	else if (err == 0)
		err = -ERR_NOT_FOUND;
	statement_reset(statement);
	return err;
}

int store_held_find(struct store *base, int64_t held_id, struct store_held_delivery *ret)
{
	struct sqlite_store *store = (struct sqlite_store *)base;

	return find_held(&store->connection, &store->statements[W_find_held], held_id, ret);
}

int store_reader_held(struct store_reader *reader, int64_t held_id, struct store_held_delivery *ret)
{
	return find_held(&reader->connection, &reader->statements[R_find_held], held_id, ret);
}

int store_held_reason(struct store *base, int64_t held_id, const char *reason)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct statement *statement = &store->statements[W_update_held_reason];

	bind_text(statement, P_reason, reason);
	bind_int(statement, P_held_id, held_id);
	return statement_run(&store->connection, statement);
}

void sqlite_store_hold(struct store *base, const struct store_hold *holds, size_t n)
{
	struct sqlite_store *store = (struct sqlite_store *)base;

	store->holds = holds;
	store->n_holds = n;
}
