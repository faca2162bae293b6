/* The configuration printed again, and what a reload can take over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "orderhook/config.h"
#include "orderhook/err.h"

#define ENDPOINT                                                               \
	"[endpoint a]\nplatform = shansong\npath = /cb\ntoken = file:/etc/t\n" \
	"client_id = c\nshop_ids = s\nsecrets = file:/etc/s\n"
#define DUMP_BYTES (1024 * 1024)

static struct config *parse(const char *text)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;

	if (config_parse("t.conf", slice_of(text), &config, &problem))
		fail_msg("%s\n%s", problem.data, text);
	return config;
}

static void dump(const struct config *config, struct buf *out)
{
	buf_reset(out);
	assert_int_equal(config_dump(config, out), 0);
}

/* What an operator does who takes a dump for a new file. */
static void fill_in_references(const struct buf *from, struct buf *to)
{
	struct slice rest = buf_slice(from);
	const char *stars;

	buf_reset(to);
	while ((stars = slice_find(rest, SLICE("***")))) {
		buf_add(to, rest.at, (size_t)(stars - rest.at));
		buf_add_string(to, "file:x");
		rest.len -= (size_t)(stars + 3 - rest.at);
		rest.at = stars + 3;
	}
	buf_add_slice(to, rest);
}

static void assert_round_trip(const char *text)
{
	BUF_AUTO struct buf first = BUF_INIT(DUMP_BYTES);
	BUF_AUTO struct buf filled = BUF_INIT(DUMP_BYTES);
	BUF_AUTO struct buf second = BUF_INIT(DUMP_BYTES);
	struct config *config = parse(text);

	dump(config, &first);
	fill_in_references(&first, &filled);
	struct config *again = parse(filled.data);
	dump(again, &second);
	assert_string_equal(first.data, second.data);
	config_free(again);
	config_free(config);
}

static void test_what_is_dumped_can_be_read_again(void **state)
{
	BUF_AUTO struct buf many = BUF_INIT(DUMP_BYTES);

	(void)state;
	assert_round_trip(ENDPOINT);
	assert_round_trip(
		"[server]\ntrusted_proxies =\nunix_mode = 0000\nrequest_timeout = 1500ms\n"
		"max_body = 1025\n[store]\nretention = 36h\npath = a b#c;d\n"
		"[attention]\n20 = 0\n0 = 1s\n999 = 365d\n" ENDPOINT);
	assert_round_trip(
		"[endpoint b]\nplatform = shansong\npath = /b\nclient_id = c\nshop_ids = *\n"
		"signature = required\nsecrets = file:a file:b credential:c\n" ENDPOINT);
	buf_add_string(&many, "[endpoint many]\nplatform = shansong\npath = /m\nclient_id = c\n"
			      "signature = required\nsecrets = file:a\nshop_ids =\n");
	for (int i = 0; i < CONFIG_LIST_MAX; i++)
		buf_addf(&many, " %064d\n", i);
	assert_round_trip(many.data);
	buf_reset(&many);
	buf_addf(&many, "[store]\npath=/%03999d\n" ENDPOINT, 0);
	assert_round_trip(many.data);
}

static void test_every_key_is_dumped_with_its_value(void **state)
{
	static const char *const names[] = {
#define CONFIG_KEY(section, key, type, standard, min, max, unit, change, member, text) key,
#include "orderhook/tbl/config_key.def"
#undef CONFIG_KEY
	};
	BUF_AUTO struct buf text = BUF_INIT(DUMP_BYTES);
	struct config *config = parse("[attention]\n50 = 1d\n" ENDPOINT);

	(void)state;
	dump(config, &text);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char line[64];
		snprintf(line, sizeof(line),
			 "\n%s =", strcmp(names[i], "STATUS") ? names[i] : "50");
		if (!strstr(text.data, line))
			fail_msg("no %s in\n%s", line, text.data);
	}
	config_free(config);
}

static void test_dump_shows_units_and_defaults_and_no_reference(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(DUMP_BYTES);
	struct config *config = parse("[server]\nqueue_limit = 7\nmax_body = 65536\n" ENDPOINT);

	(void)state;
	dump(config, &text);
	assert_non_null(
		strstr(text.data, "; 100ms to 1h; this is the default\nrequest_timeout = 10s\n"));
	assert_non_null(
		strstr(text.data, "# 1 to 1000000 callbacks; default 4096\nqueue_limit = 7\n"));
	assert_non_null(strstr(text.data, "this is the default\nmax_body = 64K\n"));
	assert_non_null(strstr(text.data, "this is the default\nunix_mode = 0660\n"));
	assert_non_null(strstr(text.data, "this is the default\nsignature = if-present\n"));
	assert_non_null(strstr(text.data, "this is the default\n30 = 1h\n"));
	assert_non_null(strstr(text.data, "required\nclient_id = c\n"));
	assert_non_null(strstr(text.data, "\ntoken = ***\n"));
	assert_non_null(strstr(text.data, "\nsecrets = ***\n"));
	assert_null(strstr(text.data, "/etc/"));
	config_free(config);
}

static void test_token_that_is_not_there_is_dumped_as_a_comment(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(DUMP_BYTES);
	struct config *config =
		parse("[endpoint b]\nplatform = shansong\npath = /b\nclient_id = c\n"
		      "shop_ids = *\nsignature = required\nsecrets = file:a file:b\n");

	(void)state;
	dump(config, &text);
	assert_non_null(strstr(text.data, "may be left out\n#token =\n"));
	assert_non_null(strstr(text.data, "\nsecrets = *** ***\n"));
	config_free(config);
}

