/*
 * Callbacks from their heads to a verdict: the gate, ingest, and the judge against an order in
 * memory. libmicrohttpd is replaced by what it would hand over, so the heads may be any that the
 * library lets pass. Checked is what the contract promises of each: that the gate answers with the
 * status that is worked out here from the same head, that nothing unauthenticated comes through,
 * that every field of the event keeps its grammar, that the same delivery once more is a duplicate,
 * and that the order is the fold of its events.
 *
 * Input: requests, each up to a 0x1e: a line of method, path and version, lines of headers, an
 * empty line, the body. "x-sign: flat" or "envelope" has the body signed by the owner of the key.
 */
#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <regex.h>
#include <strings.h>

#include "fuzz_endpoint.h"
#include "orderhook/err.h"
#include "orderhook/http_gate.h"
#include "orderhook/ingest.h"
#include "orderhook/shansong.h"

#define REQUEST_END '\x1e'
#define HEADERS_MAX 64
#define EVENTS_MAX 32
#define BODY_BYTES_MAX 65536

struct request {
	char *line[3];
	char *names[HEADERS_MAX];
	char *values[HEADERS_MAX];
	size_t n_headers;
	struct slice body;
};

static struct endpoint_set *endpoints;
static regex_t media_type;

/* The order that the first event is about, as the store would keep it. */
static struct {
	bool exists;
	char endpoint[EVENT_ID_BYTES_MAX + 1];
	char iss_order_no[EVENT_ID_BYTES_MAX + 1];
	struct order_known known;
	struct order_event events[EVENTS_MAX + 1];
	size_t n;
} order;

/* In the place of the library's own: what it would have kept of the head. */
int MHD_get_connection_values(struct MHD_Connection *connection, enum MHD_ValueKind kind,
			      MHD_KeyValueIterator iterator, void *context)
{
	struct request *request = (struct request *)(void *)connection;

	for (size_t i = 0; i < request->n_headers; i++)
		iterator(context, kind, request->names[i], request->values[i]);
	return (int)request->n_headers;
}

void fuzz_begin(void)
{
	endpoints = fuzz_endpoint_set();
	FUZZ_ASSERT(regcomp(&media_type,
			    "^application/(json|x-www-form-urlencoded)[ \t]*"
			    "(;[ \t]*charset=(utf-8|\"utf-8\")[ \t]*)?$",
			    REG_EXTENDED | REG_ICASE) == 0);
}

/* ------------------------------------------------------------------ taking apart ------- */

/* Up to a line's end, terminated in place. */
static char *take_line(char **at)
{
	char *line = *at;
	char *end = strchr(line, '\n');

	*at = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	return line;
}

static bool parse(char *text, size_t len, struct request *ret)
{
	char *end = memmem(text, len, "\n\n", 2);
	char *at = text;

	if (!end)
		return false;
	*end = '\0';
	ret->body = (struct slice){end + 2, len - (size_t)(end + 2 - text)};
	char *line = take_line(&at);
	for (int i = 0; i < 3; i++) {
		ret->line[i] = line;
		line += strcspn(line, " ");
		if (*line)
			*line++ = '\0';
	}
	ret->n_headers = 0;
	while (*at && ret->n_headers < HEADERS_MAX) {
		char *name = take_line(&at);
		char *colon = strchr(name, ':');
		if (!colon)
			return false;
		*colon++ = '\0';
		ret->names[ret->n_headers] = name;
		ret->values[ret->n_headers++] = colon + strspn(colon, " \t");
	}
	return true;
}

static void sign(struct request *request, struct buf *signed_body)
{
	for (size_t i = 0; i < request->n_headers; i++) {
		bool flat = strcmp(request->values[i], "flat") == 0;
		if (strcmp(request->names[i], "x-sign") != 0)
			continue;
		buf_reset(signed_body);
		if (shansong_sign(SLICE(FUZZ_SECRET), request->body,
				  flat ? SHANSONG_FLAT : SHANSONG_ENVELOPE, FUZZ_NOW_MS,
				  signed_body) == 0)
			request->body = buf_slice(signed_body);
	}
}

/* ------------------------------------------------------------------ what is expected --- */

/* What the contract says to a head. */
struct expected {
	int status; /* of the gate's refusal; 200 where the body decides */
	int endpoint;
	bool token_ok;
	enum body_type type;
};

static bool is_token(const char *text)
{
	return text[0] && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789!#$%&'*+-.^_`|~") == strlen(text);
}

/* The value of the last header of this name; NULL where there is none. */
static const char *header(const struct request *request, const char *name, size_t *ret_n)
{
	const char *value = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < request->n_headers; i++) {
		if (strcasecmp(request->names[i], name) != 0)
			continue;
		value = request->values[i];
		(*ret_n)++;
	}
	return value;
}

