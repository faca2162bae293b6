/* The configuration that is wrong: what is refused, at which line, in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/config.h"
#include "orderhook/err.h"

/* Seven lines, and the shortest configuration there is. */
#define ENDPOINT(name, path)                                                          \
	"[endpoint " name "]\nplatform = shansong\npath = " path "\ntoken = file:t\n" \
	"client_id = c\nshop_ids = s\nsecrets = file:s\n"
#define GOOD ENDPOINT("a", "/cb")
#define SERVER(lines) "[server]\n" lines "\n" GOOD
#define STORE(lines) "[store]\n" lines "\n" GOOD
#define ATTENTION(lines) "[attention]\n" lines "\n" GOOD
/* Its line 2 is the given one, in the place of what the others have. */
#define ONE(platform, path, client, shops)                                            \
	"[endpoint a]\nplatform = " platform "\npath = " path "\nclient_id = " client \
	"\nshop_ids = " shops "\ntoken = file:t\nsecrets = file:s\n"
#define A_PATH(path) ONE("shansong", path, "c", "s")
#define A_SHOPS(shops) ONE("shansong", "/cb", "c", shops)
#define A_TOKEN(token)                                                                      \
	"[endpoint a]\ntoken = " token "\nplatform = shansong\npath = /cb\nclient_id = c\n" \
	"shop_ids = s\nsecrets = file:s\n"
#define TEN(s) s s s s s s s s s s
#define TOKEN_LIKE "abcdefghijklmnop"

