/*
 * Who keeps the write-ahead log from being used again? A reader holds one of SQLite's five read
 * locks, bytes 123 to 127 of the shared memory file, for as long as its snapshot lives, and the
 * kernel lists the locks of every process with the inode of their file in /proc/locks. A hardened
 * unit may not see that list; then nobody is named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sqlite_private.h"

#define READ_LOCKS_FIRST 123
#define READ_LOCKS_LAST 127
#define PATH_BYTES 4096
#define NAME_BYTES 64

static void name_of(long pid, char name[NAME_BYTES])
{
	char path[64];
	FILE *file;

	snprintf(name, NAME_BYTES, "?");
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(name, NAME_BYTES, file))
		snprintf(name, NAME_BYTES, "?");
	name[strcspn(name, "\n")] = '\0';
	/* A process chooses its own name, and this goes to a log. */
	for (char *c = name; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	fclose(file);
}

/* The pid of a line of /proc/locks that is a read lock on this file; 0 otherwise. */
static long reader_of(const char *line, const struct stat *file)
{
	unsigned device_major;
	unsigned device_minor;
	uint64_t inode;
	int64_t first;
	int64_t last;
	long pid;

	if (sscanf(line, "%*d: POSIX %*s READ %ld %x:%x:%" SCNu64 " %" SCNd64 " %" SCNd64, &pid,
		   &device_major, &device_minor, &inode, &first, &last) != 6)
		return 0;
	if (inode != file->st_ino || device_major != major(file->st_dev) ||
	    device_minor != minor(file->st_dev))
		return 0;
	return first <= READ_LOCKS_LAST && last >= READ_LOCKS_FIRST ? pid : 0;
}

void sqlite_store_log_readers(const struct store *base, struct buf *out)
{
	const struct sqlite_store *store = (const struct sqlite_store *)base;
	char path[PATH_BYTES];
	char line[256];
	char name[NAME_BYTES];
	struct stat shared;
	FILE *locks;

	if (!store->path ||
	    snprintf(path, sizeof(path), "%s-shm", store->path) >= (int)sizeof(path) ||
	    stat(path, &shared) != 0)
		return;
	locks = fopen("/proc/locks", "re");
	if (!locks)
		return;
	while (fgets(line, sizeof(line), locks)) {
		long pid = reader_of(line, &shared);
		if (pid <= 0 || pid == getpid())
			continue;
		name_of(pid, name);
		buf_addf(out, "%sprocess %ld (%s)", out->len ? ", " : "", pid, name);
	}
	fclose(locks);
}
