/*
 * What a head decides by itself, condition by condition: the gate's refusals and what it hands on,
 * and whether the strings that libmicrohttpd hands over are the whole head.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/http/http_private.h"
#include "orderhook/err.h"

#define PATH "/callback"
#define MAX_BODY 2048
#define HEADERS_MAX 64
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What libmicrohttpd would have kept of a head. */
static struct {
	const char *names[HEADERS_MAX];
	const char *values[HEADERS_MAX];
	size_t n;
	union MHD_ConnectionInfo info;
} kept;

int MHD_get_connection_values(struct MHD_Connection *mhd, enum MHD_ValueKind kind,
			      MHD_KeyValueIterator iterator, void *context)
{
	(void)mhd;
	for (size_t i = 0; i < kept.n; i++) {
		if (!iterator(context, kind, kept.names[i], kept.values[i]))
			break;
	}
	return (int)kept.n;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *mhd,
							enum MHD_ConnectionInfoType type, ...)
{
	(void)mhd;
	assert_int_equal(type, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return kept.info.header_size ? &kept.info : NULL;
}

static void keep(const char *name, const char *value)
{
	assert_true(kept.n < HEADERS_MAX);
	kept.names[kept.n] = name;
	kept.values[kept.n++] = value;
}

/* ------------------------------------------------------------------ the gate ----------- */

static struct endpoint_set *endpoints;

static int setup(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 12);
	BUF_AUTO struct buf problem = BUF_INIT(1 << 12);
	char path[] = "/tmp/test-http-gate-XXXXXX";
	struct config *config;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && write(fd, "test-secret-0123456789", 22) == 22);
	close(fd);
	buf_addf(&text,
		 "[endpoint one]\nplatform = shansong\npath = " PATH "\nclient_id = c\n"
		 "shop_ids = s\nsignature = required\nsecrets = file:%s\n",
		 path);
	if (config_parse("test.conf", buf_slice(&text), &config, &problem) ||
	    endpoint_set_new(config, &endpoints, &problem))
		fail_msg("%s", problem.data);
	config_free(config);
	unlink(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	endpoint_set_unref(endpoints);
	return 0;
}

#define HOST "Host: x\n"
#define JSON "Content-Type: application/json\n"
#define LENGTH "Content-Length: 7\n"
#define GOOD HOST JSON LENGTH

