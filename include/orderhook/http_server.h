/*
 * The callback listener: libmicrohttpd driven by threads of ours (http_loop.c; its own epoll thread
 * stalls with exactly 128, 256 or 512 busy connections), its connections, their deadlines, and an
 * orderly end.
 */
#pragma once

#include "orderhook/clock.h"
#include "orderhook/endpoint_set.h"
#include "orderhook/http_remote.h"
#include "orderhook/writer.h"

struct http_server;

struct http_server_options {
	int listen_fd; /* borrowed: never shut down or closed by the server */
	unsigned threads;
	unsigned connection_limit;
	int64_t keepalive_timeout_ms;
	int64_t request_timeout_us;
	int64_t max_body_bytes;
	int64_t log_rate; /* most lines a second about stored callbacks */
	struct http_proxies proxies;
	struct endpoint_set *endpoints; /* a reference is taken */
	struct writer *writer;          /* borrowed */
	const struct clock *clock;
};

/* -ERR_NOMEM, -ERR_SYSTEM. */
int http_server_start(const struct http_server_options *options, struct http_server **ret);

/* Ends the connections whose request is not whole by its deadline. Call several times a second. */
void http_server_sweep(struct http_server *server);

/* What a reload can change, from the next request on. */
void http_server_reload(struct http_server *server, struct endpoint_set *endpoints,
			const struct http_proxies *proxies, int64_t request_timeout_us,
			int64_t max_body_bytes, int64_t log_rate);

/* Stops accepting, refuses new requests, lets idle connections go. What was accepted is answered.
 */
void http_server_drain(struct http_server *server);
size_t http_server_connections(struct http_server *server);
/* Ends the daemon. Only after writer_stop(): a suspended connection cannot be stopped. NULL is
 * fine. */
void http_server_stop(struct http_server *server);
