/* When two deliveries are the same event: the digest of the normalised members. */
#include "shansong_help.h"

#define SEEN                                                                              \
	"\"issOrderNo\":\"TDH1\",\"orderNo\":\"7\",\"status\":30,\"drawback\":0,"         \
	"\"courier\":{\"id\":\"C1\",\"name\":\"派\",\"mobile\":\"1\",\"orderCount\":1}," \
	"\"statusDesc\":\"a\""

#define BODY(drawback, courier)                                                           \
	"{\"issOrderNo\":\"TDH1\",\"orderNo\":\"7\",\"status\":30,\"drawback\":" drawback \
	",\"courier\":{" courier "},\"statusDesc\":\"a\"}"

#define COURIER(id, name, mobile) \
	"\"id\":\"" id "\",\"name\":\"" name "\",\"mobile\":\"" mobile "\""

static struct event taken(const char *body)
{
	struct event event;
	int err = take(SIGNATURE_IF_PRESENT, BODY_JSON, slice_of(body), &event);

	if (err)
		fail_msg("%s: %s", body, err_key(err));
	return event;
}

static bool same(const char *a, const char *b)
{
	struct event one = taken(a);
	struct event other = taken(b);

	return digest_equal(one.content, other.content, sizeof(one.content));
}

static void test_what_does_not_count(void **state)
{
	static const char *const equal[] = {
		/* white space and order */
		" {\"statusDesc\" : \"a\",\n\"courier\":{\"mobile\":\"1\", "
		"\"id\":\"C1\",\t\"name\":\"派\"},"
		"\"drawback\":0,\"status\":30,\"orderNo\":\"7\",\"issOrderNo\":\"TDH1\"} ",
		/* number or string */
		"{\"issOrderNo\":\"TDH1\",\"orderNo\":7,\"status\":\"30\",\"drawback\":\"0\","
		"\"courier\":{\"id\":\"C1\",\"name\":\"派\",\"mobile\":1},\"statusDesc\":\"a\"}",
		/* one number in another spelling */
		"{\"issOrderNo\":\"TDH1\",\"orderNo\":\"7\",\"status\":\"030\",\"drawback\":\"-"
		"00\","
		"\"courier\":{\"id\":\"C1\",\"name\":\"派\",\"mobile\":\"1\"},\"statusDesc\":"
		"\"a\"}",
		/* null, "" or absent; of known and unknown members, and inside the courier */
		"{" SEEN
		",\"abortReason\":null,\"pickupPassword\":\"\",\"more\":null,\"new\":\"\"}",
		"{\"issOrderNo\":\"TDH1\",\"orderNo\":\"7\",\"status\":30,\"drawback\":0,"
		"\"courier\":{\"id\":\"C1\",\"name\":\"派\",\"mobile\":\"1\",\"x\":null,\"y\":\"\"}"
		","
		"\"statusDesc\":\"a\"}",
		/* the rest of the courier */
		"{\"issOrderNo\":\"TDH1\",\"orderNo\":\"7\",\"status\":30,\"drawback\":0,"
		"\"courier\":{\"id\":\"C1\",\"name\":\"派\",\"mobile\":\"1\",\"latitude\":\"39.9\","
		"\"deliveryProcessTrail\":[{\"a\":1}]},\"statusDesc\":\"a\"}",
		/* escapes */
		"{\"issOrderNo\":\"TDH1\",\"orderNo\":\"7\",\"status\":30,\"drawback\":0,"
		"\"courier\":{\"id\":\"\\u00431\",\"name\":\"\\u6d3e\",\"mobile\":\"1\"},"
		"\"statusDesc\":\"\\u0061\"}",
		/* a timestamp that nobody signed */
		"{" SEEN ",\"timestamp\":\"1748595600000\"}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(equal); i++) {
		if (!same("{" SEEN "}", equal[i]))
			fail_msg("not the same: %s", equal[i]);
	}
}

static void test_what_counts(void **state)
{
	static const char *const different[] = {
		"{" SEEN ",\"abortReason\":\"x\"}",
		"{" SEEN ",\"drawbacks\":0}",
		"{" SEEN ",\"more\":1}",
		"{" SEEN ",\"more\":2}",
		"{" SEEN ",\"more\":\"1x\"}",
		"{" SEEN ",\"more\":true}",
		"{" SEEN ",\"more\":\"true\"}",
		"{" SEEN ",\"more\":[]}",
		"{" SEEN ",\"more\":\"[]\"}",
		"{" SEEN ",\"more\":{\"a\":\" \"}}",
		"{" SEEN ",\"more\":{\"a\":\"\"}}",
		"{" SEEN ",\"subStatus\":1}",
		"{" SEEN ",\"subStatus\":1.0}",
		"{" SEEN ",\"subStatus\":true}",
		"{" SEEN ",\"subStatus\":\"00x\"}",
		"{" SEEN ",\"subStatus\":\"0x\"}",
		"{" SEEN ",\"subStatus\":[]}",
		"{" SEEN ",\"id\":\"C1\"}",
		"{" SEEN ",\"token\":\"abc\"}",
		"{" SEEN ",\"clientId\":\"clientId\"}",
		BODY("1", COURIER("C1", "派", "1")),
		BODY("-1", COURIER("C1", "派", "1")),
		BODY("0", COURIER("C2", "派", "1")),
		BODY("0", COURIER("C1", "派单", "1")),
		BODY("0", "\"id\":\"C1\",\"name\":\"派\""),
	};
	struct event events[COUNT(different) + 1];

	(void)state;
	events[0] = taken("{" SEEN "}");
	for (size_t i = 0; i < COUNT(different); i++)
		events[i + 1] = taken(different[i]);
	for (size_t i = 0; i < COUNT(events); i++) {
		for (size_t j = 0; j < i; j++) {
			if (digest_equal(events[i].content, events[j].content, DIGEST_SHA256_BYTES))
				fail_msg("the same: %s and %zu", different[i - 1], j);
		}
	}
}

