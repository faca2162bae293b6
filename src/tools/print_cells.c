/* How single values of the views look in a table: times in China time, states with their words. */
#include <inttypes.h>
#include <stdio.h>

#include "orderhook/clock.h"
#include "orderhook/order_machine.h"
#include "print_private.h"

void cell_time(struct table *table, const struct store_value *value)
{
	char text[CLOCK_LOCAL_BYTES];
	int64_t wall_ms;

	if (value->type == STORE_TEXT && clock_parse_rfc3339(value->text, &wall_ms) == 0) {
		clock_format_local(wall_ms, CHINA_OFFSET_MS, text);
		table_cell(table, STYLE_PLAIN, slice_of(text));
		return;
	}
	cell_value(table, value);
}

void cell_value(struct table *table, const struct store_value *value)
{
	struct slice text = value->type == STORE_NULL ? SLICE("-") : value->text;

	table_cell(table, STYLE_PLAIN, text);
}

void status_code(int64_t status, int64_t sub_status, char out[STATUS_CODE_BYTES])
{
	if (sub_status == EVENT_SUB_ABSENT)
		snprintf(out, STATUS_CODE_BYTES, "%" PRId64, status);
	else
		snprintf(out, STATUS_CODE_BYTES, "%" PRId64 "/%" PRId64, status, sub_status);
}

static int bounded(int64_t value)
{
	return value < 0 || value > EVENT_STATUS_MAX ? -1 : (int)value;
}

int status_add(struct buf *buf, int64_t status, int64_t sub_status)
{
	int sub = sub_status == EVENT_SUB_ABSENT ? EVENT_SUB_ABSENT : bounded(sub_status);
	const char *zh = order_status_zh(bounded(status), sub);
	const char *en = order_status_en(bounded(status), sub);
	char code[STATUS_CODE_BYTES];

	status_code(status, sub_status, code);
	if (!zh || !en)
		return buf_add_string(buf, code);
	return buf_addf(buf, "%s %s (%s)", code, zh, en);
}

int64_t sub_status_of(const struct store_value *value)
{
	return value->type == STORE_INTEGER ? value->integer : EVENT_SUB_ABSENT;
}

void cell_status(struct table *table, const struct store_value *status,
		 const struct store_value *sub_status)
{
	BUF_AUTO struct buf text = BUF_INIT(256);

	if (status->type != STORE_INTEGER || status->integer == 0) {
		table_cell(table, STYLE_QUIET, SLICE("-"));
		return;
	}
	/* Its bounds are far above any text of the table; what does not fit shows as nothing. */
	(void)status_add(&text, status->integer, sub_status_of(sub_status));
	table_cell(table, STYLE_PLAIN, buf_slice(&text));
}

void cell_verdict(struct table *table, const struct store_value *value)
{
	int verdict = value->type == STORE_TEXT ? verdict_of_key(value->text) : -1;
	enum print_style style = STYLE_PLAIN;

	if (verdict >= 0 && verdict_quarantined((enum verdict)verdict))
		style = STYLE_ALARM;
	else if (verdict == VERDICT_JUMPED || verdict == VERDICT_REASSIGNED ||
		 verdict == VERDICT_LATE)
		style = STYLE_NOTICE;
	if (value->type == STORE_NULL)
		table_cell(table, style, SLICE("-"));
	else
		table_cell(table, style, value->text);
}

void age_format(int64_t ms, char out[AGE_BYTES])
{
	int64_t s = ms / 1000;

	if (s < 60)
		snprintf(out, AGE_BYTES, "%" PRId64 "s", s);
	else if (s < 60 * 60)
		snprintf(out, AGE_BYTES, "%" PRId64 "m", s / 60);
	else if (s < 24 * 60 * 60)
		snprintf(out, AGE_BYTES, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(out, AGE_BYTES, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
}
