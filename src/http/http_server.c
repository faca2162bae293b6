/*
 * Connections are kept in a list so that a sweeper in another thread can end those whose request
 * does not become whole: it shuts their socket down for reading, which libmicrohttpd sees as the
 * peer's end. A descriptor is in the list only between the two notifications of the library, which
 * take the same lock, so the sweeper never shuts down a number that was reused.
 *
 * The listening socket may be shared with systemd: MHD_stop_daemon() would shut it down for
 * everybody, so it is taken away by MHD_quiesce_daemon() first, on every way out.
 */
#include "orderhook/http_server.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_private.h"
#include "orderhook/err.h"
#include "orderhook/log.h"
#include "orderhook/metrics.h"

#define CONNECTION_MEMORY_BYTES (32 * 1024)
#define MANY_CONNECTIONS 128

static void connection_opened(struct http_loop *loop, struct MHD_Connection *mhd,
			      void **socket_context)
{
	struct http_server *server = loop->server;
	struct http_connection *connection = calloc(1, sizeof(*connection));
	const union MHD_ConnectionInfo *info;

	*socket_context = connection;
	if (!connection)
		return; /* the URI callback finds none and the request is dropped */
	connection->server = server;
	connection->loop = loop;
	connection->fresh = true;
	atomic_init(&connection->idle, true);
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	connection->fd = info ? info->connect_fd : -1;
	atomic_store(
		&connection->deadline_us,
		clock_elapsed_us(server->options.clock) +
			atomic_load_explicit(&server->request_timeout_us, memory_order_relaxed));
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	pthread_mutex_lock(&server->lock);
	connection->trusted = http_remote_peer(&server->options.proxies,
					       info ? info->client_addr : NULL, connection->peer);
	buf_init(&connection->scratch, (size_t)server->options.max_body_bytes * 2 + 4096);
	connection->next = server->connections;
	if (connection->next)
		connection->next->prev = connection;
	server->connections = connection;
	server->n_connections++;
	if (server->most_connections < server->n_connections)
		server->most_connections = server->n_connections;
	pthread_mutex_unlock(&server->lock);
}

static void connection_closed(struct http_server *server, struct http_connection *connection)
{
	if (!connection)
		return;
	pthread_mutex_lock(&server->lock);
	if (connection->prev)
		connection->prev->next = connection->next;
	else
		server->connections = connection->next;
	if (connection->next)
		connection->next->prev = connection->prev;
	server->n_connections--;
	pthread_mutex_unlock(&server->lock);
	callback_end(connection);
	buf_release(&connection->scratch);
	free(connection);
}

static void notify_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
			      enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		connection_opened(cls, mhd, socket_context);
	} else {
		struct http_loop *loop = cls;
		loop->closed = true;
		connection_closed(loop->server, *socket_context);
		*socket_context = NULL;
	}
}

struct http_connection *http_connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void *notify_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct http_connection *connection = http_connection_of(mhd);

	(void)cls;
	if (connection)
		callback_begin(connection, mhd, uri);
	return NULL;
}

static void notify_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
			     enum MHD_RequestTerminationCode code)
{
	struct http_connection *connection = http_connection_of(mhd);

	(void)cls;
	(void)con_cls;
	(void)code;
	if (connection)
		callback_end(connection);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url,
			      const char *method, const char *version, const char *upload_data,
			      size_t *upload_data_size, void **con_cls)
{
	if (!http_connection_of(mhd))
		return MHD_NO;
	return callback_handle(cls, mhd, url, method, version, upload_data, upload_data_size,
			       con_cls);
}

/* The path is compared as the bytes that came: nothing is unescaped. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
	(void)cls;
	(void)mhd;
	return strlen(text);
}

static void library_log(void *cls, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void library_log(void *cls, const char *format, va_list args)
{
	static const char refused[] = "Error processing request";
	char line[512];

	(void)cls;
	/* A head that the library refuses by itself, before it asks us or even sees a URI: this
	 * line is the only sign of it. */
	if (strncmp(format, refused, sizeof(refused) - 1) == 0)
		metrics_callback(METRICS_NO_ENDPOINT, -ERR_HEAD_REFUSED);
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("libmicrohttpd: %s", line);
}

static struct MHD_Daemon *start_daemon(struct http_loop *loop, unsigned connection_limit)
{
	const struct http_server_options *options = &loop->server->options;
	unsigned flags =
		MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

	return MHD_start_daemon(
		flags, 0, NULL, NULL, handle, NULL, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, options->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		connection_limit, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)((options->keepalive_timeout_ms + 999) / 1000),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
		MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_NOTIFY_CONNECTION, notify_connection,
		loop, MHD_OPTION_NOTIFY_COMPLETED, notify_completed, NULL,
		MHD_OPTION_URI_LOG_CALLBACK, notify_uri, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
		keep_escapes, NULL, MHD_OPTION_END);
}

