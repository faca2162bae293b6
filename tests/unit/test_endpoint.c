/* Endpoints: their secrets sorted by use, their URL compared, their refusals in words. */
#include "shansong_help.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/endpoint_set.h"

#define PROBLEM_BYTES 4096

/* Secrets in files of a directory of the test's own. */
struct fixture {
	char dir[64];
	char references[4][128];
	char *items[4];
	struct config_endpoint config;
};

static char star[] = "*";
static char *any_shop[] = {star};

static void write_secret(struct fixture *fixture, int i, const char *text)
{
	char reference[sizeof(fixture->references[i])];
	const char *path = reference + strlen("file:");
	FILE *file;

	snprintf(reference, sizeof(reference), "file:%s/secret-%d", fixture->dir, i);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
	memcpy(fixture->references[i], reference, sizeof(reference));
	fixture->items[i] = fixture->references[i];
}

static int begin(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	static char name[] = "shop";
	static char platform[] = "shansong";
	static char path[] = "/callback/shansong";

	assert_non_null(fixture);
	snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/test_endpoint-XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	fixture->config = (struct config_endpoint){.name = name,
						   .platform = platform,
						   .path = path,
						   .client_id = help_client,
						   .shop_ids = {help_shops, 1},
						   .signature = SIGNATURE_IF_PRESENT,
						   .line = 7};
	fixture->config.secrets.items = fixture->items;
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 4; i++) {
		if (fixture->references[i][0])
			unlink(fixture->references[i] + strlen("file:"));
	}
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

static struct endpoint *made(const struct fixture *fixture)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	struct endpoint *endpoint = NULL;

	assert_int_equal(endpoint_new(&fixture->config, &endpoint, &problem), 0);
	assert_int_equal(problem.len, 0);
	return endpoint;
}

static void assert_refused(const struct fixture *fixture, int err, const char *word)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	struct endpoint *endpoint = NULL;

	assert_int_equal(endpoint_new(&fixture->config, &endpoint, &problem), err);
	assert_null(endpoint);
	assert_true(problem.len > 0);
	if (!strstr(problem.data, word))
		fail_msg("'%s' does not say '%s'", problem.data, word);
	assert_null(strstr(problem.data, "sesame"));
}

static enum endpoint_match match(const struct endpoint *endpoint, const char *path)
{
	return endpoint_match_path(endpoint, slice_of(path));
}

static void test_keys_for_hmac_and_for_md5_are_kept_apart(void **state)
{
	struct fixture *fixture = *state;
	struct endpoint *endpoint;

	write_secret(fixture, 0, "open-sesame-000001");
	write_secret(fixture, 1, "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n");
	write_secret(fixture, 2, "other-sesame-00001\n");
	fixture->config.secrets.n = 3;
	endpoint = made(fixture);
	assert_int_equal(endpoint->n_secrets, 2);
	assert_string_equal(endpoint->secrets[0].bytes, "open-sesame-000001");
	assert_string_equal(endpoint->secrets[1].bytes, "other-sesame-00001");
	assert_int_equal(endpoint->n_hmac_keys, 1);
	assert_int_equal(endpoint->hmac_keys[0].len, 32);
	assert_int_equal(endpoint->hmac_keys[0].bytes[31], 32);
	assert_string_equal(endpoint->name, "shop");
	assert_string_equal(endpoint->client_id, "clientId");
	assert_ptr_equal(endpoint->platform, platform_shansong());
	assert_false(endpoint->any_shop);
	assert_int_equal(endpoint->shop_ids.n, 1);
	endpoint_free(endpoint);
}

static void test_a_star_lets_any_shop_in(void **state)
{
	struct fixture *fixture = *state;
	struct endpoint *endpoint;

	fixture->config.shop_ids = (struct config_list){any_shop, 1};
	endpoint = made(fixture);
	assert_true(endpoint->any_shop);
	endpoint_free(endpoint);
}

static void test_a_bad_whsec_key_is_refused_with_the_remedy(void **state)
{
	struct fixture *fixture = *state;

	write_secret(fixture, 0, "whsec_sesame-sesame-sesame");
	fixture->config.secrets.n = 1;
	assert_refused(fixture, -ERR_SECRET_FORM, "openssl rand -base64 32");
}

static void test_a_missing_secret_is_refused(void **state)
{
	struct fixture *fixture = *state;
	static char reference[] = "file:/nonexistent/orderhook-secret";

	fixture->items[0] = reference;
	fixture->config.secrets.n = 1;
	assert_refused(fixture, -ERR_SECRET_MISSING, "/nonexistent/orderhook-secret");
}

