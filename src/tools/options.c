/*
 * Command lines, parsed against tables. getopt_long() would take abbreviations, which turn a later
 * option into somebody's broken script, and it prints its own messages; here a wrong word is
 * answered with the right one.
 */
#include <stdlib.h>
#include <string.h>

#include "options_private.h"
#include "orderhook/err.h"

#define NAME_CHARS_MAX 64

/* Optimal string alignment: insert, delete, replace, swap of two neighbours. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][NAME_CHARS_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		size_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

const char *option_nearest(const char *given, const char *const *names)
{
	const char *nearest = NULL;
	size_t n = strlen(given);
	size_t best = SIZE_MAX;

	if (n == 0 || n > NAME_CHARS_MAX)
		return NULL;
	for (; *names; names++) {
		size_t m = strlen(*names);
		if (m > NAME_CHARS_MAX)
			continue;
		/* What was only begun counts as one slip. */
		size_t d = strncmp(*names, given, n) == 0 ? 1 : distance(given, n, *names, m);
		if (d * 3 <= (n > m ? n : m) + 1 && d < best) {
			best = d;
			nearest = *names;
		}
	}
	return nearest;
}

static const struct tool_option *find_in(const struct tool_option *options, struct slice name,
					 char letter)
{
	for (; options && options->name; options++) {
		if (letter ? options->letter == letter : slice_equal_string(name, options->name))
			return options;
	}
	return NULL;
}

static const struct tool_option *find(const struct tool_option *const *tables, struct slice name,
				      char letter)
{
	for (; *tables; tables++) {
		const struct tool_option *option = find_in(*tables, name, letter);
		if (option)
			return option;
	}
	return NULL;
}

static int unknown_option(struct tool *tool, const struct tool_option *const *tables,
			  struct slice name)
{
	const char *names[OPTIONS_MAX + 1];
	char given[NAME_CHARS_MAX + 1];
	const char *nearest = NULL;
	size_t n = 0;

	for (; *tables; tables++) {
		for (const struct tool_option *o = *tables; o->name && n < OPTIONS_MAX; o++)
			names[n++] = o->name;
	}
	names[n] = NULL;
	if (slice_copy(name, given, sizeof(given)) == 0)
		nearest = option_nearest(given, names);
	return tool_usage(tool, "unknown option '--%.*s'%s%s%s", SLICE_ARG(name),
			  nearest ? "; did you mean '--" : "", nearest ? nearest : "",
			  nearest ? "'?" : "");
}

/* Gives option its value: what stands after '=' or the letter, or else the next argument. */
static int give_value(struct tool *tool, const struct tool_option *option, const char *attached,
		      int argc, char **argv, int *i)
{
	const char *value = attached;

	if (!option->argument) {
		if (attached)
			return tool_usage(tool, "--%s takes no value", option->name);
		return option->take(tool, option, NULL);
	}
	if (!value) {
		if (*i + 1 >= argc)
			return tool_usage(tool, "--%s: %s is missing: %s", option->name,
					  option->argument, option->help);
		value = argv[++*i];
	}
	return option->take(tool, option, value);
}

int options_take(struct tool *tool, const struct tool_option *const *tables, int argc, char **argv,
		 int *i)
{
	const char *word = argv[*i];
	const struct tool_option *option;

	if (word[1] != '-') {
		option = find(tables, slice_of(NULL), word[1]);
		if (!option)
			return tool_usage(tool, "unknown option '-%s'", word + 1);
		return give_value(tool, option, word[2] ? word + 2 : NULL, argc, argv, i);
	}
	const char *equals = strchr(word, '=');
	struct slice name = {word + 2, equals ? (size_t)(equals - word - 2) : strlen(word) - 2};
	option = find(tables, name, 0);
	if (!option)
		return unknown_option(tool, tables, name);
	return give_value(tool, option, equals ? equals + 1 : NULL, argc, argv, i);
}

bool options_is_option(const char *word)
{
	return word[0] == '-' && word[1];
}

static int check_arguments(struct tool *tool, const struct tool_syntax *syntax, int n, char **argv)
{
	if (tool->db && !tool->command->store)
		return tool_usage(tool, "--db: this command works on no store");
	if (n < syntax->min_arguments)
		return tool_usage(tool, "an argument is missing: %s", tool->command->arguments);
	if (syntax->max_arguments >= 0 && n > syntax->max_arguments)
		return tool_usage(tool, "unexpected argument '%s'",
				  argv[syntax->max_arguments + 1]);
	return -1;
}

int options_parse(struct tool *tool, const struct tool_syntax *syntax, int *argc, char **argv)
{
	bool help = false;
	const struct tool_option globals[] = {OPTION_CONFIG(&tool->config_file),
					      OPTION_DB(&tool->db),
					      OPTION_HELP(&help),
					      {NULL}};
	const struct tool_option none[] = {{NULL}};
	const struct tool_option *const tables[] = {syntax->options ? syntax->options : none,
						    globals, NULL};
	int n = 0;
	bool plain = false;

	for (int i = 1; i < *argc; i++) {
		if (plain || !options_is_option(argv[i])) {
			argv[++n] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			plain = true;
		} else {
			int code = options_take(tool, tables, *argc, argv, &i);
			if (code)
				return code;
		}
	}
	if (help) {
		options_help(tool, syntax);
		return TOOL_DONE;
	}
	*argc = n + 1;
	return check_arguments(tool, syntax, n, argv);
}
