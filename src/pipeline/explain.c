/*
 * Nothing is decided here. ingest() decides and its trace is written out; the platform's adapter is
 * asked for the mistakes. The object goes from the daemon to the tool, or from the tool to itself
 * when no daemon runs, so that there is one text to print either way.
 */
#include "orderhook/explain.h"

#include <inttypes.h>
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/stored_delivery.h"

#define SCRATCH_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define MISTAKES_KEY_BYTES 256

/* A member's name, with what separates it from the one before. */
static int add_name(struct buf *out, const char *name)
{
	const char *comma = out->data[out->len - 1] == '{' ? "" : ",";

	return buf_addf(out, "%s\"%s\":", comma, name);
}

static int add_text(struct buf *out, const char *name, struct slice text)
{
	int err = add_name(out, name);

	if (err)
		return err;
	return text.at ? json_add_string(out, text) : buf_add_string(out, "null");
}

static int add_string(struct buf *out, const char *name, const char *text)
{
	return add_text(out, name, text && text[0] ? slice_of(text) : (struct slice){NULL, 0});
}

static int add_literal(struct buf *out, const char *name, const char *literal)
{
	int err = add_name(out, name);

	return err ? err : buf_add_string(out, literal);
}

static int add_int(struct buf *out, const char *name, int64_t value)
{
	int err = add_name(out, name);

	return err ? err : buf_addf(out, "%" PRId64, value);
}

static int add_time(struct buf *out, const char *name, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(wall_ms, text);
	return add_string(out, name, text);
}

static int open_object(struct buf *out, const char *name)
{
	return add_literal(out, name, "{");
}

static int close_object(struct buf *out, int err)
{
	return err ? err : buf_add_char(out, '}');
}

/* ------------------------------------------------------------------ parts -------------- */

static int add_checks(struct buf *out, const struct trace *trace)
{
	int err = open_object(out, "checks");

	for (int i = 0; !err && i < TRACE_STEP_MAX; i++) {
		const struct trace_line *line = &trace->lines[i];
		if (!line->said)
			continue;
		err = open_object(out, trace_step_key((enum trace_step)i));
		if (!err)
			err = add_string(out, "result", err_key(line->err));
		if (!err)
			err = add_string(out, "text", line->text);
		err = close_object(out, err);
	}
	return close_object(out, err);
}

/* Cut where a character begins. */
static struct slice shortened(struct slice value)
{
	size_t len = EXPLAIN_VALUE_BYTES_MAX;

	if (value.len <= len)
		return value;
	while (len && ((unsigned char)value.at[len] & 0xc0) == 0x80)
		len--;
	return (struct slice){value.at, len};
}

static int add_signed(struct buf *out, const struct trace *trace)
{
	int err;

	if (!trace->n_params)
		return add_literal(out, "signed", "null");
	err = open_object(out, "signed");
	for (size_t i = 0; !err && i < trace->n_params; i++) {
		char name[64];
		const struct signature_param *param = &trace->params[i];
		err = slice_copy(param->key, name, sizeof(name));
		if (!err)
			err = add_text(out, name, shortened(param->value));
	}
	return close_object(out, err);
}

static int add_digits(struct buf *out, size_t which, const char *sign)
{
	char name[24] = "secret ";
	struct buf number = BUF_INIT(16);
	int err = buf_addf(&number, "%zu", which + 1);

	if (!err)
		err = slice_copy(buf_slice(&number), name + 7, sizeof(name) - 7);
	buf_release(&number);
	return err ? err : add_text(out, name, (struct slice){sign, EXPLAIN_SIGN_DIGITS});
}

static int add_expected(struct buf *out, const struct endpoint *endpoint, struct trace *trace)
{
	char sign[SIGNATURE_SIGN_CHARS + 1];
	int err = open_object(out, "expected");

	for (size_t i = 0; !err && trace->n_params && i < endpoint->n_secrets; i++) {
		struct slice secret = {endpoint->secrets[i].bytes, endpoint->secrets[i].len};
		err = signature_md5(secret, trace->params, trace->n_params, sign);
		if (!err)
			err = add_digits(out, i, sign);
	}
	explicit_bzero(sign, sizeof(sign));
	return close_object(out, err);
}

