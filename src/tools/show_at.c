/*
 * An order as it was. An order's state is a pure fold over its events, so the past needs no
 * snapshots: leave out what had not happened, or had not been told, and fold the rest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/clock.h"
#include "show_private.h"

static void set_null(struct show *show, enum order_column column)
{
	show->order.row.values[column] = (struct store_value){.type = STORE_NULL};
}

static void set_text(struct show *show, enum order_column column, const char *text)
{
	struct store_value *value = &show->order.row.values[column];

	if (!text || !text[0]) {
		set_null(show, column);
		return;
	}
	snprintf(show->texts[column], sizeof(show->texts[column]), "%s", text);
	*value = (struct store_value){.type = STORE_TEXT, .text = slice_of(show->texts[column])};
}

static void set_integer(struct show *show, enum order_column column, int64_t integer)
{
	struct store_value *value = &show->order.row.values[column];

	snprintf(show->texts[column], sizeof(show->texts[column]), "%" PRId64, integer);
	*value = (struct store_value){STORE_INTEGER, integer, slice_of(show->texts[column])};
}

static void set_time(struct show *show, enum order_column column, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(wall_ms, text);
	set_text(show, column, text);
}

static void set_state(struct show *show, const struct order_state *state)
{
	set_text(show, ORDER_COL_courier_id, state->courier_id);
	set_integer(show, ORDER_COL_reassignments, state->reassignments);
	set_null(show, ORDER_COL_status);
	set_null(show, ORDER_COL_sub_status);
	set_null(show, ORDER_COL_status_text);
	set_null(show, ORDER_COL_since);
	if (!state->status)
		return;
	set_integer(show, ORDER_COL_status, state->status);
	if (state->sub_status != EVENT_SUB_ABSENT)
		set_integer(show, ORDER_COL_sub_status, state->sub_status);
	set_text(show, ORDER_COL_status_text, order_status_zh(state->status, state->sub_status));
	set_time(show, ORDER_COL_since, state->since_ms);
}

static void drop_later(struct show *show, enum show_as as, int64_t at_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < show->n_events; i++) {
		const struct order_event *event = &show->events[i].fold;
		int64_t when = as == SHOW_AS_RECEIVED ? event->received_ms : event->occurred_ms;
		if (when > at_ms)
			row_copy_release(&show->events[i].row);
		else
			show->events[kept++] = show->events[i];
	}
	show->n_events = kept;
}

bool show_rewind(struct show *show, enum show_as as, int64_t at_ms)
{
	struct order_event *events;
	struct order_state state;
	int64_t first_ms = INT64_MAX;
	int64_t last_ms = INT64_MIN;
	int64_t quarantined = 0;

	drop_later(show, as, at_ms);
	if (show->n_events == 0)
		return false;
	events = reallocarray(NULL, show->n_events, sizeof(*events));
	if (!events)
		return false;
	for (size_t i = 0; i < show->n_events; i++) {
		events[i] = show->events[i].fold;
		first_ms = events[i].received_ms < first_ms ? events[i].received_ms : first_ms;
		last_ms = events[i].received_ms > last_ms ? events[i].received_ms : last_ms;
		quarantined += verdict_quarantined(events[i].verdict);
	}
	order_fold(order_machine_v5(), events, show->n_events, &state, NULL);
	free(events);
	set_state(show, &state);
	set_time(show, ORDER_COL_first_received, first_ms);
	set_time(show, ORDER_COL_last_received, last_ms);
	set_integer(show, ORDER_COL_events, (int64_t)show->n_events);
	set_integer(show, ORDER_COL_quarantined, quarantined);
	return true;
}