static const struct {
	const char *text;
	int line;
	const char *problem; /* a part of it */
} refused[] = {
	/* lines */
	{"nonsense\n" GOOD, 1, "neither [section] nor key = value"},
	{SERVER(TEN(TEN("key")) " = 2"), 2, "neither [section] nor key = value"},
	{"[server]\nthreads: 2\n" GOOD, 2, "neither [section] nor key = value"},
	{"[server]\n= 2\n" GOOD, 2, "[server] has no key of this name"},
	{"threads = 2\n" GOOD, 1, "before the first [section]"},
	{"[server\n" GOOD, 1, "does not end with ]"},
	{"[server] x\n" GOOD, 1, "does not end with ]"},
	{"[ser]ver]\n" GOOD, 1, "no section of the name [ser]ver]"},
	{"[server] # ours\n" GOOD, 1, "line of its own"},
	{SERVER("threads = 2 # two"), 2, "line of its own"},
	{SERVER("threads = 2\t; two"), 2, "line of its own"},
	{SERVER("threads = ;"), 2, "line of its own"},
	{SERVER("threads = 2\n  3"), 3, "there is none above it"},
	{SERVER("trusted_proxies = ::1\n\n  unix"), 4, "there is none above it"},
	{SERVER("trusted_proxies = ::1\nthreads = 1\n\tunix"), 4, "there is none above it"},
	{"  [server]\n" GOOD, 1, "there is none above it"},
	{SERVER("threads = 2\r"), 2, "carriage return"},
	{SERVER("threads = \x01"), 2, "0x01"},
	{SERVER("threads = \x7f"), 2, "0x7f"},
	{STORE("path = /x\xff"), 2, "UTF-8"},
	{STORE("path = /x\xc0\xaf"), 2, "UTF-8"},
	{"\xef\xbb\xbfnonsense\n" GOOD, 1, "neither"},
	/* sections and keys */
	{"[nonsense]\n" GOOD, 1,
	 "[nonsense]; allowed: [server], [store], [endpoint NAME], [attention]"},
	{"[sever]\n" GOOD, 1, "did you mean [server]?"},
	{"[Server]\n" GOOD, 1, "did you mean [server]?"},
	{"[endpoin a]\n" GOOD, 1, "did you mean [endpoint NAME]?"},
	{"[endpoint]\n" GOOD, 1, "as in [endpoint shansong]"},
	{"[endpoint a b]\n" GOOD, 1, "as in [endpoint shansong]"},
	{"[endpoint \xe9\x97\xaa]\n" GOOD, 1, "as in [endpoint shansong]"},
	{"[endpoint " TEN("abcdef") "abcde]\n" GOOD, 1, "as in [endpoint shansong]"},
	{SERVER("treads = 2"), 2, "[server] has no key treads; did you mean threads?"},
	{SERVER("lsitne = 2"), 2, "did you mean listen?"},
	{SERVER("batch_limit = 2"), 2, "it belongs in [store]"},
	{SERVER("secrets = 2"), 2, "it belongs in [endpoint NAME]"},
	{SERVER("completely = 2"), 2, "[server] has no key completely"},
	{SERVER("threads = 2\nthreads = 2"), 3, "threads is there already, in line 2"},
	{"[server]\n[store]\n[server]\n" GOOD, 3, "[server] is there already, in line 1"},
	{GOOD GOOD, 8, "[endpoint a] is there already, in line 1"},
	{"[server]\n", 1, "no [endpoint NAME]"},
	{"", 1, "no [endpoint NAME]"},
	/* numbers */
	{SERVER("threads ="), 2, "threads has no value; allowed: 1 to 16 threads"},
	{SERVER("threads = 0"), 2, "threads: '0' is too small; allowed: 1 to 16 threads"},
	{SERVER("threads = 17"), 2, "'17' is too large"},
	{SERVER("threads = two"), 2, "'two' is malformed"},
	{SERVER("threads = -1"), 2, "'-1' is malformed"},
	{SERVER("queue_limit = 99999999999999999999"), 2, "is too large"},
	{SERVER("request_timeout = 10"), 2, "allowed: a number with ms, s, m, h or d; 100ms to 1h"},
	{SERVER("request_timeout = 0"), 2, "is too small"},
	{SERVER("commit_timeout = 1.5s"), 2, "is malformed"},
	{SERVER("max_body = 64KB"), 2, "allowed: bytes, or a number with K, M or G; 1K to 16M"},
	{SERVER("max_body = K"), 2, "is malformed"},
	{SERVER("max_body = 99999999999999G"), 2, "is too large"},
	{SERVER("unix_mode = 660x"), 2, "permission bits"},
	{SERVER("unix_mode = 0888"), 2, "permission bits"},
	{SERVER("unix_mode = 1777"), 2, "permission bits"},
	{STORE("retention = 23h"), 2, "is too small"},
	{STORE("held_limit = 0"), 2, "is too small"},
	{ATTENTION("20 = soon"), 2, "20: 'soon' is malformed"},
	{ATTENTION("1000 = 1h"), 2, "a key here is a status, 0 to 999"},
	{ATTENTION("020 = 1h"), 2, "a key here is a status"},
	{ATTENTION("STATUS = 1h"), 2, "a key here is a status"},
	{ATTENTION("55 = 1h\n55 = 2h"), 3, "55 is there already, in line 2"},
	/* texts */
	{SERVER("listen = 8080"), 2, "has no port; allowed: HOST:PORT, [V6]:PORT or unix:PATH"},
	{SERVER("listen = :8080"), 2, "has no host"},
	{SERVER("listen = localhost:"), 2, "has no port"},
	{SERVER("listen = localhost:65536"), 2, "port of 0 to 65535"},
	{SERVER("listen = localhost:http"), 2, "port of 0 to 65535"},
	{SERVER("listen = ::1:8080"), 2, "without brackets"},
	{SERVER("listen = [::1]"), 2, "has no port"},
	{SERVER("listen = [::g]:80"), 2, "in its brackets"},
	{SERVER("listen = 300.0.0.1:80"), 2, "has no IPv4 address"},
	{SERVER("listen = a b:80"), 2, "characters that no name has"},
	{SERVER("listen = unix:"), 2, "has no path"},
	{SERVER("listen = unix:/" TEN("0123456789") "01234567"), 2, "107 bytes"},
	{SERVER("admin_listen = 127.0.0.1:8080"), 2, "an address of its own"},
	{SERVER("listen = unix:/run/orderhook/admin.sock"), 2, "an address of its own"},
	{SERVER("admin_listen = unix:/a\nlisten = unix:/a"), 3, "an address of its own"},
	{STORE("environment = two words"), 2, "1 to 64 of"},
	{STORE("path = /" TEN(TEN(TEN("long")))), 2, "longer than 4000"},
	{STORE("path = /var/lib/"), 2, "names a directory"},
	{A_PATH("cb"), 3, "does not begin with /"},
	{A_PATH("/"), 3, "ends in /"},
	{A_PATH("/cb/"), 3, "ends in /"},
	{A_PATH("/c//b"), 3, "empty segment"},
	{A_PATH("/c?b"), 3, "query"},
	{A_PATH("/c b"), 3, "visible ASCII"},
	{A_PATH("/\xe9\x97\xaa"), 3, "'/\xe9\x97\xaa' has a character that is not visible ASCII"},
	{A_PATH("/c/../b"), 3, "dot segment"},
	{A_PATH("/c/.."), 3, "dot segment"},
	{A_PATH("/" TEN(TEN("abcdefgh"))), 3, "longer than 512"},
	{ONE("dada", "/cb", "c", "s"), 2, "platform: 'dada' is not known; allowed: shansong"},
	{ONE("shansong", "/cb", "", "s"), 4, "client_id has no value"},
	{ONE("shansong", "/cb", "c/d", "s"), 4, "client_id: 'c/d'"},
	/* lists */
	{SERVER("trusted_proxies = 127.0.0.1\n  10.0.0.300"), 3, "'10.0.0.300' is neither"},
	{SERVER("trusted_proxies = 10.0.0.0/33"), 2, "0 to 32 bits"},
	{SERVER("trusted_proxies = ::/129"), 2, "0 to 128 bits"},
	{SERVER("trusted_proxies = localhost"), 2, "and the word unix"},
	{SERVER("trusted_proxies =" TEN(" ::1") TEN(" ::2") TEN(" ::3") TEN(" ::4") TEN(" ::5")
			TEN(" ::6") " ::7 ::7 ::7 ::7\n  ::8"),
	 3, "'::8' is one item too many"},
	{A_SHOPS("1 * 2"), 5, "* stands alone"},
	{A_SHOPS(""), 5, "shop_ids is empty"},
	{A_SHOPS("1 YOUR-SHOP-ID"), 5, "still has the example's YOUR-SHOP-ID"},
	{ONE("shansong", "/cb", "YOUR-CLIENT-ID", "s"), 4, "still the example's YOUR-CLIENT-ID"},
	{A_SHOPS("1,2"), 5, "'1,2' has a character that is not allowed"},
	/* endpoints */
	{"[endpoint a]\npath = /cb\n" ENDPOINT("b", "/b"), 1, "[endpoint a] has no platform"},
	{"[endpoint a]\nplatform = shansong\n", 1, "[endpoint a] has no path"},
	{A_TOKEN("credential:"), 2, "has no name"},
	{A_TOKEN("credential:../shadow"), 2, "has a name that is a path"},
	{A_TOKEN("credential:.."), 2, "has a name that is a path"},
	{A_TOKEN("file:"), 2, "has no path"},
	{A_TOKEN(""), 2, "token: the value is no reference"},
	{ENDPOINT("b", "/cb") GOOD, 10, "that of [endpoint b] in line 1"},
	{ENDPOINT("b", "/cb/" TOKEN_LIKE) GOOD, 10, "could be a token"},
	{GOOD ENDPOINT("b", "/cb/" TOKEN_LIKE), 10, "could be a token"},
	{"[endpoint a]\nplatform = shansong\npath = /cb\nclient_id = c\nshop_ids = *\n"
	 "secrets = file:s\n",
	 1, "neither a token nor signature = required"},
	{"[endpoint a]\nplatform = shansong\npath = /cb\nclient_id = c\nshop_ids = *\n"
	 "signature = required\n",
	 6, "needs secrets"},
	{"[endpoint a]\nplatform = shansong\npath = /cb\nclient_id = c\nshop_ids = *\n"
	 "token = file:t\n",
	 1, "needs secrets"},
	{GOOD "signature = maybe\n", 8, "allowed: required | if-present | off"},
};

