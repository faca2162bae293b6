/*
 * One request of test_ack.c: a row says what it is and what must become of it. Bodies that are
 * signed are made by the platform's rule as the tests know it, not by the code that is tested.
 */
#pragma once

#include "ack_fixture.h"

#include <ctype.h>

#define PATH "/open/" TOKEN
#define HOST "Host: x\n"
#define JSON HOST "Content-Type: application/json\n"
#define FORM HOST "Content-Type: application/x-www-form-urlencoded\n"
#define WEBHOOK(id, time, signature) \
	"webhook-id: " id "\nwebhook-timestamp: " time "\nwebhook-signature: " signature "\n"
#define GOOD "{\"issOrderNo\":\"TDH1\",\"status\":20,\"clientId\":\"c\",\"shopId\":\"s\"}"

/* How a row's body is made of its text. */
enum make {
	AS_IT_IS = 0,
	UNSIGNED, /* from here on of members, by the platform's rule */
	SIGNED,
	SIGNED_BY_SECOND,
	SIGNED_BY_ANOTHER,
	SIGNED_BY_WEBHOOK_KEY,
	SIGNED_IN_LOWER_CASE,
	WITH_65_MEMBERS, /* from here on of nothing */
	OVER_LIMIT
};

enum hmac {
	NO_HMAC = 0,
	HMAC,
	HMAC_AMONG_OTHERS,
	HMAC_BY_ANOTHER,
	HMAC_BY_SECRET
};

/* how: "token" or "signed" for what is stored, else the key of the error. Behind it what is not
 * said is that of a good callback. */
struct row {
	const char *what;
	int status;
	enum kept kept;
	const char *how;
	const char *body;
	enum make make;
	const char *path;
	const char *headers;
	const char *length;
	const char *method;
	const char *version;
	size_t head_bytes; /* of one more header */
	enum hmac hmac;
	int hmac_age_s;
	bool duplicate; /* of a stored event, as the store says */
};

/* ------------------------------------------------------------------ one request -------- */

