/*
 * A sign that is refused was made by somebody who did something else than the rule says. The usual
 * things are few, so each is tried: the members are put together in that way, hashed with each
 * secret that is configured, and compared with what came.
 *
 * This is no check and accepts nothing: it runs only when a person asks for an explanation, and it
 * tells which mistake fits, never what the right sign would have been.
 *
 * The daemon's admin thread waits for it, so there is a limit to what is hashed. The endpoint's own
 * secrets come first: with hundreds of others and a body of many kilobytes, or with a body of many
 * megabytes, not all are tried.
 */
#include <string.h>

#include "orderhook/err.h"
#include "shansong_private.h"

#define PARTS_MAX (8 + 4 * JSON_MEMBERS_MAX)
#define RESTYLED_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define HASHED_BYTES_MAX ((size_t)24 * 1024 * 1024) /* about 30 ms */
#define NOTHING ((struct slice){"", 0})

struct search {
	const struct endpoint *endpoint;
	const struct endpoint *const *others;
	size_t n_others;
	bool own; /* its own secrets are tried now, else those of the others */
	size_t may_hash_bytes;
	char sign[SIGNATURE_SIGN_CHARS + 1]; /* as given, in upper case; "" when it is none */
	bool lower;
	struct sign_matches *found;
};

/* Where the secret goes and what stands between the parameters. */
enum layout {
	LAYOUT_RULE = 0, /* secret k v k v */
	LAYOUT_LAST,     /* k v k v secret */
	LAYOUT_NONE,     /* k v k v */
	LAYOUT_NEWLINE,  /* secret \n k v k v */
	LAYOUT_URL,      /* secret k=v&k=v */
	LAYOUT_URL_LAST, /* k=v&k=v secret */
	LAYOUT_URL_KEY,  /* k=v&k=v&key=secret */
	LAYOUT_MAX
};

static void found(struct search *search, uint32_t mistakes, const struct endpoint *of,
		  size_t secret, bool hmac)
{
	if (of && of != search->endpoint)
		mistakes |= 1u << MISTAKE_OTHER_SECRET;
	if (search->lower && !hmac)
		mistakes |= 1u << MISTAKE_LOWER_CASE;
	struct sign_matches *all = search->found;
	for (size_t i = 0; i < all->n; i++) {
		if (all->list[i].mistakes == mistakes && all->list[i].hmac == hmac)
			return;
	}
	if (all->n < SIGN_MATCHES_MAX)
		all->list[all->n++] = (struct sign_match){mistakes, hmac, of, secret};
}

/* Once something was too much nothing is hashed any more. */
static bool may_hash(struct search *search, size_t bytes)
{
	if (bytes > search->may_hash_bytes)
		search->found->all_tried = false;
	if (!search->found->all_tried)
		return false;
	search->may_hash_bytes -= bytes;
	return true;
}

/* ------------------------------------------------------------------ MD5 ---------------- */

static size_t lay_out(enum layout layout, struct slice secret, const struct signature_param *params,
		      size_t n, struct slice *parts)
{
	bool url = layout >= LAYOUT_URL;
	size_t n_parts = 0;

	if (layout == LAYOUT_RULE || layout == LAYOUT_NEWLINE || layout == LAYOUT_URL)
		parts[n_parts++] = secret;
	if (layout == LAYOUT_NEWLINE)
		parts[n_parts++] = SLICE("\n");
	for (size_t i = 0; i < n; i++) {
		if (url && i)
			parts[n_parts++] = SLICE("&");
		parts[n_parts++] = params[i].key;
		if (url)
			parts[n_parts++] = SLICE("=");
		parts[n_parts++] = params[i].value;
	}
	if (layout == LAYOUT_URL_KEY)
		parts[n_parts++] = SLICE("&key=");
	if (layout == LAYOUT_LAST || layout == LAYOUT_URL_LAST || layout == LAYOUT_URL_KEY)
		parts[n_parts++] = secret;
	return n_parts;
}