static int parse(struct slice text, struct config **ret, struct buf *problem)
{
	return config_parse("t.conf", text, ret, problem);
}

static void test_every_mistake_is_told_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		struct config *config = (struct config *)&problem;
		char where[32];
		int err = parse(slice_of(refused[i].text), &config, &problem);
		snprintf(where, sizeof(where), "t.conf:%d: ", refused[i].line);
		bool told = problem.len && strstr(problem.data, refused[i].problem) &&
			    slice_starts_with(buf_slice(&problem), slice_of(where));
		if (err != -ERR_CONFIG || !told)
			fail_msg("row %zu: err %d, '%s', expected %s…%s", i, err,
				 problem.len ? problem.data : "", where, refused[i].problem);
		assert_ptr_equal(config, &problem);
	}
	assert_true(sizeof(refused) / sizeof(refused[0]) >= 60);
}

static void test_nul_is_refused(void **state)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;

	(void)state;
	assert_int_equal(parse(SLICE(GOOD "[store]\npath = a\0b\n"), &config, &problem),
			 -ERR_CONFIG);
	assert_string_equal(
		problem.data,
		"t.conf:9: the line has the control character 0x00; allowed is text in UTF-8");
}

static void test_literal_secret_is_refused_and_never_repeated(void **state)
{
	static const char *const texts[] = {
		A_TOKEN("hunter2hunter2hunter2"),
		A_TOKEN("Hunter2"),
		GOOD "signature = off\nhunter2hunter2hunter2hunter2=\n",
		"[endpoint a]\nsecrets = file:s\n  hunter2hunter2hunter2\n",
		"[endpoint a]\nsecrets = credential:s hunter2hunter2hunter2\n",
		"[endpoint a]\ntoken\thunter2hunter2hunter2==\n",
		"[endpoint a]\nhunter2hunter2hunter2\n",
		"[endpoint a]\ntoken = file:t\n  hunter2\n",
		"[endpoint a]\ntoken: hunter2\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		struct config *config = NULL;
		assert_int_equal(parse(slice_of(texts[i]), &config, &problem), -ERR_CONFIG);
		assert_null(strcasestr(problem.data, "hunter2"));
	}
}

