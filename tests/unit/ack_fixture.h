/*
 * What the tests of an acknowledgement drive: the real handler and writer between a library without
 * sockets and a store that answers as told, and endpoints of every kind. Nothing may wait for ever:
 * a program that hangs where an answer is missing would tell nobody which.
 */
#pragma once

#include "mhd_fake.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "orderhook/metrics.h"
#include "shansong_help.h"

#define SECOND_SECRET "other-secret-0123456789"
#define FOREIGN_SECRET "another-secret-012345"
#define WEBHOOK_KEY "webhook-key-0123456789ab"
#define WEBHOOK_KEY_TEXT "whsec_d2ViaG9vay1rZXktMDEyMzQ1Njc4OWFi"
#define OLD_WEBHOOK_KEY_TEXT "whsec_d2ViaG9vay1rZXktb2YteWVzdGVyZGF5"
#define TOKEN "test-token-0123456789"
#define LONG_PATH                                                                      \
	"/long/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define MAX_BODY 2048
#define DEADLINE_S 20 /* for one row */

enum kept {
	NOTHING = 0,
	STORED,
	HELD,         /* in the half of ours, by the URL's token */
	HELD_BY_IDS,  /* in the half of ours, by clientId and shopId */
	HELD_STRANGER /* in the other half */
};

/* A store that answers as told, and what it was given. */
static struct {
	struct store store;
	int batch_err;
	int item_err;
	bool duplicate; /* what comes is stored already */
	enum verdict verdict;
	size_t n_stored;
	size_t n_held;
	enum event_auth auth;
	size_t head_bytes;
	struct store_hold hold; /* its strings are static, or not to be looked at */
	bool altered;           /* other bytes than those that were sent */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool blocked; /* guarded by lock: batches wait */
	bool inside;  /* guarded by lock: one waits */
} disk;

static struct endpoint_set *endpoints;
static struct clock now;
static struct http_server server;
static bool running;
static struct buf sent = BUF_INIT(1 << 16); /* the body of the request */
static const char *doing = "";              /* the row, or the case */
static size_t n_wrong;

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Told, and counted: one broken rule is all the rows that it breaks. */
static void wrong(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	print_error("%s: %s\n", doing, text);
	n_wrong++;
}

/* ------------------------------------------------------------------ the store ---------- */

static int disk_write(struct store *store, struct store_item **items, size_t n)
{
	(void)store;
	pthread_mutex_lock(&disk.lock);
	disk.inside = true;
	pthread_cond_broadcast(&disk.changed);
	while (disk.blocked)
		pthread_cond_wait(&disk.changed, &disk.lock);
	disk.inside = false;
	pthread_mutex_unlock(&disk.lock);
	/* Where the batch failed its items look committed: that must not be believed. */
	for (size_t i = 0; i < n; i++) {
		bool stale = items[i]->event->stale && !disk.duplicate;
		int err = stale ? -ERR_TIMESTAMP_STALE : disk.item_err;
		items[i]->result = (struct store_result){
			.err = err, .event_id = err ? 0 : 7, .verdict = disk.verdict};
		disk.n_stored += !disk.batch_err && !err;
		disk.auth = items[i]->event->auth;
		disk.head_bytes = items[i]->head.len;
		disk.altered |= !slice_equal(items[i]->body, buf_slice(&sent));
	}
	return disk.batch_err;
}

static int disk_fine(struct store *store)
{
	(void)store;
	return 0;
}

static void disk_close(struct store *store)
{
	(void)store;
}

static void disk_hold(struct store *store, const struct store_hold *holds, size_t n)
{
	(void)store;
	disk.n_held += n;
	disk.hold = holds[n - 1];
	disk.altered |= !slice_equal(disk.hold.body, buf_slice(&sent));
}

static const struct store_ops disk_ops = {.write_batch = disk_write,
					  .check_file = disk_fine,
					  .touch = disk_fine,
					  .checkpoint = disk_fine,
					  .close = disk_close,
					  .hold = disk_hold};

