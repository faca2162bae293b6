/* How often what happens: the table tbl/sim_fault.def, and the words of --faults. */
#include "simulator_private.h"
#include "tool_private.h"

#include <string.h>

#include "orderhook/err.h"

#define ALL_PER_10000 10000

static const struct fault {
	const char *key;
	unsigned per_10000;
	const char *of;
	const char *text;
} faults[SIM_FAULT_MAX] = {
#define SIM_FAULT(name, key, per_10000, of, text) [SIM_##name] = {key, per_10000, of, text},
#include "orderhook/tbl/sim_fault.def"
#undef SIM_FAULT
};

const char *sim_fault_key(enum sim_fault fault)
{
	return faults[fault].key;
}

void sim_shares_default(struct sim_shares *ret)
{
	for (int i = 0; i < SIM_FAULT_MAX; i++)
		ret->per_10000[i] = faults[i].per_10000;
}

int sim_decimal(struct slice text, unsigned places, uint64_t max, uint64_t *ret)
{
	const char *point = slice_find(text, SLICE("."));
	struct slice whole = {text.at, point ? (size_t)(point - text.at) : text.len};
	struct slice rest = {point ? point + 1 : "", point ? text.len - whole.len - 1 : 0};
	uint64_t scale = 1;
	uint64_t value;
	uint64_t fraction = 0;
	int err = 0;

	if (rest.len > places || (point && rest.len == 0))
		return -ERR_SYNTAX;
	for (unsigned i = 0; i < places; i++)
		scale *= 10;
	err = slice_to_u64(whole, max / scale, &value);
	if (!err && rest.len)
		err = slice_to_u64(rest, scale, &fraction);
	if (err)
		return err;
	for (size_t i = rest.len; i < places; i++)
		fraction *= 10;
	if (value * scale + fraction > max)
		return -ERR_RANGE;
	*ret = value * scale + fraction;
	return 0;
}

static int bad_item(struct buf *problem, struct slice item, const char *allowed)
{
	buf_addf(problem, "'%.*s': %s", SLICE_ARG(item), allowed);
	return -ERR_SYNTAX;
}

static int unknown_fault(struct slice key, struct buf *problem)
{
	const char *names[SIM_FAULT_MAX + 1] = {NULL};
	char given[65] = "";
	const char *nearest;

	for (int i = 0; i < SIM_FAULT_MAX; i++)
		names[i] = faults[i].key;
	(void)slice_copy(key, given, sizeof(given));
	nearest = option_nearest(given, names);
	bad_item(problem, key,
		 nearest ? "no such fault; did you mean " : "no such fault; there are ");
	if (nearest)
		buf_addf(problem, "'%s'?", nearest);
	for (int i = 0; i < SIM_FAULT_MAX && !nearest; i++)
		buf_addf(problem, "%s%s", i ? ", " : "", names[i]);
	return -ERR_SYNTAX;
}

static int parse_item(struct slice item, struct sim_shares *shares, struct buf *problem)
{
	const char *equals = slice_find(item, SLICE("="));
	struct slice key = {item.at, equals ? (size_t)(equals - item.at) : item.len};
	struct slice share;
	uint64_t value;

	if (slice_equal_string(item, "default")) {
		sim_shares_default(shares);
		return 0;
	}
	if (slice_equal_string(item, "none")) {
		*shares = (struct sim_shares){{0}};
		return 0;
	}
	if (!equals)
		return bad_item(problem, item, "expected NAME=SHARE%, 'default' or 'none'");
	share = (struct slice){equals + 1, item.len - key.len - 1};
	if (share.len == 0 || share.at[share.len - 1] != '%')
		return bad_item(problem, item, "a share is written as a percentage, like 2.5%");
	share.len--;
	if (sim_decimal(share, 2, ALL_PER_10000, &value))
		return bad_item(problem, item, "a share is from 0% to 100%, with two decimals");
	for (int i = 0; i < SIM_FAULT_MAX; i++) {
		if (slice_equal_string(key, faults[i].key)) {
			shares->per_10000[i] = (unsigned)value;
			return 0;
		}
	}
	return unknown_fault(key, problem);
}

int sim_shares_parse(struct slice text, struct sim_shares *ret, struct buf *problem)
{
	struct sim_shares shares = {{0}};
	int err = 0;

	do {
		const char *comma = slice_find(text, SLICE(","));
		struct slice item = {text.at, comma ? (size_t)(comma - text.at) : text.len};
		err = parse_item(slice_trim(item), &shares, problem);
		text.at += item.len + (comma ? 1 : 0);
		text.len -= item.len + (comma ? 1 : 0);
		if (!comma)
			break;
	} while (!err);
	if (!err)
		*ret = shares;
	return err;
}

int sim_shares_help(struct buf *out)
{
	int err = 0;

	for (int i = 0; !err && i < SIM_FAULT_MAX; i++) {
		unsigned share = faults[i].per_10000;
		err = buf_addf(out, "  %-14s %2u%% of %s: %s\n", faults[i].key, share / 100,
			       faults[i].of, faults[i].text);
	}
	return err;
}
