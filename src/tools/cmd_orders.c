/* `orderhook orders`: which orders there are and how long each has been where it is. */
#include <inttypes.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "tool_private.h"

static const struct table_column columns[] = {
	{.heading = "iss_order_no", .fit = TABLE_CUT_LATE},
	{.heading = "order_no", .fit = TABLE_CUT_LATE},
	{.heading = "shop_id", .fit = TABLE_CUT},
	{.heading = "status", .fit = TABLE_CUT},
	{.heading = "since (" CHINA_ZONE ")"},
	{.heading = "events", .right = true},
	{.heading = "reassignments", .right = true, .optional = true},
	{.heading = "quarantined", .right = true},
	{.heading = "courier_id", .fit = TABLE_CUT, .optional = true},
};

static void cells(struct table *table, const struct store_row *row)
{
	const struct store_value *v = row->values;
	const struct store_value *quarantined = &v[ORDER_COL_quarantined];

	cell_value(table, &v[ORDER_COL_iss_order_no]);
	cell_value(table, &v[ORDER_COL_order_no]);
	cell_value(table, &v[ORDER_COL_shop_id]);
	cell_status(table, &v[ORDER_COL_status], &v[ORDER_COL_sub_status]);
	cell_time(table, &v[ORDER_COL_since]);
	cell_value(table, &v[ORDER_COL_events]);
	cell_value(table, &v[ORDER_COL_reassignments]);
	table_cell(table, quarantined->integer ? STYLE_ALARM : STYLE_PLAIN, quarantined->text);
	cell_value(table, &v[ORDER_COL_courier_id]);
}

static const struct view orders_view = {order_column_names, ORDER_COL_MAX, columns,
					sizeof(columns) / sizeof(columns[0]), cells};

static int option_status(struct tool *tool, const struct tool_option *option, const char *value)
{
	int64_t status;

	if (slice_to_i64(slice_of(value), 1, EVENT_STATUS_MAX, &status) ||
	    !order_status_known((int)status))
		return option_bad(
			tool, option, value,
			"20 (dispatching), 30 (awaiting pickup), 40 (delivering), 50 (completed) "
			"and 60 (cancelled) are allowed");
	*(int *)option->into = (int)status;
	return 0;
}

static int print_orders(struct tool *tool, const struct order_filter *filter,
			enum print_format format)
{
	struct store_reader *reader;
	struct store_cursor *cursor;
	struct store_row row;
	struct list list;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_orders(reader, filter, &cursor);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	err = list_begin(&list, &tool->out, format, &orders_view);
	int step = 0;
	while (!err && !tool->out.error && (step = store_cursor_next(cursor, &row)) == 1)
		list_row(&list, &row);
	store_cursor_close(cursor);
	if (!err)
		list_end(&list);
	err = err ? err : step < 0 ? step : 0;
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	if (list.count)
		return TOOL_DONE;
	tool_note(tool, "no order matches");
	return TOOL_NOTHING;
}

int cmd_orders(struct tool *tool, int argc, char **argv)
{
	struct order_filter filter = {.status = 0};
	enum print_format format = PRINT_TABLE;
	int64_t older_ms = 0;
	const struct tool_option options[] = {
		{"status", 0, "20|30|40|50|60", "only orders in this status", option_status,
		 &filter.status},
		{"shop", 0, "ID", "only orders of this shop", option_string, &filter.shop_id},
		{"older-than", 0, "D", "only orders that have been in their state for longer",
		 option_duration, &older_ms},
		{"order", 0, "ORDER", "only orders with this issOrderNo or orderNo", option_string,
		 &filter.order},
		OPTION_SINCE(&filter.received_from_ms),
		OPTION_UNTIL(&filter.received_to_ms),
		OPTION_LIMIT(&filter.limit),
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Lists orders and the state each is in, the newest last. --since and "
			"--until\n"
			"look at when the last callback of an order was received.\n",
		.examples = "  orderhook orders --status 40 --older-than 2h   deliveries that take "
			    "long\n"
			    "  orderhook orders --since today --format csv    for a spreadsheet\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	if (older_ms)
		filter.since_before_ms = clock_wall_ms(tool->clock) - older_ms;
	return print_orders(tool, &filter, format);
}
