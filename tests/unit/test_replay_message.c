/* What is sent for a stored event: the stored bytes, or the same callback signed anew. */
#include "shansong_help.h"

#include "orderhook/replay.h"

#define LATER_MS (NOW_MS + 3600 * 1000)

static const char head[] = "POST /callback/shansong HTTP/1.1\r\n"
			   "Host: hooks.example\r\n"
			   "Content-Type: text/plain\r\n"
			   "content-type:  application/json; charset=utf-8 \r\n"
			   "X-Forwarded-For: 192.0.2.1\r\n"
			   "no colon in this one\r\n"
			   "web: hook\r\n"
			   "Webhook-Id: msg-1\r\n"
			   "webhook-timestamp: 1748595600\n"
			   "webhook-signature: v1,AAAA";

static void assert_text(const struct buf *buf, const char *text)
{
	assert_true(slice_equal_string(buf_slice(buf), text));
}

static void test_stored_bytes_go_out_as_they_came_with_what_the_receiver_reads(void **state)
{
	struct replay_message message;
	/* Bytes, and not text. */
	const struct slice body = SLICE("{\"a\":\"\xff\0\r\n\"} ");

	(void)state;
	replay_message_init(&message);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(replay_message_stored(body, slice_of(head), &message), 0);
		assert_true(slice_equal(buf_slice(&message.body), body));
		assert_text(&message.content_type, "application/json; charset=utf-8");
		assert_text(&message.headers, "Webhook-Id: msg-1\nwebhook-timestamp: 1748595600\n"
					      "webhook-signature: v1,AAAA\n");
	}
	replay_message_release(&message);
}

static void test_without_a_head_it_is_json(void **state)
{
	struct replay_message message;

	(void)state;
	replay_message_init(&message);
	assert_int_equal(replay_message_stored(SLICE("{}"), SLICE(""), &message), 0);
	assert_text(&message.content_type, "application/json");
	assert_int_equal(message.headers.len, 0);
	replay_message_release(&message);
	replay_message_release(NULL);
}

/* Signs it anew; what the endpoint makes of it an hour later. */
static int resign(struct slice body, struct replay_message *message, struct event *ret)
{
	struct endpoint endpoint = help_endpoint(SIGNATURE_REQUIRED);
	int err = replay_message_signed(body, slice_of(head), slice_of(SECRET), LATER_MS, message);

	if (err)
		return err;
	struct delivery delivery = help_delivery(buf_slice(&message->body), BODY_JSON);
	delivery.received_ms = LATER_MS;
	return take_delivery(&endpoint, delivery, ret);
}

static void test_a_callback_signed_anew_is_the_same_event_today(void **state)
{
	BUF_AUTO struct buf plain = BUF_INIT(1 << 16);
	struct replay_message message;

	(void)state;
	replay_message_init(&message);
	for (int i = 0; i < HELP_SAMPLES * SHANSONG_FORM_MAX; i++) {
		BUF_AUTO struct buf body = BUF_INIT(1 << 16);
		struct event original;
		struct event event;
		help_read(help_samples[i / SHANSONG_FORM_MAX], &plain);
		assert_int_equal(shansong_sign(slice_of(SECRET), buf_slice(&plain),
					       (enum shansong_form)(i % SHANSONG_FORM_MAX), NOW_MS,
					       &body),
				 0);
		assert_int_equal(take(SIGNATURE_REQUIRED, BODY_JSON, buf_slice(&body), &original),
				 0);
		assert_int_equal(resign(buf_slice(&body), &message, &event), 0);
		assert_false(event.stale);
		assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
		assert_memory_equal(event.content, original.content, sizeof(event.content));
		/* They sign the old bytes. */
		assert_int_equal(message.headers.len, 0);
		assert_text(&message.content_type, "application/json; charset=utf-8");
	}
	replay_message_release(&message);
}

static void test_what_cannot_be_signed_is_refused(void **state)
{
	static const struct {
		const char *body;
		int err;
	} cases[] = {
		{"nonsense", -ERR_JSON_SYNTAX},
		{"{\"data\":{\"issOrderNo\":\"A\"}}", -ERR_JSON_SYNTAX},
		{"{\"data\":\"nonsense\"}", -ERR_JSON_SYNTAX},
		{"{\"data\":\"{\\\"issOrderNo\\\":\\\"A\\\"}\"}", -ERR_SIGN_GRAMMAR},
		{"{\"issOrderNo\":\"A\",\"status\":20,\"more\":1}", -ERR_SIGN_MEMBER},
		{"{\"issOrderNo\":\"a courier\",\"status\":20}", -ERR_SIGN_GRAMMAR},
	};
	struct replay_message message;
	struct event event;

	(void)state;
	replay_message_init(&message);
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(resign(slice_of(cases[i].body), &message, &event), cases[i].err);
	replay_message_release(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_stored_bytes_go_out_as_they_came_with_what_the_receiver_reads),
		cmocka_unit_test(test_without_a_head_it_is_json),
		cmocka_unit_test(test_a_callback_signed_anew_is_the_same_event_today),
		cmocka_unit_test(test_what_cannot_be_signed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
