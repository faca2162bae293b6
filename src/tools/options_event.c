/* Options that pick events: the same words for every command that reads them. */
#include <string.h>

#include "orderhook/err.h"
#include "tool_private.h"

int option_verdicts(struct tool *tool, const struct tool_option *option, const char *value)
{
	const char *names[VERDICT_MAX + 1] = {NULL};
	struct slice rest = slice_of(value);
	uint32_t verdicts = 0;

	for (int i = 0; i < VERDICT_MAX; i++)
		names[i] = verdict_key((enum verdict)i);
	while (rest.at) {
		const char *comma = memchr(rest.at, ',', rest.len);
		struct slice key = {rest.at, comma ? (size_t)(comma - rest.at) : rest.len};
		int verdict = verdict_of_key(key);
		if (verdict < 0) {
			char given[65] = "";
			(void)slice_copy(key, given, sizeof(given));
			const char *nearest = option_nearest(given, names);
			return tool_usage(tool, "--%s: unknown verdict '%.*s'; %s%s%s",
					  option->name, SLICE_ARG(key),
					  nearest ? "did you mean '" : "",
					  nearest ? nearest
						  : "applied, jumped, reassigned, repeated, late, "
						    "conflict, illegal, unknown and mismatch are "
						    "allowed",
					  nearest ? "'?" : "");
		}
		verdicts |= 1U << verdict;
		rest = comma ? (struct slice){comma + 1, rest.len - key.len - 1} : slice_of(NULL);
	}
	*(uint32_t *)option->into = verdicts;
	return 0;
}

int option_auth(struct tool *tool, const struct tool_option *option, const char *value)
{
	int auth = event_auth_of_key(slice_of(value));

	if (auth < 0)
		return option_bad(tool, option, value, "signed and token are allowed");
	*(int *)option->into = auth + 1;
	return 0;
}
