/*
 * Memory that runs out, along the way of a callback without its sockets: read the configuration,
 * open the store, scan and judge the captured callbacks, write them through the writer, a duplicate
 * and a refused delivery with them, checkpoint, close. For each allocation on that way, whoever
 * makes it (ours, SQLite's, OpenSSL's, the C library's): a process in which it fails, and one in
 * which it and all that follow fail. Then memory is back, and the same way is gone again.
 *
 *   - no crash, no hang; what the writer called stored is stored;
 *   - with memory back everything is taken, each event once, in the same process;
 *   - no block is left over.
 *
 * A process is a fork of one that has gone the way already, so that what libraries keep for good is
 * there; --cold forks before that, where it fails in their beginnings as well, and counts no
 * blocks.
 *
 *     alloc [--every N] [--cold] [--only N [--onwards] [-v]]
 */
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/store/sqlite_private.h"
#include "fail_alloc.h"
#include "orderhook/endpoint_set.h"
#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/log.h"
#include "orderhook/writer.h"

#define SAMPLES_MAX 8
#define BODY_BYTES_MAX 8192
#define HANG_S 20
#define TOLD_MAX 10
#define STORE_BYTES_MAX (1024 * 1024)
#define STORED_BEFORE 3

/* What one way through has told its caller. */
struct told {
	bool acked[SAMPLES_MAX];
	bool whole;    /* every step of it went well */
	bool internal; /* a caller was told of a mistake of ours: 500 */
};

static struct {
	char dir[64];
	char conf[96];
	char store[96];
	struct buf store_bytes; /* as they were made: some of the callbacks are stored */
	struct buf head_bytes;
	struct slice samples[SAMPLES_MAX];
	size_t n_samples;
} fixture;

static bool verbose;
static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_signal = PTHREAD_COND_INITIALIZER;

static void print_problem(const char *what, const char *why)
{
	fprintf(stderr, "alloc: %s: %s\n", what, why);
}

/* ------------------------------------------------------------------ what is sent ------- */

static void read_samples(const char *root)
{
	static char bodies[SAMPLES_MAX][BODY_BYTES_MAX];
	char pattern[512];
	glob_t names;

	snprintf(pattern, sizeof(pattern), "%s/tests/fixtures/shansong/c*-*.json", root);
	if (glob(pattern, 0, NULL, &names) != 0)
		return;
	for (size_t i = 0; i < names.gl_pathc && i < SAMPLES_MAX; i++) {
		FILE *file = fopen(names.gl_pathv[i], "re");
		if (!file)
			continue;
		fixture.samples[fixture.n_samples++] =
			(struct slice){bodies[i], fread(bodies[i], 1, BODY_BYTES_MAX, file)};
		fclose(file);
	}
	globfree(&names);
}

static bool write_text(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fixture.dir, name);
	file = fopen(path, "we");
	if (!file)
		return false;
	chmod(path, 0600);
	fputs(text, file);
	return fclose(file) == 0;
}

static bool write_configuration(void)
{
	char text[1024];

	snprintf(fixture.dir, sizeof(fixture.dir), "%s/alloc-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(fixture.dir))
		return false;
	snprintf(fixture.conf, sizeof(fixture.conf), "%s/conf", fixture.dir);
	snprintf(fixture.store, sizeof(fixture.store), "%s/db", fixture.dir);
	snprintf(text, sizeof(text),
		 "[store]\npath = %s\nenvironment = test\n"
		 "[endpoint shansong]\nplatform = shansong\npath = /callback\n"
		 "token = file:%s/token\nclient_id = clientId\nshop_ids = shopId\nsignature = "
		 "if-present\n"
		 "secrets = file:%s/secret\n",
		 fixture.store, fixture.dir, fixture.dir);
	return write_text("conf", text) && write_text("token", "test-token-0123456789\n") &&
	       write_text("secret", "test-secret-0123456789\n");
}

static const char *const store_suffixes[] = {"", "-wal", "-shm", ".head", ".lock"};
#define STORE_FILES (sizeof(store_suffixes) / sizeof(store_suffixes[0]))

static void remove_store(void)
{
	char path[128];

	for (size_t i = 0; i < STORE_FILES; i++) {
		snprintf(path, sizeof(path), "%s%s", fixture.store, store_suffixes[i]);
		unlink(path);
	}
}

static bool read_file(const char *path, struct buf *ret)
{
	char bytes[8192];
	FILE *file = fopen(path, "re");
	size_t n;

	if (!file)
		return false;
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(ret, bytes, n);
	fclose(file);
	return ret->len > 0;
}

static bool write_file(const char *path, const struct buf *bytes)
{
	FILE *file = fopen(path, "we");
	bool written = file && fwrite(bytes->data, 1, bytes->len, file) == bytes->len;

	return file && fclose(file) == 0 && written;
}

/* As it was made. */
static bool reset_store(void)
{
	char head[128];

	remove_store();
	snprintf(head, sizeof(head), "%s.head", fixture.store);
	return write_file(fixture.store, &fixture.store_bytes) &&
	       write_file(head, &fixture.head_bytes);
}

static void remove_all(void)
{
	static const char *const names[] = {"conf", "token", "secret"};
	char path[128];

	remove_store();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture.dir, names[i]);
		unlink(path);
	}
	rmdir(fixture.dir);
}

