/*
 * MD5 as RFC 1321 tells it, with a state that can be set: what a forger needs to go on hashing
 * where a signer stopped. Written for the tests alone, so that they do not check the code with
 * itself.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct md5_state {
	uint32_t word[4];
	uint64_t bytes; /* hashed so far, a multiple of 64 */
};

static const uint32_t md5_constant[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
	0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
	0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
	0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
	0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
	0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
	0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
	0xeb86d391};

static inline struct md5_state md5_begin(void)
{
	return (struct md5_state){{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, 0};
}

static inline void md5_block(struct md5_state *state, const uint8_t *block)
{
	static const uint8_t shift[4][4] = {
		{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
	uint32_t a = state->word[0], b = state->word[1], c = state->word[2], d = state->word[3];

	for (uint32_t i = 0; i < 64; i++) {
		uint32_t round = i / 16;
		uint32_t f = round == 0   ? (b & c) | (~b & d)
			     : round == 1 ? (d & b) | (~d & c)
			     : round == 2 ? b ^ c ^ d
					  : c ^ (b | ~d);
		uint32_t at = (round == 0   ? i
			       : round == 1 ? 5 * i + 1
			       : round == 2 ? 3 * i + 5
					    : 7 * i) %
			      16 * 4;
		uint32_t sum = a + f + md5_constant[i] +
			       ((uint32_t)block[at] | (uint32_t)block[at + 1] << 8 |
				(uint32_t)block[at + 2] << 16 | (uint32_t)block[at + 3] << 24);
		uint32_t by = shift[round][i % 4];
		a = d;
		d = c;
		c = b;
		b += sum << by | sum >> (32 - by);
	}
	state->word[0] += a;
	state->word[1] += b;
	state->word[2] += c;
	state->word[3] += d;
	state->bytes += 64;
}

/* The padding of a message of so many bytes; its length. out has room for 72. */
static inline size_t md5_padding(uint64_t message_bytes, uint8_t *out)
{
	size_t len = 64 - (size_t)((message_bytes + 8) % 64);

	memset(out, 0, 72);
	out[0] = 0x80;
	for (int i = 0; i < 8; i++)
		out[len + (size_t)i] = (uint8_t)(message_bytes * 8 >> (8 * i));
	return len + 8;
}

/* Hashes the rest of a message and writes 32 upper-case digits. */
static inline void md5_finish(struct md5_state state, const char *at, size_t len, char *out_hex)
{
	uint8_t tail[64 + 72];
	size_t rest;

	for (; len >= 64; at += 64, len -= 64)
		md5_block(&state, (const uint8_t *)at);
	memcpy(tail, at, len);
	rest = len + md5_padding(state.bytes + len, tail + len);
	for (size_t i = 0; i < rest; i += 64)
		md5_block(&state, tail + i);
	for (int i = 0; i < 16; i++)
		snprintf(out_hex + 2 * i, 3, "%02X", state.word[i / 4] >> (8 * (i % 4)) & 0xff);
}

/* The state that a published digest is. */
static inline struct md5_state md5_resume(const char *hex, uint64_t bytes)
{
	struct md5_state state = {{0, 0, 0, 0}, bytes};

	for (int i = 0; i < 16; i++) {
		unsigned byte = 0;
		sscanf(hex + 2 * i, "%2x", &byte);
		state.word[i / 4] |= (uint32_t)byte << (8 * (i % 4));
	}
	return state;
}
