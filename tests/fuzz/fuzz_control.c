/*
 * What an operator asks the daemon to do, from the bytes to what is decided before the writer is
 * asked: the row, the peer's right, the members. A stranger is always refused, every answer is one
 * JSON object, and a request that the writer did not take is answered as that.
 *
 * Input: a byte (who asks), the method up to a blank, the path up to a newline, the body.
 */
#include "fuzz_endpoint.h"
#include "orderhook/control.h"
#include "orderhook/err.h"
#include "orderhook/log.h"

static struct control *control;

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

void fuzz_one(struct slice input)
{
	static struct json_object object;
	const struct control_peer peer = {.uid = 1, .pid = 2, .kinds = fuzz_take_byte(&input) % 8};
	struct slice method = fuzz_take_until(&input, ' ');
	struct slice path = fuzz_take_until(&input, '\n');
	const struct control_row *row = NULL;
	const struct control_row *found = control_find(path);
	int err = control_parse(method, path, input, &row, &object);

	FUZZ_ASSERT(err <= 0 && err > -ERR_MAX && (err ? row == NULL : row == found));
	FUZZ_ASSERT(found || err == -ERR_PATH);
	FUZZ_ASSERT(err || (slice_equal_string(method, "POST") && input.len <= row->request_bytes));
	if (found && slice_equal_string(method, "POST"))
		ask(found, &peer, input, err);
}
