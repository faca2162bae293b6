/* Events for the tests of the judge and the fold, in one line each. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "orderhook/order_machine.h"

#define MINUTE_MS (60 * 1000)

/* An event at a minute of the platform's time, received at once. Its content is made of what it
 * says and of more, so that two with equal arguments are one event. */
static inline struct event event_at(int minute, int status, int sub_status, const char *courier,
				    uint8_t more)
{
	struct event event = {
		.kind = EVENT_ORDER,
		.status = status,
		.sub_status = sub_status,
		.occurred_ms = (int64_t)minute * MINUTE_MS,
		.received_ms = (int64_t)minute * MINUTE_MS,
	};

	memcpy(event.courier_id, courier, strlen(courier) + 1);
	event.content[0] = (uint8_t)status;
	event.content[1] = (uint8_t)sub_status;
	event.content[2] = (uint8_t)minute;
	event.content[3] = (uint8_t)courier[0];
	event.content[4] = more;
	return event;
}

/* The same without a time of its own. */
static inline struct event event_received(int minute, int status, int sub_status,
					  const char *courier, uint8_t more)
{
	struct event event = event_at(minute, status, sub_status, courier, more);

	event.occurred_from = EVENT_FROM_RECEIPT;
	event.content[2] = 0;
	return event;
}

static inline void assert_state(const struct order_state *state, int status, int sub_status,
				int since_minute)
{
	assert_int_equal(state->status, status);
	assert_int_equal(state->sub_status, sub_status);
	assert_int_equal(state->since_ms, (int64_t)since_minute * MINUTE_MS);
}