static void test_a_secret_that_begins_another_is_refused(void **state)
{
	struct fixture *fixture = *state;

	write_secret(fixture, 0, "open-sesame-000001abortReason1");
	write_secret(fixture, 1, "open-sesame-000001");
	fixture->config.secrets.n = 2;
	assert_refused(fixture, -ERR_CONFIG, "beginning of another");
	/* The same one twice is only a repetition. */
	write_secret(fixture, 0, "open-sesame-000001");
	endpoint_free(made(fixture));
}

static void test_an_unknown_platform_is_refused(void **state)
{
	struct fixture *fixture = *state;
	static char other[] = "dada";

	fixture->config.platform = other;
	assert_refused(fixture, -ERR_CONFIG, "'dada'");
	assert_null(platform_find("Shansong"));
	assert_ptr_equal(platform_find("shansong"), platform_shansong());
}

static void test_without_a_token_the_path_alone_is_the_url(void **state)
{
	struct fixture *fixture = *state;
	struct endpoint *endpoint = made(fixture);

	assert_int_equal(match(endpoint, "/callback/shansong"), ENDPOINT_MATCH_PATH);
	assert_int_equal(match(endpoint, "/callback/shansong/"), ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shanson"), ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/Shansong"), ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, ""), ENDPOINT_NO_MATCH);
	endpoint_free(endpoint);
}

static void test_with_a_token_only_the_whole_url_matches(void **state)
{
	struct fixture *fixture = *state;
	struct endpoint *endpoint;

	write_secret(fixture, 0, "open-sesame-000001");
	fixture->config.token = fixture->references[0];
	endpoint = made(fixture);
	assert_int_equal(match(endpoint, "/callback/shansong/open-sesame-000001"),
			 ENDPOINT_MATCH_TOKEN);
	assert_int_equal(match(endpoint, "/callback/shansong"), ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong/"), ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong/open-sesame-000002"),
			 ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong/open-sesame-00000"),
			 ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong/open-sesame-0000011"),
			 ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong/open-sesame-000001/"),
			 ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong?open-sesame-000001"),
			 ENDPOINT_NO_MATCH);
	assert_int_equal(match(endpoint, "/callback/shansong/%6fpen-sesame-000001"),
			 ENDPOINT_NO_MATCH);
	endpoint_free(endpoint);
}

static void test_set_finds_the_endpoint_and_frees_with_its_last_user(void **state)
{
	struct fixture *fixture = *state;
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	struct config_endpoint endpoints[2] = {fixture->config, fixture->config};
	struct config config = {.endpoints = endpoints, .n_endpoints = 2};
	static char path[] = "/other";
	struct endpoint_set *set = NULL;
	bool token_ok = true;

	endpoints[1].path = path;
	assert_int_equal(endpoint_set_new(&config, &set, &problem), 0);
	assert_int_equal(endpoint_set_count(set), 2);
	assert_ptr_equal(endpoint_set_match(set, slice_of("/other"), &token_ok),
			 endpoint_set_get(set, 1));
	assert_false(token_ok);
	assert_null(endpoint_set_match(set, slice_of("/nowhere"), &token_ok));
	assert_ptr_equal(endpoint_set_ref(set), set);
	endpoint_set_unref(set);
	assert_int_equal(endpoint_set_count(set), 2);
	endpoint_set_unref(set);
	/* Nothing is fine, too. */
	endpoint_set_unref(NULL);
	endpoint_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keys_for_hmac_and_for_md5_are_kept_apart,
						begin, end),
		cmocka_unit_test_setup_teardown(test_a_star_lets_any_shop_in, begin, end),
		cmocka_unit_test_setup_teardown(test_a_bad_whsec_key_is_refused_with_the_remedy,
						begin, end),
		cmocka_unit_test_setup_teardown(test_a_missing_secret_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_a_secret_that_begins_another_is_refused, begin,
						end),
		cmocka_unit_test_setup_teardown(test_an_unknown_platform_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_without_a_token_the_path_alone_is_the_url,
						begin, end),
		cmocka_unit_test_setup_teardown(test_with_a_token_only_the_whole_url_matches, begin,
						end),
		cmocka_unit_test_setup_teardown(
			test_set_finds_the_endpoint_and_frees_with_its_last_user, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
