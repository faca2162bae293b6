/*
 * Start: secrets, store (lock, migrate, one real commit), sockets, writer, listeners, then READY.
 * Stop: no new connections, requests in flight are answered, the writer drains, the listeners end,
 * the store closes. Each member is released in the reverse order of its making by one function, so
 * a start that fails half way uses the same way out.
 *
 * The main thread serves nothing. It waits for signals and, several times a second, ends requests
 * that are past their deadline, gives up commits that take too long, and feeds the watchdog while
 * the writer makes progress.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon_private.h"
#include "orderhook/err.h"
#include "orderhook/log.h"
#include "orderhook/service.h"

#define ROUND_MS 100
#define DRAIN_EXTRA_US 2000000 /* on top of commit_timeout and request_timeout */
#define PROGRESS_LIMIT_US 5000000
#define CLOCK_BACK_MS INT64_C(600000) /* as far as a signed timestamp may be off */
#define BUILT_AFTER_MS 1735689600000  /* 2025-01-01: no earlier clock is right */
#define PROBLEM_BYTES 1024
#define MEMORY_LIMIT_US 2000000
#define MEMORY_PROBE_BYTES 1024

static int exit_code_of(int err)
{
	switch (err) {
	case -ERR_STORE_IO:
	case -ERR_STORE_FULL:
	case -ERR_STORE_BUSY:
	case -ERR_STORE_MOVED:
	/* Passes by itself, and after 78 nobody would try again. */
	case -ERR_NOMEM:
		return EXIT_STORE_IO;
	default:
		return EXIT_CONFIGURATION;
	}
}

/* Logs why the start failed, also to systemd's STATUS, and turns the error into the exit code. */
int daemon_refuse(const struct buf *problem, int err)
{
	BUF_AUTO struct buf status = BUF_INIT(2 * PROBLEM_BYTES);
	const char *text = problem->len ? problem->data : err_text(err);

	log_message(MESSAGE_START_FAILED, NULL, "cannot start: %s", text);
	if (buf_addf(&status, "cannot start: %s", text) == 0)
		service_status(status.data);
	return exit_code_of(err);
}

static int open_store(struct daemon *daemon, struct buf *problem)
{
	int err = store_open_writer(daemon->config->store.path, daemon->config->store.environment,
				    &daemon->store, problem);

	if (err)
		return err;
	store_held_limit(daemon->store, daemon->config->store.held_limit_bytes);
	/* Ready means that a commit reaches the disk, not that one is expected to. */
	err = daemon->store->ops->touch(daemon->store);
	if (err)
		buf_addf(problem, "%s cannot be written: %s (%s)", daemon->config->store.path,
			 err_text(err), store_problem(daemon->store));
	return err;
}

static int open_listeners(struct daemon *daemon, struct buf *problem)
{
	const struct config *config = daemon->config;
	int err = service_check_sockets(problem);

	if (!err)
		err = service_listen("http", config->server.listen, config->server.unix_mode, NULL,
				     &daemon->http_listener.fd, &daemon->http_listener.made,
				     problem);
	if (err)
		return err;
	return service_listen("admin", config->server.admin_listen, 0660, CONTROL_GROUP,
			      &daemon->admin_listener.fd, &daemon->admin_listener.made, problem);
}

static int start_writer(struct daemon *daemon)
{
	struct writer_options options = {
		.store = daemon->store,
		.clock = daemon->clock,
		.batch_limit = (size_t)daemon->config->store.batch_limit,
		.queue_limit = (size_t)daemon->config->server.queue_limit,
		.commit_timeout_us = daemon->config->server.commit_timeout_ms * 1000,
	};

	return writer_new(&options, &daemon->writer);
}

static void note_request_timeout(struct daemon *daemon, const struct config *config)
{
	if (daemon->request_timeout_ms < config->server.request_timeout_ms)
		daemon->request_timeout_ms = config->server.request_timeout_ms;
}

