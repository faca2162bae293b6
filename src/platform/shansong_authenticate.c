/*
 * Form and authenticity of one delivery. In this order: the body's form; whether clientId and
 * shopId are ours; the webhook HMAC, which signs the bytes; then what kind of body it is.
 *
 * A body with `data` is an envelope. Its string is signed, so the object inside is as trustworthy
 * as the signature and may hold any member; the members beside `data` are closed, or an unsigned
 * one could stand next to the signed ones. A body without `data` is the flat callback: where it has
 * a sign, the rule of shansong_members.c holds for every member.
 *
 * At the end stands one question: is there a signature that holds, or the URL's token where the
 * endpoint lets it do. With signature = off nothing is verified and an envelope is only another
 * spelling of the object in it, so then the token alone answers.
 */
#include <string.h>

#include "orderhook/err.h"
#include "shansong_private.h"

#define SIGN_WINDOW_MS (10 * 60 * 1000)
#define HMAC_WINDOW_MS (5 * 60 * 1000)
#define HMAC_ID_BYTES_MAX 128

/* What the checks have found so far. */
struct proof {
	const struct endpoint *endpoint;
	const struct delivery *delivery;
	bool from_form;
	bool hmac;  /* the bytes are signed */
	bool md5;   /* the members, or data, are signed */
	bool stale; /* by the signed timestamp */
	bool flat;  /* the members themselves are signed */
};

static int compare_ids(const struct endpoint *endpoint, const struct shansong_view *view)
{
	const struct json_member *client = view->known[KEY_CLIENT_ID];
	const struct json_member *shop = view->known[KEY_SHOP_ID];
	bool ours = !shop || endpoint->any_shop;

	if (client && endpoint->client_id &&
	    !((client->type == JSON_STRING || client->type == JSON_NUMBER) &&
	      slice_equal_string(client->value, endpoint->client_id)))
		return -ERR_CLIENT_ID;
	for (size_t i = 0; !ours && i < endpoint->shop_ids.n; i++)
		ours = (shop->type == JSON_STRING || shop->type == JSON_NUMBER) &&
		       slice_equal_string(shop->value, endpoint->shop_ids.items[i]);
	return ours ? 0 : -ERR_SHOP_ID;
}

/* How one of the two was compared. */
static const char *compared(const struct json_member *member, bool configured)
{
	if (!member)
		return "is absent";
	return configured ? "is the endpoint's" : "is not compared";
}

static int check_identity(const struct endpoint *endpoint, const struct shansong_view *view,
			  struct trace *trace, enum trace_step step)
{
	int err = compare_ids(endpoint, view);

	if (err)
		trace_say(trace, step, err, "%s", err_text(err));
	else
		trace_say(trace, step, 0, "clientId %s, shopId %s",
			  compared(view->known[KEY_CLIENT_ID], endpoint->client_id != NULL),
			  compared(view->known[KEY_SHOP_ID], !endpoint->any_shop));
	return err;
}

static struct shansong_trusted trusted_of(const struct endpoint *endpoint)
{
	return (struct shansong_trusted){endpoint->client_id != NULL, !endpoint->any_shop};
}

static bool is_webhook_id(struct slice id)
{
	if (id.len == 0 || id.len > HMAC_ID_BYTES_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '_' || c == '-'))
			return false;
	}
	return true;
}

static bool within(int64_t signed_ms, int64_t received_ms, int64_t window_ms)
{
	/* Ten or thirteen digits: no difference of the two can overflow. */
	return signed_ms >= received_ms - window_ms && signed_ms <= received_ms + window_ms;
}

/* Why there is nothing to verify; NULL when there is. */
static const char *no_hmac(const struct proof *proof)
{
	const struct delivery *delivery = proof->delivery;

	if (proof->endpoint->signature == SIGNATURE_OFF)
		return "not looked at: signature = off";
	if (!delivery->webhook_id.at && !delivery->webhook_timestamp.at &&
	    !delivery->webhook_signature.at)
		return "no webhook- header is there";
	return proof->endpoint->n_hmac_keys ? NULL
					    : "ignored: the endpoint has no key that begins with "
					      "whsec_";
}

static int verify_hmac(struct proof *proof)
{
	const struct endpoint *endpoint = proof->endpoint;
	const struct delivery *delivery = proof->delivery;
	struct slice id = delivery->webhook_id;
	struct slice timestamp = delivery->webhook_timestamp;
	struct slice signature = delivery->webhook_signature;
	uint64_t seconds;
	int err;

	if (!is_webhook_id(id) || timestamp.len != 10 ||
	    slice_to_u64(timestamp, UINT64_MAX, &seconds) || signature.len == 0)
		return -ERR_HMAC_FORM;
	err = signature_hmac_verify(endpoint->hmac_keys, endpoint->n_hmac_keys, id, timestamp,
				    delivery->body, signature);
	if (err)
		return err;
	/* A relay signs every attempt anew, so an old one is a replay and nothing else. */
	if (!within((int64_t)seconds * 1000, delivery->received_ms, HMAC_WINDOW_MS))
		return -ERR_TIMESTAMP_STALE;
	proof->hmac = true;
	return 0;
}

