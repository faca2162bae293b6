/* One line is one write(): lines of several threads never mix, and no lock is held for it. */
#include "orderhook/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES 2048

static atomic_int level = LOG_INFO;

void log_set_level(int priority)
{
	atomic_store_explicit(&level, priority, memory_order_relaxed);
}

/* Copies text with control characters made visible; what does not fit is cut. */
static size_t escape(const char *text, char *out, size_t cap)
{
	size_t len = 0;

	for (; *text && len + 5 < cap; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x20 || c == 0x7f)
			len += (size_t)snprintf(out + len, cap - len, "\\x%02x", c);
		else
			out[len++] = (char)c;
	}
	return len;
}

void log_write(int priority, const char *format, ...)
{
	char text[LINE_BYTES];
	char line[LINE_BYTES];
	size_t len = 0;
	va_list args;

	if (priority > atomic_load_explicit(&level, memory_order_relaxed))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!isatty(STDERR_FILENO))
		len = (size_t)snprintf(line, sizeof(line), "<%d>", priority & LOG_PRIMASK);
	len += escape(text, line + len, sizeof(line) - len - 1);
	line[len++] = '\n';
	/* Nobody is left to tell when the log itself cannot be written. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
