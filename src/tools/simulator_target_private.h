/* Whom `simulate` talks to, and as whom. */
#pragma once

#include "orderhook/secret.h"
#include "tool_private.h"

/* Zero is empty. What the options gave stays; the configuration fills what they left open. */
struct sim_target {
	const char *url; /* borrowed */
	char *owned_url; /* url, where it was made from the configuration */
	struct secret token;
	struct secret secret;
	const char *client_id; /* borrowed, NULL: not known */
	const char *shop_id;
};

/* Loads a token or secret from a file. 0, or the exit code after a message. */
int sim_target_file(struct tool *tool, const char *path, enum secret_kind kind, struct secret *ret);
/* Everything that is still open, from [endpoint NAME] of the configuration. */
int sim_target_endpoint(struct tool *tool, const char *name, struct sim_target *target);
void sim_target_release(struct sim_target *target);
