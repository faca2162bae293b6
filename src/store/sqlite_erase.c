/*
 * Erase: in one transaction everything personal goes from the events of the orders that a name
 * names, from events of another kind and refused deliveries that name them, and from the orders'
 * rows; then what is left of it in the files (sqlite_scrub.c). What stays is the skeleton: numbers,
 * times, statuses, verdicts and hashes, so that the chain holds and the fold's counts agree.
 *
 * A row keeps the digest that its personal columns had, and that must be the one which was hashed.
 * It is found by trying, as verify does. An event whose body or link does not hold is not erased,
 * nor is any other with it: afterwards nobody could tell that it did not.
 */
#include <stdlib.h>
#include <string.h>

#include "order_names.h"
#include "orderhook/err.h"
#include "sqlite_care.h"
#include "sqlite_chain_row.h"

struct name {
	char text[EVENT_ID_BYTES_MAX + 1];
};

enum events_of_column {
	OF_EVENT_ID = 0,
	OF_BYTES,
	OF_ERASED
};

enum other_column {
	OTHER_EVENT_ID = 0,
	OTHER_ISS_ORDER_NO,
	OTHER_ORDER_NO,
	OTHER_HEAD,
	OTHER_BODY
};

struct erase {
	const char *order;
	struct id_list orders;
	/* What the orders are called by: the issOrderNo of each, and the orderNo where no other
	 * order has it. */
	struct name *names; /* owned */
	size_t n_names;
	struct id_list ids; /* scratch */
	struct store_erased counts;
};

/* ------------------------------------------------------------------ one event ---------- */

static bool body_holds(sqlite3_stmt *handle, struct chain_row *row)
{
	struct chain_value body = chain_column_value(handle, EXTRA_BODY);
	uint8_t sum[CHAIN_BYTES];

	return chain_column_digest(handle, EXTRA_BODY_SHA256, row->body_sha256) &&
	       digest_sha256(&body.bytes, 1, sum) == 0 &&
	       digest_equal(sum, row->body_sha256, CHAIN_BYTES);
}

/* The digest of the personal columns with which the link holds; -ERR_EVIDENCE. */
static int find_private(sqlite3_stmt *handle, const uint8_t previous[CHAIN_BYTES],
			uint8_t ret[CHAIN_BYTES])
{
	struct chain_row own;
	struct chain_row row;
	uint8_t link[CHAIN_BYTES];
	uint8_t computed[CHAIN_BYTES];

	chain_row_read(handle, &own);
	if (!body_holds(handle, &own) || !chain_column_digest(handle, EXTRA_LINK, link))
		return -ERR_EVIDENCE;
	row = own;
	for (int reading = 0; reading < CHAIN_READINGS; reading++) {
		if (!chain_row_reading(handle, &own, reading, &row))
			continue;
		if (chain_private(&row, ret) || chain_link(previous, &row, ret, computed))
			return -ERR_INTERNAL;
		if (digest_equal(computed, link, CHAIN_BYTES))
			return 0;
	}
	return -ERR_EVIDENCE;
}

static int erase_event(struct sqlite_store *store, enum writer_statement update, int64_t id)
{
	struct statement *page = &store->statements[W_chain_page];
	uint8_t previous[CHAIN_BYTES];
	uint8_t private_sha256[CHAIN_BYTES];
	int err = chain_read_link(&store->connection, &store->statements[W_link_of],
				  store->head.store_id, id - 1, previous);

	if (err)
		return err == -ERR_NOT_FOUND ? -ERR_EVIDENCE : err;
	bind_int(page, P_after_id, id - 1);
	bind_int(page, P_to_id, id);
	bind_int(page, P_page, 1);
	err = statement_step(&store->connection, page);
	err = err == 1 ? find_private(page->handle, previous, private_sha256)
	      : err    ? err
		       : -ERR_EVIDENCE;
	statement_reset(page);
	if (err)
		return err;
	bind_blob(&store->statements[update], P_private_sha256, private_sha256, CHAIN_BYTES);
	bind_int(&store->statements[update], P_event_id, id);
	return statement_run(&store->connection, &store->statements[update]);
}

static int erase_picked(struct sqlite_store *store, struct erase *erase,
			enum writer_statement update)
{
	int err = 0;

	for (size_t i = 0; i < erase->ids.n && !err; i++) {
		err = erase_event(store, update, erase->ids.ids[i]);
		if (err == -ERR_EVIDENCE)
			erase->counts.event_id = erase->ids.ids[i];
	}
	return err;
}

/* ------------------------------------------------------------------ an order ----------- */

static int erase_events_of(struct sqlite_store *store, struct erase *erase, int64_t order_id)
{
	struct statement *statement = &store->statements[W_events_of];
	int err;

	erase->ids.n = 0;
	bind_int(statement, P_order_id, order_id);
	while ((err = statement_step(&store->connection, statement)) == 1) {
		err = 0;
		if (sqlite3_column_int(statement->handle, OF_ERASED))
			erase->counts.events_before++;
		else
			err = id_list_add(&erase->ids,
					  sqlite3_column_int64(statement->handle, OF_EVENT_ID));
		if (err)
			break;
	}
	statement_reset(statement);
	if (!err)
		err = erase_picked(store, erase, W_erase_event);
	erase->counts.events += (int64_t)erase->ids.n;
	return err;
}

static int read_order(struct sqlite_store *store, int64_t order_id, struct named_order *ret)
{
	struct statement *statement = &store->statements[W_orders_after];
	int err;

	bind_int(statement, P_after_id, order_id - 1);
	bind_int(statement, P_page, 1);
	err = statement_step(&store->connection, statement);
	err = err == 1 ? column_named_order(&store->connection, statement, ret)
	      : err    ? err
		       : -ERR_NOT_FOUND;
	statement_reset(statement);
	return err;
}

