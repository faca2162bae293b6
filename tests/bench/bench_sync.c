/*
 * The disk's own limit: one 4 KB page appended to a file and fdatasync, again and again, and the
 * same with the size of a 64-event transaction. Prints JSON. Usage: bench_sync DIRECTORY SECONDS
 * BYTES
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "histogram.h"
#include "orderhook/clock.h"

#define FILE_BYTES_MAX (64 * 1024 * 1024)

int main(int argc, char **argv)
{
	const struct clock *clock = clock_system();
	static struct histogram latencies;
	char path[4096];
	int64_t seconds;
	int64_t bytes;

	if (argc != 4 || slice_to_i64(slice_of(argv[2]), 1, 60, &seconds) ||
	    slice_to_i64(slice_of(argv[3]), 1, 4 * 1024 * 1024, &bytes)) {
		fputs("Usage: bench_sync DIRECTORY SECONDS BYTES\n", stderr);
		return 2;
	}
	snprintf(path, sizeof(path), "%s/sync.bench", argv[1]);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *page = calloc(1, (size_t)bytes);
	if (fd < 0 || !page) {
		perror(path);
		return 1;
	}
	unlink(path);
	/* Blocks are there before the clock runs, as in a log that is used again from its start. */
	for (int64_t at = 0; at < FILE_BYTES_MAX; at += bytes) {
		if (pwrite(fd, page, (size_t)bytes, at) != bytes)
			return 1;
	}
	if (fsync(fd))
		return 1;
	int64_t begin_us = clock_elapsed_us(clock);
	int64_t end_us = begin_us + seconds * 1000000;
	int64_t at = 0;
	int64_t now_us = begin_us;
	while (now_us < end_us) {
		memset(page, (int)(latencies.n & 0xff), (size_t)bytes);
		if (pwrite(fd, page, (size_t)bytes, at) != bytes || fdatasync(fd)) {
			perror("bench_sync");
			return 1;
		}
		at = at + 2 * bytes > FILE_BYTES_MAX ? 0 : at + bytes;
		int64_t done_us = clock_elapsed_us(clock);
		histogram_add(&latencies, done_us - now_us);
		now_us = done_us;
	}
	printf("{\"bytes\":%lld,\"per_second\":%.1f,\"p50_us\":%lld,\"p99_us\":%lld}\n",
	       (long long)bytes, (double)latencies.n * 1e6 / (double)(now_us - begin_us),
	       (long long)histogram_percentile(&latencies, 0.50),
	       (long long)histogram_percentile(&latencies, 0.99));
	close(fd);
	free(page);
	return 0;
}
