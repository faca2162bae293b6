/*
 * Files. The daemon's user is not known here, but the directory of the store is its own: what has
 * another owner in it was made by another hand, and the daemon cannot write it.
 */
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "doctor_private.h"

#define PATH_BYTES 4096
#define NEXT_BYTES (2 * PATH_BYTES + 64)
#define UNIX_PREFIX "unix:"

void doctor_mode(const char *kind, const char *path, mode_t refused, const char *mend,
		 struct findings *findings)
{
	char next[NEXT_BYTES];
	struct stat st;

	snprintf(next, sizeof(next), "chmod %s %s", mend, path);
	if (stat(path, &st) == 0 && (st.st_mode & refused))
		findings_add(findings, kind, path, 0, next, "its mode is %04o: %s",
			     (unsigned)(st.st_mode & 07777),
			     refused & S_IROTH ? "others can read it" : "others can change it");
}

static void check_owner(const char *path, const char *directory, const struct stat *owner,
			struct findings *findings)
{
	char next[NEXT_BYTES];
	struct stat st;

	if (stat(path, &st) != 0 || st.st_uid == owner->st_uid)
		return;
	snprintf(next, sizeof(next), "chown --reference=%s %s", directory, path);
	findings_add(findings, "store", path, 0, next,
		     "it belongs to the user %ld and its directory to %ld, whose daemon cannot "
		     "write it",
		     (long)st.st_uid, (long)owner->st_uid);
}

void doctor_store_files(const char *store_path, struct findings *findings)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".head"};
	char copy[PATH_BYTES];
	char next[NEXT_BYTES];
	struct statvfs fs;
	struct stat owner;

	if (slice_copy(slice_of(store_path), copy, sizeof(copy)))
		return;
	const char *directory = dirname(copy);
	/* That it cannot be looked at is told with the room on the disk. */
	if (stat(directory, &owner) != 0)
		return;
	doctor_mode("store", directory, S_IWOTH, "o-w", findings);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char path[PATH_BYTES + 8];
		snprintf(path, sizeof(path), "%s%s", store_path, suffixes[i]);
		doctor_mode("store", path, S_IROTH | S_IWOTH, "o-rwx", findings);
		check_owner(path, directory, &owner, findings);
	}
	snprintf(next, sizeof(next), "mount -o remount,rw %s", directory);
	if (statvfs(directory, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		findings_add(findings, "disk", directory, 0, next,
			     "its file system is mounted read-only");
}

static void check_socket(const char *address, const char *what, struct findings *findings)
{
	const char *path = address + strlen(UNIX_PREFIX);
	char next[NEXT_BYTES];
	struct stat st;

	if (!slice_starts_with(slice_of(address), SLICE(UNIX_PREFIX)) || stat(path, &st) != 0)
		return;
	snprintf(next, sizeof(next), "chmod o-rw %s", path);
	if (!S_ISSOCK(st.st_mode))
		findings_add(findings, "socket", path, 0, "ls -l", "it is no socket");
	else if (st.st_mode & S_IWOTH)
		findings_add(findings, "socket", path, 0, next,
			     "its mode is %04o: every user of this host %s (see unix_mode)",
			     (unsigned)(st.st_mode & 07777), what);
}

void doctor_sockets(const struct config *config, struct findings *findings)
{
	check_socket(config->server.listen, "can send callbacks", findings);
	check_socket(config->server.admin_listen, "can ask the daemon", findings);
}
