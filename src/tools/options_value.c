/*
 * The values of options. An instant without a zone is refused rather than guessed: tables show
 * China time, servers run in UTC, and an answer that is eight hours off looks right. Only "today"
 * asks the user's own zone (TZ), because the word means the user's day.
 */
#include <string.h>
#include <time.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "tool_private.h"

int option_bad(struct tool *tool, const struct tool_option *option, const char *value,
	       const char *allowed)
{
	return tool_usage(tool, "--%s: '%s' is wrong; %s", option->name, value, allowed);
}

int option_flag(struct tool *tool, const struct tool_option *option, const char *value)
{
	(void)tool;
	(void)value;
	*(bool *)option->into = true;
	return 0;
}

int option_string(struct tool *tool, const struct tool_option *option, const char *value)
{
	if (!value[0])
		return tool_usage(tool, "--%s: %s is empty", option->name, option->argument);
	*(const char **)option->into = value;
	return 0;
}

int option_count(struct tool *tool, const struct tool_option *option, const char *value)
{
	if (slice_to_i64(slice_of(value), 0, INT64_MAX, option->into))
		return option_bad(tool, option, value, "a whole number from 0 is allowed");
	return 0;
}

int option_duration(struct tool *tool, const struct tool_option *option, const char *value)
{
	if (clock_parse_duration(slice_of(value), option->into))
		return option_bad(tool, option, value,
				  "a number with its unit is allowed: 500ms, 10s, 5m, 2h, 90d");
	return 0;
}

/* The last midnight in the user's zone. */
static int64_t today_ms(int64_t now_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return now_ms;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm) * 1000;
}

int option_instant(struct tool *tool, const struct tool_option *option, const char *value)
{
	struct slice text = slice_of(value);
	int64_t now_ms = clock_wall_ms(tool->clock);
	int64_t ago_ms;
	int64_t at_ms;

	if (strcmp(value, "today") == 0)
		at_ms = today_ms(now_ms);
	else if (clock_parse_duration(text, &ago_ms) == 0)
		at_ms = ago_ms < now_ms ? now_ms - ago_ms : 1;
	else if (clock_parse_rfc3339(text, &at_ms))
		return option_bad(
			tool, option, value,
			clock_parse_local(text, 0, &at_ms) == 0
				? "a zone is missing: append +08:00 for China time, or Z"
				: "allowed are 2025-05-30T16:55:19+08:00, 2h or 7d for as long "
				  "ago, and today");
	/* 0 means "not given" to the store's filters. */
	*(int64_t *)option->into = at_ms > 0 ? at_ms : 1;
	return 0;
}
