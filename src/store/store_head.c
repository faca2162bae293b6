/*
 * Two slots of a sector each. What was synced last stays as it is: until the next sync every word
 * goes into the other slot, so that a power loss leaves a whole one. A slot is
 *
 *     magic 8 · store id 32 · newest event 8 · first event vouched for 8 · link 32 · checksum 8
 *
 * with big-endian numbers; the checksum is the beginning of the SHA-256 of what stands before it.
 * Whichever whole slot has the newer event holds.
 *
 * It is written after COMMIT has returned, so it never names what is not on disk; when it was not
 * written, or not synced, it names an older event of the same chain, which holds as well.
 */
#include "store_head.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/err.h"

#define PATH_BYTES 4096
#define HEAD_MODE 0640
#define SLOTS 2
#define SLOT_BYTES 512
#define CHECKSUM_BYTES 8
#define ID_AT 8
#define EVENT_AT 40
#define SINCE_AT 48
#define LINK_AT 56
#define CHECKSUM_AT 88

static const char magic[] = "ordhead1";

static void put_number(uint8_t *at, int64_t value)
{
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
}

static int64_t get_number(const uint8_t *at)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return (int64_t)value;
}

static int checksum(const uint8_t slot[SLOT_BYTES], uint8_t ret[CHAIN_BYTES])
{
	const struct slice bytes = {(const char *)slot, CHECKSUM_AT};

	return digest_sha256(&bytes, 1, ret);
}

static int encode(const struct store_head *head, uint8_t slot[SLOT_BYTES])
{
	uint8_t sum[CHAIN_BYTES];

	memset(slot, 0, SLOT_BYTES);
	memcpy(slot, magic, ID_AT);
	memcpy(slot + ID_AT, head->store_id, STORE_ID_BYTES - 1);
	put_number(slot + EVENT_AT, head->event_id);
	put_number(slot + SINCE_AT, head->since_event_id);
	memcpy(slot + LINK_AT, head->link, CHAIN_BYTES);
	if (checksum(slot, sum))
		return -ERR_INTERNAL;
	memcpy(slot + CHECKSUM_AT, sum, CHECKSUM_BYTES);
	return 0;
}

/* 1: a whole one, 0: not, or an error, which says nothing about the slot. */
static int decode(const uint8_t slot[SLOT_BYTES], struct store_head *ret)
{
	uint8_t sum[CHAIN_BYTES];
	int err;

	if (memcmp(slot, magic, ID_AT) != 0)
		return 0;
	err = checksum(slot, sum);
	if (err)
		return err;
	if (memcmp(slot + CHECKSUM_AT, sum, CHECKSUM_BYTES) != 0)
		return 0;
	memcpy(ret->store_id, slot + ID_AT, STORE_ID_BYTES - 1);
	ret->store_id[STORE_ID_BYTES - 1] = '\0';
	ret->event_id = get_number(slot + EVENT_AT);
	ret->since_event_id = get_number(slot + SINCE_AT);
	memcpy(ret->link, slot + LINK_AT, CHAIN_BYTES);
	return 1;
}

/* The slot that holds. -ERR_STORE_CORRUPT when neither is whole; -ERR_STORE_IO with errno, and
 * errors of hashing, when they cannot be looked at. */
static int read_slots(int fd, struct store_head *ret)
{
	uint8_t bytes[SLOTS * SLOT_BYTES] = {0};
	struct store_head head;
	int found = -ERR_STORE_CORRUPT;

	if (pread(fd, bytes, sizeof(bytes), 0) < 0)
		return -ERR_STORE_IO;
	for (int i = 0; i < SLOTS; i++) {
		int whole = decode(bytes + i * SLOT_BYTES, &head);
		if (whole < 0)
			return whole;
		if (!whole || (found >= 0 && head.event_id <= ret->event_id))
			continue;
		*ret = head;
		found = i;
	}
	return found;
}

static int path_of(const char *store_path, char out[PATH_BYTES])
{
	int len = snprintf(out, PATH_BYTES, "%s.head", store_path);

	return len < 0 || len >= PATH_BYTES ? -ERR_STORE_IO : 0;
}

