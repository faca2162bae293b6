/*
 * Which passed descriptor serves which listener is decided by its name alone, "http" or "admin", as
 * FileDescriptorName= in the socket units says; the order of the descriptors means nothing.
 */
#include "orderhook/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "orderhook/config.h"
#include "orderhook/err.h"

#define BACKLOG 4096

static const char *const served[] = {"http", "admin"};
#define N_SERVED (sizeof(served) / sizeof(served[0]))

static int check_name(const char *name, bool seen[N_SERVED], struct buf *problem)
{
	size_t which = 0;

	while (which < N_SERVED && strcmp(name, served[which]) != 0)
		which++;
	if (which == N_SERVED) {
		buf_addf(
			problem,
			"systemd passed a socket named \"%s\", but only \"http\" and \"admin\" are "
			"served; look at FileDescriptorName= in the .socket unit",
			name);
		return -ERR_CONFIG;
	}
	if (seen[which]) {
		buf_addf(problem,
			 "systemd passed two sockets named \"%s\", but only one would be served; "
			 "look at ListenStream= in the .socket units",
			 name);
		return -ERR_CONFIG;
	}
	seen[which] = true;
	return 0;
}

int service_check_sockets(struct buf *problem)
{
	bool seen[N_SERVED] = {false};
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names);
	int err = 0;

	for (int i = 0; i < n; i++) {
		if (!err)
			err = check_name(names[i], seen, problem);
		free(names[i]);
	}
	free(names);
	return err;
}

static int passed_socket(const char *name)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names);
	int fd = -1;

	for (int i = 0; i < n; i++) {
		if (fd < 0 && names[i] && strcmp(names[i], name) == 0)
			fd = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return fd;
}

static int say(struct buf *problem, const char *address, const char *what)
{
	buf_addf(problem, "cannot listen on %s: %s", address, what);
	return -ERR_SYSTEM;
}

/* A socket file that nobody answers behind is left over from a crash and can go. */
static int remove_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int connected;

	if (fd < 0)
		return -ERR_SYSTEM;
	connected = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
	int stale = !connected && errno == ECONNREFUSED;
	close(fd);
	return stale && unlink(address->sun_path) == 0 ? 0 : -ERR_SYSTEM;
}

/* 0 or an errno. */
static int bind_unix(int fd, const struct sockaddr_un *name)
{
	const struct sockaddr *address = (const struct sockaddr *)name;

	if (bind(fd, address, sizeof(*name)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return errno;
	if (remove_stale(name))
		return EADDRINUSE;
	return bind(fd, address, sizeof(*name)) == 0 ? 0 : errno;
}

/* Its members may connect. Where there is no such group, or it is not ours to give, the socket
 * stays our own group's. */
static void give_to(const char *path, const char *name)
{
	const struct group *group = getgrnam(name);

	if (group && chown(path, (uid_t)-1, group->gr_gid) < 0)
		return;
}

static int listen_unix(const char *address, const char *path, int64_t mode, const char *group,
		       int *ret_fd, struct buf *problem)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd;

	if (slice_copy(slice_of(path), name.sun_path, sizeof(name.sun_path)))
		return say(problem, address, "the path is longer than a socket's may be");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return say(problem, address, strerror(errno));
	/* The mode is set by the umask, so that the socket is never open to others in between. */
	mode_t mask = umask((mode_t)(~mode & 0777));
	int reason = bind_unix(fd, &name);
	umask(mask);
	if (!reason && group)
		give_to(name.sun_path, group);
	if (!reason && listen(fd, BACKLOG) < 0)
		reason = errno;
	if (reason) {
		close(fd);
		return say(problem, address,
			   reason == EADDRINUSE ? "another process listens there"
						: strerror(reason));
	}
	*ret_fd = fd;
	return 0;
}

static int bind_tcp(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		int reason = errno;
		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

static int listen_tcp(const char *address, int *ret_fd, struct buf *problem)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *info;
	const char *port;
	char host[256];
	int err;
	int fd;

	if (config_address_split(address, host, sizeof(host), &port))
		return say(problem, address, "it is not HOST:PORT");
	err = getaddrinfo(host, port, &hints, &info);
	if (err)
		return say(problem, address, gai_strerror(err));
	fd = bind_tcp(info);
	freeaddrinfo(info);
	if (fd < 0 && errno == EADDRINUSE)
		return say(problem, address,
			   "another process listens there; stop it, or change the address in the "
			   "configuration");
	if (fd < 0)
		return say(problem, address, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int service_listen(const char *name, const char *address, int64_t unix_mode, const char *group,
		   int *ret_fd, bool *ret_made, struct buf *problem)
{
	int fd = passed_socket(name);
	int err;

	if (fd >= 0) {
		if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
			buf_addf(problem,
				 "the socket that systemd passed as \"%s\" is no listening stream "
				 "socket; look at ListenStream= in the .socket unit",
				 name);
			return -ERR_CONFIG;
		}
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		*ret_fd = fd;
		*ret_made = false;
		return 0;
	}
	if (strncmp(address, "unix:", 5) == 0)
		err = listen_unix(address, address + 5, unix_mode, group, ret_fd, problem);
	else
		err = listen_tcp(address, ret_fd, problem);
	if (!err)
		*ret_made = true;
	return err;
}

int service_socket_address(int fd, struct buf *out)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	char text[INET6_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return -ERR_SYSTEM;
	if (address.ss_family == AF_UNIX)
		return buf_addf(out, "unix:%s", ((struct sockaddr_un *)&address)->sun_path);
	if (address.ss_family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		return buf_addf(out, "[%s]:%u", text, ntohs(v6->sin6_port));
	}
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
	return buf_addf(out, "%s:%u", text, ntohs(v4->sin_port));
}

void service_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void service_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	/* MONOTONIC_USEC= is what Type=notify-reload asks for; Type=notify ignores it. */
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void service_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

void service_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=draining");
}

void service_watchdog(void)
{
	sd_notify(0, "WATCHDOG=1");
}

int64_t service_watchdog_us(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)us : 0;
}
