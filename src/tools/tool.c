/*
 * What the commands share at run time. The configuration and the store are opened when a command
 * first asks, so that a usage error is told before a missing store, and what needs neither works
 * without. Which exit code an error of the store has follows from whose fault its row of the error
 * table says it is: an operator's is a configuration's (78, as the daemon exits), the rest is 5.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "tool_private.h"

#define MESSAGE_LIMIT_BYTES (64U * 1024)
#define PROBLEM_LIMIT_BYTES 4096U

__attribute__((format(printf, 2, 0))) static void print_line(struct tool *tool, const char *format,
							     va_list args)
{
	BUF_AUTO struct buf line = BUF_INIT(MESSAGE_LIMIT_BYTES);
	char *text = NULL;
	int len = vasprintf(&text, format, args);

	/* What was printed before belongs before it on a screen. */
	out_flush(&tool->out);
	if (len < 0)
		return;
	const char *command = tool->command ? tool->command->name : "";
	int err = buf_addf(&line, "orderhook%s%s: ", tool->command ? " " : "", command);
	if (!err)
		err = text_add_safe(&line, (struct slice){text, (size_t)len}, TEXT_ONE_LINE);
	if (!err)
		err = buf_add_char(&line, '\n');
	free(text);
	/* Nobody is left to tell when stderr itself cannot be written. */
	if (!err && write(STDERR_FILENO, line.data, line.len) < 0)
		return;
}

int tool_fail(struct tool *tool, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line(tool, format, args);
	va_end(args);
	return code;
}

void tool_note(struct tool *tool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line(tool, format, args);
	va_end(args);
}

int tool_usage(struct tool *tool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line(tool, format, args);
	va_end(args);
	if (tool->command)
		tool_note(tool, "try 'orderhook %s --help'", tool->command->name);
	else
		tool_note(tool, "try 'orderhook --help'");
	return TOOL_USAGE;
}

int tool_config(struct tool *tool, const struct config **ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_LIMIT_BYTES);
	const char *file = tool->config_file ? tool->config_file : TOOL_DEFAULT_CONFIG;

	if (!tool->config) {
		int err = config_load(file, &tool->config, &problem);
		if (err)
			return tool_fail(tool, TOOL_CONFIG, "%s",
					 problem.len ? problem.data : err_text(err));
	}
	*ret = tool->config;
	return 0;
}

int tool_store_path(struct tool *tool, const char **ret)
{
	const struct config *config;
	int code;

	if (tool->db) {
		*ret = tool->db;
		return 0;
	}
	code = tool_config(tool, &config);
	if (!code)
		*ret = config->store.path;
	return code;
}

static int store_exit(int err)
{
	switch (-err) {
	case ERR_STORE_EXISTS:
	case ERR_STORE_LOCKED:
		return TOOL_REFUSED;
	case ERR_NOT_FOUND:
		return TOOL_NO_SUCH;
	default:
		return err_fault(err) == ERR_FAULT_OPERATOR ? TOOL_CONFIG : TOOL_STORE;
	}
}

int tool_store_failed(struct tool *tool, int err, const char *problem)
{
	if (problem && problem[0])
		return tool_fail(tool, store_exit(err), "%s", problem);
	const char *path = tool->db ? tool->db : tool->config ? tool->config->store.path : "";
	return tool_fail(tool, store_exit(err), "%s: %s", path, err_text(err));
}

int tool_reader(struct tool *tool, struct store_reader **ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(PROBLEM_LIMIT_BYTES);
	const char *path;
	int code;

	if (!tool->reader) {
		code = tool_store_path(tool, &path);
		if (code)
			return code;
		int err = store_open_reader(path, &tool->reader, &problem);
		if (err)
			return tool_store_failed(tool, err, problem.data);
	}
	*ret = tool->reader;
	return 0;
}

int tool_read_file(struct tool *tool, const char *path, struct buf *ret)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int err = 0;
	int cause = fd < 0 ? errno : 0;

	while (!err && !cause) {
		char piece[16384];
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n == 0)
			break;
		if (n > 0)
			err = buf_add(ret, piece, (size_t)n);
		else if (errno != EINTR)
			cause = errno;
	}
	if (fd >= 0 && !standard)
		close(fd);
	const char *name = standard ? "standard input" : path;
	if (cause)
		return tool_fail(tool, TOOL_REFUSED, "%s: %s", name, strerror(cause));
	if (err == -ERR_TOO_LONG)
		return tool_fail(tool, TOOL_REFUSED, "%s: over %zu bytes", name, ret->limit);
	return err ? tool_fail(tool, TOOL_REFUSED, "%s: %s", name, err_text(err)) : 0;
}
