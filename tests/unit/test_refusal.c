/* Every refusal that ingest can give, by the row of the error table that it gives; and what must be
 * ours in an envelope, inside and outside. */
#include "shansong_help.h"

#define MEMBERS "\"issOrderNo\":\"TDH1\",\"status\":20"
#define HMAC_BODY "{" MEMBERS ",\"clientId\":\"clientId\",\"anything\":[1]}"
#define NOW_SECONDS "1748595600"
#define SIGN_OF_NOTHING "0123456789ABCDEF0123456789ABCDEF"

static char hmac_bytes[] = "0123456789abcdef";
static struct secret hmac_keys[] = {{hmac_bytes, sizeof(hmac_bytes) - 1}};

static const struct {
	int err;
	enum body_type type;
	enum signature_mode mode;
	const char *body;
} refusals[] = {
	{ERR_JSON_SYNTAX, BODY_JSON, SIGNATURE_IF_PRESENT, "[" MEMBERS "]"},
	{ERR_JSON_SYNTAX, BODY_JSON, SIGNATURE_IF_PRESENT, ""},
	{ERR_JSON_SYNTAX, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS "} {}"},
	{ERR_JSON_UTF8, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"a\":\"\xff\"}"},
	{ERR_JSON_SURROGATE, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"a\":\"\\ud83d\"}"},
	{ERR_JSON_NUL, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"a\":\"\\u0000\"}"},
	{ERR_JSON_DEPTH, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"a\":[[[[[[[[1]]]]]]]]}"},
	{ERR_JSON_KEY_TWICE, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"\\u0073TATUS\":60}"},
	{ERR_FORM_SYNTAX, BODY_FORM, SIGNATURE_IF_PRESENT, "issOrderNo=%4&status=20"},
	{ERR_FORM_KEY_TWICE, BODY_FORM, SIGNATURE_IF_PRESENT, "issOrderNo=a&status=20&Status=60"},
	{ERR_JSON_NUL, BODY_FORM, SIGNATURE_IF_PRESENT, "issOrderNo=a%00&status=20"},
	{ERR_JSON_UTF8, BODY_FORM, SIGNATURE_IF_PRESENT, "issOrderNo=a&status=20&x=%80"},
	{ERR_MEMBER_MISSING, BODY_FORM, SIGNATURE_IF_PRESENT, ""},
	{ERR_MEMBER_MISSING, BODY_JSON, SIGNATURE_IF_PRESENT, "{\"status\":20}"},
	{ERR_MEMBER_MISSING, BODY_JSON, SIGNATURE_IF_PRESENT, "{\"issOrderNo\":\"a\"}"},
	{ERR_MEMBER_MISSING, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{\"issOrderNo\":\"\",\"status\":20}"},
	{ERR_MEMBER_GRAMMAR, BODY_JSON, SIGNATURE_IF_PRESENT, "{\"issOrderNo\":-5,\"status\":20}"},
	{ERR_MEMBER_GRAMMAR, BODY_JSON, SIGNATURE_IF_PRESENT, "{\"issOrderNo\":1.5,\"status\":20}"},
	{ERR_MEMBER_GRAMMAR, BODY_JSON, SIGNATURE_IF_PRESENT, "{\"issOrderNo\":1e5,\"status\":20}"},
	{ERR_MEMBER_GRAMMAR, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{\"issOrderNo\":\"a b\",\"status\":20}"},
	{ERR_SIGN_MISSING, BODY_JSON, SIGNATURE_REQUIRED, "{" MEMBERS "}"},
	{ERR_SIGN_MISSING, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{\"clientId\":\"clientId\",\"shopId\":\"shopId\",\"data\":\"{}\"}"},
	{ERR_SIGN_FORM, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"timestamp\":" NOW_TEXT ",\"sign\":\"\"}"},
	{ERR_SIGN_FORM, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"timestamp\":" NOW_TEXT ",\"sign\":12345678901234567890123456789012}"},
	{ERR_SIGN_WRONG, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"timestamp\":" NOW_TEXT ",\"sign\":\"" SIGN_OF_NOTHING "\"}"},
	{ERR_SIGN_TIMESTAMP, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"sign\":\"" SIGN_OF_NOTHING "\"}"},
	{ERR_SIGN_TIMESTAMP, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"timestamp\":17485956000,\"sign\":\"" SIGN_OF_NOTHING "\"}"},
	{ERR_SIGN_GRAMMAR, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"orderNo\":1.5,\"timestamp\":" NOW_TEXT ",\"sign\":\"" SIGN_OF_NOTHING
	 "\"}"},
	{ERR_SIGN_GRAMMAR, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{\"clientId\":\"clientId\",\"shopId\":\"shopId\",\"timestamp\":" NOW_TEXT
	 ",\"data\":{" MEMBERS "},\"sign\":\"" SIGN_OF_NOTHING "\"}"},
	{ERR_SIGN_MEMBER, BODY_JSON, SIGNATURE_REQUIRED,
	 "{" MEMBERS ",\"more\":null,\"timestamp\":" NOW_TEXT ",\"sign\":\"" SIGN_OF_NOTHING "\"}"},
	{ERR_SIGN_MEMBER, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{\"clientId\":\"clientId\",\"shopId\":\"shopId\",\"timestamp\":" NOW_TEXT
	 ",\"data\":\"{}\",\"more\":1,\"sign\":\"" SIGN_OF_NOTHING "\"}"},
	{ERR_CLIENT_ID, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"clientId\":\"clientid\"}"},
	{ERR_CLIENT_ID, BODY_JSON, SIGNATURE_IF_PRESENT,
	 "{" MEMBERS ",\"clientId\":[\"clientId\"]}"},
	{ERR_CLIENT_ID, BODY_FORM, SIGNATURE_IF_PRESENT,
	 "issOrderNo=a&status=20&clientId=clientId+"},
	{ERR_SHOP_ID, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"shopId\":\"shop\"}"},
	{ERR_SHOP_ID, BODY_JSON, SIGNATURE_IF_PRESENT, "{" MEMBERS ",\"shopId\":7}"},
};

static void test_refusals_of_unsigned_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct event event;
		int err = take(refusals[i].mode, refusals[i].type, slice_of(refusals[i].body),
			       &event);
		if (err != -refusals[i].err)
			fail_msg("%s: %s instead of %s", refusals[i].body, err_key(err),
				 err_key(refusals[i].err));
	}
}

static void test_more_members_than_an_object_may_have(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct event event;

	(void)state;
	buf_add_string(&body, "{" MEMBERS);
	for (int i = 0; i < JSON_MEMBERS_MAX - 1; i++)
		buf_addf(&body, ",\"m%d\":%d", i, i);
	buf_add_char(&body, '}');
	assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&body), &event),
			 -ERR_JSON_MEMBERS);
}

