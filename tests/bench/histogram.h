/* Latencies in microseconds, log-linear: 1 µs steps below 128 µs, then 64 steps for each doubling,
 * so a percentile is at most 1.6 % too high and the memory does not grow with the run. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_BUCKETS (128 + 64 * 26)

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t n;
	int64_t max_us;
};

static inline unsigned histogram_bucket(int64_t us)
{
	if (us < 128)
		return us < 0 ? 0 : (unsigned)us;
	unsigned shift = (unsigned)(63 - __builtin_clzll((unsigned long long)us)) - 6;
	unsigned bucket = 128 + 64 * (shift - 1) + ((unsigned)(us >> shift) - 64);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest latency that falls into the bucket. */
static inline int64_t histogram_upper(unsigned bucket)
{
	if (bucket < 128)
		return bucket;
	unsigned shift = (bucket - 128) / 64 + 1;
	return (((int64_t)(bucket - 128) % 64 + 65) << shift) - 1;
}

static inline void histogram_add(struct histogram *histogram, int64_t us)
{
	histogram->counts[histogram_bucket(us)]++;
	histogram->n++;
	if (us > histogram->max_us)
		histogram->max_us = us;
}

static inline int64_t histogram_percentile(const struct histogram *histogram, double share)
{
	uint64_t rank = (uint64_t)(share * (double)histogram->n);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->counts[i];
		if (seen > rank)
			return histogram_upper(i) < histogram->max_us ? histogram_upper(i)
								      : histogram->max_us;
	}
	return histogram->max_us;
}
