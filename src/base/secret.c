/*
 * One open file descriptor is looked at (kind, mode, size) and then read, so that what was checked
 * is what is used. Symbolic links are followed: orchestrators mount secrets as links, and the file
 * that is looked at is the one behind the link. The mode is asked of `file:` only; what is in
 * $CREDENTIALS_DIRECTORY is guarded by the directory, and systemd's own access list shows up there
 * as group bits. The bytes pass through one buffer on the stack, which is wiped.
 */
#include "orderhook/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "secret_private.h"

#define SECRET_BYTES_MIN 16
#define SECRET_BYTES_MAX 4096
#define TOKEN_BYTES_MAX 128
#define PATH_BYTES 4096
/* What SetCredential= of the units puts in the place of a file that is not there. */
#define STAND_IN "missing"

static struct slice after(struct slice text, struct slice prefix)
{
	return (struct slice){text.at + prefix.len, text.len - prefix.len};
}

const char *secret_reference_reason(struct slice text)
{
	struct slice credential = SLICE(SECRET_CREDENTIAL);
	struct slice file = SLICE(SECRET_FILE);

	if (slice_starts_with(text, file))
		return text.len > file.len ? NULL : "has no path";
	if (!slice_starts_with(text, credential))
		return "is no reference (a secret itself does not belong in this file)";
	struct slice name = after(text, credential);
	if (name.len == 0)
		return "has no name";
	/* A name stays inside the directory. */
	if (memchr(name.at, '/', name.len) || slice_equal_string(name, ".") ||
	    slice_equal_string(name, ".."))
		return "has a name that is a path";
	return NULL;
}

/* The path that a reference stands for. */
static int path_of(const char *reference, char *path, size_t cap, struct buf *problem)
{
	struct slice text = slice_of(reference);
	struct slice credential = SLICE(SECRET_CREDENTIAL);
	const char *reason = secret_reference_reason(text);
	const char *directory;

	if (reason) {
		buf_addf(problem, "the reference %s; allowed: credential:NAME or file:PATH",
			 reason);
		return -ERR_SECRET_FORM;
	}
	if (!slice_starts_with(text, credential))
		return slice_copy(after(text, SLICE(SECRET_FILE)), path, cap);
	directory = getenv("CREDENTIALS_DIRECTORY");
	if (!directory || !directory[0]) {
		buf_addf(problem,
			 "%s: $CREDENTIALS_DIRECTORY is not set, it exists only inside the unit; "
			 "start the "
			 "daemon with systemctl, its unit having LoadCredential=%s:FILE, or write "
			 "file:PATH",
			 reference, reference + credential.len);
		return -ERR_SECRET_MISSING;
	}
	struct slice parts[] = {slice_of(directory), SLICE("/"), after(text, credential)};
	size_t len = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (slice_copy(parts[i], path + len, cap - len))
			return -ERR_TOO_LONG;
		len += parts[i].len;
	}
	return 0;
}

static int fail_open(const char *reference, const char *path, int reason, struct buf *problem)
{
	bool credential = strncmp(reference, SECRET_CREDENTIAL, strlen(SECRET_CREDENTIAL)) == 0;

	if (reason == ENOENT && credential)
		buf_addf(
			problem,
			"%s: there is no %s; add LoadCredential=%s:FILE to the unit and restart it",
			reference, path, reference + strlen(SECRET_CREDENTIAL));
	else if (reason == ENOENT)
		buf_addf(problem, "there is no file %s; make it, or change the configuration",
			 path);
	else
		buf_addf(problem,
			 "%s cannot be opened: %s; ls -l %s shows whose it is, and it must be the "
			 "daemon's",
			 path, strerror(reason), path);
	return -ERR_SECRET_MISSING;
}

static int check_file(int fd, const char *path, bool check_mode, struct buf *problem)
{
	struct stat status;

	if (fstat(fd, &status) < 0) {
		buf_addf(problem, "%s cannot be looked at: %s", path, strerror(errno));
		return -ERR_SECRET_MISSING;
	}
	if (!S_ISREG(status.st_mode)) {
		buf_addf(problem, "%s is not a regular file; ls -l %s shows what it is", path,
			 path);
		return -ERR_SECRET_FORM;
	}
	/* Who can write it could put a token of his own there. */
	if (check_mode && (status.st_mode & (S_IRWXG | S_IRWXO))) {
		buf_addf(problem, "%s is open to its group or to others (mode %04o); chmod 600 %s",
			 path, (unsigned)status.st_mode & 07777, path);
		return -ERR_SECRET_MODE;
	}
	return 0;
}