static void sign_members(enum make make, const struct pairs *pairs, char sign[33])
{
	const char *secret = make == SIGNED_BY_SECOND        ? SECOND_SECRET
			     : make == SIGNED_BY_ANOTHER     ? FOREIGN_SECRET
			     : make == SIGNED_BY_WEBHOOK_KEY ? WEBHOOK_KEY_TEXT
							     : SECRET;

	naive_sign(secret, pairs, sign);
	for (char *c = sign; make == SIGNED_IN_LOWER_CASE && *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

static void make_of_members(const struct row *row, const char *headers)
{
	struct pairs pairs = {.n = 0};
	char sign[33];
	const char *given = sign;

	for (const char *at = row->body; *at;) {
		size_t key_len = strcspn(at, "=");
		size_t len = strcspn(at, ";");
		char *key = strndup(at, key_len);
		pairs.list[pairs.n++] = (struct pair){key, {at + key_len + 1, len - key_len - 1}};
		at += len + (at[len] != '\0');
	}
	sign_members(row->make, &pairs, sign);
	if (row->make == UNSIGNED)
		given = NULL;
	if (strcmp(headers, FORM) == 0)
		body_form(&pairs, given, &sent);
	else
		body_json(&pairs, given, &sent);
	for (size_t i = 0; i < pairs.n; i++)
		free((void *)(uintptr_t)pairs.list[i].key);
}

static void make_body(const struct row *row, const char *headers)
{
	buf_reset(&sent);
	switch (row->make) {
	case AS_IT_IS:
		buf_add_string(&sent, row->body ? row->body : GOOD);
		break;
	case WITH_65_MEMBERS:
		buf_add_string(&sent, "{\"issOrderNo\":\"T\",\"status\":20");
		for (int i = 0; i < 63; i++)
			buf_addf(&sent, ",\"k%d\":1", i);
		buf_add_char(&sent, '}');
		break;
	case OVER_LIMIT:
		while (sent.len <= MAX_BODY)
			buf_add_char(&sent, ' ');
		break;
	default:
		make_of_members(row, headers);
	}
}

static void hmac(const char *key, const char *time, char signature[SIGNATURE_HMAC_CHARS + 1])
{
	assert_int_equal(signature_hmac(slice_of(key), slice_of("m"), slice_of(time),
					buf_slice(&sent), signature),
			 0);
}

static void add_hmac(const struct row *row, struct buf *headers)
{
	const char *key = row->hmac == HMAC_BY_ANOTHER  ? FOREIGN_SECRET
			  : row->hmac == HMAC_BY_SECRET ? SECRET
							: WEBHOOK_KEY;
	char signature[SIGNATURE_HMAC_CHARS + 1];
	char other[SIGNATURE_HMAC_CHARS + 1];
	char time[24];

	snprintf(time, sizeof(time), "%lld", (long long)NOW_MS / 1000 - row->hmac_age_s);
	hmac(key, time, signature);
	hmac(FOREIGN_SECRET, time, other);
	if (row->hmac == HMAC_AMONG_OTHERS)
		buf_addf(headers, WEBHOOK("m", "%s", "v1,AAAA %s %s"), time, signature, other);
	else
		buf_addf(headers, WEBHOOK("m", "%s", "%s"), time, signature);
}

static void make_headers(const struct row *row, const char *first, struct buf *ret)
{
	buf_add_string(ret, first);
	if (row->hmac)
		add_hmac(row, ret);
	if (row->head_bytes) {
		buf_add_string(ret, "X: ");
		for (size_t i = 0; i < row->head_bytes; i++)
			buf_add_char(ret, 'a');
		buf_add_char(ret, '\n');
	}
	if (row->length)
		buf_add_string(ret, row->length);
	else
		buf_addf(ret, "Content-Length: %zu\n", sent.len);
}

static void call(const struct row *row, struct slice upload)
{
	fake_call(row->method ? row->method : "POST", row->path ? row->path : PATH,
		  row->version ? row->version : "HTTP/1.1", upload);
}

/* Head and body, but not yet the end of it. headers must live as long as the request. */
static void begin_request(const struct row *row, struct buf *headers)
{
	const char *first = row->headers ? row->headers : JSON;

	disk.duplicate = row->duplicate;
	make_body(row, first);
	make_headers(row, first, headers);
	fake_begin(&server, headers->data);
	call(row, slice_of(NULL));
	if (!fake.answers && sent.len)
		call(row, buf_slice(&sent));
}

/* Leaves it asleep where the store does not answer. */
static void end_request(const struct row *row)
{
	if (!fake.answers)
		call(row, slice_of(NULL));
	if (!fake.answers && !(fake.suspended && disk.blocked)) {
		fake_wait_resumed();
		call(row, slice_of(NULL));
	}
}

static void deliver(const struct row *row)
{
	BUF_AUTO struct buf headers = BUF_INIT(1 << 17);

	begin_request(row, &headers);
	end_request(row);
}

/* Exactly one answer, of this status in head and body; only a 200 leaves the connection open. */
static void expect_answer(int status)
{
	bool draining = atomic_load(&server.draining);
	char text[32];

	snprintf(text, sizeof(text), "{\"status\":%d,", status);
	if (fake.answers != 1 || fake.status != (unsigned)status ||
	    strncmp(fake.body, text, strlen(text)) != 0)
		wrong("%d answers, status %u, body %s; expected %d", fake.answers, fake.status,
		      fake.body, status);
	else if (fake.closes != (status != 200 || draining) ||
		 fake.retry_after != (status == 503) || fake.allow != (status == 405))
		wrong("its answer of %d has other headers than it should", status);
}

static void expect_kept(enum kept kept, const char *how)
{
	bool held = kept != NOTHING && kept != STORED;
	const struct store_hold *hold = &disk.hold;

	if (disk.n_stored != (kept == STORED) || disk.n_held != held)
		wrong("%zu stored and %zu held", disk.n_stored, disk.n_held);
	else if (disk.altered)
		wrong("other bytes are kept than those that came");
	else if (kept == STORED && strcmp(event_auth_key(disk.auth), how) != 0)
		wrong("stored as %s, not as %s", event_auth_key(disk.auth), how);
	else if (held && strcmp(hold->reason, how) != 0)
		wrong("held for %s, not for %s", hold->reason, how);
	else if (held && (hold->ours != (kept != HELD_STRANGER) ||
			  hold->token_ok != (kept == HELD) || hold->received_ms != NOW_MS))
		wrong("held in the wrong half, or as another's: ours %d, token %d", hold->ours,
		      hold->token_ok);
}

/* A whole life of a server with one request, which ends as the row says. */
static void check(const struct row *row, bool draining)
{
	const char *outcome = row->kept == STORED ? err_key(0) : row->how;
	unsigned long long before = outcomes(outcome);

	start(row->what);
	atomic_store(&server.draining, draining);
	deliver(row);
	expect_answer(row->status);
	finish();
	expect_kept(row->kept, row->how);
	if (outcomes(outcome) != before + 1)
		wrong("it is not counted as %s", outcome);
}
