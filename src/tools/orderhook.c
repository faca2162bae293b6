/*
 * The operator's tool: what stands before the command, the dispatch by the command table, and what
 * has to hold at the end of every command: what was printed has really been written. SIGPIPE is
 * ignored, so that a reader who has had enough (head, a pager) ends a command as quietly as the end
 * of its data does, and a broken connection of `simulate` is an error like any other.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options_private.h"
#include "orderhook/secret.h"

static const struct command commands[] = {
#define COMMAND(name, group, store, arguments, summary) \
	{#name, cmd_##name, store, arguments, summary},
#include "orderhook/tbl/command.def"
#undef COMMAND
};

enum command_group {
	GROUP_LOOK = 0,
	GROUP_CARE,
	GROUP_TEST,
	GROUP_SET_UP,
	GROUP_MAX
};

static const enum command_group groups[] = {
#define COMMAND(name, group, store, arguments, summary) GROUP_##group,
#include "orderhook/tbl/command.def"
#undef COMMAND
};

static const char *const group_titles[GROUP_MAX] = {[GROUP_LOOK] = "Look, beside a running daemon",
						    [GROUP_CARE] = "Look after it",
						    [GROUP_TEST] = "Stand in for the platform",
						    [GROUP_SET_UP] = "Set up"};

#define HELP_SUMMARY_COLUMN 16
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char help_head[] =
	"Usage: orderhook [-c FILE] [--db FILE] COMMAND [OPTION...] [ARGUMENT...]\n"
	"\n"
	"Looks into the store that orderhookd keeps of Shansong's order callbacks.\n";

static const char help_tail[] =
	"\n"
	"Options before any command, or after it:\n"
	"  -c, --config FILE     the configuration (" TOOL_DEFAULT_CONFIG ")\n"
	"      --db FILE         the store; then no configuration is needed\n"
	"      --version         print the version\n"
	"  -h, --help            print this; 'orderhook help COMMAND' tells more\n"
	"\n"
	"Lists take --format table, json, jsonl or csv. A TIME is RFC 3339 with its zone,\n"
	"2h or 7d for as long ago, or today (since midnight in the zone of TZ). Tables\n"
	"show China time (" CHINA_ZONE "); json, jsonl and csv show UTC, as the store's views do.\n"
	"Output is UTF-8.\n"
	"\n"
	"Exit: 0 done, 1 nothing matched or a check found something, 2 usage, 3 no such\n"
	"order or event, 4 refused, 5 the store or the output failed, 78 configuration,\n"
	"or a store that is missing or not ours.\n"
	"\n"
	"Examples:\n"
	"  orderhook orders --status 40 --older-than 2h   deliveries that take long\n"
	"  orderhook show TDH2025053050205843             why an order is where it is\n"
	"\n"
	"The whole manual: man orderhook.\n";

static void print_help(struct out *out)
{
	out_string(out, help_head);
	for (int group = 0; group < GROUP_MAX; group++) {
		out_f(out, "\n%s:\n", group_titles[group]);
		for (size_t i = 0; i < N_COMMANDS; i++) {
			char left[64];
			if (groups[i] != (enum command_group)group)
				continue;
			snprintf(left, sizeof(left), "%s%s%s", commands[i].name,
				 commands[i].arguments[0] ? " " : "", commands[i].arguments);
			help_row(out, left, HELP_SUMMARY_COLUMN, commands[i].summary);
		}
	}
	out_string(out, help_tail);
}

static int find_command(struct tool *tool, const char *name, const struct command **ret)
{
	const char *names[N_COMMANDS + 2];
	const char *nearest;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		names[i] = commands[i].name;
		if (strcmp(name, commands[i].name) == 0) {
			*ret = &commands[i];
			return 0;
		}
	}
	names[N_COMMANDS] = "help";
	names[N_COMMANDS + 1] = NULL;
	nearest = option_nearest(name, names);
	if (nearest)
		return tool_usage(tool, "unknown command '%s'; did you mean '%s'?", name, nearest);
	return tool_usage(tool, "unknown command '%s'", name);
}

static int run(struct tool *tool, const struct command *command, int argc, char **argv)
{
	tool->command = command;
	return command->run(tool, argc, argv);
}

/* `orderhook help COMMAND` is `orderhook COMMAND --help`. */
static int run_help(struct tool *tool, int argc, char **argv)
{
	static char help[] = "--help";
	const struct command *command;
	int code;

	if (argc < 2) {
		print_help(&tool->out);
		return TOOL_DONE;
	}
	if (argc > 2)
		return tool_usage(tool, "help: unexpected argument '%s'", argv[2]);
	code = find_command(tool, argv[1], &command);
	if (code)
		return code;
	char *words[] = {argv[1], help, NULL};
	return run(tool, command, 2, words);
}

static int dispatch(struct tool *tool, int argc, char **argv)
{
	bool help = false;
	bool version = false;
	const struct tool_option options[] = {
		OPTION_CONFIG(&tool->config_file),
		OPTION_DB(&tool->db),
		OPTION_HELP(&help),
		{"version", 0, NULL, "print the version", option_flag, &version},
		{NULL}};
	const struct tool_option *const tables[] = {options, NULL};
	const struct command *command;
	int code;
	int i = 1;

	for (; i < argc && options_is_option(argv[i]); i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		code = options_take(tool, tables, argc, argv, &i);
		if (code)
			return code;
	}
	if (version) {
		out_string(&tool->out, "orderhook " ORDERHOOK_VERSION "\n");
		return TOOL_DONE;
	}
	if (help) {
		print_help(&tool->out);
		return TOOL_DONE;
	}
	if (i == argc)
		return tool_usage(tool, "a command is missing");
	if (strcmp(argv[i], "help") == 0)
		return run_help(tool, argc - i, argv + i);
	code = find_command(tool, argv[i], &command);
	return code ? code : run(tool, command, argc - i, argv + i);
}

/* A command may also have printed through stdio. */
static int finish(struct tool *tool, int code)
{
	if (fflush(stdout) != 0 && !tool->out.error)
		tool->out.error = errno;
	out_flush(&tool->out);
	int error = tool->out.error;
	/* A reader that went away, or a user who did, has had enough: that is no failure. */
	if (error && error != EPIPE && error != ECANCELED)
		code = tool_fail(tool, TOOL_STORE, "cannot write to standard output: %s",
				 strerror(error));
	store_reader_close(tool->reader);
	config_free(tool->config);
	out_release(&tool->out);
	return code;
}

int main(int argc, char **argv)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct tool tool = {.clock = clock_system()};

	sigaction(SIGPIPE, &ignore, NULL);
	text_init();
	out_init(&tool.out, STDOUT_FILENO);
	/* What it reads is personal, what it signs with is secret. */
	if (secret_guard_process())
		return finish(&tool,
			      tool_fail(&tool, TOOL_REFUSED, "cannot switch off core files"));
	return finish(&tool, dispatch(&tool, argc, argv));
}
