/* The strict scanner: what it yields, the grammar, and texts that are damaged. */
#include "json_check.h"

static const char sample[] =
	"{\"clientId\":\"clientId\",\"courier\":{\"blacklisted\":0,\"deliveryProcessTrail\":[],"
	"\"estimateDeliveryTimeTip\":\"即将上门取件\",\"gcj02Trail\":[],\"headIcon\":"
	"\"https://cdn.ishansong.com/courier-static/courierHead.png\",\"id\":\"SSBJ000000166\","
	"\"mobile\":\"13800138000\",\"name\":\"测师傅\",\"orderCount\":9435,\"type\":1},"
	"\"deliveryPassword\":\"4004\",\"drawback\":0,\"issOrderNo\":\"TDH2025053050205843\","
	"\"orderNo\":\"cp451412923563114496\",\"pickupPassword\":\"\",\"sendBackFee\":0,"
	"\"shopId\":\"shopId\",\"status\":30,\"statusChangeTime\":\"2025-05-30 16:55:54\","
	"\"statusDesc\":\"待取货\",\"subStatus\":1,\"subStatusDesc\":\"待取货\","
	"\"token\":\"80801524A9FEB09FCE599E411F3E7917\"}";

static void test_members_are_slices_of_the_input(void **state)
{
	struct slice text =
		SLICE(" {\"s\" : \"a\\\"b\" , \"\\u0041\":-1.50e+07,\"o\":{\"x\":[1, 2]},"
		      "\"l\":[ ],\"t\":true,\"f\":false,\"n\":null,\"\":\"\"}\n");
	static const struct {
		const char *key;
		const char *value;
		enum json_type type;
		bool key_escaped;
		bool value_escaped;
	} rows[] = {
		{"s", "a\\\"b", JSON_STRING, false, true},
		{"\\u0041", "-1.50e+07", JSON_NUMBER, true, false},
		{"o", "{\"x\":[1, 2]}", JSON_OBJECT, false, false},
		{"l", "[ ]", JSON_ARRAY, false, false},
		{"t", "true", JSON_TRUE, false, false},
		{"f", "false", JSON_FALSE, false, false},
		{"n", "null", JSON_NULL, false, false},
		{"", "", JSON_STRING, false, false},
	};
	struct json_object object;

	(void)state;
	assert_int_equal(json_scan_object(text, &object), 0);
	assert_int_equal(object.n, COUNT(rows));
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct json_member *m = &object.members[i];
		assert_true(slice_equal_string(m->key, rows[i].key));
		assert_true(slice_equal_string(m->value, rows[i].value));
		assert_int_equal(m->type, rows[i].type);
		assert_int_equal(m->key_escaped, rows[i].key_escaped);
		assert_int_equal(m->value_escaped, rows[i].value_escaped);
		assert_true(m->value.at > text.at && m->value.at < text.at + text.len);
	}
}

static void test_captured_callback_is_taken_apart(void **state)
{
	struct json_object object;
	struct json_object courier;

	(void)state;
	assert_int_equal(json_scan_object(slice_of(sample), &object), 0);
	assert_int_equal(object.n, 15);
	assert_true(slice_equal_string(json_find(&object, "status")->value, "30"));
	assert_true(slice_equal_string(json_find(&object, "statusDesc")->value, "待取货"));
	assert_int_equal(json_scan_object(json_find(&object, "courier")->value, &courier), 0);
	assert_int_equal(courier.n, 10);
	assert_true(slice_equal_string(json_find(&courier, "name")->value, "测师傅"));
}

static void test_white_space_is_four_characters(void **state)
{
	(void)state;
	assert_scan(0, SLICE(" \t\r\n{ \t\r\n} \t\r\n"));
	assert_scan(0, SLICE("{ \n\"a\"\r:\t[ \n1\r,\t2 ] \n,\r\"b\"\t:{ } \n}"));
	for (int c = 0; c < 256; c++) {
		static const char *const frames[] = {"@{}",        "{}@",        "{@}",
						     "{@\"a\":1}", "{\"a\"@:1}", "{\"a\":@1}",
						     "{\"a\":1@}", "{\"a\":[@]}"};
		char byte = (char)c;
		bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
		for (size_t i = 0; i < COUNT(frames); i++) {
			/* Digits are a longer number, or the array's only element. */
			if ((i == 5 && (c == '-' || (c >= '1' && c <= '9'))) ||
			    (i == 6 && c >= '0' && c <= '9') || (i == 7 && c >= '0' && c <= '9'))
				continue;
			assert_scan_at(space ? 0 : -ERR_JSON_SYNTAX, frames[i],
				       (struct slice){&byte, 1});
		}
	}
}

