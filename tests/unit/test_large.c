/*
 * Bodies of 64 KiB, the default of max_body, made so that what is quadratic would show: each is
 * through in a tenth of a second of processor time. The fuzzers ask the same of small inputs only.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "orderhook/control.h"
#include "orderhook/log.h"
#include "shansong_help.h"

#define BODY_BYTES ((size_t)64 * 1024)
#define LIMIT_US 100000

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
#define SLOWER 20
#else
#define SLOWER 1
#endif

static int64_t processor_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void assert_quick(const char *what, int64_t began_us)
{
	int64_t took_us = processor_us() - began_us;

	if (took_us > (int64_t)LIMIT_US * SLOWER)
		fail_msg("%s took %lld us", what, (long long)took_us);
}

static void add(struct buf *text, const char *piece)
{
	assert_int_equal(buf_add_string(text, piece), 0);
}

/* The piece again and again, as long as `end` fits behind it. */
static void fill(struct buf *text, const char *piece, const char *end)
{
	size_t piece_len = strlen(piece);

	while (text->len + piece_len + strlen(end) <= BODY_BYTES)
		assert_int_equal(buf_add(text, piece, piece_len), 0);
	add(text, end);
}

/*
 * Key i of those that differ in no bit that a mark is made of (json_key.c), and only at their end:
 * '[' and '{' are two characters, and the two cases of a letter in all but name.
 */
static void add_key(struct buf *text, size_t i, size_t units, const char *open, const char *close)
{
	for (size_t unit = 0; unit < units; unit++) {
		size_t from_end = units - 1 - unit;
		add(text, from_end < 6 && (i >> from_end & 1) ? close : open);
	}
}

static void add_members(struct buf *text, size_t units, const char *open, const char *close)
{
	for (size_t i = 0; i < JSON_MEMBERS_MAX; i++) {
		add(text, i ? ",\"" : "\"");
		add_key(text, i, units, open, close);
		add(text, "\":0");
	}
}

/* ------------------------------------------------------------------ JSON --------------- */

static void assert_scanned(const char *what, struct buf *text)
{
	static struct json_object object;
	int64_t began_us = processor_us();

	assert_in_range(text->len, BODY_BYTES - 1500, BODY_BYTES);
	assert_int_equal(json_scan_object(buf_slice(text), &object), 0);
	assert_quick(what, began_us);
	began_us = processor_us();
	assert_null(json_find(&object, "issOrderNo"));
	assert_quick(what, began_us);
	buf_reset(text);
}

static void test_json_whose_keys_all_have_one_mark_is_quick(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(2 * BODY_BYTES);

	(void)state;
	add(&text, "{");
	add_members(&text, 1017, "[", "{");
	add(&text, "}");
	assert_scanned("64 long keys of one mark", &text);
	add(&text, "{");
	add_members(&text, 169, "\\u005b", "\\u007b");
	add(&text, "}");
	assert_scanned("64 escaped keys of one mark", &text);

	BUF_AUTO struct buf object = BUF_INIT(BODY_BYTES);
	add(&object, "{");
	add_members(&object, 6, "[", "{");
	add(&object, "},");
	add(&text, "{\"a\":[");
	fill(&text, object.data, "0]}");
	assert_scanned("objects of 64 keys of one mark", &text);
}

static void test_deep_json_is_quick(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(2 * BODY_BYTES);

	(void)state;
	add(&text, "{\"a\":[");
	fill(&text, "[[[[[[]]]]]],", "0]}");
	assert_scanned("arrays to the eighth level", &text);
	add(&text, "{\"a\":[");
	fill(&text, "{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":0}}}}}},", "0]}");
	assert_scanned("objects to the eighth level", &text);
}

static void test_json_of_nothing_but_escapes_is_quick(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(2 * BODY_BYTES);

	(void)state;
	add(&text, "{\"a\":\"");
	fill(&text, "\\u4e2d", "\"}");
	assert_scanned("a value of escapes", &text);
	add(&text, "{\"");
	fill(&text, "\\ud83d\\ude00", "\":0}");
	assert_scanned("a key of escapes", &text);
	add(&text, "{");
	fill(&text, " ", "}");
	assert_scanned("blanks", &text);
	add(&text, "{\"a\":");
	fill(&text, "9", "}");
	assert_scanned("digits", &text);
}

/* ------------------------------------------------------------------ callbacks ---------- */

