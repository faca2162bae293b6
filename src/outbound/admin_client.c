/*
 * The request is one line and the answer ends with the connection, so that a socket and a bounded
 * buffer are the whole client. Nothing of it can be sent elsewhere: the address is the one that the
 * daemon's own configuration listens on.
 */
#include "orderhook/admin_client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "orderhook/clock.h"
#include "orderhook/config.h"
#include "orderhook/err.h"

#define ANSWER_BYTES_MAX (1024 * 1024)
#define HOST_BYTES 256

bool admin_can_ask(const char *address)
{
	struct slice text = slice_of(address);

	return text.len < 2 || strcmp(address + text.len - 2, ":0") != 0;
}

/* Waits for the socket; errno tells why not. */
static bool wait_for(int fd, short events, int64_t until_us)
{
	struct pollfd one = {.fd = fd, .events = events};
	int n;

	do {
		int64_t left_us = until_us - clock_elapsed_us(clock_system());
		n = poll(&one, 1, left_us > 0 ? (int)(left_us / 1000) + 1 : 0);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0;
}

static int connect_to(const struct sockaddr *address, socklen_t len, int64_t until_us)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int cause = 0;
	socklen_t cause_len = sizeof(cause);

	if (fd < 0)
		return -1;
	if (connect(fd, address, len) == 0)
		return fd;
	cause = errno;
	/* EAGAIN is a unix socket's full backlog. */
	if (cause == EINPROGRESS) {
		if (!wait_for(fd, POLLOUT, until_us))
			cause = errno;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &cause_len) == 0 && !cause)
			return fd;
	}
	close(fd);
	errno = cause;
	return -1;
}

static int connect_unix(const char *path, int64_t until_us)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (slice_copy(slice_of(path), address.sun_path, sizeof(address.sun_path))) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return connect_to((const struct sockaddr *)&address, sizeof(address), until_us);
}

/* An address to listen on, as one to connect to. */
static int split(const char *address, char host[HOST_BYTES], const char **ret_port)
{
	int err = config_address_split(address, host, HOST_BYTES, ret_port);

	if (err)
		return err;
	if (!host[0] || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "*") == 0)
		return slice_copy(SLICE("127.0.0.1"), host, HOST_BYTES);
	return strcmp(host, "::") == 0 ? slice_copy(SLICE("::1"), host, HOST_BYTES) : 0;
}

static int connect_any(const char *address, int64_t until_us)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char host[HOST_BYTES];
	const char *port;
	int fd = -1;

	if (slice_starts_with(slice_of(address), SLICE("unix:")))
		return connect_unix(address + strlen("unix:"), until_us);
	errno = EINVAL;
	if (split(address, host, &port) || getaddrinfo(host, port, &hints, &found))
		return -1;
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
		fd = connect_to(a->ai_addr, a->ai_addrlen, until_us);
	int cause = errno;
	freeaddrinfo(found);
	errno = cause;
	return fd;
}

/* False only when the peer did not take it in time: one that closed early may have answered. */
static bool send_all(int fd, struct slice bytes, int64_t until_us)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			if (!wait_for(fd, POLLOUT, until_us))
				return false;
		} else if (n < 0 && errno != EINTR) {
			return true;
		} else if (n > 0) {
			bytes.at += n;
			bytes.len -= (size_t)n;
		}
	}
	return true;
}

static int receive_all(int fd, int64_t until_us, struct buf *answer)
{
	char piece[4096];
	ssize_t n;
	int err;

	for (;;) {
		if (!wait_for(fd, POLLIN, until_us))
			return -ERR_SYSTEM;
		n = recv(fd, piece, sizeof(piece), 0);
		/* A peer that left some of the request unread resets after its answer. */
		if (n == 0 || (n < 0 && errno == ECONNRESET && answer->len))
			return 0;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -ERR_SYSTEM;
		if (n > 0 && (err = buf_add(answer, piece, (size_t)n)))
			return err;
	}
}

static int take_apart(struct slice answer, int *ret_status, struct slice *ret_body)
{
	static const char version[] = "HTTP/1.1 ";
	const char *end = slice_find(answer, SLICE("\r\n\r\n"));
	uint64_t status;

	if (!end || !slice_starts_with(answer, SLICE(version)) ||
	    answer.len < sizeof(version) + 3 ||
	    slice_to_u64((struct slice){answer.at + sizeof(version) - 1, 3}, 999, &status))
		return -ERR_SYNTAX;
	*ret_status = (int)status;
	end += 4;
	*ret_body = (struct slice){end, answer.len - (size_t)(end - answer.at)};
	return 0;
}

static int connect_error(void)
{
	if (errno == ENOENT || errno == ECONNREFUSED)
		return -ERR_NOT_FOUND;
	return errno == EACCES ? -ERR_CONTROL_PEER : -ERR_SYSTEM;
}

static int ask(const char *address, const struct buf *request, int64_t timeout_ms, int *ret_status,
	       struct buf *body, struct buf *problem)
{
	BUF_AUTO struct buf answer = BUF_INIT(ANSWER_BYTES_MAX);
	int64_t until_us = clock_elapsed_us(clock_system()) + timeout_ms * 1000;
	struct slice content;
	int status;
	int fd = connect_any(address, until_us);
	int err = fd < 0 ? connect_error() : 0;

	if (!err && !send_all(fd, buf_slice(request), until_us))
		err = -ERR_SYSTEM;
	if (!err)
		err = receive_all(fd, until_us, &answer);
	if (err)
		buf_add_string(problem, err == -ERR_TOO_LONG || err == -ERR_NOMEM
						? err_text(err)
						: strerror(errno));
	if (fd >= 0)
		close(fd);
	if (err)
		return err;
	err = take_apart(buf_slice(&answer), &status, &content);
	if (err) {
		buf_add_string(problem, "the answer is not HTTP");
		return err;
	}
	err = buf_add_slice(body, content);
	if (!err)
		*ret_status = status;
	return err;
}

int admin_get(const char *address, const char *path, int64_t timeout_ms, int *ret_status,
	      struct buf *body, struct buf *problem)
{
	BUF_AUTO struct buf request = BUF_INIT(1024);
	int err = buf_addf(&request,
			   "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);

	return err ? err : ask(address, &request, timeout_ms, ret_status, body, problem);
}

int admin_post(const char *address, const char *path, struct slice content, int64_t timeout_ms,
	       int *ret_status, struct buf *body, struct buf *problem)
{
	BUF_AUTO struct buf request = BUF_INIT(content.len + 1024);
	int err = buf_addf(&request,
			   "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
			   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			   path, content.len);

	if (!err)
		err = buf_add_slice(&request, content);
	return err ? err : ask(address, &request, timeout_ms, ret_status, body, problem);
}
