/* Prune, erase and apply: what goes, what stays, and that the store verifies afterwards. */
#include "store_fixture.h"

#include <fcntl.h>

#include "../../src/store/order_names.h"
#include "orderhook/rejudge.h"
#include "orderhook/retention.h"
#include "orderhook/store_verify.h"

#define DAY_S INT64_C(86400)

static char found[4096];

static void note_finding(const struct store_finding *finding, void *context)
{
	size_t *len = context;

	*len += (size_t)snprintf(found + *len, sizeof(found) - *len, "%s%s %lld-%lld %s",
				 *len ? "\n" : "", finding_key(finding->finding),
				 (long long)finding->event_id, (long long)finding->last_event_id,
				 finding->detail);
	assert_true(*len < sizeof(found));
}

static struct store_verify_totals verify(struct fixture *f)
{
	size_t len = 0;
	const struct store_verify options = {
		.machine = order_machine_v5(), .found = note_finding, .context = &len};
	struct store_verify_totals totals;

	found[0] = '\0';
	open_reader(f);
	assert_int_equal(store_verify(f->reader, &options, &totals), 0);
	store_reader_close(f->reader);
	f->reader = NULL;
	return totals;
}

static struct store_verify_totals expect_sound(struct fixture *f)
{
	struct store_verify_totals totals = verify(f);

	assert_string_equal(found, "");
	assert_int_equal(totals.head, STORE_HEAD_COMPARED);
	return totals;
}

/* ------------------------------------------------------------------ prune -------------- */

/* Everything received before so many seconds after BASE_MS; 30 is overdue after a day. */
static struct store_prune older_than(int64_t s)
{
	struct store_prune prune = {.before_ms = BASE_MS + s * 1000};

	prune.overdue_before_ms[30] = prune.before_ms;
	return prune;
}

static struct store_pruned prune_all(struct fixture *f, const struct store_prune *prune)
{
	struct store_prune_place place = {0};
	struct store_pruned counts = {0};
	struct store_pruned planned;
	int more;

	open_reader(f);
	assert_int_equal(store_prune_plan(f->reader, prune, &planned), 0);
	store_reader_close(f->reader);
	f->reader = NULL;
	do {
		more = f->store->ops->prune(f->store, prune, &place, &counts);
		assert_true(more >= 0);
	} while (more);
	assert_memory_equal(&counts, &planned, sizeof(counts));
	return counts;
}

/* An order of three events that ends in 50/1. */
static void finish_order(struct fixture *f, const char *iss, int64_t at_s)
{
	take(f, iss, 20, 1, at_s, "");
	take(f, iss, 30, 1, at_s + 1, "C1");
	take(f, iss, 40, 1, at_s + 2, "C1");
	take(f, iss, 50, 1, at_s + 3, "C1");
}

static void test_old_orders_go_whole_and_the_chain_holds(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(10 * DAY_S);
	struct store_pruned counts;

	finish_order(f, "OLD1", 0);
	finish_order(f, "LONG", 1 * DAY_S);
	finish_order(f, "OLD2", 2 * DAY_S);
	/* Its newest event is young, so all of it stays. */
	take(f, "LONG", 50, 2, 20 * DAY_S, "C1");
	finish_order(f, "NEW", 21 * DAY_S);
	assert_true(((struct sqlite_store *)f->store)->head_file.dirty);
	counts = prune_all(f, &prune);
	/* What is on disk outside the database never names an event that is gone. */
	assert_false(((struct sqlite_store *)f->store)->head_file.dirty);
	assert_int_equal(counts.orders, 2);
	assert_int_equal(counts.events, 8);
	assert_int_equal(counts.kept_quarantined + counts.kept_overdue + counts.kept_newest, 0);
	assert_true(counts.bytes > 8 * 20);
	assert_string_equal(sql(f, "SELECT iss_order_no, events FROM order_state ORDER BY 1"),
			    "LONG|5\nNEW|4");
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "9");
	assert_string_equal(sql(f, "SELECT first_event_id, last_event_id FROM anchor ORDER BY 1"),
			    "1|4\n9|12");
	assert_string_equal(sql(f, "SELECT orders FROM status_count WHERE status = 50"), "2");
	assert_int_equal(expect_sound(f).pruned, 8);
	/* And again: nothing is left to do, and a later start goes on from the newest event. */
	assert_int_equal(prune_all(f, &prune).orders, 0);
	close_store(f);
	open_store(f);
	assert_int_equal(take(f, "NEWER", 20, 1, 22 * DAY_S, ""), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.event_id, 18);
	expect_sound(f);
}