/* NULL for a method, a path or a version stands for the good one. */
static const struct gate_row {
	const char *what;
	const char *method;
	const char *path;
	const char *version;
	const char *headers;
	int err;
	bool body_comes;
} rows[] = {
	{"good", NULL, NULL, NULL, GOOD, 0, true},
	/* version */
	{"1.0", NULL, NULL, "HTTP/1.0", GOOD, 0, true},
	{"1.0 without a host", NULL, NULL, "HTTP/1.0", JSON LENGTH, 0, true},
	{"1.1 without a host", NULL, NULL, NULL, JSON LENGTH, ERR_FRAMING, false},
	{"1.2", NULL, NULL, "HTTP/1.2", GOOD, ERR_FRAMING, false},
	{"1.10", NULL, NULL, "HTTP/1.10", GOOD, ERR_FRAMING, false},
	{"2.0", NULL, NULL, "HTTP/2.0", GOOD, ERR_FRAMING, false},
	{"lower case", NULL, NULL, "http/1.1", GOOD, ERR_FRAMING, false},
	{"no version", NULL, NULL, "", GOOD, ERR_FRAMING, false},
	/* method */
	{"a control character", "POST\001", NULL, NULL, GOOD, ERR_FRAMING, false},
	{"a high byte", "P\303\226ST", NULL, NULL, GOOD, ERR_FRAMING, false},
	{"no method", "", NULL, NULL, GOOD, ERR_FRAMING, false},
	{"a method of token characters", "!#$%&'*+-.^_`|~09", NULL, NULL, GOOD, ERR_METHOD, true},
	{"lower case post", "post", NULL, NULL, GOOD, ERR_METHOD, true},
	{"GET", "GET", NULL, NULL, HOST, ERR_METHOD, false},
	/* one reading of what frames the request */
	{"two hosts", NULL, NULL, NULL, GOOD HOST, ERR_FRAMING, false},
	{"two equal lengths", NULL, NULL, NULL, GOOD LENGTH, ERR_FRAMING, false},
	{"two types", NULL, NULL, NULL, GOOD JSON, ERR_FRAMING, false},
	{"an encoding", NULL, NULL, NULL, GOOD "transfer-encoding: identity\n", ERR_FRAMING, false},
	{"a blank before a colon", NULL, NULL, NULL, GOOD "X : a\n", ERR_FRAMING, false},
	{"no name", NULL, NULL, NULL, GOOD ": a\n", ERR_FRAMING, false},
	{"a control character in a value", NULL, NULL, NULL, GOOD "X: a\013b\n", ERR_FRAMING,
	 false},
	{"a delete in a value", NULL, NULL, NULL, GOOD "X: a\177b\n", ERR_FRAMING, false},
	{"a tab in a value", NULL, NULL, NULL, GOOD "X: a\tb\n", 0, true},
	{"high bytes in a value", NULL, NULL, NULL, GOOD "X: \344\275\240\n", 0, true},
	/* one reading of what authenticates it */
	{"each webhook header once", NULL, NULL, NULL,
	 GOOD "webhook-id: a\nwebhook-timestamp: b\nwebhook-signature: c\n", 0, true},
	{"two ids", NULL, NULL, NULL, GOOD "webhook-id: a\nWebhook-Id: a\n", ERR_FRAMING, false},
	{"two timestamps", NULL, NULL, NULL, GOOD "webhook-timestamp: a\nwebhook-timestamp: b\n",
	 ERR_FRAMING, false},
	{"two signatures", NULL, NULL, NULL, GOOD "webhook-signature: a\nwebhook-signature: \n",
	 ERR_FRAMING, false},
	/* length */
	{"none", NULL, NULL, NULL, HOST JSON, ERR_LENGTH_REQUIRED, false},
	{"zero", NULL, NULL, NULL, HOST JSON "Content-Length: 0\n", 0, false},
	{"zeros in front", NULL, NULL, NULL, HOST JSON "Content-Length: 0007\n", 0, true},
	{"as long as may be", NULL, NULL, NULL, HOST JSON "Content-Length: 2048\n", 0, true},
	{"a byte longer", NULL, NULL, NULL, HOST JSON "Content-Length: 2049\n", ERR_BODY_TOO_LARGE,
	 false},
	{"2^63", NULL, NULL, NULL, HOST JSON "Content-Length: 9223372036854775808\n",
	 ERR_BODY_TOO_LARGE, false},
	{"2^64 - 1", NULL, NULL, NULL, HOST JSON "Content-Length: 18446744073709551615\n",
	 ERR_BODY_TOO_LARGE, false},
	{"2^64", NULL, NULL, NULL, HOST JSON "Content-Length: 18446744073709551616\n", ERR_FRAMING,
	 false},
	{"2^64 + 7", NULL, NULL, NULL, HOST JSON "Content-Length: 18446744073709551623\n",
	 ERR_FRAMING, false},
	{"2^64 + 7, elsewhere", NULL, "/x", NULL,
	 HOST JSON "Content-Length: 18446744073709551623\n", ERR_FRAMING, false},
	{"empty", NULL, NULL, NULL, HOST JSON "Content-Length: \n", ERR_FRAMING, false},
	{"a sign", NULL, NULL, NULL, HOST JSON "Content-Length: +7\n", ERR_FRAMING, false},
	{"a blank behind", NULL, NULL, NULL, HOST JSON "Content-Length: 7 \n", ERR_FRAMING, false},
	{"a list", NULL, NULL, NULL, HOST JSON "Content-Length: 7,7\n", ERR_FRAMING, false},
	/* A body that waits to be asked for does not come; refused or not. */
	{"expects", NULL, NULL, NULL, GOOD "Expect: 100-continue\n", 0, false},
	{"expects with another type", NULL, NULL, NULL,
	 HOST LENGTH "Expect: 100-continue\nContent-Type: text/plain\n", ERR_MEDIA_TYPE, false},
	{"expects with an encoding", NULL, NULL, NULL,
	 GOOD "Expect: 100-continue\nContent-Encoding: gzip\n", ERR_CONTENT_ENCODING, false},
	{"expects elsewhere", NULL, "/x", NULL, GOOD "Expect: 100-continue\n", ERR_PATH, false},
	{"elsewhere", NULL, "/x", NULL, GOOD, ERR_PATH, true},
	/* type */
	{"another type", NULL, NULL, NULL, HOST LENGTH "Content-Type: text/plain\n", ERR_MEDIA_TYPE,
	 true},
	{"a form in UTF-8", NULL, NULL, NULL,
	 HOST LENGTH "Content-Type: application/x-www-form-urlencoded;charset=UTF-8\n", 0, true},
	{"a form in another charset", NULL, NULL, NULL,
	 HOST LENGTH "Content-Type: application/x-www-form-urlencoded; charset=gbk\n",
	 ERR_MEDIA_TYPE, true},
	{"an encoding of the content", NULL, NULL, NULL, GOOD "Content-Encoding: identity\n",
	 ERR_CONTENT_ENCODING, true},
};

