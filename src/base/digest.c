/*
 * One EVP_MD and one context for each algorithm and thread, made at first use. Thread-local state
 * is the exception to "no globals": it is a cache, and nobody can observe it but by its speed. A
 * thread's end frees what it made.
 */
#include "orderhook/digest.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"

#define PROBE_BYTES 4096

struct hasher {
	EVP_MD *md;
	EVP_MD_CTX *context;
};

static _Thread_local struct hasher md5;
static _Thread_local struct hasher sha256;

static void hasher_end(struct hasher *hasher)
{
	EVP_MD_CTX_free(hasher->context);
	EVP_MD_free(hasher->md);
	*hasher = (struct hasher){NULL, NULL};
}

/* At the end of a thread that hashed, whoever made it: libmicrohttpd's calls nothing of ours. */
static void end_thread(void *unused)
{
	(void)unused;
	hasher_end(&md5);
	hasher_end(&sha256);
}

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static int key_failed;

static void make_key(void)
{
	key_failed = pthread_key_create(&thread_key, end_thread);
}

/* The key's value only has to be something: it is what makes end_thread() run. */
static int remember_thread(void)
{
	pthread_once(&key_once, make_key);
	return key_failed || pthread_setspecific(thread_key, &thread_key) ? -ERR_NOMEM : 0;
}

/* OpenSSL may call want of memory an unknown algorithm, so memory itself is asked. */
static int reason_of_failure(void)
{
	bool unknown = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_UNSUPPORTED;
	void *volatile probe = malloc(PROBE_BYTES);
	int err = unknown && probe ? -ERR_INTERNAL : -ERR_NOMEM;

	free(probe);
	ERR_clear_error();
	return err;
}

static EVP_MD *fetch(const char *name)
{
	EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);

	/* Once more: an allocation that failed for a moment looks like an unknown algorithm. */
	return md ? md : EVP_MD_fetch(NULL, name, NULL);
}

static int hasher_begin(struct hasher *hasher, const char *name)
{
	if (!hasher->md && remember_thread())
		return -ERR_NOMEM;
	if (!hasher->md)
		hasher->md = fetch(name);
	if (!hasher->context)
		hasher->context = EVP_MD_CTX_new();
	if (!hasher->md || !hasher->context ||
	    EVP_DigestInit_ex2(hasher->context, hasher->md, NULL) != 1)
		return reason_of_failure();
	return 0;
}

static int hash_parts(struct hasher *hasher, const char *name, const struct slice *parts, size_t n,
		      uint8_t *out)
{
	int err = hasher_begin(hasher, name);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].len &&
		    EVP_DigestUpdate(hasher->context, parts[i].at, parts[i].len) != 1)
			return reason_of_failure();
	}
	return EVP_DigestFinal_ex(hasher->context, out, NULL) == 1 ? 0 : reason_of_failure();
}

int digest_md5(const struct slice *parts, size_t n, uint8_t out[DIGEST_MD5_BYTES])
{
	return hash_parts(&md5, "MD5", parts, n, out);
}

int digest_sha256(const struct slice *parts, size_t n, uint8_t out[DIGEST_SHA256_BYTES])
{
	return hash_parts(&sha256, "SHA256", parts, n, out);
}

#define SHA256_BLOCK_BYTES 64

/* RFC 2104 over the reused SHA-256 context: EVP_MAC would fetch anew for every key. */
int digest_hmac_sha256(struct slice key, const struct slice *parts, size_t n,
		       uint8_t out[DIGEST_SHA256_BYTES])
{
	uint8_t block[SHA256_BLOCK_BYTES] = {0};
	uint8_t inner[DIGEST_SHA256_BYTES];
	struct slice joined[8];
	int err = 0;

	assert(n < sizeof(joined) / sizeof(joined[0]));
	if (key.len > sizeof(block))
		err = digest_sha256(&key, 1, block);
	else if (key.len)
		memcpy(block, key.at, key.len);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	joined[0] = (struct slice){(const char *)block, sizeof(block)};
	for (size_t i = 0; i < n; i++)
		joined[i + 1] = parts[i];
	if (!err)
		err = digest_sha256(joined, n + 1, inner);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	joined[1] = (struct slice){(const char *)inner, sizeof(inner)};
	if (!err)
		err = digest_sha256(joined, 2, out);
	explicit_bzero(block, sizeof(block));
	explicit_bzero(inner, sizeof(inner));
	return err;
}

bool digest_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

static void hex(const uint8_t *bytes, size_t len, const char *digits, char *out)
{
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

void digest_hex_lower(const uint8_t *bytes, size_t len, char *out)
{
	hex(bytes, len, "0123456789abcdef", out);
}

void digest_hex_upper(const uint8_t *bytes, size_t len, char *out)
{
	hex(bytes, len, "0123456789ABCDEF", out);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters, the last of which are padding, to 24 bits. */
static bool base64_word(const char *at, size_t padding, uint32_t *ret)
{
	uint32_t word = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - padding ? base64_value(at[i]) : 0;
		if (value < 0)
			return false;
		word = word << 6 | (uint32_t)value;
	}
	*ret = word;
	/* Bits under the padding must be zero, or two texts would mean the same bytes. */
	return (word & ((1u << (8 * padding)) - 1)) == 0;
}

static size_t base64_padding(struct slice text)
{
	size_t padding = 0;

	while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=')
		padding++;
	return padding;
}

/* EVP_DecodeBlock skips blanks and counts the padding as bytes; one spelling is wanted here. */
int digest_base64_decode(struct slice text, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t padding = base64_padding(text);
	size_t len = text.len / 4 * 3 - padding;
	uint32_t word;

	if (text.len % 4)
		return -ERR_SYNTAX;
	/* All of it is looked at before any of it is written. */
	for (size_t i = 0; i < text.len; i += 4) {
		if (!base64_word(text.at + i, i + 4 == text.len ? padding : 0, &word))
			return -ERR_SYNTAX;
	}
	if (len > cap)
		return -ERR_TOO_LONG;
	for (size_t i = 0, written = 0; i < text.len; i += 4) {
		base64_word(text.at + i, i + 4 == text.len ? padding : 0, &word);
		for (int shift = 16; shift >= 0 && written < len; shift -= 8)
			out[written++] = (uint8_t)(word >> shift);
	}
	*ret_len = len;
	return 0;
}

void digest_base64_encode(const uint8_t *bytes, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}
