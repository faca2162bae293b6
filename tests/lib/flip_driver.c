/*
 * Bit flips against verify. Makes a store of EVENTS events, half of them in the database and half
 * in the log, and flips one random bit of a copy at a time, in either file. Then two readers look
 * at it that know nothing of each other: plain SQL, which compares every event with what it was
 * before, and verify. Every event that is another one, cannot be read or is gone for SQL must be
 * named by verify; a store that does not open at all must be refused by verify as well. Flips that
 * change no event (free space, indexes, counts) are not counted, but may not crash or delay verify.
 *
 * Goes on until so many flips touched an event. Prints JSON; status 1 when one was missed.
 * Usage: flip_driver --touching N --seed N [--without-chain]
 * --without-chain drops what the chain and the head find, to show that the harness sees misses.
 */
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/store_verify.h"

#define EVENTS 200
#define BATCH 50
#define BODY_BYTES 300
#define SLOW_US 5000000
#define HANG_S 30

enum file {
	FILE_DATABASE = 0,
	FILE_LOG,
	FILE_MAX
};

static const char *const suffixes[FILE_MAX] = {"", "-wal"};

struct copy {
	char path[128];
	int fd;
	char *bytes; /* owned: as it was */
	size_t len;
};

struct figures {
	int64_t flips;
	int64_t touching[FILE_MAX]; /* changed, hid or lost an event */
	int64_t refused;            /* of them: the store did not open */
	int64_t unopened;           /* did not open, though every event could be read */
	int64_t harmless;
	int64_t harmless_found; /* of them: verify found something */
	int64_t missed;
	int64_t slowest_us;
};

struct run {
	char dir[64];
	struct copy copies[FILE_MAX];
	char path[96];
	uint64_t before[EVENTS + 1];
	bool touched[EVENTS + 1];
	bool named[EVENTS + 1];
	int64_t found;
	bool without_chain;
	uint64_t random;
	struct figures figures;
};

static struct run run;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	if (run.dir[0])
		nftw(run.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "flip_driver: %s\n", what);
	exit(2);
}

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = (run.random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ------------------------------------------------------------------ the store ---------- */

static void make_event(int64_t id, struct event *event, char body[BODY_BYTES])
{
	static const int steps[][2] = {{20, 1}, {30, 1}, {40, 1}, {50, 1}};
	const int *step = steps[id % 4];
	int64_t order = id / 4;

	memset(event, 0, sizeof(*event));
	event->kind = id % 19 == 18 ? EVENT_OTHER : EVENT_ORDER;
	event->status = step[0];
	event->sub_status = step[1];
	event->occurred_ms = INT64_C(1748595319000) + id * 1000;
	event->received_ms = event->occurred_ms + 700;
	snprintf(event->iss_order_no, sizeof(event->iss_order_no), "TDB%012lld", (long long)order);
	/* Some name no orderNo, some another one than the order's. */
	if (id % 7)
		snprintf(event->order_no, sizeof(event->order_no), "no-%lld",
			 (long long)(id % 23 == 22 ? 9999 : order));
	snprintf(event->shop_id, sizeof(event->shop_id), "shop-1");
	snprintf(event->courier_id, sizeof(event->courier_id), "%s", id % 4 ? "courier-7" : "");
	if (event->kind == EVENT_OTHER)
		snprintf(event->callback_event, sizeof(event->callback_event), "OTHER_CALLBACK");
	for (size_t i = 0; i < BODY_BYTES; i++)
		body[i] = (char)(' ' + next_random() % 90);
	struct slice content = {body, BODY_BYTES};
	if (digest_sha256(&content, 1, event->content))
		die("hashing failed");
}

static void write_events(struct store *store, int64_t from, int64_t to)
{
	static struct event events[BATCH];
	static char bodies[BATCH][BODY_BYTES];
	static struct store_item items[BATCH];
	struct store_item *pointers[BATCH];

	for (int64_t id = from; id < to; id += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			make_event(id + i, &events[i], bodies[i]);
			items[i] = (struct store_item){
				.event = &events[i],
				.machine = order_machine_v5(),
				.endpoint = "shansong",
				.body = {bodies[i], BODY_BYTES},
				.head = SLICE("POST /callback/shansong HTTP/1.1\r\n"
					      "Content-Type: application/json\r\n"),
				.remote = "192.0.2.7",
			};
			pointers[i] = &items[i];
		}
		if (store->ops->write_batch(store, pointers, BATCH))
			die(store_problem(store));
	}
}

static void copy_file(const char *from, const char *to, struct copy *ret)
{
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0)
		die(from);
	snprintf(ret->path, sizeof(ret->path), "%s", to);
	ret->len = (size_t)status.st_size;
	ret->bytes = malloc(ret->len);
	ret->fd = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (!ret->bytes || read(fd, ret->bytes, ret->len) != status.st_size || ret->fd < 0 ||
	    pwrite(ret->fd, ret->bytes, ret->len, 0) != status.st_size)
		die(to);
	close(fd);
}

