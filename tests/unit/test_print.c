/* What reaches a screen or a script: safe text, widths, tables, machine formats, masking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../../src/tools/print_private.h"
#include "orderhook/err.h"
#include "orderhook/json_scan.h"

static const struct table_column two_columns[] = {
	{.heading = "name", .fit = TABLE_CUT},
	{.heading = "n", .right = true},
};

static struct out memory_out(size_t width, bool colour)
{
	return (struct out){.buf = BUF_INIT(16 * 1024 * 1024),
			    .fd = -1,
			    .interrupt_fd = -1,
			    .tty = width > 0,
			    .colour = colour,
			    .width = width};
}

static void expect_safe(struct slice in, const char *out)
{
	BUF_AUTO struct buf buf = BUF_INIT(4096);

	assert_int_equal(text_add_safe(&buf, in, TEXT_ONE_LINE), 0);
	assert_string_equal(buf.len ? buf.data : "", out);
}

static void expect_cut(const char *in, size_t width, const char *out)
{
	BUF_AUTO struct buf buf = BUF_INIT(4096);

	assert_int_equal(text_add_cut(&buf, slice_of(in), width), 0);
	assert_string_equal(buf.len ? buf.data : "", out);
	assert_true(text_width(buf_slice(&buf)) <= width);
}

static void expect_masked(const char *in, const char *out)
{
	BUF_AUTO struct buf buf = BUF_INIT(64 * 1024);

	assert_int_equal(mask_body(&buf, slice_of(in)), 0);
	assert_string_equal(buf.len ? buf.data : "", out);
}

static void add_row(struct table *table, const char *name, const char *number)
{
	table_cell(table, STYLE_PLAIN, slice_of(name));
	table_cell(table, STYLE_PLAIN, slice_of(number));
}

static void expect_out(struct out *out, const char *text)
{
	assert_int_equal(out->error, 0);
	assert_string_equal(out->buf.len ? out->buf.data : "", text);
	out_release(out);
}

/* ------------------------------------------------------------------ text --------------- */

static void control_characters_are_escaped(void **state)
{
	(void)state;
	expect_safe(SLICE("a\x1b[31mb\n\t\r\x7f"), "a\\x1b[31mb\\x0a\\x09\\x0d\\x7f");
	expect_safe(SLICE("a\0b"), "a\\x00b");
	expect_safe(SLICE("\xc2\x9b\x33m"), "\\u{9b}3m"); /* CSI in one character */
}

static void bidi_and_invisible_characters_are_escaped(void **state)
{
	(void)state;
	expect_safe(SLICE("\u202e05\u202c"), "\\u{202e}05\\u{202c}");
	expect_safe(SLICE("\u2066x\u200b\ufeff\u2028"), "\\u{2066}x\\u{200b}\\u{feff}\\u{2028}");
	expect_safe(SLICE("\U000e0041"), "\\u{e0041}");
}

