/*
 * Options whose value is one of some words. The words stand in the option's own argument, "a|b|c":
 * there the help shows them, the manual page and the completions are made from the help, and here
 * they are what is allowed. So no word can be taken that is not shown, nor the other way about.
 */
#include <string.h>

#include "orderhook/err.h"
#include "tool_private.h"

#define WORDS_MAX 16
#define WORD_BYTES_MAX 32
#define MESSAGE_BYTES_MAX 1024U

int option_unknown(struct tool *tool, const struct tool_option *option, struct slice value,
		   const char *const *names)
{
	BUF_AUTO struct buf allowed = BUF_INIT(MESSAGE_BYTES_MAX);
	char given[65] = "";
	int err = 0;

	(void)slice_copy(value, given, sizeof(given));
	const char *nearest = option_nearest(given, names);
	if (nearest)
		return tool_usage(tool, "--%s: '%.*s' is wrong; did you mean '%s'?", option->name,
				  SLICE_ARG(value), nearest);
	for (size_t i = 0; names[i] && !err; i++)
		err = buf_addf(&allowed, "%s%s",
			       i == 0         ? ""
			       : names[i + 1] ? ", "
					      : " and ",
			       names[i]);
	return tool_usage(tool, "--%s: '%.*s' is wrong; %s are allowed", option->name,
			  SLICE_ARG(value), err ? "other words" : allowed.data);
}

int option_choose(struct tool *tool, const struct tool_option *option, const char *value, int *ret)
{
	char words[WORDS_MAX][WORD_BYTES_MAX];
	const char *names[WORDS_MAX + 1];
	const char *at = option->argument;
	int n = 0;

	for (; at && n < WORDS_MAX; n++) {
		const char *bar = strchr(at, '|');
		struct slice word = {at, bar ? (size_t)(bar - at) : strlen(at)};
		if (slice_equal_string(word, value)) {
			*ret = n;
			return 0;
		}
		if (slice_copy(word, words[n], sizeof(words[n])))
			words[n][0] = '\0';
		names[n] = words[n];
		at = bar ? bar + 1 : NULL;
	}
	names[n] = NULL;
	return option_unknown(tool, option, slice_of(value), names);
}

int option_word(struct tool *tool, const struct tool_option *option, const char *value)
{
	return option_choose(tool, option, value, option->into);
}

int option_format(struct tool *tool, const struct tool_option *option, const char *value)
{
	static const char *const names[PRINT_FORMAT_MAX] = {[PRINT_TABLE] = "table",
							    [PRINT_JSON] = "json",
							    [PRINT_JSONL] = "jsonl",
							    [PRINT_CSV] = "csv"};
	int chosen;
	int code = option_choose(tool, option, value, &chosen);

	for (int i = 0; !code && i < PRINT_FORMAT_MAX; i++) {
		if (strcmp(value, names[i]) == 0)
			*(enum print_format *)option->into = (enum print_format)i;
	}
	return code;
}
