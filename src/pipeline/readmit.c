/*
 * A delivery is made again from what is stored, and goes through what every callback goes through:
 * ingest and one batch.
 */
#include "orderhook/readmit.h"

#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/stored_delivery.h"

#define BYTES_MAX ((size_t)64 * 1024 * 1024)

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

	stored_delivery_head(item.head, &delivery);
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
		endpoint = endpoint_set_find(endpoints, slice_of(held.endpoint));
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
