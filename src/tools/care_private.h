/*
 * Commands that change the store: asked of the daemon when one runs, done here under the writer's
 * lock when none does.
 */
#pragma once

#include "daemon_ask_private.h"

/* As daemon_ask(); DAEMON_NONE as well with --db and no -c, which name no daemon. */
int care_ask(struct tool *tool, const char *name, struct slice request, struct buf *answer,
	     struct json_object *ret);
/* As daemon_instead(), but with --db no configuration is needed. */
int care_open(struct tool *tool, struct store **ret);
/* A whole number of the daemon's answer, 0 when it has none of that name. */
int64_t care_number(const struct json_object *answer, const char *name);

/* What was done, a row for each thing that was counted: the columns "what" and "count". */
struct care_row {
	const char *what;
	int64_t count;
};
/* 0, or the exit code after a message. */
int care_print(struct tool *tool, enum print_format format, const struct care_row *rows, size_t n);