static bool makes(struct search *search, enum layout layout, struct slice secret,
		  const struct signature_param *params, size_t n)
{
	struct slice parts[PARTS_MAX];
	uint8_t digest[DIGEST_MD5_BYTES];
	char made[SIGNATURE_SIGN_CHARS + 1];
	size_t n_parts = lay_out(layout, secret, params, n, parts);
	size_t bytes = 0;

	for (size_t i = 0; i < n_parts; i++)
		bytes += parts[i].len;
	if (!may_hash(search, bytes) || digest_md5(parts, n_parts, digest))
		return false;
	digest_hex_upper(digest, sizeof(digest), made);
	return digest_equal(made, search->sign, SIGNATURE_SIGN_CHARS);
}

static void try_endpoint(struct search *search, const struct endpoint *endpoint, uint32_t mistakes,
			 enum layout layout, const struct signature_param *params, size_t n)
{
	for (size_t i = 0; i < endpoint->n_secrets; i++) {
		struct slice secret = {endpoint->secrets[i].bytes, endpoint->secrets[i].len};
		if (makes(search, layout, secret, params, n))
			found(search, mistakes, endpoint, i, false);
	}
}

static void try_all(struct search *search, uint32_t mistakes, enum layout layout,
		    const struct signature_param *params, size_t n)
{
	if (search->own)
		try_endpoint(search, search->endpoint, mistakes, layout, params, n);
	for (size_t i = 0; !search->own && i < search->n_others; i++)
		try_endpoint(search, search->others[i], mistakes, layout, params, n);
}

/* The members of an object in one of the ways in which they can be put together. */
enum selection {
	SELECT_RULE = 0,   /* the closed list */
	SELECT_ALL,        /* and what is outside of it */
	SELECT_EMPTY,      /* the closed list, and its empty ones */
	SELECT_NO_TIME,    /* without timestamp */
	SELECT_NO_OBJECTS, /* without what is an object or an array */
};

static bool selected(const struct json_member *member, enum shansong_key key,
		     enum selection selection)
{
	if (key == KEY_SIGN || (key == SHANSONG_UNKNOWN && selection != SELECT_ALL))
		return false;
	if (shansong_is_empty(member))
		return selection == SELECT_EMPTY;
	if (selection == SELECT_NO_TIME)
		return key != KEY_TIMESTAMP;
	if (selection == SELECT_NO_OBJECTS)
		return member->type != JSON_OBJECT && member->type != JSON_ARRAY;
	return true;
}

static size_t select_members(const struct json_object *object, const struct shansong_view *view,
			     enum selection selection, struct signature_param *params)
{
	size_t n = 0;

	for (size_t i = 0; i < object->n; i++) {
		const struct json_member *member = &object->members[i];
		if (selected(member, (enum shansong_key)view->key_of[i], selection))
			params[n++] = (struct signature_param){
				member->key, member->type == JSON_NULL ? NOTHING : member->value};
	}
	return n;
}

static bool name_after(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.at, b.at, common) : 0;

	return order ? order > 0 : a.len > b.len;
}

static void sort(struct signature_param *params, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct signature_param param = params[i];
		size_t to = i;
		for (; to > 0 && name_after(params[to - 1].key, param.key); to--)
			params[to] = params[to - 1];
		params[to] = param;
	}
}

static void try_selections(struct search *search, const struct json_object *object,
			   const struct shansong_view *view)
{
	static const struct {
		enum selection selection;
		uint32_t mistakes;
	} rows[] = {
		{SELECT_RULE, 0},
		{SELECT_ALL, 1u << MISTAKE_UNKNOWN_SIGNED},
		{SELECT_EMPTY, 1u << MISTAKE_EMPTY_KEPT},
		{SELECT_NO_TIME, 1u << MISTAKE_NO_TIMESTAMP},
		{SELECT_NO_OBJECTS, 1u << MISTAKE_OBJECTS_LEFT_OUT},
	};
	struct signature_param params[JSON_MEMBERS_MAX];
	size_t plain = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = select_members(object, view, rows[i].selection, params);
		/* A selection that changes nothing is no mistake. */
		if (i == 0)
			plain = n;
		else if (n == plain)
			continue;
		if (rows[i].selection <= SELECT_EMPTY)
			try_all(search, rows[i].mistakes | 1u << MISTAKE_NOT_SORTED, LAYOUT_RULE,
				params, n);
		sort(params, n);
		try_all(search, rows[i].mistakes, LAYOUT_RULE, params, n);
	}
}

