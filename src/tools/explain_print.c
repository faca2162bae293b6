/*
 * The answer as a page: what was checked, what came of it, what the sign was made of, what the
 * event is, and where it takes its order. Everything from a body is made safe for a terminal; it
 * was masked before, where that is wanted.
 */
#include <string.h>

#include "explain_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "way_private.h"

#define LABEL_COLUMNS 16
#define TEXT_BYTES_MAX ((size_t)1024 * 1024)

static void print_line(struct out *out, const char *indent, struct slice label,
		       enum print_style style, struct slice value)
{
	BUF_AUTO struct buf safe = BUF_INIT(TEXT_BYTES_MAX);
	int err = text_add_safe(&safe, label, TEXT_ONE_LINE);
	size_t columns = strlen(indent) + text_width(buf_slice(&safe));
	size_t pad = columns < LABEL_COLUMNS ? LABEL_COLUMNS - columns : 0;

	if (!err)
		err = buf_addf(&safe, "%*s %s", (int)pad, "", style_begin(out, style));
	if (!err)
		err = text_add_safe(&safe, value, TEXT_ONE_LINE);
	if (err)
		return;
	out_f(out, "%s%.*s%s\n", indent, SLICE_ARG(buf_slice(&safe)), style_end(out, style));
}

/* A string member decoded into text, or the token of another; absent and null are "-". */
static struct slice value_of(const struct json_object *object, const char *name, struct buf *text)
{
	const struct json_member *member = json_find(object, name);
	size_t len = 0;

	buf_reset(text);
	if (!member || member->type == JSON_NULL)
		return SLICE("-");
	if (member->type != JSON_STRING)
		return member->value;
	if (buf_reserve(text, member->value.len + 1) ||
	    json_string_decode(member->value, text->data, text->cap, &len))
		return SLICE("?");
	text->len = len;
	return (struct slice){text->data, len};
}

static bool nested(const struct json_object *object, const char *name, struct json_object *ret)
{
	const struct json_member *member = json_find(object, name);

	return member && member->type == JSON_OBJECT && json_scan_object(member->value, ret) == 0;
}

static bool is_text(const struct json_object *object, const char *name, const char *text)
{
	const struct json_member *member = json_find(object, name);

	return member && slice_equal_string(member->value, text);
}

/* ------------------------------------------------------------------ parts -------------- */

/* Names and addresses may have been written into the store by other hands. */
static int subject_text(struct buf *text, const struct explain_subject *subject)
{
	const struct store_value *v = subject->row.row.values;
	char received[CLOCK_LOCAL_BYTES];

	clock_format_local(subject->received_ms, CHINA_OFFSET_MS, received);
	if (subject->kind == EXPLAIN_EVENT)
		return buf_addf(text,
				"event %lld of endpoint %s, received %s " CHINA_ZONE " from %s\n"
				"stored as %.*s, source %.*s, deliveries %.*s\n",
				(long long)subject->id, subject->endpoint, received,
				subject->remote, SLICE_ARG(v[EVENT_COL_auth].text),
				SLICE_ARG(v[EVENT_COL_source].text),
				SLICE_ARG(v[EVENT_COL_deliveries].text));
	if (subject->kind == EXPLAIN_HELD)
		return buf_addf(text,
				"refused delivery %lld of endpoint %s, received %s " CHINA_ZONE
				" from %s\nrefused then: %s: %s\n",
				(long long)subject->id, subject->endpoint, received,
				subject->remote, subject->reason,
				err_text(err_of_key(slice_of(subject->reason))));
	return buf_addf(text, "a delivery to endpoint %s, as if received %s " CHINA_ZONE "\n",
			subject->endpoint, received);
}

static void print_subject(struct out *out, const struct explain_subject *subject)
{
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	BUF_AUTO struct buf safe = BUF_INIT(TEXT_BYTES_MAX);

	if (subject_text(&text, subject) == 0 &&
	    text_add_safe(&safe, buf_slice(&text), TEXT_KEEP_LINES) == 0)
		out_bytes(out, safe.data, safe.len);
}

