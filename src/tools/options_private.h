/* Between the option parser and main(), which parses what stands before the command. */
#pragma once

#include "tool_private.h"

#define OPTIONS_MAX 64

#define OPTION_CONFIG(into)                                                           \
	{                                                                             \
		"config", 'c', "FILE", "the configuration (" TOOL_DEFAULT_CONFIG ")", \
			option_string, (into)                                         \
	}
#define OPTION_DB(into)                                                                       \
	{                                                                                     \
		"db", 0, "FILE", "the store; then no configuration is needed", option_string, \
			(into)                                                                \
	}
#define OPTION_HELP(into)                                            \
	{                                                            \
		"help", 'h', NULL, "print this", option_flag, (into) \
	}

/* ------------------------------------------------------------------ help.c ------------- */

/* Prints a command's help to tool->out. */
void options_help(struct tool *tool, const struct tool_syntax *syntax);
/* "  left", and the text from column on, wrapped; on the next line when left is too long. */
void help_row(struct out *out, const char *left, size_t column, const char *text);

/* ------------------------------------------------------------------ options.c ---------- */

/* Takes the option at argv[*i], and its value; moves *i to the last word taken. tables ends with
 * NULL. 0, or the exit code after a message. */
int options_take(struct tool *tool, const struct tool_option *const *tables, int argc, char **argv,
		 int *i);
/* "-x" and "--x", not "-": that is standard input. */
bool options_is_option(const char *word);
