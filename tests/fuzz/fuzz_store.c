/*
 * The readers on a damaged store: database, log and head of a small store, changed as the input
 * says, opened by everything that the tool reads with. Whatever the bytes are, every call comes
 * back, with rows whose text is in memory that may be read or with an error of the table; and no
 * file is another one afterwards, nor is there one more, but for SQLite's index of the log (-shm),
 * which readers share with the writer and make anew.
 *
 * Input: changes of five bytes: which file and how, a place, a value.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "orderhook/err.h"
#include "orderhook/rejudge.h"
#include "orderhook/store_verify.h"

#define EVENTS 16
#define FILES 3
#define PATH_BYTES 128

/* Where the sums end, so that no compiler leaves the reading out. */
static volatile unsigned touched;

static const char *const suffixes[FILES] = {"", "-wal", ".head"};

static struct {
	char dir[64];
	char path[96];
	char *bytes[FILES];
	size_t len[FILES];
} base;

/* ------------------------------------------------------------------ the store ---------- */

static void file_of(const char *path, const char *suffix, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s%s", path, suffix);
}

static void clean_up(void)
{
	static const char *const more[] = {"", "-wal", "-shm", ".head", ".lock"};
	char file[PATH_BYTES];

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		file_of(base.path, more[i], file);
		unlink(file);
	}
	rmdir(base.dir);
}

static char *read_file(const char *file, size_t *ret_len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat status;

	FUZZ_ASSERT(fd >= 0 && fstat(fd, &status) == 0);
	char *bytes = malloc((size_t)status.st_size + 1);
	FUZZ_ASSERT(bytes && read(fd, bytes, (size_t)status.st_size) == status.st_size);
	close(fd);
	*ret_len = (size_t)status.st_size;
	return bytes;
}

static void write_file(const char *file, const char *bytes, size_t len)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_ASSERT(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static void write_event(struct store *store, int i)
{
	static const int steps[][2] = {{20, 1}, {30, 1}, {40, 1}, {50, 1}};
	struct event event = {.status = steps[i % 4][0], .sub_status = steps[i % 4][1]};
	char body[64];
	int len = snprintf(body, sizeof(body), "{\"issOrderNo\":\"T%d\",\"n\":%d}", i / 4, i);
	struct store_item item = {.event = &event,
				  .machine = order_machine_v5(),
				  .endpoint = "shansong",
				  .body = {body, (size_t)len},
				  .head = SLICE("POST /callback HTTP/1.1\r\n"),
				  .remote = "192.0.2.7"};
	struct store_item *items[] = {&item};
	struct store_hold hold = {.endpoint = "shansong",
				  .reason = "sign-wrong",
				  .remote = "192.0.2.8",
				  .body = SLICE("{}"),
				  .ours = i % 2};

	event.kind = i == EVENTS - 1 ? EVENT_OTHER : EVENT_ORDER;
	event.occurred_ms = INT64_C(1748595319000) + i * 1000;
	event.received_ms = event.occurred_ms + 700;
	snprintf(event.iss_order_no, sizeof(event.iss_order_no), "T%d", i / 4);
	snprintf(event.courier_id, sizeof(event.courier_id), "%s", i % 4 ? "courier-7" : "");
	FUZZ_ASSERT(digest_sha256(&item.body, 1, event.content) == 0);
	if (i % 5 == 4)
		store->ops->hold(store, &hold, 1);
	FUZZ_ASSERT(store->ops->write_batch(store, items, 1) == 0);
}

void fuzz_begin(void)
{
	BUF_AUTO struct buf problem = BUF_INIT(1 << 12);
	struct store *store;
	char file[PATH_BYTES];

	snprintf(base.dir, sizeof(base.dir), "%s/fuzz-store-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_ASSERT(mkdtemp(base.dir));
	snprintf(base.path, sizeof(base.path), "%s/s.db", base.dir);
	atexit(clean_up);
	FUZZ_ASSERT(store_create(base.path, "test", &problem) == 0);
	FUZZ_ASSERT(store_open_writer(base.path, "test", &store, &problem) == 0);
	for (int i = 0; i < EVENTS / 2; i++)
		write_event(store, i);
	store->ops->checkpoint(store);
	for (int i = EVENTS / 2; i < EVENTS; i++)
		write_event(store, i);
	/* As they lie there while a daemon runs: half of the events are in the log only. */
	for (int i = 0; i < FILES; i++) {
		file_of(base.path, suffixes[i], file);
		base.bytes[i] = read_file(file, &base.len[i]);
	}
	store_close(store);
	clean_up();
}

/* ------------------------------------------------------------------ one input ---------- */

static void apply(struct slice input, char *bytes[FILES], size_t len[FILES])
{
	while (input.len) {
		uint8_t how = fuzz_take_byte(&input);
		size_t file = how % FILES;
		uint32_t at = fuzz_take_number(&input, (uint32_t)base.len[file] + 1);
		uint8_t value = fuzz_take_byte(&input);
		if (how >= 0xf0)
			len[file] = at < len[file] ? at : len[file];
		else if (at < len[file] && how >= 0x80)
			bytes[file][at] = (char)value;
		else if (at < len[file])
			bytes[file][at] ^= (char)(1 << value % 8);
	}
}

/* Every byte of what was read, so that the sanitizer sees each. */
static unsigned touch_row(const struct store_row *row)
{
	unsigned sum = 0;

	FUZZ_ASSERT(row->n <= STORE_COLUMNS_MAX);
	for (size_t i = 0; i < row->n; i++) {
		for (size_t j = 0; j < row->values[i].text.len; j++)
			sum += (unsigned char)row->values[i].text.at[j];
	}
	return sum;
}

static int on_held(void *context, const struct store_row *row)
{
	*(unsigned *)context += touch_row(row);
	return 0;
}

static void on_finding(const struct store_finding *finding, void *context)
{
	FUZZ_ASSERT(finding->finding < FINDING_MAX && finding_key(finding->finding));
	FUZZ_ASSERT(finding->endpoint && finding->order && finding->detail);
	*(unsigned *)context += (unsigned)strlen(finding->detail);
}

static void read_lists(struct store_reader *reader, unsigned *sum)
{
	const struct order_filter orders = {.order = NULL};
	const struct event_filter by_time = {.by_occurred = true, .order = "T1"};
	const struct event_filter all = {.order = NULL};
	struct store_cursor *cursors[3] = {NULL};
	struct store_row row;

	if (store_orders(reader, &orders, &cursors[0]))
		cursors[0] = NULL;
	if (store_events(reader, &all, &cursors[1]))
		cursors[1] = NULL;
	if (store_events(reader, &by_time, &cursors[2]))
		cursors[2] = NULL;
	for (int i = 0; i < 3; i++) {
		for (int n = 0; cursors[i] && store_cursor_next(cursors[i], &row) == 1; n++) {
			FUZZ_ASSERT(n < 100000);
			*sum += touch_row(&row);
		}
		store_cursor_close(cursors[i]);
	}
}

static void read_histories(struct store_reader *reader, unsigned *sum)
{
	struct store_history history = {.order_id = 0};
	struct rejudged judged = {.verdicts = NULL};

	for (int n = 0; store_next_history(reader, &history) == 1; n++) {
		FUZZ_ASSERT(n < 100000);
		FUZZ_ASSERT(rejudge_order(order_machine_v5(), &history, &judged) == 0);
		*sum += (unsigned)rejudge_state_differs(&history.state, &judged.state);
	}
	store_history_release(&history);
	rejudged_release(&judged);
}

static void read_bodies(struct store_reader *reader, unsigned *sum)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 24);
	BUF_AUTO struct buf head = BUF_INIT(1 << 24);
	const struct held_filter held = {.endpoint = NULL};
	struct store_receipt_step steps[4];
	struct order_event event;
	size_t n;

	for (int64_t id = 1; id <= EVENTS; id++) {
		buf_reset(&body);
		buf_reset(&head);
		if (store_raw(reader, id, &body, &head) == 0)
			*sum += (unsigned)(body.len + head.len);
		store_fold_event(reader, id, &event);
	}
	store_raw_held(reader, 1, &body, &head);
	store_held(reader, &held, on_held, sum);
	store_receipt_steps(reader, EVENTS, steps, 4, &n);
}

