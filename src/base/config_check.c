/*
 * The rules between keys. A problem is told at the key that is to be changed, or, where a key is
 * missing, at its section.
 */
#include <string.h>

#include "config_private.h"

static int line_of(const struct config_parser *parser, enum config_section section,
		   const char *name)
{
	const struct config_key *key = config_key_find(section, slice_of(name));
	int line = parser->key_lines[config_key_index(key)];

	return line ? line : parser->section_lines[section];
}

static void check_required(struct config_parser *parser, const struct config_endpoint *endpoint)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->section == CONFIG_ENDPOINT && key->required && !parser->key_lines[i])
			config_fail(parser, endpoint->line, "[endpoint %s] has no %s: %s",
				    endpoint->name, key->name, key->description);
	}
}

static void check_authentication(struct config_parser *parser,
				 const struct config_endpoint *endpoint)
{
	if (!endpoint->token && endpoint->signature != SIGNATURE_REQUIRED)
		config_fail(parser, endpoint->line,
			    "[endpoint %s] has neither a token nor signature = required, so "
			    "nothing would "
			    "authenticate it; add one of them",
			    endpoint->name);
	if (endpoint->signature != SIGNATURE_OFF && endpoint->secrets.n == 0)
		config_fail(parser, line_of(parser, CONFIG_ENDPOINT, "signature"),
			    "[endpoint %s] needs secrets to verify a signature; add them, or "
			    "signature = off",
			    endpoint->name);
}

static void check_shops(struct config_parser *parser, const struct config_endpoint *endpoint)
{
	const struct config_list *shops = &endpoint->shop_ids;
	int line = line_of(parser, CONFIG_ENDPOINT, "shop_ids");

	if (shops->n == 0)
		config_fail(parser, line, "shop_ids is empty; * allows any");
	for (size_t i = 0; i < shops->n; i++) {
		if (shops->n > 1 && strcmp(shops->items[i], "*") == 0)
			config_fail(parser, line, "shop_ids has * beside ids; * stands alone");
	}
}

/* As etc/orderhook.conf is delivered. A daemon with these would refuse every callback as another's,
 * and nobody would see it before the platform has given up. */
static bool is_example(const char *id)
{
	return strncmp(id, "YOUR-", 5) == 0;
}

static void check_edited(struct config_parser *parser, const struct config_endpoint *endpoint)
{
	if (is_example(endpoint->client_id))
		config_fail(parser, line_of(parser, CONFIG_ENDPOINT, "client_id"),
			    "client_id is still the example's %s; enter your application's",
			    endpoint->client_id);
	for (size_t i = 0; i < endpoint->shop_ids.n; i++) {
		if (is_example(endpoint->shop_ids.items[i]))
			config_fail(parser, line_of(parser, CONFIG_ENDPOINT, "shop_ids"),
				    "shop_ids still has the example's %s; enter your shops, or * "
				    "for any",
				    endpoint->shop_ids.items[i]);
	}
}

/* Is b what a with a token behind it would be? Then one URL would belong to two endpoints. */
static bool reads_as_token(const char *a, const char *b)
{
	struct slice path = slice_of(a);
	struct slice other = slice_of(b);

	if (!slice_starts_with(other, path) || other.len == path.len || b[path.len] != '/')
		return false;
	return config_token_like((struct slice){b + path.len + 1, other.len - path.len - 1});
}

static void check_path(struct config_parser *parser, const struct config_endpoint *endpoint)
{
	int line = line_of(parser, CONFIG_ENDPOINT, "path");

	for (const struct config_endpoint *e = parser->config->endpoints; e != endpoint; e++) {
		if (strcmp(e->path, endpoint->path) == 0)
			config_fail(parser, line,
				    "path is that of [endpoint %s] in line %d; each needs its own",
				    e->name, e->line);
		else if (reads_as_token(e->path, endpoint->path) ||
			 reads_as_token(endpoint->path, e->path))
			config_fail(parser, line,
				    "path and that of [endpoint %s] in line %d differ by a last "
				    "segment that "
				    "could be a token; choose another",
				    e->name, e->line);
	}
}

void config_check_section(struct config_parser *parser)
{
	const struct config *config = parser->config;
	const struct config_endpoint *endpoint;

	if (parser->section != CONFIG_ENDPOINT)
		return;
	endpoint = &config->endpoints[config->n_endpoints - 1];
	check_required(parser, endpoint);
	if (parser->err)
		return;
	check_authentication(parser, endpoint);
	check_shops(parser, endpoint);
	check_edited(parser, endpoint);
	check_path(parser, endpoint);
}

void config_check_file(struct config_parser *parser)
{
	const struct config *config = parser->config;
	int listen_line = line_of(parser, CONFIG_SERVER, "listen");
	int admin_line = line_of(parser, CONFIG_SERVER, "admin_listen");

	if (config->n_endpoints == 0)
		config_fail(parser, parser->line ? parser->line : 1,
			    "there is no [endpoint NAME], so no callback could arrive; add one");
	if (strcmp(config->server.listen, config->server.admin_listen) == 0 &&
	    !config_address_any_port(config->server.listen))
		config_fail(parser, listen_line > admin_line ? listen_line : admin_line,
			    "listen and admin_listen are both %s; the admin listener needs an "
			    "address of its own",
			    config->server.listen);
}
