/*
 * The writer's side of the chain: what a new event's row is stamped with, and the head that a start
 * goes on from. The writer keeps the last link in memory, so that an event costs its hashes and no
 * reading.
 *
 * A start refuses a store that does not hold the event that PATH.head names, with exactly its link:
 * events were acknowledged that it has lost. A store may be newer than the head, which is written
 * after the commit. Without a head, or with that of another store, this is the first start after a
 * backup was put back: the head is made anew and says from which event on it vouches.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

static void add_judgement(struct chain_row *row, const struct event *event,
			  const struct judgement *judgement)
{
	struct chain_value *values = row->values;

	values[CHAIN_occurred_ms] = chain_integer(event->occurred_ms);
	values[CHAIN_status] = chain_integer(event->status);
	if (event->sub_status != EVENT_SUB_ABSENT)
		values[CHAIN_sub_status] = chain_integer(event->sub_status);
	values[CHAIN_occurred_from] = chain_integer(event->occurred_from);
	values[CHAIN_verdict] = chain_integer(judgement->verdict);
	if (judgement->from_status) {
		values[CHAIN_from_status] = chain_integer(judgement->from_status);
		if (judgement->from_sub_status != EVENT_SUB_ABSENT)
			values[CHAIN_from_sub_status] = chain_integer(judgement->from_sub_status);
	}
	values[CHAIN_content] =
		chain_blob((struct slice){(const char *)event->content, sizeof(event->content)});
	values[CHAIN_courier_id] = chain_text_or_null(event->courier_id);
}

int chain_stamp(const uint8_t previous[CHAIN_BYTES], const struct store_item *item,
		const struct event *event, const struct judgement *judgement, int64_t event_id,
		struct chain_stamp *ret)
{
	struct chain_row row = {.event_id = event_id};
	struct chain_value *values = row.values;
	uint8_t private_sha256[CHAIN_BYTES];
	int err = digest_sha256(&item->body, 1, row.body_sha256);

	values[CHAIN_kind] = chain_integer(judgement ? CHAIN_KIND_EVENT : CHAIN_KIND_OTHER);
	values[CHAIN_endpoint] = chain_text_or_null(item->endpoint);
	values[CHAIN_iss_order_no] = chain_text_or_null(event->iss_order_no);
	values[CHAIN_received_ms] = chain_integer(event->received_ms);
	values[CHAIN_auth] = chain_integer(event->auth);
	values[CHAIN_source] = chain_integer(event->source);
	values[CHAIN_order_no] = chain_text_or_null(event->order_no);
	values[CHAIN_shop_id] = chain_text_or_null(event->shop_id);
	values[CHAIN_remote] = chain_text_or_null(item->remote);
	values[CHAIN_notes] = chain_text_or_null(event->notes);
	values[CHAIN_head] = chain_blob(item->head);
	if (judgement)
		add_judgement(&row, event, judgement);
	else
		values[CHAIN_callback_event] = chain_text_or_null(event->callback_event);
	if (!err)
		err = chain_private(&row, private_sha256);
	if (!err)
		err = chain_link(previous, &row, private_sha256, ret->link);
	memcpy(ret->body_sha256, row.body_sha256, CHAIN_BYTES);
	return err;
}

/* ------------------------------------------------------------------ the head ----------- */

int chain_read_link(struct connection *connection, struct statement *statement,
		    const char *store_id, int64_t event_id, uint8_t ret[CHAIN_BYTES])
{
	const void *link;
	int err;

	if (event_id == 0)
		return chain_genesis(store_id, ret);
	bind_int(statement, P_event_id, event_id);
	err = statement_step(connection, statement);
	if (err == 1) {
		link = sqlite3_column_blob(statement->handle, 0);
		if (!link || sqlite3_column_bytes(statement->handle, 0) != CHAIN_BYTES)
			err = tell_bad_column(connection, statement, 0);
		else
			memcpy(ret, link, CHAIN_BYTES);
	} else if (err == 0) {
		err = -ERR_NOT_FOUND;
	}
	statement_reset(statement);
	return err == 1 ? 0 : err;
}