static int erase_order(struct sqlite_store *store, struct erase *erase, int64_t order_id)
{
	struct statement *statement = &store->statements[W_erase_order];
	int err = erase_events_of(store, erase, order_id);

	if (err)
		return err;
	bind_int(statement, P_order_id, order_id);
	erase->counts.orders++;
	return statement_run(&store->connection, statement);
}

/* ------------------------------------------------------------------ their names -------- */

static int find_called(struct sqlite_store *store, const char *order, struct id_list *ret)
{
	struct statement *statement = &store->statements[W_orders_called];

	ret->n = 0;
	bind_text(statement, P_order, order);
	return id_list_read(&store->connection, statement, ret);
}

static int add_name(struct erase *erase, const char text[EVENT_ID_BYTES_MAX + 1])
{
	struct name *names;

	for (size_t i = 0; i < erase->n_names; i++) {
		if (strcmp(erase->names[i].text, text) == 0)
			return 0;
	}
	names = reallocarray(erase->names, erase->n_names + 1, sizeof(*names));
	if (!names)
		return -ERR_NOMEM;
	erase->names = names;
	memcpy(names[erase->n_names++].text, text, sizeof(names->text));
	return 0;
}

static bool all_are_erased(const struct erase *erase)
{
	for (size_t i = 0; i < erase->ids.n; i++) {
		bool found = false;
		for (size_t k = 0; k < erase->orders.n; k++)
			found |= erase->orders.ids[k] == erase->ids.ids[i];
		if (!found)
			return false;
	}
	return true;
}

/* Before the orders lose their orderNo. */
static int take_names(struct sqlite_store *store, struct erase *erase)
{
	int err = 0;

	for (size_t i = 0; i < erase->orders.n && !err; i++) {
		struct named_order order;
		err = read_order(store, erase->orders.ids[i], &order);
		if (err)
			break;
		erase->counts.moving += !order_status_rests(order.row.known.state.status);
		err = add_name(erase, order.name);
		if (err || !order.row.known.order_no[0])
			continue;
		err = find_called(store, order.row.known.order_no, &erase->ids);
		if (!err && all_are_erased(erase))
			err = add_name(erase, order.row.known.order_no);
	}
	return err;
}

static struct slice column_slice(sqlite3_stmt *handle, int column)
{
	const char *bytes = sqlite3_column_blob(handle, column);

	return (struct slice){bytes, (size_t)sqlite3_column_bytes(handle, column)};
}

static bool names_any(const struct erase *erase, struct slice text)
{
	for (size_t i = 0; i < erase->n_names; i++) {
		if (text_names_order(text, erase->names[i].text))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------ what names them ---- */

static int erase_others(struct sqlite_store *store, struct erase *erase)
{
	struct statement *statement = &store->statements[W_unerased_others];
	sqlite3_stmt *row = statement->handle;
	int err;

	erase->ids.n = 0;
	while ((err = statement_step(&store->connection, statement)) == 1) {
		bool named = false;
		for (int i = OTHER_ISS_ORDER_NO; i <= OTHER_BODY; i++)
			named |= names_any(erase, column_slice(row, i));
		err = named ? id_list_add(&erase->ids, sqlite3_column_int64(row, OTHER_EVENT_ID))
			    : 0;
		if (err)
			break;
	}
	statement_reset(statement);
	if (!err)
		err = erase_picked(store, erase, W_erase_other);
	erase->counts.others = (int64_t)erase->ids.n;
	return err;
}

static int erase_held(struct sqlite_store *store, struct erase *erase)
{
	struct statement *statement = &store->statements[W_held_bytes];
	int err;

	erase->ids.n = 0;
	while ((err = statement_step(&store->connection, statement)) == 1) {
		bool named = names_any(erase, column_slice(statement->handle, 1)) ||
			     names_any(erase, column_slice(statement->handle, 2));
		err = named ? id_list_add(&erase->ids, sqlite3_column_int64(statement->handle, 0))
			    : 0;
		if (err)
			break;
	}
	statement_reset(statement);
	statement = &store->statements[W_delete_held];
	for (size_t i = 0; i < erase->ids.n && !err; i++) {
		bind_int(statement, P_held_id, erase->ids.ids[i]);
		err = statement_run(&store->connection, statement);
	}
	erase->counts.held = (int64_t)erase->ids.n;
	return err;
}

static int erase_all(struct sqlite_store *store, void *context)
{
	struct erase *erase = context;
	int err = find_called(store, erase->order, &erase->orders);

	if (!err && !erase->orders.n)
		err = -ERR_NOT_FOUND;
	if (!err)
		err = take_names(store, erase);
	for (size_t i = 0; i < erase->orders.n && !err; i++)
		err = erase_order(store, erase, erase->orders.ids[i]);
	if (!err)
		err = erase_others(store, erase);
	return err ? err : erase_held(store, erase);
}

int sqlite_store_erase(struct store *base, const char *order, struct store_erased *ret)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct erase erase = {.order = order};
	int err = sqlite_store_transact(store, erase_all, &erase);

	if (!err && erase.counts.held && held_load(store))
		store->ring.known = false;
	if (!err || err == -ERR_EVIDENCE)
		*ret = erase.counts;
	id_list_release(&erase.orders);
	id_list_release(&erase.ids);
	free(erase.names);
	if (err)
		return err;
	err = sqlite_store_failed(store, sqlite_store_scrub(store));
	/* What passes by itself leaves the rest to the next erase. */
	return err && !store->failed ? -ERR_TRACES : err;
}