static void test_scratch_that_cannot_hold_the_body_is_a_retryable_failure(void **state)
{
	struct endpoint endpoint = help_endpoint(SIGNATURE_IF_PRESENT);
	struct delivery delivery = help_delivery(SLICE("{" MEMBERS "}"), BODY_JSON);
	BUF_AUTO struct buf scratch = BUF_INIT(8);
	struct event event;

	(void)state;
	assert_int_equal(ingest(&endpoint, &delivery, &scratch, &event), -ERR_NOMEM);
	assert_true(err_retryable(ERR_NOMEM));
}

/* ------------------------------------------------------------------ HMAC --------------- */

struct webhook {
	const char *id, *timestamp, *signature;
};

static int take_hmac(enum signature_mode mode, bool with_key, struct webhook webhook,
		     const char *body, struct event *ret)
{
	struct endpoint endpoint = help_endpoint(mode);
	struct delivery delivery = help_delivery(slice_of(body), BODY_JSON);

	if (with_key) {
		endpoint.hmac_keys = hmac_keys;
		endpoint.n_hmac_keys = 1;
	}
	delivery.webhook_id = slice_of(webhook.id);
	delivery.webhook_timestamp = slice_of(webhook.timestamp);
	delivery.webhook_signature = slice_of(webhook.signature);
	return take_delivery(&endpoint, delivery, ret);
}