static void test_ranges_that_come_to_adjoin_are_one_anchor(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(1 * DAY_S);

	finish_order(f, "A", 0);
	finish_order(f, "B", 5 * DAY_S);
	finish_order(f, "C", 1);
	finish_order(f, "D", 30 * DAY_S);
	prune_all(f, &prune);
	assert_string_equal(sql(f, "SELECT first_event_id, last_event_id FROM anchor ORDER BY 1"),
			    "1|4\n9|12");
	prune = older_than(6 * DAY_S);
	prune_all(f, &prune);
	assert_string_equal(sql(f, "SELECT first_event_id, last_event_id FROM anchor"), "1|12");
	assert_int_equal(expect_sound(f).pruned, 12);
}

static void test_what_waits_for_a_person_stays(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(10 * DAY_S);
	struct store_pruned counts;

	take(f, "STUCK", 20, 1, 0, "");
	take(f, "STUCK", 30, 1, 1, "C1");
	finish_order(f, "ODD", 10);
	take(f, "ODD", 77, 1, 20, "C1");
	/* 20 has no limit here. */
	take(f, "RESTS", 20, 1, 30, "");
	take(f, "NEW", 20, 1, 20 * DAY_S, "");
	counts = prune_all(f, &prune);
	assert_int_equal(counts.orders, 1);
	assert_int_equal(counts.kept_overdue, 1);
	assert_int_equal(counts.kept_quarantined, 1);
	assert_string_equal(sql(f, "SELECT iss_order_no FROM order_state ORDER BY 1"),
			    "NEW\nODD\nSTUCK");
	expect_sound(f);
	prune.attention_too = true;
	counts = prune_all(f, &prune);
	assert_int_equal(counts.orders, 2);
	assert_int_equal(counts.kept_quarantined + counts.kept_overdue, 0);
	expect_sound(f);
}

static void test_newest_event_stays_however_old(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(100 * DAY_S);
	struct store_pruned counts;

	finish_order(f, "A", 0);
	finish_order(f, "B", 10);
	counts = prune_all(f, &prune);
	assert_int_equal(counts.orders, 1);
	assert_int_equal(counts.kept_newest, 1);
	expect_sound(f);
	add_event(f, "", 20, 1, 20, "")->kind = EVENT_OTHER;
	write_one(f);
	counts = prune_all(f, &prune);
	assert_int_equal(counts.orders, 1);
	assert_int_equal(counts.kept_newest, 1);
	expect_sound(f);
	close_store(f);
	open_store(f);
	take(f, "C", 20, 1, 30, "");
	assert_int_equal(prune_all(f, &prune).others, 1);
	expect_sound(f);
}

static void hold_one(struct fixture *f, const char *body, int64_t at_s)
{
	const struct store_hold hold = {.endpoint = "shansong",
					.reason = "sign-wrong",
					.remote = "192.0.2.9",
					.head = SLICE("POST /callback HTTP/1.1\r\n"),
					.body = slice_of(body),
					.received_ms = BASE_MS + at_s * 1000};

	f->store->ops->hold(f->store, &hold, 1);
	assert_int_equal(f->store->ops->write_batch(f->store, NULL, 0), 0);
}

