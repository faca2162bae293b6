/* The closed list's own shape, and random damage to signed bodies. */
#include "forgery_help.h"

#include "../../src/platform/shansong_private.h"

/* On this rests the argument at the head of shansong_members.c. */
static void test_no_name_holds_another_but_at_its_beginning(void **state)
{
	(void)state;
	for (int i = 0; i < SHANSONG_KEYS; i++) {
		const char *name = shansong_name((enum shansong_key)i);
		if (i > 0)
			assert_true(strcmp(shansong_name((enum shansong_key)(i - 1)), name) < 0);
		for (int j = 0; j < SHANSONG_KEYS; j++) {
			const char *other = shansong_name((enum shansong_key)j);
			const char *at = strstr(name, other);
			if (i == j || !at)
				continue;
			assert_ptr_equal(at, name);
			assert_int_equal(shansong_grammar((enum shansong_key)j), GRAMMAR_SMALL);
		}
	}
}

static void test_the_names_looked_for_are_those_that_can_be_signed(void **state)
{
	const int own = KEY_ORDER_NO;

	(void)state;
	/* `sign` is in no signed string, so it may stand in an order number; names before its own
	 * cannot follow it. */
	assert_false(shansong_holds_name(own, SLICE("design-1"), SLICE("")));
	assert_false(shansong_holds_name(own, SLICE("orderNo-courier"), SLICE("")));
	assert_true(shansong_holds_name(own, SLICE("a-token"), SLICE("")));
	assert_true(shansong_holds_name(-1, SLICE("all data"), SLICE("")));
	assert_true(shansong_holds_name(-1, SLICE("x courier"), SLICE("")));
	/* Half of a name counts where the next key makes it whole, and not else. */
	assert_true(shansong_holds_name(-1, SLICE("clientI"), SLICE("drawback")));
	assert_false(shansong_holds_name(-1, SLICE("clientI"), SLICE("issOrderNo")));
	assert_false(shansong_holds_name(-1, SLICE("clientI"), SLICE("")));
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void mutate(struct buf *body, uint32_t *random)
{
	static const char alphabet[] = "\"{}[],:\\ 0123456789aeisutSTz&=%+.-_\n\x80\xe6";
	size_t at = next_random(random) % body->len;
	size_t len = 1 + next_random(random) % 24;

	if (len > body->len - at)
		len = body->len - at;
	switch (next_random(random) % 5) {
	case 0:
		body->data[at] ^= (char)(1 << next_random(random) % 8);
		break;
	case 1:
		body->data[at] = alphabet[next_random(random) % (sizeof(alphabet) - 1)];
		break;
	case 2:
		memmove(body->data + at, body->data + at + len, body->len - at - len);
		body->len -= len;
		break;
	case 3: /* a piece of the body once more, elsewhere */
		assert_int_equal(buf_reserve(body, body->len + len), 0);
		memmove(body->data + at + len, body->data + at, body->len - at);
		memmove(body->data + at, body->data + next_random(random) % (body->len - len), len);
		body->len += len;
		break;
	default: /* two pieces change places */
		for (size_t i = 0; i < len; i++) {
			size_t other = (at + len + i) % body->len;
			char swap = body->data[at + i];
			body->data[at + i] = body->data[other];
			body->data[other] = swap;
		}
	}
}

static void test_mutations_are_signed_only_where_they_say_the_same(void **state)
{
	uint32_t random = 2463534242;
	BUF_AUTO struct buf plain = BUF_INIT(1 << 16);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	int same = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct event event;
		struct event original;
		enum shansong_form form = (enum shansong_form)(i % SHANSONG_FORM_MAX);
		if (i % 100 == 0)
			help_read(help_samples[i / 100 % HELP_SAMPLES], &plain);
		buf_reset(&body);
		assert_int_equal(
			shansong_sign(slice_of(SECRET), buf_slice(&plain), form, NOW_MS, &body), 0);
		assert_int_equal(take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&body), &original),
				 0);
		for (uint32_t n = 1 + next_random(&random) % 2; n > 0 && body.len; n--)
			mutate(&body, &random);
		if (take(SIGNATURE_IF_PRESENT, BODY_JSON, buf_slice(&body), &event) ||
		    event.auth != EVENT_AUTH_SIGNED)
			continue;
		same++;
		if (memcmp(&event, &original, sizeof(event)) != 0)
			fail_msg("taken as signed: %.*s", SLICE_ARG(buf_slice(&body)));
	}
	/* White space and order can change: were none of them taken, nothing would have been tried.
	 */
	assert_true(same > 0);
}

