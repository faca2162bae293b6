/* Strings: decoding, writing, and what is UTF-8. */
#include "json_check.h"

#define TWO(byte) (byte), (byte)

/* Written from the table of RFC 3629, section 3. */
static size_t encode(uint32_t code, char *out)
{
	if (code <= 0x7f) {
		out[0] = (char)code;
		return 1;
	}
	if (code <= 0x7ff) {
		out[0] = (char)(0xc0 + code / 64);
		out[1] = (char)(0x80 + code % 64);
		return 2;
	}
	if (code <= 0xffff) {
		out[0] = (char)(0xe0 + code / 4096);
		out[1] = (char)(0x80 + code / 64 % 64);
		out[2] = (char)(0x80 + code % 64);
		return 3;
	}
	out[0] = (char)(0xf0 + code / 262144);
	out[1] = (char)(0x80 + code / 4096 % 64);
	out[2] = (char)(0x80 + code / 64 % 64);
	out[3] = (char)(0x80 + code % 64);
	return 4;
}

static void assert_decoded(struct slice raw, struct slice expected)
{
	char *out = malloc(expected.len ? expected.len : 1);
	size_t len = SIZE_MAX;

	assert_non_null(out);
	/* Exactly as much room as is needed, which is less than raw has. */
	assert_int_equal(json_string_decode(raw, out, expected.len, &len), 0);
	assert_int_equal(len, expected.len);
	assert_memory_equal(out, expected.at, len);
	free(out);
}

static void test_decoding_replaces_the_escapes(void **state)
{
	(void)state;
	assert_decoded(SLICE(""), SLICE(""));
	assert_decoded((struct slice){NULL, 0}, SLICE(""));
	assert_decoded(SLICE("派单中"), SLICE("派单中"));
	assert_decoded(SLICE("\\\"\\\\\\/\\b\\f\\n\\r\\t"), SLICE("\"\\/\b\f\n\r\t"));
	assert_decoded(SLICE("a\\u0041b\\u00e9c\\u6D3ed"), SLICE("aAb\u00e9c\u6d3ed"));
	assert_decoded(SLICE("\\ud83d\\ude00"), SLICE("\U0001f600"));
	assert_decoded(SLICE("\\\\u0041"), SLICE("\\u0041"));
	assert_decoded(SLICE("before\\n"), SLICE("before\n"));
	assert_decoded(SLICE("\\nbehind"), SLICE("\nbehind"));
}

static void test_every_code_point_is_decoded(void **state)
{
	(void)state;
	for (uint32_t code = 1; code <= 0x10ffff; code++) {
		char raw[16];
		char expected[4];
		char out[4];
		size_t len = 0;
		if (code >= 0xd800 && code <= 0xdfff)
			continue;
		if (code <= 0xffff)
			snprintf(raw, sizeof(raw), code % 2 ? "\\u%04x" : "\\u%04X", code);
		else
			snprintf(raw, sizeof(raw), "\\u%04x\\u%04X", 0xd7c0 + code / 1024,
				 0xdc00 + code % 1024);
		size_t n = encode(code, expected);
		if (json_string_decode(slice_of(raw), out, n, &len) || len != n ||
		    memcmp(out, expected, n) != 0)
			fail_msg("%s", raw);
	}
}

static void test_decoding_what_does_not_fit_writes_nothing(void **state)
{
	struct slice raw = SLICE("ab\\u0063\\ud83d\\ude00d");
	char out[8] = "old";
	size_t len = 42;

	(void)state;
	for (size_t cap = 0; cap < 8; cap++) {
		assert_int_equal(json_string_decode(raw, out, cap, &len), -ERR_TOO_LONG);
		assert_string_equal(out, "old");
		assert_int_equal(len, 42);
	}
	assert_int_equal(json_string_decode(raw, out, 8, &len), 0);
	assert_memory_equal(out, "abc\U0001f600d", 8);
}

static void test_decoding_what_was_not_scanned_is_an_error(void **state)
{
	static const char *const texts[] = {"\\",      "\\x",         "\\u",           "\\u123",
					    "\\ud800", "\\ud800\\u1", "\\udc00\\ud800"};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		size_t len = strlen(texts[i]);
		char *raw = malloc(len);
		char out[16];
		size_t decoded = 42;
		assert_non_null(raw);
		memcpy(raw, texts[i], len);
		assert_true(json_string_decode((struct slice){raw, len}, out, sizeof(out),
					       &decoded) < 0);
		assert_int_equal(decoded, 42);
		free(raw);
	}
}

