/*
 * The system calls of this program, put before those of the C library: what they are asked about
 * DISK_DIRECTORY happens on the disk in use, everything else goes on to the kernel. The program's
 * own symbols come first for libsqlite3 as well, so nothing has to be registered with it.
 *
 * One process has the disk, so every lock is granted. Random bytes come from a seed: a run is the
 * same whenever it is made again.
 */
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crash_disk.h"

#define FD_BASE 1000000
#define FDS 64
#define FILE_MODE (S_IFREG | 0640)

enum fd_kind {
	FD_FREE = 0,
	FD_FILE,
	FD_DIRECTORY,
	FD_RANDOM
};

static struct {
	enum fd_kind kind;
	int file;
} fds[FDS];

static struct disk *disk;
static struct rng random_bytes;

void disk_use(struct disk *next, uint64_t seed)
{
	disk = next;
	random_bytes.state = seed;
}

int disk_open_files(void)
{
	int n = 0;

	for (int i = 0; i < FDS; i++)
		n += fds[i].kind != FD_FREE;
	return n;
}

/* ------------------------------------------------------------------ helpers ------------ */

/* The file's name, "" for the directory itself, NULL for a path that is none of ours. */
static const char *name_of(const char *path)
{
	static const size_t len = sizeof(DISK_DIRECTORY) - 1;

	if (!disk || strncmp(path, DISK_DIRECTORY, len) != 0)
		return NULL;
	if (path[len] == '\0')
		return "";
	return path[len] == '/' ? path + len + 1 : NULL;
}

static bool is_ours(int fd)
{
	return fd >= FD_BASE && fd < FD_BASE + FDS && fds[fd - FD_BASE].kind != FD_FREE;
}

static int file_of(int fd)
{
	return fds[fd - FD_BASE].kind == FD_FILE ? fds[fd - FD_BASE].file : -1;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static int new_fd(enum fd_kind kind, int file)
{
	for (int i = 0; i < FDS; i++) {
		if (fds[i].kind != FD_FREE)
			continue;
		fds[i].kind = kind;
		fds[i].file = file;
		return FD_BASE + i;
	}
	return fail(EMFILE);
}

/* True once: when this is the call that fails; synced: the file that it is to sync, NULL for
 * another call. */
static bool must_fail(const char *synced)
{
	const struct failing *failing = &disk->failing;

	if (disk->failed || disk->n_ops < failing->from)
		return false;
	if (failing->sync_of && (!synced || strcmp(synced, failing->sync_of) != 0))
		return false;
	disk->failed = true;
	errno = failing->error;
	return true;
}

static void fill_random(void *bytes, size_t len)
{
	uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)rng_next(&random_bytes);
}

/* ------------------------------------------------------------------ opening ------------ */

static int open_ours(const char *name, int flags)
{
	int file;

	if (!name[0])
		return new_fd(FD_DIRECTORY, -1);
	file = disk_find(&disk->now, name);
	if (file >= 0 && (flags & O_CREAT) && (flags & O_EXCL))
		return fail(EEXIST);
	if (file < 0) {
		if (!(flags & O_CREAT))
			return fail(ENOENT);
		if (must_fail(NULL))
			return -1;
		file = disk_create(disk, name);
		if (file < 0)
			return fail(ENFILE);
	}
	return new_fd(FD_FILE, file);
}

static int open_any(const char *path, int flags, mode_t mode)
{
	const char *name = name_of(path);

	if (name)
		return open_ours(name, flags);
	if (disk && strcmp(path, "/dev/urandom") == 0)
		return new_fd(FD_RANDOM, -1);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_any(path, flags, mode);
}

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return open_any(path, flags, 0);
}

int close(int fd)
{
	if (!is_ours(fd))
		return (int)syscall(SYS_close, fd);
	fds[fd - FD_BASE].kind = FD_FREE;
	return 0;
}

int unlink(const char *path)
{
	const char *name = name_of(path);

	if (!name)
		return (int)syscall(SYS_unlink, path);
	if (disk_find(&disk->now, name) < 0)
		return fail(ENOENT);
	if (must_fail(NULL))
		return -1;
	disk_remove(disk, name);
	return 0;
}

int access(const char *path, int mode)
{
	const char *name = name_of(path);

	if (!name)
		return (int)syscall(SYS_access, path, mode);
	return !name[0] || disk_find(&disk->now, name) >= 0 ? 0 : fail(ENOENT);
}

/* ------------------------------------------------------------------ what a file is ----- */

static bool has_name(int file)
{
	for (int i = 0; i < DISK_NAMES; i++) {
		if (disk->now.names[i].name[0] && disk->now.names[i].file == file)
			return true;
	}
	return false;
}

static void describe(int file, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_dev = disk->serial;
	ret->st_ino = (ino_t)(file + 2);
	ret->st_mode = file < 0 ? S_IFDIR | 0750 : FILE_MODE;
	ret->st_nlink = file < 0 || has_name(file);
	ret->st_uid = geteuid();
	ret->st_gid = getegid();
	if (file < 0)
		return;
	ret->st_size = (off_t)disk->now.files[file].len;
	ret->st_blksize = 4096;
	ret->st_blocks = (ret->st_size + 511) / 512;
}

static int stat_path(const char *path, struct stat *ret, int flags)
{
	const char *name = name_of(path);
	int file = -1;

	if (!name)
		return (int)syscall(SYS_newfstatat, AT_FDCWD, path, ret, flags);
	if (name[0]) {
		file = disk_find(&disk->now, name);
		if (file < 0)
			return fail(ENOENT);
	}
	describe(file, ret);
	return 0;
}