static bool is_framed(const struct request *request)
{
	static const char *const once[] = {"Content-Length", "Content-Type",
					   "Host",           "webhook-timestamp",
					   "webhook-id",     "webhook-signature"};
	const char *length;
	size_t n;

	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
		header(request, once[i], &n);
		if (n > 1)
			return false;
	}
	for (size_t i = 0; i < request->n_headers; i++) {
		if (!is_token(request->names[i]))
			return false;
		for (const char *c = request->values[i]; *c; c++) {
			if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
				return false;
		}
	}
	header(request, "Transfer-Encoding", &n);
	if (n || !is_token(request->line[0]))
		return false;
	length = header(request, "Content-Length", &n);
	if (n && (!length[0] || strspn(length, "0123456789") != strlen(length)))
		return false;
	errno = 0;
	if (n && strtoull(length, NULL, 10) == ULLONG_MAX && errno == ERANGE)
		return false;
	header(request, "Host", &n);
	if (strcmp(request->line[2], "HTTP/1.1") == 0)
		return n == 1;
	return strcmp(request->line[2], "HTTP/1.0") == 0;
}

static bool find_endpoint(const char *path, struct expected *ret)
{
	char own[64];

	for (ret->endpoint = 0; ret->endpoint < FUZZ_ENDPOINTS; ret->endpoint++) {
		ret->token_ok = ret->endpoint < FUZZ_MODES;
		snprintf(own, sizeof(own), "/%d%s", ret->endpoint,
			 ret->token_ok ? "/" FUZZ_TOKEN : "");
		if (strcmp(path, own) == 0)
			return true;
	}
	return false;
}

static int expected_length(const struct request *request)
{
	size_t n;
	const char *length = header(request, "Content-Length", &n);

	if (!n)
		return 411;
	unsigned long long bytes = strtoull(length, NULL, 10);
	return bytes > BODY_BYTES_MAX ? 413 : 200;
}

static int expected_type(const struct request *request, enum body_type *ret)
{
	regmatch_t parts[2];
	size_t n;

	header(request, "Content-Encoding", &n);
	if (n)
		return 415;
	const char *type = header(request, "Content-Type", &n);
	if (!n || regexec(&media_type, type, 2, parts, 0) != 0)
		return 415;
	*ret = parts[1].rm_eo - parts[1].rm_so == 4 ? BODY_JSON : BODY_FORM;
	return 200;
}

/* In the contract's order: framing, path and token, method, 411, 413, 415. */
static struct expected expect(const struct request *request)
{
	struct expected expected = {.status = 200};
	size_t bytes = 0;

	for (size_t i = 0; i < request->n_headers; i++)
		bytes += strlen(request->names[i]) + strlen(request->values[i]) + 4;
	if (!is_framed(request))
		expected.status = 400;
	else if (bytes > 32768)
		expected.status = 431;
	else if (!find_endpoint(request->line[1], &expected))
		expected.status = 404;
	else if (strcmp(request->line[0], "POST") != 0)
		expected.status = 405;
	else
		expected.status = expected_length(request);
	if (expected.status == 200)
		expected.status = expected_type(request, &expected.type);
	return expected;
}

/* ------------------------------------------------------------------ what must hold ----- */

static void check_id(const char *text, bool required)
{
	size_t len = strnlen(text, EVENT_ID_BYTES_MAX + 1);

	FUZZ_ASSERT(len <= EVENT_ID_BYTES_MAX && (len || !required));
	FUZZ_ASSERT(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				 "_.:-") == len);
}

static void check_event(const struct endpoint *endpoint, bool token_ok, const struct event *event)
{
	FUZZ_ASSERT(event->auth == EVENT_AUTH_SIGNED ||
		    (token_ok && endpoint->signature != SIGNATURE_REQUIRED));
	check_id(event->iss_order_no, event->kind == EVENT_ORDER);
	check_id(event->order_no, false);
	check_id(event->shop_id, false);
	check_id(event->callback_event, false);
	FUZZ_ASSERT(strnlen(event->courier_id, EVENT_ID_BYTES_MAX + 1) <= EVENT_ID_BYTES_MAX);
	FUZZ_ASSERT(json_valid_utf8(slice_of(event->courier_id)));
	FUZZ_ASSERT(strnlen(event->notes, EVENT_NOTES_BYTES) < EVENT_NOTES_BYTES);
	FUZZ_ASSERT(json_valid_utf8(slice_of(event->notes)));
	FUZZ_ASSERT(event->status >= 0 && event->status <= EVENT_STATUS_MAX);
	FUZZ_ASSERT(event->sub_status >= EVENT_SUB_ABSENT && event->sub_status <= EVENT_STATUS_MAX);
	FUZZ_ASSERT(event->received_ms == FUZZ_NOW_MS);
	FUZZ_ASSERT(event->occurred_ms <= FUZZ_NOW_MS + EVENT_TIME_AHEAD_MS);
	FUZZ_ASSERT(event->shop_id[0] == '\0' || strcmp(event->shop_id, "shopId") == 0);
}

