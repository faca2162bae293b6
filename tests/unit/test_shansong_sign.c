/* The signing side: what it makes is taken, is what the rule says, and nothing else changes. */
#include "shansong_help.h"

static void signed_sample(const char *name, enum shansong_form form, int64_t timestamp_ms,
			  struct buf *ret)
{
	BUF_AUTO struct buf file = BUF_INIT(1 << 16);

	help_read(name, &file);
	buf_reset(ret);
	assert_int_equal(shansong_sign(slice_of(SECRET), buf_slice(&file), form, timestamp_ms, ret),
			 0);
}

static void test_signed_samples_are_taken_as_signed_in_both_forms(void **state)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	BUF_AUTO struct buf plain = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < HELP_SAMPLES; i++) {
		for (int form = 0; form < SHANSONG_FORM_MAX; form++) {
			struct event event;
			struct event unsigned_event;
			help_read(help_samples[i], &plain);
			assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&plain),
					      &unsigned_event),
					 0);
			signed_sample(help_samples[i], (enum shansong_form)form, NOW_MS, &body);
			assert_int_equal(
				take(SIGNATURE_REQUIRED, BODY_JSON, buf_slice(&body), &event), 0);
			assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
			event.auth = EVENT_AUTH_TOKEN;
			assert_memory_equal(&event, &unsigned_event, sizeof(event));
		}
	}
}

static void test_signing_replaces_an_old_timestamp_and_sign(void **state)
{
	BUF_AUTO struct buf once = BUF_INIT(1 << 16);
	BUF_AUTO struct buf twice = BUF_INIT(1 << 16);
	BUF_AUTO struct buf expected = BUF_INIT(1 << 16);

	(void)state;
	signed_sample(help_samples[1], SHANSONG_FLAT, 1, &once);
	signed_sample(help_samples[1], SHANSONG_FLAT, NOW_MS, &expected);
	assert_int_equal(
		shansong_sign(slice_of(SECRET), buf_slice(&once), SHANSONG_FLAT, NOW_MS, &twice),
		0);
	assert_string_equal(twice.data, expected.data);
}

static void test_signing_makes_what_the_published_rule_makes(void **state)
{
	struct pairs pairs = {{S("clientId", "clientId"), N("drawback", "0"),
			       S("issOrderNo", "TDH1"), N("status", "20"),
			       S("statusDesc", "派\"单"), S("timestamp", NOW_TEXT)},
			      6};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	BUF_AUTO struct buf ours = BUF_INIT(1 << 16);
	char sign[33];

	(void)state;
	naive_sign(SECRET, &pairs, sign);
	body_json(&pairs, sign, &body);
	assert_int_equal(
		shansong_sign(slice_of(SECRET), buf_slice(&body), SHANSONG_FLAT, NOW_MS, &ours), 0);
	assert_string_equal(ours.data, body.data);
}

static void test_signing_refuses_what_the_flat_form_cannot_carry(void **state)
{
	static const struct {
		const char *object;
		enum shansong_form form;
		int err;
	} cases[] = {
		{"{\"status\":20,\"more\":1}", SHANSONG_FLAT, -ERR_SIGN_MEMBER},
		{"{\"status\":20,\"data\":\"x\"}", SHANSONG_FLAT, -ERR_SIGN_MEMBER},
		{"{\"status\":2000}", SHANSONG_FLAT, -ERR_SIGN_GRAMMAR},
		{"{\"orderNo\":\"a-token\"}", SHANSONG_FLAT, -ERR_SIGN_GRAMMAR},
		{"{\"status\":20", SHANSONG_FLAT, -ERR_JSON_SYNTAX},
		{"{\"status\":20}", SHANSONG_ENVELOPE, -ERR_SIGN_GRAMMAR},
	};
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	buf_add_string(&body, "kept");
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(shansong_sign(slice_of(SECRET), slice_of(cases[i].object),
					       cases[i].form, NOW_MS, &body),
				 cases[i].err);
		assert_string_equal(body.data, "kept");
		assert_int_equal(body.len, 4);
	}
	assert_int_equal(
		shansong_sign(slice_of(SECRET), SLICE("{}"), SHANSONG_FLAT, 10000000000000, &body),
		-ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signed_samples_are_taken_as_signed_in_both_forms),
		cmocka_unit_test(test_signing_replaces_an_old_timestamp_and_sign),
		cmocka_unit_test(test_signing_makes_what_the_published_rule_makes),
		cmocka_unit_test(test_signing_refuses_what_the_flat_form_cannot_carry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
