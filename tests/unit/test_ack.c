/*
 * Every condition that decides an acknowledgement, as one table: what a request is and what the
 * store says, against the status of the answer and what was stored and held. From the contract's
 * table; the errors that it sums up as "store failing" are all of the error table.
 */
#include "mhd_fake.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "orderhook/shansong.h"

#define SECRET "test-secret-0123456789"
#define TOKEN "test-token-0123456789"
#define NOW_MS INT64_C(1748595600000)
#define PATH "/open/" TOKEN
#define MAX_BODY 2048

#define HOST "Host: x\n"
#define JSON HOST "Content-Type: application/json\n"
#define FORM HOST "Content-Type: application/x-www-form-urlencoded\n"
#define GOOD "{\"issOrderNo\":\"TDH1\",\"status\":20,\"clientId\":\"c\",\"shopId\":\"s\"}"
#define DEEP "{\"issOrderNo\":\"T\",\"status\":20,\"a\":[[[[[[[[1]]]]]]]]}"
#define HMAC "webhook-id: m\nwebhook-timestamp: 1748595600\nwebhook-signature: v1,x\n"

enum kept {
	NOTHING = 0,
	STORED,
	HELD
};

/* How a row's body is made of its text. */
enum make {
	AS_IT_IS = 0,
	SIGNED,
	ENVELOPE,
	SIGNED_LONG_AGO,
	SIGNED_BY_ANOTHER,
	WITH_65_MEMBERS,
	OVER_LIMIT
};

/* length: "" adds the right Content-Length, NULL none. */
struct request_row {
	const char *what;
	const char *method;
	const char *path;
	const char *headers;
	const char *length;
	const char *body;
	enum make make;
	int status;
	enum kept kept;
};

/* A store that answers as told. */
static struct {
	struct store store;
	int batch_err;
	int item_err;
	enum verdict verdict;
	size_t n_stored;
	size_t n_held;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool blocked; /* guarded by lock: batches wait */
	bool inside;  /* guarded by lock: one waits */
} disk;

static struct endpoint_set *endpoints;
static struct clock now;

static int disk_write(struct store *store, struct store_item **items, size_t n)
{
	(void)store;
	pthread_mutex_lock(&disk.lock);
	disk.inside = true;
	pthread_cond_broadcast(&disk.changed);
	while (disk.blocked)
		pthread_cond_wait(&disk.changed, &disk.lock);
	disk.inside = false;
	pthread_mutex_unlock(&disk.lock);
	/* Where the batch failed its items look committed: that must not be believed. */
	for (size_t i = 0; i < n; i++) {
		items[i]->result = (struct store_result){.err = disk.item_err,
							 .event_id = disk.item_err ? 0 : 7,
							 .verdict = disk.verdict};
		disk.n_stored += !disk.batch_err && !disk.item_err;
	}
	return disk.batch_err;
}

static int disk_fine(struct store *store)
{
	(void)store;
	return 0;
}

static void disk_close(struct store *store)
{
	(void)store;
}

static void disk_hold(struct store *store, const struct store_hold *holds, size_t n)
{
	(void)store;
	(void)holds;
	disk.n_held += n;
}

static const struct store_ops disk_ops = {.write_batch = disk_write,
					  .check_file = disk_fine,
					  .touch = disk_fine,
					  .checkpoint = disk_fine,
					  .close = disk_close,
					  .hold = disk_hold};

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 16);
	BUF_AUTO struct buf problem = BUF_INIT(1 << 12);
	static const char *const endpoint[][2] = {{"open", "if-present"}, {"strict", "required"}};
	char dir[] = "/tmp/test-ack-XXXXXX";
	struct config *config;
	char secret[64];
	char token[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	umask(077);
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	snprintf(token, sizeof(token), "%s/token", dir);
	write_file(secret, SECRET);
	write_file(token, TOKEN);
	for (int i = 0; i < 2; i++)
		buf_addf(&text,
			 "[endpoint %s]\nplatform = shansong\npath = /%s\nclient_id = c\n"
			 "shop_ids = s\nsignature = %s\nsecrets = file:%s\ntoken = file:%s\n",
			 endpoint[i][0], endpoint[i][0], endpoint[i][1], secret, token);
	if (config_parse("test.conf", buf_slice(&text), &config, &problem) ||
	    endpoint_set_new(config, &endpoints, &problem))
		fail_msg("%s", problem.data);
	config_free(config);
	unlink(secret);
	unlink(token);
	rmdir(dir);
	now = clock_fixed(NOW_MS, 1);
	log_set_level(LOG_EMERG);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	endpoint_set_unref(endpoints);
	return 0;
}