static struct webhook signed_webhook(const char *timestamp, const char *body, char *room)
{
	assert_int_equal(signature_hmac(slice_of(hmac_bytes), SLICE("msg-1"), slice_of(timestamp),
					slice_of(body), room),
			 0);
	return (struct webhook){"msg-1", timestamp, room};
}

static void test_hmac_signs_the_bytes_whatever_members_they_hold(void **state)
{
	char room[SIGNATURE_HMAC_CHARS + 1];
	struct webhook webhook = signed_webhook(NOW_SECONDS, HMAC_BODY, room);
	struct event event;

	(void)state;
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, HMAC_BODY, &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, HMAC_BODY " ", &event),
			 -ERR_HMAC_WRONG);
}

static void test_hmac_headers_must_be_whole_and_well_formed(void **state)
{
	char room[SIGNATURE_HMAC_CHARS + 1];
	const struct webhook good = signed_webhook(NOW_SECONDS, HMAC_BODY, room);
	char long_id[130];
	const struct webhook wrong[] = {{NULL, good.timestamp, good.signature},
					{good.id, NULL, good.signature},
					{good.id, good.timestamp, NULL},
					{good.id, NULL, NULL},
					{"", good.timestamp, good.signature},
					{"msg.1", good.timestamp, good.signature},
					{long_id, good.timestamp, good.signature},
					{good.id, NOW_TEXT, good.signature},
					{good.id, "174859560", good.signature},
					{good.id, "17485956O0", good.signature},
					{good.id, good.timestamp, ""}};

	(void)state;
	memset(long_id, 'a', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct event event;
		assert_int_equal(take_hmac(SIGNATURE_IF_PRESENT, true, wrong[i], HMAC_BODY, &event),
				 -ERR_HMAC_FORM);
		/* Without such a key, and with signature = off, nobody looks at them. */
		assert_int_equal(
			take_hmac(SIGNATURE_IF_PRESENT, false, wrong[i], HMAC_BODY, &event), 0);
		assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
		assert_int_equal(take_hmac(SIGNATURE_OFF, true, wrong[i], HMAC_BODY, &event), 0);
		assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
	}
}

static void test_hmac_is_good_for_five_minutes(void **state)
{
	static const struct {
		const char *timestamp;
		int err;
	} cases[] = {{"1748595900", 0},
		     {"1748595901", -ERR_TIMESTAMP_STALE},
		     {"1748595300", 0},
		     {"1748595299", -ERR_TIMESTAMP_STALE}};
	char room[SIGNATURE_HMAC_CHARS + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct webhook webhook = signed_webhook(cases[i].timestamp, HMAC_BODY, room);
		struct event event;
		assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, HMAC_BODY, &event),
				 cases[i].err);
	}
}

static void test_where_hmac_and_sign_are_both_there_both_must_hold(void **state)
{
	struct pairs pairs = {
		{S("issOrderNo", "TDH1"), N("status", "20"), S("timestamp", NOW_TEXT)}, 3};
	BUF_AUTO struct buf good = BUF_INIT(1 << 16);
	BUF_AUTO struct buf bad = BUF_INIT(1 << 16);
	char sign[33];
	char room[SIGNATURE_HMAC_CHARS + 1];
	struct webhook webhook;
	struct event event;

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	body_json(&pairs, sign, &good);
	body_json(&pairs, SIGN_OF_NOTHING, &bad);
	webhook = signed_webhook(NOW_SECONDS, good.data, room);
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, good.data, &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	webhook.signature = "v1,AAAA";
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, good.data, &event),
			 -ERR_HMAC_WRONG);
	webhook = signed_webhook(NOW_SECONDS, bad.data, room);
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, bad.data, &event),
			 -ERR_SIGN_WRONG);
}