/* The files as they lie there while the daemon runs: what a crash would leave. */
static void make_copies(void)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	struct store *store;
	struct copy head;
	char from[112];
	char to[112];
	char original[96];

	snprintf(original, sizeof(original), "%s/original.db", run.dir);
	snprintf(run.path, sizeof(run.path), "%s/copy.db", run.dir);
	if (store_create(original, "test", &problem) ||
	    store_open_writer(original, "test", &store, &problem))
		die(problem.data);
	write_events(store, 0, EVENTS / 2);
	store->ops->checkpoint(store);
	write_events(store, EVENTS / 2, EVENTS);
	for (int i = 0; i < FILE_MAX; i++) {
		snprintf(from, sizeof(from), "%s%s", original, suffixes[i]);
		snprintf(to, sizeof(to), "%s%s", run.path, suffixes[i]);
		copy_file(from, to, &run.copies[i]);
	}
	snprintf(from, sizeof(from), "%s.head", original);
	snprintf(to, sizeof(to), "%s.head", run.path);
	copy_file(from, to, &head);
	close(head.fd);
	free(head.bytes);
	store_close(store);
}

/* ------------------------------------------------------------------ plain SQL ---------- */

#define EVENT_COLUMNS                                                                             \
	"e.occurred_ms, e.received_ms, e.status, e.sub_status, e.occurred_from, e.verdict, "      \
	"e.from_status, e.from_sub_status, e.auth, e.source, e.courier_id, e.content, e.remote, " \
	"e.notes, e.head, e.body, COALESCE(e.order_no, o.order_no), "                             \
	"COALESCE(e.shop_id, o.shop_id), o.iss_order_no, p.name"

static const char *const selects[] = {
	"SELECT " EVENT_COLUMNS " FROM event e LEFT JOIN orders o ON o.order_id = e.order_id "
	"LEFT JOIN endpoint p ON p.endpoint_id = o.endpoint_id WHERE e.event_id = ?1",
	"SELECT t.received_ms, t.auth, t.source, t.callback_event, t.iss_order_no, t.order_no, "
	"t.shop_id, t.remote, t.notes, t.head, t.body, p.name FROM other t "
	"LEFT JOIN endpoint p ON p.endpoint_id = t.endpoint_id WHERE t.event_id = ?1",
};

/* FNV-1a, so that what is compared is not what verify compares. */
static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* 0: not there, or not readable. */
static uint64_t fingerprint(sqlite3_stmt *handle, int64_t id)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int code;

	sqlite3_bind_int64(handle, 1, id);
	code = sqlite3_step(handle);
	for (int i = 0; code == SQLITE_ROW && i < sqlite3_column_count(handle); i++) {
		int type = sqlite3_column_type(handle, i);
		int64_t integer = type == SQLITE_INTEGER ? sqlite3_column_int64(handle, i) : 0;
		const void *bytes =
			type == SQLITE_INTEGER ? &integer : sqlite3_column_blob(handle, i);
		int len = type == SQLITE_INTEGER ? 8 : sqlite3_column_bytes(handle, i);
		hash = add_bytes(hash, &type, sizeof(type));
		hash = add_bytes(hash, &len, sizeof(len));
		hash = add_bytes(hash, bytes, (size_t)len);
	}
	sqlite3_reset(handle);
	return code == SQLITE_ROW ? hash : 0;
}

static void read_all(uint64_t ret[EVENTS + 1])
{
	sqlite3 *db = NULL;
	sqlite3_stmt *handles[2] = {NULL, NULL};

	memset(ret, 0, (EVENTS + 1) * sizeof(*ret));
	if (sqlite3_open_v2(run.path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
		for (int i = 0; i < 2; i++)
			sqlite3_prepare_v2(db, selects[i], -1, &handles[i], NULL);
		for (int64_t id = 1; id <= EVENTS; id++) {
			for (int i = 0; i < 2 && !ret[id]; i++)
				ret[id] = handles[i] ? fingerprint(handles[i], id) : 0;
		}
	}
	sqlite3_finalize(handles[0]);
	sqlite3_finalize(handles[1]);
	sqlite3_close(db);
}

/* ------------------------------------------------------------------ verify ------------- */

static bool is_of_chain(enum finding finding)
{
	return finding != FINDING_INTEGRITY && finding != FINDING_STATE && finding != FINDING_COUNT;
}

static void note_finding(const struct store_finding *finding, void *context)
{
	(void)context;
	if (run.without_chain && is_of_chain(finding->finding))
		return;
	run.found++;
	for (int64_t id = finding->event_id; id && id <= finding->last_event_id && id <= EVENTS;
	     id++) {
		if (id > 0)
			run.named[id] = true;
	}
}

/* False when the store was refused. */
static bool verify(void)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	const struct store_verify options = {.machine = order_machine_v5(), .found = note_finding};
	struct store_verify_totals totals;
	struct store_reader *reader;
	int err;

	run.found = 0;
	memset(run.named, 0, sizeof(run.named));
	if (store_open_reader(run.path, &reader, &problem))
		return false;
	err = store_verify(reader, &options, &totals);
	store_reader_close(reader);
	return err == 0;
}

