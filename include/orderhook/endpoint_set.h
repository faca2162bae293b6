/*
 * The endpoints that are served right now: an immutable, reference-counted set. A reload makes a
 * new set and swaps it; requests that began under the old one finish under it.
 */
#pragma once

#include "orderhook/platform.h"

struct endpoint_set;

/* Resolves every endpoint of the configuration. Errors and problem as endpoint_new(). */
int endpoint_set_new(const struct config *config, struct endpoint_set **ret, struct buf *problem);
struct endpoint_set *endpoint_set_ref(struct endpoint_set *set);
void endpoint_set_unref(struct endpoint_set *set); /* NULL is fine */

/* The endpoint whose URL this is, or NULL; token_ok tells whether a token was part of it. */
const struct endpoint *endpoint_set_match(const struct endpoint_set *set, struct slice path,
					  bool *ret_token_ok);
const struct endpoint *endpoint_set_find(const struct endpoint_set *set, struct slice name);
size_t endpoint_set_count(const struct endpoint_set *set);
const struct endpoint *endpoint_set_get(const struct endpoint_set *set, size_t i);
