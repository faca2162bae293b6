/*
 * Lines. libinih decides what is a section and what is key = value; this reader stands before it
 * and hands it one line at a time (ini_parse_stream), which is how a line gets its number, and how
 * what the packaged library would do silently is refused instead:
 *
 * - It cuts a line at 200 bytes: of a longer one it gets the head, in which section or key and `=`
 *   are, and the tail is put behind the value that it found.
 * - A later version drops what follows a line that fills its buffer: so none does.
 * - It cuts a section's name at 49: the name is taken from the line, and the library's must be its
 *   head.
 * - It tells of no section: each one is followed by an empty `=`, so that its handler is called.
 * - It cuts a value at " ;": a blank before ; or # is refused; comments stand on their own lines.
 * - It joins any indented line: only below a list that is still open.
 * - It takes `key: value`: refused, there is one way to write a key.
 * - It passes over what it does not understand: a line that its handler was not called for is
 *   refused.
 *
 * docs/decisions/0001-config-reader.md has the alternatives.
 */
#include <ini.h>
#include <string.h>

#include "config_private.h"
#include "orderhook/json_scan.h"

#define BOM "\xef\xbb\xbf"

enum expectation {
	EXPECT_NOTHING = 0,
	EXPECT_PROBE,   /* a section line was handed out; the empty `=` is next */
	EXPECT_SECTION, /* the handler is to be called for the empty `=` */
	EXPECT_KEY,
	EXPECT_MORE
};

struct reader {
	struct config_parser *parser;
	struct slice rest;
	enum expectation expected;
	struct slice section; /* the name in the last section line */
	struct slice tail;    /* of the last line: what the library did not get */
};

static struct slice cut_line(struct slice *rest)
{
	const char *end = memchr(rest->at, '\n', rest->len);
	struct slice line = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
	size_t taken = end ? line.len + 1 : line.len;

	*rest = (struct slice){rest->at + taken, rest->len - taken};
	return line;
}

static int check_bytes(struct config_parser *parser, struct slice line)
{
	if (line.len > CONFIG_LINE_BYTES_MAX)
		return config_fail(
			parser, parser->line,
			"the line is longer than %d bytes; a list may go on in indented lines",
			CONFIG_LINE_BYTES_MAX);
	if (line.len && line.at[line.len - 1] == '\r')
		return config_fail(
			parser, parser->line,
			"the line ends in a carriage return; save the file with Unix line ends");
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.at[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return config_fail(parser, parser->line,
					   "the line has the control character 0x%02x; allowed is "
					   "text in UTF-8",
					   c);
	}
	if (!json_valid_utf8(line))
		return config_fail(parser, parser->line, "the line is not UTF-8");
	return 0;
}

/* A comment after a value would become part of it, or silently cut it. */
static bool has_comment_behind(struct slice line)
{
	for (size_t i = 1; i < line.len; i++) {
		bool blank = line.at[i - 1] == ' ' || line.at[i - 1] == '\t';
		if (blank && (line.at[i] == '#' || line.at[i] == ';'))
			return true;
	}
	return false;
}

/* What the line must be, from its first byte; the library has the last word on all but the indent.
 */
static int classify(struct reader *reader, struct slice line, struct slice text)
{
	struct config_parser *parser = reader->parser;

	if (line.at != text.at) {
		if (!parser->list)
			return config_fail(
				parser, parser->line,
				"an indented line goes on with a list, and there is none above it");
		reader->expected = EXPECT_MORE;
		return 0;
	}
	if (text.at[0] != '[') {
		size_t key = 0;
		while (key < text.len && text.at[key] != '=' && text.at[key] != ':')
			key++;
		if (key == text.len || text.at[key] == ':')
			return config_fail(parser, parser->line,
					   "the line is neither [section] nor key = value");
		reader->expected = EXPECT_KEY;
		return 0;
	}
	if (text.at[text.len - 1] != ']')
		return config_fail(parser, parser->line,
				   "the line begins with [ and does not end with ]");
	reader->section = (struct slice){text.at + 1, text.len - 2};
	reader->expected = EXPECT_PROBE;
	return 0;
}

