/* Only what a verdict may depend on is read from a head: the type of the body, and the headers that
 * are signed. */
#include "orderhook/stored_delivery.h"

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

void stored_delivery_head(struct slice head, struct delivery *ret)
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
