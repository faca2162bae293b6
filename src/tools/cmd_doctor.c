/*
 * `orderhook doctor`: is this installation sound? Every check runs, whatever an earlier one found,
 * as far as there is something to look at: a wrong configuration is a finding, and then what it
 * would have named cannot be looked at. Secrets are loaded as the daemon loads them and never
 * shown.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>

#include "doctor_private.h"
#include "orderhook/admin_client.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/http_remote.h"
#include "orderhook/retention.h"
#include "orderhook/secret.h"

#define MIB (1024LL * 1024)
#define NEXT_BYTES 4352
#define PROBLEM_BYTES 8192
#define ASK_TIMEOUT_MS 3000
#define BUILT_AFTER_MS 1735689600000 /* 2025-01-01: no earlier clock is right */
#define V4_PREFIX_BITS 96            /* IPv4 is kept as ::ffff:a.b.c.d */
#define NETWORK_BITS_LEAST 8
#define PRUNE_LATE_MS (48 * 60 * 60 * 1000LL) /* the timer runs once a day */
#define FILE_PREFIX "file:"
#define CREDENTIAL_PREFIX "credential:"

static void check_secret(const char *endpoint, const char *reference, enum secret_kind kind,
			 struct findings *findings)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	const char *file = reference + strlen(FILE_PREFIX);
	struct secret secret;
	char next[NEXT_BYTES];

	/* A credential exists inside the unit only, and systemd sets its mode. */
	if (slice_starts_with(slice_of(reference), SLICE(CREDENTIAL_PREFIX)))
		return;
	int err = secret_load(reference, kind, &secret, &problem);
	if (!err) {
		secret_release(&secret);
		return;
	}
	snprintf(next, sizeof(next), "%s %s", err == -ERR_SECRET_MODE ? "chmod 600" : "ls -l",
		 file);
	findings_add(findings, "secret", endpoint, 0, next, "%s",
		     problem.len ? problem.data : err_text(err));
}

static void check_secrets(const struct config *config, struct findings *findings)
{
	for (size_t i = 0; i < config->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &config->endpoints[i];
		if (endpoint->token)
			check_secret(endpoint->name, endpoint->token, SECRET_TOKEN, findings);
		for (size_t k = 0; k < endpoint->secrets.n; k++)
			check_secret(endpoint->name, endpoint->secrets.items[k], SECRET_KEY,
				     findings);
	}
}

/* Who listens there has a proxy in front of it, or is being tried. */
static bool listens_on_loopback(const char *listen)
{
	char host[HTTP_REMOTE_BYTES];
	const char *port;

	return config_address_split(listen, host, sizeof(host), &port) == 0 &&
	       (strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
		strcmp(host, "localhost") == 0);
}

static bool trusts_loopback(const struct http_proxies *proxies)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	char remote[HTTP_REMOTE_BYTES];

	return http_remote_peer(proxies, (const struct sockaddr *)&v4, remote) ||
	       http_remote_peer(proxies, (const struct sockaddr *)&v6, remote);
}

static void check_proxies(const struct config *config, struct findings *findings)
{
	static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};
	struct http_proxies proxies;
	char next[NEXT_BYTES];

	snprintf(next, sizeof(next), "edit trusted_proxies in %s", config->file);
	if (http_proxies_parse(&config->server.trusted_proxies, &proxies))
		return;
	for (size_t i = 0; i < proxies.n; i++) {
		const struct http_proxy *proxy = &proxies.list[i];
		bool v4 = memcmp(proxy->address, mapped, sizeof(mapped)) == 0;
		if (proxy->prefix_bits < (v4 ? V4_PREFIX_BITS : 0) + NETWORK_BITS_LEAST)
			findings_add(findings, "proxy", config->server.trusted_proxies.items[i], 0,
				     next,
				     "nearly anybody is trusted to name the client in "
				     "X-Forwarded-For");
	}
	if (listens_on_loopback(config->server.listen) && !trusts_loopback(&proxies))
		findings_add(findings, "proxy", config->server.listen, 0, next,
			     "callbacks come from a proxy on this host, which is not trusted, so "
			     "no client's address is known");
	if (slice_starts_with(slice_of(config->server.listen), SLICE("unix:")) &&
	    !proxies.unix_peers)
		findings_add(findings, "proxy", config->server.listen, 0, next,
			     "callbacks come through a unix socket and 'unix' is not trusted, so "
			     "no client's address is known");
}

static void check_listener(const struct config *config, struct findings *findings)
{
	BUF_AUTO struct buf answer = BUF_INIT(64U * 1024);
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	const char *listen = config->server.listen;
	int status;

	if (!admin_can_ask(listen) ||
	    admin_get(listen, "/", ASK_TIMEOUT_MS, &status, &answer, &problem) == 0)
		return;
	findings_add(findings, "socket", listen, 0, "ss -lntxp",
		     "nobody receives callbacks there: %s", problem.len ? problem.data : "?");
}