/* Cuts the text in place. */
static void keep_lines(char *text)
{
	kept.n = 0;
	for (char *line = text; *line;) {
		char *end = strchr(line, '\n');
		char *colon = strstr(line, ": ");
		assert_true(end && colon && colon < end);
		*end = *colon = '\0';
		keep(line, colon + 2);
		line = end + 1;
	}
}

static int pass(const struct gate_row *row, struct buf *text, struct http_head *ret)
{
	BUF_AUTO struct buf headers = BUF_INIT(1 << 12);

	buf_add_string(&headers, row->headers);
	keep_lines(headers.data);
	return http_gate(NULL, endpoints, row->path ? row->path : PATH,
			 row->method ? row->method : "POST",
			 row->version ? row->version : "HTTP/1.1", MAX_BODY, text, ret);
}

static void test_each_condition_of_a_head_has_the_contracts_refusal(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		BUF_AUTO struct buf text = BUF_INIT(1 << 12);
		struct http_head head;
		int err = pass(&rows[i], &text, &head);
		if (err != -rows[i].err || head.body_comes != rows[i].body_comes)
			fail_msg("%s: %s, body comes %d", rows[i].what,
				 err ? err_key(err) : "taken", head.body_comes);
	}
}

static void test_a_head_over_32k_is_refused_and_one_of_32k_is_not(void **state)
{
	/* "name: value" and the end of its line: 1 KB each. */
	static char value[1024 - sizeof("X: \r\n") + 2];
	static char rest[sizeof(value)];
	const size_t good_bytes = sizeof(HOST "\r" JSON "\r" LENGTH "\r") - 1;

	(void)state;
	memset(value, 'a', sizeof(value) - 1);
	memset(rest, 'a', sizeof(value) - 1 - good_bytes);
	for (int over = 0; over < 2; over++) {
		BUF_AUTO struct buf text = BUF_INIT(1 << 16);
		struct http_head head;
		char good[] = GOOD;
		keep_lines(good);
		for (int i = 0; i < 31; i++)
			keep("X", value);
		rest[sizeof(value) - 1 - good_bytes] = over ? 'a' : '\0';
		keep("X", rest);
		assert_int_equal(http_gate(NULL, endpoints, PATH, "POST", "HTTP/1.1", MAX_BODY,
					   &text, &head),
				 over ? -ERR_HEAD_TOO_LARGE : 0);
		assert_false(over && head.body_comes);
	}
}

/* No room stands for no memory here. What refuses the head anyway comes first. */
static void test_a_head_that_there_is_no_room_to_keep_is_not_taken(void **state)
{
	const struct gate_row good = rows[0];
	const struct gate_row elsewhere = {"", NULL, "/x", NULL, GOOD, ERR_PATH, true};
	size_t whole = sizeof("POST " PATH " HTTP/1.1\r\n" HOST "\r" JSON "\r" LENGTH "\r") - 1;
	struct http_head head;

	(void)state;
	for (size_t room = 0; room < whole; room++) {
		BUF_AUTO struct buf text = BUF_INIT(room);
		assert_int_equal(pass(&good, &text, &head), -ERR_TOO_LONG);
		assert_int_equal(pass(&elsewhere, &text, &head), -ERR_PATH);
	}
	BUF_AUTO struct buf text = BUF_INIT(whole);
	assert_int_equal(pass(&good, &text, &head), 0);
	assert_int_equal(text.len, whole);
}

