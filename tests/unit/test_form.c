/* Form bodies: strict decoding, and the same events as from JSON. */
#include "shansong_help.h"

#include "../../src/platform/shansong_private.h"

static int decode(struct slice body, struct buf *scratch, struct json_object *ret)
{
	buf_reset(scratch);
	assert_int_equal(buf_reserve(scratch, 2 * body.len + 1), 0);
	return shansong_form(body, scratch, ret);
}

static int decode_error(struct slice body)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 16);
	struct json_object object;

	return decode(body, &scratch, &object);
}

static void test_names_and_values_are_decoded(void **state)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 16);
	struct json_object object;

	(void)state;
	assert_int_equal(decode(SLICE("a=1&b=x+y%2bz&%63=%E6%b4%BE&d=&e=f=g"), &scratch, &object),
			 0);
	assert_int_equal(object.n, 5);
	assert_true(slice_equal_string(json_find(&object, "a")->value, "1"));
	assert_true(slice_equal_string(json_find(&object, "b")->value, "x y+z"));
	assert_true(slice_equal_string(json_find(&object, "c")->value, "派"));
	assert_true(slice_equal_string(json_find(&object, "d")->value, ""));
	assert_true(slice_equal_string(json_find(&object, "e")->value, "f=g"));
	for (size_t i = 0; i < object.n; i++)
		assert_int_equal(object.members[i].type, JSON_STRING);
}

static void test_an_empty_body_has_no_members(void **state)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 16);
	struct json_object object;

	(void)state;
	assert_int_equal(decode(SLICE(""), &scratch, &object), 0);
	assert_int_equal(object.n, 0);
}

static void test_malformed_encodings_are_refused(void **state)
{
	static const char *const wrong[] = {
		"a",       "=1",    "&",      "a=1&",  "&a=1",   "a=1&&b=2",  "a=%",   "a=%4",
		"a=%4g",   "a=%g4", "%=1",    "a=%+1", "a=%%41", "a=1;b=2&c", "a=b c", "a=1\n",
		"a=1\r\n", "a=\t1", "a=\x7f", "a b=1", "%4=1",   "a=1&b=%e"};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(decode_error(slice_of(wrong[i])), -ERR_FORM_SYNTAX);
}

/* Under HMAC the bytes are signed and their type is not. */
static void test_a_json_object_is_never_read_as_a_form(void **state)
{
	static const struct slice body =
		SLICE("{\"issOrderNo\":\"TDH1\",\"status\":20,"
		      "\"statusDesc\":\"=&issOrderNo=TDH1&status=60&a=\"}");
	BUF_AUTO struct buf encoded = BUF_INIT(1 << 16);
	struct event event;

	(void)state;
	assert_int_equal(take(SIGNATURE_OFF, BODY_JSON, body, &event), 0);
	assert_int_equal(event.status, 20);
	assert_int_equal(take(SIGNATURE_OFF, BODY_FORM, body, &event), -ERR_FORM_SYNTAX);
	/* Encoded it is a name like any other, and no JSON. */
	assert_int_equal(buf_addf(&encoded, "%%7B%.*s", (int)body.len - 1, body.at + 1), 0);
	assert_int_equal(take(SIGNATURE_OFF, BODY_FORM, buf_slice(&encoded), &event), 0);
	assert_int_equal(take(SIGNATURE_OFF, BODY_JSON, buf_slice(&encoded), &event),
			 -ERR_JSON_SYNTAX);
}

static void test_nul_is_refused_encoded_and_raw(void **state)
{
	(void)state;
	assert_int_equal(decode_error(SLICE("a=1%002")), -ERR_JSON_NUL);
	assert_int_equal(decode_error(SLICE("a%00=1")), -ERR_JSON_NUL);
	assert_int_equal(decode_error(SLICE("a=1\0002")), -ERR_JSON_NUL);
}

static void test_what_decodes_to_no_utf8_is_refused(void **state)
{
	static const char *const wrong[] = {"a=%80",    "a=%c0%80",       "a=%ed%a0%80",
					    "a=%E6%B4", "a=%f4%90%80%80", "%ff=1",
					    "a=\xff",   "a=%E6&b=%B4%BE"};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(decode_error(slice_of(wrong[i])), -ERR_JSON_UTF8);
}

