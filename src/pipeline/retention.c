/* An order may rest in a status, whatever the configuration says of it. */
#include "orderhook/retention.h"

#include <string.h>

/* What the configuration's schema has for a file that does not say. */
static const struct config_attention defaults[] = {
	{20, 30 * 60 * 1000}, {30, 60 * 60 * 1000}, {40, 3 * 60 * 60 * 1000}};

void retention_overdue(const struct config *config, int64_t now_ms,
		       int64_t ret_before_ms[EVENT_STATUS_MAX + 1])
{
	const struct config_attention *rows = config ? config->attention : defaults;
	size_t n = config ? config->n_attention : sizeof(defaults) / sizeof(defaults[0]);

	memset(ret_before_ms, 0, (EVENT_STATUS_MAX + 1) * sizeof(ret_before_ms[0]));
	for (size_t i = 0; i < n; i++) {
		if (rows[i].limit_ms > 0 && !order_status_rests(rows[i].status))
			ret_before_ms[rows[i].status] = now_ms - rows[i].limit_ms;
	}
}

void retention_prune(const struct config *config, int64_t now_ms, int64_t age_ms,
		     bool attention_too, struct store_prune *ret)
{
	ret->before_ms = now_ms - age_ms;
	ret->attention_too = attention_too;
	retention_overdue(config, now_ms, ret->overdue_before_ms);
}