static void test_refused_deliveries_go_by_their_age(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(10 * DAY_S);
	struct store_held_stats stats;

	hold_one(f, "old", 0);
	hold_one(f, "new", 20 * DAY_S);
	assert_int_equal(prune_all(f, &prune).held, 1);
	assert_string_equal(sql(f, "SELECT body FROM held_log"), "new");
	store_held_stats(f->store, &stats);
	assert_int_equal(stats.held, 1);
}

static void test_steps_are_small_and_each_leaves_a_sound_store(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(10 * DAY_S);
	struct store_prune_place place = {0};
	struct store_pruned counts = {0};
	int64_t steps = 0;
	int more;

	for (int i = 0; i < 16; i++) {
		for (int k = 0; k < ITEMS_MAX; k++) {
			char iss[24];
			snprintf(iss, sizeof(iss), "A%d-%d", i, k);
			add_event(f, iss, 60, EVENT_SUB_ABSENT, i * 100 + k, "");
		}
		assert_int_equal(write_added(f), 0);
	}
	take(f, "NEW", 20, 1, 20 * DAY_S, "");
	do {
		int64_t before = counts.events;
		more = f->store->ops->prune(f->store, &prune, &place, &counts);
		assert_true(more >= 0);
		assert_true(counts.events - before <= 300);
		/* As after a death between two steps. */
		expect_sound(f);
		steps++;
	} while (more);
	assert_int_equal(counts.events, 1024);
	assert_true(steps > 8);
	assert_string_equal(sql(f, "SELECT first_event_id, last_event_id FROM anchor"), "1|1024");
}

static void test_failed_step_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_prune prune = older_than(10 * DAY_S);
	struct store_prune_place place = {0};
	struct store_pruned counts = {0};

	finish_order(f, "A", 0);
	finish_order(f, "B", 20 * DAY_S);
	sql_write(f,
		  "CREATE TRIGGER t BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'no'); END");
	sqlite3_db_config(store_test_connection(f->store), SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
	assert_true(f->store->ops->prune(f->store, &prune, &place, &counts) < 0);
	assert_int_equal(place.part + place.after_id + counts.orders, 0);
	sql_write(f, "DROP TRIGGER t");
	assert_string_equal(sql(f, "SELECT count(*) FROM order_log"), "8");
	expect_sound(f);
}

static void test_rule_is_the_one_of_attention(void **state)
{
	struct store_prune prune;
	struct config_attention rows[] = {{40, 1000}, {50, 1000}};
	struct config config = {.attention = rows, .n_attention = 2};

	(void)state;
	retention_prune(&config, 100000, 5000, false, &prune);
	assert_int_equal(prune.before_ms, 95000);
	assert_int_equal(prune.overdue_before_ms[40], 99000);
	/* An order rests there. */
	assert_int_equal(prune.overdue_before_ms[50], 0);
	assert_int_equal(prune.overdue_before_ms[20], 0);
	retention_prune(NULL, INT64_C(10000000000), 5000, false, &prune);
	assert_int_equal(prune.overdue_before_ms[20], INT64_C(10000000000) - 30 * 60 * 1000);
}

/* ------------------------------------------------------------------ erase -------------- */

#define CANARY "KANARIE"

static struct store_erased erase(struct fixture *f, const char *order)
{
	struct store_erased erased = {0};

	assert_int_equal(f->store->ops->erase(f->store, order, &erased), 0);
	return erased;
}

static size_t count_in_file(const struct fixture *f, const char *suffix, const char *word)
{
	char path[128];
	static char bytes[1 << 22];
	size_t n;
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", f->path, suffix);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	assert_true(n < sizeof(bytes));
	for (const char *at = bytes;
	     (at = memmem(at, n - (size_t)(at - bytes), word, strlen(word))); at++)
		count++;
	return count;
}

static size_t count_in_files(const struct fixture *f, const char *word)
{
	return count_in_file(f, "", word) + count_in_file(f, "-wal", word) +
	       count_in_file(f, ".head", word) + count_in_file(f, "-shm", word);
}

