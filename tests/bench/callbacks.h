/*
 * Unique signed callbacks for the benchmarks: the five captured bodies of tests/fixtures with order
 * numbers of their own. A body is a template in which only the order numbers, the timestamp and the
 * sign change, so that making one costs the client little more than the MD5.
 */
#pragma once

#include "orderhook/buf.h"

#define CALLBACK_STEPS 5
#define CALLBACK_ORDER_DIGITS 12

struct callback_template {
	struct buf body;    /* the JSON to send */
	struct buf signing; /* what is hashed behind the secret */
	size_t body_iss, body_order, body_timestamp, body_sign; /* offsets of what is patched */
	size_t signing_iss, signing_order, signing_timestamp;
};

struct callbacks {
	struct slice secret; /* borrowed */
	struct callback_template steps[CALLBACK_STEPS];
};

/* fixtures: the directory of the captured samples. Ends the program with a message on failure. */
void callbacks_init(struct callbacks *callbacks, const char *fixtures, struct slice secret);
void callbacks_release(struct callbacks *callbacks);
/* The body of one step of an order, valid until the next call for the same step. */
struct slice callbacks_make(struct callbacks *callbacks, unsigned step, uint64_t order,
			    int64_t timestamp_ms);
