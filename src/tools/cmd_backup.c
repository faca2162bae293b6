/*
 * `orderhook backup`: the store's own way of copying itself; this only tells it when to stop. A
 * copy with cp would leave out what is still in the log.
 */
#include <signal.h>

#include "interrupt_private.h"
#include "orderhook/err.h"
#include "tool_private.h"

#define EXIT_SIGNAL 128

struct watch {
	struct interrupt interrupt;
	int signal; /* that came; 0: none */
};

static bool stop(void *context)
{
	struct watch *watch = context;

	if (!watch->signal)
		watch->signal = interrupt_take(&watch->interrupt);
	return watch->signal != 0;
}

static int back_up(struct tool *tool, const char *path, const char *file)
{
	BUF_AUTO struct buf problem = BUF_INIT(16 * 1024);
	struct watch watch = {.signal = 0};
	struct store_backup backup;
	int err = interrupt_begin(&watch.interrupt);

	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	/* A limit on the size of files is a failure to report, not a death that leaves half a file.
	 */
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigaction(SIGXFSZ, &ignore, NULL);
	err = store_backup(path, file, stop, &watch, &backup, &problem);
	interrupt_end(&watch.interrupt);
	if (err && watch.signal)
		return tool_fail(tool, EXIT_SIGNAL + watch.signal, "stopped; %s was not made",
				 file);
	if (err)
		return tool_store_failed(tool, err, problem.data);
	out_f(&tool->out,
	      "%s: %lld events of %lld orders, up to event %lld, %lld bytes, environment '%s', "
	      "checked\n",
	      file, (long long)backup.events, (long long)backup.orders,
	      (long long)backup.last_event_id, (long long)backup.bytes, backup.environment);
	return TOOL_DONE;
}

int cmd_backup(struct tool *tool, int argc, char **argv)
{
	const struct tool_syntax syntax = {
		.min_arguments = 1,
		.max_arguments = 1,
		.text = "Copies the store to FILE as it is at this moment, while the daemon goes "
			"on. The\n"
			"copy is checked (every page and index, identity, counts) and synced "
			"before it\n"
			"gets its name, so FILE is a whole backup or is not there; until then it "
			"is\n"
			"FILE.partial. A FILE that is there is never overwritten. It has the "
			"bodies with\n"
			"all personal data: its mode is 0640, keep it as the store itself.\n"
			"A backup is a store: --db FILE reads it. To restore one, stop the daemon, "
			"move\n"
			"the store and the files beside it (-wal, -shm, .lock, .head) away, copy "
			"FILE "
			"there.\n",
		.examples =
			"  orderhook backup /var/backups/orderhook-$(date +%F).db\n"
			"  orderhook --db /var/backups/orderhook-2025-05-30.db backup copy.db\n",
	};
	const char *path;
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	code = tool_store_path(tool, &path);
	return code ? code : back_up(tool, path, argv[1]);
}