/* The next line that says something. 1, 0 at the end, or an error. */
static int next_text(struct reader *reader, struct slice *ret_line)
{
	struct config_parser *parser = reader->parser;

	while (reader->rest.len) {
		struct slice line = cut_line(&reader->rest);
		parser->line++;
		int err = check_bytes(parser, line);
		if (err)
			return err;
		struct slice text = slice_trim(line);
		if (text.len == 0) {
			parser->list = NULL;
			continue;
		}
		if (text.at[0] == '#' || text.at[0] == ';')
			continue;
		if (has_comment_behind(text))
			return config_fail(parser, parser->line,
					   "a comment behind a value would become part of it; put "
					   "it on a line of its own");
		err = classify(reader, line, text);
		if (err)
			return err;
		*ret_line = (struct slice){line.at, (size_t)(text.at + text.len - line.at)};
		return 1;
	}
	return 0;
}

static bool was_ignored(const struct reader *reader)
{
	return reader->expected != EXPECT_NOTHING && reader->expected != EXPECT_PROBE;
}

static void fail_ignored(struct reader *reader)
{
	config_fail(reader->parser, reader->parser->line,
		    reader->expected == EXPECT_SECTION
			    ? "the line is not one [section]"
			    : "the line is neither [section] nor key = value");
}

/* libinih's reader: like fgets(). */
static char *read_line(char *out, int cap, void *stream)
{
	struct reader *reader = stream;
	struct slice line = {NULL, 0};
	size_t head;

	if (reader->parser->err)
		return NULL;
	if (was_ignored(reader)) {
		fail_ignored(reader);
		return NULL;
	}
	if (reader->expected == EXPECT_PROBE) {
		reader->expected = EXPECT_SECTION;
		memcpy(out, "=", 2);
		return out;
	}
	if (next_text(reader, &line) <= 0)
		return NULL;
	/* One byte short of full: libinih 59 takes a full buffer for a line that is cut in two, and
	 * throws what it reads next away. */
	head = line.len < (size_t)cap - 2 ? line.len : (size_t)cap - 2;
	/* The library drops blanks at the end of what it gets; here they may be inside a value. */
	while (line.at[head - 1] == ' ' || line.at[head - 1] == '\t')
		head--;
	memcpy(out, line.at, head);
	out[head] = '\0';
	reader->tail = (struct slice){line.at + head, line.len - head};
	return out;
}

static void on_section(struct reader *reader, struct slice seen)
{
	if (!slice_starts_with(reader->section, seen)) {
		fail_ignored(reader);
		return;
	}
	reader->expected = EXPECT_NOTHING;
	config_on_section(reader->parser, reader->section);
}

/* libinih's handler. Its result would only count errors; ours are in the parser. */
static int handle(void *context, const char *section, const char *name, const char *value)
{
	char whole[CONFIG_LINE_BYTES_MAX + 1];
	struct reader *reader = context;
	enum expectation expected = reader->expected;
	struct slice head = slice_of(value);

	if (expected == EXPECT_SECTION) {
		on_section(reader, slice_of(section));
		return 1;
	}
	reader->expected = EXPECT_NOTHING;
	memcpy(whole, head.at, head.len);
	memcpy(whole + head.len, reader->tail.at, reader->tail.len);
	struct slice text = slice_trim((struct slice){whole, head.len + reader->tail.len});
	if (expected == EXPECT_MORE)
		config_on_more(reader->parser, text);
	else
		config_on_key(reader->parser, slice_of(name), text);
	return 1;
}

int config_read_lines(struct config_parser *parser, struct slice text)
{
	struct reader reader = {.parser = parser, .rest = text};
	struct slice bom = SLICE(BOM);

	if (slice_starts_with(text, bom))
		reader.rest = (struct slice){text.at + bom.len, text.len - bom.len};
	if (ini_parse_stream(read_line, &reader, handle, &reader) == -2)
		return config_fail_nomem(parser);
	return parser->err;
}
