/*
 * Every reply of the callback listener. The bodies are static strings of the platform's adapter;
 * the request's id goes with each. 200 exists only in http_reply_committed().
 */
#pragma once

#include <microhttpd.h>

#include "orderhook/platform.h"
#include "orderhook/store.h"

struct http_replies;

/* In the platform's words. NULL without memory. */
struct http_replies *http_replies_new(const struct platform *platform);
void http_replies_free(struct http_replies *replies);

/* The acknowledgement. result must be a committed one: that is asserted, not assumed. closing:
 * the connection ends after it. */
enum MHD_Result http_reply_committed(struct http_replies *replies,
				     struct MHD_Connection *connection,
				     const struct store_result *result, bool closing,
				     const char *request_id);

/* A refusal: the status and the standard text of err, Connection: close, and what the status
 * calls for (Allow, Retry-After). */
enum MHD_Result http_reply_refused(struct http_replies *replies, struct MHD_Connection *connection,
				   int err, const char *request_id);
