/* The SQL: every statement, the views against the tables they are made from, the plans. */
#include "store_fixture.h"

/* ------------------------------------------------------------------ statements --------- */

static void test_every_statement_can_be_explained(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = open_sql(f, SQLITE_OPEN_READONLY);
	char text[8192];
	int n = 0;

	for (const struct sql_query *query = sql_queries; query->text; query++, n++) {
		int len = snprintf(text, sizeof(text), "EXPLAIN %s", query->text);
		assert_true((size_t)len < sizeof(text));
		if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
			fail_msg("%s: %s", query->name, sqlite3_errmsg(db));
	}
	assert_true(n > 30);
	sqlite3_close(db);
}

static void test_every_statement_is_one_and_is_prepared_by_somebody(void **state)
{
	static const char *const used[] = {
#define WRITER_STATEMENT(name) #name,
#define READER_STATEMENT(name) #name,
#include "../../src/store/sqlite_statement.def"
		"stamp",
		"identify",
		"stamp_page",
	};
	struct fixture *f = *state;
	sqlite3 *db = open_sql(f, SQLITE_OPEN_READONLY);

	for (const struct sql_query *query = sql_queries; query->text; query++) {
		sqlite3_stmt *statement = NULL;
		const char *rest = NULL;
		bool found = false;
		assert_int_equal(sqlite3_prepare_v2(db, query->text, -1, &statement, &rest),
				 SQLITE_OK);
		sqlite3_finalize(statement);
		if (rest[strspn(rest, " \n\t;")])
			fail_msg("%s: has more than one statement: %s", query->name, rest);
		for (size_t i = 0; i < sizeof(used) / sizeof(used[0]) && !found; i++)
			found = strcmp(used[i], query->name) == 0;
		if (!found)
			fail_msg("%s: is prepared by no connection", query->name);
	}
	sqlite3_close(db);
}

static void test_unnamed_parameter_is_refused(void **state)
{
	struct fixture *f = *state;
	struct connection connection;
	struct statement statement;

	assert_int_equal(connection_open(&connection, f->path, SQLITE_OPEN_READONLY, false), 0);
	assert_int_equal(statement_prepare(&connection, "odd", "SELECT :nonsense", &statement),
			 -ERR_INTERNAL);
	assert_int_equal(statement_prepare(&connection, "odd", "SELECT nonsense", &statement),
			 -ERR_STORE_IO);
	connection_close(&connection);
}

/* ------------------------------------------------------------------ views -------------- */

#define STORE_COLUMN(name) #name,
static const char *const order_columns[] = {
#include "orderhook/tbl/order_column.def"
};
static const char *const event_columns[] = {
#include "orderhook/tbl/event_column.def"
	"body",
};
#undef STORE_COLUMN

static void expect_columns(struct fixture *f, const char *view, const char *const *names, int n)
{
	char query[64];
	sqlite3 *db = open_sql(f, SQLITE_OPEN_READONLY);
	sqlite3_stmt *statement = NULL;

	snprintf(query, sizeof(query), "SELECT * FROM %s", view);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_column_count(statement), n);
	for (int i = 0; i < n; i++)
		assert_string_equal(sqlite3_column_name(statement, i), names[i]);
	sqlite3_finalize(statement);
	sqlite3_close(db);
}

static void test_views_have_the_contracts_columns(void **state)
{
	expect_columns(*state, "order_state", order_columns, ORDER_COL_MAX);
	expect_columns(*state, "order_log", event_columns, EVENT_COL_MAX + 1);
}

static void test_rows_of_the_reader_have_the_views_columns(void **state)
{
	struct fixture *f = *state;
	sqlite3_stmt *row;

	open_reader(f);
	row = f->reader->statements[R_order_row].handle;
	assert_int_equal(sqlite3_column_count(row), ORDER_COL_MAX);
	for (int i = 0; i < ORDER_COL_MAX; i++)
		assert_string_equal(sqlite3_column_name(row, i), order_columns[i]);
	row = f->reader->statements[R_event_row].handle;
	assert_int_equal(sqlite3_column_count(row), EVENT_COL_MAX);
	for (int i = 0; i < EVENT_COL_MAX; i++)
		assert_string_equal(sqlite3_column_name(row, i), event_columns[i]);
}

