/* The two rules against the published vectors, an MD5 of the tests' own, and known HMAC answers. */
#include "shansong_help.h"

#include <stdlib.h>

#include "orderhook/digest.h"

#define VECTORS_MAX 16

static struct slice of(const char *text)
{
	return slice_of(text);
}

static int verify(const char *const *secrets, size_t n, struct signature_param *params,
		  size_t n_params, const char *sign)
{
	struct secret list[4];

	for (size_t i = 0; i < n; i++)
		list[i] = (struct secret){(char *)(uintptr_t)secrets[i], strlen(secrets[i])};
	return signature_md5_verify(list, n, params, n_params, of(sign));
}

/* The value of a member of text, decoded; text is what the scanner has passed. */
static struct slice decoded(const struct json_object *object, const char *key, struct buf *room)
{
	const struct json_member *member = json_find(object, key);
	size_t len;
	size_t at = room->len;

	assert_non_null(member);
	assert_int_equal(buf_reserve(room, at + member->value.len + 1), 0);
	assert_int_equal(
		json_string_decode(member->value, room->data + at, member->value.len, &len), 0);
	room->len += len;
	return (struct slice){room->data + at, len};
}

/* The vectors' objects, found by the brackets: the file is an array of flat objects with one object
 * each, and the scanner takes objects only. */
static size_t split_vectors(struct slice array, struct slice *ret)
{
	size_t n = 0;
	int depth = 0;
	bool in_string = false;
	const char *begin = NULL;

	for (size_t i = 0; i < array.len; i++) {
		char c = array.at[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && c == '{' && depth++ == 0)
			begin = array.at + i;
		else if (!in_string && c == '}' && --depth == 0)
			ret[n++] = (struct slice){begin, (size_t)(array.at + i + 1 - begin)};
	}
	return n;
}

static void check_vector(struct slice secret, struct slice vector)
{
	BUF_AUTO struct buf room = BUF_INIT(1 << 16);
	struct json_object object;
	struct json_object members;
	struct signature_param params[JSON_MEMBERS_MAX];
	char made[SIGNATURE_SIGN_CHARS + 1];
	struct slice sign;

	/* So that the slices into it stay where they are. */
	assert_int_equal(buf_reserve(&room, 8192), 0);
	assert_int_equal(json_scan_object(vector, &object), 0);
	assert_int_equal(json_scan_object(json_find(&object, "params")->value, &members), 0);
	sign = decoded(&object, "sign", &room);
	for (size_t i = 0; i < members.n; i++) {
		char key[32];
		assert_int_equal(slice_copy(members.members[i].key, key, sizeof(key)), 0);
		params[i].key = members.members[i].key;
		params[i].value = decoded(&members, key, &room);
	}
	assert_int_equal(signature_md5(secret, params, members.n, made), 0);
	assert_memory_equal(made, sign.at, SIGNATURE_SIGN_CHARS);
	assert_int_equal(sign.len, SIGNATURE_SIGN_CHARS);
}

static void test_every_published_and_constructed_vector_holds(void **state)
{
	BUF_AUTO struct buf file = BUF_INIT(1 << 16);
	BUF_AUTO struct buf room = BUF_INIT(1 << 10);
	struct json_object object;
	struct slice vectors[VECTORS_MAX];
	struct slice secret;
	size_t n;

	(void)state;
	help_read("signature-vectors.json", &file);
	assert_int_equal(json_scan_object(buf_slice(&file), &object), 0);
	secret = decoded(&object, "secret", &room);
	n = split_vectors(json_find(&object, "vectors")->value, vectors);
	assert_int_equal(n, 5);
	for (size_t i = 0; i < n; i++)
		check_vector(secret, vectors[i]);
}

static void test_parameters_are_sorted_by_bytes_and_empty_ones_dropped(void **state)
{
	struct signature_param mixed[] = {{SLICE("status"), SLICE("20")},
					  {SLICE("abortReason"), SLICE("")},
					  {SLICE("statusDesc"), SLICE("x")},
					  {SLICE("Zeta"), SLICE("1")}};
	struct pairs pairs = {{S("Zeta", "1"), S("status", "20"), S("statusDesc", "x")}, 3};
	char made[SIGNATURE_SIGN_CHARS + 1];
	char expected[33];

	(void)state;
	naive_sign("secret", &pairs, expected);
	assert_int_equal(signature_md5(of("secret"), mixed, COUNT(mixed), made), 0);
	assert_string_equal(made, expected);
}