static bool is_known(const char *name)
{
	static const char *const known[] = {".", "..", "s.db", "s.db-wal", "s.db-shm", "s.db.head"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(name, known[i]) == 0)
			return true;
	}
	return false;
}

static void check_untouched(char *const bytes[FILES], const size_t len[FILES])
{
	DIR *directory = opendir(base.dir);
	char file[PATH_BYTES];

	FUZZ_ASSERT(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		FUZZ_ASSERT(is_known(entry->d_name));
	closedir(directory);
	for (int i = 0; i < FILES; i++) {
		size_t now_len;
		file_of(base.path, suffixes[i], file);
		char *now = read_file(file, &now_len);
		FUZZ_ASSERT(now_len == len[i] && memcmp(now, bytes[i], now_len) == 0);
		free(now);
	}
}

void fuzz_one(struct slice input)
{
	BUF_AUTO struct buf problem = BUF_INIT(1 << 12);
	char *bytes[FILES];
	size_t len[FILES];
	char file[PATH_BYTES];
	struct store_reader *reader;
	unsigned read_sum = 0;

	for (int i = 0; i < FILES; i++) {
		len[i] = base.len[i];
		bytes[i] = malloc(len[i] + 1);
		FUZZ_ASSERT(bytes[i]);
		memcpy(bytes[i], base.bytes[i], len[i]);
	}
	apply(input, bytes, len);
	mkdir(base.dir, 0700);
	for (int i = 0; i < FILES; i++) {
		file_of(base.path, suffixes[i], file);
		write_file(file, bytes[i], len[i]);
	}
	int err = store_open_reader(base.path, &reader, &problem);
	FUZZ_ASSERT(!err || (err_key(err) && err_fault(err) != ERR_FAULT_SELF));
	if (!err) {
		struct store_verify verify = {
			.machine = order_machine_v5(), .found = on_finding, .context = &read_sum};
		struct store_verify_totals totals;
		read_lists(reader, &read_sum);
		read_histories(reader, &read_sum);
		read_bodies(reader, &read_sum);
		store_verify(reader, &verify, &totals);
		store_reader_close(reader);
		touched = read_sum;
	}
	check_untouched(bytes, len);
	for (int i = 0; i < FILES; i++)
		free(bytes[i]);
	clean_up();
}
