/*
 * What an operator asks the daemon to do, from the bytes to what is decided before the writer is
 * asked: the row, the peer's right, the members. A stranger is always refused, every answer is one
 * JSON object without a secret in it, and a request that the writer did not take is answered as
 * that. The signs that `explain` expects are worked out here from what it says was signed: it must
 * tell the first eight digits of each, and no ninth.
 *
 * Input: a byte (who asks), the method up to a blank, the path up to a newline, the body. A body of
 * '!', an endpoint's name, a newline, headers, an empty line and bytes is made into what `explain`
 * asks, as no fuzzer finds base64 by itself.
 */
#include "fuzz_endpoint.h"
#include "orderhook/control.h"
#include "orderhook/digest.h"
#include "orderhook/err.h"
#include "orderhook/log.h"

static struct control *control;
/* By the input: what somebody says may be said to them. */
static bool secret_given;
static bool token_given;

void fuzz_begin(void)
{
	static struct clock clock;

	clock = clock_fixed(FUZZ_NOW_MS, 1);
	/* Each use is a line in the log. */
	log_set_level(LOG_EMERG);
	FUZZ_ASSERT(control_new(NULL, fuzz_endpoint_set(), &clock, &control) == 0);
}

/* ------------------------------------------------------------------ signs -------------- */

/* A member's text, decoded; an empty one where there is none. */
static void decoded(const struct json_member *member, struct buf *ret)
{
	size_t len = 0;

	FUZZ_ASSERT(buf_reserve(ret, 1) == 0);
	if (!member || member->type != JSON_STRING)
		return;
	FUZZ_ASSERT(buf_reserve(ret, member->value.len + 1) == 0);
	FUZZ_ASSERT(json_string_decode(member->value, ret->data, member->value.len, &len) == 0);
	ret->len = len;
}

static void decoded_bytes(const struct json_member *member, struct buf *ret)
{
	size_t len = 0;

	FUZZ_ASSERT(member && buf_reserve(ret, member->value.len + 1) == 0);
	FUZZ_ASSERT(digest_base64_decode(member->value, (uint8_t *)ret->data, ret->cap, &len) == 0);
	ret->len = len;
}

static int by_key(const void *a, const void *b)
{
	const struct json_member *left = a;
	const struct json_member *right = b;
	size_t common = left->key.len < right->key.len ? left->key.len : right->key.len;
	int order = memcmp(left->key.at, right->key.at, common);

	return order ? order : (left->key.len > right->key.len) - (left->key.len < right->key.len);
}

static void add_digits(const uint8_t *bytes, size_t n, struct buf *ret)
{
	for (size_t i = 0; i < n; i++)
		FUZZ_ASSERT(buf_addf(ret, "%02X", bytes[i]) == 0);
}

/* MD5 over the secret and the members in the order of their names. False where nothing was. */
static bool expect_md5(const struct json_object *answer, struct buf *ret)
{
	static struct json_object members;
	BUF_AUTO struct buf text = BUF_INIT(1 << 20);
	const struct json_member *signed_members = json_find(answer, "signed");
	uint8_t digest[DIGEST_MD5_BYTES];

	FUZZ_ASSERT(signed_members);
	if (signed_members->type != JSON_OBJECT)
		return false;
	FUZZ_ASSERT(json_scan_object(signed_members->value, &members) == 0);
	qsort(members.members, members.n, sizeof(members.members[0]), by_key);
	FUZZ_ASSERT(buf_add_string(&text, FUZZ_SECRET) == 0);
	for (size_t i = 0; i < members.n; i++) {
		BUF_AUTO struct buf value = BUF_INIT(1 << 20);
		decoded(&members.members[i], &value);
		if (value.len)
			FUZZ_ASSERT(buf_add_slice(&text, members.members[i].key) == 0 &&
				    buf_add_slice(&text, buf_slice(&value)) == 0);
	}
	FUZZ_ASSERT(digest_md5(&(struct slice){text.data, text.len}, 1, digest) == 0);
	add_digits(digest, sizeof(digest), ret);
	return true;
}