static int start_http(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	struct http_server_options options = {
		.listen_fd = daemon->http_listener.fd,
		.threads = (unsigned)config->server.threads,
		.connection_limit = (unsigned)config->server.connection_limit,
		.keepalive_timeout_ms = config->server.keepalive_timeout_ms,
		.request_timeout_us = config->server.request_timeout_ms * 1000,
		.max_body_bytes = config->server.max_body_bytes,
		.log_rate = config->server.callback_log_rate,
		.endpoints = daemon->endpoints,
		.writer = daemon->writer,
		.clock = daemon->clock,
	};
	int err = http_proxies_parse(&config->server.trusted_proxies, &options.proxies);

	note_request_timeout(daemon, config);
	return err ? err : http_server_start(&options, &daemon->http);
}

/* The latest wall time seen. After CLOCK_BACK_MS at an earlier one, that is taken for the right
 * one. */
static void note_clock(struct daemon *daemon)
{
	int64_t now_ms = clock_wall_ms(daemon->clock);
	int64_t now_us = clock_elapsed_us(daemon->clock);

	if (now_ms <= daemon->latest_ms && now_us - daemon->latest_us < CLOCK_BACK_MS * 1000)
		return;
	__atomic_store_n(&daemon->latest_ms, now_ms, __ATOMIC_RELAXED);
	daemon->latest_us = now_us;
}

/* Set back by more than a signature may be old, or before there was this program: then signed
 * callbacks are refused, and receipts get times that mislead. */
static bool clock_is_wrong(const struct daemon *daemon)
{
	int64_t now_ms = clock_wall_ms(daemon->clock);
	int64_t latest_ms = __atomic_load_n(&daemon->latest_ms, __ATOMIC_RELAXED);

	return now_ms < BUILT_AFTER_MS || now_ms < latest_ms - CLOCK_BACK_MS;
}

/* Called from the admin listener's thread: only what is atomic or locked. */
static size_t not_ready_because(void *context, const char *reasons[ADMIN_REASONS_MAX])
{
	struct daemon *daemon = context;
	int64_t silent_us = clock_elapsed_us(daemon->clock) - writer_progress_us(daemon->writer);
	int err = writer_ready(daemon->writer);
	size_t n = 0;

	if (err)
		reasons[n++] = err_key(err);
	if (writer_trouble(daemon->writer))
		reasons[n++] = err_key(writer_trouble(daemon->writer));
	if (silent_us > PROGRESS_LIMIT_US)
		reasons[n++] = "writer-stuck";
	if (clock_is_wrong(daemon))
		reasons[n++] = "clock-wrong";
	if (__atomic_load_n(&daemon->draining, __ATOMIC_RELAXED) && err != -ERR_DRAINING)
		reasons[n++] = err_key(ERR_DRAINING);
	return n;
}

static int start_threads(struct daemon *daemon, struct buf *problem)
{
	int err = start_writer(daemon);

	if (!err)
		err = control_new(daemon->writer, daemon->endpoints, daemon->clock,
				  &daemon->control);
	if (!err)
		err = admin_server_start(daemon->admin_listener.fd, not_ready_because, daemon,
					 daemon->control, &daemon->admin);
	/* Last: a start that fails must have no callback under way in the writer that it frees. */
	if (!err)
		err = start_http(daemon);
	if (err != -ERR_SYSTEM && err != -ERR_NOMEM)
		return err;
	/* No fault of the configuration, so a supervisor may try again. */
	buf_add_string(problem,
		       "there is no memory, thread or descriptor left; look at "
		       "MemoryMax=, TasksMax= and LimitNOFILE= of the unit, and at `free`");
	return -ERR_NOMEM;
}

static int daemon_start(struct daemon *daemon, struct buf *problem)
{
	int err = endpoint_set_new(daemon->config, &daemon->endpoints, problem);

	if (!err)
		err = open_store(daemon, problem);
	if (!err)
		err = open_listeners(daemon, problem);
	return err ? err : start_threads(daemon, problem);
}

static void close_listener(struct listener *listener, const char *address)
{
	if (listener->fd < 0)
		return;
	close(listener->fd);
	/* The lock on the store makes sure that no successor has bound the path meanwhile. */
	if (listener->made && strncmp(address, "unix:", 5) == 0)
		unlink(address + 5);
	listener->fd = -1;
}

/* told: that the store has failed. What became of it since the writer's last look is told here. */
static int release_store(struct store *store, bool told)
{
	int err = store ? store->ops->check_file(store) : 0;

	if (err && !told)
		log_message(MESSAGE_STORE_FAILED, NULL,
			    "store: %s (%s); its log is left as it is, with what was acknowledged",
			    err_text(err), store_problem(store));
	store_close(store);
	return err;
}