static void print_checks(struct out *out, const struct json_object *explanation)
{
	BUF_AUTO struct buf line = BUF_INIT(TEXT_BYTES_MAX);
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	struct json_object checks;
	struct json_object check;

	out_string(out, "\nchecks, by the configuration of now\n");
	print_line(out, "  ", SLICE("url"), STYLE_PLAIN,
		   is_text(explanation, "url_token", "true") ? SLICE("with the endpoint's token")
							     : SLICE("without a token"));
	if (!nested(explanation, "checks", &checks))
		return;
	for (size_t i = 0; i < checks.n; i++) {
		const struct json_member *member = &checks.members[i];
		if (json_scan_object(member->value, &check))
			continue;
		bool ok = is_text(&check, "result", err_key(0));
		struct slice said = value_of(&check, "text", &text);
		buf_reset(&line);
		if (!ok && (buf_add_slice(&line, value_of(&check, "result", &text)) ||
			    buf_add_string(&line, ": ")))
			return;
		said = value_of(&check, "text", &text);
		if (buf_add_slice(&line, said))
			return;
		print_line(out, "  ", member->key, ok ? STYLE_PLAIN : STYLE_ALARM,
			   buf_slice(&line));
	}
}

static void print_outcome(struct out *out, const struct json_object *explanation)
{
	BUF_AUTO struct buf line = BUF_INIT(TEXT_BYTES_MAX);
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	bool accepted = is_text(explanation, "outcome", "accepted");
	struct slice outcome = value_of(explanation, "outcome", &text);
	int err;

	if (accepted) {
		bool more = !slice_equal_string(value_of(explanation, "text", &text), "-");
		err = buf_add_string(&line, "accepted, ");
		if (!err)
			err = buf_add_slice(&line, value_of(explanation, "auth", &text));
		if (!err && more)
			err = buf_add_string(&line, ": ");
		if (!err && more)
			err = buf_add_slice(&line, value_of(explanation, "text", &text));
	} else {
		err = buf_addf(&line, "refused: %d %.*s: ", err_http_status(err_of_key(outcome)),
			       SLICE_ARG(outcome));
		if (!err)
			err = buf_add_slice(&line, value_of(explanation, "text", &text));
	}
	if (!err)
		print_line(out, "", SLICE("outcome"), accepted ? STYLE_PLAIN : STYLE_ALARM,
			   buf_slice(&line));
}

/* The secret is the only part that is not in the body. */
static void print_signed(struct out *out, const struct json_object *parameters)
{
	BUF_AUTO struct buf line = BUF_INIT(TEXT_BYTES_MAX);
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	int err = buf_add_string(&line, "***");

	for (size_t i = 0; !err && i < parameters->n; i++) {
		char name[64];
		err = slice_copy(parameters->members[i].key, name, sizeof(name));
		if (!err)
			err = buf_add_string(&line, name);
		if (!err)
			err = buf_add_slice(&line, value_of(parameters, name, &text));
	}
	if (!err)
		print_line(out, "  ", SLICE("signed"), STYLE_PLAIN, buf_slice(&line));
}

static void print_expected(struct out *out, const struct json_object *expected)
{
	for (size_t i = 0; i < expected->n; i++) {
		BUF_AUTO struct buf line = BUF_INIT(256);
		const struct json_member *member = &expected->members[i];
		if (buf_addf(&line, "%.*s… with %.*s", SLICE_ARG(member->value),
			     SLICE_ARG(member->key)) == 0)
			print_line(out, "  ", SLICE("expected"), STYLE_PLAIN, buf_slice(&line));
	}
}

static void print_matches(struct out *out, const struct json_object *matches)
{
	BUF_AUTO struct buf line = BUF_INIT(TEXT_BYTES_MAX);
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	struct json_object match;

	for (size_t i = 0; i < matches->n; i++) {
		const struct json_member *member = &matches->members[i];
		if (json_scan_object(member->value, &match))
			continue;
		buf_reset(&line);
		int err = buf_addf(&line, "%.*s: ", SLICE_ARG(member->key));
		if (!err)
			err = buf_add_slice(&line, value_of(&match, "text", &text));
		struct slice secret = value_of(&match, "secret", &text);
		if (!err && !slice_equal_string(secret, "-"))
			err = buf_addf(&line, " (%.*s)", SLICE_ARG(secret));
		if (!err)
			print_line(out, "  ", SLICE("fits"), STYLE_NOTICE, buf_slice(&line));
	}
}

