/*
 * Verify: in this order, what SQLite says of its own structure, the chain over the events, the fold
 * over the orders. Each goes through the whole store whatever the one before it found, because the
 * question is not only whether something is wrong but what.
 *
 * The head outside the database is read before anything in it: beside a running daemon the database
 * may only be newer.
 */
#include "sqlite_verify.h"

#include <stdio.h>
#include <string.h>

#include "orderhook/err.h"

static const struct {
	const char *key;
	const char *text;
} findings[FINDING_MAX] = {
#define FINDING(name, key, text) {key, text},
#include "orderhook/tbl/finding.def"
#undef FINDING
};

const char *finding_key(enum finding finding)
{
	return findings[finding].key;
}

const char *finding_text(enum finding finding)
{
	return findings[finding].text;
}

static void tell(struct verify *verify, const struct store_finding *finding)
{
	verify->totals.findings++;
	verify->options->found(finding, verify->options->context);
}

void verify_found(struct verify *verify, enum finding finding, int64_t first, int64_t last,
		  const char *detail)
{
	const struct store_finding found = {finding, first, last, "", "", detail};

	tell(verify, &found);
}

void verify_found_order(struct verify *verify, enum finding finding, const char *endpoint,
			const char *order, const char *detail)
{
	const struct store_finding found = {finding, 0, 0, endpoint, order, detail};

	tell(verify, &found);
}

bool verify_is_damage(int err)
{
	return err == -ERR_STORE_CORRUPT;
}

/* A row of the check is a line of damage; a check that breaks off is one as well. */
static int check_integrity(struct verify *verify)
{
	struct connection *connection = &verify->reader->connection;
	const char *sql =
		verify->options->quick ? "PRAGMA quick_check(100)" : "PRAGMA integrity_check(100)";
	sqlite3_stmt *handle = NULL;
	int code = sqlite3_prepare_v2(connection->db, sql, -1, &handle, NULL);
	int err = 0;

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		const char *line;
		code = sqlite3_step(handle);
		if (code != SQLITE_ROW)
			break;
		line = (const char *)sqlite3_column_text(handle, 0);
		if (line && strcmp(line, "ok") != 0)
			verify_found(verify, FINDING_INTEGRITY, 0, 0, line);
	}
	if (code != SQLITE_DONE)
		err = connection_fail(connection, code, sql);
	sqlite3_finalize(handle);
	if (!verify_is_damage(err))
		return err;
	verify_found(verify, FINDING_INTEGRITY, 0, 0, connection->problem);
	return 0;
}

static void read_head(struct verify *verify)
{
	const char *path = sqlite3_db_filename(verify->reader->connection.db, "main");
	int err = path ? store_head_read(path, &verify->head) : -ERR_NOT_FOUND;

	verify->totals.head = err == 0                    ? STORE_HEAD_COMPARED
			      : err == -ERR_NOT_FOUND     ? STORE_HEAD_MISSING
			      : err == -ERR_STORE_CORRUPT ? STORE_HEAD_DAMAGED
							  : STORE_HEAD_UNREADABLE;
	verify->totals.head_since = err ? 0 : verify->head.since_event_id;
}

int store_verify(struct store_reader *reader, const struct store_verify *options,
		 struct store_verify_totals *ret)
{
	struct verify verify = {.reader = reader, .options = options};
	struct store_identity identity = {0};
	int err;

	read_head(&verify);
	err = check_integrity(&verify);
	if (!err)
		err = store_read_identity(&reader->connection, &identity);
	if (verify_is_damage(err)) {
		verify_found(&verify, FINDING_INTEGRITY, 0, 0, reader->connection.problem);
		err = 0;
	}
	if (!err && verify.totals.head == STORE_HEAD_COMPARED &&
	    strcmp(verify.head.store_id, identity.store_id) != 0)
		verify.totals.head = STORE_HEAD_FOREIGN;
	if (!err)
		err = verify_chain(&verify, identity.store_id, identity.last_event_id);
	if (!err)
		err = verify_orders(&verify);
	if (!err)
		*ret = verify.totals;
	return err;
}
