/*
 * The thread that drives libmicrohttpd. The library's own thread is woken by a system call for each
 * connection that is resumed, and looks at every connection in every round; here the writer puts
 * what is decided on a list and wakes the loop once, when it sleeps, and the library is asked only
 * for the sockets that are ready.
 *
 * The library runs in its epoll mode with no thread of its own. Its loop stalls with exactly 128,
 * 256 or 512 busy connections when it waits by itself; here it never waits: the loop sleeps in
 * poll() on the library's epoll descriptor and on its own eventfd.
 *
 * Whatever touches the library's state (resuming, taking the listening socket away) happens in this
 * thread; the others leave a word under the lock.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "http_private.h"
#include "orderhook/err.h"

static void wake(struct http_loop *loop)
{
	uint64_t one = 1;

	/* It can only fail when it has been written to 2^64 times since it was read. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void http_loop_decided(struct http_loop *loop, struct http_connection *connection)
{
	bool asleep;

	connection->next_decided = NULL;
	pthread_mutex_lock(&loop->lock);
	*loop->decided_end = connection;
	loop->decided_end = &connection->next_decided;
	asleep = loop->asleep;
	loop->asleep = false;
	pthread_mutex_unlock(&loop->lock);
	if (asleep)
		wake(loop);
}

static void resume_decided(struct http_loop *loop)
{
	struct http_connection *connection;

	pthread_mutex_lock(&loop->lock);
	connection = loop->decided;
	loop->decided = NULL;
	loop->decided_end = &loop->decided;
	pthread_mutex_unlock(&loop->lock);
	while (connection) {
		struct http_connection *next = connection->next_decided;
		MHD_resume_connection(connection->call.connection);
		connection = next;
	}
}

/* Milliseconds that the library lets us sleep; -1: for ever. */
static int library_timeout(struct http_loop *loop)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(loop->daemon, &ms) != MHD_YES)
		return -1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* False when there is something to do already. */
static bool fall_asleep(struct http_loop *loop)
{
	bool asleep;

	pthread_mutex_lock(&loop->lock);
	asleep = !loop->decided && !loop->stopping && loop->quiesced == loop->draining;
	loop->asleep = asleep;
	pthread_mutex_unlock(&loop->lock);
	return asleep;
}

static void wait_for_work(struct http_loop *loop)
{
	struct pollfd fds[2] = {{.fd = loop->wake_fd, .events = POLLIN},
				{.fd = loop->epoll_fd, .events = POLLIN}};
	int timeout_ms = library_timeout(loop);
	uint64_t woken;

	if (timeout_ms == 0 || !fall_asleep(loop))
		return;
	poll(fds, 2, timeout_ms);
	pthread_mutex_lock(&loop->lock);
	loop->asleep = false;
	pthread_mutex_unlock(&loop->lock);
	if (fds[0].revents && read(loop->wake_fd, &woken, sizeof(woken)) < 0)
		return;
}

/* What the other threads have asked for; false when the loop is to end. */
static bool heed(struct http_loop *loop)
{
	bool quiesce;
	bool stopping;

	pthread_mutex_lock(&loop->lock);
	quiesce = loop->draining && !loop->quiesced;
	stopping = loop->stopping;
	pthread_mutex_unlock(&loop->lock);
	if (quiesce) {
		MHD_quiesce_daemon(loop->daemon);
		pthread_mutex_lock(&loop->lock);
		loop->quiesced = true;
		pthread_cond_broadcast(&loop->changed);
		pthread_mutex_unlock(&loop->lock);
	}
	return !stopping;
}

static void *loop_run(void *arg)
{
	struct http_loop *loop = arg;

	pthread_setname_np(pthread_self(), "http");
	while (heed(loop)) {
		resume_decided(loop);
		loop->closed = false;
		MHD_run(loop->daemon);
		/* At its limit, or without a descriptor to accept with, the library looks away from
		 * the listening socket, and looks there again in the run after a connection ended.
		 */
		if (!loop->closed)
			wait_for_work(loop);
	}
	resume_decided(loop);
	return NULL;
}

int http_loop_init(struct http_loop *loop, struct http_server *server)
{
	*loop = (struct http_loop){.server = server};
	loop->decided_end = &loop->decided;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->changed, NULL);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return loop->wake_fd < 0 ? -ERR_SYSTEM : 0;
}

int http_loop_start(struct http_loop *loop, struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info;

	loop->daemon = daemon;
	info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -ERR_SYSTEM;
	loop->epoll_fd = info->epoll_fd;
	if (pthread_create(&loop->thread, NULL, loop_run, loop))
		return -ERR_SYSTEM;
	loop->running = true;
	return 0;
}

void http_loop_drain(struct http_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->draining = true;
	pthread_mutex_unlock(&loop->lock);
	wake(loop);
	pthread_mutex_lock(&loop->lock);
	while (loop->running && !loop->quiesced)
		pthread_cond_wait(&loop->changed, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

void http_loop_stop(struct http_loop *loop)
{
	if (loop->running) {
		pthread_mutex_lock(&loop->lock);
		loop->stopping = true;
		pthread_mutex_unlock(&loop->lock);
		wake(loop);
		pthread_join(loop->thread, NULL);
	} else if (loop->daemon) {
		MHD_quiesce_daemon(loop->daemon);
	}
	if (loop->daemon)
		MHD_stop_daemon(loop->daemon);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	pthread_cond_destroy(&loop->changed);
	pthread_mutex_destroy(&loop->lock);
}