/* Each loop takes its share of the connections. */
static int start_loops(struct http_server *server)
{
	unsigned limit = server->options.connection_limit;
	unsigned threads = server->options.threads;
	int err = 0;

	server->loops = calloc(threads, sizeof(*server->loops));
	if (!server->loops)
		return -ERR_NOMEM;
	for (unsigned i = 0; i < threads && !err; i++) {
		struct http_loop *loop = &server->loops[server->n_loops++];
		struct MHD_Daemon *daemon;
		err = http_loop_init(loop, server);
		if (err)
			break;
		daemon = start_daemon(loop, limit / threads + (i < limit % threads));
		err = daemon ? http_loop_start(loop, daemon) : -ERR_SYSTEM;
	}
	return err;
}

int http_server_start(const struct http_server_options *options, struct http_server **ret)
{
	struct http_server *server = calloc(1, sizeof(*server));
	const struct endpoint *first = endpoint_set_get(options->endpoints, 0);
	int err;

	if (!server)
		return -ERR_NOMEM;
	server->options = *options;
	server->options.endpoints = endpoint_set_ref(options->endpoints);
	atomic_init(&server->request_timeout_us, options->request_timeout_us);
	atomic_init(&server->max_body_bytes, options->max_body_bytes);
	atomic_init(&server->log_rate, options->log_rate);
	http_request_id_seed(&server->request_ids);
	pthread_mutex_init(&server->lock, NULL);
	write_job_pool_init(&server->jobs);
	server->replies = http_replies_new(first->platform);
	err = server->replies ? start_loops(server) : -ERR_NOMEM;
	if (err) {
		http_server_stop(server);
		return err;
	}
	*ret = server;
	return 0;
}

/*
 * What the library has not read whole it now closes. With SHUT_RD it reads what is still there, and
 * what comes on; so that is no way to end a caller that goes on sending byte after byte.
 */
static void shut(struct http_connection *connection, int how)
{
	if (!atomic_exchange(&connection->shut, true))
		shutdown(connection->fd, how);
}

/* True when many connections have gone since it was last said. */
static bool many_have_gone_locked(struct http_server *server)
{
	if (server->most_connections < MANY_CONNECTIONS ||
	    server->n_connections > server->most_connections / 2)
		return false;
	server->most_connections = server->n_connections;
	return true;
}

void http_server_sweep(struct http_server *server)
{
	int64_t now_us = clock_elapsed_us(server->options.clock);
	bool draining = atomic_load(&server->draining);
	bool have_gone;

	pthread_mutex_lock(&server->lock);
	for (struct http_connection *c = server->connections; c; c = c->next) {
		int64_t deadline_us = atomic_load(&c->deadline_us);
		if (deadline_us && now_us > deadline_us) {
			if (!atomic_load(&c->shut))
				metrics_callback(METRICS_NO_ENDPOINT, -ERR_REQUEST_TIMEOUT);
			shut(c, SHUT_RDWR);
		} else if (draining && atomic_load(&c->idle)) {
			shut(c, SHUT_RD);
		}
	}
	have_gone = many_have_gone_locked(server);
	pthread_mutex_unlock(&server->lock);
	/* Of itself the allocator keeps the 32 KB of each. */
	if (have_gone)
		malloc_trim(0);
}

void http_server_reload(struct http_server *server, struct endpoint_set *endpoints,
			const struct http_proxies *proxies, int64_t request_timeout_us,
			int64_t max_body_bytes, int64_t log_rate)
{
	struct endpoint_set *old;

	pthread_mutex_lock(&server->lock);
	old = server->options.endpoints;
	server->options.endpoints = endpoint_set_ref(endpoints);
	server->options.proxies = *proxies;
	server->options.max_body_bytes = max_body_bytes;
	pthread_mutex_unlock(&server->lock);
	endpoint_set_unref(old);
	atomic_store(&server->request_timeout_us, request_timeout_us);
	atomic_store(&server->max_body_bytes, max_body_bytes);
	atomic_store(&server->log_rate, log_rate);
}

void http_server_drain(struct http_server *server)
{
	atomic_store(&server->draining, true);
	for (size_t i = 0; i < server->n_loops; i++)
		http_loop_drain(&server->loops[i]);
}

size_t http_server_connections(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	size_t n = server->n_connections;
	pthread_mutex_unlock(&server->lock);
	return n;
}

void http_server_stop(struct http_server *server)
{
	if (!server)
		return;
	if (!atomic_load(&server->draining))
		http_server_drain(server);
	for (size_t i = 0; i < server->n_loops; i++)
		http_loop_stop(&server->loops[i]);
	free(server->loops);
	http_replies_free(server->replies);
	write_job_pool_release(&server->jobs);
	endpoint_set_unref(server->options.endpoints);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
