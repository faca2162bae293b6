/*
 * MD5, SHA-256 and HMAC-SHA256 over OpenSSL. The algorithms are fetched once for each thread and
 * the contexts reused: fetching costs more than hashing a callback does. Hashing can only fail for
 * want of memory, -ERR_NOMEM, or because the system's OpenSSL refuses the algorithm (MD5 under
 * FIPS), -ERR_INTERNAL.
 */
#pragma once

#include <stdint.h>

#include "orderhook/buf.h"

#define DIGEST_MD5_BYTES 16
#define DIGEST_SHA256_BYTES 32

/* The parts are hashed as one string. */
int digest_md5(const struct slice *parts, size_t n, uint8_t out[DIGEST_MD5_BYTES]);
int digest_sha256(const struct slice *parts, size_t n, uint8_t out[DIGEST_SHA256_BYTES]);
int digest_hmac_sha256(struct slice key, const struct slice *parts, size_t n,
		       uint8_t out[DIGEST_SHA256_BYTES]);

/* Takes the same time whatever the bytes are. */
bool digest_equal(const void *a, const void *b, size_t len);
/* 2 * len digits and a NUL. */
void digest_hex_lower(const uint8_t *bytes, size_t len, char *out);
void digest_hex_upper(const uint8_t *bytes, size_t len, char *out);
/* Standard base64 with padding, nothing else accepted. -ERR_SYNTAX, -ERR_TOO_LONG. */
int digest_base64_decode(struct slice text, uint8_t *out, size_t cap, size_t *ret_len);
/* 4 * ((len + 2) / 3) characters and a NUL; out must have room. */
void digest_base64_encode(const uint8_t *bytes, size_t len, char *out);
