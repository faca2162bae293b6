/*
 * `orderhook sign`: makes what the platform would send, so that a receiver can be tried with curl.
 * A secret is never an argument: other users see arguments. What is printed is exactly the body,
 * without a newline at its end, so that it can be piped on.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/shansong.h"
#include "orderhook/signature.h"
#include "tool_private.h"

#define BODY_LIMIT_BYTES (16U * 1024 * 1024)
#define HMAC_PREFIX "whsec_"

struct sign {
	const char *secret_file;
	const char *endpoint;
	bool envelope;
	int64_t timestamp_ms; /* 0: now */
	struct signature_param params[SIGNATURE_PARAMS_MAX];
	size_t n_params;
};

static int load_secret(struct tool *tool, const char *reference, struct secret *ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	int err = secret_load(reference, SECRET_KEY, ret, &problem);

	if (!err)
		return 0;
	return tool_fail(tool, TOOL_CONFIG, "%s", problem.len ? problem.data : err_text(err));
}

static const struct config_endpoint *find_endpoint(const struct config *config, const char *name)
{
	if (!name && config->n_endpoints == 1)
		return &config->endpoints[0];
	for (size_t i = 0; name && i < config->n_endpoints; i++) {
		if (strcmp(config->endpoints[i].name, name) == 0)
			return &config->endpoints[i];
	}
	return NULL;
}

/* The first secret of the endpoint that is for MD5: what starts with whsec_ serves HMAC only. */
static int endpoint_secret(struct tool *tool, const char *name, struct secret *ret)
{
	const struct config *config;
	int code = tool_config(tool, &config);

	if (code)
		return code;
	const struct config_endpoint *endpoint = find_endpoint(config, name);
	if (!endpoint && !name)
		return tool_usage(tool, "%s has more than one endpoint; --endpoint NAME picks one",
				  config->file);
	if (!endpoint)
		return tool_fail(tool, TOOL_CONFIG, "%s has no [endpoint %s]", config->file, name);
	for (size_t i = 0; i < endpoint->secrets.n; i++) {
		code = load_secret(tool, endpoint->secrets.items[i], ret);
		if (code)
			return code;
		if (strncmp(ret->bytes, HMAC_PREFIX, sizeof(HMAC_PREFIX) - 1) != 0)
			return 0;
		secret_release(ret);
	}
	return tool_fail(tool, TOOL_CONFIG, "%s:%d: [endpoint %s] has no secret for the MD5 sign",
			 config->file, endpoint->line, endpoint->name);
}

static int get_secret(struct tool *tool, const struct sign *sign, struct secret *ret)
{
	BUF_AUTO struct buf reference = BUF_INIT(8192);

	if (!sign->secret_file)
		return endpoint_secret(tool, sign->endpoint, ret);
	if (buf_addf(&reference, "file:%s", sign->secret_file))
		return tool_fail(tool, TOOL_CONFIG, "--secret-file: the path is too long");
	return load_secret(tool, reference.data, ret);
}

/* key=value; the value may be empty, and then counts as the platform counts it: not at all. */
static int option_param(struct tool *tool, const struct tool_option *option, const char *value)
{
	struct sign *sign = option->into;
	const char *equals = strchr(value, '=');
	struct slice key = {value, equals ? (size_t)(equals - value) : 0};

	if (key.len == 0)
		return option_bad(tool, option, value, "KEY=VALUE is allowed");
	if (slice_equal_string(key, "sign"))
		return option_bad(tool, option, value, "sign is what is to be made");
	for (size_t i = 0; i < sign->n_params; i++) {
		if (slice_equal(key, sign->params[i].key))
			return option_bad(tool, option, value, "this key is there already");
	}
	if (sign->n_params == SIGNATURE_PARAMS_MAX)
		return option_bad(tool, option, value, "64 of them is the most");
	sign->params[sign->n_params++] = (struct signature_param){key, slice_of(equals + 1)};
	return 0;
}

