/*
 * Text for a screen. What is stored came from outside: an escape sequence in a courier's id must
 * not move the cursor of whoever looks at it, and a bidi control must not make 50 look like 05. So
 * text is made safe first, and only safe text is measured and cut. Our output is UTF-8 whatever the
 * locale says; the locale is only asked for the widths, and replaced where it cannot know them.
 */
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <wchar.h>

#include "orderhook/err.h"
#include "orderhook/text.h"
#include "print_private.h"

#define ELLIPSIS "…"
#define REPLACEMENT "\xEF\xBF\xBD"

void text_init(void)
{
	if (setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
		return;
	setlocale(LC_CTYPE, "C.UTF-8");
}

int text_add_safe(struct buf *buf, struct slice text, enum text_lines lines)
{
	int err = 0;

	while (text.len && !err) {
		uint32_t c = 0;
		size_t len = text_decode(text, &c);
		bool line = lines == TEXT_KEEP_LINES && (c == '\n' || c == '\t');
		/* A head's line ends in CR LF, which is one line end and no more. */
		bool line_end =
			lines == TEXT_KEEP_LINES && c == '\r' && text.len > 1 && text.at[1] == '\n';
		if (line_end)
			err = 0;
		else if (len == 0 || (c < 0x80 && text_unsafe(c) && !line))
			err = buf_addf(buf, "\\x%02x", (unsigned)(unsigned char)text.at[0]);
		else if (c >= 0x80 && (text_unsafe(c) || wcwidth((wchar_t)c) < 0))
			err = buf_addf(buf, "\\u{%x}", (unsigned)c);
		else
			err = buf_add(buf, text.at, len);
		len = len ? len : 1;
		text.at += len;
		text.len -= len;
	}
	return err;
}

static int add_json_code_point(struct buf *buf, struct slice text, size_t len, uint32_t c)
{
	if (len == 0)
		return buf_add_string(buf, REPLACEMENT);
	if (c == '"' || c == '\\')
		return buf_addf(buf, "\\%c", (char)c);
	if (!text_unsafe(c))
		return buf_add(buf, text.at, len);
	if (c == '\n')
		return buf_add_string(buf, "\\n");
	if (c < 0x10000)
		return buf_addf(buf, "\\u%04x", (unsigned)c);
	return buf_addf(buf, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (c >> 10)),
			(unsigned)(0xdc00 + (c & 0x3ff)));
}

int text_add_json(struct buf *buf, struct slice text)
{
	int err = buf_add_char(buf, '"');

	while (text.len && !err) {
		uint32_t c = 0;
		size_t len = text_decode(text, &c);
		err = add_json_code_point(buf, text, len, c);
		len = len ? len : 1;
		text.at += len;
		text.len -= len;
	}
	return err ? err : buf_add_char(buf, '"');
}

/* Bytes of the longest front of text that takes at most width columns. */
static size_t front(struct slice text, size_t width, size_t *ret_width)
{
	size_t taken = 0;
	size_t at = 0;

	while (at < text.len) {
		uint32_t c = 0;
		size_t len = text_decode((struct slice){text.at + at, text.len - at}, &c);
		int columns = wcwidth((wchar_t)c);
		size_t wide = columns < 0 ? 1 : (size_t)columns;
		if (taken + wide > width)
			break;
		taken += wide;
		at += len ? len : 1;
	}
	*ret_width = taken;
	return at;
}

size_t text_width(struct slice safe)
{
	size_t width;

	front(safe, SIZE_MAX / 2, &width);
	return width;
}

int text_add_cut(struct buf *buf, struct slice safe, size_t width)
{
	size_t used;
	int err;

	if (front(safe, width, &used) == safe.len)
		return buf_add_slice(buf, safe);
	if (width == 0)
		return 0;
	err = buf_add(buf, safe.at, front(safe, width - 1, &used));
	return err ? err : buf_add_string(buf, ELLIPSIS);
}