/* Up to cap bytes. */
static int read_all(int fd, char *out, size_t cap, size_t *ret_len)
{
	size_t len = 0;

	while (len < cap) {
		ssize_t n = read(fd, out + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -ERR_SYSTEM;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static bool token_byte(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._~-", c));
}

static int check_form(struct slice text, enum secret_kind kind, const char *path,
		      struct buf *problem)
{
	size_t most = kind == SECRET_TOKEN ? TOKEN_BYTES_MAX : SECRET_BYTES_MAX;

	if (text.len < SECRET_BYTES_MIN || text.len > most) {
		buf_addf(problem, "%s has %s; a %s has %d to %zu bytes", path,
			 text.len == 0                 ? "nothing in it"
			 : text.len < SECRET_BYTES_MIN ? "too few bytes"
						       : "too many bytes",
			 kind == SECRET_TOKEN ? "token" : "secret", SECRET_BYTES_MIN, most);
		return -ERR_SECRET_FORM;
	}
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		if (kind == SECRET_TOKEN && !token_byte(c)) {
			buf_addf(problem,
				 "%s has a byte that no token has; allowed: A-Z a-z 0-9 . _ ~ -",
				 path);
			return -ERR_SECRET_FORM;
		}
		if (c < ' ' || c == 0x7f) {
			buf_addf(problem,
				 "%s has a control character, such as a second line or a carriage "
				 "return; "
				 "write it with printf %%s, as one line",
				 path);
			return -ERR_SECRET_FORM;
		}
	}
	return 0;
}

static int fail_stand_in(const char *reference, struct buf *problem)
{
	const char *name = reference + strlen(SECRET_CREDENTIAL);

	buf_addf(problem,
		 "%s: its file is not there; make the one that LoadCredential=%s: of the unit "
		 "names, "
		 "then `systemctl restart` the unit",
		 reference, name);
	return -ERR_SECRET_MISSING;
}

/* From an open file into a fresh copy. */
static int load(int fd, const char *reference, enum secret_kind kind, const char *path,
		struct secret *ret, struct buf *problem)
{
	/* One for the newline, one to see that there is more. */
	char bytes[SECRET_BYTES_MAX + 2];
	size_t len;
	int err = read_all(fd, bytes, sizeof(bytes), &len);

	if (err) {
		buf_addf(problem, "%s cannot be read: %s", path, strerror(errno));
		explicit_bzero(bytes, sizeof(bytes)); /* what came before it failed */
		return -ERR_SECRET_MISSING;
	}
	if (len && bytes[len - 1] == '\n')
		len--;
	if (strncmp(reference, SECRET_CREDENTIAL, strlen(SECRET_CREDENTIAL)) == 0 &&
	    slice_equal_string((struct slice){bytes, len}, STAND_IN))
		return fail_stand_in(reference, problem);
	err = check_form((struct slice){bytes, len}, kind, path, problem);
	char *copy = err ? NULL : malloc(len + 1);
	if (copy) {
		memcpy(copy, bytes, len);
		copy[len] = '\0';
		*ret = (struct secret){copy, len};
	} else if (!err) {
		err = -ERR_NOMEM;
	}
	explicit_bzero(bytes, sizeof(bytes));
	return err;
}

int secret_load(const char *reference, enum secret_kind kind, struct secret *ret,
		struct buf *problem)
{
	bool file = strncmp(reference, SECRET_FILE, strlen(SECRET_FILE)) == 0;
	char path[PATH_BYTES];
	int err = path_of(reference, path, sizeof(path), problem);
	int fd;

	if (err == -ERR_TOO_LONG) {
		buf_add_string(problem, "the path of a token or secret is longer than 4095 bytes");
		return -ERR_SECRET_MISSING;
	}
	if (err)
		return err;
	/* O_NONBLOCK: a FIFO in its place must not hang the start. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return fail_open(reference, path, errno, problem);
	err = check_file(fd, path, file, problem);
	if (!err)
		err = load(fd, reference, kind, path, ret, problem);
	close(fd);
	return err;
}

void secret_release(struct secret *secret)
{
	if (!secret)
		return;
	if (secret->bytes)
		explicit_bzero(secret->bytes, secret->len);
	free(secret->bytes);
	*secret = (struct secret){NULL, 0};
}

int secret_guard_process(void)
{
	const struct rlimit none = {0, 0};

	/* Either would do for a core file; the limit is what an operator finds in /proc. */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -ERR_SYSTEM;
	return 0;
}