int store_head_read(const char *store_path, struct store_head *ret)
{
	char path[PATH_BYTES];
	struct store_head head;
	int cause;
	int slot;
	int fd;

	errno = ENAMETOOLONG;
	if (path_of(store_path, path))
		return -ERR_STORE_IO;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? -ERR_NOT_FOUND : -ERR_STORE_IO;
	slot = read_slots(fd, &head);
	cause = errno;
	close(fd);
	errno = cause;
	if (slot < 0)
		return slot;
	*ret = head;
	return 0;
}

/* Root may come first: the file is the store's owner's all the same. */
static void give_to_owner(int fd, const char *store_path)
{
	struct stat store;

	if (geteuid() == 0 && stat(store_path, &store) == 0 &&
	    fchown(fd, store.st_uid, store.st_gid) != 0)
		return;
}

/* The descriptor, made empty when it is anew, with what it says on disk; -1 with errno. */
static int open_synced(const char *store_path, bool anew)
{
	char path[PATH_BYTES];
	int fd = -1;

	errno = ENAMETOOLONG;
	if (path_of(store_path, path) == 0)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, HEAD_MODE);
	if (fd < 0)
		return -1;
	/* The newest word may be of a process that was killed before it synced it; the other slot
	 * is written next. */
	if ((anew && ftruncate(fd, 0) != 0) || fdatasync(fd) != 0) {
		int cause = errno;
		close(fd);
		errno = cause;
		return -1;
	}
	return fd;
}

int store_head_open(const char *store_path, bool anew, struct store_head_file *ret,
		    struct buf *problem)
{
	struct store_head head = {.event_id = -1};
	int fd = open_synced(store_path, anew);
	int slot = fd >= 0 ? read_slots(fd, &head) : -ERR_STORE_IO;

	if (slot < 0 && slot != -ERR_STORE_CORRUPT) {
		buf_addf(problem, "%s.head cannot be opened: %s; the daemon's user must own it",
			 store_path, slot == -ERR_STORE_IO ? strerror(errno) : err_text(slot));
		if (fd >= 0)
			close(fd);
		return slot;
	}
	give_to_owner(fd, store_path);
	*ret = (struct store_head_file){.fd = fd, .slot = slot == 0 ? 1 : 0};
	return 0;
}

void store_head_write(struct store_head_file *file, const struct store_head *head)
{
	uint8_t slot[SLOT_BYTES];

	if (encode(head, slot))
		return;
	file->dirty = true;
	file->errno_of_write = 0;
	if (pwrite(file->fd, slot, sizeof(slot), file->slot * SLOT_BYTES) < 0)
		file->errno_of_write = errno;
}

/* What a failed sync was about may be shown by the kernel and not be on disk: the next start must
 * not take it for the one that was synced last, and write over that. */
static void forget_slot(struct store_head_file *file)
{
	static const uint8_t nothing[SLOT_BYTES];
	int cause = errno;

	/* It is no worse than before when this fails, too. */
	if (pwrite(file->fd, nothing, sizeof(nothing), file->slot * SLOT_BYTES) < 0)
		file->errno_of_write = errno;
	errno = cause;
}

int store_head_sync(struct store_head_file *file)
{
	int cause = file->errno_of_write;

	if (file->fd < 0 || !file->dirty)
		return 0;
	/* A full disk passes, and the word before this one holds. */
	if (cause == ENOSPC || cause == EDQUOT)
		return 0;
	errno = cause;
	if (cause || fdatasync(file->fd) != 0) {
		forget_slot(file);
		return -ERR_STORE_IO;
	}
	file->slot = !file->slot;
	file->dirty = false;
	return 0;
}

bool store_head_is_there(const struct store_head_file *file, const char *store_path)
{
	char path[PATH_BYTES];
	struct stat opened;
	struct stat named;

	return path_of(store_path, path) == 0 && fstat(file->fd, &opened) == 0 &&
	       stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
	       opened.st_dev == named.st_dev;
}

void store_head_close(struct store_head_file *file)
{
	if (file->fd < 0)
		return;
	close(file->fd);
	file->fd = -1;
}
