/*
 * For LD_PRELOAD: a disk on which every sync takes SLOW_SYNC_US microseconds longer. It gives a
 * daemon a sustainable rate that is known in advance, batch_limit callbacks in that time, however
 * fast the machine is; so ten times of it can be sent from the same machine.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int (*sync_fn)(int fd);

static int slow(const char *name, int fd)
{
	const char *text = getenv("SLOW_SYNC_US");
	long delay_us = text ? strtol(text, NULL, 10) : 0;
	struct timespec delay = {.tv_sec = delay_us / 1000000,
				 .tv_nsec = delay_us % 1000000 * 1000};
	sync_fn real;

	*(void **)&real = dlsym(RTLD_NEXT, name);
	nanosleep(&delay, NULL);
	return real ? real(fd) : -1;
}

int fdatasync(int fd)
{
	return slow("fdatasync", fd);
}

int fsync(int fd)
{
	return slow("fsync", fd);
}
