/* Forgeries that shift the borders of what was signed, its types, its keys or its secret. */
#include "forgery_help.h"

static void test_the_honest_message_is_taken(void **state)
{
	char sign[33];

	(void)state;
	naive_sign(SECRET, &honest, sign);
	assert_honest(&honest, sign);
}

/* ------------------------------------------------------------------ shifted borders ---- */

/* Two messages of one string. The known one is honest, the forged one is not taken. */
static void assert_shift(const struct pairs *known, const struct pairs *forged)
{
	char sign[33];

	naive_sign(SECRET, known, sign);
	assert_honest(known, sign);
	assert_forgery(forged, sign);
}

static const struct {
	struct pairs known, forged;
} shifts[] = {
#define ORDER N("status", "20"), S("timestamp", NOW_TEXT)
	/* issOrderNo swallows orderNo */
	{{{S("issOrderNo", "A"), S("orderNo", "B"), ORDER}, 4},
	 {{S("issOrderNo", "AorderNoB"), ORDER}, 3}},
	/* orderNo swallows what follows it */
	{{{S("issOrderNo", "A"), S("orderNo", "B"), S("pickupPassword", "12"), ORDER}, 5},
	 {{S("issOrderNo", "A"), S("orderNo", "BpickupPassword12"), ORDER}, 4}},
	{{{S("issOrderNo", "A"), S("orderNo", "B"), N("sendBackFee", "500"), ORDER}, 5},
	 {{S("issOrderNo", "A"), S("orderNo", "BsendBackFee500"), ORDER}, 4}},
	{{{S("issOrderNo", "A"), S("shopId", "12"), ORDER}, 4},
	 {{S("issOrderNo", "AshopId12"), ORDER}, 3}},
	/* a password swallows a type; the token, the access token, the shop */
	{{{S("issOrderNo", "A"), S("pickupPassword", "1"), N("punishType", "3"), ORDER}, 5},
	 {{S("issOrderNo", "A"), S("pickupPassword", "1punishType3"), ORDER}, 4}},
	{{{S("accessToken", "a"), S("callbackEvent", "ORDER_STATUS_CALLBACK"), S("issOrderNo", "A"),
	   ORDER},
	  5},
	 {{S("accessToken", "acallbackEventORDER_STATUS_CALLBACK"), S("issOrderNo", "A"), ORDER},
	  4}},
	{{{S("clientId", "c"), S("deliveryPassword", "d"), S("issOrderNo", "A"), ORDER}, 5},
	 {{S("clientId", "cdeliveryPasswordd"), S("issOrderNo", "A"), ORDER}, 4}},
	{{{S("issOrderNo", "A"), S("shopId", "s"), ORDER}, 4},
	 {{S("issOrderNo", "A"), S("shopId", "sstatus20timestamp" NOW_TEXT)}, 2}},
	/* free texts */
	{{{S("abortReason", "x"), N("abortType", "1"), S("issOrderNo", "A"), ORDER}, 5},
	 {{S("abortReason", "xabortType1"), S("issOrderNo", "A"), ORDER}, 4}},
	{{{S("abortReason", "x"), N("deductAmount", "900"), S("issOrderNo", "A"), ORDER}, 5},
	 {{S("abortReason", "xdeductAmount900"), S("issOrderNo", "A"), ORDER}, 4}},
	{{{S("issOrderNo", "A"), S("statusDesc", "x"), N("subStatus", "2"), ORDER}, 5},
	 {{S("issOrderNo", "A"), S("statusDesc", "xsubStatus2"), ORDER}, 4}},
	{{{S("issOrderNo", "A"), S("subStatusDesc", "x"), ORDER, S("token", "t")}, 5},
	 {{S("issOrderNo", "A"), N("status", "20"),
	   S("subStatusDesc", "xtimestamp" NOW_TEXT "tokent")},
	  3}},
	{{{S("issOrderNo", "A"), S("statusChangeTime", "2025-05-30 16:55:54"), ORDER}, 4},
	 {{S("issOrderNo", "A"), S("timestamp", NOW_TEXT),
	   S("status", "20statusChangeTime2025-05-30 16:55:54")},
	  3}},
	/* a name that begins another one */
	{{{S("issOrderNo", "A"), S("statusDesc", "20"), ORDER}, 4},
	 {{S("issOrderNo", "A"), S("status", "20statusDesc20"), S("timestamp", NOW_TEXT)}, 3}},
	/* a name that ends in the next key */
	{{{S("abortReason", "x"), S("deliveryPassword", "rawback0"), S("issOrderNo", "A"), ORDER},
	  5},
	 {{S("abortReason", "xdeliveryPasswor"), N("drawback", "0"), S("issOrderNo", "A"), ORDER},
	  5}},
	{{{S("accessToken", "x"), S("clientId", "rawback0"), S("issOrderNo", "A"), ORDER}, 5},
	 {{S("accessToken", "xclientI"), N("drawback", "0"), S("issOrderNo", "A"), ORDER}, 5}},
	/* the courier's object ends where JSON says */
	{{{N("courier", "{\"id\":\"1\"}"), N("drawback", "0"), S("issOrderNo", "A"), ORDER}, 5},
	 {{N("courier", "{\"id\":\"1\"}drawback0"), S("issOrderNo", "A"), ORDER}, 4}},
#undef ORDER
};

