/*
 * Latencies in bounded memory, whatever their number: exact below 128 µs, within 1.6 % above. The
 * largest one is exact.
 */
#pragma once

#include <stdint.h>

#define LATENCY_SUB_BITS 6
#define LATENCY_BITS_MAX 40 /* twelve days; longer ones count as that */
#define LATENCY_BUCKETS ((LATENCY_BITS_MAX - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS)

/* All zero is empty. */
struct latency {
	uint64_t counts[LATENCY_BUCKETS];
	uint64_t n;
	int64_t max_us;
};

void latency_add(struct latency *latency, int64_t us);
/* No more than this for so many thousandths of all (999: p99.9); 0 when there are none. */
int64_t latency_per_mille(const struct latency *latency, unsigned per_mille);
