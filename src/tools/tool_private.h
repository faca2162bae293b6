/*
 * What every command of `orderhook` shares: the tool's options and resources, exit codes, messages,
 * and the option parser. A command is a row of tbl/command.def and
 *
 *     int cmd_NAME(struct tool *tool, int argc, char **argv)
 *
 * with argv[0] its name; it parses its own options, prints data to tool->out and everything else
 * through tool_fail() and tool_note(), and returns its exit code. main() flushes tool->out.
 */
#pragma once

#include "orderhook/config.h"
#include "orderhook/store.h"
#include "print_private.h"

#define TOOL_DEFAULT_CONFIG "/etc/orderhook/orderhook.conf"

enum tool_exit {
	TOOL_DONE = 0,
	TOOL_NOTHING = 1, /* nothing matched, or a check found something */
	TOOL_USAGE = 2,
	TOOL_NO_SUCH = 3, /* order or event */
	TOOL_REFUSED = 4,
	TOOL_STORE = 5,   /* the store, or the output, cannot be read or written */
	TOOL_CONFIG = 78, /* the configuration, or a store that is missing or not ours */
};

struct tool {
	const char *config_file; /* -c; NULL: TOOL_DEFAULT_CONFIG */
	const char *db;          /* --db; NULL: the configuration's [store] path */
	const struct command *command;
	const struct clock *clock;
	struct out out;              /* stdout */
	struct config *config;       /* tool_config() */
	struct store_reader *reader; /* tool_reader() */
};

struct command {
	const char *name;
	int (*run)(struct tool *tool, int argc, char **argv);
	bool store;
	const char *arguments;
	const char *summary;
};

#define COMMAND(name, group, store, arguments, summary) \
	int cmd_##name(struct tool *tool, int argc, char **argv);
#include "orderhook/tbl/command.def"
#undef COMMAND

/* ------------------------------------------------------------------ tool.c ------------- */

/* Each prints one line on stderr, "orderhook COMMAND: …", safe on a terminal, and returns code. */
int tool_fail(struct tool *tool, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with a second line that names the help; returns TOOL_USAGE. */
int tool_usage(struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tool_note(struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 0, or the exit code after a message. What they give is the tool's and lives as long as it. */
int tool_config(struct tool *tool, const struct config **ret);
int tool_store_path(struct tool *tool, const char **ret);
int tool_reader(struct tool *tool, struct store_reader **ret);
/* The exit code for an error of the store, after a message; problem may be NULL or "". */
int tool_store_failed(struct tool *tool, int err, const char *problem);
/* Reads a file, or stdin for "-", whole. 0, or the exit code after a message. */
int tool_read_file(struct tool *tool, const char *path, struct buf *ret);

/* ------------------------------------------------------------------ options.c ---------- */

struct tool_option {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	/* As the help shows it; NULL: takes none. a|b|c are the words that are allowed. FILE, URL,
	 * TIME and the like say what it is: docs/generate_tool.py makes completions of these. */
	const char *argument;
	const char *help;
	/* Stores value (NULL for an option without argument) in into; 0 or an exit code, after a
	 * message through option_bad(). */
	int (*take)(struct tool *tool, const struct tool_option *option, const char *value);
	void *into;
};

struct tool_syntax {
	const struct tool_option *options; /* ends with a row without a name; NULL: none */
	int min_arguments;
	int max_arguments;    /* -1: no limit */
	const char *text;     /* paragraphs of the help, ending in a newline */
	const char *examples; /* lines of the help, ending in a newline */
};

/*
 * Parses a command's options, which may stand anywhere among its arguments, up to "--". -c, --db
 * and --help are taken everywhere. -1: go on, and argv[1] … argv[*argc - 1] are the arguments;
 * otherwise the exit code.
 */
int options_parse(struct tool *tool, const struct tool_syntax *syntax, int *argc, char **argv);

int option_flag(struct tool *tool, const struct tool_option *option, const char *value); /* bool */
int option_string(struct tool *tool, const struct tool_option *option,
		  const char *value); /* const char * */
/* int64_t: a number from 0; a duration in ms; an instant: RFC 3339, a duration ago, or "today" */
int option_count(struct tool *tool, const struct tool_option *option, const char *value);
int option_duration(struct tool *tool, const struct tool_option *option, const char *value);
int option_instant(struct tool *tool, const struct tool_option *option, const char *value);

/* options_choice.c: of an option whose argument is "a|b|c". int: the word's index; enum
 * print_format */
int option_word(struct tool *tool, const struct tool_option *option, const char *value);
int option_format(struct tool *tool, const struct tool_option *option, const char *value);
/* 0 and the word's index, or the exit code after a message. */
int option_choose(struct tool *tool, const struct tool_option *option, const char *value, int *ret);
/* Says which of names was meant, or else all that are allowed; names ends with NULL. Returns
 * TOOL_USAGE. */
int option_unknown(struct tool *tool, const struct tool_option *option, struct slice value,
		   const char *const *names);

/* options_event.c. uint32_t: a bit per enum verdict; int: enum event_auth + 1 */
int option_verdicts(struct tool *tool, const struct tool_option *option, const char *value);
int option_auth(struct tool *tool, const struct tool_option *option, const char *value);

#define OPTION_FORMAT(into)                                                              \
	{                                                                                \
		"format", 0, "table|json|jsonl|csv", "how to print; table if not given", \
			option_format, (into)                                            \
	}
#define OPTION_SINCE(into)                                                                        \
	{                                                                                         \
		"since", 0, "TIME", "only what was received from TIME on", option_instant, (into) \
	}
#define OPTION_UNTIL(into)                                                                       \
	{                                                                                        \
		"until", 0, "TIME", "only what was received before TIME", option_instant, (into) \
	}
#define OPTION_LIMIT(into)                                                 \
	{                                                                  \
		"limit", 0, "N", "only the newest N", option_count, (into) \
	}

/* "--name: 'value' is wrong; allowed" and the hint. Returns TOOL_USAGE. */
int option_bad(struct tool *tool, const struct tool_option *option, const char *value,
	       const char *allowed);
/* The name that was probably meant, or NULL. names ends with NULL. */
const char *option_nearest(const char *given, const char *const *names);
