/* The configuration that is right: its defaults, where every key lands, long lines and lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "orderhook/config.h"
#include "orderhook/err.h"

/* The shortest configuration there is. */
#define ENDPOINT(name, path)                                                          \
	"[endpoint " name "]\nplatform = shansong\npath = " path "\ntoken = file:t\n" \
	"client_id = c\nshop_ids = s\nsecrets = file:s\n"
#define GOOD ENDPOINT("a", "/cb")
#define SERVER(lines) "[server]\n" lines "\n" GOOD
#define STORE(lines) "[store]\n" lines "\n" GOOD
#define ATTENTION(lines) "[attention]\n" lines "\n" GOOD
#define TEN(s) s s s s s s s s s s
#define TOKEN_LIKE "abcdefghijklmnop"

static int parse(struct slice text, struct config **ret, struct buf *problem)
{
	return config_parse("t.conf", text, ret, problem);
}

static struct config *parse_good(const char *text)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;

	if (parse(slice_of(text), &config, &problem))
		fail_msg("%s", problem.data);
	assert_int_equal(problem.len, 0);
	return config;
}

static void test_defaults_are_those_of_the_contract(void **state)
{
	struct config *config = parse_good(GOOD);

	(void)state;
	assert_string_equal(config->file, "t.conf");
	assert_string_equal(config->server.listen, "127.0.0.1:8080");
	assert_string_equal(config->server.admin_listen, "unix:/run/orderhook/admin.sock");
	assert_int_equal(config->server.unix_mode, 0660);
	assert_int_equal(config->server.threads, 1);
	assert_int_equal(config->server.connection_limit, 1024);
	assert_int_equal(config->server.max_body_bytes, 65536);
	assert_int_equal(config->server.request_timeout_ms, 10000);
	assert_int_equal(config->server.keepalive_timeout_ms, 75000);
	assert_int_equal(config->server.queue_limit, 4096);
	assert_int_equal(config->server.commit_timeout_ms, 5000);
	assert_int_equal(config->server.trusted_proxies.n, 3);
	assert_string_equal(config->server.trusted_proxies.items[2], "unix");
	assert_string_equal(config->store.path, "/var/lib/orderhook/orderhook.db");
	assert_string_equal(config->store.environment, "production");
	assert_int_equal(config->store.batch_limit, 512);
	assert_int_equal(config->store.retention_ms, 0);
	assert_int_equal(config->store.held_limit_bytes, 16 << 20);
	assert_int_equal(config->endpoints[0].signature, SIGNATURE_IF_PRESENT);
	assert_int_equal(config->n_attention, 3);
	assert_int_equal(config->attention[0].status, 20);
	assert_int_equal(config->attention[0].limit_ms, 30 * 60000);
	assert_int_equal(config->attention[1].limit_ms, 60 * 60000);
	assert_int_equal(config->attention[2].limit_ms, 180 * 60000);
	config_free(config);
}

static void test_every_key_lands_in_its_member(void **state)
{
	struct config *config = parse_good(
		"\xef\xbb\xbf# a byte order mark and comments\n"
		"; of either kind\n"
		"\t# indented\n"
		"[server]\nlisten=[::1]:0\nadmin_listen\t=  localhost:65535  \nunix_mode = 600\n"
		"threads = 16\nconnection_limit = 16\nmax_body = 1024\nrequest_timeout = 100ms\n"
		"keepalive_timeout = 1h\nqueue_limit = 1\ncommit_timeout = 2m\ntrusted_proxies =\n"
		"[store]\npath = run/日志 1.db\nenvironment = test\nbatch_limit = 1\nretention = "
		"90d\n"
		"held_limit = 1G\n"
		"[endpoint\tfirst_-1]\nplatform = shansong\npath = /a%2F~\ntoken = credential:my "
		"token\n"
		"client_id = c.d:e-f_g\nshop_ids = 1 2\t3\nsignature = required\n"
		"secrets = file:/a=b credential:c");

	(void)state;
	assert_string_equal(config->server.listen, "[::1]:0");
	assert_string_equal(config->server.admin_listen, "localhost:65535");
	assert_int_equal(config->server.unix_mode, 0600);
	assert_int_equal(config->server.threads, 16);
	assert_int_equal(config->server.connection_limit, 16);
	assert_int_equal(config->server.max_body_bytes, 1024);
	assert_int_equal(config->server.request_timeout_ms, 100);
	assert_int_equal(config->server.keepalive_timeout_ms, 3600000);
	assert_int_equal(config->server.queue_limit, 1);
	assert_int_equal(config->server.commit_timeout_ms, 120000);
	assert_int_equal(config->server.trusted_proxies.n, 0);
	assert_string_equal(config->store.path, "run/日志 1.db");
	assert_string_equal(config->store.environment, "test");
	assert_int_equal(config->store.batch_limit, 1);
	assert_int_equal(config->store.retention_ms, 90LL * 86400000);
	assert_int_equal(config->store.held_limit_bytes, 1 << 30);
	assert_string_equal(config->endpoints[0].name, "first_-1");
	assert_int_equal(config->endpoints[0].line, 22);
	assert_string_equal(config->endpoints[0].platform, "shansong");
	assert_string_equal(config->endpoints[0].path, "/a%2F~");
	assert_string_equal(config->endpoints[0].token, "credential:my token");
	assert_string_equal(config->endpoints[0].client_id, "c.d:e-f_g");
	assert_int_equal(config->endpoints[0].shop_ids.n, 3);
	assert_string_equal(config->endpoints[0].shop_ids.items[2], "3");
	assert_int_equal(config->endpoints[0].signature, SIGNATURE_REQUIRED);
	assert_string_equal(config->endpoints[0].secrets.items[0], "file:/a=b");
	assert_string_equal(config->endpoints[0].secrets.items[1], "credential:c");
	config_free(config);
}

