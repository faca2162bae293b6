/*
 * Every condition that decides an acknowledgement, as one table: what a request is and what the
 * store says, against the status of the answer, what was stored or held, and why. From the
 * contract's table; the errors that it sums up as "store failing" are all of the error table.
 */
#include "ack_request.h"

#define STRICT "/strict/" TOKEN
#define OFF "/off/" TOKEN
#define RELAY "/relay/" TOKEN
#define BARE "/bare"
#define ANY "/any"

#define TYPE(type) HOST "Content-Type: " type "\n"
#define CHUNKS "Transfer-Encoding: chunked\n"
#define NO_LENGTH "" /* instead of the right Content-Length */

#define WITH(members) "{\"issOrderNo\":\"TDH1\",\"status\":20," members "}"
#define ORDER(number) "{\"issOrderNo\":" number ",\"status\":20}"
#define STATUS(status) "{\"issOrderNo\":\"TDH1\",\"status\":" status "}"
#define SIGN_OF_NOBODY "0123456789ABCDEF0123456789ABCDEF"

/* Members of a signed body, "key=value;…", the sign not among them. */
#define FLAT(time) "clientId=c;issOrderNo=TDH1;shopId=s;status=20;timestamp=" time
#define MORE(members) FLAT(NOW_TEXT) ";" members
#define DATA(inner) "clientId=c;shopId=s;timestamp=" NOW_TEXT ";data=" inner
#define OUTER(ids, inner) ids "timestamp=" NOW_TEXT ";data=" inner
#define TEN_MINUTES_AGO "1748595000000"
#define LONGER_AGO "1748594999999"
#define TEN_MINUTES_AHEAD "1748596200000"
#define FURTHER_AHEAD "1748596200001"

static const struct row good = {"good", 200, STORED, "token"};

/* ------------------------------------------------------------------ the table ---------- */

