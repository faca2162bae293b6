/* From a body to an event: what is taken, how it was proven, what it says. Forgeries are in
 * test_forgery.c, refusals in test_refusal.c, sameness in test_content.c. */
#include "shansong_help.h"

#include "orderhook/clock.h"

#define MEMBERS "\"issOrderNo\":\"TDH1\",\"status\":20"
#define OBJECT(more) SLICE("{" MEMBERS "," more "}")

static int64_t ms_of(const char *rfc3339)
{
	int64_t ms;

	assert_int_equal(clock_parse_rfc3339(slice_of(rfc3339), &ms), 0);
	return ms;
}

static struct event taken(struct slice body)
{
	struct event event;

	assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, body, &event), 0);
	return event;
}

static void test_every_sample_becomes_its_event(void **state)
{
	static const struct {
		int status, sub_status;
		const char *occurred, *courier;
	} expected[HELP_SAMPLES] = {{20, 1, "2025-05-30T08:55:19Z", ""},
				    {30, 1, "2025-05-30T08:55:54Z", "SSBJ000000166"},
				    {20, 2, "2025-05-30T09:01:38Z", ""},
				    {40, 1, "2025-05-30T09:03:25Z", "SSBJ000000166"},
				    {50, 1, "2025-05-30T09:04:24Z", "SSBJ000000166"},
				    {60, EVENT_SUB_ABSENT, "2025-05-30T09:10:00Z", ""}};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < HELP_SAMPLES; i++) {
		struct event event;
		help_read(help_samples[i], &body);
		event = taken(buf_slice(&body));
		assert_int_equal(event.kind, EVENT_ORDER);
		assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
		assert_int_equal(event.status, expected[i].status);
		assert_int_equal(event.sub_status, expected[i].sub_status);
		assert_int_equal(event.occurred_ms, ms_of(expected[i].occurred));
		assert_int_equal(event.occurred_from, EVENT_FROM_PLATFORM);
		assert_int_equal(event.received_ms, NOW_MS);
		assert_string_equal(event.iss_order_no, "TDH2025053050205843");
		assert_string_equal(event.order_no, "cp451412923563114496");
		assert_string_equal(event.shop_id, "shopId");
		assert_string_equal(event.courier_id, expected[i].courier);
		assert_string_equal(event.notes, "");
		assert_false(event.stale);
	}
}

static void test_an_envelope_may_hold_members_nobody_knows(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct event event;

	(void)state;
	assert_int_equal(shansong_sign(slice_of(SECRET),
				       SLICE(" {" MEMBERS ",\"clientId\":\"clientId\","
					     "\"shopId\":\"shopId\",\"statusDesc\":\"x status\","
					     "\"new\":{\"a\":[\"\\u6d3e\"]}} "),
				       SHANSONG_ENVELOPE, NOW_MS, &body),
			 0);
	assert_int_equal(take(SIGNATURE_REQUIRED, BODY_JSON, buf_slice(&body), &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	assert_string_equal(event.iss_order_no, "TDH1");
	assert_string_equal(event.notes, "");
}

static void test_service_providers_envelope_has_an_access_token_for_the_shop(void **state)
{
	struct pairs pairs = {{S("accessToken", "70882965-5e51-463f-a746-7bcf1b3f1c34"),
			       S("clientId", "clientId"), S("timestamp", "1748595600"),
			       S("data", "{" MEMBERS ",\"shopId\":\"shopId\"}")},
			      4};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];
	struct event event;

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	assert_int_equal(
		take(SIGNATURE_REQUIRED, BODY_JSON, body_json(&pairs, sign, &body), &event), 0);
	assert_string_equal(event.shop_id, "shopId");
}

static void test_member_outside_the_list_leaves_a_signed_body_to_the_token(void **state)
{
	struct pairs pairs = {{S("issOrderNo", "TDH1"), N("status", "20"), S("newMember", "x"),
			       S("timestamp", NOW_TEXT)},
			      4};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];
	struct event event;

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	body_json(&pairs, sign, &body);
	assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&body), &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
	assert_non_null(strstr(event.notes, "sign not verified"));
	assert_int_equal(take(SIGNATURE_REQUIRED, BODY_JSON, buf_slice(&body), &event),
			 -ERR_SIGN_MEMBER);
	struct endpoint endpoint = help_endpoint(SIGNATURE_IF_PRESENT);
	struct delivery delivery = help_delivery(buf_slice(&body), BODY_JSON);
	delivery.token_ok = false;
	assert_int_equal(take_delivery(&endpoint, delivery, &event), -ERR_SIGN_MEMBER);
}

