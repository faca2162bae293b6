/* Waiting for a store to grow, by reading alone. */
#pragma once

#include <unistd.h>

#include "tool_private.h"

struct follow;

enum follow_reason {
	FOLLOW_LOOK = 0,    /* look again: something may be there */
	FOLLOW_INTERRUPTED, /* SIGINT, SIGTERM or SIGHUP */
	FOLLOW_UNREAD,      /* nobody reads the output any more */
	FOLLOW_REPLACED,    /* the path names another file, or none */
	FOLLOW_REASON_MAX
};

/* From here to follow_free() the three signals do not end the process but the wait. out_fd is
 * borrowed. -ERR_NOMEM, -ERR_SYSTEM. */
int follow_new(const char *store_path, int out_fd, struct follow **ret);
void follow_free(struct follow *follow); /* NULL is fine */
/* Readable once a signal came. */
int follow_interrupt_fd(const struct follow *follow);
/* found: the last look found something. */
enum follow_reason follow_wait(struct follow *follow, bool found);