static void block(bool blocked)
{
	pthread_mutex_lock(&disk.lock);
	disk.blocked = blocked;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

static void wait_inside(void)
{
	pthread_mutex_lock(&disk.lock);
	while (!disk.inside)
		pthread_cond_wait(&disk.changed, &disk.lock);
	pthread_mutex_unlock(&disk.lock);
}

/* ------------------------------------------------------------------ the endpoints ------ */

/* keys: m and n the secrets for MD5, w and v the keys for HMAC. */
static const struct {
	const char *name;
	const char *path;
	const char *signature;
	bool token;
	const char *client;
	const char *shops;
	const char *keys;
} endpoint_rows[] = {
	{"open", "/open", "if-present", true, "c", "s 42 true", "mn"},
	{"strict", "/strict", "required", true, "c", "s", "m"},
	{"off", "/off", "off", true, "c", "*", "mw"},
	{"relay", "/relay", "if-present", true, "c", "s", "mwv"},
	{"bare", "/bare", "required", false, "c", "s", "mvw"},
	{"any", "/any", "required", false, "true", "*", "m"},
	{"long", LONG_PATH, "off", true, "c", "*", ""},
};

static const struct {
	char key;
	const char *text;
} secret_files[] = {{'m', SECRET},
		    {'n', SECOND_SECRET},
		    {'w', WEBHOOK_KEY_TEXT},
		    {'v', OLD_WEBHOOK_KEY_TEXT},
		    {'t', TOKEN}};

static void write_file(const char *dir, char key, const char *text)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%c", dir, key);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void add_endpoint(struct buf *text, const char *dir, size_t i)
{
	buf_addf(text, "[endpoint %s]\nplatform = shansong\npath = %s\nclient_id = %s\n",
		 endpoint_rows[i].name, endpoint_rows[i].path, endpoint_rows[i].client);
	buf_addf(text, "shop_ids = %s\nsignature = %s\nsecrets =", endpoint_rows[i].shops,
		 endpoint_rows[i].signature);
	for (const char *key = endpoint_rows[i].keys; *key; key++)
		buf_addf(text, " file:%s/%c", dir, *key);
	if (endpoint_rows[i].token)
		buf_addf(text, "\ntoken = file:%s/t", dir);
	buf_add_char(text, '\n');
}

static void too_late(int signal_number)
{
	static const char text[] = ": FAILED: it goes on for more than 20 seconds\n";

	(void)signal_number;
	if (write(STDERR_FILENO, doing, strlen(doing)) < 0 ||
	    write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

static int setup(void **state)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 16);
	BUF_AUTO struct buf problem = BUF_INIT(1 << 12);
	char dir[] = "/tmp/test-ack-XXXXXX";
	struct config *config;

	(void)state;
	assert_non_null(mkdtemp(dir));
	umask(077);
	for (size_t i = 0; i < COUNT(secret_files); i++)
		write_file(dir, secret_files[i].key, secret_files[i].text);
	for (size_t i = 0; i < COUNT(endpoint_rows); i++)
		add_endpoint(&text, dir, i);
	if (config_parse("test.conf", buf_slice(&text), &config, &problem) ||
	    endpoint_set_new(config, &endpoints, &problem))
		fail_msg("%s", problem.data);
	config_free(config);
	for (size_t i = 0; i < COUNT(secret_files); i++) {
		char path[64];
		snprintf(path, sizeof(path), "%s/%c", dir, secret_files[i].key);
		unlink(path);
	}
	rmdir(dir);
	log_set_level(LOG_EMERG);
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = too_late}, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	endpoint_set_unref(endpoints);
	buf_release(&sent);
	return 0;
}

/* ------------------------------------------------------------------ the server --------- */

static void start(const char *what)
{
	struct writer_options options = {.store = &disk.store,
					 .clock = &now,
					 .batch_limit = 4,
					 .queue_limit = 1,
					 .commit_timeout_us = 1000};

	doing = what;
	alarm(DEADLINE_S);
	now = clock_fixed(NOW_MS, 1);
	memset(&disk, 0, sizeof(disk));
	disk.store.ops = &disk_ops;
	disk.verdict = VERDICT_APPLIED;
	pthread_mutex_init(&disk.lock, NULL);
	pthread_cond_init(&disk.changed, NULL);
	memset(&server, 0, sizeof(server));
	pthread_mutex_init(&server.lock, NULL);
	write_job_pool_init(&server.jobs);
	fake_start(&server);
	atomic_init(&server.max_body_bytes, MAX_BODY);
	server.options.clock = &now;
	server.options.endpoints = endpoints;
	server.replies = http_replies_new(platform_shansong());
	assert_int_equal(writer_new(&options, &server.options.writer), 0);
	running = true;
}

/* What is kept can be looked at from here on. Nothing where it has been done. */
static void finish(void)
{
	if (!running)
		return;
	running = false;
	block(false);
	writer_free(server.options.writer);
	fake_end();
	fake_stop();
	http_replies_free(server.replies);
	write_job_pool_release(&server.jobs);
	pthread_mutex_destroy(&server.lock);
	pthread_cond_destroy(&disk.changed);
	pthread_mutex_destroy(&disk.lock);
	alarm(0);
}

static int begin_test(void **state)
{
	(void)state;
	n_wrong = 0;
	return 0;
}

/* A test that failed in the middle has left a writer that would disturb the next one. */
static int end_test(void **state)
{
	(void)state;
	finish();
	return 0;
}

/* How often callbacks have ended so, whatever their endpoint. */
static unsigned long long outcomes(const char *key)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 20);
	char label[64];
	unsigned long long n = 0;

	snprintf(label, sizeof(label), "outcome=\"%s\"} ", key);
	assert_int_equal(metrics_render(&text), 0);
	for (const char *at = text.data; (at = strstr(at, label)); at++)
		n += strtoull(at + strlen(label), NULL, 10);
	return n;
}
