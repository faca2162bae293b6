/*
 * The admin listener: GET /healthz, /readyz and /metrics, on a socket of its own, never reachable
 * from the callback listener. On a unix socket also POST /control/…, for peers that may
 * (control.h).
 */
#pragma once

#include <stddef.h>

#include "orderhook/control.h"

struct admin_server;

#define ADMIN_REASONS_MAX 8

/* Fills reasons with static words for why the daemon is not ready; returns how many, 0: ready. */
typedef size_t (*admin_reasons_fn)(void *context, const char *reasons[ADMIN_REASONS_MAX]);

/* listen_fd and control are borrowed. -ERR_NOMEM, -ERR_SYSTEM. */
int admin_server_start(int listen_fd, admin_reasons_fn reasons, void *context,
		       struct control *control, struct admin_server **ret);
/* Ends the control requests under way, which the writer must still be there for. NULL is fine. */
void admin_server_stop(struct admin_server *server);
