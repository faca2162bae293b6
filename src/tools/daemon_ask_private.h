/*
 * The tool's side of control: what changes the store is asked of the daemon when one runs, and done
 * under the writer's lock when none does.
 *
 *     code = daemon_ask(tool, "readmit", request, &answer, &members);
 *     if (code == DAEMON_NONE)
 *             code = daemon_instead(tool, &store);    and the same work with the store
 */
#pragma once

#include "orderhook/json_scan.h"
#include "tool_private.h"

#define DAEMON_NONE (-1)

/*
 * POST /control/NAME with one JSON object. 0: answer has the text and ret its members. DAEMON_NONE:
 * no daemon of this store can be asked. Otherwise the exit code, after a message that says what to
 * do: TOOL_REFUSED for what is not allowed, not served or not now, TOOL_STORE for what failed.
 */
int daemon_ask(struct tool *tool, const char *name, struct slice request, struct buf *answer,
	       struct json_object *ret);

/* The store of --db or the configuration, opened for its only writer; store_close() it. 0 or the
 * exit code after a message: TOOL_REFUSED when somebody else has the lock. */
int daemon_instead(struct tool *tool, struct store **ret);
