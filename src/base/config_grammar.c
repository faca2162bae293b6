/*
 * What each type of value allows. A reason is a static text that can follow the value in a message
 * ("'x' has no port"), so that nobody has to guess which of the rules was broken.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "config_private.h"
#include "secret_private.h"

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define URL_PATH_BYTES_MAX 512
/* With its key it fits a line, also in the spelling of --dump-config. */
#define FILE_BYTES_MAX 4000
#define HOST_BYTES_MAX 253
#define NAME_BYTES_MAX 64

static bool only(struct slice text, const char *alphabet)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!text.at[i] || !strchr(alphabet, text.at[i]))
			return false;
	}
	return true;
}

static bool pton(int family, struct slice text)
{
	uint8_t address[sizeof(struct in6_addr)];
	char copy[INET6_ADDRSTRLEN];

	return slice_copy(text, copy, sizeof(copy)) == 0 && inet_pton(family, copy, address) == 1;
}

static const char *port_reason(struct slice port)
{
	uint64_t number;

	if (port.len == 0)
		return "has no port";
	return port.len > 5 || slice_to_u64(port, 65535, &number) ? "has no port of 0 to 65535"
								  : NULL;
}

static const char *host_reason(struct slice host)
{
	if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']') {
		struct slice inner = {host.at + 1, host.len - 2};
		return pton(AF_INET6, inner) ? NULL : "has no IPv6 address in its brackets";
	}
	if (host.len == 0)
		return "has no host; 0.0.0.0 or [::] means every interface";
	if (memchr(host.at, ':', host.len))
		return "has an IPv6 address without brackets";
	if (host.len > HOST_BYTES_MAX || !only(host, ALPHANUMERIC "-."))
		return "has a host with characters that no name has";
	/* The resolver would look 300.1.1.1 up as a name, at start, and say so in its own words. */
	if (only(host, "0123456789.") && !pton(AF_INET, host))
		return "has no IPv4 address before its port";
	return NULL;
}

static const char *file_reason(struct slice text)
{
	if (text.len == 0)
		return "is empty";
	if (text.len > FILE_BYTES_MAX)
		return "is longer than 4000 bytes";
	return text.at[text.len - 1] == '/' ? "names a directory" : NULL;
}

static const char *address_reason(struct slice text)
{
	const struct sockaddr_un *name = NULL;
	struct slice unix_prefix = SLICE("unix:");
	const char *colon = memrchr(text.at, ':', text.len);
	const char *reason;

	if (slice_starts_with(text, unix_prefix)) {
		struct slice path = {text.at + unix_prefix.len, text.len - unix_prefix.len};
		if (path.len >= sizeof(name->sun_path))
			return "has a path longer than the 107 bytes of a socket";
		return path.len ? file_reason(path) : "has no path";
	}
	if (!colon || text.at[text.len - 1] == ']')
		return "has no port";
	struct slice host = {text.at, (size_t)(colon - text.at)};
	struct slice port = {colon + 1, text.len - host.len - 1};
	reason = host_reason(host);
	return reason ? reason : port_reason(port);
}

int config_address_split(const char *address, char *host, size_t cap, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	struct slice name;

	if (!colon)
		return -ERR_SYNTAX;
	name = (struct slice){address, (size_t)(colon - address)};
	if (name.len >= 2 && name.at[0] == '[' && name.at[name.len - 1] == ']')
		name = (struct slice){name.at + 1, name.len - 2};
	int err = slice_copy(name, host, cap);
	if (!err)
		*ret_port = colon + 1;
	return err;
}

bool config_address_any_port(const char *address)
{
	const char *colon = strrchr(address, ':');

	return strncmp(address, "unix:", 5) != 0 && colon &&
	       strspn(colon + 1, "0") == strlen(colon + 1);
}

static bool has_dot_segment(struct slice path)
{
	size_t start = 1;

	for (size_t i = 1; i <= path.len; i++) {
		if (i < path.len && path.at[i] != '/')
			continue;
		struct slice segment = {path.at + start, i - start};
		if (slice_equal_string(segment, ".") || slice_equal_string(segment, ".."))
			return true;
		start = i + 1;
	}
	return false;
}

