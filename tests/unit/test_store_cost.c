/* What an operator's questions cost does not grow with the store: pages are counted, not time. */
#include "store_fixture.h"

#define FEW 400
#define MANY 16000

/* Finished orders, and among the first of them one that is open and one with an illegal event. */
static void grow(struct fixture *f, int from, int to)
{
	for (int i = from; i < to; i++) {
		char iss[32];
		snprintf(iss, sizeof(iss), "M%05d", i);
		add_event(f, iss, 20, 1, i, "");
		if (i != 7)
			add_event(f, iss, 60, EVENT_SUB_ABSENT, i + 1, "");
		if (i == 9)
			add_event(f, iss, 40, 1, i + 2, "");
		if (f->n_items > ITEMS_MAX - 3 || i == to - 1)
			assert_int_equal(write_added(f), 0);
	}
}

struct question {
	const char *words;
	struct event_filter events;
	struct order_filter orders;
	int rows;
};

static const struct question questions[] = {
	{"show ORDER", .orders = {.order = "M00009"}, .rows = 1},
	{"show ORDERNO", .orders = {.order = "no-M00009"}, .rows = 1},
	{"its events", .events = {.order = "M00009", .by_occurred = true}, .rows = 3},
	{"orders --limit 100", .orders = {.limit = 100}, .rows = 100},
	{"orders --status 20", .orders = {.status = 20}, .rows = 1},
	{"orders --status 20 --limit 100", .orders = {.status = 20, .limit = 100}, .rows = 1},
	{"orders --status 30", .orders = {.status = 30}, .rows = 0},
	{"attention: overdue", .orders = {.status = 20, .since_before_ms = BASE_MS + 8000},
	 .rows = 1},
	{"events --limit 100", .events = {.limit = 100}, .rows = 100},
	{"events --verdict illegal", .events = {.verdicts = 1U << VERDICT_ILLEGAL}, .rows = 1},
	{"attention: quarantined",
	 .events = {.verdicts = 1U << VERDICT_ILLEGAL | 1U << VERDICT_CONFLICT, .limit = 100},
	 .rows = 1},
	{"events --verdict conflict --limit 100",
	 .events = {.verdicts = 1U << VERDICT_CONFLICT, .limit = 100}, .rows = 0},
};

#define N_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static int pages(sqlite3 *db, bool reset)
{
	int hit = 0;
	int miss = 0;
	int most;

	assert_int_equal(sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_HIT, &hit, &most, reset),
			 SQLITE_OK);
	assert_int_equal(sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_MISS, &miss, &most, reset),
			 SQLITE_OK);
	return hit + miss;
}

/* The pages that a question looks at. */
static int ask(struct fixture *f, const struct question *question)
{
	sqlite3 *db = f->reader->connection.db;
	struct store_cursor *cursor = NULL;
	struct store_row row;
	bool of_orders =
		question->orders.order || question->orders.limit || question->orders.status;
	int n = 0;

	pages(db, true);
	assert_int_equal(of_orders ? store_orders(f->reader, &question->orders, &cursor)
				   : store_events(f->reader, &question->events, &cursor),
			 0);
	while (store_cursor_next(cursor, &row) == 1)
		n++;
	store_cursor_close(cursor);
	if (n != question->rows)
		fail_msg("%s: %d rows", question->words, n);
	return pages(db, false);
}

static void test_a_question_costs_the_same_in_a_larger_store(void **state)
{
	struct fixture *f = *state;
	int before[N_QUESTIONS];

	grow(f, 0, FEW);
	open_reader(f);
	for (size_t i = 0; i < N_QUESTIONS; i++)
		before[i] = ask(f, &questions[i]);
	grow(f, FEW, MANY);
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		int after = ask(f, &questions[i]);
		/* A tree of forty times as many rows is one level higher. */
		if (after > before[i] * 2)
			fail_msg("%s: %d pages, and %d where there are %d times as many orders",
				 questions[i].words, before[i], after, MANY / FEW);
	}
}

/* The words of SQL and the table of verdicts must name the same ones. */
static void test_quarantine_has_an_index_of_exactly_its_verdicts(void **state)
{
	struct fixture *f = *state;
	char update[128];

	take(f, "A", 20, 1, 0, "");
	for (int i = 0; i < VERDICT_MAX; i++) {
		const struct event_filter filter = {.verdicts = 1U << i};
		struct store_cursor *cursor = NULL;
		struct store_row row;
		snprintf(update, sizeof(update), "UPDATE event SET verdict = %d", i);
		sql_write(f, update);
		assert_string_equal(
			sql(f, "SELECT count(*) FROM event WHERE verdict IN (6, 7, 8, 9)"),
			verdict_quarantined((enum verdict)i) ? "1" : "0");
		if (!f->reader)
			open_reader(f);
		assert_int_equal(store_events(f->reader, &filter, &cursor), 0);
		assert_int_equal(store_cursor_next(cursor, &row), 1);
		store_cursor_close(cursor);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_question_costs_the_same_in_a_larger_store),
		TEST(test_quarantine_has_an_index_of_exactly_its_verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