static void test_signed_timestamp_may_be_seconds_and_is_stale_after_ten_minutes(void **state)
{
	static const struct {
		const char *timestamp;
		bool stale;
	} cases[] = {{NOW_TEXT, false},       {"1748595600", false},    {"1748596200000", false},
		     {"1748596200001", true}, {"1748595000000", false}, {"1748594999999", true},
		     {"1748596200", false},   {"1748596201", true},     {"0000000000", true},
		     {"9999999999999", true}};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pairs pairs = {{S("issOrderNo", "TDH1"), N("status", "20")}, 2};
		char sign[33];
		struct event event;
		pair_set(&pairs, (struct pair){"timestamp", slice_of(cases[i].timestamp),
					       i % 2 == 1 && cases[i].timestamp[0] != '0'});
		naive_sign(SECRET, &pairs, sign);
		assert_int_equal(
			take(SIGNATURE_REQUIRED, BODY_JSON, body_json(&pairs, sign, &body), &event),
			0);
		assert_int_equal(event.stale, cases[i].stale);
		assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	}
}

static void test_signature_off_looks_at_no_signature_but_needs_the_token(void **state)
{
	struct pairs pairs = {{S("issOrderNo", "TDH1"), N("status", "20"), S("more", "x")}, 3};
	struct pairs envelope = {
		{S("clientId", "clientId"), S("shopId", "shopId"), S("data", "{" MEMBERS "}")}, 3};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct event event;

	(void)state;
	assert_int_equal(
		take(SIGNATURE_OFF, BODY_JSON, body_json(&pairs, "not a sign", &body), &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
	/* The same caller could have sent the object as it is: nothing more is trusted. */
	assert_int_equal(
		take(SIGNATURE_OFF, BODY_JSON, body_json(&envelope, "not a sign", &body), &event),
		0);
	assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
	assert_string_equal(event.iss_order_no, "TDH1");
	pair_set(&envelope, (struct pair)N("data", "{" MEMBERS "}"));
	assert_int_equal(take(SIGNATURE_OFF, BODY_JSON, body_json(&envelope, NULL, &body), &event),
			 -ERR_SIGN_GRAMMAR);
	pair_set(&envelope, (struct pair)S("data", "{" MEMBERS "}"));
	body_json(&envelope, NULL, &body);
	struct endpoint endpoint = help_endpoint(SIGNATURE_OFF);
	struct delivery delivery = help_delivery(buf_slice(&body), BODY_JSON);
	delivery.token_ok = false;
	assert_int_equal(take_delivery(&endpoint, delivery, &event), -ERR_SIGN_MISSING);
	delivery.body = body_json(&pairs, NULL, &body);
	assert_int_equal(take_delivery(&endpoint, delivery, &event), -ERR_SIGN_MISSING);
}

static void test_without_a_token_nothing_unsigned_is_taken_in_any_mode(void **state)
{
	(void)state;
	for (int mode = 0; mode < SIGNATURE_MODE_MAX; mode++) {
		struct endpoint endpoint = help_endpoint((enum signature_mode)mode);
		struct delivery delivery = help_delivery(OBJECT("\"subStatus\":1"), BODY_JSON);
		struct event event;
		delivery.token_ok = false;
		assert_int_equal(take_delivery(&endpoint, delivery, &event), -ERR_SIGN_MISSING);
	}
}

static void test_a_null_sign_or_data_is_absent(void **state)
{
	struct event event = taken(OBJECT("\"sign\":null,\"data\":null"));

	(void)state;
	assert_int_equal(event.auth, EVENT_AUTH_TOKEN);
}

static void test_order_numbers_as_json_numbers_are_taken_by_their_digits(void **state)
{
	struct event event = taken(SLICE("{\"issOrderNo\":123456789012345678901234567890,"
					 "\"orderNo\":9007199254740993,\"status\":\"20\","
					 "\"subStatus\":\"1\"}"));

	(void)state;
	assert_string_equal(event.iss_order_no, "123456789012345678901234567890");
	assert_string_equal(event.order_no, "9007199254740993");
	assert_int_equal(event.status, 20);
	assert_int_equal(event.sub_status, 1);
	assert_string_equal(event.notes, "");
}

static void test_status_is_at_most_three_digits(void **state)
{
	static const struct {
		const char *token;
		int status; /* or the error */
	} cases[] = {{"0", 0},
		     {"999", 999},
		     {"\"020\"", 20},
		     {"\"000\"", 0},
		     {"1000", -ERR_MEMBER_GRAMMAR},
		     {"\"0020\"", -ERR_MEMBER_GRAMMAR},
		     {"-1", -ERR_MEMBER_GRAMMAR},
		     {"-0", -ERR_MEMBER_GRAMMAR},
		     {"20.0", -ERR_MEMBER_GRAMMAR},
		     {"2e1", -ERR_MEMBER_GRAMMAR},
		     {"\" 20\"", -ERR_MEMBER_GRAMMAR},
		     {"\"+20\"", -ERR_MEMBER_GRAMMAR},
		     {"true", -ERR_MEMBER_GRAMMAR},
		     {"[20]", -ERR_MEMBER_GRAMMAR},
		     {"\"\"", -ERR_MEMBER_MISSING},
		     {"null", -ERR_MEMBER_MISSING}};
	char body[64];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct event event;
		int expected = cases[i].status < 0 ? cases[i].status : 0;
		snprintf(body, sizeof(body), "{\"issOrderNo\":\"a\",\"status\":%s}",
			 cases[i].token);
		assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, slice_of(body), &event),
				 expected);
		if (!expected)
			assert_int_equal(event.status, cases[i].status);
	}
}

