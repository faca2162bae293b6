/*
 * What can be seen of the store and its daemon from outside: the log's size, the room on the disk,
 * whether the daemon answers and says it is ready, and a clock that was set back or runs ahead.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "attention_private.h"
#include "orderhook/admin_client.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/json_scan.h"

#define PATH_BYTES 4096
#define ANSWER_BYTES (64U * 1024)
#define ASK_TIMEOUT_MS 3000
#define CLOCK_EVENTS 4096 /* of the newest: what is older was told when it was new */
#define CLOCK_STEPS 20
#define MIB (1024LL * 1024)
#define NEXT_BYTES (PATH_BYTES + 32)
#define READERS_BYTES 1024

int attention_clock(const struct attention *attention, struct findings *findings)
{
	struct store_receipt_step steps[CLOCK_STEPS];
	size_t n = 0;
	int err = store_receipt_steps(attention->reader, CLOCK_EVENTS, steps, CLOCK_STEPS, &n);

	for (size_t i = 0; i < n && !err; i++) {
		char subject[32];
		char back[AGE_BYTES];
		if (steps[i].before_ms < attention->since_ms)
			continue;
		snprintf(subject, sizeof(subject), "%lld", (long long)steps[i].event_id);
		age_format(steps[i].before_ms - steps[i].received_ms, back);
		findings_add(findings, "clock", subject, steps[i].received_ms, "timedatectl",
			     "the clock was set back by %s before event %s was received", back,
			     subject);
	}
	return err;
}

static void look_at_room(const struct attention *attention, struct findings *findings)
{
	char copy[PATH_BYTES];
	char next[NEXT_BYTES];
	struct statvfs fs;

	if (slice_copy(slice_of(attention->store_path), copy, sizeof(copy)))
		return;
	const char *directory = dirname(copy);
	snprintf(next, sizeof(next), "df -h %s", directory);
	if (statvfs(directory, &fs) != 0) {
		findings_add(findings, "disk", directory, 0, next, "cannot be looked at: %s",
			     strerror(errno));
		return;
	}
	int64_t free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	if (free_bytes < attention->free_bytes)
		findings_add(findings, "disk", directory, 0, next,
			     "%lld MiB are free, less than %lld", (long long)(free_bytes / MIB),
			     (long long)(attention->free_bytes / MIB));
	if (fs.f_files > 0 && fs.f_favail == 0)
		findings_add(findings, "disk", directory, 0, next, "no inode is free");
}

int attention_files(const struct attention *attention, struct findings *findings)
{
	BUF_AUTO struct buf readers = BUF_INIT(READERS_BYTES);
	char wal[PATH_BYTES];
	struct stat st;
	int len = snprintf(wal, sizeof(wal), "%s-wal", attention->store_path);

	/* A log is used again from its start, so a long one means that something keeps it, or has.
	 */
	if (len > 0 && len < PATH_BYTES && stat(wal, &st) == 0 &&
	    st.st_size > attention->wal_bytes) {
		char next[NEXT_BYTES];
		snprintf(next, sizeof(next), "fuser -v %s", wal);
		store_log_readers_at(attention->store_path, &readers);
		findings_add(findings, "store", wal, 0, next,
			     "the log has %lld MiB, more than %lld: %s%s",
			     (long long)(st.st_size / MIB), (long long)(attention->wal_bytes / MIB),
			     readers.len ? readers.data : "nobody is seen to read it now",
			     readers.len ? " keeps it from being used again"
					 : "; it is used again from its beginning, and a clean "
					   "stop makes it short");
	}
	look_at_room(attention, findings);
	return 0;
}

/* {"ready":false,"reasons":["a","b"]}: each reason is a finding. */
static void add_reasons(struct slice answer, const char *address, struct findings *findings)
{
	static const char next[] = "journalctl -u orderhookd -n 50";
	struct json_object object;
	const struct json_member *reasons = NULL;
	const char *at;
	const char *end;

	if (json_scan_object(answer, &object) == 0)
		reasons = json_find(&object, "reasons");
	if (!reasons || reasons->type != JSON_ARRAY) {
		findings_add(findings, "daemon", address, 0, next, "it is not ready");
		return;
	}
	at = reasons->value.at;
	end = at + reasons->value.len;
	/* The words are the daemon's own, without a quote in them. */
	while ((at = memchr(at, '"', (size_t)(end - at)))) {
		const char *close = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (!close)
			return;
		findings_add(findings, "daemon", address, 0, next, "not ready: %.*s",
			     (int)(close - at - 1), at + 1);
		at = close + 1;
	}
}

int attention_daemon(const struct attention *attention, struct findings *findings)
{
	BUF_AUTO struct buf answer = BUF_INIT(ANSWER_BYTES);
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	const char *address;
	int status;

	if (!attention->config || !admin_can_ask(attention->config->server.admin_listen))
		return 0;
	address = attention->config->server.admin_listen;
	int err = admin_get(address, "/readyz", ASK_TIMEOUT_MS, &status, &answer, &problem);
	if (err)
		findings_add(findings, "daemon", address, 0, "systemctl status orderhookd",
			     "it does not answer: %s", problem.len ? problem.data : err_text(err));
	else if (status != 200)
		add_reasons(buf_slice(&answer), address, findings);
	return 0;
}