static void invalid_utf8_is_escaped_byte_by_byte(void **state)
{
	(void)state;
	expect_safe(SLICE("\xff\xc3(\xe4\xb8"), "\\xff\\xc3(\\xe4\\xb8");
	expect_safe(SLICE("\xc0\x80"), "\\xc0\\x80");          /* overlong */
	expect_safe(SLICE("\xed\xa0\x80"), "\\xed\\xa0\\x80"); /* a surrogate */
	expect_safe(SLICE("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

static void ordinary_text_is_kept(void **state)
{
	(void)state;
	expect_safe(SLICE("测师傅 é ~ \\ \""), "测师傅 é ~ \\ \"");
}

static void line_breaks_are_kept_where_lines_are_wanted(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(64);

	(void)state;
	assert_int_equal(text_add_safe(&buf, SLICE("a\n\tb\r\x1b"), TEXT_KEEP_LINES), 0);
	assert_string_equal(buf.data, "a\n\tb\\x0d\\x1b");
	buf_reset(&buf);
	assert_int_equal(text_add_safe(&buf, SLICE("Host: x\r\n\r\r\n\r"), TEXT_KEEP_LINES), 0);
	assert_string_equal(buf.data, "Host: x\n\\x0d\n\\x0d");
}

static void every_unsafe_code_point_leaves_only_printable_ascii(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 0x80; c++) {
		BUF_AUTO struct buf buf = BUF_INIT(64);
		char byte = (char)c;
		assert_int_equal(text_add_safe(&buf, (struct slice){&byte, 1}, TEXT_ONE_LINE), 0);
		for (size_t i = 0; i < buf.len; i++)
			assert_in_range(buf.data[i], 0x20, 0x7e);
	}
}

static void width_counts_columns_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(text_width(SLICE("")), 0);
	assert_int_equal(text_width(SLICE("abc")), 3);
	assert_int_equal(text_width(SLICE("送回中")), 6);
	assert_int_equal(text_width(SLICE("é")), 1);
	assert_int_equal(text_width(SLICE("e\u0301")), 1); /* combining */
}

static void cut_text_ends_in_an_ellipsis_and_fits(void **state)
{
	(void)state;
	expect_cut("abcdef", 6, "abcdef");
	expect_cut("abcdef", 5, "abcd…");
	expect_cut("物品送回中", 10, "物品送回中");
	expect_cut("物品送回中", 9, "物品送回…");
	expect_cut("物品送回中", 8, "物品送…"); /* half a character is not shown */
	expect_cut("abc", 1, "…");
	expect_cut("abc", 0, "");
}

static void json_text_escapes_what_a_terminal_obeys(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(256);

	(void)state;
	assert_int_equal(text_add_json(&buf, SLICE("\x1b\"\\\n测\u202e\U000e0041\xc2\x9b")), 0);
	assert_string_equal(buf.data, "\"\\u001b\\\"\\\\\\n测\\u202e\\udb40\\udc41\\u009b\"");
}

static void json_text_of_invalid_bytes_is_still_json(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(256);
	struct json_object object;

	(void)state;
	assert_int_equal(buf_add_string(&buf, "{\"a\":"), 0);
	assert_int_equal(text_add_json(&buf, SLICE("x\xff\xe4\xb8")), 0);
	assert_int_equal(buf_add_char(&buf, '}'), 0);
	assert_int_equal(json_scan_object(buf_slice(&buf), &object), 0);
}

/* ------------------------------------------------------------------ table -------------- */

static void columns_are_aligned_by_display_width(void **state)
{
	struct out out = memory_out(0, false);
	struct table *table = table_new(&out, two_columns, 2);

	(void)state;
	add_row(table, "物品送回中", "1");
	add_row(table, "abc", "22");
	table_flush(table);
	table_free(table);
	expect_out(&out, "name         n\n"
			 "物品送回中   1\n"
			 "abc         22\n");
}

static void a_table_without_rows_prints_nothing(void **state)
{
	struct out out = memory_out(0, false);
	struct table *table = table_new(&out, two_columns, 2);

	(void)state;
	table_flush(table);
	table_free(table);
	expect_out(&out, "");
}

static void a_terminal_cuts_what_does_not_fit(void **state)
{
	struct out out = memory_out(20, false);
	struct table *table = table_new(&out, two_columns, 2);

	(void)state;
	add_row(table, "a name that is far too long", "1");
	table_flush(table);
	table_free(table);
	expect_out(&out, "name               n\n"
			 "a name that is f…  1\n");
}

static void a_pipe_gets_everything(void **state)
{
	struct out out = memory_out(0, false);
	struct table *table = table_new(&out, two_columns, 2);
	char name[301];

	(void)state;
	memset(name, 'x', 300);
	name[300] = '\0';
	add_row(table, name, "1");
	table_flush(table);
	table_free(table);
	assert_non_null(strstr(out.buf.data, name));
	out_release(&out);
}

static void numbers_that_people_copy_are_cut_last(void **state)
{
	static const struct table_column columns[] = {
		{.heading = "order", .fit = TABLE_CUT_LATE},
		{.heading = "text", .fit = TABLE_CUT},
	};
	struct out out = memory_out(36, false);
	struct table *table = table_new(&out, columns, 2);

	(void)state;
	add_row(table, "TDH2025053050205843", "a text of forty columns, or a few more..");
	table_flush(table);
	table_free(table);
	expect_out(&out, "order                text\n"
			 "TDH2025053050205843  a text of fort…\n");
}

static void an_optional_column_goes_before_numbers_are_cut(void **state)
{
	static const struct table_column columns[] = {
		{.heading = "order", .fit = TABLE_CUT_LATE},
		{.heading = "more", .optional = true},
	};
	struct out out = memory_out(24, false);
	struct table *table = table_new(&out, columns, 2);

	(void)state;
	add_row(table, "TDH2025053050205843", "whole or not");
	table_flush(table);
	table_free(table);
	expect_out(&out, "order\nTDH2025053050205843\n");
}

static void a_heading_gives_way_to_what_is_under_it(void **state)
{
	static const struct table_column columns[] = {
		{.heading = "order", .fit = TABLE_CUT_LATE},
		{.heading = "reassignments", .right = true},
	};
	struct out out = memory_out(26, false);
	struct table *table = table_new(&out, columns, 2);

	(void)state;
	add_row(table, "TDH2025053050205843", "1");
	table_flush(table);
	table_free(table);
	expect_out(&out, "order                reas…\n"
			 "TDH2025053050205843      1\n");
}

static void no_line_ends_in_blanks(void **state)
{
	struct out out = memory_out(0, false);
	static const struct table_column columns[] = {{.heading = "a"}, {.heading = "note"}};
	struct table *table = table_new(&out, columns, 2);

	(void)state;
	add_row(table, "x", "");
	add_row(table, "", "y");
	table_flush(table);
	table_free(table);
	expect_out(&out, "a  note\nx\n   y\n");
}

static void later_rows_keep_the_widths_or_widen_them(void **state)
{
	struct out out = memory_out(0, false);
	struct table *table = table_new(&out, two_columns, 2);

	(void)state;
	add_row(table, "abcd", "1");
	table_flush(table);
	add_row(table, "ab", "2");
	table_flush(table);
	add_row(table, "abcdef", "3");
	table_flush(table);
	add_row(table, "a", "4");
	table_flush(table);
	table_free(table);
	expect_out(&out, "name  n\n"
			 "abcd  1\n"
			 "ab    2\n"
			 "abcdef  3\n"
			 "a       4\n");
}

static void a_long_table_is_not_kept_in_memory(void **state)
{
	struct out out = memory_out(0, false);
	struct table *table = table_new(&out, two_columns, 2);
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < TABLE_ROWS_MEASURED + 1; i++)
		add_row(table, "abcd", "1");
	for (size_t i = 0; i < out.buf.len; i++)
		lines += out.buf.data[i] == '\n';
	assert_int_equal(lines, TABLE_ROWS_MEASURED + 1); /* the heading, and all but the last */
	table_flush(table);
	table_free(table);
	out_release(&out);
}

