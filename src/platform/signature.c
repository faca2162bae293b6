/*
 * Both rules hash one string that is never assembled: the parts go to the digest as slices. What a
 * signature proves is decided by who chose the parts; here nothing is parsed, so nothing can be
 * read two ways.
 *
 * Every secret is tried and every comparison finished, so the time taken tells neither which secret
 * matched nor how far a wrong signature was right.
 */
#include "orderhook/signature.h"

#include <stdlib.h>
#include <string.h>

#include "orderhook/digest.h"
#include "orderhook/err.h"

#define HMAC_KEY_PREFIX "whsec_"
#define HMAC_KEY_BYTES_MIN 16
#define HMAC_KEY_BYTES_MAX 64
#define HMAC_VERSION "v1,"

static struct slice secret_slice(const struct secret *secret)
{
	return (struct slice){secret->bytes, secret->len};
}

static int compare_keys(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.at, b.at, common) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* By insertion: parameters come sorted or nearly so, and the verifier sorts them once per secret.
 */
static void sort_params(struct signature_param *params, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct signature_param param = params[i];
		size_t to = i;
		for (; to > 0 && compare_keys(params[to - 1].key, param.key) > 0; to--)
			params[to] = params[to - 1];
		params[to] = param;
	}
}

int signature_md5(struct slice secret, struct signature_param *params, size_t n,
		  char ret_sign[SIGNATURE_SIGN_CHARS + 1])
{
	struct slice parts[1 + 2 * SIGNATURE_PARAMS_MAX];
	uint8_t digest[DIGEST_MD5_BYTES];
	size_t n_parts = 0;
	int err;

	if (n > SIGNATURE_PARAMS_MAX)
		return -ERR_TOO_LONG;
	sort_params(params, n);
	parts[n_parts++] = secret;
	for (size_t i = 0; i < n; i++) {
		if (params[i].value.len == 0)
			continue;
		parts[n_parts++] = params[i].key;
		parts[n_parts++] = params[i].value;
	}
	err = digest_md5(parts, n_parts, digest);
	if (err)
		return err;
	digest_hex_upper(digest, sizeof(digest), ret_sign);
	return 0;
}

static bool is_sign(struct slice sign)
{
	if (sign.len != SIGNATURE_SIGN_CHARS)
		return false;
	for (size_t i = 0; i < sign.len; i++) {
		char c = sign.at[i];
		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')))
			return false;
	}
	return true;
}

int signature_md5_verify(const struct secret *secrets, size_t n_secrets,
			 struct signature_param *params, size_t n, struct slice sign)
{
	char made[SIGNATURE_SIGN_CHARS + 1];
	bool match = false;

	if (!is_sign(sign))
		return -ERR_SIGN_FORM;
	for (size_t i = 0; i < n_secrets; i++) {
		int err = signature_md5(secret_slice(&secrets[i]), params, n, made);
		if (err)
			return err;
		match |= digest_equal(made, sign.at, SIGNATURE_SIGN_CHARS);
	}
	return match ? 0 : -ERR_SIGN_WRONG;
}

int signature_hmac(struct slice key, struct slice id, struct slice timestamp, struct slice body,
		   char ret_signature[SIGNATURE_HMAC_CHARS + 1])
{
	const struct slice parts[] = {id, SLICE("."), timestamp, SLICE("."), body};
	uint8_t digest[DIGEST_SHA256_BYTES];
	int err = digest_hmac_sha256(key, parts, sizeof(parts) / sizeof(parts[0]), digest);

	if (err)
		return err;
	memcpy(ret_signature, HMAC_VERSION, sizeof(HMAC_VERSION) - 1);
	digest_base64_encode(digest, sizeof(digest), ret_signature + sizeof(HMAC_VERSION) - 1);
	return 0;
}

/* Whether any item of a space-separated list is this signature. */
static bool list_holds(struct slice list, const char *signature)
{
	bool match = false;

	while (list.len) {
		const char *space = memchr(list.at, ' ', list.len);
		size_t len = space ? (size_t)(space - list.at) : list.len;
		size_t taken = space ? len + 1 : len;
		if (len == SIGNATURE_HMAC_CHARS)
			match |= digest_equal(list.at, signature, SIGNATURE_HMAC_CHARS);
		list.at += taken;
		list.len -= taken;
	}
	return match;
}

int signature_hmac_verify(const struct secret *keys, size_t n_keys, struct slice id,
			  struct slice timestamp, struct slice body, struct slice header)
{
	char made[SIGNATURE_HMAC_CHARS + 1];
	bool match = false;

	for (size_t i = 0; i < n_keys; i++) {
		int err = signature_hmac(secret_slice(&keys[i]), id, timestamp, body, made);
		if (err)
			return err;
		match |= list_holds(header, made);
	}
	return match ? 0 : -ERR_HMAC_WRONG;
}

int signature_hmac_key(struct slice text, struct secret *ret)
{
	const size_t prefix = sizeof(HMAC_KEY_PREFIX) - 1;
	uint8_t key[HMAC_KEY_BYTES_MAX];
	size_t len;
	int err = -ERR_SECRET_FORM;

	if (!slice_starts_with(text, SLICE(HMAC_KEY_PREFIX)))
		return err;
	text.at += prefix;
	text.len -= prefix;
	if (digest_base64_decode(text, key, sizeof(key), &len) == 0 && len >= HMAC_KEY_BYTES_MIN) {
		char *bytes = malloc(len + 1);
		err = bytes ? 0 : -ERR_NOMEM;
		if (bytes) {
			memcpy(bytes, key, len);
			bytes[len] = '\0';
			*ret = (struct secret){bytes, len};
		}
	}
	explicit_bzero(key, sizeof(key));
	return err;
}
