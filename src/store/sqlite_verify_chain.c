/*
 * The walk over all events in the order of their numbers, in pages.
 *
 * An event's link is computed from the stored link before it, so that one wrong event does not make
 * every later one wrong. Where the stored link itself is what was changed, the next event agrees
 * with the computed one; either will do, and exactly the changed event is named. The first event
 * behind a hole has no link before it to be computed from, so only its body is compared.
 *
 * The orderNo and shopId of an event are NULL in its row where they are the order's. Which of "the
 * order's" and "none" was hashed is not stored, so both are tried; in this way the order's own
 * columns are covered, too.
 *
 * Where SQLite's check has found damage, each event is also looked up by its number: in a table
 * that is out of order the walk meets events that nobody else finds.
 *
 * A page that cannot be read is gone through number by number: what still can be read is compared,
 * and the rest is named.
 */
#include <stdio.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_chain_row.h"
#include "sqlite_verify.h"

#define PAGE_EVENTS 256
#define COUNTER_AHEAD_MAX 1000000 /* beyond it a damaged counter is not believed */

struct walk {
	struct verify *verify;
	int64_t last_id; /* of the last event that was seen, or pruned */
	bool damaged;    /* SQLite's check has found something */
	bool linked;     /* what stands before the next event is known */
	uint8_t stored[CHAIN_BYTES];
	uint8_t computed[CHAIN_BYTES];
	int64_t bad_first; /* events that could not be read one by one; 0: none yet */
	int64_t bad_last;
};

/* ------------------------------------------------------------------ one event ---------- */

/* Is the link that of either previous one and this private digest? */
static int try_link(struct walk *walk, const struct chain_row *row,
		    const uint8_t private_sha256[CHAIN_BYTES], const uint8_t link[CHAIN_BYTES],
		    bool *ret)
{
	uint8_t computed[CHAIN_BYTES];
	int err = chain_link(walk->computed, row, private_sha256, computed);

	if (!err && digest_equal(computed, link, CHAIN_BYTES)) {
		*ret = true;
		return 0;
	}
	if (!err)
		err = chain_link(walk->stored, row, private_sha256, computed);
	if (err)
		return err;
	*ret = digest_equal(computed, link, CHAIN_BYTES);
	memcpy(walk->computed, computed, CHAIN_BYTES);
	return 0;
}

/* The same for every reading of the columns that the order may stand for. The first one is the
 * common one and is tried last, so that its link is what the next event may agree with. */
static int try_readings(struct walk *walk, sqlite3_stmt *handle, struct chain_row *row,
			const uint8_t link[CHAIN_BYTES], bool *ret)
{
	const struct chain_row own = *row;
	uint8_t before[CHAIN_BYTES];
	uint8_t private_sha256[CHAIN_BYTES];
	int err = 0;

	memcpy(before, walk->computed, CHAIN_BYTES);
	*ret = false;
	for (int reading = 0; reading < CHAIN_READINGS && !err && !*ret; reading++) {
		if (!chain_row_reading(handle, &own, reading, row))
			continue;
		memcpy(walk->computed, before, CHAIN_BYTES);
		err = chain_private(row, private_sha256);
		if (!err)
			err = try_link(walk, row, private_sha256, link, ret);
	}
	return err;
}

static bool is_empty(const struct chain_value *value)
{
	return value->type == CHAIN_NULL || (value->type == CHAIN_BLOB && value->bytes.len == 0);
}

static bool is_erased(const struct chain_row *row, const struct chain_value *body)
{
	for (int i = CHAIN_FIRST_PRIVATE; i < CHAIN_MAX; i++) {
		if (!is_empty(&row->values[i]))
			return false;
	}
	return is_empty(body);
}

static int check_link(struct walk *walk, sqlite3_stmt *handle, struct chain_row *row,
		      const uint8_t *erased, const uint8_t link[CHAIN_BYTES], bool *ret)
{
	*ret = true;
	if (!walk->linked)
		return 0;
	return erased ? try_link(walk, row, erased, link, ret)
		      : try_readings(walk, handle, row, link, ret);
}

static void describe(sqlite3_stmt *handle, char out[2][EVENT_ID_BYTES_MAX + 1])
{
	for (int i = 0; i < 2; i++) {
		struct chain_value value = chain_column_value(handle, 1 + CHAIN_endpoint + i);
		out[i][0] = '\0';
		if (value.type == CHAIN_TEXT)
			(void)slice_copy(value.bytes, out[i], EVENT_ID_BYTES_MAX + 1);
	}
}

