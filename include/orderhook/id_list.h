/* A list of row numbers that grows. All zero is empty. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct id_list {
	int64_t *ids; /* owned */
	size_t n;
	size_t cap;
};

int id_list_add(struct id_list *list, int64_t id); /* -ERR_NOMEM */
void id_list_sort(struct id_list *list);
void id_list_reverse(struct id_list *list);
void id_list_release(struct id_list *list); /* leaves an empty one */