static const struct row rows[] = {
	/* by the URL's token */
	{"by token", 200, STORED, "token"},
	{"form", 200, STORED, "token", "issOrderNo=T&status=20", .headers = FORM},
	{"other event", 200, STORED, "token", "{\"callbackEvent\":\"X\"}"},
	{"the order's own event", 200, STORED, "token",
	 WITH("\"callbackEvent\":\"ORDER_STATUS_CALLBACK\"")},
	{"the order's own event without one", 400, HELD, "member-missing",
	 "{\"callbackEvent\":\"ORDER_STATUS_CALLBACK\"}"},
	{"optional member outside its grammar", 200, STORED, "token",
	 WITH("\"statusChangeTime\":\"soon\"")},
	{"the second of the shops, as a number", 200, STORED, "token", WITH("\"shopId\":42")},
	{"a sign that is null", 200, STORED, "token", WITH("\"sign\":null")},
	/* signature = off */
	{"off: unsigned", 200, STORED, "token", .path = OFF},
	{"off: a wrong sign", 200, STORED, "token", FLAT(NOW_TEXT), SIGNED_BY_ANOTHER, OFF},
	{"off: a right sign is not looked at", 200, STORED, "token", FLAT(NOW_TEXT), SIGNED, OFF},
	{"off: old signature", 200, STORED, "token", FLAT(LONGER_AGO), SIGNED, OFF},
	{"off: unsigned envelope", 200, STORED, "token", DATA(GOOD), UNSIGNED, OFF},
	{"off: HMAC is not looked at", 200, STORED, "token", .path = OFF, .hmac = HMAC},
	{"off: a wrong HMAC", 200, STORED, "token", .path = OFF, .hmac = HMAC_BY_ANOTHER},
	{"off: any shop", 200, STORED, "token", WITH("\"shopId\":\"d\""), .path = OFF},
	{"off: another client", 401, HELD, "client-id", WITH("\"clientId\":\"d\""), .path = OFF},
	{"off: another client in data", 401, HELD, "client-id", DATA(WITH("\"clientId\":\"d\"")),
	 UNSIGNED, OFF},
	/* signed by members */
	{"signed", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED},
	{"signed, by form", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED, .headers = FORM},
	{"signed by the second secret", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED_BY_SECOND},
	{"signed where it must be", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED, STRICT},
	{"signed, without a token", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED, BARE},
	{"signed in seconds", 200, STORED, "signed", FLAT("1748595600"), SIGNED},
	{"signed ten minutes ago", 200, STORED, "signed", FLAT(TEN_MINUTES_AGO), SIGNED},
	{"signed ten minutes ahead", 200, STORED, "signed", FLAT(TEN_MINUTES_AHEAD), SIGNED},
	{"signed longer ago", 401, HELD, "timestamp-stale", FLAT(LONGER_AGO), SIGNED},
	{"signed further ahead", 401, HELD, "timestamp-stale", FLAT(FURTHER_AHEAD), SIGNED},
	{"old signature of a duplicate", 200, STORED, "signed", FLAT(LONGER_AGO), SIGNED,
	 .duplicate = true},
	{"early signature of a duplicate", 200, STORED, "signed", FLAT(FURTHER_AHEAD), SIGNED,
	 .duplicate = true},
	{"old and wrong sign of a duplicate", 401, HELD, "sign-wrong", FLAT(LONGER_AGO),
	 SIGNED_BY_ANOTHER, .duplicate = true},
	{"a wrong sign", 401, HELD, "sign-wrong", FLAT(NOW_TEXT), SIGNED_BY_ANOTHER},
	{"a sign by the HMAC's key", 401, HELD, "sign-wrong", FLAT(NOW_TEXT), SIGNED_BY_WEBHOOK_KEY,
	 RELAY},
	{"a sign in lower case", 401, HELD, "sign-form", FLAT(NOW_TEXT), SIGNED_IN_LOWER_CASE},
	{"a sign that is none", 401, HELD, "sign-form", MORE("sign=x"), UNSIGNED},
	{"an empty sign", 401, HELD, "sign-form", MORE("sign="), UNSIGNED},
	{"a sign that is a number", 401, HELD, "sign-form",
	 WITH("\"timestamp\":" NOW_TEXT ",\"sign\":12345678901234567890123456789012")},
	{"no sign where it must be", 401, HELD, "sign-missing", .path = STRICT},
	{"no sign and no token", 401, HELD_BY_IDS, "sign-missing", .path = BARE},
	{"a sign without its timestamp", 401, HELD, "sign-timestamp",
	 WITH("\"sign\":\"" SIGN_OF_NOBODY "\"")},
	{"signed with a time that is none", 401, HELD, "sign-timestamp", FLAT("174859560000"),
	 SIGNED},
	{"a signed time outside its grammar", 401, HELD, "sign-grammar",
	 MORE("statusChangeTime=soon"), SIGNED},
	{"a signed text that holds a name", 401, HELD, "sign-grammar",
	 MORE("abortReason=statusDesc"), SIGNED},
	{"a member outside the list, by token", 200, STORED, "token", MORE("more=1"), SIGNED},
	{"a member outside the list, where a sign must be", 401, HELD, "sign-member",
	 MORE("more=1"), SIGNED, STRICT},
	/* envelopes */
	{"envelope", 200, STORED, "signed", DATA(GOOD), SIGNED},
	{"envelope, by form", 200, STORED, "signed", DATA(GOOD), SIGNED, .headers = FORM},
	{"envelope where a sign must be", 200, STORED, "signed", DATA(GOOD), SIGNED, BARE},
	{"envelope with other members in data", 200, STORED, "signed", DATA(WITH("\"more\":1")),
	 SIGNED, STRICT},
	{"envelope of a service provider", 200, STORED, "signed",
	 OUTER("accessToken=a;clientId=c;", GOOD), SIGNED},
	{"old envelope", 401, HELD, "timestamp-stale",
	 "clientId=c;shopId=s;timestamp=" LONGER_AGO ";data=" GOOD, SIGNED},
	{"old envelope of a duplicate", 200, STORED, "signed",
	 "clientId=c;shopId=s;timestamp=" LONGER_AGO ";data=" GOOD, SIGNED, .duplicate = true},
	{"unsigned envelope", 401, HELD, "sign-missing", DATA(GOOD), UNSIGNED},
	{"a wrong sign of an envelope", 401, HELD, "sign-wrong", DATA(GOOD), SIGNED_BY_ANOTHER},
	{"another client in data", 401, HELD, "client-id", DATA(WITH("\"clientId\":\"d\"")),
	 SIGNED},
	{"another shop in data", 401, HELD, "shop-id", DATA(WITH("\"shopId\":\"d\"")), SIGNED},
	{"another client beside data", 401, HELD, "client-id", OUTER("clientId=d;shopId=s;", GOOD),
	 SIGNED},
	{"another shop beside data", 401, HELD, "shop-id", OUTER("clientId=c;shopId=d;", GOOD),
	 SIGNED},
	{"no client beside data", 401, HELD, "client-id", OUTER("shopId=s;", GOOD), SIGNED},
	{"no shop beside data", 401, HELD, "shop-id", OUTER("clientId=c;", GOOD), SIGNED},
	{"a listed member beside data", 401, HELD, "sign-member", "status=60;" DATA(GOOD), SIGNED},
	{"a foreign member beside data", 401, HELD, "sign-member", "more=1;" DATA(GOOD), SIGNED},
	{"data that is no string", 401, HELD, "sign-grammar",
	 "{\"clientId\":\"c\",\"shopId\":\"s\",\"data\":" GOOD "}", .hmac = HMAC, .path = RELAY},
	{"data that is no JSON", 400, HELD, "json-syntax", DATA("hello"), SIGNED},
	{"data that is empty", 400, HELD, "json-syntax", DATA(""), SIGNED},
	{"data without an order", 400, HELD, "member-missing", DATA("{\"status\":20}"), SIGNED},
	/* webhook HMAC */
	{"HMAC", 200, STORED, "signed", .path = RELAY, .hmac = HMAC},
	{"HMAC where a sign must be", 200, STORED, "signed", .path = BARE, .hmac = HMAC},
	{"HMAC among others", 200, STORED, "signed", .path = BARE, .hmac = HMAC_AMONG_OTHERS},
	{"HMAC of members outside the list", 200, STORED, "signed", WITH("\"more\":1"),
	 .path = BARE, .hmac = HMAC},
	{"HMAC of a form", 200, STORED, "signed", "issOrderNo=T&status=20", .path = BARE,
	 .headers = FORM, .hmac = HMAC},
	{"HMAC of an unsigned envelope", 200, STORED, "signed", DATA(GOOD), UNSIGNED, BARE,
	 .hmac = HMAC},
	{"HMAC and sign", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED, BARE, .hmac = HMAC},
	{"HMAC and an old sign", 401, HELD_BY_IDS, "timestamp-stale", FLAT(LONGER_AGO), SIGNED,
	 BARE, .hmac = HMAC},
	{"HMAC and a wrong sign", 401, HELD, "sign-wrong", FLAT(NOW_TEXT), SIGNED_BY_ANOTHER, RELAY,
	 .hmac = HMAC},
	{"HMAC and a wrong sign of an envelope", 401, HELD, "sign-wrong", DATA(GOOD),
	 SIGNED_BY_ANOTHER, RELAY, .hmac = HMAC},
	{"a wrong HMAC and a sign", 401, HELD, "hmac-wrong", FLAT(NOW_TEXT), SIGNED, RELAY,
	 .hmac = HMAC_BY_ANOTHER},
	{"HMAC, sign, and a member outside the list", 200, STORED, "token", MORE("more=1"), SIGNED,
	 RELAY, .hmac = HMAC},
	{"the same where a sign must be", 401, HELD_BY_IDS, "sign-member", MORE("more=1"), SIGNED,
	 BARE, .hmac = HMAC},
	{"no HMAC, by token", 200, STORED, "token", .path = RELAY},
	{"no HMAC, but a sign", 200, STORED, "signed", FLAT(NOW_TEXT), SIGNED, RELAY},
	{"a wrong HMAC", 401, HELD, "hmac-wrong", .path = RELAY, .hmac = HMAC_BY_ANOTHER},
	{"HMAC by a secret", 401, HELD, "hmac-wrong", .path = RELAY, .hmac = HMAC_BY_SECRET},
	{"HMAC five minutes ago", 200, STORED, "signed", .path = BARE, .hmac = HMAC,
	 .hmac_age_s = 300},
	{"HMAC longer ago", 401, HELD, "timestamp-stale", .path = RELAY, .hmac = HMAC,
	 .hmac_age_s = 301},
	{"HMAC five minutes ahead", 200, STORED, "signed", .path = BARE, .hmac = HMAC,
	 .hmac_age_s = -300},
	{"HMAC further ahead", 401, HELD, "timestamp-stale", .path = RELAY, .hmac = HMAC,
	 .hmac_age_s = -301},
	{"old HMAC of a duplicate", 401, HELD, "timestamp-stale", .path = RELAY, .hmac = HMAC,
	 .hmac_age_s = 301, .duplicate = true},
	{"webhook-id alone", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON "webhook-id: m\n"},
	{"webhook-timestamp alone", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON "webhook-timestamp: 1748595600\n"},
	{"webhook-signature alone", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON "webhook-signature: v1,x\n"},
	{"HMAC without an id", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON "webhook-timestamp: 1748595600\nwebhook-signature: v1,x\n"},
	{"HMAC without a time", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON "webhook-id: m\nwebhook-signature: v1,x\n"},
	{"HMAC without a signature", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON "webhook-id: m\nwebhook-timestamp: 1748595600\n"},
	{"HMAC with an id that is none", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON WEBHOOK("a.b", "1748595600", "v1,x")},
	{"HMAC with a time of 13 digits", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON WEBHOOK("m", NOW_TEXT, "v1,x")},
	{"HMAC with a time that is none", 401, HELD, "hmac-form", .path = RELAY,
	 .headers = JSON WEBHOOK("m", "+174859560", "v1,x")},
	{"HMAC headers without a key for them", 200, STORED, "token",
	 .headers = JSON WEBHOOK("m", "1748595600", "v1,x")},
	{"HMAC headers without a key, where a sign must be", 401, HELD, "sign-missing",
	 .path = STRICT, .hmac = HMAC},
	{"two webhook-id", 400, NOTHING, "framing", .headers = JSON "webhook-id: m\n",
	 .path = RELAY, .hmac = HMAC},
	{"two webhook-timestamp", 400, NOTHING, "framing",
	 .headers = JSON "webhook-timestamp: 1748595600\n", .path = RELAY, .hmac = HMAC},
	{"two webhook-signature", 400, NOTHING, "framing",
	 .headers = JSON "webhook-signature: v1,x\n", .path = RELAY, .hmac = HMAC},
	/* identity, and which half a refused one is kept in */
	{"another client", 401, HELD, "client-id", WITH("\"clientId\":\"d\"")},
	{"a client that is no text", 401, HELD_STRANGER, "client-id", WITH("\"clientId\":true"),
	 .path = ANY},
	{"another shop", 401, HELD, "shop-id", WITH("\"shopId\":\"d\"")},
	{"a shop that is no text", 401, HELD, "shop-id", WITH("\"shopId\":true")},
	{"another client, signed", 401, HELD, "client-id",
	 "clientId=d;issOrderNo=T;shopId=s;status=20;timestamp=" NOW_TEXT, SIGNED},
	{"ours by both ids", 401, HELD_BY_IDS, "sign-wrong", FLAT(NOW_TEXT), SIGNED_BY_ANOTHER,
	 BARE},
	{"ours by both ids, by form", 401, HELD_BY_IDS, "sign-wrong", FLAT(NOW_TEXT),
	 SIGNED_BY_ANOTHER, BARE, FORM},
	{"ours by one id is nobody's", 401, HELD_STRANGER, "sign-missing",
	 WITH("\"clientId\":\"c\""), .path = BARE},
	{"nor by the other", 401, HELD_STRANGER, "sign-missing", WITH("\"shopId\":\"s\""),
	 .path = BARE},
	{"nor with a foreign one", 401, HELD_STRANGER, "shop-id",
	 WITH("\"clientId\":\"c\",\"shopId\":\"d\""), .path = BARE},
	{"nor where any shop would do", 401, HELD_STRANGER, "sign-missing",
	 WITH("\"clientId\":\"true\",\"shopId\":\"s\""), .path = ANY},
	{"nor without a form", 400, HELD_STRANGER, "json-syntax", "hello", .path = BARE},
	{"ours by token without an id", 400, HELD, "member-missing", "{\"status\":20}"},
	/* framing */
	{"HTTP/1.0 needs no host", 200, STORED, "token",
	 .headers = "Content-Type: application/json\n", .version = "HTTP/1.0"},
	{"HTTP/1.2", 400, NOTHING, "framing", .version = "HTTP/1.2"},
	{"a method that is no word", 400, NOTHING, "framing", .method = "POST\001"},
	{"chunks", 400, NOTHING, "framing", .headers = JSON CHUNKS, .length = NO_LENGTH},
	{"chunks and a length", 400, NOTHING, "framing", .headers = JSON CHUNKS},
	{"chunks on a folded line", 400, NOTHING, "framing",
	 .headers = JSON "Transfer-Encoding: \n chunked\n"},
	{"a length on a folded line", 400, NOTHING, "framing",
	 .headers = JSON "Content-Length: \n 5\n"},
	{"two lengths", 400, NOTHING, "framing", .headers = JSON "Content-Length: 5\n"},
	{"a length that is none", 400, NOTHING, "framing", .path = "/elsewhere",
	 .length = "Content-Length: +5\n"},
	{"an empty length", 400, NOTHING, "framing", .path = "/elsewhere",
	 .length = "Content-Length: \n"},
	{"a length of 2^64", 400, NOTHING, "framing",
	 .length = "Content-Length: 18446744073709551616\n"},
	{"two hosts", 400, NOTHING, "framing", .headers = JSON HOST},
	{"no host", 400, NOTHING, "framing", .headers = "Content-Type: application/json\n"},
	{"two types", 400, NOTHING, "framing", .headers = JSON "Content-Type: application/json\n"},
	{"a tab in a header", 200, STORED, "token", .headers = JSON "X: a\tb\n"},
	{"a control character in a header", 400, NOTHING, "framing", .headers = JSON "X: a\001b\n"},
	{"a header without a name", 400, NOTHING, "framing", .headers = JSON ": a\n"},
	{"DEL in a header", 400, NOTHING, "framing", .headers = JSON "X: a\177b\n"},
	{"a blank in a header's name", 400, NOTHING, "framing", .headers = JSON "X Y: a\n"},
	{"a body shorter than its length", 400, NOTHING, "framing",
	 .length = "Content-Length: 1999\n"},
	{"a body longer than its length", 400, NOTHING, "framing", .length = "Content-Length: 5\n"},
	/* head */
	{"a head of 31K", 200, STORED, "token", .head_bytes = 31 * 1024},
	{"a head over 32K", 431, NOTHING, "head-too-large", .head_bytes = 32 * 1024},
	{"another path", 404, NOTHING, "path", .path = "/elsewhere"},
	{"a wrong token", 404, NOTHING, "path", .path = "/open/test-token-0123456780"},
	{"a longer token", 404, NOTHING, "path", .path = PATH "0"},
	{"no token", 404, NOTHING, "path", .path = "/open"},
	{"a token where there is none", 404, NOTHING, "path", .path = BARE "/" TOKEN},
	{"GET", 405, NOTHING, "method", .method = "GET"},
	{"post", 405, NOTHING, "method", .method = "post"},
	{"no length", 411, NOTHING, "length-required", .length = NO_LENGTH},
	{"a body over max_body", 413, NOTHING, "body-too-large", .make = OVER_LIMIT},
	{"a body over max_body that says less", 413, NOTHING, "body-too-large", .make = OVER_LIMIT,
	 .length = "Content-Length: 5\n"},
	{"a length of 2^64 - 1", 413, NOTHING, "body-too-large",
	 .length = "Content-Length: 18446744073709551615\n"},
	{"UTF-8", 200, STORED, "token", .headers = TYPE("application/json; charset=\"UTF-8\"")},
	{"no type", 415, NOTHING, "media-type", .headers = HOST},
	{"another type", 415, NOTHING, "media-type", .headers = TYPE("text/plain")},
	{"another charset", 415, NOTHING, "media-type",
	 .headers = TYPE("application/json; charset=gbk")},
	{"a parameter of the type", 415, NOTHING, "media-type",
	 .headers = TYPE("application/json; v=1")},
	{"an encoding", 415, NOTHING, "content-encoding",
	 .headers = JSON "Content-Encoding: gzip\n"},
	/* form of the body */
	{"no body", 400, HELD, "json-syntax", ""},
	{"no JSON", 400, HELD, "json-syntax", "hello"},
	{"no UTF-8", 400, HELD, "json-utf8", "{\"a\":\"\xff\"}"},
	{"half a pair", 400, HELD, "json-surrogate", "{\"a\":\"\\ud83d\"}"},
	{"NUL", 400, HELD, "json-nul", "{\"a\":\"\\u0000\"}"},
	{"a key twice", 400, HELD, "json-key-twice", "{\"a\":1,\"A\":2}"},
	{"too deep", 400, HELD, "json-depth", WITH("\"a\":[[[[[[[[1]]]]]]]]")},
	{"too many members", 400, HELD, "json-members", .make = WITH_65_MEMBERS},
	{"no order", 400, HELD, "member-missing", "{\"status\":20}"},
	{"no status", 400, HELD, "member-missing", "{\"issOrderNo\":\"T\"}"},
	{"an order that is none", 400, HELD, "member-grammar", ORDER("\"a b\"")},
	{"a status that is none", 400, HELD, "member-grammar", STATUS("1000")},
	{"no form", 400, HELD, "form-syntax", "issOrderNo=%zz", .headers = FORM},
	{"a form's key twice", 400, HELD, "form-key-twice", "a=1&A=2", .headers = FORM},
	{"JSON that is a form too", 400, HELD, "form-syntax",
	 "{\"a=\":\"&issOrderNo=T&status=20&b=\"}", .headers = FORM},
};