/* Whatever was made goes, last first. The store's lock is held until its sockets are gone. The
 * writer's failure, 0 without one. */
static int daemon_release(struct daemon *daemon)
{
	int failure;
	int err;

	/* Its pages and its control ask the writer. */
	admin_server_stop(daemon->admin);
	control_free(daemon->control);
	/* A connection that was not ended in time may still hand it a request. */
	failure = writer_stop(daemon->writer);
	http_server_stop(daemon->http);
	writer_free(daemon->writer);
	close_listener(&daemon->http_listener, daemon->config->server.listen);
	close_listener(&daemon->admin_listener, daemon->config->server.admin_listen);
	err = release_store(daemon->store, failure != 0);
	endpoint_set_unref(daemon->endpoints);
	config_free(daemon->config);
	return failure ? failure : err;
}

/* refused: why the last reload was not taken over, NULL if it was. */
static void say_ready(struct daemon *daemon, const char *refused)
{
	BUF_AUTO struct buf status = BUF_INIT(2 * PROBLEM_BYTES);

	if (refused)
		buf_addf(&status, "reload refused (%s); still ", refused);
	buf_add_string(&status, "serving callbacks on ");
	service_socket_address(daemon->http_listener.fd, &status);
	buf_add_string(&status, ", admin on ");
	service_socket_address(daemon->admin_listener.fd, &status);
	buf_addf(&status, ", store %s (%s)", daemon->config->store.path,
		 daemon->config->store.environment);
	if (!refused)
		log_message(MESSAGE_READY, NULL, "orderhookd %s ready: %s", ORDERHOOK_VERSION,
			    status.data);
	service_ready(status.data);
}

/* Endpoints, secrets, proxies and limits are taken over; what needs a restart is named. */
static void reload(struct daemon *daemon)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	BUF_AUTO struct buf keys = BUF_INIT(PROBLEM_BYTES);
	struct endpoint_set *endpoints = NULL;
	struct http_proxies proxies;
	struct config *next = NULL;
	int err;

	service_reloading();
	err = config_load(daemon->config->file, &next, &problem);
	if (!err)
		err = endpoint_set_new(next, &endpoints, &problem);
	if (!err)
		err = http_proxies_parse(&next->server.trusted_proxies, &proxies);
	if (err) {
		const char *why = problem.len ? problem.data : err_text(err);
		log_message(MESSAGE_RELOAD_REFUSED, NULL,
			    "reload refused, the running configuration stays: %s", why);
		config_free(next);
		say_ready(daemon, why);
		return;
	}
	if (config_restart_keys(daemon->config, next, &keys) == 0 && keys.len)
		log_message(MESSAGE_RESTART_NEEDED, NULL,
			    "reloaded, but these keys need a restart: %s", keys.data);
	note_request_timeout(daemon, next);
	http_server_reload(daemon->http, endpoints, &proxies,
			   next->server.request_timeout_ms * 1000, next->server.max_body_bytes,
			   next->server.callback_log_rate);
	control_reload(daemon->control, endpoints);
	endpoint_set_unref(daemon->endpoints);
	daemon->endpoints = endpoints;
	/* The old one stays: its sockets and its store are the ones that are open. */
	config_free(next);
	log_message(MESSAGE_RELOADED, NULL, "reloaded %s", daemon->config->file);
	say_ready(daemon, NULL);
}

static void watchdog_round(struct daemon *daemon, int64_t every_us, int64_t *last_us)
{
	int64_t now_us = clock_elapsed_us(daemon->clock);

	if (!every_us || now_us - *last_us < every_us / 4)
		return;
	if (now_us - writer_progress_us(daemon->writer) > PROGRESS_LIMIT_US)
		return;
	*last_us = now_us;
	service_watchdog();
}

static void block_signals(sigset_t *waited)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigemptyset(waited);
	sigaddset(waited, SIGTERM);
	sigaddset(waited, SIGINT);
	sigaddset(waited, SIGHUP);
	/* Blocked before there are threads, so that all of them inherit it. */
	pthread_sigmask(SIG_BLOCK, waited, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	/* A file size limit must be a failed write, not a death in the middle of a batch. */
	sigaction(SIGXFSZ, &ignore, NULL);
}

