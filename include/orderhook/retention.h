/*
 * What is old enough to be pruned, and what waits for a person all the same: one rule for
 * `orderhook attention`, which lists it, and prune, which keeps it.
 */
#pragma once

#include "orderhook/config.h"
#include "orderhook/store_care.h"

/* By status: orders in it since before that instant are overdue; 0: none ever is. config may be
 * NULL: then the defaults hold. */
void retention_overdue(const struct config *config, int64_t now_ms,
		       int64_t ret_before_ms[EVENT_STATUS_MAX + 1]);
/* What was last received longer than age_ms ago. */
void retention_prune(const struct config *config, int64_t now_ms, int64_t age_ms,
		     bool attention_too, struct store_prune *ret);