static void test_requests_are_answered_and_kept_as_the_contract_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check(&rows[i], false);
	assert_int_equal(n_wrong, 0);
}

/* Each has the faults of those behind it. */
static const struct row faults[] = {
	{"framing", 400, NOTHING, "framing", "x", .path = "/x", .method = "GET",
	 .headers = "Content-Type: text/plain\n", .length = NO_LENGTH},
	{"path", 404, NOTHING, "path", "x", .path = "/x", .method = "GET",
	 .headers = TYPE("text/plain"), .length = NO_LENGTH},
	{"method", 405, NOTHING, "method", "x", .method = "GET", .headers = TYPE("text/plain"),
	 .length = NO_LENGTH},
	{"length", 411, NOTHING, "length-required", "x", .headers = TYPE("text/plain"),
	 .length = NO_LENGTH},
	{"size", 413, NOTHING, "body-too-large", .make = OVER_LIMIT, .headers = TYPE("text/plain")},
	{"type", 415, NOTHING, "media-type", "x", .headers = TYPE("text/plain")},
	{"drain", 503, NOTHING, "draining", "x"},
};

static void test_refusals_are_decided_in_the_contracts_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(faults); i++)
		check(&faults[i], true);
	assert_int_equal(n_wrong, 0);
}

/* ------------------------------------------------------------------ the store ---------- */

