/*
 * Numbers with a unit, both ways. A number is printed with the largest unit that divides it, so
 * that what was read is what is printed, and it parses to the same number again.
 */
#include <inttypes.h>
#include <string.h>

#include "config_private.h"
#include "orderhook/clock.h"

struct unit {
	const char *suffix;
	int64_t factor;
};

/* Largest first; the last one divides everything. */
static const struct unit sizes[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}};
static const struct unit durations[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static int parse_size(struct slice text, int64_t *ret)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t suffix = strlen(sizes[i].suffix);
		if (text.len < suffix ||
		    memcmp(text.at + text.len - suffix, sizes[i].suffix, suffix) != 0)
			continue;
		struct slice digits = {text.at, text.len - suffix};
		uint64_t number;
		int err = slice_to_u64(digits, (uint64_t)(INT64_MAX / sizes[i].factor), &number);
		if (!err)
			*ret = (int64_t)number * sizes[i].factor;
		return err;
	}
	return -ERR_SYNTAX;
}

static int parse_count(struct slice text, int64_t *ret)
{
	uint64_t number;
	int err = slice_to_u64(text, INT64_MAX, &number);

	if (!err)
		*ret = (int64_t)number;
	return err;
}

static int parse_mode(struct slice text, int64_t *ret)
{
	int64_t mode = 0;

	if (text.len == 4 && text.at[0] == '0')
		text = (struct slice){text.at + 1, 3};
	if (text.len != 3)
		return -ERR_SYNTAX;
	for (size_t i = 0; i < 3; i++) {
		if (text.at[i] < '0' || text.at[i] > '7')
			return -ERR_SYNTAX;
		mode = mode * 8 + (text.at[i] - '0');
	}
	*ret = mode;
	return 0;
}

static int parse_number(enum config_type type, struct slice text, int64_t *ret)
{
	switch (type) {
	case CONFIG_TYPE_MODE:
		return parse_mode(text, ret);
	case CONFIG_TYPE_SIZE:
		return parse_size(text, ret);
	case CONFIG_TYPE_NUMBER:
		return parse_count(text, ret);
	default:
		return clock_parse_duration(text, ret);
	}
}

static bool zero_allowed(enum config_type type)
{
	return type == CONFIG_TYPE_PERIOD || type == CONFIG_TYPE_STAY;
}

const char *config_number_parse(const struct config_key *key, struct slice text, int64_t *ret)
{
	int64_t number;
	int64_t bound;
	int err = parse_number(key->type, text, &number);

	if (err == -ERR_RANGE)
		return "is too large";
	if (err)
		return "is malformed";
	if (number == 0 && zero_allowed(key->type)) {
		*ret = 0;
		return NULL;
	}
	if (parse_number(key->type, slice_of(key->min), &bound) == 0 && number < bound)
		return "is too small";
	if (parse_number(key->type, slice_of(key->max), &bound) == 0 && number > bound)
		return "is too large";
	*ret = number;
	return NULL;
}

int config_number_print(const struct config_key *key, int64_t number, struct buf *out)
{
	const struct unit *unit = key->type == CONFIG_TYPE_SIZE ? sizes : durations;

	if (key->type == CONFIG_TYPE_MODE)
		return buf_addf(out, "%04" PRIo64, number);
	if (key->type == CONFIG_TYPE_NUMBER || number == 0)
		return buf_addf(out, "%" PRId64, number);
	while (number % unit->factor)
		unit++;
	return buf_addf(out, "%" PRId64 "%s", number / unit->factor, unit->suffix);
}
