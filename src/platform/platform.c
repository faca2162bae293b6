/*
 * The registry of platforms, and an endpoint's life: its references to secrets become bytes here,
 * sorted by what they may prove. A key that starts with whsec_ serves only HMAC and every other one
 * only MD5, so that no secret is ever used under two rules.
 */
#include "orderhook/platform.h"

#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/signature.h"

/* The first entry of each adapter; a new platform is one line. */
static const struct platform *(*const platforms[])(void) = {platform_shansong};

const struct platform *platform_find(const char *name)
{
	for (size_t i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++) {
		if (strcmp(platforms[i]()->name, name) == 0)
			return platforms[i]();
	}
	return NULL;
}

const char *sign_mistake_key(enum sign_mistake mistake)
{
	static const char *const keys[MISTAKE_MAX] = {
#define SIGN_MISTAKE(name, key, text) [MISTAKE_##name] = key,
#include "orderhook/tbl/sign_mistake.def"
#undef SIGN_MISTAKE
	};

	return keys[mistake];
}

const char *sign_mistake_text(enum sign_mistake mistake)
{
	static const char *const texts[MISTAKE_MAX] = {
#define SIGN_MISTAKE(name, key, text) [MISTAKE_##name] = text,
#include "orderhook/tbl/sign_mistake.def"
#undef SIGN_MISTAKE
	};

	return texts[mistake];
}

static int copy_string(const char *from, char **ret)
{
	char *copy = from ? strdup(from) : NULL;

	if (from && !copy)
		return -ERR_NOMEM;
	*ret = copy;
	return 0;
}

static int copy_shops(const struct config_list *from, struct endpoint *endpoint)
{
	if (from->n == 0)
		return 0;
	endpoint->shop_ids.items = calloc(from->n, sizeof(*from->items));
	if (!endpoint->shop_ids.items)
		return -ERR_NOMEM;
	for (size_t i = 0; i < from->n; i++) {
		int err = copy_string(from->items[i], &endpoint->shop_ids.items[i]);
		if (err)
			return err;
		endpoint->shop_ids.n++;
	}
	endpoint->any_shop = from->n == 1 && strcmp(from->items[0], "*") == 0;
	return 0;
}

static int add_secret(const struct config_endpoint *config, const char *reference,
		      struct endpoint *endpoint, struct buf *problem)
{
	struct secret secret = {NULL, 0};
	struct slice text;
	int err = secret_load(reference, SECRET_KEY, &secret, problem);

	if (err)
		return err;
	text = (struct slice){secret.bytes, secret.len};
	if (!slice_starts_with(text, SLICE("whsec_"))) {
		endpoint->secrets[endpoint->n_secrets++] = secret;
		return 0;
	}
	err = signature_hmac_key(text, &endpoint->hmac_keys[endpoint->n_hmac_keys]);
	secret_release(&secret);
	if (err == 0)
		endpoint->n_hmac_keys++;
	if (err == -ERR_SECRET_FORM)
		buf_addf(problem,
			 "%s ([endpoint %s], line %d): a key that starts with whsec_ must go on "
			 "with "
			 "the base64 of 16 to 64 bytes; make one with: "
			 "printf 'whsec_%%s' \"$(openssl rand -base64 32)\"",
			 reference, config->name, config->line);
	return err;
}

/*
 * The rule hashes the secret and the members as one string. Were one secret the beginning of
 * another, what was signed with the longer one could be presented under the shorter one, its end
 * read as a member.
 */
static bool secrets_overlap(const struct endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->n_secrets; i++) {
		for (size_t j = 0; j < endpoint->n_secrets; j++) {
			const struct secret *a = &endpoint->secrets[i];
			const struct secret *b = &endpoint->secrets[j];
			if (a->len < b->len && memcmp(a->bytes, b->bytes, a->len) == 0)
				return true;
		}
	}
	return false;
}

static int load_secrets(const struct config_endpoint *config, struct endpoint *endpoint,
			struct buf *problem)
{
	if (config->token) {
		int err = secret_load(config->token, SECRET_TOKEN, &endpoint->token, problem);
		if (err)
			return err;
	}
	if (config->secrets.n == 0)
		return 0;
	endpoint->secrets = calloc(config->secrets.n, sizeof(*endpoint->secrets));
	endpoint->hmac_keys = calloc(config->secrets.n, sizeof(*endpoint->hmac_keys));
	if (!endpoint->secrets || !endpoint->hmac_keys)
		return -ERR_NOMEM;
	for (size_t i = 0; i < config->secrets.n; i++) {
		int err = add_secret(config, config->secrets.items[i], endpoint, problem);
		if (err)
			return err;
	}
	if (!secrets_overlap(endpoint))
		return 0;
	buf_addf(problem,
		 "[endpoint %s], line %d: one of the secrets is the beginning of another one, so a "
		 "signature could be read two ways; replace one of the two",
		 config->name, config->line);
	return -ERR_CONFIG;
}

int endpoint_new(const struct config_endpoint *config, struct endpoint **ret, struct buf *problem)
{
	const struct platform *platform = platform_find(config->platform);
	struct endpoint *endpoint;
	int err;

	if (!platform) {
		buf_addf(problem,
			 "[endpoint %s], line %d: platform '%s' is not known; allowed: shansong",
			 config->name, config->line, config->platform);
		return -ERR_CONFIG;
	}
	endpoint = calloc(1, sizeof(*endpoint));
	if (!endpoint)
		return -ERR_NOMEM;
	endpoint->platform = platform;
	endpoint->signature = config->signature;
	err = copy_string(config->name, &endpoint->name);
	if (!err)
		err = copy_string(config->path, &endpoint->path);
	if (!err)
		err = copy_string(config->client_id, &endpoint->client_id);
	if (!err)
		err = copy_shops(&config->shop_ids, endpoint);
	if (!err)
		err = load_secrets(config, endpoint, problem);
	if (err) {
		endpoint_free(endpoint);
		return err;
	}
	*ret = endpoint;
	return 0;
}

static void free_secrets(struct secret *secrets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		secret_release(&secrets[i]);
	free(secrets);
}

void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	free_secrets(endpoint->secrets, endpoint->n_secrets);
	free_secrets(endpoint->hmac_keys, endpoint->n_hmac_keys);
	secret_release(&endpoint->token);
	for (size_t i = 0; i < endpoint->shop_ids.n; i++)
		free(endpoint->shop_ids.items[i]);
	free(endpoint->shop_ids.items);
	free(endpoint->client_id);
	free(endpoint->path);
	free(endpoint->name);
	free(endpoint);
}

enum endpoint_match endpoint_match_path(const struct endpoint *endpoint, struct slice path)
{
	struct slice own = slice_of(endpoint->path);
	size_t token_at = own.len + 1;

	if (!endpoint->token.bytes)
		return slice_equal(path, own) ? ENDPOINT_MATCH_PATH : ENDPOINT_NO_MATCH;
	/* The token's length is no secret: every endpoint's lies within the grammar's. */
	if (path.len != token_at + endpoint->token.len || !slice_starts_with(path, own) ||
	    path.at[own.len] != '/')
		return ENDPOINT_NO_MATCH;
	return digest_equal(path.at + token_at, endpoint->token.bytes, endpoint->token.len)
		       ? ENDPOINT_MATCH_TOKEN
		       : ENDPOINT_NO_MATCH;
}
