/* `orderhook held readmit`, for cmd_held.c. */
#pragma once

#include "tool_private.h"

/* Feeds in those with the numbers, or with n = 0 all that the filter picks. The exit code. */
int held_readmit(struct tool *tool, char *const *numbers, size_t n,
		 const struct held_filter *filter);