/* An event with a canary in everything personal. */
static void take_personal(struct fixture *f, const char *iss, int status, int64_t at_s)
{
	struct event *event = add_event(f, iss, status, 1, at_s, CANARY "-courier");

	snprintf(event->order_no, sizeof(event->order_no), CANARY "-no-%s", iss);
	snprintf(event->shop_id, sizeof(event->shop_id), CANARY "-shop");
	event_note(event, CANARY "-note");
	snprintf(f->bodies[0], sizeof(f->bodies[0]), "{\"mobile\":\"" CANARY "-%s-%lld\"}", iss,
		 (long long)at_s);
	f->items[0].body = slice_of(f->bodies[0]);
	f->items[0].head = SLICE("X-Client: " CANARY "-head\r\n");
	f->items[0].remote = CANARY "-remote";
	write_one(f);
}

static void test_nothing_personal_is_left_in_any_file(void **state)
{
	struct fixture *f = *state;
	struct store_erased erased;
	struct store_verify_totals totals;

	take(f, "B", 20, 1, 0, "C1");
	for (int i = 0; i < 4; i++)
		take_personal(f, "A", (int[]){20, 30, 40, 50}[i], 10 + i);
	take(f, "B", 30, 1, 20, "C1");
	assert_true(count_in_files(f, CANARY) > 20);
	erased = erase(f, "A");
	assert_int_equal(erased.orders, 1);
	assert_int_equal(erased.events, 4);
	assert_int_equal(erased.moving, 0);
	assert_int_equal(count_in_files(f, CANARY), 0);
	totals = expect_sound(f);
	assert_int_equal(totals.erased, 4);
	assert_int_equal(totals.orders_erased, 1);
	/* The skeleton. */
	assert_string_equal(sql(f, "SELECT order_no, shop_id, courier_id, status, events FROM "
				   "order_state WHERE iss_order_no = 'A'"),
			    "NULL|NULL|NULL|50|4");
	assert_string_equal(sql(f, "SELECT status, verdict, notes, body, remote FROM order_log "
				   "WHERE iss_order_no = 'A'"),
			    "20|applied|erased|NULL|NULL\n30|applied|erased|NULL|NULL\n"
			    "40|applied|erased|NULL|NULL\n50|applied|erased|NULL|NULL");
	assert_string_equal(sql(f, "SELECT courier_id FROM order_state WHERE iss_order_no = 'B'"),
			    "C1");
	/* Once more finds nothing new; the store goes on, also after a start. */
	erased = erase(f, "A");
	assert_int_equal(erased.events, 0);
	assert_int_equal(erased.events_before, 4);
	take(f, "B", 40, 1, 30, "C1");
	close_store(f);
	open_store(f);
	take(f, "B", 50, 1, 40, "C1");
	expect_sound(f);
}

static void test_bytes_of_an_erased_event_are_told_as_erased(void **state)
{
	struct fixture *f = *state;
	BUF_AUTO struct buf body = BUF_INIT(1024);

	take_personal(f, "A", 20, 0);
	assert_int_equal(erase(f, "A").moving, 1);
	open_reader(f);
	assert_int_equal(store_raw(f->reader, 1, &body, NULL), -ERR_ERASED);
	assert_int_equal(store_raw(f->reader, 2, &body, NULL), -ERR_NOT_FOUND);
	assert_int_equal(body.len, 0);
}

static void count(void *context)
{
	++*(int *)context;
}

static void test_erase_says_that_it_is_at_work_while_it_clears_the_file(void **state)
{
	struct fixture *f = *state;
	static int times;

	take_personal(f, "A", 50, 1);
	f->store->at_work = count;
	f->store->at_work_context = &times;
	assert_true(erase(f, "A").orders == 1 && times > 0);
}