static void start(struct http_server *server)
{
	struct writer_options options = {.store = &disk.store,
					 .clock = &now,
					 .batch_limit = 4,
					 .queue_limit = 1,
					 .commit_timeout_us = 1000};

	memset(&disk, 0, sizeof(disk));
	disk.store.ops = &disk_ops;
	disk.verdict = VERDICT_APPLIED;
	pthread_mutex_init(&disk.lock, NULL);
	pthread_cond_init(&disk.changed, NULL);
	memset(server, 0, sizeof(*server));
	pthread_mutex_init(&server->lock, NULL);
	write_job_pool_init(&server->jobs);
	fake_start(server);
	atomic_init(&server->max_body_bytes, MAX_BODY);
	server->options.clock = &now;
	server->options.endpoints = endpoints;
	server->replies = http_replies_new(platform_shansong());
	assert_int_equal(writer_new(&options, &server->options.writer), 0);
}

static void block(bool blocked)
{
	pthread_mutex_lock(&disk.lock);
	disk.blocked = blocked;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

static void finish(struct http_server *server)
{
	block(false);
	writer_free(server->options.writer);
	fake_stop();
	http_replies_free(server->replies);
	write_job_pool_release(&server->jobs);
	pthread_mutex_destroy(&server->lock);
	pthread_cond_destroy(&disk.changed);
	pthread_mutex_destroy(&disk.lock);
}

/* ------------------------------------------------------------------ one request -------- */

static void make_body(const struct request_row *row, struct buf *ret)
{
	const char *secret = row->make == SIGNED_BY_ANOTHER ? "another-secret-012345" : SECRET;
	int64_t at_ms = row->make == SIGNED_LONG_AGO ? NOW_MS - 11 * 60 * 1000 : NOW_MS;

	switch (row->make) {
	case AS_IT_IS:
		buf_add_string(ret, row->body);
		break;
	case WITH_65_MEMBERS:
		buf_add_string(ret, "{\"issOrderNo\":\"T\",\"status\":20");
		for (int i = 0; i < 63; i++)
			buf_addf(ret, ",\"k%d\":1", i);
		buf_add_char(ret, '}');
		break;
	case OVER_LIMIT:
		while (ret->len <= MAX_BODY)
			buf_add_char(ret, ' ');
		break;
	default:
		assert_int_equal(
			shansong_sign(slice_of(secret), slice_of(row->body),
				      row->make == ENVELOPE ? SHANSONG_ENVELOPE : SHANSONG_FLAT,
				      at_ms, ret),
			0);
	}
}

static void deliver(struct http_server *server, const struct request_row *row)
{
	BUF_AUTO struct buf headers = BUF_INIT(1 << 17);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct slice none = {NULL, 0};

	make_body(row, &body);
	buf_add_string(&headers, row->headers);
	if (row->length && row->length[0])
		buf_add_string(&headers, row->length);
	else if (row->length)
		buf_addf(&headers, "Content-Length: %zu\n", body.len);
	fake_begin(server, headers.data);
	fake_call(row->method, row->path, "HTTP/1.1", none);
	if (!fake.answers && body.len)
		fake_call(row->method, row->path, "HTTP/1.1", buf_slice(&body));
	if (!fake.answers)
		fake_call(row->method, row->path, "HTTP/1.1", none);
	if (!fake.answers && !disk.blocked) {
		fake_wait_resumed();
		fake_call(row->method, row->path, "HTTP/1.1", none);
	}
}

/* Exactly one answer, of this status in head and body; only a 200 leaves the connection open. */
static void expect(const char *what, int status)
{
	char text[32];

	snprintf(text, sizeof(text), "{\"status\":%d,", status);
	if (fake.answers != 1 || fake.status != (unsigned)status ||
	    strncmp(fake.body, text, strlen(text)) != 0)
		fail_msg("%s: %d answers, status %u, body %s; expected %d", what, fake.answers,
			 fake.status, fake.body, status);
	assert_int_equal(fake.closes, status != 200);
	assert_int_equal(fake.retry_after, status == 503);
	assert_int_equal(fake.allow, status == 405);
}

static void expect_kept(const char *what, enum kept kept)
{
	if (disk.n_stored != (kept == STORED) || disk.n_held != (kept == HELD))
		fail_msg("%s: %zu stored and %zu held", what, disk.n_stored, disk.n_held);
}

static const struct request_row good = {"good", "POST",   PATH, JSON,  "",
					GOOD,   AS_IT_IS, 200,  STORED};

/* ------------------------------------------------------------------ the table ---------- */

static const struct request_row rows[] = {
	/* stored */
	{"by token", "POST", PATH, JSON, "", GOOD, AS_IT_IS, 200, STORED},
	{"signed", "POST", PATH, JSON, "", GOOD, SIGNED, 200, STORED},
	{"envelope", "POST", PATH, JSON, "", GOOD, ENVELOPE, 200, STORED},
	{"signed where it must", "POST", "/strict/" TOKEN, JSON, "", GOOD, SIGNED, 200, STORED},
	{"old signature of a duplicate", "POST", PATH, JSON, "", GOOD, SIGNED_LONG_AGO, 200,
	 STORED},
	{"form", "POST", PATH, FORM, "", "issOrderNo=T&status=20", AS_IT_IS, 200, STORED},
	{"other event", "POST", PATH, JSON, "", "{\"callbackEvent\":\"X\"}", AS_IT_IS, 200, STORED},
	{"optional member outside its grammar", "POST", PATH, JSON, "",
	 "{\"issOrderNo\":\"T\",\"status\":20,\"statusChangeTime\":\"soon\"}", AS_IT_IS, 200,
	 STORED},
	{"HMAC headers without a key for them", "POST", PATH, JSON HMAC, "", GOOD, AS_IT_IS, 200,
	 STORED},
	/* framing */
	{"chunks", "POST", PATH, JSON "Transfer-Encoding: chunked\n", NULL, GOOD, AS_IT_IS, 400,
	 NOTHING},
	{"two lengths", "POST", PATH, JSON "Content-Length: 5\n", "", GOOD, AS_IT_IS, 400, NOTHING},
	{"a length that is none", "POST", PATH, JSON, "Content-Length: +5\n", GOOD, AS_IT_IS, 400,
	 NOTHING},
	{"an empty length", "POST", PATH, JSON, "Content-Length: \n", GOOD, AS_IT_IS, 400, NOTHING},
	{"two hosts", "POST", PATH, JSON HOST, "", GOOD, AS_IT_IS, 400, NOTHING},
	{"no host", "POST", PATH, "Content-Type: application/json\n", "", GOOD, AS_IT_IS, 400,
	 NOTHING},
	{"two types", "POST", PATH, JSON "Content-Type: application/json\n", "", GOOD, AS_IT_IS,
	 400, NOTHING},
	{"a control character in a header", "POST", PATH, JSON "X: a\001b\n", "", GOOD, AS_IT_IS,
	 400, NOTHING},
	{"a blank in a header's name", "POST", PATH, JSON "X Y: a\n", "", GOOD, AS_IT_IS, 400,
	 NOTHING},
	{"a body shorter than its length", "POST", PATH, JSON, "Content-Length: 1999\n", GOOD,
	 AS_IT_IS, 400, NOTHING},
	/* head */
	{"another path", "POST", "/elsewhere", JSON, "", GOOD, AS_IT_IS, 404, NOTHING},
	{"a wrong token", "POST", "/open/test-token-0123456780", JSON, "", GOOD, AS_IT_IS, 404,
	 NOTHING},
	{"no token", "POST", "/open", JSON, "", GOOD, AS_IT_IS, 404, NOTHING},
	{"GET", "GET", PATH, JSON, NULL, "", AS_IT_IS, 405, NOTHING},
	{"no length", "POST", PATH, JSON, NULL, GOOD, AS_IT_IS, 411, NOTHING},
	{"a body over max_body", "POST", PATH, JSON, "", "", OVER_LIMIT, 413, NOTHING},
	{"no type", "POST", PATH, HOST, "", GOOD, AS_IT_IS, 415, NOTHING},
	{"another type", "POST", PATH, HOST "Content-Type: text/plain\n", "", GOOD, AS_IT_IS, 415,
	 NOTHING},
	{"another charset", "POST", PATH, HOST "Content-Type: application/json; charset=gbk\n", "",
	 GOOD, AS_IT_IS, 415, NOTHING},
	{"an encoding", "POST", PATH, JSON "Content-Encoding: gzip\n", "", GOOD, AS_IT_IS, 415,
	 NOTHING},
	/* form of the body */
	{"no JSON", "POST", PATH, JSON, "", "hello", AS_IT_IS, 400, HELD},
	{"no UTF-8", "POST", PATH, JSON, "", "{\"a\":\"\xff\"}", AS_IT_IS, 400, HELD},
	{"half a pair", "POST", PATH, JSON, "", "{\"a\":\"\\ud83d\"}", AS_IT_IS, 400, HELD},
	{"NUL", "POST", PATH, JSON, "", "{\"a\":\"\\u0000\"}", AS_IT_IS, 400, HELD},
	{"a key twice", "POST", PATH, JSON, "", "{\"a\":1,\"A\":2}", AS_IT_IS, 400, HELD},
	{"too deep", "POST", PATH, JSON, "", DEEP, AS_IT_IS, 400, HELD},
	{"too many members", "POST", PATH, JSON, "", "", WITH_65_MEMBERS, 400, HELD},
	{"no order", "POST", PATH, JSON, "", "{\"status\":20}", AS_IT_IS, 400, HELD},
	{"no status", "POST", PATH, JSON, "", "{\"issOrderNo\":\"T\"}", AS_IT_IS, 400, HELD},
	{"an order that is none", "POST", PATH, JSON, "", "{\"issOrderNo\":\"a b\",\"status\":20}",
	 AS_IT_IS, 400, HELD},
	{"a status that is none", "POST", PATH, JSON, "", "{\"issOrderNo\":\"T\",\"status\":1000}",
	 AS_IT_IS, 400, HELD},
	{"no form", "POST", PATH, FORM, "", "issOrderNo=%zz", AS_IT_IS, 400, HELD},
	{"a form's key twice", "POST", PATH, FORM, "", "a=1&A=2", AS_IT_IS, 400, HELD},
	/* authentication */
	{"a wrong sign", "POST", PATH, JSON, "", GOOD, SIGNED_BY_ANOTHER, 401, HELD},
	{"no sign where it must be", "POST", "/strict/" TOKEN, JSON, "", GOOD, AS_IT_IS, 401, HELD},
	{"a sign that is none", "POST", PATH, JSON, "",
	 "{\"issOrderNo\":\"T\",\"status\":20,\"timestamp\":\"1748595600000\",\"sign\":\"x\"}",
	 AS_IT_IS, 401, HELD},
	{"a sign without its timestamp", "POST", PATH, JSON, "",
	 "{\"issOrderNo\":\"T\",\"status\":20,\"sign\":\"0123456789ABCDEF0123456789ABCDEF\"}",
	 AS_IT_IS, 401, HELD},
	{"a signed member outside the list", "POST", "/strict/" TOKEN, JSON, "",
	 "{\"issOrderNo\":\"T\",\"status\":20,\"timestamp\":\"1748595600000\",\"more\":1,"
	 "\"sign\":\"0123456789ABCDEF0123456789ABCDEF\"}",
	 AS_IT_IS, 401, HELD},
	{"another client", "POST", PATH, JSON, "",
	 "{\"issOrderNo\":\"T\",\"status\":20,\"clientId\":\"d\"}", AS_IT_IS, 401, HELD},
	{"another shop", "POST", PATH, JSON, "",
	 "{\"issOrderNo\":\"T\",\"status\":20,\"shopId\":\"d\"}", AS_IT_IS, 401, HELD},
};

static void test_requests_are_answered_and_kept_as_the_contract_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_server server;
		start(&server);
		deliver(&server, &rows[i]);
		expect(rows[i].what, rows[i].status);
		fake_end();
		finish(&server);
		expect_kept(rows[i].what, rows[i].kept);
	}
}