/* ------------------------------------------------------------------ one flip ----------- */

static void restore(void)
{
	for (int i = 0; i < FILE_MAX; i++) {
		struct copy *copy = &run.copies[i];
		struct stat status;
		/* SQLite may have removed or cut the log of a file that it took for another kind.
		 */
		if (stat(copy->path, &status) == 0 && (size_t)status.st_size == copy->len)
			continue;
		unlink(copy->path);
		close(copy->fd);
		copy->fd = open(copy->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (copy->fd < 0 ||
		    pwrite(copy->fd, copy->bytes, copy->len, 0) != (ssize_t)copy->len)
			die(copy->path);
	}
}

static void count(enum file file, size_t at, int bit, bool opened)
{
	struct figures *figures = &run.figures;
	int64_t touched = 0;
	int64_t unnamed = 0;

	for (int64_t id = 1; id <= EVENTS; id++) {
		touched += run.touched[id];
		unnamed += run.touched[id] && !run.named[id];
	}
	figures->flips++;
	if (!touched) {
		figures->unopened += !opened;
		figures->harmless++;
		figures->harmless_found += opened && run.found;
		return;
	}
	figures->touching[file]++;
	figures->refused += !opened;
	if (!opened || !unnamed)
		return;
	figures->missed++;
	if (figures->missed <= 10 && !run.without_chain)
		fprintf(stderr, "missed: bit %d of byte %zu of copy.db%s: %lld of %lld events\n",
			bit, at, suffixes[file], (long long)unnamed, (long long)touched);
}

static void flip(void)
{
	enum file file = (enum file)(next_random() % FILE_MAX);
	struct copy *copy = &run.copies[file];
	size_t at = next_random() % copy->len;
	int bit = (int)(next_random() % 8);
	char byte = (char)(copy->bytes[at] ^ (1 << bit));
	uint64_t now[EVENTS + 1];
	int64_t begin_us;
	bool opened;

	if (pwrite(copy->fd, &byte, 1, (off_t)at) != 1)
		die(copy->path);
	alarm(HANG_S);
	begin_us = clock_elapsed_us(clock_system());
	opened = verify();
	int64_t took_us = clock_elapsed_us(clock_system()) - begin_us;
	if (took_us > run.figures.slowest_us)
		run.figures.slowest_us = took_us;
	read_all(now);
	alarm(0);
	for (int64_t id = 1; id <= EVENTS; id++)
		run.touched[id] = now[id] != run.before[id];
	count(file, at, bit, opened);
	if (pwrite(copy->fd, &copy->bytes[at], 1, (off_t)at) != 1)
		die(copy->path);
	restore();
}

static void parse(int argc, char **argv, int64_t *touching)
{
	static const struct option names[] = {{"touching", 1, NULL, 't'},
					      {"seed", 1, NULL, 's'},
					      {"without-chain", 0, NULL, 'w'},
					      {NULL, 0, NULL, 0}};
	int bad = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 't')
			bad |= slice_to_i64(slice_of(optarg), 1, INT64_MAX, touching);
		else if (c == 's')
			bad |= slice_to_u64(slice_of(optarg), UINT64_MAX, &run.random);
		else if (c == 'w')
			run.without_chain = true;
		else
			bad = 1;
	}
	if (bad || !*touching)
		die("see the head of tests/lib/flip_driver.c");
}

int main(int argc, char **argv)
{
	struct figures *figures = &run.figures;
	int64_t touching = 0;

	parse(argc, argv, &touching);
	snprintf(run.dir, sizeof(run.dir), "%s/flip-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(run.dir))
		die("no directory");
	atexit(clean_up);
	make_copies();
	read_all(run.before);
	for (int64_t id = 1; id <= EVENTS; id++) {
		if (!run.before[id])
			die("an event is missing before any flip");
	}
	if (!verify() || run.found)
		die("verify finds something before any flip");
	while (figures->touching[FILE_DATABASE] + figures->touching[FILE_LOG] < touching)
		flip();
	printf("{\"flips\":%lld,\"touching_database\":%lld,\"touching_log\":%lld,\"refused\":%lld,"
	       "\"harmless\":%lld,\"harmless_found\":%lld,\"harmless_refused\":%lld,"
	       "\"missed\":%lld,\"slowest_ms\":%.1f}\n",
	       (long long)figures->flips, (long long)figures->touching[FILE_DATABASE],
	       (long long)figures->touching[FILE_LOG], (long long)figures->refused,
	       (long long)figures->harmless, (long long)figures->harmless_found,
	       (long long)figures->unopened, (long long)figures->missed,
	       (double)figures->slowest_us / 1000);
	return figures->missed || figures->slowest_us > SLOW_US ? 1 : 0;
}
