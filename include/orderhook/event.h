/*
 * The normalised event: what a platform's callback says, in fixed bounds, without a pointer into
 * the body. Made by an adapter, judged by the machine, written by the store.
 */
#pragma once

#include "orderhook/buf.h"
#include "orderhook/digest.h"

#define EVENT_ID_BYTES_MAX 64 /* order numbers and shop [A-Za-z0-9_.:-]{1,64}, courier */
#define EVENT_STATUS_MAX 999
#define EVENT_SUB_ABSENT (-1)
#define EVENT_NOTES_BYTES 256
/* A statusChangeTime further ahead is no time. */
#define EVENT_TIME_AHEAD_MS (10 * 60 * 1000)
/* Of events without a time, equal ones this close are one. */
#define EVENT_SAME_WITHIN_MS (10 * 60 * 1000)

enum event_kind {
	EVENT_ORDER = 0, /* a change of an order's status */
	EVENT_OTHER,     /* another callbackEvent: kept, judged by nobody */
	EVENT_KIND_MAX
};

enum event_auth {
	EVENT_AUTH_TOKEN = 0, /* the URL's token, and the identity in the body */
	EVENT_AUTH_SIGNED,
	EVENT_AUTH_MAX
};

enum event_source {
	EVENT_CALLBACK = 0,
	EVENT_READMIT,
	EVENT_SOURCE_MAX
};

enum event_occurred_from {
	EVENT_FROM_PLATFORM = 0, /* statusChangeTime */
	EVENT_FROM_RECEIPT,      /* there was none: the time of receipt stands in */
	EVENT_OCCURRED_FROM_MAX
};

struct event {
	enum event_kind kind;
	enum event_auth auth;
	enum event_source source;
	enum event_occurred_from occurred_from;
	bool stale;     /* signed too long ago: counts only if it turns out to be a duplicate */
	int status;     /* 0 to 999 */
	int sub_status; /* 0 to 999 or EVENT_SUB_ABSENT */
	int64_t occurred_ms;
	int64_t received_ms;
	/* NUL-terminated; "" when absent */
	char iss_order_no[EVENT_ID_BYTES_MAX + 1];
	char order_no[EVENT_ID_BYTES_MAX + 1];
	char shop_id[EVENT_ID_BYTES_MAX + 1];
	char courier_id[EVENT_ID_BYTES_MAX + 1];
	char callback_event[EVENT_ID_BYTES_MAX + 1];
	/* SHA-256 of the normalised members: equal for two deliveries of one event. */
	uint8_t content[DIGEST_SHA256_BYTES];
	char notes[EVENT_NOTES_BYTES]; /* "; "-separated, never a value from the body */
};

const char *event_auth_key(enum event_auth auth);                   /* "token", "signed" */
const char *event_source_key(enum event_source source);             /* "callback", "readmit" */
const char *event_occurred_from_key(enum event_occurred_from from); /* "platform", "receipt" */
/* Each takes the key back to its number; -1 when there is none. */
int event_auth_of_key(struct slice key);
int event_source_of_key(struct slice key);
int event_occurred_from_of_key(struct slice key);

/* Appends a note; where it does not fit, the notes end in "…" and later ones are dropped. */
void event_note(struct event *event, const char *format, ...) __attribute__((format(printf, 2, 3)));
