/*
 * Who keeps the write-ahead log from being used again? A reader holds one of SQLite's five read
 * locks, bytes 123 to 127 of the shared memory file, for as long as its snapshot lives, and the
 * kernel lists the locks of every process with the inode of their file in /proc/locks. Where that
 * list is hidden nobody is named; where only other users' processes are, they have a number and no
 * name. The writer reads as well, for as long as a batch takes, and is not meant.
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

/* "" when it is hidden. */
static void name_of(long pid, char name[NAME_BYTES])
{
	char path[64];
	FILE *file;

	name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(name, NAME_BYTES, file))
		name[0] = '\0';
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

static void add_reader(long pid, struct buf *out)
{
	char name[NAME_BYTES];

	name_of(pid, name);
	buf_addf(out, "%sprocess %ld", out->len ? ", " : "", pid);
	if (name[0])
		buf_addf(out, " (%s)", name);
}

void store_log_readers_at(const char *store_path, struct buf *out)
{
	long writer = store_lock_holder(store_path);
	char path[PATH_BYTES];
	char line[256];
	struct stat shared;
	FILE *locks;

	if (snprintf(path, sizeof(path), "%s-shm", store_path) >= (int)sizeof(path) ||
	    stat(path, &shared) != 0)
		return;
	locks = fopen("/proc/locks", "re");
	if (!locks)
		return;
	while (fgets(line, sizeof(line), locks)) {
		long pid = reader_of(line, &shared);
		if (pid > 0 && pid != getpid() && pid != writer)
			add_reader(pid, out);
	}
	fclose(locks);
}

void sqlite_store_log_readers(const struct store *store, struct buf *out)
{
	store_log_readers_at(((const struct sqlite_store *)store)->path, out);
}
