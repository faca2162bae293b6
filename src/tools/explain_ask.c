/*
 * The secrets are the daemon's. It is asked first; without one the tool tries what its own user may
 * read, and says so plainly when that is not enough.
 */
#include <inttypes.h>

#include "daemon_ask_private.h"
#include "explain_private.h"
#include "orderhook/control.h"
#include "orderhook/err.h"
#include "orderhook/explain.h"

#define REQUEST_BYTES_MAX ((size_t)96 * 1024 * 1024)

static int add_bytes(struct buf *request, const char *name, const struct buf *bytes)
{
	size_t room = 4 * ((bytes->len + 2) / 3) + 1;
	int err = buf_addf(request, ",\"%s\":\"", name);

	if (!err)
		err = buf_reserve(request, request->len + room);
	if (!err && bytes->len) {
		digest_base64_encode((const uint8_t *)bytes->data, bytes->len,
				     request->data + request->len);
		request->len += room - 1;
	}
	return err ? err : buf_add_char(request, '"');
}

static int make_request(const struct explain_subject *subject, struct buf *request)
{
	int err = buf_add_string(request, "{\"endpoint\":");

	if (!err)
		err = json_add_string(request, slice_of(subject->endpoint));
	if (!err)
		err = buf_addf(request, ",\"received_ms\":%" PRId64 ",\"url_token\":%s",
			       subject->received_ms, subject->url_token ? "true" : "false");
	if (!err)
		err = add_bytes(request, "head", &subject->head);
	if (!err)
		err = add_bytes(request, "body", &subject->body);
	return err ? err : buf_add_char(request, '}');
}

static int explain_here(struct tool *tool, const struct explain_subject *subject, struct buf *ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct endpoint_set *endpoints = NULL;
	const struct endpoint *endpoint;
	const struct config *config;
	const struct explain_delivery given = {.head = buf_slice(&subject->head),
					       .body = buf_slice(&subject->body),
					       .received_ms = subject->received_ms,
					       .url_token = subject->url_token};
	int code = tool_config(tool, &config);

	if (code)
		return code;
	if (endpoint_set_new(config, &endpoints, &problem))
		return tool_fail(tool, TOOL_REFUSED,
				 "no daemon can be asked, and its secrets are not to be read here: "
				 "%s",
				 problem.len ? problem.data : "");
	endpoint = endpoint_set_find(endpoints, slice_of(subject->endpoint));
	if (!endpoint) {
		code = tool_fail(tool, TOOL_CONFIG, "%s has no [endpoint %s]", config->file,
				 subject->endpoint);
	} else {
		int err = explain(endpoints, endpoint, &given, ret);
		if (err)
			code = tool_fail(tool, TOOL_REFUSED, "%s", err_text(err));
	}
	endpoint_set_unref(endpoints);
	return code;
}

int explain_ask(struct tool *tool, const struct explain_subject *subject, struct buf *ret)
{
	BUF_AUTO struct buf request = BUF_INIT(REQUEST_BYTES_MAX);
	struct json_object members;
	int err = make_request(subject, &request);
	int code;

	if (err)
		return tool_fail(tool, TOOL_REFUSED, "%s", err_text(err));
	code = daemon_ask(tool, "explain", buf_slice(&request), ret, &members);
	return code == DAEMON_NONE ? explain_here(tool, subject, ret) : code;
}