static enum verdict judge(const struct event *event)
{
	struct order_event scratch[EVENTS_MAX + 1];
	struct order_state folded;
	struct judgement judgement;

	memcpy(scratch, order.events, sizeof(scratch));
	order_judge(order_machine_v5(), &order.known, scratch, order.n, event, &judgement);
	if (judgement.verdict == VERDICT_DUPLICATE)
		return judgement.verdict;
	struct order_event *stored = &order.events[order.n++];
	*stored = order_event_of(event);
	stored->id = (int64_t)order.n;
	stored->verdict = judgement.verdict;
	memcpy(scratch, order.events, sizeof(scratch));
	order_fold(order_machine_v5(), scratch, order.n, &folded, NULL);
	FUZZ_ASSERT(folded.status == judgement.after.status &&
		    folded.sub_status == judgement.after.sub_status &&
		    folded.since_ms == judgement.after.since_ms &&
		    folded.reassignments == judgement.after.reassignments);
	order.known.exists = true;
	order.known.state = judgement.after;
	if (!order.known.order_no[0])
		memcpy(order.known.order_no, event->order_no, sizeof(event->order_no));
	if (!order.known.shop_id[0])
		memcpy(order.known.shop_id, event->shop_id, sizeof(event->shop_id));
	return judgement.verdict;
}

static void store(const struct endpoint *endpoint, const struct event *event)
{
	if (event->kind != EVENT_ORDER || order.n == EVENTS_MAX)
		return;
	if (!order.exists) {
		order.exists = true;
		snprintf(order.endpoint, sizeof(order.endpoint), "%s", endpoint->name);
		memcpy(order.iss_order_no, event->iss_order_no, sizeof(event->iss_order_no));
	}
	if (strcmp(order.endpoint, endpoint->name) != 0 ||
	    strcmp(order.iss_order_no, event->iss_order_no) != 0)
		return;
	judge(event);
	FUZZ_ASSERT(judge(event) == VERDICT_DUPLICATE);
}

/* What is kept beside the body: never the URL's token, and as many lines as came. */
static void check_head(const struct request *request, const struct buf *text)
{
	const struct slice token = SLICE("/" FUZZ_TOKEN " ");
	size_t lines = 0;

	if (memmem(text->data, text->len, "\r\n", 2) == NULL)
		return;
	FUZZ_ASSERT(!memmem(text->data, strcspn(text->data, "\r"), token.at, token.len));
	for (size_t i = 0; i < text->len; i++)
		lines += text->data[i] == '\n';
	FUZZ_ASSERT(lines == request->n_headers + 1);
}

static void deliver(struct request *request)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 24);
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 24);
	struct MHD_Connection *connection = (struct MHD_Connection *)(void *)request;
	const struct expected expected = expect(request);
	struct http_head head;
	struct event event;
	struct event again;
	int err = http_gate(connection, endpoints, request->line[1], request->line[0],
			    request->line[2], BODY_BYTES_MAX, &text, &head);

	FUZZ_ASSERT((err ? err_http_status(err) : 200) == expected.status);
	if (err)
		return;
	FUZZ_ASSERT(head.endpoint == endpoint_set_get(endpoints, (size_t)expected.endpoint));
	FUZZ_ASSERT(head.token_ok == expected.token_ok && head.type == expected.type);
	check_head(request, &text);
	struct delivery delivery = {.body = request->body,
				    .type = head.type,
				    .webhook_id = head.webhook_id,
				    .webhook_timestamp = head.webhook_timestamp,
				    .webhook_signature = head.webhook_signature,
				    .token_ok = head.token_ok,
				    .received_ms = FUZZ_NOW_MS};
	err = ingest(head.endpoint, &delivery, &scratch, &event);
	if (err) {
		FUZZ_ASSERT(err_http_status(err) == 400 || err_http_status(err) == 401);
		head.endpoint->platform->names_us(head.endpoint, &delivery, &scratch);
		return;
	}
	check_event(head.endpoint, expected.token_ok, &event);
	FUZZ_ASSERT(ingest(head.endpoint, &delivery, &scratch, &again) == 0);
	FUZZ_ASSERT(memcmp(&event, &again, sizeof(event)) == 0);
	store(head.endpoint, &event);
}

void fuzz_one(struct slice input)
{
	memset(&order, 0, sizeof(order));
	while (input.len) {
		BUF_AUTO struct buf body = BUF_INIT(1 << 24);
		struct slice one = fuzz_take_until(&input, REQUEST_END);
		struct request request;
		char *copy = malloc(one.len + 1);
		if (!copy)
			return;
		memcpy(copy, one.at, one.len);
		copy[one.len] = '\0';
		if (parse(copy, one.len, &request)) {
			sign(&request, &body);
			deliver(&request);
		}
		free(copy);
	}
}