static void test_numbers_are_kept_as_their_token(void **state)
{
	static const char *const tokens[] = {
		"0",       "-0",    "1",         "-1",          "10",
		"0.0",     "-0.5",  "1.00",      "0.001",       "1e1",
		"1E1",     "0e0",   "1e+1",      "1E-1",        "1e01",
		"12.50e3", "1e400", "-1E-400",   "1e999999",    "100000000000000000001",
		"45.67",   "20.0",  "123456789", "-1234567890",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(tokens); i++) {
		BUF_AUTO struct buf text = BUF_INIT(LIMIT);
		struct json_object object;
		assert_int_equal(buf_addf(&text, "{\"n\":%s,\"l\":[%s]}", tokens[i], tokens[i]), 0);
		assert_scan(0, buf_slice(&text));
		assert_int_equal(json_scan_object(buf_slice(&text), &object), 0);
		assert_int_equal(object.members[0].type, JSON_NUMBER);
		assert_true(slice_equal_string(object.members[0].value, tokens[i]));
	}
}

static void test_other_numbers_are_refused(void **state)
{
	static const char *const tokens[] = {
		"",      "-",    "+1",  "01",       "00",        "-01",   "020",   "1.",    ".5",
		"-.5",   "1.e1", "1e",  "1e+",      "1E-",       "1e1.5", "1.2.3", "1e1e1", "0x1f",
		"1_000", "1,0",  "NaN", "Infinity", "-Infinity", "--1",   "1-",    "1 2",   "１",
		"1f",    "0b1",  "- 1", "1. 5",     "2E 3",      "e5",    "-e5",   "Inf",   "1L",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(tokens); i++) {
		assert_scan_at(-ERR_JSON_SYNTAX, "{\"n\":@}", slice_of(tokens[i]));
		assert_scan_at(-ERR_JSON_SYNTAX, "{\"n\":@", slice_of(tokens[i]));
		/* [] and [1,0] are arrays. */
		if (tokens[i][0] && !strchr(tokens[i], ','))
			assert_scan_at(-ERR_JSON_SYNTAX, "{\"n\":[@]}", slice_of(tokens[i]));
	}
}

static void test_words_are_lower_case_and_whole(void **state)
{
	static const char *const words[] = {
		"True",   "TRUE", "tru",       "truee", "t",         "False",     "fals",
		"falsey", "f",    "Null",      "nul",   "nulll",     "n",         "nil",
		"None",   "yes",  "undefined", "true1", "truefalse", "null null",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		assert_scan_at(-ERR_JSON_SYNTAX, "{\"w\":@}", slice_of(words[i]));
		assert_scan_at(-ERR_JSON_SYNTAX, "{\"w\":@", slice_of(words[i]));
	}
}

static void test_text_is_one_object_and_nothing_else(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"[]",
		"[{}]",
		"1",
		"\"a\"",
		"null",
		"true",
		"{}{}",
		"{} {}",
		"{},",
		"{}]",
		"{}}",
		"{}x",
		"x{}",
		"{",
		"}",
		"{]",
		"[}",
		"{}//",
		"{}/**/",
		"\xef\xbb\xbf{}",
		"{}\xef\xbb\xbf",
		"\xff\xfe{\0}\0",
		"\xc2\xa0{}",
		"()",
		"{}\xe2\x80\xa8",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_scan(-ERR_JSON_SYNTAX, slice_of(texts[i]));
	assert_scan(-ERR_JSON_SYNTAX, SLICE("{}\0"));
	assert_scan(-ERR_JSON_SYNTAX, SLICE("\0{}"));
	assert_scan(-ERR_JSON_SYNTAX, (struct slice){NULL, 0});
}

