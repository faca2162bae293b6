/*
 * One walk over the headers collects what the checks need; then the checks run in the contract's
 * order: framing, path and token, method, length, size, type. The walk itself cannot refuse,
 * because the order of the headers must not decide which refusal a caller sees.
 */
#include "orderhook/http_gate.h"

#include <string.h>

#include "orderhook/err.h"

struct gate {
	struct http_head *head;
	struct buf *text;
	int text_err;
	struct slice content_length;
	struct slice content_type;
	int n_content_length;
	int n_content_type;
	int n_host;
	bool transfer_encoding;
	bool content_encoding;
	bool expects;
	bool malformed;
	size_t bytes;
};

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_token_char((unsigned char)s.at[i]))
			return false;
	}
	return s.len > 0;
}

static bool is_field_value(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* The first of its name is used; a second one of what must be single makes the head malformed. */
static void take_single(struct gate *gate, struct slice *where, struct slice value)
{
	if (where->at)
		gate->malformed = true;
	else
		*where = value;
}

static void take_header(struct gate *gate, struct slice name, struct slice value)
{
	struct http_head *head = gate->head;

	if (slice_equal_nocase(name, SLICE("Content-Length"))) {
		gate->n_content_length++;
		gate->content_length = value;
	} else if (slice_equal_nocase(name, SLICE("Content-Type"))) {
		gate->n_content_type++;
		gate->content_type = value;
	} else if (slice_equal_nocase(name, SLICE("Host"))) {
		gate->n_host++;
	} else if (slice_equal_nocase(name, SLICE("Transfer-Encoding"))) {
		gate->transfer_encoding = true;
	} else if (slice_equal_nocase(name, SLICE("Content-Encoding"))) {
		gate->content_encoding = true;
	} else if (slice_equal_nocase(name, SLICE("Expect"))) {
		gate->expects = true;
	} else if (slice_equal_nocase(name, SLICE("webhook-id"))) {
		take_single(gate, &head->webhook_id, value);
	} else if (slice_equal_nocase(name, SLICE("webhook-timestamp"))) {
		take_single(gate, &head->webhook_timestamp, value);
	} else if (slice_equal_nocase(name, SLICE("webhook-signature"))) {
		take_single(gate, &head->webhook_signature, value);
	} else if (slice_equal_nocase(name, SLICE("X-Forwarded-For"))) {
		/* The last line is the one that the nearest proxy wrote. */
		head->forwarded_for = value;
	} else if (slice_equal_nocase(name, SLICE("X-Request-Id"))) {
		head->request_id = value;
	}
}

static void add_text(struct gate *gate, struct slice s)
{
	if (!gate->text_err)
		gate->text_err = buf_add_slice(gate->text, s);
}

static enum MHD_Result collect(void *arg, enum MHD_ValueKind kind, const char *key,
			       const char *value)
{
	struct gate *gate = arg;
	struct slice name = slice_of(key);
	struct slice text = slice_of(value ? value : "");

	(void)kind;
	gate->bytes += name.len + text.len + 4;
	if (!is_token(name) || !is_field_value(text))
		gate->malformed = true;
	take_header(gate, name, text);
	add_text(gate, name);
	add_text(gate, SLICE(": "));
	add_text(gate, text);
	add_text(gate, SLICE("\r\n"));
	return MHD_YES;
}

/* A length is digits only, and fits: what else the library lets pass somebody would read as another
 * number. */
static int check_framing(const struct gate *gate, const char *method, const char *version,
			 uint64_t *ret_length)
{
	if (gate->malformed || gate->transfer_encoding || gate->n_content_length > 1 ||
	    gate->n_host > 1 || gate->n_content_type > 1)
		return -ERR_FRAMING;
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return -ERR_FRAMING;
	if (strcmp(version, "HTTP/1.1") == 0 && gate->n_host == 0)
		return -ERR_FRAMING;
	if (!is_token(slice_of(method)))
		return -ERR_FRAMING;
	if (gate->n_content_length && slice_to_u64(gate->content_length, UINT64_MAX, ret_length))
		return -ERR_FRAMING;
	return gate->bytes > HTTP_HEAD_BYTES_MAX ? -ERR_HEAD_TOO_LARGE : 0;
}

static int check_length(const struct gate *gate, uint64_t length, int64_t max_body_bytes)
{
	if (gate->n_content_length == 0)
		return -ERR_LENGTH_REQUIRED;
	return length > (uint64_t)max_body_bytes ? -ERR_BODY_TOO_LARGE : 0;
}

/* ";" OWS "charset=" ("utf-8" in any case, quoted or not); nothing else may follow the type. */
static bool is_utf8_parameter(struct slice rest)
{
	rest = slice_trim(rest);
	if (rest.len == 0)
		return true;
	if (rest.at[0] != ';')
		return false;
	rest = slice_trim((struct slice){rest.at + 1, rest.len - 1});
	if (rest.len < 8 || !slice_equal_nocase((struct slice){rest.at, 8}, SLICE("charset=")))
		return false;
	rest = (struct slice){rest.at + 8, rest.len - 8};
	if (rest.len >= 2 && rest.at[0] == '"' && rest.at[rest.len - 1] == '"')
		rest = (struct slice){rest.at + 1, rest.len - 2};
	return slice_equal_nocase(rest, SLICE("utf-8"));
}

static int check_type(const struct gate *gate, enum body_type *ret)
{
	struct slice type = gate->content_type;
	size_t end = 0;

	if (gate->content_encoding)
		return -ERR_CONTENT_ENCODING;
	while (end < type.len && type.at[end] != ';' && type.at[end] != ' ' && type.at[end] != '\t')
		end++;
	struct slice name = {type.at, end};
	if (slice_equal_nocase(name, SLICE("application/json")))
		*ret = BODY_JSON;
	else if (slice_equal_nocase(name, SLICE("application/x-www-form-urlencoded")))
		*ret = BODY_FORM;
	else
		return -ERR_MEDIA_TYPE;
	return is_utf8_parameter((struct slice){type.at + end, type.len - end}) ? 0
										: -ERR_MEDIA_TYPE;
}

/* The request line goes in front, once the endpoint is known and the token can be left out. */
static int begin_text(struct buf *text, const char *method, const char *path, const char *version)
{
	const char *const parts[] = {method, " ", path, " ", version, "\r\n"};
	int err = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !err; i++)
		err = buf_add_string(text, parts[i]);
	return err;
}

int http_gate(struct MHD_Connection *connection, const struct endpoint_set *endpoints,
	      const char *raw_path, const char *method, const char *version, int64_t max_body_bytes,
	      struct buf *head_text, struct http_head *ret)
{
	struct gate gate = {.head = ret, .text = head_text};
	int length_err;
	int err;

	*ret = (struct http_head){.endpoint = NULL};
	ret->endpoint = endpoint_set_match(endpoints, slice_of(raw_path), &ret->token_ok);
	if (ret->endpoint)
		gate.text_err = begin_text(head_text, method, ret->endpoint->path, version);
	MHD_get_connection_values(connection, MHD_HEADER_KIND, collect, &gate);
	err = check_framing(&gate, method, version, &ret->content_length);
	if (err)
		return err;
	length_err = check_length(&gate, ret->content_length, max_body_bytes);
	ret->body_comes = !gate.expects && !length_err && ret->content_length > 0;
	if (!ret->endpoint)
		return -ERR_PATH;
	if (strcmp(method, "POST") != 0)
		return -ERR_METHOD;
	if (length_err)
		return length_err;
	err = check_type(&gate, &ret->type);
	return err ? err : gate.text_err;
}