static void test_borders_between_members_cannot_be_moved(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(shifts); i++)
		assert_shift(&shifts[i].known, &shifts[i].forged);
}

#define INNER "{\"issOrderNo\":\"TDH1\",\"status\":20}"

static void test_envelopes_cannot_be_split_anew(void **state)
{
	static const struct pairs known = {{S("clientId", "clientId"), S("data", INNER),
					    S("shopId", "shopId"), S("timestamp", NOW_TEXT)},
					   4};
	static const struct pairs forged[] = {
		{{S("clientId", "clientIddata" INNER), S("shopId", "shopId"),
		  S("timestamp", NOW_TEXT)},
		 3},
		{{S("clientId", "clientIddata" INNER "shopIdshopId"), S("timestamp", NOW_TEXT)}, 2},
		{{S("clientId", "clientId"), S("data", INNER "shopIdshopId"),
		  S("timestamp", NOW_TEXT)},
		 3},
		{{S("clientId", "clientId"), S("data", INNER "shopIdshopIdtimestamp" NOW_TEXT)}, 2},
		{{S("clientId", "clientId"), S("data", INNER),
		  S("shopId", "shopIdtimestamp" NOW_TEXT)},
		 3},
		/* empty members beside data, known and unknown: the rule drops them */
		{{S("clientId", "clientId"), S("data", INNER), S("shopId", "shopId"),
		  S("timestamp", NOW_TEXT), S("status", "")},
		 5},
		{{S("clientId", "clientId"), S("data", INNER), S("shopId", "shopId"),
		  S("timestamp", NOW_TEXT), S("more", "")},
		 5},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(forged); i++)
		assert_shift(&known, &forged[i]);
}

static void test_a_flat_body_cannot_become_an_envelope_nor_the_other_way(void **state)
{
	static const struct pairs flat = {{S("clientId", "c"), S("courier", "{}"),
					   S("issOrderNo", "A"), N("status", "20"),
					   S("timestamp", NOW_TEXT)},
					  5};
	static const struct pairs as_envelope = {
		{S("clientId", "cdata" INNER), S("shopId", "shopId"), S("timestamp", NOW_TEXT)}, 3};
	struct pairs object_courier = flat;
	char sign[33];

	(void)state;
	/* Its courier is a string: in JSON that is none, though it is signed alike. */
	naive_sign(SECRET, &flat, sign);
	pair_set(&object_courier, (struct pair)N("courier", "{}"));
	assert_honest(&object_courier, sign);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	assert_true(naive_accepts(SECRET, &flat, sign));
	assert_not_signed(lax_endpoint(), BODY_JSON, body_json(&flat, sign, &body));
	naive_sign(SECRET, &as_envelope, sign);
	assert_forgery(&as_envelope, sign);
}

static void test_a_request_to_the_platform_is_no_callback(void **state)
{
	static const struct pairs request = {
		{S("clientId", "clientId"),
		 S("data", "{\"issOrderNo\":\"TDH1\",\"thirdOrderNo\":\"cp1\"}"),
		 S("shopId", "shopId"), S("timestamp", NOW_TEXT)},
		4};
	char sign[33];

	(void)state;
	/* Merchants sign their requests with the same secret: who hears one can deliver it here. */
	naive_sign(SECRET, &request, sign);
	assert_forgery(&request, sign);
}