/* By an endpoint with as many secrets as one may have. */
static void assert_ingested(const char *what, int wanted, enum body_type type, struct buf *body)
{
	static struct secret secrets[16];
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 22);
	struct endpoint endpoint = help_endpoint(SIGNATURE_IF_PRESENT);
	struct delivery delivery = help_delivery(buf_slice(body), type);
	struct event event;

	for (size_t i = 0; i < COUNT(secrets); i++)
		secrets[i] = help_secrets[0];
	endpoint.secrets = endpoint.hmac_keys = secrets;
	endpoint.n_secrets = endpoint.n_hmac_keys = COUNT(secrets);
	assert_in_range(body->len, BODY_BYTES - 1500, BODY_BYTES);
	int64_t began_us = processor_us();
	assert_int_equal(ingest(&endpoint, &delivery, &scratch, &event), wanted);
	assert_quick(what, began_us);
	began_us = processor_us();
	endpoint.platform->names_us(&endpoint, &delivery, &scratch);
	assert_quick(what, began_us);
	buf_reset(body);
}

static void test_a_form_of_nothing_but_escapes_is_quick(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(2 * BODY_BYTES);

	(void)state;
	add(&body, "issOrderNo=T&status=20&x=");
	fill(&body, "%E4%B8%AD", "");
	assert_ingested("a value of %xx", 0, BODY_FORM, &body);
	add(&body, "issOrderNo=T&status=20&x=");
	fill(&body, "%41", "%4");
	assert_ingested("a value of %xx that is cut", -ERR_FORM_SYNTAX, BODY_FORM, &body);
	add(&body, "issOrderNo=T&status=20&x=");
	fill(&body, "+", "");
	assert_ingested("a value of blanks", 0, BODY_FORM, &body);
	for (size_t i = 0; i < JSON_MEMBERS_MAX - 2; i++) {
		add_key(&body, i, 348, "%5b", "%7b");
		add(&body, "=&");
	}
	fill(&body, "issOrderNo=T&status=20", "");
	assert_ingested("62 long names", -ERR_JSON_MEMBERS, BODY_FORM, &body);
	add(&body, "issOrderNo=T&status=20&courier=");
	fill(&body, "%7b%22id%22:", "1");
	assert_ingested("a courier that never closes", 0, BODY_FORM, &body);
}

static void test_a_callback_of_many_or_long_members_is_quick(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(2 * BODY_BYTES);

	(void)state;
	add(&body, "{\"issOrderNo\":\"T\",\"status\":20,\"courier\":{\"id\":\"C\",\"x\":[");
	fill(&body, "{\"id\":\"\\u4e2d\"},", "0]}}");
	assert_ingested("a courier of 64 KiB", 0, BODY_JSON, &body);
	add(&body, "{\"issOrderNo\":\"T\",\"status\":20,\"courier\":\"");
	fill(&body, "\\u0020", "{}\"}");
	assert_ingested("a courier in escapes", 0, BODY_JSON, &body);
	add(&body, "{\"issOrderNo\":\"T\",\"status\":20,\"statusDesc\":\"");
	fill(&body, "\\\"", "\"}");
	assert_ingested("a text of quotes", 0, BODY_JSON, &body);
	add(&body, "{\"issOrderNo\":\"T\",\"status\":20,\"x\":{");
	add_members(&body, 1000, "[", "{");
	fill(&body, " ", "}}");
	assert_ingested("an object outside the list", 0, BODY_JSON, &body);
}

/* An envelope whose data is what fills it; its sign is that of another secret. */
static void add_envelope(struct buf *body, const char *piece)
{
	add(body, "{\"clientId\":\"clientId\",\"shopId\":\"shopId\",\"timestamp\":\"" NOW_TEXT
		  "\",\"sign\":\"0123456789ABCDEF0123456789ABCDEF\",\"data\":\""
		  "{\\\"issOrderNo\\\":\\\"T\\\",\\\"status\\\":20,\\\"x\\\":\\\"");
	fill(body, piece, "\\\"}\"}");
}

static void test_an_envelope_is_quick_with_every_secret(void **state)
{
	static const char *const pieces[] = {"x", "\\u4e2d", "\\\\\\\"", "/", "\\\\u4e2d"};
	BUF_AUTO struct buf body = BUF_INIT(2 * BODY_BYTES);

	(void)state;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		add_envelope(&body, pieces[i]);
		assert_ingested(pieces[i], -ERR_SIGN_WRONG, BODY_JSON, &body);
	}
}

