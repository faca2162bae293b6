/*
 * Words of the event's enums, one array each, and its notes: text for a person, so when there is no
 * more room the notes say that there was more and never grow again.
 */
#include "orderhook/event.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SEPARATOR "; "
#define ELLIPSIS "…"

static const char *const auth_keys[EVENT_AUTH_MAX] = {
	[EVENT_AUTH_TOKEN] = "token",
	[EVENT_AUTH_SIGNED] = "signed",
};

static const char *const source_keys[EVENT_SOURCE_MAX] = {
	[EVENT_CALLBACK] = "callback",
	[EVENT_READMIT] = "readmit",
};

static const char *const occurred_from_keys[EVENT_OCCURRED_FROM_MAX] = {
	[EVENT_FROM_PLATFORM] = "platform",
	[EVENT_FROM_RECEIPT] = "receipt",
};

static int index_of(const char *const *keys, int n, struct slice key)
{
	for (int i = 0; i < n; i++) {
		if (slice_equal_string(key, keys[i]))
			return i;
	}
	return -1;
}

const char *event_auth_key(enum event_auth auth)
{
	assert(auth < EVENT_AUTH_MAX);
	return auth_keys[auth];
}

const char *event_source_key(enum event_source source)
{
	assert(source < EVENT_SOURCE_MAX);
	return source_keys[source];
}

const char *event_occurred_from_key(enum event_occurred_from from)
{
	assert(from < EVENT_OCCURRED_FROM_MAX);
	return occurred_from_keys[from];
}

int event_auth_of_key(struct slice key)
{
	return index_of(auth_keys, EVENT_AUTH_MAX, key);
}

int event_source_of_key(struct slice key)
{
	return index_of(source_keys, EVENT_SOURCE_MAX, key);
}

int event_occurred_from_of_key(struct slice key)
{
	return index_of(occurred_from_keys, EVENT_OCCURRED_FROM_MAX, key);
}

static bool ends_in_ellipsis(const char *text, size_t len)
{
	size_t mark = sizeof(ELLIPSIS) - 1;

	return len >= mark && memcmp(text + len - mark, ELLIPSIS, mark) == 0;
}

/* The longest start of text of at most len bytes that splits no character of UTF-8. */
static size_t whole_characters(const char *text, size_t len)
{
	while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
		len--;
	return len;
}

void event_note(struct event *event, const char *format, ...)
{
	/* Room for the mark is never given to a note, so that it can always be set. */
	static const size_t text_max = EVENT_NOTES_BYTES - sizeof(ELLIPSIS);
	char notes[2 * EVENT_NOTES_BYTES + sizeof(SEPARATOR)];
	size_t len = strnlen(event->notes, EVENT_NOTES_BYTES - 1);
	va_list arguments;

	if (ends_in_ellipsis(event->notes, len))
		return;
	memcpy(notes, event->notes, len);
	if (len > 0) {
		memcpy(notes + len, SEPARATOR, sizeof(SEPARATOR) - 1);
		len += sizeof(SEPARATOR) - 1;
	}
	va_start(arguments, format);
	vsnprintf(notes + len, sizeof(notes) - len, format, arguments);
	va_end(arguments);

	len = strlen(notes);
	if (len > text_max) {
		len = whole_characters(notes, text_max);
		memcpy(notes + len, ELLIPSIS, sizeof(ELLIPSIS) - 1);
		len += sizeof(ELLIPSIS) - 1;
		notes[len] = '\0';
	}
	memcpy(event->notes, notes, len + 1);
}