static void colour_wraps_cells_and_not_their_padding(void **state)
{
	struct out out = memory_out(80, true);
	struct table *table = table_new(&out, two_columns, 2);

	(void)state;
	table_cell(table, STYLE_ALARM, SLICE("ab"));
	table_cell(table, STYLE_PLAIN, SLICE("1"));
	table_flush(table);
	table_free(table);
	expect_out(&out, "\033[1mname\033[0m  \033[1mn\033[0m\n"
			 "\033[1;31mab\033[0m    1\n");
}

static void without_colour_there_is_no_escape(void **state)
{
	struct out out = memory_out(80, false);
	struct table *table = table_new(&out, two_columns, 2);

	(void)state;
	table_cell(table, STYLE_ALARM, SLICE("\x1b[2J"));
	table_cell(table, STYLE_ALARM, SLICE("1"));
	table_flush(table);
	table_free(table);
	assert_null(strchr(out.buf.data, 0x1b));
	out_release(&out);
}

/* ------------------------------------------------------------------ rows --------------- */

static const char *const names[] = {"id", "text"};

static struct store_row row_of(int64_t id, const char *digits, const char *text)
{
	struct store_row row = {.n = 2};

	row.values[0] = (struct store_value){STORE_INTEGER, id, slice_of(digits)};
	if (text)
		row.values[1] = (struct store_value){STORE_TEXT, 0, slice_of(text)};
	return row;
}

static void expect_rows(enum print_format format, const struct store_row *rows, size_t n,
			const char *text)
{
	struct out out = memory_out(0, false);
	struct rows printed = {&out, format, names, 2, 0};

	rows_begin(&printed);
	for (size_t i = 0; i < n; i++)
		rows_add(&printed, &rows[i]);
	rows_end(&printed);
	expect_out(&out, text);
}

static void json_is_one_array_of_typed_values(void **state)
{
	struct store_row rows[] = {row_of(9007199254740993, "9007199254740993", NULL),
				   row_of(2, "2", "a\"b")};

	(void)state;
	expect_rows(
		PRINT_JSON, rows, 2,
		"[\n{\"id\":9007199254740993,\"text\":null},\n{\"id\":2,\"text\":\"a\\\"b\"}\n]\n");
	expect_rows(PRINT_JSON, rows, 0, "[]\n");
}

