/*
 * The timeline of an order. The verdict says how an event looked when it came; the words beside it
 * say what that means: for a jump the steps that never arrived, on the machine's own shortest way.
 */
#include <errno.h>
#include <string.h>

#include "show_private.h"
#include "way_private.h"

static struct place place_of(const struct store_value *status, const struct store_value *sub_status)
{
	return (struct place){status->type == STORE_INTEGER ? status->integer : 0,
			      sub_status_of(sub_status)};
}

/* True when an event with this state arrived after events[i], and belongs before it. */
static bool arrived_later(const struct show *show, size_t i, int status, int sub_status)
{
	const struct order_event *jump = &show->events[i].fold;

	for (size_t j = 0; j < show->n_events; j++) {
		const struct order_event *event = &show->events[j].fold;
		if (event->status == status && event->sub_status == sub_status &&
		    event->id > jump->id && event->occurred_ms <= jump->occurred_ms)
			return true;
	}
	return false;
}

/* "skipped 20/1 (arrived later), 30/1 (never arrived)": the states strictly between two places. */
static int add_skipped(struct buf *buf, const struct show *show, size_t i, struct place from,
		       struct place to)
{
	const char *separator = "skipped ";
	struct way way;
	int err = 0;

	if (!way_find(from, to, &way))
		return 0;
	for (size_t k = 1; !err && k + 1 < way.n; k++) {
		struct place place = way_place(way.nodes[k]);
		char code[STATUS_CODE_BYTES];
		way_code(place, code);
		err = buf_addf(buf, "%s%s (%s)", separator, code,
			       arrived_later(show, i, (int)place.status, (int)place.sub_status)
				       ? "arrived later"
				       : "never arrived");
		separator = ", ";
	}
	return err;
}

int timeline_meaning(struct buf *buf, const struct show *show, size_t i)
{
	const struct store_value *v = show->events[i].row.row.values;
	struct place from = place_of(&v[EVENT_COL_from_status], &v[EVENT_COL_from_sub_status]);
	struct place to = place_of(&v[EVENT_COL_status], &v[EVENT_COL_sub_status]);
	int verdict = verdict_of_key(v[EVENT_COL_verdict].text);
	char code[STATUS_CODE_BYTES] = "nothing";

	if (from.status)
		status_code(from.status, from.sub_status, code);
	switch (verdict) {
	case VERDICT_APPLIED:
		return from.status ? buf_addf(buf, "from %s", code)
				   : buf_add_string(buf, "first event");
	case VERDICT_JUMPED:
		return add_skipped(buf, show, i, from, to);
	case VERDICT_REASSIGNED:
		return buf_addf(buf, "another courier; from %s", code);
	case VERDICT_REPEATED:
		return buf_addf(buf, "it was in %s already", code);
	case VERDICT_LATE:
		return buf_addf(buf, "arrived after %s; folded anew", code);
	case VERDICT_ILLEGAL:
		return buf_addf(buf, "no way from %s", code);
	case VERDICT_CONFLICT:
	case VERDICT_UNKNOWN:
	case VERDICT_MISMATCH:
		return buf_add_string(buf, verdict_meaning((enum verdict)verdict));
	default:
		return 0;
	}
}

static const struct table_column columns[] = {
	{.heading = "event_id", .right = true},
	{.heading = "occurred (" CHINA_ZONE ")"},
	{.heading = "received", .optional = true},
	{.heading = "status", .fit = TABLE_CUT},
	{.heading = "verdict"},
	{.heading = "meaning", .fit = TABLE_CUT_LATE},
	{.heading = "auth"},
	{.heading = "deliveries", .right = true},
	{.heading = "notes", .fit = TABLE_CUT, .optional = true},
};

static void cells(struct table *table, const struct show *show, size_t i)
{
	BUF_AUTO struct buf meaning = BUF_INIT(1024);
	const struct store_value *v = show->events[i].row.row.values;

	/* Bounded far above the longest path; what does not fit is cut there. */
	(void)timeline_meaning(&meaning, show, i);
	cell_value(table, &v[EVENT_COL_event_id]);
	cell_time(table, &v[EVENT_COL_occurred]);
	cell_time(table, &v[EVENT_COL_received]);
	cell_status(table, &v[EVENT_COL_status], &v[EVENT_COL_sub_status]);
	cell_verdict(table, &v[EVENT_COL_verdict]);
	table_cell(table, STYLE_PLAIN, buf_slice(&meaning));
	cell_value(table, &v[EVENT_COL_auth]);
	cell_value(table, &v[EVENT_COL_deliveries]);
	table_cell(table, STYLE_PLAIN, v[EVENT_COL_notes].text);
}

void timeline_print(struct out *out, const struct show *show, enum show_as as)
{
	struct table_column shown[sizeof(columns) / sizeof(columns[0])];
	size_t n = sizeof(columns) / sizeof(columns[0]);
	struct table *table;

	memcpy(shown, columns, sizeof(columns));
	/* The column that orders the rows is the one that stays on a narrow screen. */
	if (as == SHOW_AS_RECEIVED) {
		shown[1].optional = true;
		shown[2].optional = false;
	}
	table = table_new(out, shown, n);
	for (size_t i = 0; table && i < show->n_events; i++)
		cells(table, show, i);
	if (table)
		table_flush(table);
	else
		out->error = ENOMEM;
	table_free(table);
}
