/* A list command's output: one loop over the rows serves the table and the machine formats. */
#include "orderhook/err.h"
#include "print_private.h"

int list_begin(struct list *list, struct out *out, enum print_format format,
	       const struct view *view)
{
	*list = (struct list){.out = out, .format = format, .view = view};
	if (format == PRINT_TABLE) {
		list->table = table_new(out, view->columns, view->n_columns);
		return list->table ? 0 : -ERR_NOMEM;
	}
	list->rows = (struct rows){out, format, view->names, view->n_names, 0};
	rows_begin(&list->rows);
	return 0;
}

void list_row(struct list *list, const struct store_row *row)
{
	list->count++;
	if (list->table)
		list->view->cells(list->table, row);
	else
		rows_add(&list->rows, row);
}

void list_flush(struct list *list)
{
	if (list->table)
		table_flush(list->table);
}

void list_end(struct list *list)
{
	list_flush(list);
	if (!list->table)
		rows_end(&list->rows);
	table_free(list->table);
	list->table = NULL;
}