/* ------------------------------------------------------------------ the way ------------ */

static void job_done(struct write_job *job, void *waiter, bool abandoned)
{
	(void)job;
	(void)abandoned;
	pthread_mutex_lock(&done_lock);
	*(bool *)waiter = true;
	pthread_cond_signal(&done_signal);
	pthread_mutex_unlock(&done_lock);
}

/* True when the writer says that the callback is stored. */
static bool send_one(struct writer *writer, const struct endpoint *endpoint, struct slice body,
		     struct told *told)
{
	struct write_job *job = write_job_new(65536);
	BUF_AUTO struct buf scratch = BUF_INIT(65536);
	struct delivery delivery = {.token_ok = true, .received_ms = INT64_C(1748595319000)};
	bool done = false;
	bool acked = false;
	int err;

	if (!job)
		return false;
	err = buf_add(&job->body, body.at, body.len);
	if (!err)
		err = buf_add_string(&job->head, "POST /callback HTTP/1.1\r\n");
	delivery.body = buf_slice(&job->body);
	if (!err)
		err = ingest(endpoint, &delivery, &scratch, &job->event);
	job->machine = endpoint->platform->machine();
	snprintf(job->endpoint, sizeof(job->endpoint), "%s", endpoint->name);
	snprintf(job->remote, sizeof(job->remote), "192.0.2.7");
	job->done = job_done;
	job->waiter = &done;
	if (!err)
		err = writer_submit(writer, job);
	if (!err) {
		pthread_mutex_lock(&done_lock);
		while (!done)
			pthread_cond_wait(&done_signal, &done_lock);
		pthread_mutex_unlock(&done_lock);
		err = job->item.result.err;
		acked = err == 0;
	}
	told->internal |= err == -ERR_INTERNAL;
	write_job_free(job);
	return acked;
}

static void refuse_one(struct writer *writer, struct slice body)
{
	struct write_hold *hold = calloc(1, sizeof(*hold));

	if (!hold)
		return;
	snprintf(hold->endpoint, sizeof(hold->endpoint), "shansong");
	hold->reason = "sign-wrong";
	buf_init(&hold->head, 1024);
	buf_init(&hold->body, 65536);
	if (buf_add(&hold->body, body.at, body.len))
		write_hold_free(hold);
	else
		writer_hold(writer, hold);
}

static bool serve(struct store *store, const struct endpoint *endpoint, size_t n, struct told *told)
{
	struct writer_options options = {.store = store,
					 .clock = clock_system(),
					 .batch_limit = 8,
					 .queue_limit = 16,
					 .commit_timeout_us = HANG_S * INT64_C(1000000)};
	struct writer *writer;
	bool whole = true;

	if (writer_new(&options, &writer))
		return false;
	refuse_one(writer, SLICE("{\"refused\":1}"));
	for (size_t i = 0; i < n; i++) {
		bool acked = send_one(writer, endpoint, fixture.samples[i], told);
		told->acked[i] |= acked;
		whole &= acked;
	}
	whole &= send_one(writer, endpoint, fixture.samples[0], told);
	writer_free(writer);
	whole &= store->ops->checkpoint(store) == 0;
	whole &= store_sync_head(store) == 0;
	return whole;
}

/* The first n callbacks. */
static void go(size_t n, struct told *told)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	struct config *config = NULL;
	struct endpoint_set *endpoints = NULL;
	struct store *store = NULL;
	int err = config_load(fixture.conf, &config, &problem);

	told->whole = false;
	if (!err)
		err = endpoint_set_new(config, &endpoints, &problem);
	if (!err)
		err = store_open_writer(config->store.path, config->store.environment, &store,
					&problem);
	if (!err)
		err = store->ops->touch(store);
	if (!err)
		told->whole = serve(store, endpoint_set_get(endpoints, 0), n, told);
	if (err)
		print_problem("on the way", problem.len ? problem.data : err_text(err));
	store_close(store);
	endpoint_set_unref(endpoints);
	config_free(config);
}

