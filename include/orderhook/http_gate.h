/*
 * The head gate: everything that can be decided from a request's head, in the contract's order,
 * before a byte of the body is read. libmicrohttpd accepts heads that can be read two ways; this
 * is where they are refused.
 */
#pragma once

#include <microhttpd.h>

#include "orderhook/buf.h"
#include "orderhook/endpoint_set.h"

#define HTTP_HEAD_BYTES_MAX (32 * 1024)

struct http_head {
	const struct endpoint *endpoint; /* NULL until the path matched */
	bool token_ok;
	enum body_type type;
	uint64_t content_length;
	/* Refused or not, a body of content_length bytes comes, and without being asked for. */
	bool body_comes;
	/* Borrowed from the connection; absent where there is no such header. */
	struct slice webhook_id;
	struct slice webhook_timestamp;
	struct slice webhook_signature;
	struct slice forwarded_for;
	struct slice request_id; /* X-Request-Id; the last one where there are several */
};

/*
 * 0, or the refusal. raw_path is the path as it came, without its query. head_text gets the request
 * line and the headers as they came, without the URL token.
 */
int http_gate(struct MHD_Connection *connection, const struct endpoint_set *endpoints,
	      const char *raw_path, const char *method, const char *version, int64_t max_body_bytes,
	      struct buf *head_text, struct http_head *ret);
