/*
 * The wait of `events -f`. The daemon is not asked: it may be down, and the store has everything.
 *
 * inotify on the write-ahead log tells when to look. It tells too early, when the log's bytes are
 * written and the commit is not visible yet, and it may tell nothing (a file system without
 * inotify, a log that was replaced). So every wait ends after a delay that doubles from
 * DELAY_MIN_MS after each sign of life up to DELAY_MAX_MS: a commit is seen some milliseconds after
 * it is durable, an idle store costs one look a second, and a lost notice costs a second and never
 * an event.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "follow_private.h"
#include "interrupt_private.h"
#include "orderhook/err.h"

#define DELAY_MIN_MS 2
#define DELAY_MAX_MS 1000

struct follow {
	char *path;
	char *wal;
	dev_t device;
	ino_t inode;
	int out_fd;
	int inotify_fd; /* -1 where there is none */
	int delay_ms;
	struct interrupt interrupt; /* fd -1: not begun */
};

void follow_free(struct follow *follow)
{
	if (!follow)
		return;
	if (follow->interrupt.fd >= 0)
		interrupt_end(&follow->interrupt);
	if (follow->inotify_fd >= 0)
		close(follow->inotify_fd);
	free(follow->path);
	free(follow->wal);
	free(follow);
}

int follow_new(const char *store_path, int out_fd, struct follow **ret)
{
	struct follow *follow = calloc(1, sizeof(*follow));
	struct stat st;
	int err = 0;

	if (!follow)
		return -ERR_NOMEM;
	follow->out_fd = out_fd;
	follow->interrupt.fd = -1;
	follow->delay_ms = DELAY_MIN_MS;
	follow->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (asprintf(&follow->path, "%s", store_path) < 0)
		follow->path = NULL;
	if (asprintf(&follow->wal, "%s-wal", store_path) < 0)
		follow->wal = NULL;
	if (!follow->path || !follow->wal)
		err = -ERR_NOMEM;
	else if (stat(store_path, &st))
		err = -ERR_SYSTEM;
	else
		err = interrupt_begin(&follow->interrupt);
	if (err) {
		follow_free(follow);
		return err;
	}
	follow->device = st.st_dev;
	follow->inode = st.st_ino;
	*ret = follow;
	return 0;
}

int follow_interrupt_fd(const struct follow *follow)
{
	return follow->interrupt.fd;
}

static bool replaced(const struct follow *follow)
{
	struct stat st;

	return stat(follow->path, &st) || st.st_dev != follow->device || st.st_ino != follow->inode;
}

/* Adding a watch that is there changes nothing; a log that was replaced gets a new one. */
static void watch(struct follow *follow)
{
	if (follow->inotify_fd >= 0)
		(void)inotify_add_watch(follow->inotify_fd, follow->wal, IN_MODIFY);
}

static bool drain(int fd)
{
	char events[4096];
	bool any = false;

	while (read(fd, events, sizeof(events)) > 0)
		any = true;
	return any;
}

enum follow_reason follow_wait(struct follow *follow, bool found)
{
	struct pollfd fds[] = {{.fd = follow->interrupt.fd, .events = POLLIN},
			       {.fd = follow->out_fd, .events = 0},
			       {.fd = follow->inotify_fd, .events = POLLIN}};

	watch(follow);
	if (found)
		follow->delay_ms = DELAY_MIN_MS;
	int n = poll(fds, 3, follow->delay_ms);
	if (n < 0 && errno != EINTR)
		return FOLLOW_INTERRUPTED;
	if (fds[0].revents)
		return FOLLOW_INTERRUPTED;
	if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		return FOLLOW_UNREAD;
	if (follow->inotify_fd >= 0 && drain(follow->inotify_fd))
		follow->delay_ms = DELAY_MIN_MS;
	else if (follow->delay_ms < DELAY_MAX_MS)
		follow->delay_ms =
			follow->delay_ms * 2 < DELAY_MAX_MS ? follow->delay_ms * 2 : DELAY_MAX_MS;
	return replaced(follow) ? FOLLOW_REPLACED : FOLLOW_LOOK;
}