static int add_hmac(struct buf *out, const struct endpoint *endpoint,
		    const struct delivery *delivery)
{
	char signature[SIGNATURE_HMAC_CHARS + 1];
	bool given = delivery->webhook_id.at && delivery->webhook_timestamp.at;
	struct slice header = delivery->webhook_signature;
	/* What no JSON string of ours may hold: a stored head may be damaged. */
	bool valid = header.at && json_valid_utf8(header) && !memchr(header.at, '\0', header.len);
	int err = add_text(out, "hmac_given", valid ? shortened(header) : (struct slice){NULL, 0});

	if (!err)
		err = open_object(out, "hmac_expected");
	for (size_t i = 0; !err && given && i < endpoint->n_hmac_keys; i++) {
		struct slice key = {endpoint->hmac_keys[i].bytes, endpoint->hmac_keys[i].len};
		err = signature_hmac(key, delivery->webhook_id, delivery->webhook_timestamp,
				     delivery->body, signature);
		/* Behind "v1,", which is no digit of it. */
		if (!err)
			err = add_digits(out, i, signature + 3);
	}
	explicit_bzero(signature, sizeof(signature));
	return close_object(out, err);
}

static int name_mistakes(uint32_t mistakes, struct buf *key, struct buf *text)
{
	size_t before = key->len;
	int err = 0;

	if (!mistakes)
		err = buf_add_string(key, "right");
	if (!err && !mistakes)
		err = buf_add_string(text, "made as the rule says");
	for (int i = 0; !err && i < MISTAKE_MAX; i++) {
		if (!(mistakes >> i & 1))
			continue;
		err = buf_addf(key, "%s%s", key->len > before ? "+" : "",
			       sign_mistake_key((enum sign_mistake)i));
		if (!err)
			err = buf_addf(text, "%s%s", text->len ? "; " : "",
				       sign_mistake_text((enum sign_mistake)i));
	}
	return err;
}

static int add_match(struct buf *out, const struct sign_match *match)
{
	BUF_AUTO struct buf key = BUF_INIT(MISTAKES_KEY_BYTES);
	BUF_AUTO struct buf text = BUF_INIT(2048);
	BUF_AUTO struct buf secret = BUF_INIT(256);
	int err = buf_add_string(&key, match->hmac ? "hmac " : "");

	if (!err)
		err = name_mistakes(match->mistakes, &key, &text);
	if (!err && match->endpoint)
		err = buf_addf(&secret, "secret %zu of endpoint %s", match->secret + 1,
			       match->endpoint->name);
	if (!err)
		err = open_object(out, key.data);
	if (!err)
		err = add_string(out, "secret", secret.data);
	if (!err)
		err = add_string(out, "text", text.data);
	return close_object(out, err);
}

static int add_matches(struct buf *out, const struct endpoint_set *endpoints,
		       const struct endpoint *endpoint, const struct delivery *delivery,
		       struct buf *scratch)
{
	const struct endpoint *others[CONFIG_ENDPOINTS_MAX];
	struct sign_matches matches;
	size_t n_others = 0;
	int err = open_object(out, "matches");

	for (size_t i = 0; i < endpoint_set_count(endpoints); i++) {
		const struct endpoint *other = endpoint_set_get(endpoints, i);
		if (other != endpoint && other->platform == endpoint->platform)
			others[n_others++] = other;
	}
	endpoint->platform->sign_matches(endpoint, others, n_others, delivery, scratch, &matches);
	for (size_t i = 0; !err && i < matches.n; i++)
		err = add_match(out, &matches.list[i]);
	err = close_object(out, err);
	return err ? err : add_literal(out, "all_tried", matches.all_tried ? "true" : "false");
}