static int print_sign(struct tool *tool, struct sign *sign, const struct secret *secret)
{
	char text[SIGNATURE_SIGN_CHARS + 1];
	int err = signature_md5((struct slice){secret->bytes, secret->len}, sign->params,
				sign->n_params, text);

	if (err)
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(err));
	out_f(&tool->out, "%s\n", text);
	return TOOL_DONE;
}

static int print_body(struct tool *tool, const struct sign *sign, const struct secret *secret,
		      struct slice object)
{
	BUF_AUTO struct buf body = BUF_INIT(2 * BODY_LIMIT_BYTES);
	int64_t timestamp_ms = sign->timestamp_ms ? sign->timestamp_ms : clock_wall_ms(tool->clock);
	int err = shansong_sign((struct slice){secret->bytes, secret->len}, object,
				sign->envelope ? SHANSONG_ENVELOPE : SHANSONG_FLAT, timestamp_ms,
				&body);

	if (err == -ERR_SIGN_GRAMMAR || err == -ERR_SIGN_MEMBER)
		return tool_fail(tool, TOOL_REFUSED, "%s; --envelope can carry it", err_text(err));
	if (err)
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(err));
	out_bytes(&tool->out, body.data, body.len);
	if (tool->out.tty)
		out_char(&tool->out, '\n');
	return TOOL_DONE;
}

static int run(struct tool *tool, struct sign *sign, const char *file)
{
	BUF_AUTO struct buf object = BUF_INIT(BODY_LIMIT_BYTES);
	struct secret secret = {NULL, 0};
	int code = get_secret(tool, sign, &secret);

	if (!code && sign->n_params) {
		code = print_sign(tool, sign, &secret);
	} else if (!code) {
		code = tool_read_file(tool, file, &object);
		if (!code)
			code = print_body(tool, sign, &secret, buf_slice(&object));
	}
	secret_release(&secret);
	return code;
}

static int option_timestamp(struct tool *tool, const struct tool_option *option, const char *value)
{
	if (strlen(value) != 13 || slice_to_i64(slice_of(value), 1, 9999999999999, option->into))
		return option_bad(tool, option, value, "milliseconds in 13 digits are allowed");
	return 0;
}

int cmd_sign(struct tool *tool, int argc, char **argv)
{
	struct sign sign = {.n_params = 0};
	const struct tool_option options[] = {
		{"secret-file", 0, "FILE", "the secret; nobody else may be able to read the file",
		 option_string, &sign.secret_file},
		{"endpoint", 0, "NAME", "or the secret of this endpoint of the configuration",
		 option_string, &sign.endpoint},
		{"envelope", 0, NULL,
		 "clientId, shopId, timestamp, data, sign instead of the "
		 "flat object",
		 option_flag, &sign.envelope},
		{"timestamp", 0, "MS", "sign for this time instead of now", option_timestamp,
		 &sign.timestamp_ms},
		{"param", 0, "KEY=VALUE",
		 "may be repeated: print only the sign of these "
		 "parameters",
		 option_param, &sign},
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.max_arguments = 1,
		.text = "Reads a callback object from FILE, or standard input, and prints it as "
			"the\n"
			"platform would send it, signed, without a newline at its end.\n",
		.examples = "  orderhook sign --secret-file secret < body.json |\n"
			    "      curl -d @- -H 'Content-Type: application/json' URL\n"
			    "  orderhook sign --endpoint shansong --param clientId=C --param "
			    "shopId=S \\\n"
			    "      --param timestamp=1748595319000 --param "
			    "'data={\"issOrderNo\":\"TDH1\"}'\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	if (sign.secret_file && sign.endpoint)
		return tool_usage(tool, "--secret-file and --endpoint exclude each other");
	if (sign.n_params && (argc > 1 || sign.envelope || sign.timestamp_ms))
		return tool_usage(tool, "--param goes without a body, --envelope and --timestamp");
	return run(tool, &sign, argc > 1 ? argv[1] : "-");
}
