/* Digests against published vectors, hex and base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "orderhook/digest.h"
#include "orderhook/err.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_md5(const struct slice *parts, size_t n, const char *hex)
{
	uint8_t out[DIGEST_MD5_BYTES];
	char text[2 * DIGEST_MD5_BYTES + 1];

	assert_int_equal(digest_md5(parts, n, out), 0);
	digest_hex_lower(out, sizeof(out), text);
	assert_string_equal(text, hex);
}

static void assert_sha256(const struct slice *parts, size_t n, const char *hex)
{
	uint8_t out[DIGEST_SHA256_BYTES];
	char text[2 * DIGEST_SHA256_BYTES + 1];

	assert_int_equal(digest_sha256(parts, n, out), 0);
	digest_hex_lower(out, sizeof(out), text);
	assert_string_equal(text, hex);
}

static void assert_hmac(struct slice key, const struct slice *parts, size_t n, const char *hex)
{
	uint8_t out[DIGEST_SHA256_BYTES];
	char text[2 * DIGEST_SHA256_BYTES + 1];

	assert_int_equal(digest_hmac_sha256(key, parts, n, out), 0);
	digest_hex_lower(out, sizeof(out), text);
	assert_string_equal(text, hex);
}

static void test_md5_of_rfc_1321(void **state)
{
	static const struct {
		const char *text;
		const char *hex;
	} rows[] = {
		{"", "d41d8cd98f00b204e9800998ecf8427e"},
		{"a", "0cc175b9c0f1b6a831c399e269772661"},
		{"abc", "900150983cd24fb0d6963f7d28e17f72"},
		{"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
		{"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
		 "d174ab98d277d9f5a5611c2c9f419d9f"},
		{"123456789012345678901234567890123456789012345678901234567890"
		 "12345678901234567890",
		 "57edf4a22be3c955ac49da2e2107b67a"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct slice text = slice_of(rows[i].text);
		assert_md5(&text, 1, rows[i].hex);
	}
}

static void test_sha256_of_fips_180(void **state)
{
	struct slice abc = SLICE("abc");
	struct slice long_one = SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");

	(void)state;
	assert_sha256(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sha256(&abc, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sha256(&long_one, 1,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_parts_are_hashed_as_one_string(void **state)
{
	const char *text = "message digest";

	(void)state;
	for (size_t i = 0; i <= strlen(text); i++) {
		for (size_t j = i; j <= strlen(text); j++) {
			struct slice parts[] = {
				{text, i}, {text + i, j - i}, {NULL, 0}, slice_of(text + j)};
			assert_md5(parts, COUNT(parts), "f96b697d7cb7938d525a2f31aaf161d0");
		}
	}
}

static void test_hmac_of_rfc_4231(void **state)
{
	char aa[131];
	char dd[50];
	char cd[50];
	char count[25];
	struct slice long_key = {aa, sizeof(aa)};

	(void)state;
	memset(aa, 0xaa, sizeof(aa));
	memset(dd, 0xdd, sizeof(dd));
	memset(cd, 0xcd, sizeof(cd));
	for (size_t i = 0; i < sizeof(count); i++)
		count[i] = (char)(i + 1);
	assert_hmac(SLICE("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
			  "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"),
		    &SLICE("Hi There"), 1,
		    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_hmac(SLICE("Jefe"), &SLICE("what do ya want for nothing?"), 1,
		    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_hmac((struct slice){aa, 20}, &(struct slice){dd, sizeof(dd)}, 1,
		    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	assert_hmac((struct slice){count, sizeof(count)}, &(struct slice){cd, sizeof(cd)}, 1,
		    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
	assert_hmac(long_key, &SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), 1,
		    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	assert_hmac(long_key,
		    &SLICE("This is a test using a larger than block-size key and a larger than "
			   "block-size data. The key needs to be hashed before being used by the "
			   "HMAC algorithm."),
		    1, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

static void test_hmac_keys_around_the_block_size(void **state)
{
	char key[65];

	(void)state;
	memset(key, 'k', sizeof(key));
	assert_hmac((struct slice){key, 63}, &SLICE("message"), 1,
		    "e27efa30bcbfbc25b4d936ffd8553392f398eb2edada1dac2423a961af0c305b");
	assert_hmac((struct slice){key, 64}, &SLICE("message"), 1,
		    "890f3a16e0ca0aaa3bf180f70fa8e3970b3fd6505e98fde157988dcc19d1685c");
	assert_hmac((struct slice){key, 65}, &SLICE("message"), 1,
		    "0c256505306af48015530c139bb7add5ad7a6a9291cd511278a067e765816fbd");
}

static void test_hmac_without_key_and_message(void **state)
{
	const char *hex = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";

	(void)state;
	assert_hmac((struct slice){NULL, 0}, NULL, 0, hex);
	assert_hmac(SLICE(""), &(struct slice){NULL, 0}, 1, hex);
}

static void test_hmac_takes_seven_parts(void **state)
{
	struct slice parts[7] = {SLICE("what "), SLICE("do "),  SLICE("ya "), SLICE("want "),
				 SLICE("for "),  SLICE("noth"), SLICE("ing?")};

	(void)state;
	assert_hmac(SLICE("Jefe"), parts, COUNT(parts),
		    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void *hash_many(void *arg)
{
	struct slice text = SLICE("abc");
	intptr_t wrong = 0;

	(void)arg;
	for (int i = 0; i < 500; i++) {
		uint8_t md5[DIGEST_MD5_BYTES];
		uint8_t sha256[DIGEST_SHA256_BYTES];
		wrong += digest_md5(&text, 1, md5) != 0 || md5[0] != 0x90 || md5[15] != 0x72;
		wrong += digest_sha256(&text, 1, sha256) != 0 || sha256[0] != 0xba ||
			 sha256[31] != 0xad;
	}
	return (void *)wrong;
}

static void test_every_thread_has_contexts_of_its_own(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hash_many, NULL), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *wrong;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

static void test_equality_of_digests(void **state)
{
	uint8_t a[DIGEST_SHA256_BYTES] = {1, 2, 3};
	uint8_t b[DIGEST_SHA256_BYTES] = {1, 2, 3};

	(void)state;
	assert_true(digest_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(b); i++) {
		b[i] ^= 0x80;
		assert_false(digest_equal(a, b, sizeof(a)));
		assert_true(digest_equal(a, b, i));
		b[i] ^= 0x80;
	}
}

static void test_hex_in_both_cases(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
	char out[2 * sizeof(bytes) + 1];

	(void)state;
	digest_hex_lower(bytes, sizeof(bytes), out);
	assert_string_equal(out, "000fa5ff");
	digest_hex_upper(bytes, sizeof(bytes), out);
	assert_string_equal(out, "000FA5FF");
	digest_hex_lower(bytes, 0, out);
	assert_string_equal(out, "");
}

static void test_base64_of_rfc_4648_both_ways(void **state)
{
	static const struct {
		const char *bytes;
		const char *text;
	} rows[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct slice bytes = slice_of(rows[i].bytes);
		char text[16];
		uint8_t out[8];
		size_t len = 99;
		digest_base64_encode((const uint8_t *)bytes.at, bytes.len, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(digest_base64_decode(slice_of(text), out, bytes.len, &len), 0);
		assert_true(slice_equal((struct slice){(char *)out, len}, bytes));
	}
}

static void test_base64_carries_every_byte_at_every_place(void **state)
{
	uint8_t bytes[67];
	uint8_t out[67];
	char text[93];

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		for (int start = 0; start < 256; start++) {
			size_t decoded = 0;
			for (size_t i = 0; i < len; i++)
				bytes[i] = (uint8_t)(start + (int)i * 37);
			digest_base64_encode(bytes, len, text);
			assert_int_equal(strlen(text), 4 * ((len + 2) / 3));
			assert_int_equal(
				digest_base64_decode(slice_of(text), out, sizeof(out), &decoded),
				0);
			assert_int_equal(decoded, len);
			assert_memory_equal(out, bytes, len);
		}
	}
}

static void test_base64_has_one_spelling(void **state)
{
	static const char *const texts[] = {
		"Z",     "Zg",    "Zg=",   "Zm8",  "Zm9vZg",       "====",           "=",
		"==",    "Z===",  "Zg=v",  "=Zg=", "Zg==Zg==",     "Zm9v====",       "Zm9 ",
		"Zm9\n", " Zm9v", "Zm9v ", "Zm-v", "Zm_v",         "Zh==",           "Zn==",
		"Zv==",  "Zm9=",  "Zm+=",  "Zm/=", "Zm9v\n\n\n\n", "Zm9vZ\xc3\xa9=",
	};
	uint8_t out[8] = "old";
	size_t len = 42;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_equal(digest_base64_decode(slice_of(texts[i]), out, sizeof(out), &len),
				 -ERR_SYNTAX);
	assert_int_equal(digest_base64_decode(SLICE("Zm9\0"), out, sizeof(out), &len), -ERR_SYNTAX);
	assert_string_equal((char *)out, "old");
	assert_int_equal(len, 42);
}

static void test_base64_that_does_not_fit_writes_nothing(void **state)
{
	uint8_t out[8] = "old";
	size_t len = 42;

	(void)state;
	assert_int_equal(digest_base64_decode(SLICE("Zm9vYmFy"), out, 5, &len), -ERR_TOO_LONG);
	assert_int_equal(digest_base64_decode(SLICE("Zg=="), out, 0, &len), -ERR_TOO_LONG);
	assert_string_equal((char *)out, "old");
	assert_int_equal(len, 42);
	assert_int_equal(digest_base64_decode(SLICE("Zm9vYmE="), out, 5, &len), 0);
	assert_int_equal(len, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_md5_of_rfc_1321),
		cmocka_unit_test(test_sha256_of_fips_180),
		cmocka_unit_test(test_parts_are_hashed_as_one_string),
		cmocka_unit_test(test_hmac_of_rfc_4231),
		cmocka_unit_test(test_hmac_keys_around_the_block_size),
		cmocka_unit_test(test_hmac_without_key_and_message),
		cmocka_unit_test(test_hmac_takes_seven_parts),
		cmocka_unit_test(test_every_thread_has_contexts_of_its_own),
		cmocka_unit_test(test_equality_of_digests),
		cmocka_unit_test(test_hex_in_both_cases),
		cmocka_unit_test(test_base64_of_rfc_4648_both_ways),
		cmocka_unit_test(test_base64_carries_every_byte_at_every_place),
		cmocka_unit_test(test_base64_has_one_spelling),
		cmocka_unit_test(test_base64_that_does_not_fit_writes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
