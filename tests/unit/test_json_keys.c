/* Limits of the scanner, keys that mean the same, and finding a member. */
#include "json_check.h"

/* Levels below and including the object that is the text. */
static void add_nested(struct buf *text, int levels, const char *open)
{
	assert_int_equal(buf_add_string(text, levels > 1 ? "{\"a\":" : "{"), 0);
	for (int i = 2; i <= levels; i++) {
		bool object = *open == '{' || (*open == '*' && i % 2);
		assert_int_equal(buf_add_string(text, !object      ? "["
						      : i < levels ? "{\"a\":"
								   : "{"),
				 0);
	}
	for (int i = levels; i >= 2; i--) {
		bool object = *open == '{' || (*open == '*' && i % 2);
		assert_int_equal(buf_add_char(text, object ? '}' : ']'), 0);
	}
	assert_int_equal(buf_add_char(text, '}'), 0);
}

static void test_eight_levels_are_allowed_and_nine_are_not(void **state)
{
	static const char *const kinds[] = {"{", "[", "*"};

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		for (int levels = 1; levels <= 12; levels++) {
			BUF_AUTO struct buf text = BUF_INIT(LIMIT);
			add_nested(&text, levels, kinds[i]);
			assert_scan(levels <= JSON_DEPTH_MAX ? 0 : -ERR_JSON_DEPTH,
				    buf_slice(&text));
		}
	}
}

static void test_levels_end_with_what_opened_them(void **state)
{
	(void)state;
	assert_scan(0, SLICE("{\"a\":[[[[[[[]]]]]]],\"b\":[[[[[[[]]]]]]]}"));
	assert_scan(0, SLICE("{\"a\":[[[[[[[1],[2]],[3]],[4]],[5]],[6]],[7]]}"));
	assert_scan(-ERR_JSON_DEPTH, SLICE("{\"a\":[[[[[[[1],[2,[]]]]]]]]}"));
	assert_scan(-ERR_JSON_DEPTH, SLICE("{\"a\":[[[[[[[{}]]]]]]]}"));
}

static void test_endless_nesting_costs_no_stack(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(LIMIT);

	(void)state;
	assert_int_equal(buf_add_string(&text, "{\"a\":"), 0);
	while (text.len < LIMIT)
		assert_int_equal(buf_add_char(&text, '['), 0);
	assert_scan(-ERR_JSON_DEPTH, buf_slice(&text));
}

static void add_members(struct buf *text, int n, const char *prefix)
{
	assert_int_equal(buf_add_char(text, '{'), 0);
	for (int i = 0; i < n; i++)
		assert_int_equal(buf_addf(text, "%s\"%s%d\":%d", i ? "," : "", prefix, i, i), 0);
	assert_int_equal(buf_add_char(text, '}'), 0);
}

static void test_sixty_four_members_are_allowed_and_sixty_five_are_not(void **state)
{
	static const char *const frames[] = {"@", "{\"a\":@}", "{\"a\":[1,@]}",
					     "{\"a\":[[[[[[@]]]]]]}"};

	(void)state;
	for (int n = 0; n <= 70; n++) {
		BUF_AUTO struct buf object = BUF_INIT(LIMIT);
		add_members(&object, n, "key");
		for (size_t i = 0; i < COUNT(frames); i++)
			assert_scan_at(n <= JSON_MEMBERS_MAX ? 0 : -ERR_JSON_MEMBERS, frames[i],
				       buf_slice(&object));
	}
}

static void test_members_are_counted_in_their_own_object(void **state)
{
	BUF_AUTO struct buf object = BUF_INIT(LIMIT);
	BUF_AUTO struct buf text = BUF_INIT(LIMIT);
	struct json_object scanned;

	(void)state;
	add_members(&object, JSON_MEMBERS_MAX, "k");
	assert_int_equal(buf_add_char(&text, '{'), 0);
	for (int i = 0; i < JSON_MEMBERS_MAX; i++)
		assert_int_equal(buf_addf(&text, "%s\"k%d\":[%s,%s]", i ? "," : "", i, object.data,
					  object.data),
				 0);
	assert_int_equal(buf_add_char(&text, '}'), 0);
	assert_scan(0, buf_slice(&text));
	assert_int_equal(json_scan_object(buf_slice(&text), &scanned), 0);
	assert_int_equal(scanned.n, JSON_MEMBERS_MAX);
	assert_true(slice_equal_string(scanned.members[63].key, "k63"));
}