static void test_every_verdict_is_acknowledged(void **state)
{
	(void)state;
	for (int verdict = 0; verdict < VERDICT_MAX; verdict++) {
		start(verdict_key((enum verdict)verdict));
		disk.verdict = (enum verdict)verdict;
		deliver(&good);
		expect_answer(200);
		finish();
		expect_kept(STORED, "token");
	}
	assert_int_equal(n_wrong, 0);
}

/* Whatever the store says that is not "committed", of the batch or of the one callback. */
static void test_no_error_of_the_store_is_acknowledged(void **state)
{
	(void)state;
	for (int err = 1; err < 2 * ERR_MAX; err++) {
		int of = err % ERR_MAX;
		int status = err_http_status(of);
		if (of == 0)
			continue;
		start(err_key(of));
		*(err < ERR_MAX ? &disk.batch_err : &disk.item_err) = -of;
		deliver(&good);
		expect_answer(status ? status : 500);
		assert_int_not_equal(fake.status, 200);
		finish();
		assert_int_equal(disk.n_stored, 0);
	}
	assert_int_equal(n_wrong, 0);
}

/* ------------------------------------------------------------------ the writer --------- */

static void expire(void)
{
	now.test_elapsed_us += 2000;
	writer_expire(server.options.writer);
	now.test_elapsed_us = 1;
}