static int tell_rolled_back(const struct sqlite_store *store, int64_t last_event_id,
			    const struct store_head *head, struct buf *problem)
{
	if (last_event_id < head->event_id)
		buf_addf(
			problem,
			"%s ends at event %lld, but events up to %lld were acknowledged (%s.head): "
			"its log %s was lost or damaged, or this is a backup",
			store->path, (long long)last_event_id, (long long)head->event_id,
			store->path, store->wal_path);
	else
		buf_addf(problem,
			 "%s does not hold the event %lld that was acknowledged (%s.head): its log "
			 "%s was lost and events were added since, or event %lld was changed",
			 store->path, (long long)head->event_id, store->path, store->wal_path,
			 (long long)head->event_id);
	buf_addf(problem,
		 ". Put the newest files back; or move %s.head away to go on without the missing "
		 "events",
		 store->path);
	return -ERR_STORE_ROLLED_BACK;
}

static int tell_unread(const struct sqlite_store *store, const struct connection *connection,
		       int err, struct buf *problem)
{
	buf_addf(problem, "%s cannot be read: %s", store->path, connection->problem);
	return err;
}

/* Does the store hold the event that PATH.head names? */
static int check_head(const struct sqlite_store *store, struct connection *connection,
		      struct statement *statement, int64_t last_event_id,
		      const struct store_head *head, struct buf *problem)
{
	uint8_t link[CHAIN_BYTES];
	int err = chain_read_link(connection, statement, head->store_id, head->event_id, link);

	if (err && err != -ERR_NOT_FOUND) {
		buf_addf(problem, "%s cannot be compared with %s.head: %s", store->path,
			 store->path, connection->problem);
		return err;
	}
	if (err || last_event_id < head->event_id || !digest_equal(link, head->link, CHAIN_BYTES))
		return tell_rolled_back(store, last_event_id, head, problem);
	return 0;
}

/* 1 when PATH.head says something of this store, 0 when not. */
static int read_head(const struct sqlite_store *store, const struct store_identity *identity,
		     struct store_head *ret, struct buf *problem)
{
	int err = store_head_read(store->path, ret);

	/* A head that cannot be read now may name what this store has lost. */
	if (err && err != -ERR_NOT_FOUND && err != -ERR_STORE_CORRUPT) {
		buf_addf(problem, "%s.head cannot be read: %s", store->path,
			 err == -ERR_STORE_IO ? strerror(errno) : err_text(err));
		return err;
	}
	return err == 0 && strcmp(ret->store_id, identity->store_id) == 0;
}

static int take_head(struct sqlite_store *store, struct connection *connection,
		     struct statement *statement, const struct store_identity *identity,
		     struct buf *problem)
{
	int64_t last_event_id = identity->last_event_id;
	struct store_head head = {0};
	int known = read_head(store, identity, &head, problem);
	int err = known < 0 ? known : 0;

	if (known > 0)
		err = check_head(store, connection, statement, last_event_id, &head, problem);
	if (err)
		return err;
	if (!known)
		head.since_event_id = last_event_id;
	memcpy(head.store_id, identity->store_id, sizeof(head.store_id));
	head.event_id = last_event_id;
	err = chain_read_link(connection, statement, head.store_id, last_event_id, head.link);
	if (err == -ERR_NOT_FOUND)
		return store_tell_corrupt(store->path, "its last event is missing", problem);
	if (err)
		return tell_unread(store, connection, err, problem);
	store->head = head;
	store->head_anew = !known;
	return 0;
}

int sqlite_head_check(struct sqlite_store *store, struct connection *connection,
		      const struct store_identity *identity, struct buf *problem)
{
	struct statement statement;
	int err = statement_prepare(connection, "link_of", SQL_link_of, &statement);

	if (err)
		return tell_unread(store, connection, err, problem);
	err = take_head(store, connection, &statement, identity, problem);
	statement_release(&statement);
	return err;
}

int sqlite_head_open(struct sqlite_store *store, struct buf *problem)
{
	char directory[STORE_PATH_BYTES];
	int err = store_head_open(store->path, store->head_anew, &store->head_file, problem);

	/* The file may be new, now or by a process that did not get here. */
	store_directory_of(store->path, directory);
	if (!err)
		err = store_sync_path(directory, O_DIRECTORY, problem);
	if (err)
		return err;
	store_head_write(&store->head_file, &store->head);
	return 0;
}