static void try_layouts(struct search *search, const struct signature_param *params, size_t n)
{
	static const uint32_t mistakes[LAYOUT_MAX] = {
		[LAYOUT_LAST] = 1u << MISTAKE_SECRET_LAST,
		[LAYOUT_NEWLINE] = 1u << MISTAKE_SECRET_NEWLINE,
		[LAYOUT_URL] = 1u << MISTAKE_SEPARATORS,
		[LAYOUT_URL_LAST] = 1u << MISTAKE_SEPARATORS | 1u << MISTAKE_SECRET_LAST,
		[LAYOUT_URL_KEY] = 1u << MISTAKE_SEPARATORS | 1u << MISTAKE_SECRET_LAST,
	};

	for (int i = LAYOUT_RULE + 1; i < LAYOUT_MAX; i++) {
		enum layout layout = (enum layout)i;
		if (layout != LAYOUT_NONE)
			try_all(search, mistakes[layout], layout, params, n);
		else if (search->own && makes(search, layout, NOTHING, params, n))
			found(search, 1u << MISTAKE_NO_SECRET, NULL, 0, false);
	}
}

static void try_value(struct search *search, uint32_t mistake, struct signature_param *params,
		      size_t n, size_t which, struct slice value)
{
	struct slice kept = params[which].value;

	params[which].value = value;
	try_all(search, mistake, LAYOUT_RULE, params, n);
	params[which].value = kept;
}

static void try_time(struct search *search, struct signature_param *params, size_t n, size_t which)
{
	struct slice time = params[which].value;
	char longer[14];

	if (time.len == 13) {
		time.len = 10;
		try_value(search, 1u << MISTAKE_SECONDS, params, n, which, time);
	} else if (time.len == 10) {
		memcpy(longer, time.at, 10);
		memcpy(longer + 10, "000", 4);
		try_value(search, 1u << MISTAKE_SECONDS, params, n, which,
			  (struct slice){longer, 13});
	}
}

static void try_styles(struct search *search, struct signature_param *params, size_t n,
		       size_t which)
{
	BUF_AUTO struct buf restyled = BUF_INIT(RESTYLED_BYTES_MAX);
	struct slice value = params[which].value;
	struct json_object object;

	if (json_scan_object(value, &object))
		return;
	for (unsigned style = 0; style < RESTYLE_MAX && search->found->all_tried; style++) {
		buf_reset(&restyled);
		if (shansong_restyle(value, style, &restyled) == 0 &&
		    !slice_equal(buf_slice(&restyled), value))
			try_value(search, 1u << MISTAKE_RE_SERIALISED, params, n, which,
				  buf_slice(&restyled));
	}
}

static void try_values(struct search *search, struct signature_param *params, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (slice_equal_string(params[i].key, shansong_name(KEY_TIMESTAMP)))
			try_time(search, params, n, i);
		if (slice_equal_string(params[i].key, shansong_name(KEY_DATA)) ||
		    slice_equal_string(params[i].key, shansong_name(KEY_COURIER)))
			try_styles(search, params, n, i);
	}
}

/* The members as they stand in the body, undecoded. */
static void try_escaped(struct search *search, const struct delivery *delivery)
{
	struct signature_param params[JSON_MEMBERS_MAX];
	struct json_object object;
	struct shansong_view view;
	bool escaped = false;

	if (delivery->type != BODY_JSON || json_scan_object(delivery->body, &object))
		return;
	shansong_look(&object, &view);
	size_t n = select_members(&object, &view, SELECT_RULE, params);
	for (size_t i = 0; i < object.n; i++)
		escaped |= object.members[i].value_escaped;
	sort(params, n);
	if (escaped)
		try_all(search, 1u << MISTAKE_ESCAPED, LAYOUT_RULE, params, n);
}

/* Takes the sign in upper case. False when it is not 32 digits: then nothing can have made it. */
static bool take_sign(struct search *search, const struct json_member *sign)
{
	if (!sign || sign->type != JSON_STRING || sign->value.len != SIGNATURE_SIGN_CHARS)
		return false;
	for (size_t i = 0; i < SIGNATURE_SIGN_CHARS; i++) {
		char c = sign->value.at[i];
		if (c >= 'a' && c <= 'f') {
			search->lower = true;
			c = (char)(c - 'a' + 'A');
		}
		search->sign[i] = c;
	}
	return true;
}

