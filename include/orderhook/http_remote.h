/*
 * Who called: the peer of the connection, or, where the peer is a trusted proxy, the rightmost
 * address of X-Forwarded-For that is not itself a trusted proxy.
 */
#pragma once

#include <sys/socket.h>

#include "orderhook/config.h"

#define HTTP_REMOTE_BYTES 64
#define HTTP_PROXIES_MAX 64

struct http_proxies {
	struct http_proxy {
		uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
		unsigned prefix_bits;
	} list[HTTP_PROXIES_MAX];
	size_t n;
	bool unix_peers;
};

/* -ERR_SYNTAX or -ERR_TOO_LONG; config_load() has checked the items already. */
int http_proxies_parse(const struct config_list *items, struct http_proxies *ret);

/* Text of a peer's address, "unix" for a unix socket; true when it is a trusted proxy. */
bool http_remote_peer(const struct http_proxies *proxies, const struct sockaddr *peer,
		      char out[HTTP_REMOTE_BYTES]);

/* Replaces out by what X-Forwarded-For says, if it says an address. Only for a trusted peer. */
void http_remote_forwarded(const struct http_proxies *proxies, struct slice header,
			   char out[HTTP_REMOTE_BYTES]);
