/* The running daemon: what it holds, in the order in which it is made. */
#pragma once

#include "orderhook/admin_server.h"
#include "orderhook/config.h"
#include "orderhook/endpoint_set.h"
#include "orderhook/http_server.h"
#include "orderhook/store.h"
#include "orderhook/writer.h"

/* Exit codes of the contract. */
#define EXIT_STORE_IO 74
#define EXIT_CONFIGURATION 78

struct listener {
	int fd;
	bool made; /* by us: closed, and a unix socket unlinked, at the end */
};

struct daemon {
	const struct clock *clock;
	struct config *config;
	struct endpoint_set *endpoints;
	struct store *store;
	struct listener http_listener;
	struct listener admin_listener;
	struct writer *writer;
	struct http_server *http;
	struct control *control;
	struct admin_server *admin;
	/* The longest since the start: a request that is under way may have begun with it. */
	int64_t request_timeout_ms;
	bool draining;
	int64_t latest_ms; /* the latest wall time seen; atomic */
	int64_t latest_us; /* when; the main thread's */
};

/* Says why the daemon cannot start, in the log and in systemd's STATUS; returns the exit code. */
int daemon_refuse(const struct buf *problem, int err);

/* Starts everything, serves until a signal ends it or the store fails, stops in order. Takes the
 * configuration over. Returns the exit code. */
int daemon_run(struct config *config);