/* The value of a header that the delivery has; the last one is taken. */
static bool find_header(struct slice head, const char *name, struct slice *ret)
{
	bool found = false;

	while (head.len) {
		const char *end = slice_find(head, SLICE("\r\n"));
		struct slice line = {head.at, end ? (size_t)(end - head.at) : head.len};
		head.at += end ? line.len + 2 : line.len;
		head.len -= end ? line.len + 2 : line.len;
		struct slice key = fuzz_take_until(&line, ':');
		if (!slice_equal_nocase(key, slice_of(name)) ||
		    !slice_starts_with(line, SLICE(" ")))
			continue;
		*ret = (struct slice){line.at + 1, line.len - 1};
		found = true;
	}
	return found;
}

/* HMAC over id, time and body. False where the delivery has not both headers. */
static bool expect_hmac(struct slice head, struct slice body, struct buf *ret)
{
	struct slice id;
	struct slice timestamp;
	uint8_t digest[DIGEST_SHA256_BYTES];
	char text[64];

	if (!find_header(head, "webhook-id", &id) ||
	    !find_header(head, "webhook-timestamp", &timestamp))
		return false;
	const struct slice parts[] = {id, SLICE("."), timestamp, SLICE("."), body};
	FUZZ_ASSERT(digest_hmac_sha256(SLICE(FUZZ_KEY), parts, 5, digest) == 0);
	digest_base64_encode(digest, sizeof(digest), text);
	FUZZ_ASSERT(buf_add_string(ret, text) == 0);
	return true;
}

/* Just the first eight are told, under the name; and no nine in a row, unless the asker has them.
 */
static void check_told(const struct control_call *call, const struct json_object *answer,
		       const char *name, struct slice sign, struct slice asked)
{
	static struct json_object told;
	const struct json_member *member = json_find(answer, name);

	FUZZ_ASSERT(member && json_scan_object(member->value, &told) == 0 && told.n == 1);
	FUZZ_ASSERT(slice_equal(told.members[0].value, (struct slice){sign.at, 8}));
	for (size_t i = 0; i + 9 <= sign.len; i++) {
		struct slice nine = {sign.at + i, 9};
		FUZZ_ASSERT(!slice_find(buf_slice(&call->answer), nine) || slice_find(asked, nine));
	}
}

static void check_signs(const struct control_call *call, const struct json_object *answer,
			const struct json_object *question)
{
	BUF_AUTO struct buf head = BUF_INIT(1 << 20);
	BUF_AUTO struct buf body = BUF_INIT(1 << 20);
	BUF_AUTO struct buf asked = BUF_INIT(1 << 21);
	BUF_AUTO struct buf md5 = BUF_INIT(128);
	BUF_AUTO struct buf hmac = BUF_INIT(128);

	decoded_bytes(json_find(question, "head"), &head);
	decoded_bytes(json_find(question, "body"), &body);
	FUZZ_ASSERT(buf_add_slice(&asked, buf_slice(&head)) == 0 &&
		    buf_add_slice(&asked, buf_slice(&body)) == 0);
	if (expect_md5(answer, &md5))
		check_told(call, answer, "expected", buf_slice(&md5), buf_slice(&asked));
	if (expect_hmac(buf_slice(&head), buf_slice(&body), &hmac))
		check_told(call, answer, "hmac_expected", buf_slice(&hmac), buf_slice(&asked));
}

/* ------------------------------------------------------------------ one input ---------- */

static void check_answer(const struct control_call *call, const struct json_object *question)
{
	static struct json_object object;
	struct slice text = buf_slice(&call->answer);

	FUZZ_ASSERT(call->status >= 200 && call->status < 600);
	FUZZ_ASSERT(text.len && text.at[text.len - 1] == '\n');
	FUZZ_ASSERT(json_scan_object(text, &object) == 0);
	FUZZ_ASSERT(secret_given || !slice_find(text, SLICE(FUZZ_SECRET)));
	FUZZ_ASSERT(token_given || !slice_find(text, SLICE(FUZZ_TOKEN)));
	if (call->status == 200 && strcmp(call->row->name, "explain") == 0)
		check_signs(call, &object, question);
	FUZZ_ASSERT(!memchr(call->what, '\n', strnlen(call->what, sizeof(call->what))));
}

