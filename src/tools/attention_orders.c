/*
 * Orders and events that a person should look at. The store has an index of either, so that one of
 * a million events is not read through for the three that matter.
 */
#include <stdio.h>

#include "attention_private.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/retention.h"

#define NEXT_BYTES 128

static void next_show(struct slice iss_order_no, char out[NEXT_BYTES])
{
	bool dash = iss_order_no.len && iss_order_no.at[0] == '-';

	snprintf(out, NEXT_BYTES, "orderhook show %s%.*s", dash ? "-- " : "",
		 SLICE_ARG(iss_order_no));
}

static uint32_t quarantined_verdicts(void)
{
	uint32_t verdicts = 0;

	for (int i = 0; i < VERDICT_MAX; i++)
		verdicts |= verdict_quarantined((enum verdict)i) ? 1U << i : 0;
	return verdicts;
}

static void add_event(struct findings *findings, const struct store_row *event)
{
	const struct store_value *v = event->values;
	int verdict = verdict_of_key(v[EVENT_COL_verdict].text);
	BUF_AUTO struct buf status = BUF_INIT(256);
	char subject[EVENT_ID_BYTES_MAX + 1] = "";
	char next[NEXT_BYTES];
	int64_t received_ms = 0;

	(void)slice_copy(v[EVENT_COL_iss_order_no].text, subject, sizeof(subject));
	(void)clock_parse_rfc3339(v[EVENT_COL_received].text, &received_ms);
	next_show(v[EVENT_COL_iss_order_no].text, next);
	int err = status_add(&status, v[EVENT_COL_status].integer,
			     sub_status_of(&v[EVENT_COL_sub_status]));
	if (err)
		findings->err = err;
	else
		findings_add(findings, "quarantined", subject, received_ms, next,
			     "event %lld, %s, is %s: %s", (long long)v[EVENT_COL_event_id].integer,
			     status.data, verdict < 0 ? "?" : verdict_key((enum verdict)verdict),
			     verdict < 0 ? "?" : verdict_meaning((enum verdict)verdict));
}

int attention_quarantined(const struct attention *attention, struct findings *findings)
{
	const struct event_filter filter = {.verdicts = quarantined_verdicts(),
					    .received_from_ms = attention->since_ms};
	struct store_cursor *cursor;
	struct store_row event;
	int err = store_events(attention->reader, &filter, &cursor);

	if (err)
		return err;
	int step;
	while ((step = store_cursor_next(cursor, &event)) == 1)
		add_event(findings, &event);
	store_cursor_close(cursor);
	return step;
}

static void add_overdue(const struct attention *attention, const struct store_row *order,
			int64_t before_ms, struct findings *findings)
{
	int64_t now_ms = clock_wall_ms(attention->tool->clock);
	const struct store_value *v = order->values;
	BUF_AUTO struct buf status = BUF_INIT(256);
	char subject[EVENT_ID_BYTES_MAX + 1] = "";
	char next[NEXT_BYTES];
	char age[AGE_BYTES];
	char limit[AGE_BYTES];
	int64_t since_ms = 0;

	(void)slice_copy(v[ORDER_COL_iss_order_no].text, subject, sizeof(subject));
	(void)clock_parse_rfc3339(v[ORDER_COL_since].text, &since_ms);
	next_show(v[ORDER_COL_iss_order_no].text, next);
	age_format(now_ms - since_ms, age);
	age_format(now_ms - before_ms, limit);
	int err = status_add(&status, v[ORDER_COL_status].integer,
			     sub_status_of(&v[ORDER_COL_sub_status]));
	if (err)
		findings->err = err;
	else
		findings_add(findings, "overdue", subject, since_ms, next,
			     "in %s for %s, longer than %s", status.data, age, limit);
}

static int add_overdue_in(const struct attention *attention, int status, int64_t before_ms,
			  struct findings *findings)
{
	const struct order_filter filter = {.status = status, .since_before_ms = before_ms};
	struct store_cursor *cursor;
	struct store_row order;
	int err = store_orders(attention->reader, &filter, &cursor);

	if (err)
		return err;
	int step;
	while ((step = store_cursor_next(cursor, &order)) == 1)
		add_overdue(attention, &order, before_ms, findings);
	store_cursor_close(cursor);
	return step;
}

int attention_overdue(const struct attention *attention, struct findings *findings)
{
	int64_t now_ms = clock_wall_ms(attention->tool->clock);
	int64_t before_ms[EVENT_STATUS_MAX + 1];
	int err = 0;

	retention_overdue(attention->config, now_ms, before_ms);
	for (int status = 0; status <= EVENT_STATUS_MAX && !err; status++) {
		if (before_ms[status])
			err = add_overdue_in(attention, status, before_ms[status], findings);
	}
	return err;
}