/* ------------------------------------------------------------------ whole heads -------- */

/*
 * run: the head as the library leaves it, "|" for NUL, "~" for LF. strings: what it hands over;
 * each is where it is found next, "_" is an empty one behind the NUL of the last, "*" marks one
 * that lies elsewhere. uri_bytes: of a query that was cut up since.
 */
static const struct whole_row {
	const char *what;
	const char *run;
	const char *strings;
	size_t uri_bytes;
	bool whole;
} heads[] = {
	{"plain", "POST|/p|HTTP/1.1||Host| x||Length| 2||||", "POST /p HTTP/1.1 Host x Length 2", 0,
	 true},
	{"no header", "POST|/p|HTTP/1.1||||", "POST /p HTTP/1.1", 0, true},
	{"LF alone", "POST|/p|HTTP/1.1|Host| x|Length| 2||", "POST /p HTTP/1.1 Host x Length 2", 0,
	 true},
	{"as 1.0 leaves it", "POST|/p|HTTP/1.1|~Host| x|~Length| 2|~~~",
	 "POST /p HTTP/1.1 Host x Length 2", 0, true},
	{"1.0, the body over its end", "POST|/p|HTTP/1.1|~Host| x|{}}", "POST /p HTTP/1.1 Host x",
	 0, true},
	{"1.0, blanks behind a value", "POST|/p|HTTP/1.1|~Host| x| ~Length| 2|~~~",
	 "POST /p HTTP/1.1 Host x Length 2", 0, true},
	{"blanks", "POST|  /p|HTTP/1.1||Host|x||A|   x||||", "POST /p HTTP/1.1 Host x A x", 0,
	 true},
	{"empty values", "POST|/p|HTTP/1.1||Host|||Length| 2||||",
	 "POST /p HTTP/1.1 Host _ Length 2", 0, true},
	{"a query", "POST|/p|a|b|HTTP/1.1||Host| x||||", "POST /p HTTP/1.1 Host x", 6, true},
	/* folds */
	{"a fold", "POST|/p|HTTP/1.1||Host| x||X-A| b|| c||||", "POST /p HTTP/1.1 Host x *X-Ac b",
	 0, false},
	{"a fold of blanks", "POST|/p|HTTP/1.1||Host| x||X-A| b|| ||||",
	 "POST /p HTTP/1.1 Host x *X-A b", 0, false},
	{"a fold in the first header", "POST|/p|HTTP/1.1||Host||| x||A| b||||",
	 "POST /p HTTP/1.1 *Hostx _ A b", 0, false},
	{"a fold in the middle", "POST|/p|HTTP/1.1||Host| x||A| b|| c||B| d||||",
	 "POST /p HTTP/1.1 Host x *Ac b B d", 0, false},
	{"elsewhere, and only blanks to the end", "POST|/p|HTTP/1.1|~ ~ ~",
	 "POST /p HTTP/1.1 *A *b", 0, false},
	/* NULs */
	{"in the method", "POST|x|/p|HTTP/1.1||Host| x||||", "POST /p HTTP/1.1 Host x", 0, false},
	{"behind the method", "POST||/p|HTTP/1.1||Host| x||||", "POST /p HTTP/1.1 Host x", 0,
	 false},
	{"in the path", "POST|/p|/x|HTTP/1.1||Host| x||||", "POST /p HTTP/1.1 Host x", 0, false},
	{"behind the path", "POST|/p||HTTP/1.1||Host| x||||", "POST /p HTTP/1.1 Host x", 0, false},
	{"behind a query", "POST|/p|a|b||HTTP/1.1||Host| x||||", "POST /p HTTP/1.1 Host x", 6,
	 false},
	{"behind the version", "POST|/p|HTTP/1.1|||Host| x||||", "POST /p HTTP/1.1 Host x", 0,
	 false},
	{"in a name", "POST|/p|HTTP/1.1||Ho|st| x||||", "POST /p HTTP/1.1 Ho x", 0, false},
	{"behind a name", "POST|/p|HTTP/1.1||Host|| x||||", "POST /p HTTP/1.1 Host x", 0, false},
	{"in a value", "POST|/p|HTTP/1.1||Host| x|y||A| b||||", "POST /p HTTP/1.1 Host x A b", 0,
	 false},
	{"behind a value", "POST|/p|HTTP/1.1||Host| x|||A| b||||", "POST /p HTTP/1.1 Host x A b", 0,
	 false},
	{"in the last value", "POST|/p|HTTP/1.1||Host| x|y||||", "POST /p HTTP/1.1 Host x", 0,
	 false},
	{"behind the last value", "POST|/p|HTTP/1.1||Host| x|||||", "POST /p HTTP/1.1 Host x", 0,
	 false},
	{"in the last value, LF alone", "POST|/p|HTTP/1.1|Host| x|y||", "POST /p HTTP/1.1 Host x",
	 0, false},
	/* lines */
	{"a line of NUL for the empty one", "POST|/p|HTTP/1.1||Host| x||||a||",
	 "POST /p HTTP/1.1 Host x", 0, false},
	{"a line of a colon for the empty one", "POST|/p|HTTP/1.1||Host| x||| b||",
	 "POST /p HTTP/1.1 Host x", 0, false},
	{"a line left out", "POST|/p|HTTP/1.1||Host| x||A| b||C| d||||",
	 "POST /p HTTP/1.1 Host x C d", 0, false},
};