/* True when there has been no memory at all for a while. */
static bool memory_is_out(struct daemon *daemon, int64_t *since_us)
{
	/* volatile, or the compiler leaves both calls out. */
	void *volatile probe = malloc(MEMORY_PROBE_BYTES);
	int64_t now_us = clock_elapsed_us(daemon->clock);
	bool out = !probe;

	free(probe);
	if (!out)
		*since_us = 0;
	else if (!*since_us)
		*since_us = now_us;
	return out && now_us - *since_us > MEMORY_LIMIT_US;
}

/* Without memory nothing can be answered, nor can anything be ended in order, which takes memory in
 * every library. The kernel closes the sockets, so callers try again, and nothing that was
 * acknowledged depends on this process. */
__attribute__((noreturn)) static void end_without_memory(void)
{
	log_message(MESSAGE_NO_MEMORY, NULL,
		    "ended: no memory could be had for %d s; callers are asked to retry",
		    MEMORY_LIMIT_US / 1000000);
	_exit(EXIT_STORE_IO);
}

/* Until a signal asks for the end or the store fails: then the failure. */
static int serve(struct daemon *daemon, const sigset_t *waited)
{
	const struct timespec round = {.tv_nsec = ROUND_MS * 1000000L};
	int64_t watchdog_us = service_watchdog_us();
	int64_t kicked_us = 0;
	int64_t out_since_us = 0;

	for (;;) {
		int signal_number = sigtimedwait(waited, NULL, &round);
		if (signal_number == SIGHUP)
			reload(daemon);
		if (signal_number == SIGTERM || signal_number == SIGINT) {
			log_message(MESSAGE_STOPPING, NULL, "stopping: signal %s",
				    signal_number == SIGTERM ? "TERM" : "INT");
			return 0;
		}
		if (memory_is_out(daemon, &out_since_us))
			end_without_memory();
		http_server_sweep(daemon->http);
		writer_expire(daemon->writer);
		note_clock(daemon);
		watchdog_round(daemon, watchdog_us, &kicked_us);
		if (writer_failure(daemon->writer))
			return writer_failure(daemon->writer);
	}
}

static void drain(struct daemon *daemon)
{
	const struct timespec round = {.tv_nsec = 10 * 1000000L};
	int64_t deadline_us = clock_elapsed_us(daemon->clock) + DRAIN_EXTRA_US +
			      daemon->config->server.commit_timeout_ms * 1000 +
			      daemon->request_timeout_ms * 1000;
	int64_t out_since_us = 0;

	service_stopping();
	__atomic_store_n(&daemon->draining, true, __ATOMIC_RELAXED);
	control_end(daemon->control);
	http_server_drain(daemon->http);
	while (http_server_connections(daemon->http) &&
	       clock_elapsed_us(daemon->clock) < deadline_us) {
		if (memory_is_out(daemon, &out_since_us))
			end_without_memory();
		http_server_sweep(daemon->http);
		writer_expire(daemon->writer);
		nanosleep(&round, NULL);
	}
	if (http_server_connections(daemon->http))
		log_message(MESSAGE_CONNECTIONS_CUT, NULL,
			    "%zu connections did not end in time and are cut",
			    http_server_connections(daemon->http));
}

int daemon_run(struct config *config)
{
	struct daemon daemon = {.clock = clock_system(),
				.config = config,
				.http_listener = {.fd = -1},
				.admin_listener = {.fd = -1}};
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_BYTES);
	sigset_t waited;
	int err;

	order_machine_v5();
	block_signals(&waited);
	err = daemon_start(&daemon, &problem);
	if (err) {
		int code = daemon_refuse(&problem, err);
		daemon_release(&daemon);
		return code;
	}
	note_clock(&daemon);
	say_ready(&daemon, NULL);
	err = serve(&daemon, &waited);
	drain(&daemon);
	int failure = daemon_release(&daemon);
	if (!err)
		err = failure;
	if (err) {
		log_message(MESSAGE_STORE_FAILED, NULL,
			    "stopped: %s; a restart recovers from the log on disk", err_text(err));
		return EXIT_STORE_IO;
	}
	log_message(MESSAGE_STOPPED, NULL, "stopped: everything accepted was answered");
	return 0;
}