/* Every open object full: the most that the stack of keys has to hold. */
static void test_sixty_four_members_on_each_of_eight_levels(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(LIMIT);

	(void)state;
	for (int level = 1; level <= JSON_DEPTH_MAX; level++) {
		assert_int_equal(buf_add_char(&text, '{'), 0);
		for (int i = 0; i < JSON_MEMBERS_MAX - 1; i++)
			assert_int_equal(buf_addf(&text, "\"k%d\":0,", i), 0);
		assert_int_equal(buf_add_string(&text, "\"last\":"), 0);
	}
	assert_int_equal(buf_add_string(&text, "0}}}}}}}}"), 0);
	assert_scan(0, buf_slice(&text));
}

/* In either order, in the object itself and in ones within. */
static void assert_keys(int expected, const char *a, const char *b)
{
	static const char *const frames[][3] = {
		{"", "", ""}, {"{\"a\":[{},", "", "]}"}, {"{\"b\":{\"c\":", "\"~\":[],", "}}"}};

	for (size_t i = 0; i < COUNT(frames); i++) {
		BUF_AUTO struct buf text = BUF_INIT(LIMIT);
		BUF_AUTO struct buf swapped = BUF_INIT(LIMIT);
		assert_int_equal(buf_addf(&text, "%s{\"%s\":1,%s\"%s\":2}%s", frames[i][0], a,
					  frames[i][1], b, frames[i][2]),
				 0);
		assert_int_equal(buf_addf(&swapped, "%s{\"%s\":1,%s\"%s\":2}%s", frames[i][0], b,
					  frames[i][1], a, frames[i][2]),
				 0);
		assert_scan(expected, buf_slice(&text));
		assert_scan(expected, buf_slice(&swapped));
	}
}

