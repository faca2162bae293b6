/*
 * Refused deliveries of the last day, a line for each reason: one wrong secret refuses hundreds of
 * them, and they have one remedy.
 */
#include <stdio.h>

#include "attention_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define NEXT_BYTES 128

struct reason {
	int64_t deliveries;
	int64_t ours;
	int64_t since_ms;
};

struct tally {
	int64_t from_ms;
	struct reason reasons[ERR_MAX];
};

static int count(void *context, const struct store_row *row)
{
	struct tally *tally = context;
	int64_t last_ms = 0;

	if (clock_parse_rfc3339(row->values[HELD_COL_last_received].text, &last_ms) ||
	    last_ms < tally->from_ms)
		return 0;
	int err = -err_of_key(row->values[HELD_COL_reason].text);
	struct reason *reason = &tally->reasons[err];
	int64_t deliveries = row->values[HELD_COL_deliveries].integer;
	reason->deliveries += deliveries;
	if (row->values[HELD_COL_ours].integer)
		reason->ours += deliveries;
	if (!reason->since_ms || last_ms < reason->since_ms)
		reason->since_ms = last_ms;
	return 0;
}

int attention_held(const struct attention *attention, struct findings *findings)
{
	const struct held_filter all = {.endpoint = NULL};
	struct tally tally = {.from_ms = clock_wall_ms(attention->tool->clock) - DAY_MS};

	if (attention->since_ms > tally.from_ms)
		tally.from_ms = attention->since_ms;
	int err = store_held(attention->reader, &all, count, &tally);
	for (int i = 0; i < ERR_MAX && !err; i++) {
		const struct reason *reason = &tally.reasons[i];
		char next[NEXT_BYTES];
		if (!reason->deliveries)
			continue;
		snprintf(next, sizeof(next), "orderhook held --reason %s", err_key(i));
		findings_add(findings, "held", err_key(i), reason->since_ms, next,
			     "%lld deliveries were refused in the last day, %lld of them with our "
			     "token or ids: %s",
			     (long long)reason->deliveries, (long long)reason->ours, err_text(i));
	}
	return err;
}
