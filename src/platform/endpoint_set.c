/* Reference counting by one atomic; the set itself is never changed after it was made. */
#include "orderhook/endpoint_set.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "orderhook/err.h"

struct endpoint_set {
	atomic_int references;
	size_t n;
	struct endpoint *endpoints[CONFIG_ENDPOINTS_MAX];
};

int endpoint_set_new(const struct config *config, struct endpoint_set **ret, struct buf *problem)
{
	struct endpoint_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ERR_NOMEM;
	atomic_init(&set->references, 1);
	for (size_t i = 0; i < config->n_endpoints; i++) {
		int err = endpoint_new(&config->endpoints[i], &set->endpoints[i], problem);
		if (err) {
			endpoint_set_unref(set);
			return err;
		}
		set->n++;
	}
	*ret = set;
	return 0;
}

struct endpoint_set *endpoint_set_ref(struct endpoint_set *set)
{
	atomic_fetch_add(&set->references, 1);
	return set;
}

void endpoint_set_unref(struct endpoint_set *set)
{
	if (!set || atomic_fetch_sub(&set->references, 1) != 1)
		return;
	for (size_t i = 0; i < set->n; i++)
		endpoint_free(set->endpoints[i]);
	free(set);
}

const struct endpoint *endpoint_set_match(const struct endpoint_set *set, struct slice path,
					  bool *ret_token_ok)
{
	for (size_t i = 0; i < set->n; i++) {
		enum endpoint_match match = endpoint_match_path(set->endpoints[i], path);
		if (match == ENDPOINT_NO_MATCH)
			continue;
		*ret_token_ok = match == ENDPOINT_MATCH_TOKEN;
		return set->endpoints[i];
	}
	return NULL;
}

const struct endpoint *endpoint_set_find(const struct endpoint_set *set, struct slice name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (slice_equal_string(name, set->endpoints[i]->name))
			return set->endpoints[i];
	}
	return NULL;
}

size_t endpoint_set_count(const struct endpoint_set *set)
{
	return set->n;
}

const struct endpoint *endpoint_set_get(const struct endpoint_set *set, size_t i)
{
	return i < set->n ? set->endpoints[i] : NULL;
}