/* ------------------------------------------------------------------ explain ------------ */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static struct endpoint_set *make_endpoints(size_t n_endpoints, size_t n_secrets)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 20);
	BUF_AUTO struct buf problem = BUF_INIT(1 << 12);
	char dir[] = "/tmp/test-large-XXXXXX";
	char path[64];
	char secret[64];
	struct endpoint_set *endpoints;
	struct config *config;

	assert_non_null(mkdtemp(dir));
	umask(077);
	for (size_t e = 0; e < n_endpoints; e++) {
		assert_int_equal(buf_addf(&text,
					  "[endpoint e%zu]\nplatform = shansong\npath = /%zu\n"
					  "client_id = clientId\nshop_ids = shopId\n"
					  "signature = required\nsecrets =\n",
					  e, e),
				 0);
		for (size_t i = 0; i < n_secrets; i++) {
			snprintf(path, sizeof(path), "%s/%zu-%zu", dir, e, i);
			snprintf(secret, sizeof(secret), "secret-of-a-test-%03zu-%03zu", e, i);
			write_file(path, secret);
			assert_int_equal(buf_addf(&text, " file:%s\n", path), 0);
		}
	}
	assert_int_equal(config_parse("t.conf", buf_slice(&text), &config, &problem), 0);
	assert_int_equal(endpoint_set_new(config, &endpoints, &problem), 0);
	config_free(config);
	for (size_t e = 0; e < n_endpoints; e++) {
		for (size_t i = 0; i < n_secrets; i++) {
			snprintf(path, sizeof(path), "%s/%zu-%zu", dir, e, i);
			unlink(path);
		}
	}
	rmdir(dir);
	return endpoints;
}

static void add_question(struct buf *question, struct slice body)
{
	char *encoded = malloc(4 * ((body.len + 2) / 3) + 1);

	assert_non_null(encoded);
	digest_base64_encode((const uint8_t *)body.at, body.len, encoded);
	add(question,
	    "{\"endpoint\":\"e0\",\"received_ms\":" NOW_TEXT ",\"head\":\"\",\"body\":\"");
	add(question, encoded);
	add(question, "\"}");
	free(encoded);
}

static void assert_explained(struct endpoint_set *endpoints, const char *piece, bool all_tried)
{
	BUF_AUTO struct buf body = BUF_INIT(2 * BODY_BYTES);
	BUF_AUTO struct buf question = BUF_INIT(4 * BODY_BYTES);
	const struct control_peer peer = {.kinds = PEER_ROOT};
	struct clock clock = clock_fixed(NOW_MS, 1);
	static struct json_object object;
	const struct control_row *row;
	struct control *control;

	add_envelope(&body, piece);
	add_question(&question, buf_slice(&body));
	assert_int_equal(control_new(NULL, endpoints, &clock, &control), 0);
	int64_t began_us = processor_us();
	assert_int_equal(control_parse(SLICE("POST"), SLICE("/control/explain"),
				       buf_slice(&question), &row, &object),
			 0);
	struct control_call *call = control_begin(control, row, &peer, buf_slice(&question));
	assert_non_null(call);
	assert_quick(piece, began_us);
	assert_int_equal(call->status, 200);
	assert_non_null(slice_find(buf_slice(&call->answer), SLICE("\"sign-wrong\"")));
	assert_int_equal(all_tried,
			 slice_find(buf_slice(&call->answer), SLICE("\"all_tried\":true")) != NULL);
	control_call_free(call);
	control_free(control);
}

static void test_explaining_an_envelope_is_quick_with_every_secret(void **state)
{
	static const char *const pieces[] = {"x", "\\u4e2d", "\\\\\\\"", "/", "\\\\u4e2d"};
	struct endpoint_set *one = make_endpoints(1, 16);
	/* As many as a configuration may have. */
	struct endpoint_set *all = make_endpoints(CONFIG_ENDPOINTS_MAX, 16);

	(void)state;
	log_set_level(LOG_EMERG);
	for (size_t i = 0; i < COUNT(pieces); i++) {
		assert_explained(one, pieces[i], true);
		assert_explained(all, pieces[i], false);
	}
	endpoint_set_unref(one);
	endpoint_set_unref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_whose_keys_all_have_one_mark_is_quick),
		cmocka_unit_test(test_deep_json_is_quick),
		cmocka_unit_test(test_json_of_nothing_but_escapes_is_quick),
		cmocka_unit_test(test_a_form_of_nothing_but_escapes_is_quick),
		cmocka_unit_test(test_a_callback_of_many_or_long_members_is_quick),
		cmocka_unit_test(test_an_envelope_is_quick_with_every_secret),
		cmocka_unit_test(test_explaining_an_envelope_is_quick_with_every_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