static void print_signature(struct out *out, const struct json_object *explanation)
{
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	struct json_object object;
	struct slice given = value_of(explanation, "given", &text);
	bool md5 = nested(explanation, "signed", &object);

	if (md5) {
		out_string(out, "\nsign\n");
		print_signed(out, &object);
		print_line(out, "  ", SLICE("given"), STYLE_PLAIN, given);
		if (nested(explanation, "expected", &object))
			print_expected(out, &object);
	}
	struct slice header = value_of(explanation, "hmac_given", &text);
	bool hmac =
		nested(explanation, "hmac_expected", &object) && !slice_equal_string(header, "-");
	if (hmac) {
		out_string(out, "\nwebhook-signature\n");
		print_line(out, "  ", SLICE("given"), STYLE_PLAIN, header);
		print_expected(out, &object);
	}
	if (!nested(explanation, "matches", &object))
		return;
	if (object.n && !md5 && !hmac)
		out_string(out, "\nsign\n");
	print_matches(out, &object);
	if (object.n || !(md5 || hmac))
		return;
	print_line(out, "  ", SLICE("fits"), STYLE_NOTICE,
		   slice_equal_string(value_of(explanation, "all_tried", &text), "false")
			   ? SLICE("none of the usual mistakes so far: the body is too long to try "
				   "each with every secret that is configured")
			   : SLICE("none of the usual mistakes with any secret that is configured: "
				   "an old or a foreign secret, or another text"));
}

static void print_event(struct out *out, const struct json_object *explanation)
{
	BUF_AUTO struct buf text = BUF_INIT(TEXT_BYTES_MAX);
	struct json_object event;

	if (!nested(explanation, "event", &event))
		return;
	out_string(out, "\nevent\n");
	for (size_t i = 0; i < event.n; i++) {
		const struct json_member *member = &event.members[i];
		char name[64];
		if (member->type == JSON_NULL || slice_equal_string(member->key, "content") ||
		    slice_copy(member->key, name, sizeof(name)))
			continue;
		print_line(out, "  ", member->key, STYLE_PLAIN, value_of(&event, name, &text));
	}
}

static void print_state(struct out *out, const char *label, const struct order_state *state)
{
	BUF_AUTO struct buf line = BUF_INIT(512);
	char since[CLOCK_LOCAL_BYTES];
	int err;

	if (!state->status) {
		print_line(out, "  ", slice_of(label), STYLE_PLAIN, SLICE("no state"));
		return;
	}
	clock_format_local(state->since_ms, CHINA_OFFSET_MS, since);
	err = status_add(&line, state->status, state->sub_status);
	if (!err)
		err = buf_addf(&line, " since %s " CHINA_ZONE, since);
	if (!err)
		print_line(out, "  ", slice_of(label), STYLE_PLAIN, buf_slice(&line));
}

static void print_verdict(struct out *out, const struct explain_subject *subject,
			  const struct explain_verdict *verdict)
{
	BUF_AUTO struct buf line = BUF_INIT(512);
	bool trouble = verdict_quarantined(verdict->verdict);
	int err;

	out_f(out, "\nverdict\n");
	err = buf_addf(&line, "%s: %s", verdict_key(verdict->verdict),
		       verdict_meaning(verdict->verdict));
	if (!err)
		print_line(out, "  ",
			   subject->kind == EXPLAIN_EVENT ? SLICE("it is") : SLICE("it would be"),
			   trouble ? STYLE_ALARM : STYLE_PLAIN, buf_slice(&line));
	if (verdict->stored >= 0 && verdict->stored != (int)verdict->verdict)
		print_line(out, "  ", SLICE("stored as"), STYLE_NOTICE,
			   slice_of(verdict_key((enum verdict)verdict->stored)));
	if (verdict->stale)
		print_line(out, "  ", SLICE("but refused"), STYLE_ALARM,
			   SLICE("timestamp-stale: only a duplicate may be so old"));
	print_line(out, "  ", SLICE("why"), STYLE_PLAIN, buf_slice(&verdict->why));
	print_state(out, "order before", &verdict->before);
	print_state(out, "order after", &verdict->after);
}

int explain_print(struct tool *tool, const struct explain_subject *subject,
		  struct slice explanation, const struct explain_verdict *verdict)
{
	struct out *out = &tool->out;
	struct json_object object;

	print_subject(out, subject);
	if (explanation.len && json_scan_object(explanation, &object) == 0) {
		print_checks(out, &object);
		print_outcome(out, &object);
		print_signature(out, &object);
		print_event(out, &object);
	}
	if (verdict->judged)
		print_verdict(out, subject, verdict);
	return TOOL_DONE;
}