static const char *url_path_reason(struct slice text)
{
	if (text.len == 0 || text.at[0] != '/')
		return "does not begin with /";
	if (text.len > URL_PATH_BYTES_MAX)
		return "is longer than 512 bytes";
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] <= ' ' || text.at[i] > '~')
			return "has a character that is not visible ASCII";
	}
	if (memchr(text.at, '?', text.len) || memchr(text.at, '#', text.len))
		return "has a query or fragment";
	if (slice_find(text, SLICE("//")))
		return "has an empty segment";
	if (text.at[text.len - 1] == '/')
		return "ends in /";
	/* Clients and proxies resolve them away, so nothing would ever match. */
	return has_dot_segment(text) ? "has a dot segment" : NULL;
}

bool config_token_like(struct slice text)
{
	return text.len >= 16 && text.len <= 128 && only(text, ALPHANUMERIC "._~-");
}

static const char *name_reason(struct slice text, const char *alphabet)
{
	if (text.len == 0)
		return "is empty";
	if (text.len > NAME_BYTES_MAX)
		return "is longer than 64";
	return only(text, alphabet) ? NULL : "has a character that is not allowed";
}

static const char *proxy_reason(struct slice text)
{
	const char *slash = memchr(text.at, '/', text.len);
	struct slice address = {text.at, slash ? (size_t)(slash - text.at) : text.len};
	uint64_t bits;
	bool v4;

	if (slice_equal_string(text, "unix"))
		return NULL;
	v4 = pton(AF_INET, address);
	if (!v4 && !pton(AF_INET6, address))
		return "is neither an address nor unix";
	if (!slash)
		return NULL;
	struct slice prefix = {slash + 1, text.len - address.len - 1};
	if (slice_to_u64(prefix, v4 ? 32 : 128, &bits))
		return v4 ? "has no prefix of 0 to 32 bits" : "has no prefix of 0 to 128 bits";
	return NULL;
}

const char *config_text_reason(const struct config_key *key, struct slice text)
{
	switch (key->type) {
	case CONFIG_TYPE_ADDRESS:
		return address_reason(text);
	case CONFIG_TYPE_FILE:
		return file_reason(text);
	case CONFIG_TYPE_URL_PATH:
		return url_path_reason(text);
	case CONFIG_TYPE_NAME:
		return name_reason(text, ALPHANUMERIC "_-");
	case CONFIG_TYPE_IDS:
		if (slice_equal_string(text, "*"))
			return NULL;
		return name_reason(text, ALPHANUMERIC "_.:-");
	case CONFIG_TYPE_ID:
		return name_reason(text, ALPHANUMERIC "_.:-");
	case CONFIG_TYPE_PROXIES:
		return proxy_reason(text);
	case CONFIG_TYPE_REFERENCE:
	case CONFIG_TYPE_REFERENCES:
		return secret_reference_reason(text);
	default:
		return config_word_index(key->unit, text) < 0 ? "is not known" : NULL;
	}
}

struct slice config_word(const char *words, int index)
{
	static const struct slice between = {" | ", 3};
	struct slice rest = slice_of(words);

	for (;;) {
		const char *end = slice_find(rest, between);
		struct slice word = {rest.at, end ? (size_t)(end - rest.at) : rest.len};
		if (index-- == 0)
			return word;
		if (!end)
			return (struct slice){NULL, 0};
		rest = (struct slice){end + between.len, rest.len - word.len - between.len};
	}
}

int config_word_index(const char *words, struct slice text)
{
	for (int i = 0; config_word(words, i).at; i++) {
		if (slice_equal(config_word(words, i), text))
			return i;
	}
	return -1;
}

struct slice config_next_item(struct slice *list)
{
	struct slice rest = slice_trim(*list);
	size_t len = 0;

	if (rest.len == 0)
		return (struct slice){NULL, 0};
	while (len < rest.len && rest.at[len] != ' ' && rest.at[len] != '\t')
		len++;
	*list = (struct slice){rest.at + len, rest.len - len};
	return (struct slice){rest.at, len};
}

int config_status_parse(struct slice text)
{
	uint64_t status;

	if (text.len > 3 || (text.len > 1 && text.at[0] == '0') ||
	    slice_to_u64(text, CONFIG_STATUS_MAX, &status))
		return -1;
	return (int)status;
}