static void test_what_is_allowed_is_accepted(void **state)
{
	static const char *const texts[] = {
		SERVER("listen = 127.0.0.1:0\nadmin_listen = 127.0.0.1:0"),
		SERVER("listen = unix:run/http.sock\nadmin_listen = unix:run/admin.sock"),
		SERVER("listen = host-1.example:1"),
		SERVER("trusted_proxies = 10.0.0.0/8 fd00::/8 0.0.0.0/0 unix"),
		STORE("environment = " TEN("abcdef") "abcd"),
		STORE("path = a#b;c"),
		STORE("retention = 1d"),
		GOOD ENDPOINT("b", "/cb/short"),
		GOOD ENDPOINT("b", "/cb/" TOKEN_LIKE "/more"),
		GOOD ENDPOINT("b", "/cb" TOKEN_LIKE),
		"[endpoint a]\nplatform = shansong\npath = /..a/.b\nclient_id = c\nshop_ids = "
		"s\ntoken = file:t\nsecrets = file:s\n",
		"[endpoint a]\nplatform = shansong\npath = /cb\ntoken = file:t\nclient_id = c\n"
		"shop_ids = *\nsignature = off\n",
		"[endpoint a]\nplatform = shansong\npath = /cb\nclient_id = c\nshop_ids = *\n"
		"signature = required\nsecrets = file:s\n",
		"[attention]\n" GOOD,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		config_free(parse_good(texts[i]));
}

static void test_attention_is_merged_into_its_defaults(void **state)
{
	struct config *config = parse_good(ATTENTION("40 = 0\n999 = 1d\n30 = 1h\n0 = 5m"));

	(void)state;
	assert_int_equal(config->n_attention, 4);
	assert_int_equal(config->attention[0].status, 0);
	assert_int_equal(config->attention[1].status, 20);
	assert_int_equal(config->attention[2].status, 30);
	assert_int_equal(config->attention[2].limit_ms, 3600000);
	assert_int_equal(config->attention[3].status, 999);
	config_free(config);
}

static void test_list_goes_on_in_indented_lines(void **state)
{
	struct config *config = parse_good("[endpoint a]\nshop_ids = 1\n  2 3\n# between\n\t4\n"
					   "platform = shansong\npath = /cb\ntoken = file:t\n"
					   "client_id = c\nsecrets =\n file:s\n file:[x]=y\n");

	(void)state;
	assert_int_equal(config->endpoints[0].shop_ids.n, 4);
	assert_string_equal(config->endpoints[0].shop_ids.items[3], "4");
	assert_int_equal(config->endpoints[0].secrets.n, 2);
	assert_string_equal(config->endpoints[0].secrets.items[1], "file:[x]=y");
	config_free(config);
}

/* libinih's buffer has 200 bytes: every place of the value is once where it ends. */
static void test_long_values_are_whole_wherever_a_line_is_cut(void **state)
{
	static const char path[] = "/a b  c   d/\xe9\x97\xaa e=f:g [h]    i/" TEN("0123456789");

	(void)state;
	for (int blanks = 100; blanks < 300; blanks++) {
		BUF_AUTO struct buf text = BUF_INIT(8192);
		buf_addf(&text, "[store]\npath =%*s%s\n" GOOD, blanks, "", path);
		struct config *config = parse_good(text.data);
		assert_string_equal(config->store.path, path);
		config_free(config);
	}
}

static void test_value_behind_many_blanks_is_found(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(8192);

	(void)state;
	buf_addf(&text, "[store]\nenvironment =%300stest\n[endpoint %s]\n%s", "",
		 TEN("abcdef") "wxyz", strchr(GOOD, '\n') + 1);
	struct config *config = parse_good(text.data);
	assert_string_equal(config->store.environment, "test");
	assert_string_equal(config->endpoints[0].name, TEN("abcdef") "wxyz");
	config_free(config);
}

static void test_line_is_bounded(void **state)
{
	(void)state;
	for (int over = 0; over <= 1; over++) {
		BUF_AUTO struct buf text = BUF_INIT(16384);
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		struct config *config = NULL;
		buf_addf(&text, "[store]\npath =%*s\n" GOOD, CONFIG_LINE_BYTES_MAX - 6 + over,
			 "last");
		int err = parse(buf_slice(&text), &config, &problem);
		assert_int_equal(err, over ? -ERR_CONFIG : 0);
		if (over)
			assert_non_null(
				strstr(problem.data, "t.conf:2: the line is longer than 4096"));
		else
			assert_string_equal(config->store.path, "last");
		config_free(config);
	}
}

static void shops(size_t n, struct buf *text)
{
	buf_add_string(text, "[endpoint a]\nshop_ids =");
	for (size_t i = 0; i < n; i++)
		buf_addf(text, "%s shop-%040zu", i % 80 == 79 ? "\n " : "", i);
	buf_add_string(text, "\nplatform = shansong\npath = /cb\ntoken = file:t\nclient_id = c\n"
			     "secrets = file:s\n");
}

static void test_list_holds_256_items_and_no_more(void **state)
{
	(void)state;
	for (size_t n = CONFIG_LIST_MAX; n <= CONFIG_LIST_MAX + 1; n++) {
		BUF_AUTO struct buf text = BUF_INIT(64 * 1024);
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		struct config *config = NULL;
		shops(n, &text);
		int err = parse(buf_slice(&text), &config, &problem);
		assert_int_equal(err, n > CONFIG_LIST_MAX ? -ERR_CONFIG : 0);
		if (!err)
			assert_int_equal(config->endpoints[0].shop_ids.n, n);
		config_free(config);
	}
}

static void test_file_holds_32_endpoints_and_no_more(void **state)
{
	(void)state;
	for (int n = CONFIG_ENDPOINTS_MAX; n <= CONFIG_ENDPOINTS_MAX + 1; n++) {
		BUF_AUTO struct buf text = BUF_INIT(64 * 1024);
		BUF_AUTO struct buf problem = BUF_INIT(4096);
		struct config *config = NULL;
		for (int i = 0; i < n; i++)
			buf_addf(&text,
				 "[endpoint e%d]\nplatform = shansong\npath = /cb/%d\n"
				 "token = file:t\nclient_id = c\nshop_ids = s\nsecrets = file:s\n",
				 i, i);
		int err = parse(buf_slice(&text), &config, &problem);
		if (n > CONFIG_ENDPOINTS_MAX) {
			assert_int_equal(err, -ERR_CONFIG);
			assert_string_equal(problem.data,
					    "t.conf:225: there are more than 32 endpoints");
		} else {
			assert_int_equal(err, 0);
			assert_int_equal(config->n_endpoints, 32);
			assert_string_equal(config->endpoints[31].path, "/cb/31");
		}
		config_free(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_are_those_of_the_contract),
		cmocka_unit_test(test_every_key_lands_in_its_member),
		cmocka_unit_test(test_what_is_allowed_is_accepted),
		cmocka_unit_test(test_attention_is_merged_into_its_defaults),
		cmocka_unit_test(test_list_goes_on_in_indented_lines),
		cmocka_unit_test(test_long_values_are_whole_wherever_a_line_is_cut),
		cmocka_unit_test(test_value_behind_many_blanks_is_found),
		cmocka_unit_test(test_line_is_bounded),
		cmocka_unit_test(test_list_holds_256_items_and_no_more),
		cmocka_unit_test(test_file_holds_32_endpoints_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
