/*
 * A forger at work: the owner of the key signs one message, in the form that the input chooses, and
 * the rest of the input changes it: bytes of the body, or of the webhook headers. What is then
 * taken as signed must say just what the owner said: the same event under MD5, which signs members,
 * and the same bytes under HMAC, which signs those.
 *
 * Input: a byte (form and endpoint), the callback object up to a 0x1e, and changes: a place, how
 * many bytes go, how many come, those bytes.
 */
#include "fuzz_endpoint.h"
#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/shansong.h"
#include "orderhook/signature.h"

#define OBJECT_END '\x1e'
#define WEBHOOK_ID "msg_1"

enum form {
	FORM_FLAT = 0,
	FORM_ENVELOPE,
	FORM_WEBHOOK,
	FORM_MAX
};

struct sent {
	enum body_type type;
	struct buf body;
	struct buf signature; /* of the webhook; empty when there is none */
};

void fuzz_begin(void)
{
}

static int take(const struct endpoint *endpoint, const struct sent *sent, struct event *ret)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 24);
	struct delivery delivery = {.body = buf_slice(&sent->body),
				    .type = sent->type,
				    .token_ok = true,
				    .received_ms = FUZZ_NOW_MS};

	if (sent->signature.len) {
		delivery.webhook_id = SLICE(WEBHOOK_ID);
		delivery.webhook_timestamp = SLICE(FUZZ_NOW_S);
		delivery.webhook_signature = buf_slice(&sent->signature);
	}
	return ingest(endpoint, &delivery, &scratch, ret);
}

static int sign(enum form form, struct slice object, struct sent *ret)
{
	const struct slice secret = SLICE(FUZZ_SECRET);
	char signature[SIGNATURE_HMAC_CHARS + 1];

	if (form != FORM_WEBHOOK)
		return shansong_sign(secret, object,
				     form == FORM_FLAT ? SHANSONG_FLAT : SHANSONG_ENVELOPE,
				     FUZZ_NOW_MS, &ret->body);
	FUZZ_ASSERT(signature_hmac(SLICE(FUZZ_KEY), SLICE(WEBHOOK_ID), SLICE(FUZZ_NOW_S), object,
				   signature) == 0);
	FUZZ_ASSERT(buf_add_string(&ret->signature, signature) == 0);
	return buf_add_slice(&ret->body, object);
}

static void change(struct slice *input, struct buf *text)
{
	uint32_t at = fuzz_take_number(input, (uint32_t)text->len + 1);
	size_t gone = fuzz_take_byte(input);
	size_t come = fuzz_take_byte(input);
	size_t rest;

	if (come > input->len)
		come = input->len;
	if (gone > text->len - at)
		gone = text->len - at;
	rest = text->len - at - gone;
	FUZZ_ASSERT(buf_reserve(text, text->len + come + 1) == 0);
	memmove(text->data + at + come, text->data + at + gone, rest);
	if (come)
		memcpy(text->data + at, input->at, come);
	text->len = at + come + rest;
	text->data[text->len] = '\0';
	input->at += come;
	input->len -= come;
}

/* Which endpoint a forger meets is part of the input: the laxest one takes any client and shop. */
static struct endpoint choose_endpoint(uint8_t choice)
{
	struct endpoint endpoint =
		fuzz_endpoint(choice & 0x10 ? SIGNATURE_REQUIRED : SIGNATURE_IF_PRESENT);

	if (choice & 0x20)
		endpoint.client_id = NULL;
	endpoint.any_shop = choice & 0x40;
	return endpoint;
}

static void forge(uint8_t choice, struct slice object, struct slice changes)
{
	struct sent sent = {.body = BUF_INIT(1 << 24), .signature = BUF_INIT(1 << 16)};
	struct endpoint endpoint = choose_endpoint(choice);
	BUF_AUTO struct buf before = BUF_INIT(1 << 24);
	enum form form = (enum form)(choice % 4 % FORM_MAX);
	struct event original;
	struct event event;

	if (sign(form, object, &sent) == 0 && take(&endpoint, &sent, &original) == 0) {
		FUZZ_ASSERT(original.auth == EVENT_AUTH_SIGNED);
		FUZZ_ASSERT(buf_add_slice(&before, buf_slice(&sent.body)) == 0);
		while (changes.len)
			change(&changes,
			       choice & 0x80 && changes.len % 2 ? &sent.signature : &sent.body);
		if (choice & 0x08)
			sent.type = BODY_FORM;
		if (take(&endpoint, &sent, &event) == 0 && event.auth == EVENT_AUTH_SIGNED) {
			/* The body may have got a sign of the same event by itself: never here, as
			 * the owner signs once. */
			if (form == FORM_WEBHOOK)
				FUZZ_ASSERT(slice_equal(buf_slice(&before), buf_slice(&sent.body)));
			FUZZ_ASSERT(memcmp(&event, &original, sizeof(event)) == 0);
		}
	}
	buf_release(&sent.body);
	buf_release(&sent.signature);
}

void fuzz_one(struct slice input)
{
	uint8_t choice = fuzz_take_byte(&input);
	struct slice object = fuzz_take_until(&input, OBJECT_END);

	forge(choice, object, input);
}