/* ------------------------------------------------------------------ types, keys, signs - */

/* One signed text in another JSON type. */
static void test_a_value_cannot_change_its_type(void **state)
{
	static const struct {
		struct pair known, forged;
	} cases[] = {
		{S("statusDesc", "{\"a\":1}"), N("statusDesc", "{\"a\":1}")},
		{S("statusDesc", "[1]"), N("statusDesc", "[1]")},
		{S("statusDesc", "true"), N("statusDesc", "true")},
		{S("statusDesc", "12"), N("statusDesc", "12")},
		{S("orderNo", "1.5"), N("orderNo", "1.5")},
		{S("orderNo", "-15"), N("orderNo", "-15")},
		{S("orderNo", "true"), N("orderNo", "true")},
		{S("token", "false"), N("token", "false")},
		{N("courier", "{\"id\":\"1\"}"), S("courier", "{\"id\":\"1\"}")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pairs pairs = {
			{S("issOrderNo", "A"), N("status", "20"), S("timestamp", NOW_TEXT)}, 3};
		BUF_AUTO struct buf body = BUF_INIT(1 << 16);
		char sign[33];
		pair_set(&pairs, cases[i].known);
		naive_sign(SECRET, &pairs, sign);
		assert_honest(&pairs, sign);
		pair_set(&pairs, cases[i].forged);
		assert_true(naive_accepts(SECRET, &pairs, sign));
		assert_not_signed(lax_endpoint(), BODY_JSON, body_json(&pairs, sign, &body));
	}
}

static void test_number_or_string_is_one_event(void **state)
{
	struct pairs numbers = {{S("issOrderNo", "15"), N("status", "20"), N("drawback", "5"),
				 S("timestamp", NOW_TEXT)},
				4};
	struct pairs strings = {{N("issOrderNo", "15"), S("status", "20"), S("drawback", "5"),
				 N("timestamp", NOW_TEXT)},
				4};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct event one;
	struct event other;
	char sign[33];

	(void)state;
	naive_sign(SECRET, &numbers, sign);
	assert_int_equal(
		take(SIGNATURE_REQUIRED, BODY_JSON, body_json(&numbers, sign, &body), &one), 0);
	assert_int_equal(
		take(SIGNATURE_REQUIRED, BODY_JSON, body_json(&strings, sign, &body), &other), 0);
	assert_memory_equal(&one, &other, sizeof(one));
}

/* The rule drops empty members, so they can be added and taken away: it must change nothing. */
static void test_empty_members_add_nothing(void **state)
{
	static const struct pair empty[] = {S("abortReason", ""), S("deductAmount", ""),
					    N("courier", "null"), N("pickupPassword", "null"),
					    S("callbackEvent", "")};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct pairs pairs = honest;
	struct event one;
	struct event other;
	char sign[33];

	(void)state;
	pair_drop(&pairs, "courier");
	naive_sign(SECRET, &pairs, sign);
	assert_int_equal(take(SIGNATURE_REQUIRED, BODY_JSON, body_json(&pairs, sign, &body), &one),
			 0);
	for (size_t i = 0; i < COUNT(empty); i++) {
		struct pairs more = pairs;
		pair_set(&more, empty[i]);
		assert_int_equal(
			take(SIGNATURE_REQUIRED, BODY_JSON, body_json(&more, sign, &body), &other),
			0);
		assert_memory_equal(&one, &other, sizeof(one));
	}
	pair_set(&pairs, (struct pair)S("more", ""));
	assert_forgery(&pairs, sign);
}

static void test_an_emptied_status_is_a_missing_one(void **state)
{
	struct pairs pairs = {{S("issOrderNo", "A"), S("timestamp", NOW_TEXT), S("status", "")}, 3};
	char sign[33];

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	assert_forgery(&pairs, sign);
}

static void test_keys_twice_or_in_another_case_are_refused(void **state)
{
	static const char *const members[] = {"\"status\":60",       "\"STATUS\":60",
					      "\"st\\u0061tus\":60", "\"Status\":\"\"",
					      "\"sign\":\"x\"",      "\"Sign\":null"};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];

	(void)state;
	naive_sign(SECRET, &honest, sign);
	for (size_t i = 0; i < COUNT(members); i++) {
		struct event event;
		body_json(&honest, sign, &body);
		body.len--;
		buf_addf(&body, ",%s}", members[i]);
		assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&body), &event),
				 -ERR_JSON_KEY_TWICE);
	}
}