static void jsonl_is_one_object_a_line(void **state)
{
	struct store_row rows[] = {row_of(1, "1", "x\ny"), row_of(2, "2", NULL)};

	(void)state;
	expect_rows(PRINT_JSONL, rows, 2,
		    "{\"id\":1,\"text\":\"x\\ny\"}\n{\"id\":2,\"text\":null}\n");
	expect_rows(PRINT_JSONL, rows, 0, "");
}

static void csv_quotes_as_rfc_4180_says(void **state)
{
	struct store_row rows[] = {row_of(1, "1", "a,b"), row_of(2, "2", "say \"x\""),
				   row_of(3, "3", "two\nlines"), row_of(4, "4", NULL),
				   row_of(5, "5", "")};

	(void)state;
	expect_rows(PRINT_CSV, rows, 5,
		    "id,text\r\n1,\"a,b\"\r\n2,\"say "
		    "\"\"x\"\"\"\r\n3,\"two\nlines\"\r\n4,\r\n5,\"\"\r\n");
}

static void csv_on_a_terminal_is_escaped(void **state)
{
	struct out out = memory_out(80, false);
	struct rows printed = {&out, PRINT_CSV, names, 2, 0};
	struct store_row row = row_of(1, "1", "\x1b[2J\u202e");

	(void)state;
	rows_add(&printed, &row);
	expect_out(&out, "1,\\x1b[2J\\u{202e}\r\n");
}

static void a_copied_row_outlives_its_texts(void **state)
{
	char digits[] = "42";
	char text[] = "abc";
	struct store_row row = row_of(42, digits, text);
	struct row_copy copy;

	(void)state;
	assert_int_equal(row_copy(&row, &copy), 0);
	memset(digits, 'x', 2);
	memset(text, 'x', 3);
	assert_true(slice_equal_string(copy.row.values[0].text, "42"));
	assert_true(slice_equal_string(copy.row.values[1].text, "abc"));
	row_copy_release(&copy);
	row_copy_release(&copy);
	row_copy_release(NULL);
}

/* ------------------------------------------------------------------ masking ------------ */

static void people_and_codes_are_masked_at_any_depth(void **state)
{
	(void)state;
	expect_masked("{\"status\":30,\"courier\":{\"id\":\"C1\",\"name\":\"测师傅\","
		      "\"mobile\":\"13800138000\",\"latitude\":1.5},\"pickupPassword\":\"4004\"}",
		      "{\"status\":30,\"courier\":{\"id\":\"C1\",\"name\":\"***\","
		      "\"mobile\":\"***\",\"latitude\":\"***\"},\"pickupPassword\":\"***\"}");
}

static void a_masked_value_may_be_of_any_type(void **state)
{
	(void)state;
	expect_masked("{\"gcj02Trail\":[{\"a\":\"]\"},[1]],\"name\":{\"x\":\"}\"},\"mobile\":null}",
		      "{\"gcj02Trail\":\"***\",\"name\":\"***\",\"mobile\":\"***\"}");
}

static void an_escaped_key_is_masked_too(void **state)
{
	(void)state;
	expect_masked("{\"\\u006dobile\" : \"13800138000\"}", "{\"\\u006dobile\" : \"***\"}");
}

static void an_envelopes_data_is_masked_inside(void **state)
{
	(void)state;
	expect_masked(
		"{\"data\":\"{\\\"courier\\\":{\\\"name\\\":\\\"x\\\"},\\\"status\\\":20}\"}",
		"{\"data\":\"{\\\"courier\\\":{\\\"name\\\":\\\"***\\\"},\\\"status\\\":20}\"}");
}

static void a_phone_in_a_free_text_is_masked(void **state)
{
	(void)state;
	expect_masked("{\"abortReason\":\"call 13800138000 now\",\"a\":8613800138000}",
		      "{\"abortReason\":\"call *** now\",\"a\":***}");
}

static void order_numbers_and_times_are_kept(void **state)
{
	const char *body = "{\"issOrderNo\":\"TDH2025053050205843\",\"timestamp\":1748595319000,"
			   "\"orderNo\":\"cp451412923563114496\",\"drawback\":0}";

	(void)state;
	expect_masked(body, body);
}

static void a_form_is_masked_by_its_names(void **state)
{
	(void)state;
	expect_masked("status=30&courier=%7B%22name%22%3A%22x%22%7D&deliveryPassw%6frd=4004&a=1",
		      "status=30&courier=***&deliveryPassw%6frd=***&a=1");
}