static void test_retry_of_an_erased_event_is_still_a_duplicate(void **state)
{
	struct fixture *f = *state;

	take_personal(f, "A", 20, 0);
	take_personal(f, "A", 30, 1);
	erase(f, "A");
	take_personal(f, "A", 30, 1);
	assert_int_equal(f->items[0].result.verdict, VERDICT_DUPLICATE);
	assert_int_equal(f->items[0].result.event_id, 2);
	/* Its batch was in memory only. */
	erase(f, "A");
	assert_int_equal(count_in_files(f, CANARY), 0);
	expect_sound(f);
}

static void test_later_callback_goes_on_from_the_skeleton(void **state)
{
	struct fixture *f = *state;

	take_personal(f, "A", 20, 0);
	take_personal(f, "A", 30, 1);
	erase(f, "A");
	take_personal(f, "A", 40, 2);
	assert_int_equal(f->items[0].result.verdict, VERDICT_APPLIED);
	take_personal(f, "A", 30, 1);
	expect_sound(f);
	assert_int_equal(erase(f, CANARY "-no-A").events, 1);
	assert_int_equal(count_in_files(f, CANARY), 0);
	expect_sound(f);
}

static void test_every_dispatch_of_an_order_number_is_erased(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		char iss[8];
		snprintf(iss, sizeof(iss), "D%d", i);
		struct event *event = add_event(f, iss, 60, EVENT_SUB_ABSENT, i, "");
		snprintf(event->order_no, sizeof(event->order_no), CANARY "-no");
		write_one(f);
	}
	/* By one dispatch the others keep theirs. */
	assert_int_equal(erase(f, "D0").orders, 1);
	assert_true(count_in_files(f, CANARY) > 0);
	assert_int_equal(erase(f, CANARY "-no").orders, 2);
	assert_int_equal(count_in_files(f, CANARY), 0);
	expect_sound(f);
}

static void test_event_that_named_no_order_number_keeps_its_link(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 8; i++) {
		struct event *event = add_event(f, "A", 30, 1, i, "C1");
		if (i & 1)
			event->order_no[0] = '\0';
		if (i & 2)
			event->shop_id[0] = '\0';
		if (i == 4)
			snprintf(event->order_no, sizeof(event->order_no), "another");
		write_one(f);
	}
	assert_int_equal(erase(f, "A").events, 8);
	expect_sound(f);
}

static void test_what_names_the_order_elsewhere_goes_too(void **state)
{
	struct fixture *f = *state;
	struct store_erased erased;
	struct event *event;

	take_personal(f, "A1", 50, 0);
	take(f, "A12", 20, 1, 0, "");
	event = add_event(f, "A1", 20, 1, 5, "");
	event->kind = EVENT_OTHER;
	f->items[0].body = slice_of("{\"x\":\"" CANARY "-other\"}");
	write_one(f);
	event = add_event(f, "", 20, 1, 6, "");
	event->kind = EVENT_OTHER;
	event->order_no[0] = '\0';
	f->items[0].body = slice_of("{\"list\":[\"A12\",\"\\u00411\"],\"x\":\"" CANARY "-list\"}");
	write_one(f);
	event = add_event(f, "A12", 20, 1, 7, "");
	event->kind = EVENT_OTHER;
	f->items[0].body = slice_of("{\"issOrderNo\":\"A12\"}");
	write_one(f);
	hold_one(f, "{\"issOrderNo\":\"A1\",\"x\":\"" CANARY "-held\"}", 1);
	hold_one(f, "issOrderNo=%41%31&x=" CANARY "-form", 2);
	hold_one(f, "{\"issOrderNo\":\"A12\"}", 3);
	erased = erase(f, "A1");
	assert_int_equal(erased.events, 1);
	assert_int_equal(erased.others, 2);
	assert_int_equal(erased.held, 2);
	assert_int_equal(count_in_files(f, CANARY), 0);
	assert_string_equal(sql(f, "SELECT body FROM held_log"), "{\"issOrderNo\":\"A12\"}");
	assert_string_equal(sql(f, "SELECT notes, body FROM other_event ORDER BY event_id"),
			    "erased|NULL\nerased|NULL\nNULL|{\"issOrderNo\":\"A12\"}");
	assert_int_equal(expect_sound(f).erased, 3);
}