static void test_the_tests_own_md5_is_md5(void **state)
{
	char text[200];

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		struct slice part = {text, len};
		uint8_t digest[DIGEST_MD5_BYTES];
		char ours[33];
		char theirs[33];
		text[len] = (char)(len * 7);
		assert_int_equal(digest_md5(&part, 1, digest), 0);
		digest_hex_upper(digest, sizeof(digest), theirs);
		md5_finish(md5_begin(), text, len, ours);
		assert_string_equal(ours, theirs);
	}
}

static void test_any_of_the_secrets_may_match(void **state)
{
	static const char *const secrets[] = {"first-secret-0000", "second-secret-000", "third"};
	struct signature_param params[] = {{SLICE("a"), SLICE("1")}};
	char made[SIGNATURE_SIGN_CHARS + 1];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(signature_md5(of(secrets[i]), params, 1, made), 0);
		assert_int_equal(verify(secrets, 3, params, 1, made), 0);
		assert_int_equal(verify(secrets, i, params, 1, made), -ERR_SIGN_WRONG);
	}
	assert_int_equal(verify(secrets, 0, params, 1, made), -ERR_SIGN_WRONG);
}

static void test_sign_must_be_32_upper_case_hex_digits(void **state)
{
	static const char *const secrets[] = {"first-secret-0000"};
	struct signature_param params[] = {{SLICE("a"), SLICE("1")}};
	char made[SIGNATURE_SIGN_CHARS + 2] = {0};
	char wrong[SIGNATURE_SIGN_CHARS + 2];

	(void)state;
	assert_int_equal(signature_md5(of(secrets[0]), params, 1, made), 0);
	for (int i = 0; i < SIGNATURE_SIGN_CHARS; i++) {
		memcpy(wrong, made, sizeof(wrong));
		wrong[i] = wrong[i] == '0' ? '1' : '0';
		assert_int_equal(verify(secrets, 1, params, 1, wrong), -ERR_SIGN_WRONG);
		wrong[i] = 'g';
		assert_int_equal(verify(secrets, 1, params, 1, wrong), -ERR_SIGN_FORM);
		wrong[i] = 'a';
		assert_int_equal(verify(secrets, 1, params, 1, wrong), -ERR_SIGN_FORM);
	}
	memcpy(wrong, made, sizeof(wrong));
	wrong[SIGNATURE_SIGN_CHARS] = '0';
	assert_int_equal(verify(secrets, 1, params, 1, wrong), -ERR_SIGN_FORM);
	assert_int_equal(verify(secrets, 1, params, 1, made + 1), -ERR_SIGN_FORM);
	assert_int_equal(verify(secrets, 1, params, 1, ""), -ERR_SIGN_FORM);
}

static void test_more_parameters_than_fit_are_an_error(void **state)
{
	struct signature_param params[SIGNATURE_PARAMS_MAX + 1];
	char made[SIGNATURE_SIGN_CHARS + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(params); i++)
		params[i] = (struct signature_param){SLICE("k"), SLICE("v")};
	assert_int_equal(signature_md5(of("s"), params, SIGNATURE_PARAMS_MAX, made), 0);
	assert_int_equal(signature_md5(of("s"), params, SIGNATURE_PARAMS_MAX + 1, made),
			 -ERR_TOO_LONG);
}

/* The key is the bytes 1 to 32; the answer was computed with python3's hmac module. */
#define HMAC_KEY "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define HMAC_ID "msg-1"
#define HMAC_TIMESTAMP "1748595600"
#define HMAC_BODY "{\"issOrderNo\":\"TDH1\",\"status\":20}"
#define HMAC_ANSWER "v1,lg7nSQX+SNjy2XxkP23RvVAYuMS9QFhQ57Nbuf3cRHM="

static int verify_hmac(const struct secret *keys, size_t n, const char *header)
{
	return signature_hmac_verify(keys, n, of(HMAC_ID), of(HMAC_TIMESTAMP), of(HMAC_BODY),
				     of(header));
}