static void test_tables_are_strict(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(sql(f, "SELECT name FROM pragma_table_list WHERE schema = 'main'"
				   " AND type = 'table' AND NOT strict"
				   " AND name NOT LIKE 'sqlite%'"),
			    "");
	/* Whatever else is added, most events are in one index: each costs a fifth of the writes.
	 */
	assert_string_equal(sql(f, "SELECT name FROM pragma_index_list('event') WHERE NOT partial"),
			    "event_by_order");
}

static void test_words_of_the_log_are_those_of_the_tables(void **state)
{
	struct fixture *f = *state;
	char update[128];

	take(f, "A", 20, 1, 0, "");
	for (int i = 0; i < VERDICT_MAX; i++) {
		snprintf(update, sizeof(update), "UPDATE event SET verdict = %d", i);
		sql_write(f, update);
		assert_string_equal(sql(f, "SELECT verdict FROM order_log"), verdict_key(i));
	}
	for (int i = 0; i < EVENT_AUTH_MAX; i++) {
		snprintf(update, sizeof(update), "UPDATE event SET auth = %d", i);
		sql_write(f, update);
		assert_string_equal(sql(f, "SELECT auth FROM order_log"), event_auth_key(i));
	}
	for (int i = 0; i < EVENT_SOURCE_MAX; i++) {
		snprintf(update, sizeof(update), "UPDATE event SET source = %d", i);
		sql_write(f, update);
		assert_string_equal(sql(f, "SELECT source FROM order_log"), event_source_key(i));
	}
	for (int i = 0; i < EVENT_OCCURRED_FROM_MAX; i++) {
		snprintf(update, sizeof(update), "UPDATE event SET occurred_from = %d", i);
		sql_write(f, update);
		assert_string_equal(sql(f, "SELECT occurred_from FROM order_log"),
				    event_occurred_from_key(i));
	}
}

static void test_status_text_is_the_state_tables(void **state)
{
	static const int statuses[] = {10, 20, 30, 40, 50, 60, 70};
	struct fixture *f = *state;

	take(f, "A", 20, 1, 0, "");
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		for (int sub = EVENT_SUB_ABSENT; sub < 7; sub++) {
			const char *text = order_status_zh(statuses[i], sub);
			char update[128];
			snprintf(update, sizeof(update),
				 "UPDATE orders SET status = %d, sub_status = NULLIF(%d, -1)",
				 statuses[i], sub);
			sql_write(f, update);
			assert_string_equal(sql(f, "SELECT status_text FROM order_state"),
					    text ? text : "NULL");
		}
	}
}

static void test_times_are_rfc_3339_to_the_millisecond(void **state)
{
	struct fixture *f = *state;
	int64_t ms = 951782399999; /* 2000-02-28 */

	take(f, "A", 20, 1, 0, "");
	for (int i = 0; i < 200; i++, ms += INT64_C(86399999 * 51) + i * 7) {
		char expected[CLOCK_RFC3339_BYTES];
		char update[128];
		clock_format_rfc3339(ms, expected);
		snprintf(update, sizeof(update),
			 "UPDATE event SET occurred_ms = %lld; UPDATE orders SET since_ms = %lld",
			 (long long)ms, (long long)ms);
		sql_write(f, update);
		assert_string_equal(sql(f, "SELECT occurred FROM order_log"), expected);
		assert_string_equal(sql(f, "SELECT since FROM order_state"), expected);
	}
}

/* ------------------------------------------------------------------ plans -------------- */

static const char *plan_of(const struct fixture *f, const char *statement)
{
	static char text[8192];
	char query[8192];
	sqlite3 *db = open_sql(f, SQLITE_OPEN_READONLY);
	sqlite3_stmt *plan = NULL;
	size_t len = 0;

	snprintf(query, sizeof(query), "EXPLAIN QUERY PLAN %s", statement);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &plan, NULL), SQLITE_OK);
	text[0] = '\0';
	while (sqlite3_step(plan) == SQLITE_ROW) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n",
					(const char *)sqlite3_column_text(plan, 3));
		assert_true(len < sizeof(text));
	}
	sqlite3_finalize(plan);
	sqlite3_close(db);
	return text;
}

static const char *query_named(const char *name)
{
	for (const struct sql_query *query = sql_queries; query->text; query++) {
		if (strcmp(query->name, name) == 0)
			return query->text;
	}
	fail_msg("no query %s", name);
	return NULL;
}