static void test_structure_is_that_of_the_grammar(void **state)
{
	static const char *const texts[] = {
		"{,}",
		"{\"a\":1,}",
		"{,\"a\":1}",
		"{\"a\":1,,\"b\":2}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\"::1}",
		"{\"a\" 1}",
		"{\"a\",1}",
		"{\"a\"=1}",
		"{\"a\":1;\"b\":2}",
		"{\"a\":1 \"b\":2}",
		"{\"a\":1\"b\":2}",
		"{a:1}",
		"{'a':1}",
		"{1:1}",
		"{null:1}",
		"{[]:1}",
		"{{}:1}",
		"{:1}",
		"{\"a\":'b'}",
		"{\"a\":b}",
		"{\"a\":[,]}",
		"{\"a\":[1,]}",
		"{\"a\":[,1]}",
		"{\"a\":[1 2]}",
		"{\"a\":[1,,2]}",
		"{\"a\":[1:2]}",
		"{\"a\":[\"b\":1]}",
		"{\"a\":[1}",
		"{\"a\":[1}]",
		"{\"a\":{]}",
		"{\"a\":{\"b\":1]}",
		"{\"a\":1}}",
		"{\"a\":[1]]}",
		"{\"a\":/**/1}",
		"{\"a\":1//x\n}",
		"{\"a\":1#x\n}",
		"{\"a\":\"b\"\"c\"}",
		"{\"a\":\"b\" + 1}",
		"{\"a\":<1>}",
		"{\"a\":(1)}",
		"{\"a\":\"b}",
		"{\"a:1}",
		"{\"a\":\"\\\"}",
		"{\"a\" \"b\":1}",
		"{\"a\":1,\"b\"}",
		"{...}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_scan(-ERR_JSON_SYNTAX, slice_of(texts[i]));
}

static void test_escapes_are_those_of_the_grammar(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char escape[] = {'\\', (char)c};
		bool known = c && strchr("\"\\/bfnrt", c);
		assert_scan_string(known ? 0 : -ERR_JSON_SYNTAX,
				   (struct slice){escape, sizeof(escape)});
	}
	for (int c = 0; c < 256; c++) {
		for (size_t place = 2; place < 6; place++) {
			char escape[] = {'\\', 'u', '1', '2', '3', '4'};
			bool hex = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
			escape[place] = (char)c;
			assert_scan_at(hex ? 0 : -ERR_JSON_SYNTAX, "{\"a\":\"@\"}",
				       (struct slice){escape, sizeof(escape)});
		}
	}
	assert_scan_string(-ERR_JSON_SYNTAX, SLICE("\\u"));
	assert_scan_string(-ERR_JSON_SYNTAX, SLICE("\\u123"));
	assert_scan_string(-ERR_JSON_SYNTAX, SLICE("\\U1234"));
	assert_scan_string(-ERR_JSON_SYNTAX, SLICE("\\x41"));
	assert_scan_string(-ERR_JSON_SYNTAX, SLICE("\\u{41}"));
}

static void test_control_characters_must_be_escaped(void **state)
{
	(void)state;
	for (int c = 1; c < 0x20; c++)
		assert_scan_string(-ERR_JSON_SYNTAX, (struct slice){(char[]){(char)c}, 1});
	assert_scan_string(0, SLICE("\x7f"));
	assert_scan_string(0, SLICE("\\u0001\\u001f"));
}

static void test_nul_in_any_string_is_refused(void **state)
{
	(void)state;
	assert_scan_string(-ERR_JSON_NUL, SLICE("\0"));
	assert_scan_string(-ERR_JSON_NUL, SLICE("status\0"));
	assert_scan_string(-ERR_JSON_NUL, SLICE("\\u0000"));
	assert_scan_string(-ERR_JSON_NUL, SLICE("status\\u0000x"));
	assert_scan_string(0, SLICE("\\\\u0000"));
	assert_scan_string(0, SLICE("\\u0010\\u0100\\u1000"));
}

static void test_surrogates_come_in_pairs(void **state)
{
	static const char *const lone[] = {
		"\\ud800",        "\\uD834x",       "\\udfff",        "\\udc00\\ud800",
		"\\ud834\\ud834", "\\ud834\\u0041", "\\ud834\\n",     "\\ud834 \\udd1e",
		"\\ud834\\",      "\\ud834\\u",     "\\ud834\\uddxx", "\\ud834\\udd1e\\udd1e",
		"\\ud834udd1e",   "\\ud834\\ue000", "\\ud834\\udbff", "\\ud834\\Udd1e",
	};
	char escape[16];

	(void)state;
	for (size_t i = 0; i < COUNT(lone); i++)
		assert_scan_string(-ERR_JSON_SURROGATE, slice_of(lone[i]));
	for (unsigned code = 0xd700; code <= 0xe100; code++) {
		snprintf(escape, sizeof(escape), "\\u%04x", code);
		assert_scan_at(code >= 0xd800 && code <= 0xdfff ? -ERR_JSON_SURROGATE : 0,
			       "{\"a\":\"@\"}", slice_of(escape));
	}
	assert_scan_string(0, SLICE("\\ud834\\udd1e"));
	assert_scan_string(0, SLICE("\\uD800\\uDC00\\uDBFF\\uDFFF"));
	/* A backslash that is escaped itself begins nothing. */
	assert_scan_string(0, SLICE("\\\\ud800"));
}

