/* The bar gets what the words leave of the line, and goes first when the terminal is narrow. */
#include "progress_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "orderhook/clock.h"

#define DRAW_US 100000
#define BAR_MIN 10
#define BAR_MAX 40
#define LINE_BYTES_MAX 1024
#define CLEAR "\r\033[K"

void progress_begin(struct progress *progress, int fd)
{
	const char *term = getenv("TERM");
	bool able = isatty(fd) && term && strcmp(term, "dumb") != 0;

	*progress = (struct progress){.fd = able ? fd : -1,
				      .began_us = clock_elapsed_us(clock_system())};
}

static size_t columns(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

static int add_words(struct buf *out, uint64_t done, uint64_t total, int64_t elapsed_us,
		     const char *rest)
{
	uint64_t percent = total ? done * 100 / total : 100;
	int err = buf_addf(out, "%3llu%% %llu/%llu", (unsigned long long)percent,
			   (unsigned long long)done, (unsigned long long)total);

	if (!err && rest[0])
		err = buf_addf(out, "  %s", rest);
	/* A guess from the first second would jump about. */
	if (!err && done && done < total && elapsed_us > 1000000) {
		double left_s = (double)elapsed_us / 1e6 / (double)done * (double)(total - done);
		long long left = left_s < 3600 * 99 ? (long long)left_s : 3600 * 99;
		err = buf_addf(out, "  %lld:%02lld left", left / 60, left % 60);
	}
	return err;
}

int progress_line(struct buf *out, size_t width, uint64_t done, uint64_t total, int64_t elapsed_us,
		  const char *rest)
{
	BUF_AUTO struct buf words = BUF_INIT(LINE_BYTES_MAX);
	int err = add_words(&words, done, total, elapsed_us, rest);
	size_t bar = 0;
	size_t full;

	/* The words are ASCII: bytes are columns. */
	if (words.len > width)
		words.len = width;
	if (width >= words.len + BAR_MIN + 3)
		bar = width - words.len - 3 < BAR_MAX ? width - words.len - 3 : BAR_MAX;
	full = total ? (size_t)(done * bar / total) : bar;
	if (!err && bar)
		err = buf_add_char(out, '[');
	for (size_t i = 0; !err && i < bar; i++)
		err = buf_add_char(out, i < full ? '#' : '.');
	if (!err && bar)
		err = buf_add_string(out, "] ");
	return err ? err : buf_add_slice(out, buf_slice(&words));
}

static void put(int fd, const char *bytes, size_t len)
{
	/* A bar that cannot be drawn is no reason to stop. */
	if (write(fd, bytes, len) < 0)
		return;
}

void progress_show(struct progress *progress, uint64_t done, uint64_t total, const char *rest)
{
	BUF_AUTO struct buf line = BUF_INIT(LINE_BYTES_MAX);
	int64_t now = clock_elapsed_us(clock_system());

	if (progress->fd < 0 || (progress->drawn && now - progress->drawn_us < DRAW_US))
		return;
	/* The last column stays free: some terminals wrap there. */
	if (buf_add_string(&line, CLEAR) || progress_line(&line, columns(progress->fd) - 1, done,
							  total, now - progress->began_us, rest))
		return;
	put(progress->fd, line.data, line.len);
	progress->drawn = true;
	progress->drawn_us = now;
}

void progress_clear(struct progress *progress)
{
	if (progress->drawn)
		put(progress->fd, CLEAR, strlen(CLEAR));
	progress->drawn = false;
}
