/*
 * Every address is compared as 16 bytes, IPv4 in its mapped form, so that one rule serves both and
 * a mapped peer of a dual-stack socket is the address it stands for.
 */
#include "orderhook/http_remote.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "orderhook/err.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_address(struct slice text, uint8_t out[16], bool *ret_v4)
{
	char copy[INET6_ADDRSTRLEN];

	if (slice_copy(text, copy, sizeof(copy)))
		return false;
	*ret_v4 = inet_pton(AF_INET, copy, out + 12) == 1;
	if (*ret_v4)
		memcpy(out, mapped_prefix, sizeof(mapped_prefix));
	return *ret_v4 || inet_pton(AF_INET6, copy, out) == 1;
}

static void format_address(const uint8_t address[16], char out[HTTP_REMOTE_BYTES])
{
	if (memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0)
		inet_ntop(AF_INET, address + 12, out, HTTP_REMOTE_BYTES);
	else
		inet_ntop(AF_INET6, address, out, HTTP_REMOTE_BYTES);
}

static int parse_proxy(struct slice text, struct http_proxy *ret)
{
	const char *slash = slice_find(text, SLICE("/"));
	struct slice address = {text.at, slash ? (size_t)(slash - text.at) : text.len};
	uint64_t bits;
	bool v4;

	if (!parse_address(address, ret->address, &v4))
		return -ERR_SYNTAX;
	ret->prefix_bits = 128;
	if (!slash)
		return 0;
	struct slice prefix = {slash + 1, text.len - address.len - 1};
	if (slice_to_u64(prefix, v4 ? 32 : 128, &bits))
		return -ERR_SYNTAX;
	ret->prefix_bits = (unsigned)bits + (v4 ? 96 : 0);
	return 0;
}

int http_proxies_parse(const struct config_list *items, struct http_proxies *ret)
{
	struct http_proxies proxies = {.n = 0};

	for (size_t i = 0; i < items->n; i++) {
		if (strcmp(items->items[i], "unix") == 0) {
			proxies.unix_peers = true;
			continue;
		}
		if (proxies.n == HTTP_PROXIES_MAX)
			return -ERR_TOO_LONG;
		int err = parse_proxy(slice_of(items->items[i]), &proxies.list[proxies.n]);
		if (err)
			return err;
		proxies.n++;
	}
	*ret = proxies;
	return 0;
}

static bool in_prefix(const uint8_t address[16], const struct http_proxy *proxy)
{
	unsigned whole = proxy->prefix_bits / 8;
	unsigned rest = proxy->prefix_bits % 8;

	if (memcmp(address, proxy->address, whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ proxy->address[whole]) >> (8 - rest)) == 0;
}

static bool is_trusted(const struct http_proxies *proxies, const uint8_t address[16])
{
	for (size_t i = 0; i < proxies->n; i++) {
		if (in_prefix(address, &proxies->list[i]))
			return true;
	}
	return false;
}

bool http_remote_peer(const struct http_proxies *proxies, const struct sockaddr *peer,
		      char out[HTTP_REMOTE_BYTES])
{
	uint8_t address[16];

	if (peer && peer->sa_family == AF_INET) {
		memcpy(address, mapped_prefix, sizeof(mapped_prefix));
		memcpy(address + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr,
		       4);
	} else if (peer && peer->sa_family == AF_INET6) {
		memcpy(address, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
	} else {
		memcpy(out, "unix", 5);
		return proxies->unix_peers;
	}
	format_address(address, out);
	return is_trusted(proxies, address);
}

/* Cuts the last comma-separated item off the list. */
static struct slice last_item(struct slice *list)
{
	size_t start = list->len;

	while (start && list->at[start - 1] != ',')
		start--;
	struct slice item = {list->at + start, list->len - start};
	list->len = start ? start - 1 : 0;
	return slice_trim(item);
}

void http_remote_forwarded(const struct http_proxies *proxies, struct slice header,
			   char out[HTTP_REMOTE_BYTES])
{
	uint8_t address[16];
	bool v4;

	while (header.len) {
		struct slice item = last_item(&header);
		/* What is no address ends the trust: nothing to the left of it can be believed. */
		if (!parse_address(item, address, &v4))
			return;
		format_address(address, out);
		if (!is_trusted(proxies, address))
			return;
	}
}