static int check_hmac(struct proof *proof)
{
	struct trace *trace = proof->delivery->trace;
	const char *nothing = no_hmac(proof);
	int err = nothing ? 0 : verify_hmac(proof);

	if (nothing)
		trace_say(trace, TRACE_HMAC, 0, "%s", nothing);
	else
		trace_say(trace, TRACE_HMAC, err, "%s",
			  err ? err_text(err) : "the webhook-signature holds for the body's bytes");
	return err;
}

/* The signed timestamp must be there and well-formed before anything is hashed. */
static int check_timestamp(struct proof *proof, const struct json_member *timestamp)
{
	struct trace *trace = proof->delivery->trace;
	uint64_t value;

	if (!timestamp || !shansong_in_grammar(KEY_TIMESTAMP, timestamp, proof->from_form) ||
	    slice_to_u64(timestamp->value, UINT64_MAX, &value)) {
		trace_say(trace, TRACE_TIMESTAMP, -ERR_SIGN_TIMESTAMP, "%s",
			  timestamp ? "timestamp is not 13 or 10 digits" : "timestamp is missing");
		return -ERR_SIGN_TIMESTAMP;
	}
	if (timestamp->value.len == 10)
		value *= 1000;
	proof->stale = !within((int64_t)value, proof->delivery->received_ms, SIGN_WINDOW_MS);
	trace_say(trace, TRACE_TIMESTAMP, 0, "%s",
		  proof->stale ? "more than ten minutes from the receipt: counts only as the "
				 "duplicate of a stored event"
			       : "within ten minutes of the receipt");
	return 0;
}

static int check_md5(struct proof *proof, const struct shansong_view *view)
{
	struct signature_param params[SHANSONG_KEYS];
	const struct endpoint *endpoint = proof->endpoint;
	const struct json_member *sign = view->known[KEY_SIGN];
	struct trace *trace = proof->delivery->trace;
	size_t n;
	int err = check_timestamp(proof, view->known[KEY_TIMESTAMP]);

	if (!err)
		err = shansong_params(view, proof->from_form, trusted_of(endpoint), params, &n,
				      trace);
	if (err)
		return err;
	trace_signed(trace, params, n, sign->value);
	err = sign->type == JSON_STRING
		      ? signature_md5_verify(endpoint->secrets, endpoint->n_secrets, params, n,
					     sign->value)
		      : -ERR_SIGN_FORM;
	trace_say(trace, TRACE_SIGN, err, "%s",
		  err ? err_text(err) : "the sign is that of a secret of the endpoint");
	proof->md5 = !err;
	return err;
}

static int check_flat(struct proof *proof, const struct shansong_view *view, struct event *event)
{
	const struct endpoint *endpoint = proof->endpoint;
	struct trace *trace = proof->delivery->trace;
	int err;

	if (endpoint->signature == SIGNATURE_OFF || !view->known[KEY_SIGN]) {
		trace_say(trace, TRACE_SIGN, 0, "%s",
			  view->known[KEY_SIGN] ? "not looked at: signature = off"
						: "no sign is in the body");
		return 0;
	}
	if (view->n_unknown) {
		/* The platform may add a member before we know it: then the URL's token stands in.
		 */
		if (endpoint->signature != SIGNATURE_IF_PRESENT || !proof->delivery->token_ok) {
			trace_say(trace, TRACE_SIGN, -ERR_SIGN_MEMBER, "%s",
				  err_text(ERR_SIGN_MEMBER));
			return -ERR_SIGN_MEMBER;
		}
		trace_say(trace, TRACE_SIGN, 0,
			  "not verified: %zu members outside the signed list; the URL's token "
			  "stands in",
			  view->n_unknown);
		proof->hmac = false;
		event_note(event,
			   "sign not verified: the body has a member outside the signed list");
		return 0;
	}
	err = check_md5(proof, view);
	proof->flat = !err;
	return err;
}

static bool is_envelope_key(size_t key)
{
	return key == KEY_ACCESS_TOKEN || key == KEY_CLIENT_ID || key == KEY_DATA ||
	       key == KEY_SHOP_ID || key == KEY_SIGN || key == KEY_TIMESTAMP;
}

/* What stands beside data. A null or empty member is one too: absent, it would not be there. */
static int check_beside(const struct json_object *object, const struct shansong_view *view)
{
	for (size_t i = 0; i < object->n; i++) {
		if (!is_envelope_key(view->key_of[i]))
			return -ERR_SIGN_MEMBER;
	}
	if (view->known[KEY_DATA]->type != JSON_STRING)
		return -ERR_SIGN_GRAMMAR;
	if (!view->known[KEY_CLIENT_ID])
		return -ERR_CLIENT_ID;
	return view->known[KEY_SHOP_ID] || view->known[KEY_ACCESS_TOKEN] ? 0 : -ERR_SHOP_ID;
}