static int add_event(struct buf *out, const struct event *event)
{
	char content[2 * DIGEST_SHA256_BYTES + 1];
	bool order = event->kind == EVENT_ORDER;
	int err = open_object(out, "event");

	digest_hex_lower(event->content, sizeof(event->content), content);
	if (!err)
		err = add_string(out, "kind", order ? "order" : "other");
	if (!err)
		err = add_string(out, "callback_event", event->callback_event);
	if (!err)
		err = add_string(out, "iss_order_no", event->iss_order_no);
	if (!err)
		err = add_string(out, "order_no", event->order_no);
	if (!err)
		err = add_string(out, "shop_id", event->shop_id);
	if (!err)
		err = order ? add_int(out, "status", event->status)
			    : add_literal(out, "status", "null");
	if (!err)
		err = order && event->sub_status != EVENT_SUB_ABSENT
			      ? add_int(out, "sub_status", event->sub_status)
			      : add_literal(out, "sub_status", "null");
	if (!err)
		err = add_time(out, "occurred", event->occurred_ms);
	if (!err)
		err = add_string(out, "occurred_from",
				 event_occurred_from_key(event->occurred_from));
	if (!err)
		err = add_string(out, "courier_id", event->courier_id);
	if (!err)
		err = add_literal(out, "stale", event->stale ? "true" : "false");
	if (!err)
		err = add_string(out, "content", content);
	if (!err)
		err = add_string(out, "notes", event->notes);
	return close_object(out, err);
}

static int add_outcome(struct buf *out, const struct endpoint *endpoint,
		       const struct delivery *delivery, const struct event *event, int refusal)
{
	int err = buf_add_char(out, '{');

	if (!err)
		err = add_string(out, "endpoint", endpoint->name);
	if (!err)
		err = add_time(out, "received", delivery->received_ms);
	if (!err)
		err = add_literal(out, "url_token", delivery->token_ok ? "true" : "false");
	if (!err)
		err = add_string(out, "outcome", refusal ? err_key(refusal) : "accepted");
	if (!err)
		err = add_string(out, "text",
				 refusal        ? err_text(refusal)
				 : event->stale ? "only as the duplicate of a stored event; else "
						  "timestamp-stale"
						: NULL);
	return err ? err : add_string(out, "auth", refusal ? NULL : event_auth_key(event->auth));
}

int explain(const struct endpoint_set *endpoints, const struct endpoint *endpoint,
	    const struct explain_delivery *given, struct buf *out)
{
	BUF_AUTO struct buf scratch = BUF_INIT(SCRATCH_BYTES_MAX);
	BUF_AUTO struct buf searched = BUF_INIT(SCRATCH_BYTES_MAX);
	struct trace trace = {.n_params = 0};
	struct delivery delivery = {.body = given->body.at ? given->body : SLICE(""),
				    .received_ms = given->received_ms,
				    .source = EVENT_CALLBACK};
	struct delivery traced;
	struct event event;
	int refusal;
	int err;

	/* Where there is no token nobody can have had the right one. */
	delivery.token_ok = given->url_token && endpoint->token.bytes;
	stored_delivery_head(given->head, &delivery);
	traced = delivery;
	traced.trace = &trace;
	refusal = ingest(endpoint, &traced, &scratch, &event);
	if (refusal == -ERR_NOMEM || refusal == -ERR_INTERNAL)
		return refusal;
	err = add_outcome(out, endpoint, &delivery, &event, refusal);
	if (!err)
		err = add_checks(out, &trace);
	if (!err)
		err = add_text(out, "given", shortened(trace.sign));
	if (!err)
		err = add_signed(out, &trace);
	if (!err)
		err = add_expected(out, endpoint, &trace);
	if (!err)
		err = add_hmac(out, endpoint, &delivery);
	if (!err)
		err = add_matches(out, endpoints, endpoint, &delivery, &searched);
	if (!err)
		err = refusal ? add_literal(out, "event", "null") : add_event(out, &event);
	return close_object(out, err);
}