static void test_file_that_cannot_be_read_is_told(void **state)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;

	(void)state;
	assert_int_equal(config_load("/nonexistent/x.conf", &config, &problem), -ERR_CONFIG);
	assert_string_equal(problem.data, "/nonexistent/x.conf:1: the file cannot be read: No such "
					  "file or directory; -c names another one");
	buf_reset(&problem);
	assert_int_equal(config_load("/", &config, &problem), -ERR_CONFIG);
	assert_non_null(strstr(problem.data, "Is a directory"));
	assert_null(config);
}

static void test_file_is_read_from_disk(void **state)
{
	char path[] = P_tmpdir "/orderhook-config-XXXXXX";
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, GOOD, strlen(GOOD)), strlen(GOOD));
	int err = config_load(path, &config, &problem);
	/* Gone before anything can fail. */
	unlink(path);
	assert_int_equal(err, 0);
	assert_string_equal(config->file, path);
	config_free(config);
	config = NULL;
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(write(fd, (char[4096]){'\n'}, 4096), 4096);
	char descriptor[64];
	snprintf(descriptor, sizeof(descriptor), "/proc/self/fd/%d", fd);
	assert_int_equal(config_load(descriptor, &config, &problem), -ERR_CONFIG);
	assert_non_null(strstr(problem.data, "longer than 1 MiB"));
	close(fd);
}

static void test_no_prefix_of_a_file_is_read_wrongly(void **state)
{
	static const char text[] = "# c\n[store]\npath = /x\n" SERVER(
		"listen = [::1]:1\ntrusted_proxies =\n  ::1\n  unix");

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		/* A copy of its own, so that reading beyond it is seen. */
		char *copy = malloc(len + 1);
		struct config *config = NULL;
		memcpy(copy, text, len);
		int err = parse((struct slice){copy, len}, &config, &problem);
		assert_true(err == 0 || (err == -ERR_CONFIG && problem.len));
		config_free(config);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_mistake_is_told_with_its_line),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_literal_secret_is_refused_and_never_repeated),
		cmocka_unit_test(test_file_that_cannot_be_read_is_told),
		cmocka_unit_test(test_file_is_read_from_disk),
		cmocka_unit_test(test_no_prefix_of_a_file_is_read_wrongly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
