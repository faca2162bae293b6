/* The same for programs: {"delivery":{…},"explanation":{…},"verdict":{…}}, null where there is
 * none. */
#include <inttypes.h>

#include "explain_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/text.h"
#include "way_private.h"

#define OBJECT_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* Valid JSON as it came, but that what a terminal might obey is escaped. Only strings can hold it.
 */
static int add_safe(struct buf *buf, struct slice json)
{
	int err = 0;

	while (!err && json.len) {
		uint32_t point;
		size_t len = text_decode(json, &point);
		if (len == 0)
			return -ERR_SYNTAX;
		if (point >= 0x80 && text_unsafe(point))
			err = point < 0x10000 ? buf_addf(buf, "\\u%04x", point)
					      : buf_addf(buf, "\\u%04x\\u%04x",
							 0xd800 + ((point - 0x10000) >> 10),
							 0xdc00 + ((point - 0x10000) & 0x3ff));
		else if (point != '\n')
			err = buf_add(buf, json.at, len);
		json.at += len;
		json.len -= len;
	}
	return err;
}

static void add_delivery(struct out *out, const struct explain_subject *subject)
{
	static const char *const kinds[] = {"event", "held", "body"};
	BUF_AUTO struct buf text = BUF_INIT(4096);
	char received[CLOCK_RFC3339_BYTES];
	int err;

	clock_format_rfc3339(subject->received_ms, received);
	out_f(out, "{\"delivery\":{\"kind\":\"%s\",\"id\":", kinds[subject->kind]);
	if (subject->kind == EXPLAIN_BODY)
		out_string(out, "null");
	else
		out_f(out, "%" PRId64, subject->id);
	err = text_add_json(&text, slice_of(subject->endpoint));
	if (!err)
		out_f(out, ",\"endpoint\":%s,\"received\":\"%s\"", text.data, received);
	if (subject->kind == EXPLAIN_HELD)
		out_f(out, ",\"reason\":\"%s\"", subject->reason);
	if (subject->kind == EXPLAIN_EVENT) {
		out_string(out, ",\"stored\":");
		rows_add_object(out, event_column_names, &subject->row.row);
	}
	out_char(out, '}');
}

static void add_state(struct out *out, const char *name, const struct order_state *state)
{
	char since[CLOCK_RFC3339_BYTES];

	if (!state->status) {
		out_f(out, ",\"%s\":null", name);
		return;
	}
	clock_format_rfc3339(state->since_ms, since);
	out_f(out, ",\"%s\":{\"status\":%d,\"sub_status\":", name, state->status);
	if (state->sub_status == EVENT_SUB_ABSENT)
		out_string(out, "null");
	else
		out_f(out, "%d", state->sub_status);
	out_f(out, ",\"since\":\"%s\",\"reassignments\":%d}", since, state->reassignments);
}

static void add_verdict(struct out *out, const struct explain_verdict *verdict)
{
	BUF_AUTO struct buf why = BUF_INIT(4096);

	if (!verdict->judged) {
		out_string(out, ",\"verdict\":null");
		return;
	}
	out_f(out, ",\"verdict\":{\"verdict\":\"%s\",\"refused\":%s,\"stored\":",
	      verdict_key(verdict->verdict), verdict->stale ? "\"timestamp-stale\"" : "null");
	if (verdict->stored < 0)
		out_string(out, "null");
	else
		out_f(out, "\"%s\"", verdict_key((enum verdict)verdict->stored));
	if (text_add_json(&why, buf_slice(&verdict->why)) == 0)
		out_f(out, ",\"why\":%s", why.data);
	add_state(out, "before", &verdict->before);
	add_state(out, "after", &verdict->after);
	out_char(out, '}');
}

int explain_print_json(struct tool *tool, const struct explain_subject *subject,
		       struct slice explanation, const struct explain_verdict *verdict)
{
	BUF_AUTO struct buf safe = BUF_INIT(OBJECT_BYTES_MAX);
	struct out *out = &tool->out;
	int err = add_safe(&safe, explanation);

	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	add_delivery(out, subject);
	out_f(out, ",\"explanation\":%.*s", safe.len ? (int)safe.len : 4,
	      safe.len ? safe.data : "null");
	add_verdict(out, verdict);
	out_string(out, "}\n");
	return TOOL_DONE;
}