/* Explaining runs the same functions: what it is told must not depend on its being asked. */
static void test_a_trace_changes_no_decision(void **state)
{
	static const struct endpoint *const none[] = {NULL};
	uint32_t random = 88675123;
	BUF_AUTO struct buf plain = BUF_INIT(1 << 16);
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 20);
	struct endpoint endpoint = help_endpoint(SIGNATURE_IF_PRESENT);
	struct sign_matches matches;
	int refused = 0;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		struct trace trace = {.n_params = 0};
		struct delivery delivery;
		struct event event;
		struct event traced;
		int said = 0;
		help_read(help_samples[i % HELP_SAMPLES], &plain);
		buf_reset(&body);
		assert_int_equal(shansong_sign(slice_of(SECRET), buf_slice(&plain),
					       (enum shansong_form)(i / 7 % SHANSONG_FORM_MAX),
					       NOW_MS, &body),
				 0);
		mutate(&body, &random);
		delivery = help_delivery(buf_slice(&body), BODY_JSON);
		delivery.token_ok = i % 2;
		int err = take_delivery(&endpoint, delivery, &event);
		delivery.trace = &trace;
		assert_int_equal(take_delivery(&endpoint, delivery, &traced), err);
		assert_memory_equal(&event, &traced, sizeof(event));
		for (int step = 0; step < TRACE_STEP_MAX; step++) {
			if (trace.lines[step].said && trace.lines[step].err)
				said = trace.lines[step].err;
		}
		/* The line that refuses is the last one with an error, and has the same. */
		assert_int_equal(said, err);
		refused += err != 0;
		shansong_sign_matches(&endpoint, none, 0, &delivery, &scratch, &matches);
		assert_true(matches.n <= SIGN_MATCHES_MAX && matches.all_tried);
	}
	assert_in_range(refused, 1, 3999);
}

static void test_json_is_written_anew_as_other_programs_would(void **state)
{
	static const struct {
		unsigned style;
		const char *text;
	} rows[] = {
		{0, "{\"a\":[1,\"\xe6\xb5\x8b/\xf0\x9f\x9a\xb2\"],\"b\":{}}"},
		{RESTYLE_SPACED, "{\"a\": [1, \"\xe6\xb5\x8b/\xf0\x9f\x9a\xb2\"], \"b\": {}}"},
		{RESTYLE_ASCII, "{\"a\":[1,\"\\u6d4b/\\ud83d\\udeb2\"],\"b\":{}}"},
		{RESTYLE_SLASH, "{\"a\":[1,\"\xe6\xb5\x8b\\/\xf0\x9f\x9a\xb2\"],\"b\":{}}"},
		{RESTYLE_MAX - 1, "{\"a\": [1, \"\\u6d4b\\/\\ud83d\\udeb2\"], \"b\": {}}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t j = 0; j < COUNT(rows); j++) {
			BUF_AUTO struct buf out = BUF_INIT(1024);
			assert_int_equal(
				shansong_restyle(slice_of(rows[j].text), rows[i].style, &out), 0);
			assert_string_equal(out.data, rows[i].text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_name_holds_another_but_at_its_beginning),
		cmocka_unit_test(test_the_names_looked_for_are_those_that_can_be_signed),
		cmocka_unit_test(test_mutations_are_signed_only_where_they_say_the_same),
		cmocka_unit_test(test_a_trace_changes_no_decision),
		cmocka_unit_test(test_json_is_written_anew_as_other_programs_would),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