static void test_name_is_found_as_a_word_only(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} cases[] = {
		{"{\"issOrderNo\":\"TDH1\"}", true},
		{"{\"issOrderNo\":TDH1}", true},
		{"TDH1", true},
		{"a=TDH1&b=c", true},
		{"{\\\"issOrderNo\\\":\\\"TDH1\\\"}", true},
		{"%54DH1", true},
		{"\\u0054\\u0044H1", true},
		{"TDH12", false},
		{"XTDH1", false},
		{"TDH1-2", false},
		{"TDH1:2", false},
		{"TDH1%32", false},
		{"%58TDH1", false},
		{"TDH", false},
		{"", false},
		{"%5", false},
		{"\\u005", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(text_names_order(slice_of(cases[i].text), "TDH1"), cases[i].found);
}

static void test_event_that_was_changed_is_not_erased(void **state)
{
	static const char *const changes[] = {"notes = 'x'", "body = x'00'",
					      "body_sha256 = zeroblob(32)", "link = zeroblob(32)"};
	struct fixture *f = *state;
	struct store_erased erased;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char iss[8];
		char change[128];
		snprintf(iss, sizeof(iss), "A%zu", i);
		take(f, iss, 20, 1, 0, "");
		take(f, iss, 30, 1, 1, "C1");
		snprintf(change, sizeof(change), "UPDATE event SET %s WHERE event_id = %zu",
			 changes[i], 2 * i + 2);
		sql_write(f, change);
		assert_int_equal(f->store->ops->erase(f->store, iss, &erased), -ERR_EVIDENCE);
		assert_int_equal(erased.event_id, 2 * i + 2);
	}
	assert_string_equal(sql(f, "SELECT count(*) FROM event WHERE private_sha256 IS NOT NULL"),
			    "0");
	/* The store is none the worse for it. */
	take(f, "B", 20, 1, 50, "");
}

static void test_unknown_order_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct store_erased erased;

	take(f, "A", 20, 1, 0, "");
	assert_int_equal(f->store->ops->erase(f->store, "B", &erased), -ERR_NOT_FOUND);
	take(f, "A", 30, 1, 1, "");
}

static void test_reader_that_keeps_the_log_is_told_and_then_traces_go(void **state)
{
	struct fixture *f = *state;
	struct store_erased erased = {0};
	sqlite3 *db;

	take_personal(f, "A", 50, 0);
	db = open_sql(f, SQLITE_OPEN_READONLY);
	assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM event", NULL, NULL, NULL),
			 0);
	sqlite3_busy_timeout(store_test_connection(f->store), 0);
	assert_int_equal(f->store->ops->erase(f->store, "A", &erased), -ERR_TRACES);
	assert_int_equal(erased.events, 1);
	assert_non_null(strstr(store_problem(f->store), "reads an old state"));
	sqlite3_close(db);
	take(f, "B", 20, 1, 5, "");
	assert_int_equal(erase(f, "A").events_before, 1);
	assert_int_equal(count_in_files(f, CANARY), 0);
	take(f, "B", 30, 1, 6, "");
	expect_sound(f);
}

static uint64_t seed = 88172645463325252u;

static unsigned chance(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % n);
}

/* Of orders that are pruned or erased there is no byte in the database. */
static void expect_no_copies(struct fixture *f, int orders)
{
	for (int i = 0; i < orders; i++) {
		char query[128];
		char word[32];
		snprintf(query, sizeof(query),
			 "SELECT count(*) FROM event e JOIN orders o USING (order_id) WHERE "
			 "iss_order_no = 'R%d' AND private_sha256 IS NULL",
			 i);
		snprintf(word, sizeof(word), CANARY "%d-", i);
		if (strcmp(sql(f, query), "0") == 0)
			assert_int_equal(count_in_file(f, "", word), 0);
	}
}