static void test_commit_that_takes_too_long_is_no_ack_though_it_is_stored(void **state)
{
	unsigned long long before = outcomes("commit-timeout");

	(void)state;
	start("commit timeout");
	block(true);
	deliver(&good);
	assert_int_equal(fake.answers, 0);
	wait_inside();
	expire();
	call(&good, slice_of(NULL));
	expect_answer(503);
	fake_end();
	finish();
	expect_kept(STORED, "token");
	/* The writer has told nobody, as nobody waited. */
	assert_int_equal(fake.connection.call.phase, CALL_IDLE);
	assert_int_equal(outcomes("commit-timeout"), before + 1);
	assert_int_equal(n_wrong, 0);
}

static bool other_done; /* guarded by the disk's lock */

static void other_is_done(struct write_job *job, void *waiter, bool abandoned)
{
	(void)waiter;
	(void)abandoned;
	write_job_free(job);
	pthread_mutex_lock(&disk.lock);
	other_done = true;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

/* Another's callback, which comes between the head and the end of the one that is looked at. */
static void submit_another(void)
{
	struct write_job *job = write_job_new(1);

	assert_non_null(job);
	memset(&job->event, 0, sizeof(job->event));
	job->machine = platform_shansong()->machine();
	job->done = other_is_done;
	other_done = false;
	assert_int_equal(writer_submit(server.options.writer, job), 0);
}

static void wait_done(void)
{
	pthread_mutex_lock(&disk.lock);
	while (!other_done)
		pthread_cond_wait(&disk.changed, &disk.lock);
	pthread_mutex_unlock(&disk.lock);
}

static void fill_queue(void)
{
	block(true);
	submit_another();
	wait_inside();
}

static void fail_store(void)
{
	disk.batch_err = -ERR_STORE_IO;
	submit_another();
	wait_done();
	disk.batch_err = 0;
}

static void stop_writer(void)
{
	writer_stop(server.options.writer);
}

static const struct {
	const char *how;
	void (*happens)(void);
	size_t n_stored;
} refusing[] = {
	{"queue-full", fill_queue, 1}, {"store-io", fail_store, 0}, {"draining", stop_writer, 0}};

/* Who asks before it sends a body is answered at the head. What was asked there is asked again when
 * the request is whole. */
static void check_refusing(size_t i, bool at_head)
{
	const struct row asks = {.headers = JSON "Expect: 100-continue\n"};
	BUF_AUTO struct buf headers = BUF_INIT(1 << 17);
	unsigned long long before = outcomes(refusing[i].how);

	start(refusing[i].how);
	if (at_head)
		refusing[i].happens();
	begin_request(&asks, &headers);
	if (!at_head)
		refusing[i].happens();
	if (fake.answers != at_head)
		wrong("%d answers at the head", fake.answers);
	end_request(&asks);
	expect_answer(503);
	if (outcomes(refusing[i].how) != before + 1)
		wrong("it is not counted as that");
	finish();
	if (disk.n_stored != refusing[i].n_stored || disk.n_held)
		wrong("%zu stored and %zu held", disk.n_stored, disk.n_held);
}

static void test_what_the_writer_refuses_is_answered_with_its_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refusing); i++) {
		check_refusing(i, true);
		check_refusing(i, false);
	}
	assert_int_equal(n_wrong, 0);
}