static void found_event(struct walk *walk, enum finding finding, sqlite3_stmt *handle, int64_t id)
{
	struct verify *verify = walk->verify;
	char names[2][EVENT_ID_BYTES_MAX + 1];
	struct store_finding found = {finding, id, id, names[0], names[1], ""};

	describe(handle, names);
	verify->totals.findings++;
	verify->options->found(&found, verify->options->context);
}

static int check_body(struct walk *walk, sqlite3_stmt *handle, const struct chain_row *row,
		      const struct chain_value *body)
{
	uint8_t sum[CHAIN_BYTES];
	int err = digest_sha256(&body->bytes, 1, sum);

	if (!err && (body->type != CHAIN_BLOB || !digest_equal(sum, row->body_sha256, CHAIN_BYTES)))
		found_event(walk, FINDING_BODY, handle, row->event_id);
	return err;
}

static int check_head(struct walk *walk, sqlite3_stmt *handle, int64_t id,
		      const uint8_t link[CHAIN_BYTES])
{
	const struct verify *verify = walk->verify;

	if (verify->totals.head == STORE_HEAD_COMPARED && id == verify->head.event_id &&
	    !digest_equal(link, verify->head.link, CHAIN_BYTES))
		found_event(walk, FINDING_HEAD, handle, id);
	return 0;
}

static int check_event(struct walk *walk, sqlite3_stmt *handle)
{
	struct chain_row row;
	struct chain_value body = chain_column_value(handle, EXTRA_BODY);
	uint8_t link[CHAIN_BYTES] = {0};
	uint8_t private_sha256[CHAIN_BYTES];
	bool erased = sqlite3_column_type(handle, EXTRA_PRIVATE_SHA256) != SQLITE_NULL;
	bool whole;
	bool right = false;
	int err = 0;

	chain_row_read(handle, &row);
	whole = chain_column_digest(handle, EXTRA_BODY_SHA256, row.body_sha256);
	whole &= chain_column_digest(handle, EXTRA_LINK, link);
	if (erased && (!chain_column_digest(handle, EXTRA_PRIVATE_SHA256, private_sha256) ||
		       !is_erased(&row, &body))) {
		found_event(walk, FINDING_ERASED, handle, row.event_id);
		erased = false;
	}
	walk->verify->totals.erased += erased;
	if (!erased)
		err = check_body(walk, handle, &row, &body);
	if (!err)
		err = check_link(walk, handle, &row, erased ? private_sha256 : NULL, link, &right);
	if (err)
		return err;
	if (!whole || !right)
		found_event(walk, FINDING_LINK, handle, row.event_id);
	if (!walk->linked || right)
		memcpy(walk->computed, link, CHAIN_BYTES);
	memcpy(walk->stored, link, CHAIN_BYTES);
	walk->linked = true;
	return check_head(walk, handle, row.event_id, link);
}

/* ------------------------------------------------------------------ holes -------------- */

/* Steps over ranges that anchors stand for, as far as they reach; not past before. */
static int step_over_pruned(struct walk *walk, int64_t before)
{
	struct connection *connection = &walk->verify->reader->connection;
	struct statement *statement = &walk->verify->reader->statements[R_anchor_at];
	int err = 1;

	while (err == 1 && walk->last_id + 1 < before) {
		int64_t last;
		bind_int(statement, P_event_id, walk->last_id + 1);
		err = statement_step(connection, statement);
		if (err == 1) {
			last = sqlite3_column_int64(statement->handle, 0);
			if (last <= walk->last_id || last >= before)
				err = 0;
		}
		if (err == 1) {
			walk->verify->totals.pruned += last - walk->last_id;
			walk->last_id = last;
			walk->linked = chain_column_digest(statement->handle, 1, walk->stored);
			memcpy(walk->computed, walk->stored, CHAIN_BYTES);
		}
		statement_reset(statement);
	}
	return err < 0 && !verify_is_damage(err) ? err : 0;
}

/* What lies between the last event and this number, which is there (or one past the end). */
static int check_hole(struct walk *walk, int64_t id)
{
	int err = id > walk->last_id + 1 ? step_over_pruned(walk, id) : 0;

	if (err || id <= walk->last_id + 1)
		return err;
	/* Those that were named as unreadable are not missing as well. */
	if (walk->bad_first == walk->last_id + 1 && walk->bad_last == id - 1)
		verify_found(walk->verify, FINDING_UNREADABLE, walk->bad_first, walk->bad_last, "");
	else
		verify_found(walk->verify, FINDING_MISSING, walk->last_id + 1, id - 1, "");
	walk->last_id = id - 1;
	walk->linked = false;
	return 0;
}

