/* How `orderhook show` looks: a block of fields and the timeline, or one object for a program. */
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "show_private.h"

#define BODY_LIMIT_BYTES (64U * 1024 * 1024)

/* The newest event that names the courier of the order's state has the number that is valid. */
static bool find_courier(struct tool *tool, const struct show *show, struct courier_text *ret)
{
	const struct store_value *id = &show->order.row.values[ORDER_COL_courier_id];

	for (size_t i = show->n_events; i-- > 0 && id->type == STORE_TEXT;) {
		BUF_AUTO struct buf body = BUF_INIT(BODY_LIMIT_BYTES);
		const struct order_event *event = &show->events[i].fold;
		if (!slice_equal_string(id->text, event->courier_id))
			continue;
		if (store_raw(tool->reader, event->id, &body, NULL) == 0 &&
		    courier_of_body(buf_slice(&body), ret))
			return true;
	}
	return false;
}

static int add_field(struct out *out, const char *name, struct slice text, enum print_style style)
{
	BUF_AUTO struct buf safe = BUF_INIT(64 * 1024);
	int err = text_add_safe(&safe, text, TEXT_ONE_LINE);

	out_f(out, "%s%-14s%s  %s", style_begin(out, STYLE_QUIET), name,
	      style_end(out, STYLE_QUIET), style_begin(out, style));
	out_bytes(out, buf_slice(&safe).at, safe.len);
	out_f(out, "%s\n", style_end(out, style));
	return err;
}

static int add_value(struct out *out, const char *name, const struct store_value *value)
{
	return add_field(out, name, value->type == STORE_NULL ? SLICE("-") : value->text,
			 STYLE_PLAIN);
}

static int add_time(struct out *out, const char *name, const struct store_value *value)
{
	char text[CLOCK_LOCAL_BYTES + sizeof(" " CHINA_ZONE)];
	int64_t wall_ms;

	if (value->type != STORE_TEXT || clock_parse_rfc3339(value->text, &wall_ms))
		return add_value(out, name, value);
	clock_format_local(wall_ms, CHINA_OFFSET_MS, text);
	memcpy(text + CLOCK_LOCAL_BYTES - 1, " " CHINA_ZONE, sizeof(" " CHINA_ZONE));
	return add_field(out, name, slice_of(text), STYLE_PLAIN);
}

static int add_courier(struct tool *tool, const struct show *show, bool reveal)
{
	const struct store_value *id = &show->order.row.values[ORDER_COL_courier_id];
	BUF_AUTO struct buf text = BUF_INIT(4096);
	struct courier_text courier;
	int err;

	if (id->type != STORE_TEXT)
		return add_value(&tool->out, "courier_id", id);
	err = buf_add_slice(&text, id->text);
	if (!err && !reveal)
		err = buf_add_string(&text, "  (name and phone: --reveal)");
	else if (!err && find_courier(tool, show, &courier))
		err = buf_addf(&text, "  %s  %s", courier.name, courier.mobile);
	return err ? err : add_field(&tool->out, "courier_id", buf_slice(&text), STYLE_PLAIN);
}

static int add_status(struct out *out, const struct store_row *order)
{
	const struct store_value *status = &order->values[ORDER_COL_status];
	const struct store_value *sub = &order->values[ORDER_COL_sub_status];
	BUF_AUTO struct buf text = BUF_INIT(256);
	int err;

	if (status->type != STORE_INTEGER)
		return add_field(out, "status", SLICE("none yet"), STYLE_PLAIN);
	err = status_add(&text, status->integer, sub_status_of(sub));
	return err ? err : add_field(out, "status", buf_slice(&text), STYLE_HEADING);
}

static int print_order(struct tool *tool, const struct show *show,
		       const struct show_options *options)
{
	const struct store_value *v = show->order.row.values;
	struct out *out = &tool->out;
	const struct store_value *quarantined = &v[ORDER_COL_quarantined];
	int err = add_value(out, "iss_order_no", &v[ORDER_COL_iss_order_no]);

	err = err ? err : add_value(out, "order_no", &v[ORDER_COL_order_no]);
	err = err ? err : add_value(out, "shop_id", &v[ORDER_COL_shop_id]);
	err = err ? err : add_value(out, "endpoint", &v[ORDER_COL_endpoint]);
	err = err ? err : add_status(out, &show->order.row);
	err = err ? err : add_time(out, "since", &v[ORDER_COL_since]);
	err = err ? err : add_courier(tool, show, options->reveal);
	err = err ? err : add_value(out, "events", &v[ORDER_COL_events]);
	err = err ? err : add_time(out, "first_received", &v[ORDER_COL_first_received]);
	err = err ? err : add_time(out, "last_received", &v[ORDER_COL_last_received]);
	err = err ? err : add_value(out, "reassignments", &v[ORDER_COL_reassignments]);
	if (!err)
		err = add_field(out, "quarantined", quarantined->text,
				quarantined->integer ? STYLE_ALARM : STYLE_PLAIN);
	return err;
}

static void print_json(struct out *out, const struct show *show, bool pretty)
{
	const char *line = pretty ? "\n" : "";

	out_string(out, "{\"order\":");
	rows_add_object(out, order_column_names, &show->order.row);
	out_f(out, ",%s\"events\":[", line);
	for (size_t i = 0; i < show->n_events; i++) {
		out_f(out, "%s%s", i ? "," : "", line);
		rows_add_object(out, event_column_names, &show->events[i].row.row);
	}
	out_f(out, "%s]}\n", line);
}

static void print_csv(struct out *out, const struct show *show)
{
	struct rows rows = {out, PRINT_CSV, event_column_names, EVENT_COL_MAX, 0};

	rows_begin(&rows);
	for (size_t i = 0; i < show->n_events; i++)
		rows_add(&rows, &show->events[i].row.row);
	rows_end(&rows);
}

int show_print(struct tool *tool, const struct show *show, const struct show_options *options)
{
	int err;

	switch (options->format) {
	case PRINT_JSON:
	case PRINT_JSONL:
		print_json(&tool->out, show, options->format == PRINT_JSON);
		return TOOL_DONE;
	case PRINT_CSV:
		print_csv(&tool->out, show);
		return TOOL_DONE;
	default:
		err = print_order(tool, show, options);
		if (err)
			return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
		out_char(&tool->out, '\n');
		timeline_print(&tool->out, show, options->as);
		return TOOL_DONE;
	}
}