/* SQLite leaves copies of rows behind when it balances pages: one in several hundred orders has one
 * when rows grow, go and shrink around it. */
static void test_no_copy_is_left_where_pages_were_balanced(void **state)
{
	enum {
		ORDERS = 1200,
		VICTIMS = 300
	};
	struct fixture *f = *state;
	struct store_prune prune = older_than(1);
	struct store_prune_place place = {0};
	struct store_pruned counts = {0};
	static char large[ORDERS][700];

	prune.attention_too = true;
	for (int i = 0; i < ORDERS; i++) {
		char iss[16];
		snprintf(iss, sizeof(iss), "R%d", i);
		/* A third is old, and pruned between the others. */
		struct event *event = add_event(f, iss, 60, EVENT_SUB_ABSENT,
						chance(3) ? 100 + i : -ORDERS + i, "");
		snprintf(event->order_no, sizeof(event->order_no), "%08x-" CANARY "%d-",
			 chance(UINT32_MAX), i);
		memset(large[i], 'x', sizeof(large[i]));
		int at = snprintf(large[i], 64, CANARY "%d-", i);
		large[i][at] = 'x';
		f->items[f->n_items - 1].body = (struct slice){large[i], 100 + chance(600)};
		if (f->n_items == ITEMS_MAX || i == ORDERS - 1)
			assert_int_equal(write_added(f), 0);
		if (chance(4) == 0 && i > 0) {
			char grow[128];
			snprintf(grow, sizeof(grow),
				 "UPDATE event SET deliveries = deliveries + 1 WHERE event_id = %u",
				 1 + chance((unsigned)i));
			sqlite3_exec(store_test_connection(f->store), grow, NULL, NULL, NULL);
		}
	}
	while (f->store->ops->prune(f->store, &prune, &place, &counts) == 1) {
	}
	assert_true(counts.orders > ORDERS / 5);
	for (int i = 0; i < VICTIMS; i++) {
		struct store_erased erased;
		char iss[16];
		snprintf(iss, sizeof(iss), "R%u", chance(ORDERS));
		int err = f->store->ops->erase(f->store, iss, &erased);
		assert_true(err == 0 || err == -ERR_NOT_FOUND);
	}
	expect_no_copies(f, ORDERS);
	/* Pages that were in memory are written once more: not as they were before. */
	assert_int_equal(sqlite3_exec(store_test_connection(f->store),
				      "UPDATE event SET deliveries = deliveries + 1", NULL, NULL,
				      NULL),
			 SQLITE_OK);
	assert_int_equal(f->store->ops->checkpoint(f->store), 0);
	expect_no_copies(f, ORDERS);
	expect_sound(f);
}

/* ------------------------------------------------------------------ apply -------------- */

static int64_t apply(struct fixture *f, int64_t from, int64_t to)
{
	int64_t ids[16];
	size_t n = 0;
	int64_t orders = 0;

	for (int64_t id = from; id <= to; id++)
		ids[n++] = id;
	assert_int_equal(rejudge_apply(f->store, ids, n, &orders), 0);
	return orders;
}

static void test_states_and_counts_are_made_again_from_the_events(void **state)
{
	struct fixture *f = *state;
	char before[512];

	finish_order(f, "A", 0);
	finish_order(f, "B", 10);
	take(f, "C", 77, 1, 20, "");
	snprintf(before, sizeof(before), "%s", sql(f, "SELECT * FROM orders"));
	sql_write(f,
		  "UPDATE orders SET status = 30, sub_status = 2, courier_id = 'X', since_ms = 5,"
		  " reassignments = 9, events = 7, quarantined = 3, last_occurred_ms = 1,"
		  " first_received_ms = first_received_ms + 5, last_received_ms = 3"
		  " WHERE iss_order_no = 'A';"
		  "UPDATE orders SET quarantined = 0 WHERE iss_order_no = 'C';"
		  "UPDATE status_count SET orders = 40");
	verify(f);
	assert_string_not_equal(found, "");
	assert_int_equal(apply(f, 1, 4), 3);
	expect_sound(f);
	assert_string_equal(sql(f, "SELECT * FROM orders"), before);
	assert_string_equal(sql(f, "SELECT * FROM status_count ORDER BY status"), "0|1\n50|2");
}