static void test_dump_that_does_not_fit_is_an_error(void **state)
{
	struct config *config = parse(ENDPOINT);

	(void)state;
	for (size_t limit = 0; limit < 3000; limit += 97) {
		BUF_AUTO struct buf text = BUF_INIT(limit);
		assert_int_equal(config_dump(config, &text), -ERR_TOO_LONG);
	}
	config_free(config);
}

static void assert_restart(const char *before, const char *after, const char *expected)
{
	BUF_AUTO struct buf names = BUF_INIT(4096);
	struct config *running = parse(before);
	struct config *next = parse(after);

	assert_int_equal(config_restart_keys(running, next, &names), 0);
	assert_string_equal(names.len ? names.data : "", expected);
	config_free(running);
	config_free(next);
}

static void test_restart_is_asked_for_by_name_and_only_where_needed(void **state)
{
	(void)state;
	assert_restart(ENDPOINT, ENDPOINT, "");
	assert_restart(ENDPOINT,
		       "[server]\nrequest_timeout = 1s\nmax_body = 1M\ntrusted_proxies =\n"
		       "[attention]\n20 = 1s\n[endpoint other]\nplatform = shansong\n"
		       "path = /other\ntoken = file:x\nclient_id = o\nshop_ids = *\n"
		       "signature = off\n",
		       "");
	assert_restart(ENDPOINT, "[server]\nthreads = 1\nqueue_limit = 4096\n" ENDPOINT, "");
	assert_restart(ENDPOINT,
		       "[server]\nthreads = 2\n[store]\nbatch_limit = 7\npath = x\n" ENDPOINT,
		       "[server] threads, [store] path, [store] batch_limit");
	assert_restart(
		"[server]\nlisten = [::1]:1\nadmin_listen = [::1]:2\nunix_mode = 0600\n"
		"connection_limit = 16\nkeepalive_timeout = 1s\ncommit_timeout = 1s\n"
		"[store]\nenvironment = test\nretention = 1d\nheld_limit = 1M\n" ENDPOINT,
		ENDPOINT,
		"[server] listen, [server] admin_listen, [server] unix_mode, "
		"[server] connection_limit, [server] keepalive_timeout, [server] commit_timeout, "
		"[store] environment, [store] retention, [store] held_limit");
}

/* From the project's root, where the tests are run. */
static struct config *load(const char *file)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;

	if (config_load(file, &config, &problem))
		fail_msg("%s", problem.data);
	return config;
}

/* The packaged example with its two blanks filled in. With all of it, "#key = value" becomes
 * "key = value"; other comments have a blank behind their #. */
static void example(bool all, struct buf *out)
{
	FILE *stream = fopen("etc/orderhook.conf", "re");
	char line[4096];

	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream)) {
		bool key = all && line[0] == '#' && line[1] != ' ' && strchr(line, '=');
		char *blank = line[0] == '#' ? NULL : strstr(line, "= YOUR-");
		if (blank)
			snprintf(blank, sizeof(line) - (size_t)(blank - line), "= mine\n");
		assert_int_equal(buf_add_string(out, line + key), 0);
	}
	fclose(stream);
}

static void test_packaged_example_says_what_the_defaults_are(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(DUMP_BYTES);
	BUF_AUTO struct buf all = BUF_INIT(DUMP_BYTES);
	BUF_AUTO struct buf commented = BUF_INIT(DUMP_BYTES);
	BUF_AUTO struct buf uncommented = BUF_INIT(DUMP_BYTES);
	struct config *config;

	(void)state;
	example(false, &text);
	config = parse(text.data);
	dump(config, &commented);
	config_free(config);
	example(true, &all);
	assert_non_null(strstr(all.data, "\nqueue_limit = 4096\n"));
	config = parse(all.data);
	dump(config, &uncommented);
	config_free(config);
	assert_string_equal(commented.data, uncommented.data);
}

static void test_packaged_example_is_refused_until_it_is_edited(void **state)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;

	(void)state;
	assert_int_equal(config_load("etc/orderhook.conf", &config, &problem), -ERR_CONFIG);
	assert_non_null(strstr(problem.data, "YOUR-CLIENT-ID"));
}

static void test_configuration_of_make_run_takes_the_captured_callbacks(void **state)
{
	struct config *config = load("etc/orderhook.dev.conf");

	(void)state;
	assert_string_equal(config->server.listen, "127.0.0.1:8080");
	assert_string_equal(config->store.environment, "test");
	assert_string_equal(config->endpoints[0].client_id, "clientId");
	assert_string_equal(config->endpoints[0].shop_ids.items[0], "shopId");
	assert_int_equal(config->endpoints[0].signature, SIGNATURE_IF_PRESENT);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_dumped_can_be_read_again),
		cmocka_unit_test(test_every_key_is_dumped_with_its_value),
		cmocka_unit_test(test_dump_shows_units_and_defaults_and_no_reference),
		cmocka_unit_test(test_token_that_is_not_there_is_dumped_as_a_comment),
		cmocka_unit_test(test_dump_that_does_not_fit_is_an_error),
		cmocka_unit_test(test_restart_is_asked_for_by_name_and_only_where_needed),
		cmocka_unit_test(test_packaged_example_says_what_the_defaults_are),
		cmocka_unit_test(test_packaged_example_is_refused_until_it_is_edited),
		cmocka_unit_test(test_configuration_of_make_run_takes_the_captured_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