static void test_a_request_whose_head_came_before_the_drain_is_acknowledged(void **state)
{
	BUF_AUTO struct buf headers = BUF_INIT(1 << 17);

	(void)state;
	start("drain in the middle");
	begin_request(&good, &headers);
	atomic_store(&server.draining, true);
	end_request(&good);
	expect_answer(200);
	finish();
	expect_kept(STORED, "token");
	assert_int_equal(n_wrong, 0);
}

/* ------------------------------------------------------------------ the head's bytes --- */

/* A job whose head has less room than it takes: what comes behind the piece that fails may fit. */
static void give_narrow_job(size_t limit)
{
	struct write_job *job = write_job_new(1);

	assert_non_null(job);
	job->head.limit = limit;
	write_job_give(&server.jobs, job);
}

static void check_part_of_head(const struct row *row)
{
	size_t whole;

	start(row->what);
	deliver(row);
	expect_answer(200);
	finish();
	whole = disk.head_bytes;
	assert_in_range(whole, 200, 1000);
	for (size_t limit = 1; limit < whole; limit += 7) {
		start(row->what);
		give_narrow_job(limit);
		deliver(row);
		if (fake.answers != 1 || fake.status < 500)
			wrong("%d answers, status %u, with %zu of %zu bytes", fake.answers,
			      fake.status, limit, whole);
		finish();
		expect_kept(NOTHING, NULL);
	}
}

static void test_head_that_cannot_be_kept_whole_is_no_ack(void **state)
{
	const struct row long_header = {"a part of a long header", .head_bytes = 200};
	const struct row long_path = {"a part of a long path", .path = LONG_PATH "/" TOKEN};

	(void)state;
	check_part_of_head(&long_header);
	check_part_of_head(&long_path);
	assert_int_equal(n_wrong, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests_are_answered_and_kept_as_the_contract_says),
		TEST(test_refusals_are_decided_in_the_contracts_order),
		TEST(test_every_verdict_is_acknowledged),
		TEST(test_no_error_of_the_store_is_acknowledged),
		TEST(test_commit_that_takes_too_long_is_no_ack_though_it_is_stored),
		TEST(test_what_the_writer_refuses_is_answered_with_its_reason),
		TEST(test_a_request_whose_head_came_before_the_drain_is_acknowledged),
		TEST(test_head_that_cannot_be_kept_whole_is_no_ack),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