static void test_optional_member_outside_its_grammar_is_left_out_and_named(void **state)
{
	static const struct {
		const char *members, *name;
	} cases[] = {
		{"\"orderNo\":1.5", "orderNo"},
		{"\"orderNo\":-1", "orderNo"},
		{"\"orderNo\":1e3", "orderNo"},
		{"\"orderNo\":\"sesame sesame\"", "orderNo"},
		{"\"orderNo\":true", "orderNo"},
		{"\"subStatus\":\"sesame\"", "subStatus"},
		{"\"statusChangeTime\":\"2025-02-30 00:00:00\"", "statusChangeTime"},
		{"\"statusChangeTime\":20250530", "statusChangeTime"},
		{"\"courier\":\"{}\"", "courier"},
		{"\"courier\":[]", "courier"},
		{"\"courier\":{\"id\":\"sesame\\n\"}", "courier.id"},
		{"\"courier\":{\"id\":1.5}", "courier.id"},
		{"\"courier\":{\"id\":{}}", "courier.id"},
		{"\"drawback\":12.5", "drawback"},
		{"\"deductAmount\":\"1234567890123\"", "deductAmount"},
		{"\"token\":\"sesame sesame\"", "token"},
		{"\"pickupPassword\":\"12345678901234567\"", "pickupPassword"},
		{"\"abortReason\":\"sesame\\u0007\"", "abortReason"},
		{"\"abortReason\":\"\\u0085sesame\"", "abortReason"},
	};
	char body[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct event event;
		char expected[64];
		snprintf(body, sizeof(body), "{" MEMBERS ",%s}", cases[i].members);
		event = taken(slice_of(body));
		snprintf(expected, sizeof(expected), "%s is outside its grammar and left out",
			 cases[i].name);
		assert_string_equal(event.notes, expected);
		assert_string_equal(event.order_no, "");
		assert_string_equal(event.courier_id, "");
		assert_int_equal(event.sub_status, EVENT_SUB_ABSENT);
		assert_int_equal(event.occurred_from, EVENT_FROM_RECEIPT);
		assert_int_equal(event.occurred_ms, NOW_MS);
	}
}

static void test_an_unsigned_text_may_name_members(void **state)
{
	struct event event = taken(OBJECT("\"statusDesc\":\"the courier has the token\""));

	(void)state;
	assert_string_equal(event.notes, "");
}

static void test_time_more_than_ten_minutes_ahead_is_no_time(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct event event = taken(OBJECT("\"statusChangeTime\":\"2025-05-30 17:10:00\""));

	(void)state;
	assert_int_equal(event.occurred_ms, NOW_MS + EVENT_TIME_AHEAD_MS);
	assert_string_equal(event.notes, "");
	assert_int_equal(shansong_sign(slice_of(SECRET),
				       OBJECT("\"statusChangeTime\":\"2025-05-30 17:10:01\""),
				       SHANSONG_FLAT, NOW_MS, &body),
			 0);
	assert_int_equal(take(SIGNATURE_REQUIRED, BODY_JSON, buf_slice(&body), &event), 0);
	assert_int_equal(event.occurred_from, EVENT_FROM_RECEIPT);
	assert_int_equal(event.occurred_ms, NOW_MS);
	assert_non_null(strstr(event.notes, "statusChangeTime is more than ten minutes ahead"));
}

