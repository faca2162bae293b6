/*
 * The configuration's reader. What it refuses it must explain, in one line that begins with file
 * and line; what it takes must come out of --dump-config as a file that is taken again and comes
 * out the same, but for the secrets, and no endpoint in it lacks what it needs.
 */
#include "fuzz.h"
#include "orderhook/config.h"
#include "orderhook/err.h"

#define NAME "fuzz.conf"

void fuzz_begin(void)
{
}

/* "fuzz.conf:LINE: text" */
static void check_problem(struct slice problem)
{
	struct slice rest = problem;
	uint64_t line;

	FUZZ_ASSERT(slice_equal_string(fuzz_take_until(&rest, ':'), NAME));
	FUZZ_ASSERT(slice_to_u64(fuzz_take_until(&rest, ':'), UINT32_MAX, &line) == 0 && line > 0);
	FUZZ_ASSERT(rest.len > 1 && rest.at[0] == ' ');
	for (size_t i = 0; i < rest.len; i++)
		FUZZ_ASSERT(rest.at[i] == '\t' ||
			    ((unsigned char)rest.at[i] >= ' ' && rest.at[i] != 0x7f));
}

/* What the contract asks of an endpoint. */
static void check_endpoint(const struct config_endpoint *endpoint)
{
	FUZZ_ASSERT(endpoint->platform && endpoint->path && endpoint->path[0] == '/');
	FUZZ_ASSERT(endpoint->client_id && endpoint->shop_ids.n);
	FUZZ_ASSERT(endpoint->token || endpoint->signature == SIGNATURE_REQUIRED);
	FUZZ_ASSERT(endpoint->secrets.n || endpoint->signature == SIGNATURE_OFF);
}

/* The dump with a reference in the place of each secret, so that it can be read again. */
static void restore_secrets(struct slice dump, struct buf *ret)
{
	while (dump.len) {
		struct slice line = fuzz_take_until(&dump, '\n');
		bool secret = slice_starts_with(line, SLICE("token =")) ||
			      slice_starts_with(line, SLICE("secrets ="));
		while (line.len) {
			struct slice word = fuzz_take_until(&line, ' ');
			if (secret && slice_equal_string(word, "***"))
				word = SLICE("file:/s");
			FUZZ_ASSERT(buf_add_slice(ret, word) == 0);
			FUZZ_ASSERT(buf_add_char(ret, ' ') == 0);
		}
		FUZZ_ASSERT(buf_add_char(ret, '\n') == 0);
	}
}

void fuzz_one(struct slice input)
{
	BUF_AUTO struct buf problem = BUF_INIT(1 << 16);
	BUF_AUTO struct buf dump = BUF_INIT(1 << 24);
	BUF_AUTO struct buf again = BUF_INIT(1 << 24);
	BUF_AUTO struct buf readable = BUF_INIT(1 << 24);
	struct config *config = NULL;
	struct config *other = NULL;
	int err = config_parse(NAME, input, &config, &problem);

	if (err) {
		FUZZ_ASSERT(err == -ERR_CONFIG && !config);
		check_problem(buf_slice(&problem));
		return;
	}
	FUZZ_ASSERT(problem.len == 0);
	FUZZ_ASSERT(config->server.threads >= 1 && config->server.max_body_bytes > 0);
	FUZZ_ASSERT(config->store.path && config->n_endpoints <= CONFIG_ENDPOINTS_MAX);
	for (size_t i = 0; i < config->n_endpoints; i++)
		check_endpoint(&config->endpoints[i]);
	FUZZ_ASSERT(config_dump(config, &dump) == 0);
	restore_secrets(buf_slice(&dump), &readable);
	FUZZ_ASSERT(config_parse(NAME, buf_slice(&readable), &other, &problem) == 0);
	FUZZ_ASSERT(config_dump(other, &again) == 0);
	FUZZ_ASSERT(slice_equal(buf_slice(&dump), buf_slice(&again)));
	config_free(other);
	config_free(config);
}
