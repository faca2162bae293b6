/*
 * The signing side. What it makes passes the verifier: it is built from the same list, grammars and
 * parameters. The object's members are sent as they came, so a body stays comparable with its
 * source.
 */
#include "orderhook/shansong.h"

#include "orderhook/err.h"
#include "shansong_private.h"

#define TIMESTAMP_DIGITS 13
#define TIMESTAMP_MAX 9999999999999

static int add_pair(struct buf *body, const char *key, struct slice text)
{
	int err = buf_addf(body, "%s\"%s\":", body->data[body->len - 1] == '{' ? "" : ",", key);

	return err ? err : json_add_string(body, text);
}

static int add_member(struct buf *body, const struct json_member *member)
{
	const char *quote = member->type == JSON_STRING ? "\"" : "";

	return buf_addf(body, "%s\"%.*s\":%s%.*s%s", body->data[body->len - 1] == '{' ? "" : ",",
			SLICE_ARG(member->key), quote, SLICE_ARG(member->value), quote);
}

static int sign_view(struct slice secret, const struct shansong_view *view,
		     char sign[SIGNATURE_SIGN_CHARS + 1])
{
	/* The endpoint will compare clientId and shopId; a signer knows what its own are. */
	const struct shansong_trusted trusted = {true, true};
	struct signature_param params[SHANSONG_KEYS];
	size_t n;
	int err = shansong_params(view, false, trusted, params, &n, NULL);

	return err ? err : signature_md5(secret, params, n, sign);
}

static int sign_flat(struct slice secret, struct slice object, struct shansong_view *view,
		     struct slice timestamp, struct buf *body)
{
	struct json_object members;
	char sign[SIGNATURE_SIGN_CHARS + 1];
	int err;

	if (view->n_unknown || view->known[KEY_DATA])
		return -ERR_SIGN_MEMBER;
	err = sign_view(secret, view, sign);
	if (!err)
		err = json_scan_object(object, &members);
	for (size_t i = 0; !err && i < members.n; i++) {
		if (view->key_of[i] != KEY_TIMESTAMP && view->key_of[i] != KEY_SIGN)
			err = add_member(body, &members.members[i]);
	}
	if (!err)
		err = add_pair(body, shansong_name(KEY_TIMESTAMP), timestamp);
	return err ? err : add_pair(body, shansong_name(KEY_SIGN), slice_of(sign));
}

static int sign_envelope(struct slice secret, struct slice object,
			 const struct shansong_view *members, struct slice timestamp,
			 struct buf *body)
{
	const struct json_member data = {
		.key = SLICE("data"), .value = object, .type = JSON_STRING};
	const struct json_member *client = members->known[KEY_CLIENT_ID];
	const struct json_member *shop = members->known[KEY_SHOP_ID];
	struct shansong_view view = {.known = {NULL}};
	char sign[SIGNATURE_SIGN_CHARS + 1];
	int err;

	if (!client || !shop)
		return -ERR_SIGN_GRAMMAR;
	view.known[KEY_CLIENT_ID] = client;
	view.known[KEY_DATA] = &data;
	view.known[KEY_SHOP_ID] = shop;
	view.known[KEY_TIMESTAMP] = members->known[KEY_TIMESTAMP];
	err = sign_view(secret, &view, sign);
	if (!err)
		err = add_pair(body, shansong_name(KEY_CLIENT_ID), client->value);
	if (!err)
		err = add_pair(body, shansong_name(KEY_SHOP_ID), shop->value);
	if (!err)
		err = add_pair(body, shansong_name(KEY_TIMESTAMP), timestamp);
	if (!err)
		err = add_pair(body, shansong_name(KEY_DATA), object);
	return err ? err : add_pair(body, shansong_name(KEY_SIGN), slice_of(sign));
}

int shansong_sign(struct slice secret, struct slice object, enum shansong_form form,
		  int64_t timestamp_ms, struct buf *ret_body)
{
	BUF_AUTO struct buf scratch = BUF_INIT(object.len + 64);
	char digits[TIMESTAMP_DIGITS + 1];
	struct json_member timestamp = {.key = SLICE("timestamp"), .type = JSON_STRING};
	struct json_object members;
	struct shansong_view view;
	const size_t before = ret_body->len;
	int err;

	if (timestamp_ms < 0 || timestamp_ms > TIMESTAMP_MAX)
		return -ERR_RANGE;
	err = buf_reserve(&scratch, object.len + 1);
	if (!err)
		err = shansong_scan(object, &scratch, &members);
	if (err)
		return err;
	snprintf(digits, sizeof(digits), "%0*lld", TIMESTAMP_DIGITS, (long long)timestamp_ms);
	timestamp.value = slice_of(digits);
	shansong_look(&members, &view);
	view.known[KEY_TIMESTAMP] = &timestamp;
	view.known[KEY_SIGN] = NULL;
	err = buf_add_char(ret_body, '{');
	if (!err)
		err = form == SHANSONG_FLAT
			      ? sign_flat(secret, object, &view, timestamp.value, ret_body)
			      : sign_envelope(secret, object, &view, timestamp.value, ret_body);
	if (!err)
		err = buf_add_char(ret_body, '}');
	if (err && ret_body->data) {
		/* Untouched on failure. */
		ret_body->len = before;
		ret_body->data[before] = '\0';
	}
	return err;
}
