/*
 * The gathered output. It is written in pieces that a pipe takes without blocking whenever somebody
 * waits on interrupt_fd, so that a reader who has stopped reading does not make Ctrl-C useless.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "print_private.h"

#define OUT_LIMIT_BYTES (256U * 1024 * 1024)
#define OUT_FLUSH_BYTES (64U * 1024)
#define PIPE_PIECE_BYTES 4096U /* PIPE_BUF: what POLLOUT promises room for */
#define FALLBACK_WIDTH 80

static size_t terminal_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t value;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	if (columns && slice_to_u64(slice_of(columns), 10000, &value) == 0 && value > 0)
		return (size_t)value;
	return FALLBACK_WIDTH;
}

void out_init(struct out *out, int fd)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	*out = (struct out){.buf = BUF_INIT(OUT_LIMIT_BYTES), .fd = fd, .interrupt_fd = -1};
	out->tty = fd >= 0 && isatty(fd);
	if (!out->tty)
		return;
	out->width = terminal_width(fd);
	out->colour = !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
}

void out_release(struct out *out)
{
	if (out)
		buf_release(&out->buf);
}

/* Waits until a piece can be written. False when the output was given up meanwhile. */
static bool wait_writable(struct out *out)
{
	struct pollfd fds[] = {{.fd = out->fd, .events = POLLOUT},
			       {.fd = out->interrupt_fd, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0) {
		if (errno != EINTR)
			return true; /* the write will tell */
	}
	return fds[1].revents == 0;
}

static void write_all(struct out *out)
{
	size_t done = 0;

	while (done < out->buf.len && !out->error) {
		size_t piece = out->buf.len - done;
		if (out->interrupt_fd >= 0) {
			piece = piece < PIPE_PIECE_BYTES ? piece : PIPE_PIECE_BYTES;
			if (!wait_writable(out)) {
				out->error = ECANCELED;
				return;
			}
		}
		ssize_t n = write(out->fd, out->buf.data + done, piece);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR && errno != EAGAIN)
			out->error = errno;
	}
}

int out_flush(struct out *out)
{
	if (out->fd >= 0) {
		write_all(out);
		buf_reset(&out->buf);
	}
	return out->error ? -1 : 0;
}

static void after_add(struct out *out, int err)
{
	if (err && !out->error)
		out->error = err == -ERR_TOO_LONG ? EFBIG : ENOMEM;
	if (out->fd >= 0 && out->buf.len >= OUT_FLUSH_BYTES)
		out_flush(out);
}

void out_bytes(struct out *out, const void *bytes, size_t len)
{
	if (!out->error)
		after_add(out, buf_add(&out->buf, bytes, len));
}

void out_string(struct out *out, const char *string)
{
	out_bytes(out, string, strlen(string));
}

void out_char(struct out *out, char c)
{
	out_bytes(out, &c, 1);
}

void out_f(struct out *out, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		after_add(out, -ERR_NOMEM);
		return;
	}
	out_bytes(out, text, (size_t)len);
	free(text);
}

const char *style_begin(const struct out *out, enum print_style style)
{
	static const char *const codes[STYLE_MAX] = {[STYLE_PLAIN] = "",
						     [STYLE_HEADING] = "\033[1m",
						     [STYLE_QUIET] = "\033[2m",
						     [STYLE_NOTICE] = "\033[33m",
						     [STYLE_ALARM] = "\033[1;31m"};

	return out->colour ? codes[style] : "";
}

const char *style_end(const struct out *out, enum print_style style)
{
	return out->colour && style != STYLE_PLAIN ? "\033[0m" : "";
}