static void test_an_unverifiable_sign_is_not_made_good_by_an_hmac(void **state)
{
	static const char body[] = "{" MEMBERS ",\"more\":1,\"timestamp\":" NOW_TEXT
				   ",\"sign\":\"" SIGN_OF_NOTHING "\"}";
	char room[SIGNATURE_HMAC_CHARS + 1];
	struct webhook webhook = signed_webhook(NOW_SECONDS, body, room);
	struct event event;

	(void)state;
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, body, &event),
			 -ERR_SIGN_MEMBER);
	assert_int_equal(take_hmac(SIGNATURE_IF_PRESENT, true, webhook, body, &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
}

static void test_an_hmac_alone_signs_an_envelope(void **state)
{
	static const char body[] =
		"{\"clientId\":\"clientId\",\"shopId\":\"shopId\","
		"\"data\":\"{\\\"issOrderNo\\\":\\\"TDH1\\\",\\\"status\\\":20}\"}";
	char room[SIGNATURE_HMAC_CHARS + 1];
	struct webhook webhook = signed_webhook(NOW_SECONDS, body, room);
	struct event event;

	(void)state;
	assert_int_equal(take_hmac(SIGNATURE_REQUIRED, true, webhook, body, &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	assert_string_equal(event.iss_order_no, "TDH1");
}

/* ------------------------------------------------------------------ envelopes ---------- */

static void test_inner_and_outer_identity_must_both_be_ours(void **state)
{
	static const struct {
		int err;
		struct pairs pairs;
	} cases[] = {
		{0,
		 {{S("clientId", "clientId"), S("shopId", "shopId"), S("timestamp", NOW_TEXT),
		   S("data", "{" MEMBERS "}")},
		  4}},
		{ERR_CLIENT_ID,
		 {{S("clientId", "other"), S("shopId", "shopId"), S("timestamp", NOW_TEXT),
		   S("data", "{" MEMBERS ",\"clientId\":\"clientId\"}")},
		  4}},
		{ERR_CLIENT_ID,
		 {{S("clientId", "clientId"), S("shopId", "shopId"), S("timestamp", NOW_TEXT),
		   S("data", "{" MEMBERS ",\"clientId\":\"other\"}")},
		  4}},
		{ERR_SHOP_ID,
		 {{S("clientId", "clientId"), S("shopId", "other"), S("timestamp", NOW_TEXT),
		   S("data", "{" MEMBERS ",\"shopId\":\"shopId\"}")},
		  4}},
		{ERR_SHOP_ID,
		 {{S("clientId", "clientId"), S("shopId", "shopId"), S("timestamp", NOW_TEXT),
		   S("data", "{" MEMBERS ",\"shopId\":\"other\"}")},
		  4}},
		{ERR_CLIENT_ID,
		 {{S("shopId", "shopId"), S("timestamp", NOW_TEXT), S("data", "{" MEMBERS "}")},
		  3}},
		{ERR_SHOP_ID,
		 {{S("clientId", "clientId"), S("timestamp", NOW_TEXT), S("data", "{" MEMBERS "}")},
		  3}},
		{ERR_SIGN_TIMESTAMP,
		 {{S("clientId", "clientId"), S("shopId", "shopId"), S("data", "{" MEMBERS "}")},
		  3}},
	};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct event event;
		char sign[33];
		naive_sign(SECRET, &cases[i].pairs, sign);
		assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON,
				      body_json(&cases[i].pairs, sign, &body), &event),
				 -cases[i].err);
	}
}

