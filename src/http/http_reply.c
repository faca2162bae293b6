/*
 * libmicrohttpd counts references on a response, so one object per status serves every
 * request. The bodies are static, so nothing is ever lent from a stack.
 */
#include "orderhook/http_reply.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"

#define RETRY_AFTER_SECONDS "60"

/* Every status that a row of the error table can ask for, and the two forms of success. */
enum reply_slot {
	REPLY_200 = 0,
	REPLY_200_CLOSE,
	REPLY_400,
	REPLY_401,
	REPLY_404,
	REPLY_405,
	REPLY_408,
	REPLY_411,
	REPLY_413,
	REPLY_415,
	REPLY_431,
	REPLY_500,
	REPLY_503,
	REPLY_MAX
};

static const int slot_status[REPLY_MAX] = {200, 200, 400, 401, 404, 405, 408,
					   411, 413, 415, 431, 500, 503};

struct http_replies {
	struct MHD_Response *slots[REPLY_MAX];
};

static struct MHD_Response *make(const struct platform *platform, enum reply_slot slot)
{
	int status = slot_status[slot];
	const char *body = platform->reply(status);
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
	bool ok = response && MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
						      "application/json; charset=utf-8");

	if (ok && slot != REPLY_200)
		ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (ok && status == 405)
		ok = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
	if (ok && status == 503)
		ok = MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER,
					     RETRY_AFTER_SECONDS);
	if (!ok && response) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

struct http_replies *http_replies_new(const struct platform *platform)
{
	struct http_replies *replies = calloc(1, sizeof(*replies));

	for (int slot = 0; replies && slot < REPLY_MAX; slot++) {
		replies->slots[slot] = make(platform, (enum reply_slot)slot);
		if (!replies->slots[slot]) {
			http_replies_free(replies);
			return NULL;
		}
	}
	return replies;
}

void http_replies_free(struct http_replies *replies)
{
	if (!replies)
		return;
	for (int slot = 0; slot < REPLY_MAX; slot++) {
		if (replies->slots[slot])
			MHD_destroy_response(replies->slots[slot]);
	}
	free(replies);
}

enum MHD_Result http_reply_committed(struct http_replies *replies,
				     struct MHD_Connection *connection,
				     const struct store_result *result, bool closing)
{
	enum reply_slot slot = closing ? REPLY_200_CLOSE : REPLY_200;

	assert(result->err == 0 && result->event_id > 0);
	return MHD_queue_response(connection, MHD_HTTP_OK, replies->slots[slot]);
}

enum MHD_Result http_reply_refused(struct http_replies *replies, struct MHD_Connection *connection,
				   int err)
{
	int status = err_http_status(err);
	enum reply_slot slot = REPLY_500;

	assert(err != 0);
	for (int i = REPLY_400; i < REPLY_MAX; i++) {
		if (slot_status[i] == status)
			slot = (enum reply_slot)i;
	}
	return MHD_queue_response(connection, (unsigned)slot_status[slot], replies->slots[slot]);
}
