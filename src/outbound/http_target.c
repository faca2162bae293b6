/*
 * The URL is taken apart by libcurl's own parser: the host that is checked here is then the host
 * that is connected to, whatever a parser of ours would have thought of it.
 */
#include <curl/curl.h>

#include "http_target_private.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "orderhook/err.h"

#define UNIX_PREFIX "unix:"

static void curl_free_text(char **text)
{
	curl_free(*text);
}

#define CURL_TEXT __attribute__((cleanup(curl_free_text))) char

static void url_cleanup(CURLU **url)
{
	curl_url_cleanup(*url);
}

#define URL_AUTO __attribute__((cleanup(url_cleanup)))

void http_target_release(struct http_target *target)
{
	if (target->url)
		explicit_bzero(target->url, strlen(target->url));
	free(target->url);
	free(target->shown);
	free(target->unix_socket);
	*target = (struct http_target){.url = NULL};
}

static int refuse(int err, struct buf *problem, const char *shown, const char *what)
{
	buf_addf(problem, "%s: %s", shown, what);
	return err;
}

/* "unix:/SOCKET:/PATH" becomes the socket and a URL whose host means nothing. */
static int split_unix(const char *text, struct http_target *target, char **ret_url)
{
	const char *socket_path = text + strlen(UNIX_PREFIX);
	const char *colon = strstr(socket_path, ":/");

	if (!colon)
		return -ERR_SYNTAX;
	target->unix_socket = strndup(socket_path, (size_t)(colon - socket_path));
	if (!target->unix_socket || asprintf(ret_url, "http://localhost%s", colon + 1) < 0)
		return -ERR_NOMEM;
	return 0;
}

static int check_form(CURLU *url, const char *text, struct buf *problem)
{
	CURL_TEXT *scheme = NULL;
	CURL_TEXT *fragment = NULL;
	CURLUcode code =
		curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);

	if (code == CURLUE_OUT_OF_MEMORY)
		return -ERR_NOMEM;
	/* The text may hold a password: only a URL that has been understood is shown. */
	if (code == CURLUE_USER_NOT_ALLOWED)
		return refuse(-ERR_SYNTAX, problem, "the URL",
			      "a user or password in it is not served");
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
	if (code != CURLUE_OK || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return refuse(-ERR_SYNTAX, problem, text,
			      "not a URL of the form http://HOST:PORT/PATH, https://… or "
			      "unix:/SOCKET:/PATH");
	if (curl_url_get(url, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
		return refuse(-ERR_SYNTAX, problem, text,
			      "a #fragment is never sent; leave it out");
	return 0;
}

/* Every address of the host must be one that may be called. */
static int check_addresses(const char *host, const char *port, bool allow_external,
			   bool *ret_literal, struct buf *problem)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	bool literal = true;
	bool allowed = true;
	int code = getaddrinfo(host, port, &hints, &found);

	if (code == EAI_NONAME) {
		literal = false;
		hints.ai_flags = AI_NUMERICSERV;
		code = getaddrinfo(host, port, &hints, &found);
	}
	if (code)
		return refuse(-ERR_NOT_FOUND, problem, host, gai_strerror(code));
	for (const struct addrinfo *one = found; one; one = one->ai_next)
		allowed = allowed && address_may_be_called(one->ai_addr, allow_external, literal);
	freeaddrinfo(found);
	if (!allowed)
		return refuse(
			-ERR_TARGET, problem, host,
			allow_external
				? "this address cannot be called; a private or link-local one is "
				  "called only when it is written as an address"
				: "not an address of this host; --allow-external calls others");
	*ret_literal = literal;
	return 0;
}

static int check_host(CURLU *url, bool allow_external, bool *ret_literal, struct buf *problem)
{
	CURL_TEXT *host = NULL;
	CURL_TEXT *port = NULL;
	size_t len;

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return -ERR_NOMEM;
	len = strlen(host);
	if (host[0] == '[' && len > 2) {
		memmove(host, host + 1, len);
		host[len - 2] = '\0';
	}
	return check_addresses(host, port, allow_external, ret_literal, problem);
}

static char *copy_url(CURLU *url)
{
	CURL_TEXT *text = NULL;

	return curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK ? strdup(text) : NULL;
}

static bool add_segment(CURLU *url, const char *segment)
{
	CURL_TEXT *path = NULL;
	char *longer = NULL;
	bool ok = curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK;

	if (ok) {
		const char *slash = path[0] && path[strlen(path) - 1] == '/' ? "" : "/";
		ok = asprintf(&longer, "%s%s%s", path, slash, segment) >= 0;
	}
	if (ok) {
		ok = curl_url_set(url, CURLUPART_PATH, longer, 0) == CURLUE_OK;
		explicit_bzero(longer, strlen(longer));
		free(longer);
	}
	return ok;
}

static int fill_texts(CURLU *url, const char *token, struct http_target *target)
{
	URL_AUTO CURLU *shown = curl_url_dup(url);

	if (!shown || curl_url_set(shown, CURLUPART_QUERY, NULL, 0) != CURLUE_OK)
		return -ERR_NOMEM;
	if (target->unix_socket) {
		CURL_TEXT *path = NULL;
		if (curl_url_get(shown, CURLUPART_PATH, &path, 0) != CURLUE_OK ||
		    asprintf(&target->shown, UNIX_PREFIX "%s:%s", target->unix_socket, path) < 0)
			target->shown = NULL;
	} else {
		target->shown = copy_url(shown);
	}
	if (token && !add_segment(url, token))
		return -ERR_NOMEM;
	target->url = copy_url(url);
	return target->shown && target->url ? 0 : -ERR_NOMEM;
}

static int parse(const struct http_client_options *options, struct http_target *target,
		 char **url_text, struct buf *problem)
{
	URL_AUTO CURLU *url = curl_url();
	const char *text = options->url;
	int err = url ? 0 : -ERR_NOMEM;

	if (!err && strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		err = split_unix(text, target, url_text);
		if (err == -ERR_SYNTAX)
			return refuse(err, problem, text, "not of the form unix:/SOCKET:/PATH");
		text = *url_text;
	} else if (!err && options->unix_socket) {
		target->unix_socket = strdup(options->unix_socket);
		err = target->unix_socket ? 0 : -ERR_NOMEM;
	}
	if (!err)
		err = check_form(url, text, problem);
	if (!err && target->unix_socket &&
	    strlen(target->unix_socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return refuse(-ERR_SYNTAX, problem, target->unix_socket,
			      "longer than the path of a socket may be");
	if (!err && !target->unix_socket)
		err = check_host(url, options->allow_external, &target->literal, problem);
	return err ? err : fill_texts(url, options->token, target);
}

int http_target_parse(const struct http_client_options *options, struct http_target *ret,
		      struct buf *problem)
{
	struct http_target target = {.url = NULL};
	char *url_text = NULL;
	int err = parse(options, &target, &url_text, problem);

	free(url_text);
	if (err) {
		http_target_release(&target);
		return err;
	}
	*ret = target;
	return 0;
}