static void what_begins_like_json_and_is_not_is_refused(void **state)
{
	BUF_AUTO struct buf buf = BUF_INIT(1024);

	(void)state;
	assert_int_not_equal(mask_body(&buf, SLICE("{\"mobile\":\"138001")), 0);
	assert_int_not_equal(mask_body(&buf, SLICE("{\"a\":1} x")), 0);
}

/* ------------------------------------------------------------------ output ------------- */

static void a_failed_write_sticks(void **state)
{
	struct out out;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	out_init(&out, fd);
	out_string(&out, "x");
	assert_int_equal(out_flush(&out), -1);
	assert_int_equal(out.error, ENOSPC);
	out_string(&out, "y");
	assert_int_equal(out.buf.len, 0);
	assert_int_equal(out_flush(&out), -1);
	out_release(&out);
	close(fd);
}

static void a_blocked_write_can_be_given_up(void **state)
{
	struct out out;
	char block[65536] = {0};
	int data[2];
	int interrupt[2];

	(void)state;
	assert_int_equal(pipe2(data, O_CLOEXEC), 0);
	assert_int_equal(pipe2(interrupt, O_CLOEXEC), 0);
	out_init(&out, data[1]);
	out.interrupt_fd = interrupt[0];
	/* Nobody reads the pipe: more than it holds is only returned from by the interrupt. */
	assert_int_equal(write(interrupt[1], "x", 1), 1);
	for (int i = 0; i < 40 && !out.error; i++)
		out_bytes(&out, block, sizeof(block));
	assert_int_equal(out_flush(&out), -1);
	assert_int_equal(out.error, ECANCELED);
	out_release(&out);
	for (int i = 0; i < 2; i++) {
		close(data[i]);
		close(interrupt[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(bidi_and_invisible_characters_are_escaped),
		cmocka_unit_test(invalid_utf8_is_escaped_byte_by_byte),
		cmocka_unit_test(ordinary_text_is_kept),
		cmocka_unit_test(line_breaks_are_kept_where_lines_are_wanted),
		cmocka_unit_test(every_unsafe_code_point_leaves_only_printable_ascii),
		cmocka_unit_test(width_counts_columns_not_bytes),
		cmocka_unit_test(cut_text_ends_in_an_ellipsis_and_fits),
		cmocka_unit_test(json_text_escapes_what_a_terminal_obeys),
		cmocka_unit_test(json_text_of_invalid_bytes_is_still_json),
		cmocka_unit_test(columns_are_aligned_by_display_width),
		cmocka_unit_test(a_table_without_rows_prints_nothing),
		cmocka_unit_test(a_terminal_cuts_what_does_not_fit),
		cmocka_unit_test(a_pipe_gets_everything),
		cmocka_unit_test(numbers_that_people_copy_are_cut_last),
		cmocka_unit_test(an_optional_column_goes_before_numbers_are_cut),
		cmocka_unit_test(a_heading_gives_way_to_what_is_under_it),
		cmocka_unit_test(no_line_ends_in_blanks),
		cmocka_unit_test(later_rows_keep_the_widths_or_widen_them),
		cmocka_unit_test(a_long_table_is_not_kept_in_memory),
		cmocka_unit_test(colour_wraps_cells_and_not_their_padding),
		cmocka_unit_test(without_colour_there_is_no_escape),
		cmocka_unit_test(json_is_one_array_of_typed_values),
		cmocka_unit_test(jsonl_is_one_object_a_line),
		cmocka_unit_test(csv_quotes_as_rfc_4180_says),
		cmocka_unit_test(csv_on_a_terminal_is_escaped),
		cmocka_unit_test(a_copied_row_outlives_its_texts),
		cmocka_unit_test(people_and_codes_are_masked_at_any_depth),
		cmocka_unit_test(a_masked_value_may_be_of_any_type),
		cmocka_unit_test(an_escaped_key_is_masked_too),
		cmocka_unit_test(an_envelopes_data_is_masked_inside),
		cmocka_unit_test(a_phone_in_a_free_text_is_masked),
		cmocka_unit_test(order_numbers_and_times_are_kept),
		cmocka_unit_test(a_form_is_masked_by_its_names),
		cmocka_unit_test(what_begins_like_json_and_is_not_is_refused),
		cmocka_unit_test(a_failed_write_sticks),
		cmocka_unit_test(a_blocked_write_can_be_given_up),
	};

	text_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