static void search_md5(struct search *search, const struct delivery *delivery, struct buf *scratch)
{
	struct signature_param params[JSON_MEMBERS_MAX];
	struct json_object object;
	struct shansong_view view;
	int err = buf_reserve(scratch, 2 * delivery->body.len + 1);

	if (!err)
		err = delivery->type == BODY_FORM ? shansong_form(delivery->body, scratch, &object)
						  : shansong_scan(delivery->body, scratch, &object);
	if (err)
		return;
	shansong_look(&object, &view);
	if (!take_sign(search, view.known[KEY_SIGN]))
		return;
	try_selections(search, &object, &view);
	size_t n = select_members(&object, &view, SELECT_RULE, params);
	sort(params, n);
	try_layouts(search, params, n);
	try_values(search, params, n);
	try_escaped(search, delivery);
}

/* ------------------------------------------------------------------ HMAC --------------- */

#define KEY_TEXT_BYTES 128

/* The signature as it is written, and as some write it. */
static uint32_t hmac_made(struct search *search, struct slice key, const struct delivery *delivery,
			  bool *ret_found)
{
	char made[SIGNATURE_HMAC_CHARS + 1];
	char hex[2 * DIGEST_SHA256_BYTES + 1];
	uint8_t digest[DIGEST_SHA256_BYTES];
	size_t len;

	*ret_found = false;
	if (!may_hash(search, delivery->body.len) ||
	    signature_hmac(key, delivery->webhook_id, delivery->webhook_timestamp, delivery->body,
			   made) ||
	    digest_base64_decode((struct slice){made + 3, SIGNATURE_HMAC_CHARS - 3}, digest,
				 sizeof(digest), &len))
		return 0;
	digest_hex_lower(digest, sizeof(digest), hex);
	if (slice_find(delivery->webhook_signature, slice_of(made))) {
		*ret_found = true;
		return 0;
	}
	*ret_found = slice_find(delivery->webhook_signature, slice_of(hex)) != NULL;
	return *ret_found ? 1u << MISTAKE_HEX : 0;
}

static void try_key(struct search *search, const struct endpoint *endpoint, size_t which,
		    const struct delivery *delivery)
{
	const struct secret *key = &endpoint->hmac_keys[which];
	char text[KEY_TEXT_BYTES] = "whsec_";
	uint32_t late =
		delivery->webhook_timestamp.len == 13 ? 1u << MISTAKE_WEBHOOK_MILLISECONDS : 0;
	bool match;
	uint32_t mistakes;

	digest_base64_encode((const uint8_t *)key->bytes, key->len, text + 6);
	const struct slice keys[] = {
		{key->bytes, key->len}, {text, strlen(text)}, {text + 6, strlen(text) - 6}};
	for (size_t i = 0; i < 3; i++) {
		mistakes = hmac_made(search, keys[i], delivery, &match);
		if (match)
			found(search, mistakes | late | (i ? 1u << MISTAKE_KEY_UNDECODED : 0),
			      endpoint, which, true);
	}
	explicit_bzero(text, sizeof(text));
}

static void search_hmac(struct search *search, const struct delivery *delivery)
{
	if (!delivery->webhook_id.at || !delivery->webhook_timestamp.at ||
	    !delivery->webhook_signature.at)
		return;
	for (size_t i = 0; search->own && i < search->endpoint->n_hmac_keys; i++)
		try_key(search, search->endpoint, i, delivery);
	for (size_t e = 0; !search->own && e < search->n_others; e++) {
		for (size_t i = 0; i < search->others[e]->n_hmac_keys; i++)
			try_key(search, search->others[e], i, delivery);
	}
}

void shansong_sign_matches(const struct endpoint *endpoint, const struct endpoint *const *others,
			   size_t n_others, const struct delivery *delivery, struct buf *scratch,
			   struct sign_matches *ret)
{
	struct search search = {.endpoint = endpoint,
				.others = others,
				.n_others = n_others,
				.may_hash_bytes = HASHED_BYTES_MAX,
				.found = ret};

	ret->n = 0;
	ret->all_tried = true;
	for (int turn = 0; turn < 2; turn++) {
		search.own = turn == 0;
		buf_reset(scratch);
		search_md5(&search, delivery, scratch);
		search_hmac(&search, delivery);
	}
}