static void test_the_inner_object_is_scanned_as_strictly(void **state)
{
	static const struct {
		int err;
		const char *data;
	} cases[] = {{ERR_JSON_SYNTAX, ""},
		     {ERR_JSON_SYNTAX, "[]"},
		     {ERR_JSON_SYNTAX, "{" MEMBERS "}x"},
		     {ERR_JSON_SYNTAX, "\xef\xbb\xbf{" MEMBERS "}"},
		     {ERR_JSON_KEY_TWICE, "{" MEMBERS ",\"STATUS\":60}"},
		     {ERR_JSON_NUL, "{" MEMBERS ",\"a\":\"\\u0000\"}"},
		     {ERR_JSON_SURROGATE, "{" MEMBERS ",\"a\":\"\\udc00\"}"},
		     {ERR_MEMBER_MISSING, "{}"},
		     {ERR_MEMBER_MISSING,
		      "{\"issOrderNo\":\"TDH2025053050205843\",\"thirdOrderNo\":\"cp1\"}"}};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pairs pairs = {{S("clientId", "clientId"), S("shopId", "shopId"),
				       S("timestamp", NOW_TEXT)},
				      3};
		struct event event;
		char sign[33];
		pair_set(&pairs, (struct pair){"data", slice_of(cases[i].data), false});
		naive_sign(SECRET, &pairs, sign);
		assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON,
				      body_json(&pairs, sign, &body), &event),
				 -cases[i].err);
	}
}

/* Which half of the ring of refused deliveries it is kept in. */
static void test_a_body_names_us_only_with_both_ids_and_both_ours(void **state)
{
	static const struct {
		const char *body;
		enum body_type type;
		bool ours;
	} cases[] = {
		{"{\"clientId\":\"clientId\",\"shopId\":\"shopId\"}", BODY_JSON, true},
		{"clientId=clientId&shopId=shopId", BODY_FORM, true},
		{"{\"clientId\":\"clientId\",\"shopId\":\"other\"}", BODY_JSON, false},
		{"{\"clientId\":\"other\",\"shopId\":\"shopId\"}", BODY_JSON, false},
		{"{\"clientId\":\"clientId\"}", BODY_JSON, false},
		{"{\"shopId\":\"shopId\"}", BODY_JSON, false},
		{"{\"clientId\":\"clientId\",\"shopId\":\"shopId\"", BODY_JSON, false},
		{"clientId=clientId&shopId=%zz", BODY_FORM, false},
	};
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 16);
	BUF_AUTO struct buf small = BUF_INIT(4);
	struct endpoint endpoint = help_endpoint(SIGNATURE_REQUIRED);
	const struct platform *platform = endpoint.platform;
	struct delivery delivery;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		delivery = help_delivery(slice_of(cases[i].body), cases[i].type);
		assert_int_equal(platform->names_us(&endpoint, &delivery, &scratch), cases[i].ours);
	}
	delivery = help_delivery(slice_of(cases[0].body), cases[0].type);
	assert_false(platform->names_us(&endpoint, &delivery, &small));
	/* Where any would do, naming one says nothing. */
	endpoint.any_shop = true;
	assert_false(platform->names_us(&endpoint, &delivery, &scratch));
	endpoint.any_shop = false;
	endpoint.client_id = NULL;
	assert_false(platform->names_us(&endpoint, &delivery, &scratch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_of_unsigned_bodies),
		cmocka_unit_test(test_more_members_than_an_object_may_have),
		cmocka_unit_test(test_scratch_that_cannot_hold_the_body_is_a_retryable_failure),
		cmocka_unit_test(test_hmac_signs_the_bytes_whatever_members_they_hold),
		cmocka_unit_test(test_hmac_headers_must_be_whole_and_well_formed),
		cmocka_unit_test(test_hmac_is_good_for_five_minutes),
		cmocka_unit_test(test_where_hmac_and_sign_are_both_there_both_must_hold),
		cmocka_unit_test(test_an_unverifiable_sign_is_not_made_good_by_an_hmac),
		cmocka_unit_test(test_an_hmac_alone_signs_an_envelope),
		cmocka_unit_test(test_inner_and_outer_identity_must_both_be_ours),
		cmocka_unit_test(test_the_inner_object_is_scanned_as_strictly),
		cmocka_unit_test(test_a_body_names_us_only_with_both_ids_and_both_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