static void ask(const struct control_row *row, const struct control_peer *peer, struct slice body,
		int parsed, const struct json_object *question)
{
	struct control_call *call = control_begin(control, row, peer, body);
	bool may = peer->kinds & row->peers;

	FUZZ_ASSERT(call);
	if (!may)
		FUZZ_ASSERT(call->status == 403);
	else if (parsed)
		FUZZ_ASSERT(call->status >= 400 && call->status < 500);
	if (!call->status)
		control_finish(call, -ERR_QUEUE_FULL);
	check_answer(call, question);
	FUZZ_ASSERT(call->status >= 400 || (may && !parsed));
	control_call_free(call);
}

static void add_base64(struct buf *out, const char *name, struct slice bytes)
{
	char *text = malloc(4 * ((bytes.len + 2) / 3) + 1);

	FUZZ_ASSERT(text);
	digest_base64_encode((const uint8_t *)bytes.at, bytes.len, text);
	FUZZ_ASSERT(buf_addf(out, ",\"%s\":\"%s\"", name, text) == 0);
	free(text);
}

/* The request about a delivery that is given in plain. */
static struct slice make_question(struct slice plain, struct buf *ret)
{
	struct slice name = fuzz_take_until(&plain, '\n');
	const char *end = slice_find(plain, SLICE("\n\n"));
	struct slice head = {plain.at, end ? (size_t)(end - plain.at) + 1 : plain.len};
	struct slice body = {plain.at + head.len, plain.len - head.len};

	FUZZ_ASSERT(buf_add_string(ret, "{\"endpoint\":") == 0);
	if (!json_valid_utf8(name) || json_add_string(ret, name))
		return plain;
	FUZZ_ASSERT(buf_addf(ret, ",\"received_ms\":%lld", (long long)FUZZ_NOW_MS) == 0);
	BUF_AUTO struct buf lines = BUF_INIT(1 << 20);
	for (size_t i = 0; i < head.len; i++)
		FUZZ_ASSERT(buf_add_string(&lines, head.at[i] == '\n' ? "\r" : "") == 0 &&
			    buf_add_char(&lines, head.at[i]) == 0);
	add_base64(ret, "head", buf_slice(&lines));
	add_base64(ret, "body",
		   (struct slice){body.at + (body.len > 0), body.len - (body.len > 0)});
	FUZZ_ASSERT(buf_add_char(ret, '}') == 0);
	return buf_slice(ret);
}

void fuzz_one(struct slice input)
{
	static struct json_object object;
	BUF_AUTO struct buf question = BUF_INIT(1 << 20);
	secret_given = slice_find(input, SLICE(FUZZ_SECRET));
	token_given = slice_find(input, SLICE(FUZZ_TOKEN));
	const struct control_peer peer = {.uid = 1, .pid = 2, .kinds = fuzz_take_byte(&input) % 8};
	struct slice method = fuzz_take_until(&input, ' ');
	struct slice path = fuzz_take_until(&input, '\n');
	if (input.len && input.at[0] == '!')
		input = make_question((struct slice){input.at + 1, input.len - 1}, &question);
	const struct control_row *row = NULL;
	const struct control_row *found = control_find(path);
	int err = control_parse(method, path, input, &row, &object);

	FUZZ_ASSERT(err <= 0 && err > -ERR_MAX && (err ? row == NULL : row == found));
	FUZZ_ASSERT(found || err == -ERR_PATH);
	FUZZ_ASSERT(err || (slice_equal_string(method, "POST") && input.len <= row->request_bytes));
	if (found && slice_equal_string(method, "POST"))
		ask(found, &peer, input, err, &object);
}
