/* Findings are rows of a view that no store has: five texts, printed like any list. */
#include "findings_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"

enum finding_column {
	FINDING_KIND = 0,
	FINDING_SUBJECT,
	FINDING_SINCE,
	FINDING_DETAIL,
	FINDING_NEXT,
	FINDING_MAX
};

static const char *const names[FINDING_MAX] = {"kind", "subject", "since", "detail", "next"};

static const struct table_column columns[] = {
	{.heading = "kind"},
	{.heading = "subject", .fit = TABLE_CUT_LATE},
	{.heading = "since (" CHINA_ZONE ")", .optional = true},
	{.heading = "detail", .fit = TABLE_CUT},
	{.heading = "next", .fit = TABLE_CUT_LATE},
};

static void cells(struct table *table, const struct store_row *row)
{
	table_cell(table, STYLE_ALARM, row->values[FINDING_KIND].text);
	table_cell(table, STYLE_PLAIN, row->values[FINDING_SUBJECT].text);
	cell_time(table, &row->values[FINDING_SINCE]);
	table_cell(table, STYLE_PLAIN, row->values[FINDING_DETAIL].text);
	table_cell(table, STYLE_PLAIN, row->values[FINDING_NEXT].text);
}

static const struct view view = {names, FINDING_MAX, columns, sizeof(columns) / sizeof(columns[0]),
				 cells};

int findings_begin(struct findings *findings, struct out *out, enum print_format format)
{
	findings->err = 0;
	return list_begin(&findings->list, out, format, &view);
}

static struct store_value text_value(const char *text)
{
	return (struct store_value){.type = STORE_TEXT, .text = slice_of(text)};
}

void findings_add(struct findings *findings, const char *kind, const char *subject,
		  int64_t since_ms, const char *next, const char *format, ...)
{
	struct store_row row = {.n = FINDING_MAX};
	char since[CLOCK_RFC3339_BYTES];
	char *detail = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&detail, format, args);
	va_end(args);
	if (len < 0) {
		findings->err = -ERR_NOMEM;
		return;
	}
	row.values[FINDING_KIND] = text_value(kind);
	row.values[FINDING_SUBJECT] = text_value(subject);
	if (since_ms) {
		clock_format_rfc3339(since_ms, since);
		row.values[FINDING_SINCE] = text_value(since);
	}
	row.values[FINDING_DETAIL] = text_value(detail);
	row.values[FINDING_NEXT] = text_value(next);
	list_row(&findings->list, &row);
	free(detail);
}

void findings_end(struct findings *findings)
{
	list_end(&findings->list);
}