static void test_hmac_makes_the_known_answer(void **state)
{
	struct secret key = {NULL, 0};
	char made[SIGNATURE_HMAC_CHARS + 1];

	(void)state;
	assert_int_equal(signature_hmac_key(of(HMAC_KEY), &key), 0);
	assert_int_equal(key.len, 32);
	assert_int_equal(signature_hmac((struct slice){key.bytes, key.len}, of(HMAC_ID),
					of(HMAC_TIMESTAMP), of(HMAC_BODY), made),
			 0);
	assert_string_equal(made, HMAC_ANSWER);
	secret_release(&key);
}

static void test_hmac_list_may_hold_other_versions_and_other_keys(void **state)
{
	struct secret keys[2] = {{NULL, 0}};

	(void)state;
	assert_int_equal(signature_hmac_key(of("whsec_AAAAAAAAAAAAAAAAAAAAAA=="), &keys[0]), 0);
	assert_int_equal(signature_hmac_key(of(HMAC_KEY), &keys[1]), 0);
	assert_int_equal(verify_hmac(keys, 2, HMAC_ANSWER), 0);
	assert_int_equal(verify_hmac(keys, 2, "v1a,xyz v1,short  " HMAC_ANSWER " v2,zzz"), 0);
	assert_int_equal(verify_hmac(keys, 1, HMAC_ANSWER), -ERR_HMAC_WRONG);
	struct secret swapped[] = {keys[1], keys[0]};
	assert_int_equal(verify_hmac(swapped, 2, HMAC_ANSWER), 0);
	assert_int_equal(verify_hmac(swapped, 2, HMAC_ANSWER " v1,other"), 0);
	assert_int_equal(verify_hmac(keys, 2, ""), -ERR_HMAC_WRONG);
	assert_int_equal(verify_hmac(keys, 2, HMAC_ANSWER "," HMAC_ANSWER), -ERR_HMAC_WRONG);
	assert_int_equal(verify_hmac(keys, 2, "v2" /* not v1 */ ",lg7nSQX+"), -ERR_HMAC_WRONG);
	secret_release(&keys[0]);
	secret_release(&keys[1]);
}

static void test_hmac_key_is_base64_of_16_to_64_bytes(void **state)
{
	static const char *const wrong[] = {"",
					    "whsec_",
					    "whsec_AAAA",
					    "whsec_AAAAAAAAAAAAAAAAAAAA" /* 15 */,
					    "WHSEC_AAAAAAAAAAAAAAAAAAAAAA==",
					    "whsec_AAAAAAAAAAAAAAAAAAAAAA=",
					    "whsec_AAAAAAAAAAAAAAAAAAAAA*==",
					    "whsec_AAAAAAAAAAAAAAAAAAAAAA== ",
					    "whsec_AAAAAAAAAAAAAAAAAAAAAB=="};
	char long_key[6 + 88 + 1] = "whsec_";
	struct secret key = {NULL, 0};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(signature_hmac_key(of(wrong[i]), &key), -ERR_SECRET_FORM);
		assert_null(key.bytes);
	}
	memset(long_key + 6, 'A', 88);
	memcpy(long_key + 6 + 86, "==", 2);
	assert_int_equal(signature_hmac_key(of(long_key), &key), 0);
	assert_int_equal(key.len, 64);
	secret_release(&key);
	memcpy(long_key + 6 + 86, "A=", 2);
	assert_int_equal(signature_hmac_key(of(long_key), &key), -ERR_SECRET_FORM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_published_and_constructed_vector_holds),
		cmocka_unit_test(test_parameters_are_sorted_by_bytes_and_empty_ones_dropped),
		cmocka_unit_test(test_the_tests_own_md5_is_md5),
		cmocka_unit_test(test_any_of_the_secrets_may_match),
		cmocka_unit_test(test_sign_must_be_32_upper_case_hex_digits),
		cmocka_unit_test(test_more_parameters_than_fit_are_an_error),
		cmocka_unit_test(test_hmac_makes_the_known_answer),
		cmocka_unit_test(test_hmac_list_may_hold_other_versions_and_other_keys),
		cmocka_unit_test(test_hmac_key_is_base64_of_16_to_64_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
