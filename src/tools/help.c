/*
 * What --help prints, never wider than 80 columns whatever the source's lines are. The manual page
 * and the shells' completions are made from this output (docs/generate_tool.py), so its form is
 * kept: a row is two blanks, a name, and a text from a column on, or on the lines below.
 */
#include <string.h>

#include "options_private.h"
#include "orderhook/err.h"

#define HELP_COLUMNS 80
#define HELP_OPTION_COLUMN 26

/* Text from column on; at is where the line stands now. Ends the line. */
static void wrapped(struct out *out, size_t at, size_t column, struct slice text)
{
	while (text.len) {
		const char *blank = memchr(text.at, ' ', text.len);
		size_t word = blank ? (size_t)(blank - text.at) : text.len;
		if (at > column && at + 1 + word > HELP_COLUMNS) {
			out_char(out, '\n');
			at = 0;
		} else if (at > column) {
			out_char(out, ' ');
			at++;
		}
		if (at < column) {
			out_f(out, "%*s", (int)(column - at), "");
			at = column;
		}
		out_bytes(out, text.at, word);
		at += word;
		text.at += word + (blank ? 1 : 0);
		text.len -= word + (blank ? 1 : 0);
	}
	out_char(out, '\n');
}

void help_row(struct out *out, const char *left, size_t column, const char *text)
{
	size_t at = 2 + strlen(left);

	out_f(out, "  %s", left);
	/* What is too long for its column gets a line of its own. */
	if (at + 2 > column) {
		out_char(out, '\n');
		at = 0;
	}
	wrapped(out, at, column, slice_of(text));
}

/* Paragraphs are flowed anew; a line that begins with a blank is kept as it is. */
static void print_text(struct out *out, const char *text)
{
	BUF_AUTO struct buf paragraph = BUF_INIT(64 * 1024);

	while (*text) {
		struct slice line = {text, strcspn(text, "\n")};
		bool flows = line.len && line.at[0] != ' ';
		text += line.len + (text[line.len] ? 1 : 0);
		if (flows &&
		    (buf_addf(&paragraph, "%s%.*s", paragraph.len ? " " : "", SLICE_ARG(line))))
			return;
		if (paragraph.len && (!flows || !*text)) {
			wrapped(out, 0, 0, buf_slice(&paragraph));
			buf_reset(&paragraph);
		}
		if (!flows)
			out_f(out, "%.*s\n", SLICE_ARG(line));
	}
}

static void print_options(struct out *out, const struct tool_option *options)
{
	for (const struct tool_option *o = options; o && o->name; o++) {
		BUF_AUTO struct buf left = BUF_INIT(1024);
		char letter[] = "    ";
		if (o->letter)
			memcpy(letter, (char[]){'-', o->letter, ','}, 3);
		if (buf_addf(&left, "%s--%s%s%s", letter, o->name, o->argument ? " " : "",
			     o->argument ? o->argument : ""))
			return;
		help_row(out, left.data, HELP_OPTION_COLUMN, o->help);
	}
}

void options_help(struct tool *tool, const struct tool_syntax *syntax)
{
	const struct command *command = tool->command;
	const char *config = NULL;
	const char *db = NULL;
	bool help = false;
	const struct tool_option with_store[] = {
		OPTION_CONFIG(&config), OPTION_DB(&db), OPTION_HELP(&help), {NULL}};
	const struct tool_option without[] = {OPTION_CONFIG(&config), OPTION_HELP(&help), {NULL}};

	out_f(&tool->out, "Usage: orderhook %s [OPTION...]%s%s\n\n", command->name,
	      command->arguments[0] ? " " : "", command->arguments);
	print_text(&tool->out, syntax->text);
	if (syntax->options && syntax->options->name) {
		out_string(&tool->out, "\nOptions:\n");
		print_options(&tool->out, syntax->options);
	}
	out_string(&tool->out, "\nEverywhere:\n");
	print_options(&tool->out, command->store ? with_store : without);
	out_f(&tool->out, "\nExamples:\n%s", syntax->examples);
}