/* How many events are stored, and how often the most frequent of them. */
static bool stored(int64_t *ret_n, int64_t *ret_most)
{
	struct connection connection;
	int err = connection_open(&connection, fixture.store, SQLITE_OPEN_READWRITE, false);

	if (!err)
		err = connection_pragma_int(&connection, "SELECT count(*) FROM event", ret_n);
	if (!err)
		err = connection_pragma_int(
			&connection,
			"SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM event "
			"GROUP BY order_id, occurred_ms, status, sub_status)",
			ret_most);
	sqlite3_db_config(connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	connection_close(&connection);
	return err == 0;
}

static bool has_body(sqlite3_stmt *rows, struct slice body)
{
	bool found;

	sqlite3_bind_blob64(rows, 1, body.at, body.len, SQLITE_STATIC);
	found = sqlite3_step(rows) == SQLITE_ROW;
	sqlite3_reset(rows);
	return found;
}

/* The callbacks that were acknowledged are there: their bodies. */
static bool keeps_its_word(const struct told *told)
{
	struct connection connection;
	sqlite3_stmt *rows = NULL;
	bool kept = true;

	if (connection_open(&connection, fixture.store, SQLITE_OPEN_READWRITE, false) == 0)
		sqlite3_prepare_v2(connection.db, "SELECT 1 FROM event WHERE body = ?1", -1, &rows,
				   NULL);
	for (size_t i = 0; i < fixture.n_samples; i++)
		kept &= !told->acked[i] || (rows && has_body(rows, fixture.samples[i]));
	sqlite3_finalize(rows);
	sqlite3_db_config(connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	connection_close(&connection);
	return kept;
}

/* ------------------------------------------------------------------ one failure -------- */

enum verdict_of_process {
	FINE = 0,
	FALSE_ACK = 10,
	NOT_TAKEN,
	TWICE,
	LEAK,
	INTERNAL,
	UNREADABLE,
	HEAD_LOST
};

static const char *text_of(int code)
{
	switch (code) {
	case FALSE_ACK:
		return "acknowledged and not stored";
	case NOT_TAKEN:
		return "with memory back, not everything is taken";
	case TWICE:
		return "an event is stored twice";
	case INTERNAL:
		return "a caller is told of a mistake of ours";
	case LEAK:
		return "blocks are left over";
	case HEAD_LOST:
		return "PATH.head has forgotten from where on it vouches";
	case UNREADABLE:
		return "the store cannot be read";
	default:
		return "the process ended otherwise";
	}
}

/* With memory back the same way is gone again; live is compared unless cold. */
static int look_after(struct told *told, bool cold, int64_t live)
{
	struct store_head head;
	int64_t n = 0;
	int64_t most = 0;

	if (!keeps_its_word(told))
		return FALSE_ACK;
	go(fixture.n_samples, told);
	if (told->internal)
		return INTERNAL;
	if (!told->whole)
		return NOT_TAKEN;
	if (store_head_read(fixture.store, &head) || head.since_event_id != 0)
		return HEAD_LOST;
	if (!stored(&n, &most))
		return UNREADABLE;
	if (n != (int64_t)fixture.n_samples || most > 1)
		return TWICE;
	return !cold && atomic_load(&alloc_plan->live) > live ? LEAK : FINE;
}

/* In the child. What is asked for after the way with the failure is not counted. */
static int try_failure(int64_t at, bool onwards, bool cold, int64_t live)
{
	struct told told = {{false}, false, false};
	int64_t seen;
	int end;

	atomic_store(&alloc_plan->onwards, onwards);
	atomic_store(&alloc_plan->seen, 0);
	atomic_store(&alloc_plan->failed, 0);
	atomic_store(&alloc_plan->fail_at, at);
	go(fixture.n_samples, &told);
	atomic_store(&alloc_plan->fail_at, 0);
	seen = atomic_load(&alloc_plan->seen);
	end = look_after(&told, cold, live);
	atomic_store(&alloc_plan->seen, seen);
	return end;
}

/* In a child, so that this process has used nothing yet. */
static bool make_store(void)
{
	char head[128];
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		BUF_AUTO struct buf problem = BUF_INIT(1024);
		struct told told = {{false}, false, false};
		if (store_create(fixture.store, "test", &problem) == 0)
			go(STORED_BEFORE, &told);
		_exit(!told.whole);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return false;
	snprintf(head, sizeof(head), "%s.head", fixture.store);
	return read_file(fixture.store, &fixture.store_bytes) &&
	       read_file(head, &fixture.head_bytes);
}

/* A process of its own; its end. */
static int in_child(int64_t at, bool onwards, bool cold)
{
	int64_t live = atomic_load(&alloc_plan->live);
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = reset_store() ? fork() : -1;
	if (pid == 0) {
		alarm(HANG_S);
		/* What a failure makes the writer say is part of the way, and not to be read. */
		if (!verbose)
			dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		_exit(try_failure(at, onwards, cold, live));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	atomic_store(&alloc_plan->fail_at, 0);
	atomic_store(&alloc_plan->live, live);
	return status;
}

struct options {
	int64_t every;
	int64_t only;
	bool onwards;
	bool cold;
};

static bool tell(int status, int64_t at, bool onwards, bool cold)
{
	if (status == 0)
		return true;
	printf("VIOLATION: allocation %lld%s: ", (long long)at, onwards ? " and all after it" : "");
	if (WIFSIGNALED(status))
		printf("signal %d", WTERMSIG(status));
	else
		printf("%s", text_of(WEXITSTATUS(status)));
	printf("\n    again: alloc%s --only %lld%s -v\n", cold ? " --cold" : "", (long long)at,
	       onwards ? " --onwards" : "");
	return false;
}

static bool run(const struct options *options, int64_t total)
{
	int64_t tried = 0;
	int64_t failed = 0;
	int64_t bad = 0;

	for (int64_t at = options->only ? options->only : 1; at <= total; at += options->every) {
		for (int onwards = 0; onwards < 2; onwards++) {
			if (options->only && onwards != options->onwards)
				continue;
			tried++;
			bad += !tell(in_child(at, onwards, options->cold), at, onwards,
				     options->cold);
			failed += atomic_load(&alloc_plan->failed) != 0;
		}
		if (options->only)
			break;
	}
	printf("{\"harness\":\"alloc\",\"cold\":%s,\"allocations\":%lld,\"tried\":%lld,"
	       "\"failed\":%lld,\"violations\":%lld}\n",
	       options->cold ? "true" : "false", (long long)total, (long long)tried,
	       (long long)failed, (long long)bad);
	return bad == 0;
}

/* How many allocations the way takes in a process like those that follow; -1 when it fails. */
static int64_t count_allocations(bool cold)
{
	if (!tell(in_child(0, false, cold), 0, false, cold))
		return -1;
	return atomic_load(&alloc_plan->seen);
}

static bool parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {{"every", 1, NULL, 'e'},
					      {"only", 1, NULL, 'o'},
					      {"onwards", 0, NULL, 'w'},
					      {"cold", 0, NULL, 'c'},
					      {NULL, 0, NULL, 0}};
	int bad = 0;
	int c;

	while ((c = getopt_long(argc, argv, "v", names, NULL)) != -1) {
		if (c == 'v')
			verbose = true;
		else if (c == 'e')
			bad |= slice_to_i64(slice_of(optarg), 1, INT32_MAX, &options->every);
		else if (c == 'o')
			bad |= slice_to_i64(slice_of(optarg), 1, INT32_MAX, &options->only);
		else if (c == 'w')
			options->onwards = true;
		else if (c == 'c')
			options->cold = true;
		else
			bad = 1;
	}
	return !bad;
}

int main(int argc, char **argv)
{
	struct options options = {.every = 1};
	struct told told = {{false}, false, false};
	uint8_t digest[DIGEST_MD5_BYTES];
	int64_t total = -1;
	bool fine = false;

	if (!parse(argc, argv, &options)) {
		print_problem("usage", "see the head of tests/fault/alloc.c");
		return 2;
	}
	/* A large block has pages of its own, which a child takes only as far as it uses them. */
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	alloc_plan = mmap(NULL, sizeof(*alloc_plan), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (alloc_plan == MAP_FAILED || !write_configuration())
		return 2;
	buf_init(&fixture.store_bytes, STORE_BYTES_MAX);
	buf_init(&fixture.head_bytes, STORE_BYTES_MAX);
	read_samples(ORDERHOOK_ROOT);
	if (make_store() && fixture.n_samples > 3) {
		if (options.cold)
			digest_md5(NULL, 0, digest);
		else
			go(fixture.n_samples, &told);
		total = count_allocations(options.cold);
	}
	if (total > 0)
		fine = run(&options, total);
	else
		print_problem("without a failure", "not everything is taken");
	buf_release(&fixture.store_bytes);
	buf_release(&fixture.head_bytes);
	remove_all();
	return fine ? 0 : 1;
}
