/*
 * Feeds a refused delivery in again: every check of the endpoint as it is configured now, with the
 * time, address and endpoint of the original receipt.
 */
#pragma once

#include "orderhook/endpoint_set.h"
#include "orderhook/store.h"

/*
 * 0: it is an event now (or a duplicate of one), ret_event and ret say which, and it is held no
 * more. A refusal (400, 401) stands as its new reason. -ERR_PATH when its endpoint is not
 * configured any more, -ERR_NOT_FOUND, errors of the store. For the only writer of the store.
 */
int readmit(struct store *store, const struct endpoint_set *endpoints, int64_t held_id,
	    struct event *ret_event, struct store_result *ret);
