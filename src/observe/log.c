/*
 * systemd tells in $JOURNAL_STREAM which file its journal's stream is. When stderr is that file,
 * entries are sent to the journal's own socket, because a stream carries no fields. Otherwise, and
 * whenever the journal does not take an entry, one line is one write() to stderr: lines of several
 * threads never mix, and no lock is held for it.
 */
#include "orderhook/log.h"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "orderhook/text.h"

#define LINE_BYTES 2048
#define FIELD_BYTES 128
#define FIELDS_MAX 9

static const struct {
	int priority;
	const char *id;
} messages[MESSAGE_MAX] = {
#define MESSAGE(name, id, priority, subject, explanation) [MESSAGE_##name] = {LOG_##priority, id},
#include "orderhook/tbl/message.def"
#undef MESSAGE
};

static atomic_int level = LOG_INFO;

void log_set_level(int priority)
{
	atomic_store_explicit(&level, priority, memory_order_relaxed);
}

bool log_allowed(struct log_limit *limit, int64_t now_us, int64_t lines_per_second)
{
	int64_t now = now_us / 1000000;

	if (atomic_load_explicit(&limit->second, memory_order_relaxed) != now) {
		atomic_store_explicit(&limit->second, now, memory_order_relaxed);
		atomic_store_explicit(&limit->lines, 0, memory_order_relaxed);
	}
	return atomic_fetch_add_explicit(&limit->lines, 1, memory_order_relaxed) < lines_per_second;
}

/* Asked for each line: the answer costs a system call, and stderr may be redirected meanwhile. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device;
	uintmax_t inode;
	struct stat status;

	return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == (dev_t)device &&
	       status.st_ino == (ino_t)inode;
}

/* Copies text with what is no text made visible; what does not fit is cut. */
static size_t escape(struct slice text, char *out, size_t cap)
{
	size_t len = 0;

	while (text.len && len + 11 < cap) {
		uint32_t c = 0;
		size_t bytes = text_decode(text, &c);
		if (bytes == 0 || (c < 0x80 && text_unsafe(c)))
			len += (size_t)snprintf(out + len, cap - len, "\\x%02x",
						(unsigned char)text.at[0]);
		else if (text_unsafe(c))
			len += (size_t)snprintf(out + len, cap - len, "\\u{%x}", (unsigned)c);
		else
			for (size_t i = 0; i < bytes; i++)
				out[len++] = text.at[i];
		bytes = bytes ? bytes : 1;
		text.at += bytes;
		text.len -= bytes;
	}
	out[len] = '\0';
	return len;
}

/* The fields of one entry: each "NAME=value", in memory of its own. */
struct entry {
	struct iovec parts[FIELDS_MAX + 1];
	char texts[FIELDS_MAX][FIELD_BYTES];
	int n;
};

static void add_field(struct entry *entry, const char *name, const char *value)
{
	char *text = entry->texts[entry->n];
	int len;

	if (!value || !value[0])
		return;
	len = snprintf(text, FIELD_BYTES, "%s=%s", name, value);
	if (len < 0 || len >= FIELD_BYTES)
		return;
	entry->parts[entry->n++] = (struct iovec){text, (size_t)len};
}

static void add_number(struct entry *entry, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	add_field(entry, name, text);
}

static bool send_entry(int priority, const char *id, const struct log_fields *fields, char *text,
		       size_t len)
{
	struct entry entry = {.n = 0};

	add_number(&entry, "PRIORITY", priority);
	add_field(&entry, "SYSLOG_IDENTIFIER", "orderhookd");
	add_field(&entry, "MESSAGE_ID", id);
	if (fields) {
		add_field(&entry, "ORDER_NO", fields->order_no);
		add_field(&entry, "ISS_ORDER_NO", fields->iss_order_no);
		if (fields->event_id)
			add_number(&entry, "EVENT_ID", fields->event_id);
		add_field(&entry, "VERDICT", fields->verdict);
		add_field(&entry, "ENDPOINT", fields->endpoint);
		add_field(&entry, "REQUEST_ID", fields->request_id);
	}
	entry.parts[entry.n++] = (struct iovec){text, len};
	return sd_journal_sendv(entry.parts, entry.n) == 0;
}

static void write_line(int priority, const char *text)
{
	char line[LINE_BYTES + 8];
	const char *prefix =
		isatty(STDERR_FILENO) ? "" : (char[]){'<', (char)('0' + priority), '>', 0};
	int len = snprintf(line, sizeof(line), "%s%s\n", prefix, text);

	/* Nobody is left to tell when the log itself cannot be written. */
	if (len < 0 || write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

static void log_text(int priority, const char *id, const struct log_fields *fields,
		     const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void log_text(int priority, const char *id, const struct log_fields *fields,
		     const char *format, va_list args)
{
	static const char name[] = "MESSAGE=";
	char text[LINE_BYTES];
	char escaped[LINE_BYTES];
	size_t len = sizeof(name) - 1;

	if (priority > atomic_load_explicit(&level, memory_order_relaxed))
		return;
	vsnprintf(text, sizeof(text), format, args);
	memcpy(escaped, name, len);
	len += escape(slice_of(text), escaped + len, sizeof(escaped) - len);
	if (is_journal() && send_entry(priority, id, fields, escaped, len))
		return;
	write_line(priority, escaped + sizeof(name) - 1);
}

void log_message(enum log_message message, const struct log_fields *fields, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_text(messages[message].priority, messages[message].id, fields, format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_text(LOG_DEBUG, NULL, NULL, format, args);
	va_end(args);
}
