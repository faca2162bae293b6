/*
 * Signatures: the platform's MD5 rule over sorted parameters, and Standard Webhooks' HMAC. The rule
 * itself knows nothing of what may be signed; the adapter decides that (closed list, grammars).
 */
#pragma once

#include "orderhook/secret.h"

#define SIGNATURE_PARAMS_MAX 64
#define SIGNATURE_SIGN_CHARS 32

struct signature_param {
	struct slice key;
	struct slice value; /* as sent; an empty one is dropped with its key */
};

/* UPPER(MD5(secret + k1 + v1 + …)), keys ascending. params is sorted in place; a `sign` among them
 * is not skipped: do not pass it. */
int signature_md5(struct slice secret, struct signature_param *params, size_t n,
		  char ret_sign[SIGNATURE_SIGN_CHARS + 1]);

/* 0 when one of the secrets makes sign; all are tried, in constant time. -ERR_SIGN_FORM,
 * -ERR_SIGN_WRONG. */
int signature_md5_verify(const struct secret *secrets, size_t n_secrets,
			 struct signature_param *params, size_t n, struct slice sign);

/* Standard Webhooks: "v1," + base64(HMAC-SHA256(key, id + "." + timestamp + "." + body)). */
#define SIGNATURE_HMAC_CHARS 47
int signature_hmac(struct slice key, struct slice id, struct slice timestamp, struct slice body,
		   char ret_signature[SIGNATURE_HMAC_CHARS + 1]);
/* header is a space-separated list; any v1 item of any key may match. -ERR_HMAC_WRONG. */
int signature_hmac_verify(const struct secret *keys, size_t n_keys, struct slice id,
			  struct slice timestamp, struct slice body, struct slice header);
/* "whsec_" + base64 of 16 to 64 bytes, to the bytes. -ERR_SECRET_FORM. */
int signature_hmac_key(struct slice text, struct secret *ret);
