/*
 * With --db and no configuration the environment is the store's own, and a daemon that writes it is
 * known by its lock alone.
 */
#include "care_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "orderhook/err.h"

static bool has_config(const struct tool *tool)
{
	return !tool->db || tool->config_file;
}

int care_ask(struct tool *tool, const char *name, struct slice request, struct buf *answer,
	     struct json_object *ret)
{
	return has_config(tool) ? daemon_ask(tool, name, request, answer, ret) : DAEMON_NONE;
}

int care_open(struct tool *tool, struct store **ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct store_reader *reader;

	if (has_config(tool))
		return daemon_instead(tool, ret);
	int code = tool_reader(tool, &reader);
	if (code)
		return code;
	int err = store_open_writer(tool->db, store_reader_environment(reader), ret, &problem);
	if (err == -ERR_STORE_LOCKED)
		return tool_fail(tool, TOOL_REFUSED,
				 "%s; name its configuration with -c and it is asked to do this",
				 problem.data);
	return err ? tool_store_failed(tool, err, problem.len ? problem.data : NULL) : 0;
}

int64_t care_number(const struct json_object *answer, const char *name)
{
	const struct json_member *member = json_find(answer, name);
	int64_t number = 0;

	if (member && member->type == JSON_NUMBER)
		(void)slice_to_i64(member->value, INT64_MIN, INT64_MAX, &number);
	return number;
}

/* ------------------------------------------------------------------ what was done ------ */

enum care_column {
	CARE_WHAT = 0,
	CARE_COUNT,
	CARE_MAX
};

static const char *const names[CARE_MAX] = {"what", "count"};

static const struct table_column columns[] = {
	{.heading = "what"},
	{.heading = "count", .right = true},
};

static void cells(struct table *table, const struct store_row *row)
{
	table_cell(table, STYLE_PLAIN, row->values[CARE_WHAT].text);
	table_cell(table, STYLE_PLAIN, row->values[CARE_COUNT].text);
}

static const struct view view = {names, CARE_MAX, columns, CARE_MAX, cells};

int care_print(struct tool *tool, enum print_format format, const struct care_row *rows, size_t n)
{
	struct list list;
	int err = list_begin(&list, &tool->out, format, &view);

	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	for (size_t i = 0; i < n; i++) {
		char number[24];
		snprintf(number, sizeof(number), "%lld", (long long)rows[i].count);
		const struct store_row row = {
			.values = {{.type = STORE_TEXT, .text = slice_of(rows[i].what)},
				   {STORE_INTEGER, rows[i].count, slice_of(number)}},
			.n = CARE_MAX,
		};
		list_row(&list, &row);
	}
	list_end(&list);
	return 0;
}