static void assert_written(struct slice text, const char *expected)
{
	BUF_AUTO struct buf buf = BUF_INIT(LIMIT);

	assert_int_equal(buf_add_string(&buf, "before:"), 0);
	assert_int_equal(json_add_string(&buf, text), 0);
	assert_string_equal(buf.data + 7, expected);
}

static void test_written_strings_escape_what_they_must(void **state)
{
	(void)state;
	assert_written(SLICE(""), "\"\"");
	assert_written((struct slice){NULL, 0}, "\"\"");
	assert_written(SLICE("派单中 / it's <ok>"), "\"派单中 / it's <ok>\"");
	assert_written(SLICE("\"\\"), "\"\\\"\\\\\"");
	assert_written(SLICE("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
	assert_written(SLICE("\0\x01\x1f x"), "\"\\u0000\\u0001\\u001f x\"");
	assert_written(SLICE("C:\\temp\nend"), "\"C:\\\\temp\\nend\"");
}

/* A terminal takes these for orders as well: U+009B begins what ESC [ begins. */
static void test_written_strings_escape_del_and_the_c1_controls(void **state)
{
	(void)state;
	assert_written(SLICE("a\x7f"), "\"a\\u007f\"");
	assert_written(SLICE("\xc2\x80"
			     "A\xc2\x9b"
			     "31m\xc2\x9f"),
		       "\"\\u0080A\\u009b31m\\u009f\"");
	assert_written(SLICE("\u00a0\u00bf\u00c2\u0100"), "\"\u00a0\u00bf\u00c2\u0100\"");
}

static void assert_round_trip(struct slice text)
{
	BUF_AUTO struct buf buf = BUF_INIT(LIMIT);
	struct json_object object;

	assert_int_equal(buf_add_char(&buf, '{'), 0);
	assert_int_equal(json_add_string(&buf, text), 0);
	assert_int_equal(buf_add_char(&buf, ':'), 0);
	assert_int_equal(json_add_string(&buf, text), 0);
	assert_int_equal(buf_add_char(&buf, '}'), 0);
	assert_int_equal(json_scan_object(buf_slice(&buf), &object), 0);
	assert_int_equal(object.n, 1);
	assert_decoded(object.members[0].key, text);
	assert_decoded(object.members[0].value, text);
}

static void test_written_strings_read_back_the_same(void **state)
{
	char text[64];
	char pair[8];

	(void)state;
	for (uint32_t code = 1; code <= 0x10ffff; code += code < 0x3000 ? 1 : 61) {
		if (code >= 0xd800 && code <= 0xdfff)
			continue;
		size_t n = encode(code, text);
		assert_round_trip((struct slice){text, n});
	}
	for (int a = 1; a < 128; a++) {
		for (int b = 1; b < 128; b++) {
			pair[0] = (char)a;
			pair[1] = (char)b;
			assert_round_trip((struct slice){pair, 2});
		}
	}
}

static void test_string_that_does_not_fit_is_not_begun(void **state)
{
	struct slice text = SLICE("a\nb\"c\xc2\x9b派");
	BUF_AUTO struct buf whole = BUF_INIT(LIMIT);

	(void)state;
	assert_int_equal(json_add_string(&whole, text), 0);
	for (size_t limit = 0; limit < whole.len; limit++) {
		BUF_AUTO struct buf buf = BUF_INIT(limit + 3);
		assert_int_equal(buf_add_string(&buf, "{1:"), 0);
		assert_int_equal(json_add_string(&buf, text), -ERR_TOO_LONG);
		assert_int_equal(buf.len, 3);
		assert_string_equal(buf.data, "{1:");
	}
	BUF_AUTO struct buf none = BUF_INIT(0);
	assert_int_equal(json_add_string(&none, text), -ERR_TOO_LONG);
	assert_int_equal(none.len, 0);
}

/* The syntax of RFC 3629, section 4: each row is one sequence, as ranges of its bytes. */
static const struct {
	size_t len;
	unsigned char ranges[4][2];
} sequences[] = {
	{1, {{0x00, 0x7f}}},
	{2, {{0xc2, 0xdf}, {0x80, 0xbf}}},
	{3, {{TWO(0xe0)}, {0xa0, 0xbf}, {0x80, 0xbf}}},
	{3, {{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{3, {{TWO(0xed)}, {0x80, 0x9f}, {0x80, 0xbf}}},
	{3, {{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{4, {{TWO(0xf0)}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{4, {{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{4, {{TWO(0xf4)}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}},
};

static bool is_sequence(const unsigned char *bytes, size_t len, size_t row)
{
	if (sequences[row].len > len)
		return false;
	for (size_t i = 0; i < sequences[row].len; i++) {
		if (bytes[i] < sequences[row].ranges[i][0] ||
		    bytes[i] > sequences[row].ranges[i][1])
			return false;
	}
	return true;
}

static bool is_utf8(const unsigned char *bytes, size_t len)
{
	while (len) {
		size_t row = 0;
		while (row < COUNT(sequences) && !is_sequence(bytes, len, row))
			row++;
		if (row == COUNT(sequences))
			return false;
		bytes += sequences[row].len;
		len -= sequences[row].len;
	}
	return true;
}

/* bytes is a memory of just this size. */
static void check_utf8(unsigned char *bytes, size_t len)
{
	bool valid = json_valid_utf8((struct slice){(char *)bytes, len});

	if (valid != is_utf8(bytes, len))
		fail_msg("%02x.. of %zu bytes", bytes[0], len);
}

static void test_utf8_of_one_to_three_bytes(void **state)
{
	unsigned char *one = malloc(1);
	unsigned char *two = malloc(2);
	unsigned char *three = malloc(3);

	(void)state;
	for (uint32_t bytes = 0; bytes < 0x1000000; bytes++) {
		three[0] = two[0] = one[0] = (unsigned char)(bytes >> 16);
		three[1] = two[1] = (unsigned char)(bytes >> 8);
		three[2] = (unsigned char)bytes;
		if ((bytes & 0xffff) == 0)
			check_utf8(one, 1);
		if ((bytes & 0xff) == 0)
			check_utf8(two, 2);
		check_utf8(three, 3);
	}
	free(one);
	free(two);
	free(three);
}

static void test_utf8_of_four_bytes(void **state)
{
	static const unsigned char edges[] = {0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90,
					      0x9f, 0xa0, 0xbf, 0xc0, 0xff};
	unsigned char *four = malloc(4);

	(void)state;
	for (uint32_t bytes = 0; bytes < 0x10000; bytes++) {
		four[0] = (unsigned char)(bytes >> 8);
		four[1] = (unsigned char)bytes;
		for (size_t i = 0; i < COUNT(edges) * COUNT(edges); i++) {
			four[2] = edges[i / COUNT(edges)];
			four[3] = edges[i % COUNT(edges)];
			check_utf8(four, 4);
		}
	}
	free(four);
}

static void test_utf8_of_texts(void **state)
{
	(void)state;
	assert_true(json_valid_utf8((struct slice){NULL, 0}));
	assert_true(json_valid_utf8(SLICE("")));
	assert_true(json_valid_utf8(SLICE("a\0b")));
	assert_true(json_valid_utf8(SLICE("闪送 delivers \U0001f600 é")));
	assert_false(json_valid_utf8(SLICE("闪送\xff")));
	assert_false(json_valid_utf8((struct slice){"闪送", 5}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoding_replaces_the_escapes),
		cmocka_unit_test(test_every_code_point_is_decoded),
		cmocka_unit_test(test_decoding_what_does_not_fit_writes_nothing),
		cmocka_unit_test(test_decoding_what_was_not_scanned_is_an_error),
		cmocka_unit_test(test_written_strings_escape_what_they_must),
		cmocka_unit_test(test_written_strings_escape_del_and_the_c1_controls),
		cmocka_unit_test(test_written_strings_read_back_the_same),
		cmocka_unit_test(test_string_that_does_not_fit_is_not_begun),
		cmocka_unit_test(test_utf8_of_one_to_three_bytes),
		cmocka_unit_test(test_utf8_of_four_bytes),
		cmocka_unit_test(test_utf8_of_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