static void test_no_statement_scans_a_table_that_grows(void **state)
{
	static const char *const growing[] = {
		"SCAN e\n",     "SCAN e ",  "SCAN event\n", "SCAN event ", "SCAN orders\n",
		"SCAN orders ", "SCAN o\n", "SCAN o ",      "SCAN other",  "USE TEMP B-TREE"};
	struct fixture *f = *state;

	for (const struct sql_query *query = sql_queries; query->text; query++) {
		const char *plan = plan_of(f, query->text);
		/* The newest one from the end is a scan in name only; verify and apply count
		 * everything; erase reads the few events that are no order's. */
		if (strcmp(query->name, "last_order") == 0 ||
		    strcmp(query->name, "newest_event") == 0 ||
		    strcmp(query->name, "newest_other") == 0 ||
		    strcmp(query->name, "count_statuses") == 0 ||
		    strcmp(query->name, "count_statuses_anew") == 0 ||
		    strcmp(query->name, "unerased_others") == 0)
			continue;
		for (size_t i = 0; i < sizeof(growing) / sizeof(growing[0]); i++) {
			if (strcmp(query->name, "orders_named") != 0 && strstr(plan, growing[i]))
				fail_msg("%s: %s", query->name, plan);
		}
	}
}

static void expect_plan(struct fixture *f, const char *statement, const char *step)
{
	const char *plan = plan_of(f, statement);

	if (!strstr(plan, step))
		fail_msg("'%s' is not in the plan of %s:\n%s", step, statement, plan);
}

static void test_lookups_are_index_seeks(void **state)
{
	struct fixture *f = *state;

	expect_plan(f, query_named("find_order"),
		    "SEARCH orders USING INDEX orders_by_iss (iss_order_no=? AND endpoint_id=?)");
	expect_plan(f, query_named("history"),
		    "SEARCH event USING INDEX event_by_order (order_id=?)");
	expect_plan(f, query_named("events_of_order"),
		    "SEARCH e USING INDEX event_by_order (order_id=?)");
	expect_plan(f, query_named("events_of_order"),
		    "SEARCH orders USING COVERING INDEX orders_by_iss (iss_order_no=?)");
	expect_plan(f, query_named("events_of_order"),
		    "SEARCH orders USING COVERING INDEX orders_by_order_no (order_no=?)");
	expect_plan(f, query_named("orders_named"),
		    "SEARCH orders USING INTEGER PRIMARY KEY (rowid=?)");
	expect_plan(f, query_named("events_down"),
		    "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
	expect_plan(f, query_named("event_row"), "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)");
	expect_plan(f, query_named("order_row"),
		    "SEARCH o USING INDEX orders_by_iss (iss_order_no=?)");
}

/* What docs/store.md tells operators to type. */
static void test_views_are_read_by_their_indexes(void **state)
{
	struct fixture *f = *state;

	expect_plan(f, "SELECT * FROM order_state WHERE iss_order_no = 'x'",
		    "SEARCH o USING INDEX orders_by_iss (iss_order_no=?)");
	expect_plan(f, "SELECT * FROM order_state WHERE order_no = 'x'",
		    "SEARCH o USING INDEX orders_by_order_no (order_no=?)");
	expect_plan(f, "SELECT * FROM order_log WHERE iss_order_no = 'x' ORDER BY occurred",
		    "SEARCH e USING INDEX event_by_order (order_id=?)");
	expect_plan(f, "SELECT * FROM order_log ORDER BY event_id DESC LIMIT 100",
		    "SEARCH o USING INTEGER PRIMARY KEY (rowid=?)");
	assert_null(strstr(plan_of(f, "SELECT * FROM order_log ORDER BY event_id DESC LIMIT 100"),
			   "TEMP B-TREE"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_statement_can_be_explained),
		TEST(test_every_statement_is_one_and_is_prepared_by_somebody),
		TEST(test_unnamed_parameter_is_refused),
		TEST(test_views_have_the_contracts_columns),
		TEST(test_rows_of_the_reader_have_the_views_columns),
		TEST(test_tables_are_strict),
		TEST(test_words_of_the_log_are_those_of_the_tables),
		TEST(test_status_text_is_the_state_tables),
		TEST(test_times_are_rfc_3339_to_the_millisecond),
		TEST(test_no_statement_scans_a_table_that_grows),
		TEST(test_lookups_are_index_seeks),
		TEST(test_views_are_read_by_their_indexes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
