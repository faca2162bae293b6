/*
 * The calendar is computed, not asked of libc: timegm() and strptime() depend on locale, accept
 * what the grammar refuses (" 5", day 31 of any month) and differ in years. Days are counted with
 * the civil-calendar arithmetic in which the year begins in March, so that the leap day is last.
 */
#include "orderhook/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "orderhook/err.h"

#define MS_PER_DAY (24 * 60 * 60 * 1000LL)

static int64_t read_clock(clockid_t id, int64_t per_second, int64_t ns_per_unit)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * per_second + now.tv_nsec / ns_per_unit;
}

static int64_t system_wall_ms(const struct clock *clock)
{
	(void)clock;
	return read_clock(CLOCK_REALTIME, 1000, 1000000);
}

static int64_t system_elapsed_us(const struct clock *clock)
{
	(void)clock;
	return read_clock(CLOCK_MONOTONIC, 1000000, 1000);
}

const struct clock *clock_system(void)
{
	static const struct clock system = {.wall_ms = system_wall_ms,
					    .elapsed_us = system_elapsed_us};
	return &system;
}

static int64_t fixed_wall_ms(const struct clock *clock)
{
	return clock->test_wall_ms;
}

static int64_t fixed_elapsed_us(const struct clock *clock)
{
	return clock->test_elapsed_us;
}

struct clock clock_fixed(int64_t wall_ms, int64_t elapsed_us)
{
	return (struct clock){fixed_wall_ms, fixed_elapsed_us, wall_ms, elapsed_us};
}

/* Days from 1970-01-01 of a proleptic Gregorian date. */
static int64_t days_from_civil(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

struct civil {
	int year, month, day, hour, minute, second, milli;
};

static int64_t clamp_to_calendar(int64_t wall_ms)
{
	static const int64_t first = -62167219200000; /* 0000-01-01 */
	static const int64_t last = 253402300799999;  /* 9999-12-31T23:59:59.999 */

	return wall_ms < first ? first : wall_ms > last ? last : wall_ms;
}

static struct civil civil_of(int64_t wall_ms)
{
	struct civil c;

	wall_ms = clamp_to_calendar(wall_ms);
	int64_t days = wall_ms / MS_PER_DAY;
	if (wall_ms % MS_PER_DAY < 0)
		days--;
	int64_t rest = wall_ms - days * MS_PER_DAY;
	civil_from_days(days, &c.year, &c.month, &c.day);
	c.hour = (int)(rest / 3600000);
	c.minute = (int)(rest / 60000 % 60);
	c.second = (int)(rest / 1000 % 60);
	c.milli = (int)(rest % 1000);
	return c;
}

void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES])
{
	struct civil c = civil_of(wall_ms);

	/* The remainders tell the compiler that every field has its width. */
	snprintf(out, CLOCK_RFC3339_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		 (unsigned)c.year % 10000, (unsigned)c.month % 100, (unsigned)c.day % 100,
		 (unsigned)c.hour % 100, (unsigned)c.minute % 100, (unsigned)c.second % 100,
		 (unsigned)c.milli % 1000);
}

void clock_format_local(int64_t wall_ms, int64_t offset_ms, char out[CLOCK_LOCAL_BYTES])
{
	char text[CLOCK_RFC3339_BYTES];

	/* Clamped first, or the sum could overflow. */
	clock_format_rfc3339(clamp_to_calendar(wall_ms) + offset_ms, text);
	text[10] = ' ';
	memcpy(out, text, 19);
	out[19] = '\0';
}

/* Takes exactly `digits` digits off the front of text. */
static bool take_number(struct slice *text, size_t digits, int max, int *ret)
{
	uint64_t value;

	if (text->len < digits ||
	    slice_to_u64((struct slice){text->at, digits}, (uint64_t)max, &value))
		return false;
	text->at += digits;
	text->len -= digits;
	*ret = (int)value;
	return true;
}

