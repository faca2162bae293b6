/*
 * Time. Wall time is int64_t milliseconds since 1970-01-01T00:00:00Z (`_ms`): what is stored and
 * shown. Elapsed time is int64_t microseconds of CLOCK_MONOTONIC (`_us`): deadlines, latencies.
 * Whoever needs the time gets a struct clock, so that a test can replace it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "orderhook/buf.h"

struct clock {
	int64_t (*wall_ms)(const struct clock *clock);
	int64_t (*elapsed_us)(const struct clock *clock);
	int64_t test_wall_ms; /* used only by a clock that a test made */
	int64_t test_elapsed_us;
};

const struct clock *clock_system(void); /* never NULL, never freed */
/* A clock that stands still at the two test_ members until the test moves them. */
struct clock clock_fixed(int64_t wall_ms, int64_t elapsed_us);

static inline int64_t clock_wall_ms(const struct clock *clock)
{
	return clock->wall_ms(clock);
}

static inline int64_t clock_elapsed_us(const struct clock *clock)
{
	return clock->elapsed_us(clock);
}

/* "2025-05-30T08:55:19.000Z": 24 bytes and a NUL. Years 0000 to 9999; beyond, clamped. */
#define CLOCK_RFC3339_BYTES 25
void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]);
/* RFC 3339 with 'Z' or an offset, fraction of up to 9 digits optional (kept to the millisecond).
 * Every field is checked against the calendar; second 60 is refused. -ERR_SYNTAX. */
int clock_parse_rfc3339(struct slice text, int64_t *ret_wall_ms);
/* Exactly "YYYY-MM-DD HH:MM:SS" at the given offset from UTC (Shansong: +8 h). -ERR_SYNTAX. */
int clock_parse_local(struct slice text, int64_t offset_ms, int64_t *ret_wall_ms);
/* The same the other way: 19 bytes and a NUL. */
#define CLOCK_LOCAL_BYTES 20
void clock_format_local(int64_t wall_ms, int64_t offset_ms, char out[CLOCK_LOCAL_BYTES]);
/* "500ms 10s 5m 2h 90d", or 0. -ERR_SYNTAX, -ERR_RANGE. */
int clock_parse_duration(struct slice text, int64_t *ret_ms);
