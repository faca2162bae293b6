/*
 * The adapter's three steps in their order. What is not authenticated is never parsed for what it
 * says, and nothing of it but the notes is left in the event.
 */
#include "orderhook/ingest.h"

#include <string.h>

#include "orderhook/err.h"

int ingest(const struct endpoint *endpoint, const struct delivery *delivery, struct buf *scratch,
	   struct event *ret)
{
	const struct platform *platform = endpoint->platform;
	struct message message;
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->sub_status = EVENT_SUB_ABSENT;
	ret->source = delivery->source;
	ret->received_ms = delivery->received_ms;
	buf_reset(scratch);
	err = platform->authenticate(endpoint, delivery, scratch, &message, ret);
	if (err)
		return err;
	ret->auth = message.auth;
	ret->stale = message.stale;
	err = platform->identify(&message, ret);
	trace_say(delivery->trace, TRACE_ORDER, err, "%s",
		  err ? err_text(err)
		  : ret->kind == EVENT_OTHER
			  ? "another event than an order's: kept, judged by nobody"
			  : "issOrderNo and status are there");
	if (err)
		return err;
	return platform->normalise(&message, delivery, ret);
}