/* Each has the faults of those behind it. */
static void test_refusals_are_decided_in_the_contracts_order(void **state)
{
	const char *const wrong = "Content-Type: text/plain\n";
	const struct request_row faults[] = {
		{"framing", "GET", "/x", wrong, NULL, "x", AS_IT_IS, 400, NOTHING},
		{"path", "GET", "/x", HOST "Content-Type: text/plain\n", NULL, "x", AS_IT_IS, 404,
		 NOTHING},
		{"method", "GET", PATH, HOST "Content-Type: text/plain\n", NULL, "x", AS_IT_IS, 405,
		 NOTHING},
		{"length", "POST", PATH, HOST "Content-Type: text/plain\n", NULL, "x", AS_IT_IS,
		 411, NOTHING},
		{"size", "POST", PATH, HOST "Content-Type: text/plain\n", "", "", OVER_LIMIT, 413,
		 NOTHING},
		{"type", "POST", PATH, HOST "Content-Type: text/plain\n", "", "x", AS_IT_IS, 415,
		 NOTHING},
		{"drain", "POST", PATH, JSON, "", "x", AS_IT_IS, 503, NOTHING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct http_server server;
		start(&server);
		atomic_store(&server.draining, true);
		deliver(&server, &faults[i]);
		expect(faults[i].what, faults[i].status);
		fake_end();
		finish(&server);
		expect_kept(faults[i].what, NOTHING);
	}
}

static void test_every_verdict_is_acknowledged(void **state)
{
	(void)state;
	for (int verdict = 0; verdict < VERDICT_MAX; verdict++) {
		struct http_server server;
		start(&server);
		disk.verdict = (enum verdict)verdict;
		deliver(&server, &good);
		expect(verdict_key((enum verdict)verdict), 200);
		fake_end();
		finish(&server);
		expect_kept(verdict_key((enum verdict)verdict), STORED);
	}
}

/* Whatever the store says that is not "committed", of the batch or of the one callback. */
static void test_no_error_of_the_store_is_acknowledged(void **state)
{
	(void)state;
	for (int err = 1; err < 2 * ERR_MAX; err++) {
		int of = err % ERR_MAX;
		struct http_server server;
		int status = err_http_status(of);
		if (of == 0)
			continue;
		start(&server);
		*(err < ERR_MAX ? &disk.batch_err : &disk.item_err) = -of;
		deliver(&server, &good);
		expect(err_key(of), status ? status : 500);
		assert_int_not_equal(fake.status, 200);
		fake_end();
		finish(&server);
		assert_int_equal(disk.n_stored, 0);
	}
}

static void test_stale_signature_of_no_duplicate_is_refused_and_held(void **state)
{
	const struct request_row stale = {"stale", "POST",          PATH, JSON, "",
					  GOOD,    SIGNED_LONG_AGO, 401,  HELD};
	struct http_server server;

	(void)state;
	start(&server);
	disk.item_err = -ERR_TIMESTAMP_STALE;
	deliver(&server, &stale);
	expect(stale.what, stale.status);
	fake_end();
	finish(&server);
	expect_kept(stale.what, HELD);
}

static void wait_inside(void)
{
	pthread_mutex_lock(&disk.lock);
	while (!disk.inside)
		pthread_cond_wait(&disk.changed, &disk.lock);
	pthread_mutex_unlock(&disk.lock);
}

static void test_commit_that_takes_too_long_is_no_ack_though_it_is_stored(void **state)
{
	struct http_server server;

	(void)state;
	start(&server);
	block(true);
	deliver(&server, &good);
	assert_int_equal(fake.answers, 0);
	wait_inside();
	now.test_elapsed_us += 2000;
	writer_expire(server.options.writer);
	now.test_elapsed_us = 1;
	fake_call("POST", PATH, "HTTP/1.1", (struct slice){NULL, 0});
	expect("commit timeout", 503);
	fake_end();
	finish(&server);
	expect_kept("commit timeout", STORED);
}

static void test_full_queue_is_refused_at_the_head(void **state)
{
	struct http_server server;

	(void)state;
	start(&server);
	block(true);
	/* One whose caller has gone: the writer frees it. */
	deliver(&server, &good);
	wait_inside();
	now.test_elapsed_us += 2000;
	writer_expire(server.options.writer);
	now.test_elapsed_us = 1;
	fake_end();
	deliver(&server, &good);
	expect("full", 503);
	fake_end();
	finish(&server);
	expect_kept("full", STORED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_answered_and_kept_as_the_contract_says),
		cmocka_unit_test(test_refusals_are_decided_in_the_contracts_order),
		cmocka_unit_test(test_every_verdict_is_acknowledged),
		cmocka_unit_test(test_no_error_of_the_store_is_acknowledged),
		cmocka_unit_test(test_stale_signature_of_no_duplicate_is_refused_and_held),
		cmocka_unit_test(test_commit_that_takes_too_long_is_no_ack_though_it_is_stored),
		cmocka_unit_test(test_full_queue_is_refused_at_the_head),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
