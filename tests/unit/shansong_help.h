/*
 * What the tests of the Shansong adapter share: an endpoint, deliveries, bodies made member by
 * member, and the platform's rule as a naive verifier applies it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "md5_reference.h"
#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/shansong.h"
#include "orderhook/signature.h"

#define SECRET "test-secret-0123456789"
#define NOW_MS 1748595600000 /* 2025-05-30 17:00:00 in China */
#define NOW_TEXT "1748595600000"
#define FIXTURES "tests/fixtures/shansong/"
#define HELP_UNUSED __attribute__((unused))

static char help_secret[] = SECRET;
static char help_client[] = "clientId";
static char help_shop[] = "shopId";
static char *help_shops[] = {help_shop};
static struct secret help_secrets[] = {{help_secret, sizeof(SECRET) - 1}};

/* The samples' endpoint: a token, one secret, if-present. Nothing in it is owned. */
HELP_UNUSED static struct endpoint help_endpoint(enum signature_mode mode)
{
	return (struct endpoint){.platform = platform_shansong(),
				 .client_id = help_client,
				 .shop_ids = {help_shops, 1},
				 .signature = mode,
				 .secrets = help_secrets,
				 .n_secrets = 1};
}

HELP_UNUSED static struct delivery help_delivery(struct slice body, enum body_type type)
{
	return (struct delivery){
		.body = body, .type = type, .token_ok = true, .received_ms = NOW_MS};
}

HELP_UNUSED static int take_delivery(const struct endpoint *endpoint, struct delivery delivery,
				     struct event *ret)
{
	BUF_AUTO struct buf scratch = BUF_INIT(1 << 20);

	return ingest(endpoint, &delivery, &scratch, ret);
}

HELP_UNUSED static int take(enum signature_mode mode, enum body_type type, struct slice body,
			    struct event *ret)
{
	struct endpoint endpoint = help_endpoint(mode);

	return take_delivery(&endpoint, help_delivery(body, type), ret);
}

HELP_UNUSED static void help_read(const char *name, struct buf *ret)
{
	char path[256];
	char bytes[4096];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), FIXTURES "%s", name);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("%s cannot be read: run the tests from the project's root", path);
	buf_reset(ret);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		assert_int_equal(buf_add(ret, bytes, n), 0);
	fclose(file);
	while (ret->len && ret->data[ret->len - 1] == '\n')
		ret->data[--ret->len] = '\0';
}

#define HELP_SAMPLES 6
HELP_UNUSED static const char *const help_samples[HELP_SAMPLES] = {
	"captured-1-20-1.json", "captured-2-30-1.json", "captured-3-20-2.json",
	"captured-4-40-1.json", "captured-5-50-1.json", "constructed-60.json"};

/* A member as a message carries it. text is what the rule signs. */
struct pair {
	const char *key;
	struct slice text;
	bool token; /* emitted as it is: a number, an object */
};

#define S(key, text)                                 \
	{                                            \
		key, {text, sizeof(text) - 1}, false \
	}
#define N(key, text)                                \
	{                                           \
		key, {text, sizeof(text) - 1}, true \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct pairs {
	struct pair list[JSON_MEMBERS_MAX];
	size_t n;
};

HELP_UNUSED static struct pair *pair_find(struct pairs *pairs, const char *key)
{
	for (size_t i = 0; i < pairs->n; i++) {
		if (strcmp(pairs->list[i].key, key) == 0)
			return &pairs->list[i];
	}
	return NULL;
}

HELP_UNUSED static void pair_set(struct pairs *pairs, struct pair pair)
{
	struct pair *old = pair_find(pairs, pair.key);

	if (old)
		*old = pair;
	else
		pairs->list[pairs->n++] = pair;
}

HELP_UNUSED static void pair_drop(struct pairs *pairs, const char *key)
{
	struct pair *old = pair_find(pairs, key);

	assert_non_null(old);
	*old = pairs->list[--pairs->n];
}

/* The string that the rule hashes behind the secret, by sorting and joining and nothing else. */
HELP_UNUSED static void naive_string(const struct pairs *pairs, struct buf *ret)
{
	struct pairs sorted = *pairs;

	for (size_t i = 1; i < sorted.n; i++) {
		for (size_t j = i; j > 0 && strcmp(sorted.list[j - 1].key, sorted.list[j].key) > 0;
		     j--) {
			struct pair swap = sorted.list[j];
			sorted.list[j] = sorted.list[j - 1];
			sorted.list[j - 1] = swap;
		}
	}
	for (size_t i = 0; i < sorted.n; i++) {
		if (sorted.list[i].text.len == 0)
			continue;
		assert_int_equal(buf_add_string(ret, sorted.list[i].key), 0);
		assert_int_equal(buf_add_slice(ret, sorted.list[i].text), 0);
	}
}

HELP_UNUSED static void naive_sign(const char *secret, const struct pairs *pairs, char sign[33])
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 16);

	assert_int_equal(buf_add_string(&text, secret), 0);
	naive_string(pairs, &text);
	md5_finish(md5_begin(), text.data, text.len, sign);
}

HELP_UNUSED static void put_json_text(struct buf *body, struct slice text)
{
	buf_add_char(body, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		if (c < 0x20)
			buf_addf(body, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			buf_addf(body, "\\%c", c);
		else
			buf_add_char(body, (char)c);
	}
	buf_add_char(body, '"');
}

/* sign NULL: unsigned. */
HELP_UNUSED static struct slice body_json(const struct pairs *pairs, const char *sign,
					  struct buf *body)
{
	buf_reset(body);
	buf_add_char(body, '{');
	for (size_t i = 0; i < pairs->n; i++) {
		buf_addf(body, "%s\"%s\":", i ? "," : "", pairs->list[i].key);
		if (pairs->list[i].token)
			buf_add_slice(body, pairs->list[i].text);
		else
			put_json_text(body, pairs->list[i].text);
	}
	if (sign) {
		buf_add_string(body, ",\"sign\":");
		put_json_text(body, slice_of(sign));
	}
	buf_add_char(body, '}');
	return buf_slice(body);
}

HELP_UNUSED static struct slice body_form(const struct pairs *pairs, const char *sign,
					  struct buf *body)
{
	buf_reset(body);
	for (size_t i = 0; i < pairs->n; i++) {
		buf_addf(body, "%s%s=", i ? "&" : "", pairs->list[i].key);
		for (size_t j = 0; j < pairs->list[i].text.len; j++)
			buf_addf(body, "%%%02X", (unsigned char)pairs->list[i].text.at[j]);
	}
	if (sign)
		buf_addf(body, "&sign=%s", sign);
	return buf_slice(body);
}
