/*
 * POST /control/explain {"endpoint":NAME,"received_ms":N,"head":BASE64,"body":BASE64}, with
 * "url_token":false for a delivery whose URL had none: what explain() says about a delivery, with
 * the secrets that only the daemon can read. It reads no store, so it is answered at once; the
 * bounds of the request bound the time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control_private.h"
#include "orderhook/err.h"
#include "orderhook/explain.h"

#define NAME_BYTES 65

struct request {
	char endpoint[NAME_BYTES];
	int64_t received_ms;
	bool url_token;
	struct buf head;
	struct buf body;
};

/* A member that holds bytes. False after a refusal. */
static bool take_bytes(struct control_call *call, const struct json_object *object,
		       const char *name, struct buf *ret)
{
	const struct json_member *member = json_find(object, name);
	size_t len;

	if (member && member->type == JSON_STRING && !member->value_escaped &&
	    buf_reserve(ret, member->value.len) == 0 &&
	    digest_base64_decode(member->value, (uint8_t *)ret->data, ret->cap, &len) == 0) {
		ret->len = len;
		return true;
	}
	if (control_refuse(call, 400, -ERR_SYNTAX, "%s: must be a string of base64", name))
		call->status = 500;
	return false;
}

static bool read_request(struct control_call *call, const struct json_object *object,
			 struct request *ret)
{
	static const char *const names[] = {"endpoint", "received_ms", "url_token",
					    "head",     "body",        NULL};

	ret->url_token = true;
	return control_only(call, object, names) &&
	       control_take_text(call, object, "endpoint", true, ret->endpoint, NAME_BYTES) &&
	       control_take_int(call, object, "received_ms", true, 0, INT64_MAX / 2,
				&ret->received_ms) &&
	       control_take_bool(call, object, "url_token", &ret->url_token) &&
	       take_bytes(call, object, "head", &ret->head) &&
	       take_bytes(call, object, "body", &ret->body);
}

static int answer(struct control_call *call, const struct request *request)
{
	const struct endpoint *endpoint =
		endpoint_set_find(call->endpoints, slice_of(request->endpoint));
	const struct explain_delivery given = {.head = buf_slice(&request->head),
					       .body = buf_slice(&request->body),
					       .received_ms = request->received_ms,
					       .url_token = request->url_token};
	int err;

	if (!endpoint)
		return control_refuse(call, 400, -ERR_PATH,
				      "the daemon has no endpoint of that name; reload it, if the "
				      "configuration has one");
	call->status = 200;
	err = explain(call->endpoints, endpoint, &given, &call->answer);
	if (!err)
		err = buf_add_char(&call->answer, '\n');
	snprintf(call->what, sizeof(call->what), "a delivery of endpoint %s: %s", endpoint->name,
		 err ? err_key(err) : "done");
	return err;
}

static int begin(struct control_call *call, const struct json_object *object)
{
	struct request request = {.head = BUF_INIT(call->row->request_bytes),
				  .body = BUF_INIT(call->row->request_bytes)};
	int err = 0;

	if (read_request(call, object, &request))
		err = answer(call, &request);
	buf_release(&request.head);
	buf_release(&request.body);
	return err;
}

const struct control_handler control_explain = {begin, NULL, NULL, NULL};
