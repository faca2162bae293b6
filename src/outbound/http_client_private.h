/* One connection's worth of requests, and the client that has them. Private to outbound/. */
#pragma once

#include <curl/curl.h>

#include "http_target_private.h"

#define HTTP_NEVER INT64_MAX

struct http_slot {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct buf header_text; /* that headers were made from */
	struct http_slot *next_free;
	bool busy;
	void *tag;
	struct buf body;
	struct buf answer;
	size_t n_read;       /* bytes of a slow body that curl has taken */
	int64_t pause_us;    /* 0: the body is not slow, or has had its pause */
	int64_t continue_us; /* when a paused body goes on; HTTP_NEVER while it is not paused */
	int64_t sent_us;
	char problem[CURL_ERROR_SIZE];
};

struct http_client {
	CURLM *multi;
	int epoll_fd;
	struct http_slot *slots;
	size_t n_slots;
	struct http_slot *free_slots;
	size_t n_free;
	size_t n_paused;
	int64_t curl_deadline_us; /* when curl wants to be called without an event */
	struct http_target target;
	bool allow_external;
	http_done_fn done;
	void *context;
};

/* An easy handle with every option that stays. A failed slot is released like a good one.
 * -ERR_NOMEM. */
int http_slot_init(struct http_slot *slot, struct http_client *client, int64_t timeout_ms);
void http_slot_release(struct http_slot *slot);
/* Fills in one request. -ERR_NOMEM, -ERR_TOO_LONG. */
int http_slot_prepare(struct http_slot *slot, const struct http_post *post);
