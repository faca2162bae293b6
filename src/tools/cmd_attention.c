/*
 * `orderhook attention`: one list of what a person should look at, from a table of sources. Its
 * exit code is the alarm, so a source that cannot be asked is an error and never an empty list.
 */
#include "attention_private.h"
#include "orderhook/err.h"

#define MIB (1024LL * 1024)
#define DEFAULT_WAL_MIB 64
#define DEFAULT_FREE_MIB 512
#define MIB_MAX (1LL << 40)

static const attention_source_fn sources[] = {
	attention_daemon, attention_files,       attention_clock,
	attention_held,   attention_quarantined, attention_overdue,
};

static int gather(struct attention *attention, enum print_format format)
{
	struct tool *tool = attention->tool;
	struct findings findings;
	int err = findings_begin(&findings, &tool->out, format);

	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]) && !err; i++)
		err = sources[i](attention, &findings);
	findings_end(&findings);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(attention->reader));
	if (findings.err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(findings.err));
	return findings.list.count ? TOOL_NOTHING : TOOL_DONE;
}

static int look(struct attention *attention, enum print_format format)
{
	struct tool *tool = attention->tool;
	int code = 0;

	/* With --db alone no configuration is needed, and none is looked for. */
	if (!tool->db || tool->config_file)
		code = tool_config(tool, &attention->config);
	if (!code)
		code = tool_store_path(tool, &attention->store_path);
	if (!code)
		code = tool_reader(tool, &attention->reader);
	return code ? code : gather(attention, format);
}

static int option_mib(struct tool *tool, const struct tool_option *option, const char *value)
{
	int64_t mib;

	if (slice_to_i64(slice_of(value), 0, MIB_MAX, &mib))
		return option_bad(tool, option, value, "a whole number of MiB is allowed");
	*(int64_t *)option->into = mib * MIB;
	return 0;
}

int cmd_attention(struct tool *tool, int argc, char **argv)
{
	struct attention attention = {.tool = tool,
				      .wal_bytes = DEFAULT_WAL_MIB * MIB,
				      .free_bytes = DEFAULT_FREE_MIB * MIB};
	enum print_format format = PRINT_TABLE;
	const struct tool_option options[] = {
		{"since", 0, "TIME", "only what was received from TIME on; orders count always",
		 option_instant, &attention.since_ms},
		{"wal-over", 0, "MIB", "tell a write-ahead log of more (64)", option_mib,
		 &attention.wal_bytes},
		{"free-below", 0, "MIB", "tell a disk with less room (512)", option_mib,
		 &attention.free_bytes},
		OPTION_FORMAT(&format),
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.text = "Lists what a person should look at, each with the command to run next:\n"
			"events in quarantine, orders in a status for longer than [attention] "
			"says\n"
			"(never 50 and 60, where orders rest), deliveries refused in the last day "
			"by\n"
			"reason, a daemon that does not answer or is not ready, a long write-ahead "
			"log,\n"
			"a full disk, a clock that was set back (among the newest 4096 events). "
			"Prints\n"
			"nothing and exits 0 when there is nothing; exits 1 when there is "
			"something: fit\n"
			"for cron and monitoring.\n"
			"With --db and no -c the daemon is not asked, and the default limits "
			"hold.\n",
		.examples =
			"  orderhook attention                                  what is wrong now\n"
			"  orderhook attention --since 1d --format jsonl        for monitoring\n",
	};
	int code = options_parse(tool, &syntax, &argc, argv);

	return code >= 0 ? code : look(&attention, format);
}