static bool take_char(struct slice *text, char c)
{
	if (text->len == 0 || text->at[0] != c)
		return false;
	text->at++;
	text->len--;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* "YYYY-MM-DD" sep "HH:MM:SS", as milliseconds from 1970 without regard to any zone. */
static bool take_date_time(struct slice *text, char sep, int64_t *ret_ms)
{
	struct civil c;

	if (!take_number(text, 4, 9999, &c.year) || !take_char(text, '-') ||
	    !take_number(text, 2, 12, &c.month) || !take_char(text, '-') ||
	    !take_number(text, 2, 31, &c.day) || !take_char(text, sep) ||
	    !take_number(text, 2, 23, &c.hour) || !take_char(text, ':') ||
	    !take_number(text, 2, 59, &c.minute) || !take_char(text, ':') ||
	    !take_number(text, 2, 59, &c.second))
		return false;
	if (c.month < 1 || c.day < 1 || c.day > days_in_month(c.year, c.month))
		return false;
	*ret_ms = days_from_civil(c.year, c.month, c.day) * MS_PER_DAY +
		  ((c.hour * 60LL + c.minute) * 60 + c.second) * 1000;
	return true;
}

int clock_parse_local(struct slice text, int64_t offset_ms, int64_t *ret_wall_ms)
{
	int64_t local_ms;

	if (!take_date_time(&text, ' ', &local_ms) || text.len)
		return -ERR_SYNTAX;
	*ret_wall_ms = local_ms - offset_ms;
	return 0;
}

static bool take_fraction(struct slice *text, int64_t *ret_ms)
{
	int64_t ms = 0;
	size_t digits = 0;

	while (text->len && text->at[0] >= '0' && text->at[0] <= '9' && digits < 9) {
		if (digits < 3)
			ms = ms * 10 + (text->at[0] - '0');
		text->at++;
		text->len--;
		digits++;
	}
	for (size_t i = digits; i < 3; i++)
		ms *= 10;
	*ret_ms = ms;
	return digits > 0;
}

static bool take_offset(struct slice *text, int64_t *ret_ms)
{
	int hours;
	int minutes;
	int64_t sign = 1;

	*ret_ms = 0;
	if (take_char(text, 'Z') || take_char(text, 'z'))
		return true;
	if (take_char(text, '-'))
		sign = -1;
	else if (!take_char(text, '+'))
		return false;
	if (!take_number(text, 2, 23, &hours) || !take_char(text, ':') ||
	    !take_number(text, 2, 59, &minutes))
		return false;
	*ret_ms = sign * (hours * 60LL + minutes) * 60000;
	return true;
}

int clock_parse_rfc3339(struct slice text, int64_t *ret_wall_ms)
{
	char sep = text.len > 10 && (text.at[10] == ' ' || text.at[10] == 't') ? text.at[10] : 'T';
	int64_t ms;
	int64_t fraction_ms = 0;
	int64_t offset_ms;

	if (!take_date_time(&text, sep, &ms))
		return -ERR_SYNTAX;
	if (take_char(&text, '.') && !take_fraction(&text, &fraction_ms))
		return -ERR_SYNTAX;
	if (!take_offset(&text, &offset_ms) || text.len)
		return -ERR_SYNTAX;
	*ret_wall_ms = ms + fraction_ms - offset_ms;
	return 0;
}

int clock_parse_duration(struct slice text, int64_t *ret_ms)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", MS_PER_DAY}};
	size_t digits = 0;
	int64_t number;
	int err;

	while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	err = slice_to_i64((struct slice){text.at, digits}, 0, INT64_MAX, &number);
	if (err)
		return err;
	struct slice suffix = {text.at + digits, text.len - digits};
	if (suffix.len == 0 && number == 0) {
		*ret_ms = 0;
		return 0;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!slice_equal_string(suffix, units[i].suffix))
			continue;
		if (number > INT64_MAX / units[i].ms)
			return -ERR_RANGE;
		*ret_ms = number * units[i].ms;
		return 0;
	}
	return -ERR_SYNTAX;
}