/* Where the next of the strings is in the run. */
static const char *place(const char *string, const char **at, const char *end)
{
	size_t len = strlen(string) + 1;

	if (string[0] == '*')
		return string + 1;
	if (strcmp(string, "_") == 0)
		return ++*at;
	const char *found = memmem(*at, (size_t)(end - *at), string, len);
	assert_non_null(found);
	*at = found + len - 1;
	return found;
}

static bool is_whole(const struct whole_row *row)
{
	size_t bytes = strlen(row->run);
	char *run = malloc(bytes);
	char *strings = strdup(row->strings);
	const char *found[2 * HEADERS_MAX];
	const char *at = run;
	size_t n = 0;
	char *rest;
	bool whole;

	assert_true(run && strings);
	for (size_t i = 0; i < bytes; i++) {
		char c = row->run[i];
		run[i] = (char)(c == '|' ? '\0' : c == '~' ? '\n' : c);
	}
	for (char *one = strtok_r(strings, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
		found[n++] = place(one, &at, run + bytes);
	kept.n = 0;
	for (size_t i = 3; i + 1 < n; i += 2)
		keep(found[i], found[i + 1]);
	kept.info.header_size = bytes;
	whole = http_head_is_whole(
		NULL, found[0],
		(struct slice){found[1], row->uri_bytes ? row->uri_bytes : strlen(found[1])},
		found[2]);
	kept.info.header_size = 0;
	free(strings);
	free(run);
	return whole;
}

static void test_a_head_of_which_anything_is_missing_is_not_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(heads); i++) {
		if (is_whole(&heads[i]) != heads[i].whole)
			fail_msg("%s: %d", heads[i].what, !heads[i].whole);
	}
}

static void test_a_head_of_unknown_size_is_not_whole(void **state)
{
	(void)state;
	kept.n = 0;
	assert_false(http_head_is_whole(NULL, "POST", SLICE("/p"), "HTTP/1.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_condition_of_a_head_has_the_contracts_refusal),
		cmocka_unit_test(test_a_head_over_32k_is_refused_and_one_of_32k_is_not),
		cmocka_unit_test(test_a_head_that_there_is_no_room_to_keep_is_not_taken),
		cmocka_unit_test(test_a_head_of_which_anything_is_missing_is_not_whole),
		cmocka_unit_test(test_a_head_of_unknown_size_is_not_whole),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