static void test_another_callback_event_is_kept_without_an_order(void **state)
{
	struct event event = taken(SLICE("{\"callbackEvent\":\"COURIER_EVENT\",\"x\":1}"));

	(void)state;
	assert_int_equal(event.kind, EVENT_OTHER);
	assert_string_equal(event.callback_event, "COURIER_EVENT");
	event = taken(SLICE("{\"callbackEvent\":\"courier event\",\"issOrderNo\":\"TDH1\"}"));
	assert_int_equal(event.kind, EVENT_OTHER);
	assert_string_equal(event.callback_event, "");
	assert_string_equal(event.iss_order_no, "TDH1");
	assert_non_null(strstr(event.notes, "callbackEvent"));
	event = taken(OBJECT("\"callbackEvent\":\"ORDER_STATUS_CALLBACK\""));
	assert_int_equal(event.kind, EVENT_ORDER);
	event = taken(OBJECT("\"callbackEvent\":\"\""));
	assert_int_equal(event.kind, EVENT_ORDER);
}

static void test_another_callback_event_must_be_authentic_too(void **state)
{
	struct event event;

	(void)state;
	assert_int_equal(take(SIGNATURE_REQUIRED, BODY_JSON,
			      SLICE("{\"callbackEvent\":\"COURIER_EVENT\"}"), &event),
			 -ERR_SIGN_MISSING);
}

static void test_escaped_names_and_values_mean_what_they_spell(void **state)
{
	struct event event = taken(SLICE("{\"\\u0069ssOrderNo\":\"TD\\u00481\",\"st\\u0061tus\":20,"
					 "\"courier\":{\"\\u0069d\":\"\\u0043\\/1\"}}"));

	(void)state;
	assert_string_equal(event.iss_order_no, "TDH1");
	assert_string_equal(event.courier_id, "C/1");
}

static void test_source_and_receipt_are_the_deliverys(void **state)
{
	struct endpoint endpoint = help_endpoint(SIGNATURE_IF_PRESENT);
	struct delivery delivery = help_delivery(OBJECT("\"subStatus\":1"), BODY_JSON);
	struct event event;

	(void)state;
	delivery.source = EVENT_READMIT;
	delivery.received_ms = 12345;
	assert_int_equal(take_delivery(&endpoint, delivery, &event), 0);
	assert_int_equal(event.source, EVENT_READMIT);
	assert_int_equal(event.received_ms, 12345);
}

static void test_replies_carry_their_status_in_the_body(void **state)
{
	const struct platform *platform = platform_shansong();
	static const int statuses[] = {200, 400, 401, 404, 405, 408, 411,
				       413, 414, 415, 431, 500, 503};

	(void)state;
	for (size_t i = 0; i < COUNT(statuses); i++) {
		struct json_object object;
		char status[8];
		snprintf(status, sizeof(status), "%d", statuses[i]);
		assert_int_equal(json_scan_object(slice_of(platform->reply(statuses[i])), &object),
				 0);
		assert_int_equal(object.n, 3);
		assert_true(slice_equal_string(json_find(&object, "status")->value, status));
		assert_int_equal(json_find(&object, "data")->type, JSON_NULL);
	}
	assert_string_equal(platform->reply(200), "{\"status\":200,\"msg\":\"\",\"data\":null}");
	assert_ptr_equal(platform->reply(777), platform->reply(500));
	assert_ptr_equal(platform->machine(), order_machine_v5());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sample_becomes_its_event),
		cmocka_unit_test(test_an_envelope_may_hold_members_nobody_knows),
		cmocka_unit_test(test_service_providers_envelope_has_an_access_token_for_the_shop),
		cmocka_unit_test(test_member_outside_the_list_leaves_a_signed_body_to_the_token),
		cmocka_unit_test(
			test_signed_timestamp_may_be_seconds_and_is_stale_after_ten_minutes),
		cmocka_unit_test(test_signature_off_looks_at_no_signature_but_needs_the_token),
		cmocka_unit_test(test_without_a_token_nothing_unsigned_is_taken_in_any_mode),
		cmocka_unit_test(test_a_null_sign_or_data_is_absent),
		cmocka_unit_test(test_order_numbers_as_json_numbers_are_taken_by_their_digits),
		cmocka_unit_test(test_status_is_at_most_three_digits),
		cmocka_unit_test(test_optional_member_outside_its_grammar_is_left_out_and_named),
		cmocka_unit_test(test_an_unsigned_text_may_name_members),
		cmocka_unit_test(test_time_more_than_ten_minutes_ahead_is_no_time),
		cmocka_unit_test(test_another_callback_event_is_kept_without_an_order),
		cmocka_unit_test(test_another_callback_event_must_be_authentic_too),
		cmocka_unit_test(test_escaped_names_and_values_mean_what_they_spell),
		cmocka_unit_test(test_source_and_receipt_are_the_deliverys),
		cmocka_unit_test(test_replies_carry_their_status_in_the_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
