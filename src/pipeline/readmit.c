/*
 * A delivery is made again from what is stored: the body, and from the head the type and the
 * webhook headers. The rest is what every callback goes through, ingest and one batch.
 */
#include "orderhook/readmit.h"

#include <string.h>

#include "orderhook/err.h"
#include "orderhook/ingest.h"

#define BYTES_MAX ((size_t)64 * 1024 * 1024)

static void take_header(struct slice name, struct slice value, struct delivery *ret)
{
	const struct slice form = SLICE("application/x-www-form-urlencoded");

	/* The gate let nothing pass but the two types, each of them once. */
	if (slice_equal_nocase(name, SLICE("Content-Type")) && value.len >= form.len &&
	    slice_equal_nocase((struct slice){value.at, form.len}, form))
		ret->type = BODY_FORM;
	if (slice_equal_nocase(name, SLICE("webhook-id")))
		ret->webhook_id = value;
	if (slice_equal_nocase(name, SLICE("webhook-timestamp")))
		ret->webhook_timestamp = value;
	if (slice_equal_nocase(name, SLICE("webhook-signature")))
		ret->webhook_signature = value;
}

static void read_head(struct slice head, struct delivery *ret)
{
	while (head.len) {
		const char *end = slice_find(head, SLICE("\r\n"));
		struct slice line = {head.at, end ? (size_t)(end - head.at) : head.len};
		const char *colon = slice_find(line, SLICE(": "));
		size_t taken = end ? line.len + 2 : line.len;
		if (colon) {
			size_t len = (size_t)(colon - line.at);
			take_header((struct slice){line.at, len},
				    (struct slice){colon + 2, line.len - len - 2}, ret);
		}
		head.at += taken;
		head.len -= taken;
	}
}

static const struct endpoint *find_endpoint(const struct endpoint_set *endpoints, const char *name)
{
	for (size_t i = 0; i < endpoint_set_count(endpoints); i++) {
		const struct endpoint *endpoint = endpoint_set_get(endpoints, i);
		if (strcmp(endpoint->name, name) == 0)
			return endpoint;
	}
	return NULL;
}

static int feed_in(struct store *store, const struct endpoint *endpoint, int64_t held_id,
		   const struct store_held_delivery *held, struct event *ret_event,
		   struct store_result *ret)
{
	BUF_AUTO struct buf scratch = BUF_INIT(3 * BYTES_MAX);
	struct delivery delivery = {.body = buf_slice(&held->body),
				    .token_ok = held->token_ok,
				    .received_ms = held->received_ms,
				    .source = EVENT_READMIT};
	struct event event;
	struct store_item item = {.event = &event,
				  .machine = endpoint->platform->machine(),
				  .endpoint = held->endpoint,
				  .body = delivery.body,
				  .head = buf_slice(&held->head),
				  .remote = held->remote,
				  .held_id = held_id};
	struct store_item *items[] = {&item};
	int err;

	read_head(item.head, &delivery);
	err = ingest(endpoint, &delivery, &scratch, &event);
	if (!err)
		err = store->ops->write_batch(store, items, 1);
	if (!err)
		err = item.result.err;
	if (!err) {
		*ret_event = event;
		*ret = item.result;
	}
	return err;
}

int readmit(struct store *store, const struct endpoint_set *endpoints, int64_t held_id,
	    struct event *ret_event, struct store_result *ret)
{
	struct store_held_delivery held = {.head = BUF_INIT(BYTES_MAX),
					   .body = BUF_INIT(BYTES_MAX)};
	const struct endpoint *endpoint = NULL;
	int err = store_held_find(store, held_id, &held);

	if (!err) {
		endpoint = find_endpoint(endpoints, held.endpoint);
		err = endpoint ? feed_in(store, endpoint, held_id, &held, ret_event, ret)
			       : -ERR_PATH;
	}
	buf_release(&held.head);
	buf_release(&held.body);
	if (endpoint && (err_http_status(err) == 400 || err_http_status(err) == 401)) {
		int failed = store_held_reason(store, held_id, err_key(err));
		return failed ? failed : err;
	}
	return err;
}