static int check_lookup(struct walk *walk, sqlite3_stmt *handle, int64_t id)
{
	struct store_reader *reader = walk->verify->reader;
	struct statement *statement = &reader->statements[R_raw_event];
	int err;

	if (!walk->damaged)
		return 0;
	bind_int(statement, P_event_id, id);
	err = statement_step(&reader->connection, statement);
	statement_reset(statement);
	if (err < 0 && !verify_is_damage(err))
		return err;
	if (err != 1)
		found_event(walk, FINDING_ORDER, handle, id);
	return 0;
}

static int take_row(struct walk *walk, sqlite3_stmt *handle)
{
	int64_t id = sqlite3_column_int64(handle, 0);
	int err;

	if (id <= walk->last_id) {
		found_event(walk, FINDING_ORDER, handle, id);
		return 0;
	}
	err = check_hole(walk, id);
	walk->last_id = id;
	walk->verify->totals.events++;
	if (!err)
		err = check_lookup(walk, handle, id);
	return err ? err : check_event(walk, handle);
}

/* ------------------------------------------------------------------ pages -------------- */

/* Rows with numbers in (after, to]; *ret_rows of them came. */
static int walk_rows(struct walk *walk, int64_t after, int64_t to, int64_t page, int64_t *ret_rows)
{
	struct store_reader *reader = walk->verify->reader;
	struct statement *statement = &reader->statements[R_chain_page];
	int64_t rows = 0;
	int err;

	bind_int(statement, P_after_id, after);
	bind_int(statement, P_to_id, to);
	bind_int(statement, P_page, page);
	while ((err = statement_step(&reader->connection, statement)) == 1) {
		rows++;
		err = take_row(walk, statement->handle);
		if (err)
			break;
	}
	statement_reset(statement);
	*ret_rows = rows;
	return err;
}

static int walk_one_by_one(struct walk *walk, int64_t to)
{
	int64_t first = walk->last_id + 1;
	int err = 0;

	for (int64_t id = first; id <= to && !err; id++) {
		int64_t rows = 0;
		err = walk_rows(walk, id - 1, id, 1, &rows);
		if (!verify_is_damage(err))
			continue;
		err = 0;
		if (walk->bad_last != id - 1 || !walk->bad_first)
			walk->bad_first = id;
		walk->bad_last = id;
	}
	/* The hole at the end, which no readable event closes. */
	return err ? err : check_hole(walk, to + 1);
}

static int64_t lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int walk_pages(struct walk *walk, int64_t to)
{
	int err = 0;

	while (!err && walk->last_id < to) {
		int64_t before = walk->last_id;
		int64_t rows = 0;
		err = walk_rows(walk, before, to, PAGE_EVENTS, &rows);
		if (verify_is_damage(err) || (!err && rows && walk->last_id == before))
			err = walk_one_by_one(walk, lesser(to, walk->last_id + PAGE_EVENTS));
		else if (!err && !rows)
			err = check_hole(walk, to + 1);
	}
	return err;
}

/* ------------------------------------------------------------------ the end ------------ */

static int newest_of(struct verify *verify, enum reader_statement which, int64_t *newest)
{
	struct statement *statement = &verify->reader->statements[which];
	int err = statement_step(&verify->reader->connection, statement);

	if (err == 1 && sqlite3_column_int64(statement->handle, 0) > *newest)
		*newest = sqlite3_column_int64(statement->handle, 0);
	statement_reset(statement);
	return err < 0 && !verify_is_damage(err) ? err : 0;
}

int verify_chain(struct verify *verify, const char *store_id, int64_t last_number)
{
	bool compared = verify->totals.head == STORE_HEAD_COMPARED;
	struct walk walk = {
		.verify = verify, .damaged = verify->totals.findings > 0, .linked = true};
	int64_t newest = compared ? verify->head.event_id : 0;
	int64_t to;
	int err = newest_of(verify, R_newest_event, &newest);

	if (!err)
		err = newest_of(verify, R_newest_other, &newest);
	if (!err)
		err = chain_genesis(store_id, walk.stored);
	if (err)
		return err;
	memcpy(walk.computed, walk.stored, CHAIN_BYTES);
	to = last_number > newest && last_number - newest <= COUNTER_AHEAD_MAX ? last_number
									       : newest;
	/* Beside a daemon events are added between the two looks: only a smaller counter is none.
	 */
	if (last_number > to)
		verify_found(verify, FINDING_NUMBERS, 0, 0, "");
	return walk_pages(&walk, to);
}
