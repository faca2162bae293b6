/* The room doubles, so that adding one costs the same however long the list is. */
#include "orderhook/id_list.h"

#include <stdlib.h>

#include "orderhook/err.h"

#define FIRST_CAP 64

int id_list_add(struct id_list *list, int64_t id)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : FIRST_CAP;
		int64_t *ids = reallocarray(list->ids, cap, sizeof(*ids));
		if (!ids)
			return -ERR_NOMEM;
		list->ids = ids;
		list->cap = cap;
	}
	list->ids[list->n++] = id;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

void id_list_sort(struct id_list *list)
{
	if (list->n)
		qsort(list->ids, list->n, sizeof(*list->ids), compare);
}

void id_list_reverse(struct id_list *list)
{
	for (size_t i = 0, j = list->n; i + 1 < j; i++) {
		int64_t id = list->ids[i];
		list->ids[i] = list->ids[--j];
		list->ids[j] = id;
	}
}

void id_list_release(struct id_list *list)
{
	free(list->ids);
	*list = (struct id_list){0};
}
