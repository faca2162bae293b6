/*
 * The configuration: one file in systemd's INI style, read against one schema (tbl/config_key.def:
 * section, key, type, default, bounds, unit, reloadable, description) into one immutable struct.
 *
 * The file is read by a line reader of our own and given to libinih line by line, because the
 * packaged libinih cuts lines at 200 bytes, joins indented lines and gives its handler no line
 * number. Comments stand on lines of their own; a list may be continued by indented lines.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "orderhook/buf.h"

#define CONFIG_ENDPOINTS_MAX 32
#define CONFIG_LIST_MAX 256
#define CONFIG_LINE_BYTES_MAX 4096

struct config_list {
	char **items; /* owned */
	size_t n;
};

enum signature_mode {
	SIGNATURE_REQUIRED = 0,
	SIGNATURE_IF_PRESENT,
	SIGNATURE_OFF,
	SIGNATURE_MODE_MAX
};

struct config_endpoint {
	char *name; /* of the section: [endpoint NAME] */
	char *platform;
	char *path;
	char *token; /* "credential:NAME", "file:/path" or NULL; never the token itself */
	char *client_id;
	struct config_list shop_ids; /* one item "*" means any */
	enum signature_mode signature;
	struct config_list secrets; /* references, like token */
	int line;                   /* where the section begins, for messages */
};

struct config_attention {
	int status;
	int64_t limit_ms;
};

struct config {
	char *file; /* where it was read from */
	struct {
		char *listen;       /* HOST:PORT, [V6]:PORT or unix:/path */
		char *admin_listen; /* the same */
		int64_t unix_mode;  /* permission bits */
		int64_t threads;
		int64_t connection_limit;
		int64_t max_body_bytes;
		int64_t request_timeout_ms;
		int64_t keepalive_timeout_ms;
		int64_t queue_limit;
		int64_t commit_timeout_ms;
		struct config_list trusted_proxies;
		int64_t callback_log_rate; /* lines a second */
	} server;
	struct {
		char *path;
		char *environment;
		int64_t batch_limit;
		int64_t retention_ms;
		int64_t held_limit_bytes;
	} store;
	struct config_endpoint *endpoints;
	size_t n_endpoints;
	struct config_attention *attention;
	size_t n_attention;
};

/*
 * Reads and checks a file. On failure -ERR_CONFIG (or -ERR_NOMEM), *ret is untouched, and problem
 * holds "FILE:LINE: what is wrong and what is allowed", the first problem only.
 */
int config_load(const char *file, struct config **ret, struct buf *problem);
/* The same from memory; file is only its name in messages. */
int config_parse(const char *file, struct slice text, struct config **ret, struct buf *problem);
void config_free(struct config *config); /* NULL is fine */

/* The effective configuration with every default and its unit; a token or secret is printed as
 * ***. What it prints parses again, but for the secrets. */
int config_dump(const struct config *config, struct buf *out);

/*
 * Names of the keys that differ between the two and need a restart, separated by ", ", appended to
 * names; for SIGHUP.
 */
int config_restart_keys(const struct config *running, const struct config *next, struct buf *names);

/*
 * The host and the port of a checked HOST:PORT or [V6]:PORT, without the brackets. ret_port is
 * borrowed from address. -ERR_SYNTAX where there is no port, -ERR_TOO_LONG.
 */
int config_address_split(const char *address, char *host, size_t cap, const char **ret_port);