static void test_names_that_differ_only_in_case_are_refused(void **state)
{
	(void)state;
	assert_int_equal(decode_error(SLICE("status=20&status=60")), -ERR_FORM_KEY_TWICE);
	assert_int_equal(decode_error(SLICE("status=20&STATUS=60")), -ERR_FORM_KEY_TWICE);
	assert_int_equal(decode_error(SLICE("status=20&%73tatus=60")), -ERR_FORM_KEY_TWICE);
}

static void test_members_are_bounded(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (int i = 0; i < JSON_MEMBERS_MAX; i++)
		buf_addf(&body, "%sm%d=1", i ? "&" : "", i);
	assert_int_equal(decode_error(buf_slice(&body)), 0);
	buf_add_string(&body, "&more=1");
	assert_int_equal(decode_error(buf_slice(&body)), -ERR_JSON_MEMBERS);
}

/* The courier's object as a string, everything else as its text: the pairs of a sample. */
static void sample_pairs(struct slice sample, struct json_object *object, struct pairs *ret)
{
	assert_int_equal(json_scan_object(sample, object), 0);
	ret->n = 0;
	for (size_t i = 0; i < object->n; i++) {
		static char keys[JSON_MEMBERS_MAX][32];
		assert_int_equal(slice_copy(object->members[i].key, keys[i], sizeof(keys[i])), 0);
		ret->list[ret->n++] = (struct pair){keys[i], object->members[i].value, false};
	}
}

static void test_a_form_makes_the_event_that_json_makes(void **state)
{
	BUF_AUTO struct buf file = BUF_INIT(1 << 16);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < HELP_SAMPLES; i++) {
		struct json_object object;
		struct pairs pairs;
		struct event from_json;
		struct event from_form;
		help_read(help_samples[i], &file);
		sample_pairs(buf_slice(&file), &object, &pairs);
		assert_int_equal(
			take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&file), &from_json), 0);
		assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_FORM,
				      body_form(&pairs, NULL, &body), &from_form),
				 0);
		assert_memory_equal(&from_json, &from_form, sizeof(from_json));
		assert_string_equal(from_form.notes, "");
	}
}

static void test_a_signed_form_is_verified_over_the_decoded_values(void **state)
{
	struct pairs pairs = {{S("issOrderNo", "TDH1"), S("status", "40"),
			       S("statusDesc", "闪送中 +%"), S("timestamp", NOW_TEXT),
			       S("courier", " {\"id\" : \"C1\"} ")},
			      5};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];
	struct event event;

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	assert_int_equal(
		take(SIGNATURE_REQUIRED, BODY_FORM, body_form(&pairs, sign, &body), &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	assert_string_equal(event.courier_id, "C1");
	pair_set(&pairs, (struct pair)S("status", "50"));
	assert_int_equal(
		take(SIGNATURE_REQUIRED, BODY_FORM, body_form(&pairs, sign, &body), &event),
		-ERR_SIGN_WRONG);
}

static void test_an_envelope_may_come_as_a_form(void **state)
{
	struct pairs pairs = {{S("clientId", "clientId"), S("shopId", "shopId"),
			       S("timestamp", NOW_TEXT),
			       S("data", "{\"issOrderNo\":\"TDH1\",\"status\":20,\"more\":[1],"
					 "\"courier\":{\"id\":\"C1\"}}")},
			      4};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	char sign[33];
	struct event event;

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	assert_int_equal(
		take(SIGNATURE_REQUIRED, BODY_FORM, body_form(&pairs, sign, &body), &event), 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
	/* The object inside is JSON again: its courier is an object. */
	assert_string_equal(event.courier_id, "C1");
	assert_string_equal(event.notes, "");
	assert_string_equal(event.iss_order_no, "TDH1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_values_are_decoded),
		cmocka_unit_test(test_an_empty_body_has_no_members),
		cmocka_unit_test(test_malformed_encodings_are_refused),
		cmocka_unit_test(test_a_json_object_is_never_read_as_a_form),
		cmocka_unit_test(test_nul_is_refused_encoded_and_raw),
		cmocka_unit_test(test_what_decodes_to_no_utf8_is_refused),
		cmocka_unit_test(test_names_that_differ_only_in_case_are_refused),
		cmocka_unit_test(test_members_are_bounded),
		cmocka_unit_test(test_a_form_makes_the_event_that_json_makes),
		cmocka_unit_test(test_a_signed_form_is_verified_over_the_decoded_values),
		cmocka_unit_test(test_an_envelope_may_come_as_a_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