static int stat_fd(int fd, struct stat *ret)
{
	if (!is_ours(fd))
		return (int)syscall(SYS_fstat, fd, ret);
	describe(file_of(fd), ret);
	return 0;
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout, so one body serves both");

int stat(const char *restrict path, struct stat *restrict ret)
{
	return stat_path(path, ret, 0);
}

int stat64(const char *restrict path, struct stat64 *restrict ret)
{
	return stat_path(path, (struct stat *)ret, 0);
}

int lstat(const char *restrict path, struct stat *restrict ret)
{
	return stat_path(path, ret, AT_SYMLINK_NOFOLLOW);
}

int lstat64(const char *restrict path, struct stat64 *restrict ret)
{
	return stat_path(path, (struct stat *)ret, AT_SYMLINK_NOFOLLOW);
}

int fstat(int fd, struct stat *ret)
{
	return stat_fd(fd, ret);
}

int fstat64(int fd, struct stat64 *ret)
{
	return stat_fd(fd, (struct stat *)ret);
}

int fchmod(int fd, mode_t mode)
{
	return is_ours(fd) ? 0 : (int)syscall(SYS_fchmod, fd, mode);
}

int fchown(int fd, uid_t owner, gid_t group)
{
	return is_ours(fd) ? 0 : (int)syscall(SYS_fchown, fd, owner, group);
}

/* ------------------------------------------------------------------ locks -------------- */

int fcntl64(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (!is_ours(fd))
		return (int)syscall(SYS_fcntl, fd, command, argument);
	if (command == F_GETLK)
		((struct flock *)argument)->l_type = F_UNLCK;
	return 0;
}

int flock(int fd, int operation)
{
	return is_ours(fd) ? 0 : (int)syscall(SYS_flock, fd, operation);
}

/* ------------------------------------------------------------------ contents ----------- */

static ssize_t read_any(int fd, void *to, size_t len, off_t offset)
{
	const struct file_bytes *file;
	size_t n;

	if (!is_ours(fd))
		return syscall(SYS_pread64, fd, to, len, offset);
	file = &disk->now.files[file_of(fd)];
	if (offset < 0 || (size_t)offset >= file->len)
		return 0;
	n = file->len - (size_t)offset < len ? file->len - (size_t)offset : len;
	memcpy(to, file->at + offset, n);
	return (ssize_t)n;
}

ssize_t pread(int fd, void *to, size_t len, off_t offset)
{
	return read_any(fd, to, len, offset);
}

ssize_t pread64(int fd, void *to, size_t len, off64_t offset)
{
	return read_any(fd, to, len, offset);
}

ssize_t __pread_chk(int fd, void *to, size_t len, off_t offset, size_t size);
ssize_t __pread_chk(int fd, void *to, size_t len, off_t offset, size_t size)
{
	(void)size;
	return read_any(fd, to, len, offset);
}

ssize_t read(int fd, void *to, size_t len)
{
	if (!is_ours(fd) || fds[fd - FD_BASE].kind != FD_RANDOM)
		return syscall(SYS_read, fd, to, len);
	fill_random(to, len);
	return (ssize_t)len;
}

ssize_t getrandom(void *to, size_t len, unsigned int flags)
{
	if (!disk)
		return syscall(SYS_getrandom, to, len, flags);
	fill_random(to, len);
	return (ssize_t)len;
}

static ssize_t write_any(int fd, const void *from, size_t len, off_t offset)
{
	if (!is_ours(fd))
		return syscall(SYS_pwrite64, fd, from, len, offset);
	if (must_fail(NULL))
		return -1;
	disk_write(disk, file_of(fd), (size_t)offset, from, len);
	return (ssize_t)len;
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t offset)
{
	return write_any(fd, from, len, offset);
}

ssize_t pwrite64(int fd, const void *from, size_t len, off64_t offset)
{
	return write_any(fd, from, len, offset);
}

static int truncate_any(int fd, off_t len)
{
	if (!is_ours(fd))
		return (int)syscall(SYS_ftruncate, fd, len);
	if (must_fail(NULL))
		return -1;
	disk_truncate(disk, file_of(fd), (size_t)len);
	return 0;
}

int ftruncate(int fd, off_t len)
{
	return truncate_any(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
	return truncate_any(fd, len);
}

static int sync_ours(int fd)
{
	bool failed = must_fail(disk_name_of(disk, file_of(fd)));

	disk_sync(disk, file_of(fd), failed);
	return failed ? -1 : 0;
}

int fsync(int fd)
{
	return is_ours(fd) ? sync_ours(fd) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return is_ours(fd) ? sync_ours(fd) : (int)syscall(SYS_fdatasync, fd);
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset)
{
	if (!is_ours(fd))
		return (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
	if ((size_t)offset + len > DISK_MAPPED_BYTES)
		return errno = ENOMEM, MAP_FAILED;
	disk_map(disk, file_of(fd));
	return disk->now.files[file_of(fd)].at + offset;
}

int munmap(void *at, size_t len)
{
	/* A map of ours is the file's own memory, which goes with the disk. */
	if (disk) {
		for (int i = 0; i < disk->n_files; i++) {
			const struct file_bytes *file = &disk->now.files[i];
			if (disk->mapped[i] && (uint8_t *)at >= file->at &&
			    (uint8_t *)at < file->at + file->cap)
				return 0;
		}
	}
	return (int)syscall(SYS_munmap, at, len);
}
