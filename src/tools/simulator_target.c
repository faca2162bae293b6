/*
 * `--to endpoint:NAME`: address, path, token, secret and identity as the daemon's own configuration
 * has them, so that nothing secret has to be typed.
 */
#include "simulator_target_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"

#define PROBLEM_BYTES 1024
#define HMAC_KEY_PREFIX "whsec_"

static int load(struct tool *tool, const char *reference, enum secret_kind kind, struct secret *ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	int err = secret_load(reference, kind, ret, &problem);

	if (!err)
		return 0;
	return tool_fail(tool, TOOL_CONFIG, "%s", problem.len ? problem.data : err_text(err));
}

int sim_target_file(struct tool *tool, const char *path, enum secret_kind kind, struct secret *ret)
{
	BUF_AUTO struct buf reference = BUF_INIT(8192);

	if (buf_addf(&reference, "file:%s", path))
		return tool_fail(tool, TOOL_USAGE, "the name of a file is too long");
	return load(tool, reference.data, kind, ret);
}

static const struct config_endpoint *find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_endpoints; i++) {
		if (strcmp(config->endpoints[i].name, name) == 0)
			return &config->endpoints[i];
	}
	return NULL;
}

/* An address to listen on, as one to connect to. */
static int make_url(struct tool *tool, const char *listen, const char *path, char **ret)
{
	static const struct {
		const char *any;
		const char *loopback;
	} wildcards[] = {{"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}, {"*:", "127.0.0.1:"}};
	struct slice address = slice_of(listen);
	const char *host = "";
	int len;

	if (address.len > 2 && strcmp(listen + address.len - 2, ":0") == 0)
		return tool_fail(tool, TOOL_CONFIG,
				 "listen = %s leaves the port to the system; name the daemon's URL "
				 "in --to, its "
				 "log has the port",
				 listen);
	for (size_t i = 0; i < sizeof(wildcards) / sizeof(wildcards[0]); i++) {
		struct slice any = slice_of(wildcards[i].any);
		if (slice_starts_with(address, any)) {
			host = wildcards[i].loopback;
			listen += any.len;
			break;
		}
	}
	if (slice_starts_with(address, SLICE("unix:")))
		len = asprintf(ret, "%s:%s", listen, path);
	else
		len = asprintf(ret, "http://%s%s%s", host, listen, path);
	if (len < 0) {
		*ret = NULL;
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(ERR_NOMEM));
	}
	return 0;
}

/* The first secret that serves MD5. */
static int load_secret(struct tool *tool, const struct config_endpoint *endpoint,
		       struct secret *ret)
{
	for (size_t i = 0; i < endpoint->secrets.n; i++) {
		struct secret secret = {NULL, 0};
		int code = load(tool, endpoint->secrets.items[i], SECRET_KEY, &secret);
		if (code)
			return code;
		if (strncmp(secret.bytes, HMAC_KEY_PREFIX, strlen(HMAC_KEY_PREFIX)) != 0) {
			*ret = secret;
			return 0;
		}
		secret_release(&secret);
	}
	return 0;
}

int sim_target_endpoint(struct tool *tool, const char *name, struct sim_target *target)
{
	const struct config *config;
	const struct config_endpoint *endpoint;
	int code = tool_config(tool, &config);

	if (code)
		return code;
	endpoint = find(config, name);
	if (!endpoint)
		return tool_fail(tool, TOOL_NO_SUCH, "%s has no [endpoint %s]", config->file, name);
	code = make_url(tool, config->server.listen, endpoint->path, &target->owned_url);
	if (!code && endpoint->token && !target->token.bytes)
		code = load(tool, endpoint->token, SECRET_TOKEN, &target->token);
	if (!code && !target->secret.bytes && endpoint->signature != SIGNATURE_OFF)
		code = load_secret(tool, endpoint, &target->secret);
	if (!code && endpoint->signature == SIGNATURE_REQUIRED && !target->secret.bytes)
		code = tool_fail(
			tool, TOOL_CONFIG,
			"[endpoint %s] requires signatures and names no secret for them but HMAC "
			"keys, which the platform does not use",
			name);
	if (code)
		return code;
	target->url = target->owned_url;
	if (!target->client_id)
		target->client_id = endpoint->client_id;
	if (!target->shop_id && endpoint->shop_ids.n &&
	    strcmp(endpoint->shop_ids.items[0], "*") != 0)
		target->shop_id = endpoint->shop_ids.items[0];
	return 0;
}

void sim_target_release(struct sim_target *target)
{
	free(target->owned_url);
	secret_release(&target->token);
	secret_release(&target->secret);
	*target = (struct sim_target){.url = NULL};
}
