/*
 * A counter through a bijective mixer (splitmix64), from a random start: never the same twice in
 * one run, hardly ever in two, and not a count that tells strangers how busy the receiver is.
 */
#include "orderhook/http_request_id.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

void http_request_id_seed(struct http_request_ids *ids)
{
	struct timespec now;

	atomic_init(&ids->made, 0);
	if (getrandom(&ids->seed, sizeof(ids->seed), 0) == sizeof(ids->seed))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	ids->seed = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

void http_request_id_make(struct http_request_ids *ids, char out[HTTP_REQUEST_ID_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = atomic_fetch_add_explicit(&ids->made, 1, memory_order_relaxed);
	uint64_t id = mix(ids->seed + n);

	for (int i = 0; i < 16; i++)
		out[i] = digits[id >> (60 - 4 * i) & 15];
	out[16] = '\0';
}

bool http_request_id_is(struct slice text)
{
	if (text.len == 0 || text.len >= HTTP_REQUEST_ID_BYTES)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      (c && strchr("._-", c))))
			return false;
	}
	return true;
}
