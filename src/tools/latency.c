/*
 * A histogram whose buckets double in width with each power of two, 64 of them for each: the idea
 * of HDR histograms. A percentile is the upper edge of its bucket, so it never flatters.
 */
#include "latency_private.h"

#include <stddef.h>

#define SUB (1u << LATENCY_SUB_BITS)
#define LIMIT_US ((INT64_C(1) << LATENCY_BITS_MAX) - 1)

static unsigned shift_of(uint64_t us)
{
	return us < 2 * SUB ? 0 : 63 - (unsigned)__builtin_clzll(us) - LATENCY_SUB_BITS;
}

void latency_add(struct latency *latency, int64_t us)
{
	us = us < 0 ? 0 : us > LIMIT_US ? LIMIT_US : us;
	unsigned shift = shift_of((uint64_t)us);

	latency->counts[shift * SUB + ((uint64_t)us >> shift)]++;
	latency->n++;
	if (us > latency->max_us)
		latency->max_us = us;
}

static int64_t upper_edge(size_t bucket)
{
	unsigned shift = bucket < 2 * SUB ? 0 : (unsigned)(bucket / SUB - 1);

	return (int64_t)((bucket - shift * SUB + 1) << shift) - 1;
}

int64_t latency_per_mille(const struct latency *latency, unsigned per_mille)
{
	/* The nearest rank, rounded up: of ten values the p99 is the largest. */
	uint64_t rank = (latency->n * per_mille + 999) / 1000;
	uint64_t seen = 0;

	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		seen += latency->counts[i];
		if (seen >= rank && seen)
			return upper_edge(i) < latency->max_us ? upper_edge(i) : latency->max_us;
	}
	return latency->max_us;
}
