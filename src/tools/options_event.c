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
		if (verdict < 0)
			return option_unknown(tool, option, key, names);
		verdicts |= 1U << verdict;
		rest = comma ? (struct slice){comma + 1, rest.len - key.len - 1} : slice_of(NULL);
	}
	*(uint32_t *)option->into = verdicts;
	return 0;
}

int option_auth(struct tool *tool, const struct tool_option *option, const char *value)
{
	int chosen;
	int code = option_choose(tool, option, value, &chosen);

	if (!code)
		*(int *)option->into = event_auth_of_key(slice_of(value)) + 1;
	return code;
}