static void check_clock(const struct tool *tool, struct findings *findings)
{
	struct timex timex = {.modes = 0};

	if (clock_wall_ms(tool->clock) < BUILT_AFTER_MS)
		findings_add(findings, "clock", "system", 0, "timedatectl",
			     "the clock says a time before this program was written");
	if (adjtimex(&timex) >= 0 && (timex.status & STA_UNSYNC))
		findings_add(findings, "clock", "system", 0, "timedatectl timesync-status",
			     "nothing keeps the clock in time; signatures are stale when it is ten "
			     "minutes off");
}

/* A retention that nobody carries out keeps what was to go. */
static int check_retention(const struct attention *attention, struct findings *findings)
{
	const struct config *config = attention->config;
	struct store_pruned counts;
	struct store_prune prune;
	char retention[AGE_BYTES];

	if (!config || !config->store.retention_ms)
		return 0;
	retention_prune(config, clock_wall_ms(attention->tool->clock),
			config->store.retention_ms + PRUNE_LATE_MS, false, &prune);
	int err = store_prune_plan(attention->reader, &prune, &counts);
	age_format(config->store.retention_ms, retention);
	if (!err && counts.orders)
		findings_add(findings, "retention", attention->store_path, 0,
			     "systemctl enable --now orderhook-prune.timer",
			     "%lld orders are older than the retention of %s by more than two "
			     "days: nobody runs 'orderhook prune'",
			     (long long)counts.orders, retention);
	return err;
}

/* 0, or an error of the store after which nothing can be read from it. */
static int check_store(struct attention *attention, struct findings *findings)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	struct tool *tool = attention->tool;
	const char *path = attention->store_path;
	int err = store_open_reader(path, &tool->reader, &problem);

	doctor_store_files(path, findings);
	if (err) {
		findings_add(findings, "store", path, 0,
			     err == -ERR_STORE_MISSING ? "orderhook init" : "ls -l", "%s",
			     problem.len ? problem.data : err_text(err));
		return 0;
	}
	attention->reader = tool->reader;
	if (attention->config && strcmp(store_reader_environment(tool->reader),
					attention->config->store.environment) != 0)
		findings_add(findings, "store", path, 0, "orderhookd --check-config",
			     "it is of the environment '%s' and the configuration says '%s'",
			     store_reader_environment(tool->reader),
			     attention->config->store.environment);
	err = attention_clock(attention, findings);
	return err ? err : check_retention(attention, findings);
}

static int check_config(struct attention *attention, struct findings *findings)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	struct tool *tool = attention->tool;
	const char *file = tool->config_file ? tool->config_file : TOOL_DEFAULT_CONFIG;
	char next[NEXT_BYTES];

	if (tool->db && !tool->config_file)
		return 0;
	int err = config_load(file, &tool->config, &problem);
	doctor_mode("config", file, S_IWOTH, "o-w", findings);
	if (!err) {
		attention->config = tool->config;
		return 0;
	}
	snprintf(next, sizeof(next), "orderhookd -c %s --check-config", file);
	findings_add(findings, "config", file, 0, next, "%s",
		     problem.len ? problem.data : err_text(err));
	return err == -ERR_NOMEM ? err : 0;
}

static int check_all(struct attention *attention, struct findings *findings)
{
	int err = check_config(attention, findings);

	if (!err && attention->config) {
		check_secrets(attention->config, findings);
		check_proxies(attention->config, findings);
		doctor_sockets(attention->config, findings);
		check_listener(attention->config, findings);
		err = attention_daemon(attention, findings);
	}
	check_clock(attention->tool, findings);
	attention->store_path = attention->tool->db ? attention->tool->db
				: attention->config ? attention->config->store.path
						    : NULL;
	if (!err && attention->store_path)
		err = attention_files(attention, findings);
	if (!err && attention->store_path)
		err = check_store(attention, findings);
	return err;
}

static int run(struct tool *tool, enum print_format format)
{
	struct attention attention = {.tool = tool, .wal_bytes = 64 * MIB, .free_bytes = 512 * MIB};
	struct findings findings;
	int err = findings_begin(&findings, &tool->out, format);

	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	err = check_all(&attention, &findings);
	findings_end(&findings);
	err = err ? err : findings.err;
	if (err)
		return tool_store_failed(tool, err,
					 attention.reader ? store_reader_problem(attention.reader)
							  : NULL);
	if (findings.list.count)
		return TOOL_NOTHING;
	tool_note(tool, "nothing is wrong with what was looked at");
	return TOOL_DONE;
}

int cmd_doctor(struct tool *tool, int argc, char **argv)
{
	enum print_format format = PRINT_TABLE;
	const struct tool_option options[] = {
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Checks an installation and lists what is wrong, each with its remedy: the "
			"file of\n"
			"the configuration, secrets in files and their modes (never shown), whom "
			"X-Forwarded-For\n"
			"is believed from, who may write to the sockets and whether the daemon "
			"answers on\n"
			"them, the clock, the room on the disk, the store, its owners, modes and "
			"environment,\n"
			"and a retention that nobody carries out. Run it as root or as the "
			"daemon's user,\n"
			"who may read the secrets. Exits 1 when something is wrong.\n",
		.examples = "  orderhook doctor                  after installing\n"
			    "  orderhook doctor --format jsonl   for a script\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	return code >= 0 ? code : run(tool, format);
}