static void test_sign_has_one_spelling(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];
	char lower[33];
	char forged[6][80];

	(void)state;
	naive_sign(SECRET, &honest, sign);
	for (int i = 0; i < 33; i++)
		lower[i] = sign[i] >= 'A' ? (char)(sign[i] + 32) : sign[i];
	snprintf(forged[0], sizeof(forged[0]), "%s", lower);
	snprintf(forged[1], sizeof(forged[1]), "%s ", sign);
	snprintf(forged[2], sizeof(forged[2]), " %s", sign);
	snprintf(forged[3], sizeof(forged[3]), "%s\n", sign);
	snprintf(forged[4], sizeof(forged[4]), "%s%s", sign, sign);
	snprintf(forged[5], sizeof(forged[5]), "%.31s", sign);
	for (size_t i = 0; i < COUNT(forged); i++)
		assert_not_signed(help_endpoint(0), BODY_JSON,
				  body_json(&honest, forged[i], &body));
}

/* ------------------------------------------------------------------ secrets ------------ */

static void test_each_secret_stands_alone(void **state)
{
	static char first[] = "first-secret-000001";
	static char second[] = "second-secret-00001";
	struct secret secrets[] = {{first, sizeof(first) - 1}, {second, sizeof(second) - 1}};
	static const char *const joined[] = {
		"first-secret-000001second-secret-00001", "second-secret-00001first-secret-000001",
		"", "first-secret-000001\nsecond-secret-00001", "first-secret-000001\n"};
	struct endpoint endpoint = help_endpoint(0);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];
	struct event event;

	(void)state;
	endpoint.secrets = secrets;
	endpoint.n_secrets = 2;
	for (size_t i = 0; i < COUNT(joined); i++) {
		naive_sign(joined[i], &honest, sign);
		assert_true(naive_accepts(joined[i], &honest, sign));
		assert_not_signed(endpoint, BODY_JSON, body_json(&honest, sign, &body));
	}
	for (size_t i = 0; i < 2; i++) {
		naive_sign(secrets[i].bytes, &honest, sign);
		endpoint.signature = SIGNATURE_REQUIRED;
		assert_int_equal(
			take_delivery(&endpoint,
				      help_delivery(body_json(&honest, sign, &body), BODY_JSON),
				      &event),
			0);
	}
}

static void test_a_whsec_key_signs_no_members(void **state)
{
	static char key[] = "0123456789abcdef";
	struct secret keys[] = {{key, sizeof(key) - 1}};
	struct endpoint endpoint = help_endpoint(0);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];

	(void)state;
	endpoint.hmac_keys = keys;
	endpoint.n_hmac_keys = 1;
	naive_sign(key, &honest, sign);
	assert_not_signed(endpoint, BODY_JSON, body_json(&honest, sign, &body));
	naive_sign("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", &honest, sign);
	assert_not_signed(endpoint, BODY_JSON, body_json(&honest, sign, &body));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_honest_message_is_taken),
		cmocka_unit_test(test_borders_between_members_cannot_be_moved),
		cmocka_unit_test(test_envelopes_cannot_be_split_anew),
		cmocka_unit_test(test_a_flat_body_cannot_become_an_envelope_nor_the_other_way),
		cmocka_unit_test(test_a_request_to_the_platform_is_no_callback),
		cmocka_unit_test(test_a_value_cannot_change_its_type),
		cmocka_unit_test(test_number_or_string_is_one_event),
		cmocka_unit_test(test_empty_members_add_nothing),
		cmocka_unit_test(test_an_emptied_status_is_a_missing_one),
		cmocka_unit_test(test_keys_twice_or_in_another_case_are_refused),
		cmocka_unit_test(test_sign_has_one_spelling),
		cmocka_unit_test(test_each_secret_stands_alone),
		cmocka_unit_test(test_a_whsec_key_signs_no_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