/* Replaces object by the one inside data. */
static int open_envelope(struct proof *proof, struct buf *scratch, struct json_object *object,
			 const struct shansong_view *outer)
{
	struct slice data = outer->known[KEY_DATA]->value;
	struct trace *trace = proof->delivery->trace;
	struct shansong_view inner;
	int err = check_beside(object, outer);

	trace_say(trace, TRACE_ENVELOPE, err, "%s",
		  err ? err_text(err)
		      : "data holds the callback, and nothing unsigned is beside it");
	if (!err && proof->endpoint->signature != SIGNATURE_OFF) {
		if (outer->known[KEY_SIGN])
			err = check_md5(proof, outer);
		else if (!proof->hmac)
			err = -ERR_SIGN_MISSING;
		if (!outer->known[KEY_SIGN])
			trace_say(trace, TRACE_SIGN, err, "no sign is in the envelope");
	}
	if (err)
		return err;
	err = shansong_scan(data, scratch, object);
	if (err) {
		trace_say(trace, TRACE_DATA, err, "data: %s", err_text(err));
		return err;
	}
	proof->from_form = false;
	shansong_look(object, &inner);
	return check_identity(proof->endpoint, &inner, trace, TRACE_DATA);
}

/* Invariant: what is not authenticated goes no further, whatever the configuration says. */
static int decide(const struct proof *proof, struct message *ret)
{
	bool proven = proof->hmac || proof->md5;
	bool token = proof->endpoint->signature != SIGNATURE_REQUIRED && proof->delivery->token_ok;
	int err = proven || token ? 0 : -ERR_SIGN_MISSING;

	trace_say(proof->delivery->trace, TRACE_AUTHENTICATED, err, "%s",
		  proven ? "by its signature"
		  : !err ? "by the URL's token, without a signature"
		  : proof->endpoint->signature == SIGNATURE_REQUIRED
			  ? "no signature holds, and signature = required"
			  : "no signature holds, and the URL had no token to stand in");
	if (err)
		return err;
	ret->from_form = proof->from_form;
	ret->flat_signed = proof->flat;
	ret->auth = proven ? EVENT_AUTH_SIGNED : EVENT_AUTH_TOKEN;
	ret->stale = proof->stale;
	return 0;
}

/* Twice the body: once for what is decoded of it, once for what is decoded of data. */
static int reserve(struct buf *scratch, size_t body_bytes)
{
	int err = buf_reserve(scratch, 2 * body_bytes + 1);

	/* max_body was raised while the connection lives: it has no room, the next one will. */
	return err == -ERR_TOO_LONG ? -ERR_NOMEM : err;
}

int shansong_authenticate(const struct endpoint *endpoint, const struct delivery *delivery,
			  struct buf *scratch, struct message *ret, struct event *event)
{
	struct proof proof = {.endpoint = endpoint,
			      .delivery = delivery,
			      .from_form = delivery->type == BODY_FORM};
	struct shansong_view view;
	int err = reserve(scratch, delivery->body.len);

	if (err)
		return err;
	err = proof.from_form ? shansong_form(delivery->body, scratch, &ret->object)
			      : shansong_scan(delivery->body, scratch, &ret->object);
	trace_say(delivery->trace, TRACE_FORM, err, "%s",
		  err               ? err_text(err)
		  : proof.from_form ? "one form in UTF-8"
				    : "one strict JSON object in UTF-8");
	if (err)
		return err;
	shansong_look(&ret->object, &view);
	err = check_identity(endpoint, &view, delivery->trace, TRACE_IDENTITY);
	if (!err)
		err = check_hmac(&proof);
	if (err)
		return err;
	err = view.known[KEY_DATA] ? open_envelope(&proof, scratch, &ret->object, &view)
				   : check_flat(&proof, &view, event);
	return err ? err : decide(&proof, ret);
}

bool shansong_names_us(const struct endpoint *endpoint, const struct delivery *delivery,
		       struct buf *scratch)
{
	struct json_object object;
	struct shansong_view view;
	int err;

	if (!endpoint->client_id || endpoint->any_shop)
		return false;
	buf_reset(scratch);
	err = reserve(scratch, delivery->body.len);
	if (!err)
		err = delivery->type == BODY_FORM ? shansong_form(delivery->body, scratch, &object)
						  : shansong_scan(delivery->body, scratch, &object);
	if (err)
		return false;
	shansong_look(&object, &view);
	return view.known[KEY_CLIENT_ID] && view.known[KEY_SHOP_ID] &&
	       compare_ids(endpoint, &view) == 0;
}