static void test_strings_are_utf8(void **state)
{
	static const char *const malformed[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2 ",
		"\xc2\xc2",
		"\xe0\x80\x80",
		"\xe0\x9f\xbf",
		"\xe1\x80",
		"\xe1\x80\xc0",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf1\x80\x80",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80",
		"\xfe",
		"\xff",
		"闪送\xe9\x97",
		"\xe9\x97闪送",
		"\xc2\\u0080",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(malformed); i++)
		assert_scan_string(-ERR_JSON_UTF8, slice_of(malformed[i]));
	assert_scan_string(0, SLICE("é闪送😀\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80"
				    "\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	/* A BOM is a character like others where characters may be. */
	assert_scan_string(0, SLICE("\xef\xbb\xbf"));
}

/* What begins or ends at any place of an eight-byte step is seen. */
static void test_specials_are_seen_at_every_place_of_a_run(void **state)
{
	static const struct {
		struct slice special;
		int err;
	} rows[] = {
		{{"\x01", 1}, -ERR_JSON_SYNTAX}, {{"\x1f", 1}, -ERR_JSON_SYNTAX},
		{{"\0", 1}, -ERR_JSON_NUL},      {{"\x80", 1}, -ERR_JSON_UTF8},
		{{"\xff", 1}, -ERR_JSON_UTF8},   {{"\\x", 2}, -ERR_JSON_SYNTAX},
		{{"\"", 1}, -ERR_JSON_SYNTAX},   {{"\x20", 1}, 0},
		{{"!#[]~\x7f", 6}, 0},           {{"闪", 3}, 0},
	};
	char inner[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t before = 0; before < 20; before++) {
			for (size_t after = 0; after < 20; after++) {
				size_t len = before + rows[i].special.len;
				memset(inner, 'x', sizeof(inner));
				memcpy(inner + before, rows[i].special.at, rows[i].special.len);
				assert_scan_at(rows[i].err, "{\"a\":\"@\"}",
					       (struct slice){inner, len + after});
			}
		}
	}
}

static void test_truncated_texts_are_refused(void **state)
{
	static const char small[] = "{\"a\":[-1.5e+3,true,false,null,\"\\ud83d\\ude00\",{}]}";
	size_t len = strlen(sample);

	(void)state;
	assert_scan(0, slice_of(sample));
	assert_scan(0, slice_of(small));
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(scan((struct slice){sample, n}), 0);
	for (size_t n = 0; n < strlen(small); n++)
		assert_int_not_equal(scan((struct slice){small, n}), 0);
	/* From the front, too. */
	for (size_t n = 1; n <= len; n++)
		assert_int_not_equal(scan((struct slice){sample + n, len - n}), 0);
}

static void test_every_change_of_one_byte_is_survived(void **state)
{
	size_t accepted = 0;
	size_t len = strlen(sample);
	char text[sizeof(sample)];

	(void)state;
	memcpy(text, sample, sizeof(sample));
	for (size_t i = 0; i < len; i++) {
		for (int c = 0; c < 256; c++) {
			text[i] = (char)c;
			accepted += scan((struct slice){text, len}) == 0;
		}
		text[i] = sample[i];
	}
	/* A letter within a string may become another one; most of the structure may not. */
	assert_in_range(accepted, len * 256 / 5, len * 256 / 2);
}

static void test_one_byte_more_or_less_is_survived(void **state)
{
	static const char bytes[] = "\"\\{}[]:,-+.0eutfn \n\x01\x7f\x80\xc2\xe9\xff";
	size_t accepted = 0;
	size_t len = strlen(sample);
	char text[sizeof(sample) + 1];

	(void)state;
	for (size_t i = 0; i <= len; i++) {
		memcpy(text, sample, i);
		/* With the NUL at its end. */
		for (size_t j = 0; j < sizeof(bytes); j++) {
			text[i] = bytes[j];
			memcpy(text + i + 1, sample + i, len - i);
			accepted += scan((struct slice){text, len + 1}) == 0;
		}
		if (i < len) {
			memcpy(text + i, sample + i + 1, len - i - 1);
			accepted += scan((struct slice){text, len - 1}) == 0;
		}
	}
	/* Within a string most of these are at home, in the structure few are. */
	assert_in_range(accepted, len * sizeof(bytes) / 4, len * sizeof(bytes) * 3 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_are_slices_of_the_input),
		cmocka_unit_test(test_captured_callback_is_taken_apart),
		cmocka_unit_test(test_white_space_is_four_characters),
		cmocka_unit_test(test_numbers_are_kept_as_their_token),
		cmocka_unit_test(test_other_numbers_are_refused),
		cmocka_unit_test(test_words_are_lower_case_and_whole),
		cmocka_unit_test(test_text_is_one_object_and_nothing_else),
		cmocka_unit_test(test_structure_is_that_of_the_grammar),
		cmocka_unit_test(test_escapes_are_those_of_the_grammar),
		cmocka_unit_test(test_control_characters_must_be_escaped),
		cmocka_unit_test(test_nul_in_any_string_is_refused),
		cmocka_unit_test(test_surrogates_come_in_pairs),
		cmocka_unit_test(test_strings_are_utf8),
		cmocka_unit_test(test_specials_are_seen_at_every_place_of_a_run),
		cmocka_unit_test(test_truncated_texts_are_refused),
		cmocka_unit_test(test_every_change_of_one_byte_is_survived),
		cmocka_unit_test(test_one_byte_more_or_less_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