static void test_later_duplicate_keeps_its_time_of_receipt(void **state)
{
	struct fixture *f = *state;
	char before[512];

	take(f, "A", 20, 1, 0, "");
	add_event(f, "A", 20, 1, 0, "")->received_ms = BASE_MS + 9000;
	write_one(f);
	snprintf(before, sizeof(before), "%s", sql(f, "SELECT * FROM orders"));
	assert_int_equal(apply(f, 1, 1), 1);
	assert_string_equal(sql(f, "SELECT * FROM orders"), before);
}

static void test_order_with_an_erased_event_is_passed_over(void **state)
{
	struct fixture *f = *state;

	finish_order(f, "A", 0);
	erase(f, "A");
	assert_int_equal(apply(f, 1, 1), 0);
	expect_sound(f);
}

/* As a machine that has learnt a status since finds it. */
static void test_event_that_was_unknown_once_takes_its_place(void **state)
{
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	take(f, "A", 30, 1, 1, "C1");
	sql_write(f,
		  "UPDATE event SET verdict = 8 WHERE event_id = 2;"
		  "UPDATE orders SET status = 20, courier_id = NULL, since_ms = 1, quarantined = 1;"
		  "DELETE FROM status_count; INSERT INTO status_count VALUES (20, 1)");
	assert_int_equal(apply(f, 1, 1), 1);
	assert_string_equal(sql(f, "SELECT status, sub_status, quarantined FROM orders"), "30|1|1");
	verify(f);
	/* The verdict was changed behind the store's back; the state is right. */
	assert_string_equal(found, "link 2-2 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_old_orders_go_whole_and_the_chain_holds),
		TEST(test_ranges_that_come_to_adjoin_are_one_anchor),
		TEST(test_what_waits_for_a_person_stays),
		TEST(test_newest_event_stays_however_old),
		TEST(test_refused_deliveries_go_by_their_age),
		TEST(test_steps_are_small_and_each_leaves_a_sound_store),
		TEST(test_failed_step_changes_nothing),
		cmocka_unit_test(test_rule_is_the_one_of_attention),
		TEST(test_nothing_personal_is_left_in_any_file),
		TEST(test_bytes_of_an_erased_event_are_told_as_erased),
		TEST(test_erase_says_that_it_is_at_work_while_it_clears_the_file),
		TEST(test_retry_of_an_erased_event_is_still_a_duplicate),
		TEST(test_later_callback_goes_on_from_the_skeleton),
		TEST(test_every_dispatch_of_an_order_number_is_erased),
		TEST(test_event_that_named_no_order_number_keeps_its_link),
		TEST(test_what_names_the_order_elsewhere_goes_too),
		cmocka_unit_test(test_name_is_found_as_a_word_only),
		TEST(test_event_that_was_changed_is_not_erased),
		TEST(test_unknown_order_is_not_found),
		TEST(test_reader_that_keeps_the_log_is_told_and_then_traces_go),
		TEST(test_no_copy_is_left_where_pages_were_balanced),
		TEST(test_states_and_counts_are_made_again_from_the_events),
		TEST(test_later_duplicate_keeps_its_time_of_receipt),
		TEST(test_order_with_an_erased_event_is_passed_over),
		TEST(test_event_that_was_unknown_once_takes_its_place),
	};

	return cmocka_run_group_tests_name("store_care", tests, NULL, NULL);
}
