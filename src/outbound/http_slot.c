/*
 * A slot: an easy handle, made once, the body that it sends and the answer that it gets. Normally
 * the body is handed to curl whole. A slow one is asked for piece by piece: its first half, then a
 * pause, which the client ends when it is due, then the rest.
 */
#include "http_client_private.h"

#include <errno.h>
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"

#define BODY_BYTES_MAX (16 * 1024 * 1024) /* as max_body allows */
#define HEADERS_BYTES_MAX (16 * 1024)

/* ------------------------------------------------------------------ called by curl ----- */

static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct http_client *client = context;

	(void)purpose;
	if (!address_may_be_called(&address->addr, client->allow_external,
				   client->target.literal)) {
		errno = EACCES;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_answer(char *bytes, size_t size, size_t n, void *context)
{
	struct http_slot *slot = context;

	return buf_add(&slot->answer, bytes, size * n) ? 0 : size * n;
}

/* The slow body: its first half, a pause, the rest. */
static size_t on_body(char *out, size_t size, size_t n, void *context)
{
	struct http_slot *slot = context;
	size_t half = slot->body.len / 2;
	size_t len;

	if (slot->n_read >= half && slot->pause_us) {
		slot->continue_us = clock_elapsed_us(clock_system()) + slot->pause_us;
		slot->pause_us = 0;
		slot->client->n_paused++;
		return CURL_READFUNC_PAUSE;
	}
	len = (slot->pause_us ? half : slot->body.len) - slot->n_read;
	if (len > size * n)
		len = size * n;
	memcpy(out, slot->body.data + slot->n_read, len);
	slot->n_read += len;
	return len;
}

static int on_rewind(void *context, curl_off_t offset, int origin)
{
	struct http_slot *slot = context;

	if (origin != SEEK_SET || offset < 0 || (size_t)offset > slot->body.len)
		return CURL_SEEKFUNC_FAIL;
	slot->n_read = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* ------------------------------------------------------------------ options ------------ */

static bool set_options(struct http_slot *slot, int64_t timeout_ms)
{
	struct http_client *client = slot->client;
	CURL *easy = slot->easy;
	CURLcode bad = CURLE_OK;

#define SET(option, value) (bad = bad ? bad : curl_easy_setopt(easy, CURLOPT_##option, (value)))
	SET(URL, client->target.url);
	SET(UNIX_SOCKET_PATH, client->target.unix_socket);
	SET(PATH_AS_IS, 1L);
	SET(PROTOCOLS_STR, "http,https");
	SET(FOLLOWLOCATION, 0L);
	SET(PROXY, ""); /* not the environment's either */
	SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(POST, 1L);
	SET(NOSIGNAL, 1L);
	SET(TIMEOUT_MS, (long)timeout_ms);
	SET(CONNECTTIMEOUT_MS, (long)timeout_ms);
	SET(DNS_CACHE_TIMEOUT, -1L);
	SET(USERAGENT, "orderhook/" ORDERHOOK_VERSION);
	SET(ERRORBUFFER, slot->problem);
	SET(PRIVATE, (void *)slot);
	SET(OPENSOCKETFUNCTION, on_open);
	SET(OPENSOCKETDATA, (void *)client);
	SET(WRITEFUNCTION, on_answer);
	SET(WRITEDATA, (void *)slot);
	SET(READFUNCTION, on_body);
	SET(READDATA, (void *)slot);
	SET(SEEKFUNCTION, on_rewind);
	SET(SEEKDATA, (void *)slot);
#undef SET
	return bad == CURLE_OK;
}

int http_slot_init(struct http_slot *slot, struct http_client *client, int64_t timeout_ms)
{
	slot->client = client;
	slot->continue_us = HTTP_NEVER;
	slot->easy = curl_easy_init();
	buf_init(&slot->body, BODY_BYTES_MAX);
	buf_init(&slot->header_text, HEADERS_BYTES_MAX);
	buf_init(&slot->answer, HTTP_CLIENT_ANSWER_BYTES_MAX);
	return slot->easy && set_options(slot, timeout_ms) ? 0 : -ERR_NOMEM;
}

void http_slot_release(struct http_slot *slot)
{
	curl_easy_cleanup(slot->easy);
	curl_slist_free_all(slot->headers);
	buf_release(&slot->header_text);
	buf_release(&slot->body);
	buf_release(&slot->answer);
}

static int append(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -ERR_NOMEM;
	*list = longer;
	return 0;
}

/* text is lines, each with its newline; it is cut apart in place and put together again. */
static int make_headers(struct buf *text, struct curl_slist **ret)
{
	struct curl_slist *headers = NULL;
	char *line = text->data;
	/* A server of ours needs no 100 Continue, and waiting for one would be measured. */
	int err = append(&headers, "Expect:");

	while (!err && line < text->data + text->len) {
		char *end = strchr(line, '\n');
		*end = '\0';
		err = append(&headers, line);
		*end = '\n';
		line = end + 1;
	}
	if (err)
		curl_slist_free_all(headers);
	else
		*ret = headers;
	return err;
}

static int set_headers(struct http_slot *slot, const struct http_post *post)
{
	BUF_AUTO struct buf text = BUF_INIT(HEADERS_BYTES_MAX);
	struct curl_slist *headers;
	int err = buf_addf(&text, "Content-Type: %s\n%s", post->content_type,
			   post->headers ? post->headers : "");

	if (err)
		return err;
	/* Nearly always the same as the last time. */
	if (slot->headers && slice_equal(buf_slice(&text), buf_slice(&slot->header_text)))
		return 0;
	err = make_headers(&text, &headers);
	if (err)
		return err;
	if (curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK) {
		curl_slist_free_all(headers);
		return -ERR_NOMEM;
	}
	curl_slist_free_all(slot->headers);
	slot->headers = headers;
	buf_reset(&slot->header_text);
	return buf_add_slice(&slot->header_text, buf_slice(&text));
}

int http_slot_prepare(struct http_slot *slot, const struct http_post *post)
{
	int err = set_headers(slot, post);

	buf_reset(&slot->body);
	buf_reset(&slot->answer);
	if (!err)
		err = buf_add_slice(&slot->body, post->body);
	if (err)
		return err;
	slot->tag = post->tag;
	slot->n_read = 0;
	slot->pause_us = post->pause_us;
	slot->continue_us = HTTP_NEVER;
	slot->problem[0] = '\0';
	/* Without POSTFIELDS curl asks on_body() for the bytes. */
	if (curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS,
			     post->pause_us ? NULL : slot->body.data) != CURLE_OK ||
	    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->body.len) !=
		    CURLE_OK)
		return -ERR_NOMEM;
	return 0;
}
