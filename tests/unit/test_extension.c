/* MD5's length extension, carried out: a sign for more than was signed, made without the secret. */
#include "forgery_help.h"

/* The sign of secret‖M‖padding‖addition from the sign of secret‖M, without the secret; glue gets
 * M‖padding. */
static void extend(const struct pairs *known, const char *known_sign, const char *addition,
		   struct buf *glue, char sign[33])
{
	uint8_t padding[72];
	size_t secret_len = strlen(SECRET);
	size_t len;

	buf_reset(glue);
	naive_string(known, glue);
	len = md5_padding(secret_len + glue->len, padding);
	assert_int_equal(buf_add(glue, padding, len), 0);
	assert_int_equal((secret_len + glue->len) % 64, 0);
	md5_finish(md5_resume(known_sign, secret_len + glue->len), addition, strlen(addition),
		   sign);
}

static void test_length_extension_into_a_new_order_is_refused(void **state)
{
	BUF_AUTO struct buf glue = BUF_INIT(1 << 16);
	char known_sign[33];
	char sign[33];
	struct pairs forged;

	(void)state;
	naive_sign(SECRET, &honest, known_sign);
	extend(&honest, known_sign, "issOrderNoTDH1status60timestamp" NOW_TEXT, &glue, sign);
	/* The whole old string becomes the value of its first key. */
	forged = (struct pairs){{{"clientId",
				  {glue.data + strlen("clientId"), glue.len - strlen("clientId")},
				  false},
				 S("issOrderNo", "TDH1"),
				 N("status", "60"),
				 S("timestamp", NOW_TEXT)},
				4};
	assert_forgery(&forged, sign);
}

static void test_length_extension_of_the_last_member_is_refused(void **state)
{
	BUF_AUTO struct buf glue = BUF_INIT(1 << 16);
	char known_sign[33];
	char sign[33];
	struct pairs forged = honest;
	const char *token;

	(void)state;
	naive_sign(SECRET, &honest, known_sign);
	extend(&honest, known_sign, "and more", &glue, sign);
	buf_add_string(&glue, "and more");
	token = slice_find(buf_slice(&glue), SLICE("token"));
	pair_set(&forged, (struct pair){"token",
					{token + strlen("token"),
					 (size_t)(glue.data + glue.len - token) - strlen("token")},
					false});
	assert_forgery(&forged, sign);
}

static void test_length_extension_inside_an_envelope_is_refused(void **state)
{
	struct pairs known = {{S("clientId", "clientId"), S("data", "{\"a\":1}"),
			       S("shopId", "shopId"), S("timestamp", NOW_TEXT)},
			      4};
	static const char addition[] = "data{\"issOrderNo\":\"TDH1\",\"status\":60}shopIdshopId"
				       "timestamp" NOW_TEXT;
	BUF_AUTO struct buf glue = BUF_INIT(1 << 16);
	char known_sign[33];
	char sign[33];
	struct pairs forged;

	(void)state;
	naive_sign(SECRET, &known, known_sign);
	extend(&known, known_sign, addition, &glue, sign);
	forged = (struct pairs){{{"clientId",
				  {glue.data + strlen("clientId"), glue.len - strlen("clientId")},
				  false},
				 S("data", "{\"issOrderNo\":\"TDH1\",\"status\":60}"),
				 S("shopId", "shopId"),
				 S("timestamp", NOW_TEXT)},
				4};
	assert_forgery(&forged, sign);
	pair_set(&forged, (struct pair)S("clientId", "clientId"));
	assert_false(naive_accepts(SECRET, &forged, sign));
}

static void test_length_extension_is_refused_at_every_length(void **state)
{
	BUF_AUTO struct buf glue = BUF_INIT(1 << 16);
	char pad[65] = "";

	(void)state;
	/* So that the padding falls on every place in a block. */
	for (int i = 0; i < 64; i++) {
		struct pairs known = {
			{S("issOrderNo", "TDH1"), N("status", "20"), S("timestamp", NOW_TEXT)}, 3};
		struct pairs forged;
		char known_sign[33];
		char sign[33];
		pad[i] = 'a';
		pair_set(&known, (struct pair){"token", slice_of(pad), false});
		naive_sign(SECRET, &known, known_sign);
		extend(&known, known_sign, "x", &glue, sign);
		buf_add_string(&glue, "x");
		forged = known;
		const char *token = slice_find(buf_slice(&glue), SLICE("token"));
		pair_set(&forged,
			 (struct pair){"token",
				       {token + strlen("token"),
					(size_t)(glue.data + glue.len - token) - strlen("token")},
				       false});
		assert_forgery(&forged, sign);
	}
}

static void test_padding_bytes_are_refused_raw_and_escaped(void **state)
{
	static const struct {
		enum body_type type;
		struct slice body;
	} cases[] = {
		{BODY_JSON, SLICE("{\"issOrderNo\":\"a\",\"status\":20,\"token\":\"x\0\"}")},
		{BODY_JSON, SLICE("{\"issOrderNo\":\"a\",\"status\":20,\"token\":\"x\\u0000\"}")},
		{BODY_JSON, SLICE("{\"issOrderNo\":\"a\",\"status\":20,\"token\":\"x\x80\"}")},
		{BODY_FORM, SLICE("issOrderNo=a&status=20&token=x%00")},
		{BODY_FORM, SLICE("issOrderNo=a&status=20&token=x\0")},
		{BODY_FORM, SLICE("issOrderNo=a&status=20&token=x%80")},
		{BODY_FORM, SLICE("issOrderNo=a&status=20&token=x\x80")},
		{BODY_JSON,
		 SLICE("{\"issOrderNo\":\"a\",\"status\":20,\"courier\":{\"a\":\"\\u0000\"}}")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct event event;
		int err = take(SIGNATURE_IF_PRESENT, cases[i].type, cases[i].body, &event);
		assert_true(err == -ERR_JSON_NUL || err == -ERR_JSON_UTF8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length_extension_into_a_new_order_is_refused),
		cmocka_unit_test(test_length_extension_of_the_last_member_is_refused),
		cmocka_unit_test(test_length_extension_inside_an_envelope_is_refused),
		cmocka_unit_test(test_length_extension_is_refused_at_every_length),
		cmocka_unit_test(test_padding_bytes_are_refused_raw_and_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
