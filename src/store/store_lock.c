/*
 * The lock is flock()'s: it belongs to the open file, ends with the process, and is not dropped
 * when some other descriptor of the file is closed, as POSIX record locks are. The file says who
 * holds it, in a line of fixed width, so that it is overwritten in place: "pid 4711".
 */
#include "store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/err.h"

#define LOCK_PATH_BYTES 4096
#define LOCK_MODE 0640
#define PID_FORMAT "pid %-20ld\n"
#define PID_BYTES 25
#define TEXT_BYTES 128

/* The file's text from its start; "" when it cannot be read. */
static struct slice read_text(int fd, char text[TEXT_BYTES])
{
	ssize_t n = pread(fd, text, TEXT_BYTES, 0);

	return (struct slice){text, n > 0 ? (size_t)n : 0};
}

/* The rest of the line that begins with this word, without blanks; absent when there is none. */
static struct slice line_value(struct slice text, struct slice word)
{
	struct slice line = {0};

	while (text.len) {
		const char *end = memchr(text.at, '\n', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;
		line = (struct slice){text.at, len};
		if (slice_starts_with(line, word))
			return slice_trim((struct slice){line.at + word.len, len - word.len});
		text.at += end ? len + 1 : len;
		text.len -= end ? len + 1 : len;
	}
	return (struct slice){0};
}

static void write_pid(int fd, long pid)
{
	char line[PID_BYTES + 1];
	int len = snprintf(line, sizeof(line), PID_FORMAT, pid);

	/* Only a message needs it: the lock itself is held either way. */
	if (pwrite(fd, line, (size_t)len, 0) < 0)
		return;
}

static uint64_t read_pid(int fd)
{
	char text[TEXT_BYTES];
	uint64_t pid = 0;

	slice_to_u64(line_value(read_text(fd, text), SLICE("pid ")), INT32_MAX, &pid);
	return pid;
}

static int refuse_locked(int fd, const char *path, struct buf *problem)
{
	uint64_t pid = read_pid(fd);

	if (pid)
		buf_addf(problem,
			 "process %llu writes this store and holds %s; stop it first, or name "
			 "another "
			 "store",
			 (unsigned long long)pid, path);
	else
		buf_addf(problem,
			 "another process writes this store and holds %s (`lslocks` names it); "
			 "stop it "
			 "first, or name another store",
			 path);
	return -ERR_STORE_LOCKED;
}

/* Root may come first: the file is the store's owner's all the same, or the daemon could not lock
 * it. */
static void give_to_owner(int fd, const char *store_path)
{
	struct stat store;

	if (geteuid() == 0 && stat(store_path, &store) == 0 &&
	    fchown(fd, store.st_uid, store.st_gid) != 0)
		return;
}

/* The descriptor, or an error. */
static int open_lock(const char *store_path, const char *path, struct buf *problem)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);

	if (fd < 0) {
		int reason = errno;
		buf_addf(problem,
			 "%s cannot be opened: %s; the store's directory must be writable by the "
			 "user "
			 "who runs this",
			 path, strerror(reason));
		/* Trying again does not change these. */
		return reason == EROFS || reason == EACCES || reason == EPERM ? -ERR_STORE_DENIED
									      : -ERR_STORE_IO;
	}
	give_to_owner(fd, store_path);
	return fd;
}

/* True while path names the file that fd is: somebody may have removed it before it was locked. */
static bool is_file(int fd, const char *path)
{
	struct stat of_fd;
	struct stat of_path;

	return fstat(fd, &of_fd) == 0 && stat(path, &of_path) == 0 &&
	       of_fd.st_ino == of_path.st_ino && of_fd.st_dev == of_path.st_dev;
}

int store_lock_take(const char *store_path, struct store_lock *ret, struct buf *problem)
{
	char path[LOCK_PATH_BYTES];

	if ((size_t)snprintf(path, sizeof(path), "%s.lock", store_path) >= sizeof(path)) {
		buf_add_string(problem, "the store's path is too long");
		return -ERR_STORE_IO;
	}
	for (;;) {
		int fd = open_lock(store_path, path, problem);
		if (fd < 0)
			return fd;
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			int err = errno == EWOULDBLOCK ? refuse_locked(fd, path, problem)
						       : -ERR_STORE_IO;
			if (err == -ERR_STORE_IO)
				buf_addf(problem, "%s cannot be locked: %s", path, strerror(errno));
			close(fd);
			return err;
		}
		if (is_file(fd, path)) {
			write_pid(fd, (long)getpid());
			ret->fd = fd;
			return 0;
		}
		close(fd);
	}
}

long store_lock_holder(const char *store_path)
{
	char path[LOCK_PATH_BYTES];
	uint64_t pid;
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s.lock", store_path) >= sizeof(path))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0;
	pid = read_pid(fd);
	close(fd);
	return (long)pid;
}

void store_lock_release(struct store_lock *lock)
{
	if (lock->fd < 0)
		return;
	write_pid(lock->fd, 0);
	close(lock->fd);
	lock->fd = -1;
}
