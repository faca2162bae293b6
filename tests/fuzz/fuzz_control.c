/*
 * What an operator asks the daemon to do, from the bytes to what is decided before the writer is
 * asked: the row, the peer's right, the members. A stranger is always refused, every answer is one
 * JSON object without a secret in it, and a request that the writer did not take is answered as
 * that.
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

static void check_answer(const struct control_call *call)
{
	static struct json_object object;
	struct slice text = buf_slice(&call->answer);

	FUZZ_ASSERT(call->status >= 200 && call->status < 600);
	FUZZ_ASSERT(text.len && text.at[text.len - 1] == '\n');
	FUZZ_ASSERT(json_scan_object(text, &object) == 0);
	FUZZ_ASSERT(secret_given || !slice_find(text, SLICE(FUZZ_SECRET)));
	FUZZ_ASSERT(token_given || !slice_find(text, SLICE(FUZZ_TOKEN)));
	FUZZ_ASSERT(!memchr(call->what, '\n', strnlen(call->what, sizeof(call->what))));
}

static void ask(const struct control_row *row, const struct control_peer *peer, struct slice body,
		int parsed)
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
	check_answer(call);
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
		ask(found, &peer, input, err);
}