static void test_keys_that_are_the_same_are_refused(void **state)
{
	static const char *const pairs[][2] = {
		{"status", "status"},
		{"status", "STATUS"},
		{"status", "sTatus"},
		{"status", "\\u0073tatus"},
		{"status", "statu\\u0073"},
		{"status", "\\u0053TATUS"},
		{"\\u0073tatus", "s\\u0074atus"},
		{"\\u0073\\u0074\\u0061\\u0074\\u0075\\u0073", "StAtUs"},
		{"", ""},
		{"a/b", "a\\/b"},
		{"a\\tb", "a\\u0009b"},
		{"a\\\"b", "a\\u0022B"},
		{"a\\\\b", "A\\u005cb"},
		{"闪送", "\\u95ea\\u9001"},
		{"闪送x", "闪\\u9001X"},
		{"\xf0\x9f\x98\x80", "\\ud83d\\ude00"},
		{"\\uD83D\\uDE00", "\\ud83d\\ude00"},
		{"k\xef\xbf\xbf", "K\\uFFFF"},
		{"x", "x"},
		{"subStatusDescription", "substatusdescriptioN"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++)
		assert_keys(-ERR_JSON_KEY_TWICE, pairs[i][0], pairs[i][1]);
}

static void test_keys_that_differ_are_allowed(void **state)
{
	static const char *const pairs[][2] = {
		{"status", "statu"},
		{"status", "status "},
		{"status", "subStatus"},
		{"statusDesc", "subStatusDesc"},
		{"", " "},
		{"a", "aa"},
		{"a\\\\u0062", "ab"},
		{"\\\\", "\\\\\\\\"},
		{"\\n", "\\\\n"},
		{"\\n", "n"},
		/* Case beyond ASCII is not folded: é and É, Kelvin and k, long s and s, ß and ss.
		 */
		{"é", "É"},
		{"\xe2\x84\xaa", "k"},
		{"\xc5\xbf", "s"},
		{"ß", "ss"},
		{"\\u00e9", "\\u00c9"},
		/* The bit that makes a letter small means something else in these. */
		{"a@", "a`"},
		{"a[", "a{"},
		{"a\\u0040", "a`"},
		{"a\\u005b", "a\\u007b"},
		{"abcdefgh@", "abcdefgh`"},
		{"@bcdefghi", "`bcdefghi"},
		{"\xc3\x85", "\xc3\xa5"},
		{"0", "\\u0010"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++)
		assert_keys(0, pairs[i][0], pairs[i][1]);
}

/* Keys of every length around the steps in which they are hashed, changed at every place. */
static void test_keys_are_compared_at_every_place(void **state)
{
	(void)state;
	for (size_t len = 1; len <= 27; len++) {
		for (size_t place = 0; place < len; place++) {
			char key[32] = "";
			char other[32] = "";
			char escaped[40];
			for (size_t i = 0; i < len; i++)
				key[i] = other[i] = (char)('a' + i % 26);
			other[place] = (char)(other[place] - 32);
			assert_keys(-ERR_JSON_KEY_TWICE, key, other);
			snprintf(escaped, sizeof(escaped), "%.*s\\u%04x%s", (int)place, key,
				 (unsigned char)other[place], key + place + 1);
			assert_keys(-ERR_JSON_KEY_TWICE, key, escaped);
			other[place] = '0';
			assert_keys(0, key, other);
			snprintf(escaped, sizeof(escaped), "%.*s\\u0030%s", (int)place, key,
				 key + place + 1);
			assert_keys(0, key, escaped);
			assert_keys(-ERR_JSON_KEY_TWICE, other, escaped);
		}
	}
}

static void test_the_last_of_sixty_four_keys_is_compared_with_all_others(void **state)
{
	(void)state;
	for (int twin = 0; twin < JSON_MEMBERS_MAX - 1; twin++) {
		BUF_AUTO struct buf text = BUF_INIT(LIMIT);
		assert_int_equal(buf_add_char(&text, '{'), 0);
		for (int i = 0; i < JSON_MEMBERS_MAX - 1; i++)
			assert_int_equal(buf_addf(&text, "\"key%d\":0,", i), 0);
		assert_int_equal(buf_addf(&text, "\"KEY%d\":0}", twin), 0);
		assert_scan(-ERR_JSON_KEY_TWICE, buf_slice(&text));
	}
}

static void test_one_key_in_several_objects_is_allowed(void **state)
{
	(void)state;
	assert_scan(0, SLICE("{\"a\":{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]}},\"b\":{\"a\":3}}"));
	/* What an object inside left behind does not count, and what came before it does. */
	assert_scan(0, SLICE("{\"a\":{\"b\":1,\"c\":2},\"b\":{\"c\":1},\"c\":3}"));
	assert_scan(-ERR_JSON_KEY_TWICE, SLICE("{\"a\":{\"b\":1},\"c\":{\"d\":1},\"A\":3}"));
	assert_scan(-ERR_JSON_KEY_TWICE, SLICE("{\"x\":[{\"a\":{\"b\":1},\"c\":[{}],\"a\":3}]}"));
}

static void test_find_compares_the_decoded_key_exactly(void **state)
{
	struct slice text =
		SLICE("{\"status\":1,\"\\u0073ubStatus\":2,\"a\\\\b\":3,\"\":4,\"闪\":5,"
		      "\"\\u9001\":6,\"\\ud83d\\ude00!\":7,\"Desc\":8}");
	static const struct {
		const char *key;
		const char *value;
	} rows[] = {
		{"status", "1"},    {"subStatus", "2"},   {"a\\b", "3"},
		{"", "4"},          {"闪", "5"},          {"送", "6"},
		{"😀!", "7"},        {"Desc", "8"},        {"Status", NULL},
		{"statu", NULL},    {"statuss", NULL},    {"substatus", NULL},
		{"subStatu", NULL}, {"subStatuss", NULL}, {"\\u0073ubStatus", NULL},
		{"a\\\\b", NULL},   {"desc", NULL},       {"\xe9\x80", NULL},
		{"\xff", NULL},     {"😀", NULL},
	};
	struct json_object object;

	(void)state;
	assert_int_equal(json_scan_object(text, &object), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct json_member *m = json_find(&object, rows[i].key);
		if (!rows[i].value) {
			assert_null(m);
			continue;
		}
		assert_non_null(m);
		assert_true(slice_equal_string(m->value, rows[i].value));
	}
	object.n = 0;
	assert_null(json_find(&object, "status"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eight_levels_are_allowed_and_nine_are_not),
		cmocka_unit_test(test_levels_end_with_what_opened_them),
		cmocka_unit_test(test_endless_nesting_costs_no_stack),
		cmocka_unit_test(test_sixty_four_members_are_allowed_and_sixty_five_are_not),
		cmocka_unit_test(test_members_are_counted_in_their_own_object),
		cmocka_unit_test(test_sixty_four_members_on_each_of_eight_levels),
		cmocka_unit_test(test_keys_that_are_the_same_are_refused),
		cmocka_unit_test(test_keys_that_differ_are_allowed),
		cmocka_unit_test(test_keys_are_compared_at_every_place),
		cmocka_unit_test(test_the_last_of_sixty_four_keys_is_compared_with_all_others),
		cmocka_unit_test(test_one_key_in_several_objects_is_allowed),
		cmocka_unit_test(test_find_compares_the_decoded_key_exactly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
