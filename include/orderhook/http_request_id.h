/*
 * What one request is known by in the reply, the log and the store. A trusted proxy may name it in
 * X-Request-Id, [A-Za-z0-9._-]{1,64}; otherwise it is made here, 16 hex digits.
 */
#pragma once

#include <stdatomic.h>

#include "orderhook/buf.h"

#define HTTP_REQUEST_ID_BYTES 65

struct http_request_ids {
	uint64_t seed;
	atomic_uint_fast64_t made;
};

void http_request_id_seed(struct http_request_ids *ids);
/* Any thread. */
void http_request_id_make(struct http_request_ids *ids, char out[HTTP_REQUEST_ID_BYTES]);
bool http_request_id_is(struct slice text);
