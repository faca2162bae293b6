/*
 * Outgoing HTTP: POSTs to one target over a bounded number of kept connections, in the caller's
 * thread. What calls out of this host is decided here and nowhere else: only loopback addresses and
 * unix sockets, unless external ones were asked for; no redirect is followed and no proxy of the
 * environment is used.
 *
 * Like any HTTP/1.1 client it sends a request again, once and unseen, when a kept connection turns
 * out to have been closed before a byte of the answer came.
 */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "orderhook/buf.h"

struct http_client;

#define HTTP_CLIENT_CONNECTIONS_MAX 4096
#define HTTP_CLIENT_ANSWER_BYTES_MAX (64 * 1024)

struct http_answer {
	int status; /* 0: no whole answer came, so it is not known what became of the request */
	struct slice body;   /* borrowed until the call returns */
	const char *problem; /* why no whole answer came; "" when one did */
	int64_t sent_us;     /* CLOCK_MONOTONIC: when the request was handed over, when it ended */
	int64_t ended_us;
};

/* Called exactly once for each request, from http_client_run() or http_client_free(). It must not
 * call the client: the request's connection is still in use. */
typedef void (*http_done_fn)(void *context, void *tag, const struct http_answer *answer);

struct http_client_options {
	/* http://HOST[:PORT]/PATH, https://…, or unix:/SOCKET:/PATH. No user, no fragment. */
	const char *url;
	const char *unix_socket; /* connect here and not to the URL's host; NULL: no */
	const char *token; /* one more segment of the path; never part of a problem. NULL: none */
	/*
	 * Not only loopback. A host that is a name must still not lead to a private or link-local
	 * address: whoever means one writes the address itself.
	 */
	bool allow_external;
	size_t connections; /* 1 to HTTP_CLIENT_CONNECTIONS_MAX */
	int64_t timeout_ms; /* of one request, from the connect to the answer's last byte */
	http_done_fn done;
	void *context;
};

/*
 * -ERR_SYNTAX for a URL of another form, -ERR_NOT_FOUND for a host without an address, -ERR_TARGET
 * for an address that may not be called, -ERR_NOMEM, -ERR_SYSTEM; problem says which and what to
 * do.
 */
int http_client_new(const struct http_client_options *options, struct http_client **ret,
		    struct buf *problem);
/* Gives up what is under way. NULL is fine. */
void http_client_free(struct http_client *client);
/* The target without its token and query: for people. */
const char *http_client_target(const struct http_client *client);

struct http_post {
	struct slice body;        /* copied */
	const char *content_type; /* copied */
	const char *headers;      /* more of them, "Name: value\n" each; copied. NULL: none */
	int64_t pause_us; /* sends half of the body, and the rest so much later; counts into the
			     timeout */
	void *tag;
};

/* Hands a request over; it goes out with the next http_client_run(). -ERR_QUEUE_FULL while every
 * connection is busy, -ERR_NOMEM. */
int http_client_post(struct http_client *client, const struct http_post *post);
size_t http_client_free_connections(const struct http_client *client);
/* Waits up to wait_us for the network, and calls done for every request that ended. -ERR_SYSTEM. */
int http_client_run(struct http_client *client, int64_t wait_us);

enum address_class {
	ADDRESS_LOOPBACK = 0, /* unix sockets too */
	ADDRESS_PRIVATE,      /* RFC 1918, 6598, 4193, link-local */
	ADDRESS_PUBLIC,
	ADDRESS_NOWHERE, /* unspecified, multicast, reserved: nothing to call */
	ADDRESS_CLASS_MAX
};

/* IPv4 inside IPv6 counts as the IPv4 address. */
enum address_class address_class_of(const struct sockaddr *address);
/* literal: the caller wrote the address itself, not a name. */
bool address_may_be_called(const struct sockaddr *address, bool allow_external, bool literal);
