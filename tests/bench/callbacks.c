/* Templates are made from the samples by the published rule itself, so that a daemon which accepts
 * them has checked the benchmark as well. */
#include "callbacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/digest.h"
#include "orderhook/json_scan.h"

#define ISS_PREFIX "TDB"
#define ORDER_PREFIX "cpb"
#define ZEROS "000000000000"
#define TIMESTAMP "0000000000000"
#define SIGN "00000000000000000000000000000000"
#define TEMPLATE_BYTES_MAX 8192

static void die(const char *what, const char *where)
{
	fprintf(stderr, "bench: %s: %s\n", what, where);
	exit(1);
}

static void must(int err, const char *where)
{
	if (err)
		die("cannot make callbacks", where);
}

static void read_file(const char *path, struct buf *ret)
{
	char bytes[4096];
	FILE *file = fopen(path, "rb");
	size_t n;

	if (!file)
		die("cannot read", path);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		must(buf_add(ret, bytes, n), path);
	fclose(file);
}

/* The values that change are replaced by placeholders of their width. */
static struct slice value_of(const struct json_member *member)
{
	if (slice_equal_string(member->key, "issOrderNo"))
		return SLICE(ISS_PREFIX ZEROS);
	if (slice_equal_string(member->key, "orderNo"))
		return SLICE(ORDER_PREFIX ZEROS);
	return member->value;
}

static void add_member(struct buf *body, const struct json_member *member)
{
	const char *quote = member->type == JSON_STRING ? "\"" : "";
	struct slice value = value_of(member);

	must(buf_addf(body, "%s\"%.*s\":%s%.*s%s", body->len > 1 ? "," : "", SLICE_ARG(member->key),
		      quote, SLICE_ARG(value), quote),
	     "body");
}

static int by_key(const void *a, const void *b)
{
	const struct json_member *left = a;
	const struct json_member *right = b;
	size_t len = left->key.len < right->key.len ? left->key.len : right->key.len;
	int order = memcmp(left->key.at, right->key.at, len);

	return order ? order : (left->key.len > right->key.len) - (left->key.len < right->key.len);
}

static size_t offset_of(const struct buf *text, const char *mark)
{
	const char *found = slice_find(buf_slice(text), slice_of(mark));

	if (!found)
		die("a template lacks", mark);
	return (size_t)(found - text->data) + strlen(mark);
}

static void make_template(struct callback_template *ret, const char *path)
{
	BUF_AUTO struct buf sample = BUF_INIT(TEMPLATE_BYTES_MAX);
	struct json_object object;

	buf_init(&ret->body, TEMPLATE_BYTES_MAX);
	buf_init(&ret->signing, TEMPLATE_BYTES_MAX);
	read_file(path, &sample);
	must(json_scan_object(buf_slice(&sample), &object), path);
	object.members[object.n++] = (struct json_member){
		.key = SLICE("timestamp"), .value = SLICE(TIMESTAMP), .type = JSON_STRING};
	must(buf_add_char(&ret->body, '{'), path);
	for (size_t i = 0; i < object.n; i++)
		add_member(&ret->body, &object.members[i]);
	must(buf_add_string(&ret->body, ",\"sign\":\"" SIGN "\"}"), path);

	qsort(object.members, object.n, sizeof(object.members[0]), by_key);
	for (size_t i = 0; i < object.n; i++) {
		if (object.members[i].value.len == 0)
			continue;
		must(buf_addf(&ret->signing, "%.*s%.*s", SLICE_ARG(object.members[i].key),
			      SLICE_ARG(value_of(&object.members[i]))),
		     path);
	}
	ret->body_iss = offset_of(&ret->body, "\"issOrderNo\":\"" ISS_PREFIX);
	ret->body_order = offset_of(&ret->body, "\"orderNo\":\"" ORDER_PREFIX);
	ret->body_timestamp = offset_of(&ret->body, "\"timestamp\":\"");
	ret->body_sign = offset_of(&ret->body, "\"sign\":\"");
	ret->signing_iss = offset_of(&ret->signing, "issOrderNo" ISS_PREFIX);
	ret->signing_order = offset_of(&ret->signing, "orderNo" ORDER_PREFIX);
	ret->signing_timestamp = offset_of(&ret->signing, "timestamp");
}

void callbacks_init(struct callbacks *callbacks, const char *fixtures, struct slice secret)
{
	static const char *const names[CALLBACK_STEPS] = {
		"captured-1-20-1.json", "captured-2-30-1.json", "captured-3-20-2.json",
		"captured-4-40-1.json", "captured-5-50-1.json"};

	callbacks->secret = secret;
	for (size_t i = 0; i < CALLBACK_STEPS; i++) {
		BUF_AUTO struct buf path = BUF_INIT(4096);
		must(buf_addf(&path, "%s/%s", fixtures, names[i]), fixtures);
		make_template(&callbacks->steps[i], path.data);
	}
}

void callbacks_release(struct callbacks *callbacks)
{
	for (size_t i = 0; i < CALLBACK_STEPS; i++) {
		buf_release(&callbacks->steps[i].body);
		buf_release(&callbacks->steps[i].signing);
	}
}

static void patch(struct buf *text, size_t at, uint64_t value, size_t digits)
{
	for (size_t i = digits; i-- > 0; value /= 10)
		text->data[at + i] = (char)('0' + value % 10);
}

struct slice callbacks_make(struct callbacks *callbacks, unsigned step, uint64_t order,
			    int64_t timestamp_ms)
{
	struct callback_template *template = &callbacks->steps[step];
	uint8_t md5[DIGEST_MD5_BYTES];
	char hex[2 * DIGEST_MD5_BYTES + 1];

	patch(&template->body, template->body_iss, order, CALLBACK_ORDER_DIGITS);
	patch(&template->body, template->body_order, order, CALLBACK_ORDER_DIGITS);
	patch(&template->body, template->body_timestamp, (uint64_t)timestamp_ms, 13);
	patch(&template->signing, template->signing_iss, order, CALLBACK_ORDER_DIGITS);
	patch(&template->signing, template->signing_order, order, CALLBACK_ORDER_DIGITS);
	patch(&template->signing, template->signing_timestamp, (uint64_t)timestamp_ms, 13);
	struct slice parts[2] = {callbacks->secret, buf_slice(&template->signing)};
	must(digest_md5(parts, 2, md5), "sign");
	digest_hex_upper(md5, sizeof(md5), hex);
	memcpy(template->body.data + template->body_sign, hex, 2 * DIGEST_MD5_BYTES);
	return buf_slice(&template->body);
}
