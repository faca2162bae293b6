/*
 * What is sent for a stored event. The bytes are the stored ones; of the head only what the
 * receiver reads goes with them: the Content-Type and the webhook headers, which sign the body. The
 * rest was of the first way's connection.
 */
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "orderhook/json_scan.h"
#include "orderhook/replay.h"
#include "orderhook/shansong.h"

#define BODY_BYTES_MAX (16U * 1024 * 1024)
#define HEAD_BYTES_MAX (16U * 1024)

void replay_message_init(struct replay_message *message)
{
	buf_init(&message->body, BODY_BYTES_MAX);
	buf_init(&message->content_type, HEAD_BYTES_MAX);
	buf_init(&message->headers, HEAD_BYTES_MAX);
}

void replay_message_release(struct replay_message *message)
{
	if (!message)
		return;
	buf_release(&message->body);
	buf_release(&message->content_type);
	buf_release(&message->headers);
}

static int take_line(struct slice line, bool webhook, struct replay_message *message)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct slice name;
	struct slice value;

	if (!colon)
		return 0;
	name = (struct slice){line.at, (size_t)(colon - line.at)};
	value = slice_trim((struct slice){colon + 1, line.len - name.len - 1});
	if (slice_equal_nocase(name, SLICE("content-type"))) {
		buf_reset(&message->content_type);
		return buf_add_slice(&message->content_type, value);
	}
	if (!webhook || name.len < 8 ||
	    !slice_equal_nocase((struct slice){name.at, 8}, SLICE("webhook-")))
		return 0;
	return buf_addf(&message->headers, "%.*s: %.*s\n", SLICE_ARG(name), SLICE_ARG(value));
}

static int take_head(struct slice head, bool webhook, struct replay_message *message)
{
	int err = 0;

	buf_reset(&message->body);
	buf_reset(&message->content_type);
	buf_reset(&message->headers);
	while (head.len && !err) {
		const char *end = memchr(head.at, '\n', head.len);
		size_t len = end ? (size_t)(end - head.at) : head.len;
		struct slice line = {head.at, len};
		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		err = take_line(line, webhook, message);
		head.at += end ? len + 1 : len;
		head.len -= end ? len + 1 : len;
	}
	if (!err && !message->content_type.len)
		err = buf_add_string(&message->content_type, "application/json");
	return err;
}

int replay_message_stored(struct slice body, struct slice head, struct replay_message *ret)
{
	int err = take_head(head, true, ret);

	return err ? err : buf_add_slice(&ret->body, body);
}

/* The callback object inside an envelope. */
static int unwrap(const struct json_member *data, struct buf *object)
{
	size_t len;
	int err = buf_reserve(object, data->value.len + 1);

	if (!err && data->type != JSON_STRING)
		err = -ERR_JSON_SYNTAX;
	if (!err)
		err = json_string_decode(data->value, object->data, data->value.len + 1, &len);
	if (err)
		return err;
	object->len = len;
	object->data[len] = '\0';
	return 0;
}

int replay_message_signed(struct slice body, struct slice head, struct slice secret,
			  int64_t timestamp_ms, struct replay_message *ret)
{
	BUF_AUTO struct buf object = BUF_INIT(BODY_BYTES_MAX);
	struct json_object members;
	const struct json_member *data;
	int err = take_head(head, false, ret);

	if (!err)
		err = json_scan_object(body, &members);
	if (err)
		return err;
	data = json_find(&members, "data");
	if (!data)
		return shansong_sign(secret, body, SHANSONG_FLAT, timestamp_ms, &ret->body);
	err = unwrap(data, &object);
	return err ? err
		   : shansong_sign(secret, buf_slice(&object), SHANSONG_ENVELOPE, timestamp_ms,
				   &ret->body);
}