static void test_no_two_lists_of_members_are_hashed_as_one_string(void **state)
{
	(void)state;
	assert_false(same("{\"issOrderNo\":\"a\",\"status\":20,\"x\":\"1y2\"}",
			  "{\"issOrderNo\":\"a\",\"status\":20,\"x\":\"1\",\"y\":\"2\"}"));
	assert_false(same("{\"issOrderNo\":\"a\",\"status\":20,\"xy\":\"1\"}",
			  "{\"issOrderNo\":\"a\",\"status\":20,\"x\":\"y1\"}"));
	assert_false(same("{\"issOrderNo\":\"a\",\"status\":20,\"courier\":{\"id\":\"1\"}}",
			  "{\"issOrderNo\":\"a\",\"status\":20,\"id\":\"1\"}"));
	assert_false(same("{\"issOrderNo\":\"a\",\"status\":20,\"abortReason\":\"b\"}",
			  "{\"issOrderNo\":\"a\",\"status\":20,\"statusDesc\":\"b\"}"));
}

static void test_layout_inside_unknown_members_does_not_count(void **state)
{
	(void)state;
	assert_true(
		same("{\"issOrderNo\":\"a\",\"status\":20,\"x\":[1,{\"a b\":\"\\\" c\"}],\"w\":1}",
		     "{\"w\":\"1\",\"issOrderNo\":\"a\",\"status\":20,"
		     "\"x\": [ 1,\n\t{ \"a b\" : \"\\\" c\" } ] }"));
	assert_false(same("{\"issOrderNo\":\"a\",\"status\":20,\"x\":[\"a b\"]}",
			  "{\"issOrderNo\":\"a\",\"status\":20,\"x\":[\"ab\"]}"));
}

static void test_signing_anew_and_the_envelope_change_nothing(void **state)
{
	BUF_AUTO struct buf plain = BUF_INIT(1 << 16);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < HELP_SAMPLES; i++) {
		help_read(help_samples[i], &plain);
		for (int at = 0; at < 2; at++) {
			for (int form = 0; form < SHANSONG_FORM_MAX; form++) {
				buf_reset(&body);
				assert_int_equal(shansong_sign(slice_of(SECRET), buf_slice(&plain),
							       (enum shansong_form)form,
							       NOW_MS - at * 60000, &body),
						 0);
				assert_true(same(plain.data, body.data));
			}
		}
	}
}

static void test_a_long_escaped_name_of_a_courier_still_counts(void **state)
{
	BUF_AUTO struct buf one = BUF_INIT(1 << 16);
	BUF_AUTO struct buf other = BUF_INIT(1 << 16);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct buf *body = i ? &other : &one;
		buf_add_string(body,
			       "{\"issOrderNo\":\"a\",\"status\":20,\"courier\":{\"name\":\"");
		for (int j = 0; j < 600; j++)
			buf_add_string(body, "\\u6d3e");
		buf_addf(body, "%d\"}}", i);
	}
	assert_true(same(one.data, one.data));
	assert_false(same(one.data, other.data));
}

static void test_of_another_event_every_member_counts(void **state)
{
	(void)state;
	assert_true(
		same("{\"callbackEvent\":\"X\",\"a\":1}", "{\"a\":\"1\",\"callbackEvent\":\"X\"}"));
	assert_false(
		same("{\"callbackEvent\":\"X\",\"a\":1}", "{\"callbackEvent\":\"X\",\"a\":2}"));
	assert_false(
		same("{\"callbackEvent\":\"X\",\"a\":1}", "{\"callbackEvent\":\"Y\",\"a\":1}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_does_not_count),
		cmocka_unit_test(test_what_counts),
		cmocka_unit_test(test_no_two_lists_of_members_are_hashed_as_one_string),
		cmocka_unit_test(test_layout_inside_unknown_members_does_not_count),
		cmocka_unit_test(test_signing_anew_and_the_envelope_change_nothing),
		cmocka_unit_test(test_a_long_escaped_name_of_a_courier_still_counts),
		cmocka_unit_test(test_of_another_event_every_member_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
