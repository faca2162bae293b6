/*
 * Counters of the process, in Prometheus' text format (version 0.0.4). They are global and atomic:
 * whoever knows a figure reports it, and only the admin listener reads them.
 */
#pragma once

#include <stdint.h>

#include "orderhook/buf.h"
#include "orderhook/order_machine.h"

/* The endpoint that no path matched. */
#define METRICS_NO_ENDPOINT ""

/* outcome: 0 or an error. endpoint is compared by its text; more than 32 of them count as "". */
void metrics_callback(const char *endpoint, int outcome);
void metrics_event(enum verdict verdict);
void metrics_request_us(int64_t us);
void metrics_commit(int64_t us, size_t events, int64_t wall_ms);
void metrics_queue_depth(size_t depth);
void metrics_wal_bytes(int64_t bytes);
/* Of the store's ring of refused deliveries; evicted and failed count since the start. */
void metrics_held(int64_t rows_kept, int64_t evicted, int64_t failed);
void metrics_held_dropped(void); /* one that did not reach the store */
void metrics_orders(int status, int64_t orders);

int metrics_render(struct buf *out);
