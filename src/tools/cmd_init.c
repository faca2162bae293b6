/*
 * `orderhook init`: makes the store. The daemon never does, because a path with a slip in it would
 * then look like an empty store; so this is the one place where a store comes from, and it never
 * touches a file that is there.
 */
#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "orderhook/err.h"
#include "tool_private.h"

#define PATH_BYTES 4096
#define DEFAULT_ENVIRONMENT "production" /* the configuration's default too */

/* The directory that is to hold the store. */
static int check_directory(struct tool *tool, const char *directory)
{
	struct stat st;

	if (stat(directory, &st) == 0)
		return 0;
	if (errno == ENOENT)
		return tool_fail(
			tool, TOOL_STORE,
			"the directory %s is not there; make it for the daemon's user first: "
			"install -d -m 750 -o USER -g GROUP %s",
			directory, directory);
	return tool_fail(tool, TOOL_STORE, "%s: %s", directory, strerror(errno));
}

static int make(struct tool *tool, const char *path, const char *environment)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	char copy[PATH_BYTES];

	if (slice_copy(slice_of(path), copy, sizeof(copy)))
		return tool_fail(tool, TOOL_CONFIG, "the store's path is longer than %d bytes",
				 PATH_BYTES - 1);
	const char *directory = dirname(copy);
	int code = check_directory(tool, directory);
	if (code)
		return code;
	int err = store_create(path, environment, &problem);
	if (err)
		return tool_store_failed(tool, err, problem.data);
	out_f(&tool->out, "made %s for the environment '%s'\n", path, environment);
	if (tool->db)
		out_string(&tool->out, "next: name it in a configuration, [store] path, and start "
				       "orderhookd\n");
	else
		out_f(&tool->out, "next: orderhookd -c %s\n", tool->config->file);
	return TOOL_DONE;
}

int cmd_init(struct tool *tool, int argc, char **argv)
{
	const char *environment = NULL;
	const struct tool_option options[] = {
		{"environment", 0, "NAME",
		 "with --db: the environment to stamp into the store (production)", option_string,
		 &environment},
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Makes the store that the configuration names, [store] path, for its\n"
			"environment. A file that is there already is left as it is, and refused\n"
			"(exit 4). Run it as the daemon's user, or as root: then the store belongs "
			"to\n"
			"whom its directory belongs to.\n",
		.examples = "  sudo -u orderhook orderhook init\n"
			    "  orderhook --db try.db init --environment test\n",
	};
	const struct config *config = NULL;
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	if (environment && !tool->db)
		return tool_usage(tool, "--environment is the configuration's, [store] "
					"environment; it goes with --db only");
	if (!tool->db || tool->config_file) {
		code = tool_config(tool, &config);
		if (code)
			return code;
	}
	if (!environment)
		environment = config ? config->store.environment : DEFAULT_ENVIRONMENT;
	return make(tool, tool->db ? tool->db : config->store.path, environment);
}
