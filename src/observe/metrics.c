/*
 * Everything is a relaxed atomic: a scrape may see one callback's counters half done, and a lock on
 * the hot path would buy nothing for it. Endpoint names are interned at first use, under a lock
 * that the hot path never takes.
 */
#include "orderhook/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "orderhook/err.h"

#define ENDPOINTS_MAX 33
#define ENDPOINT_BYTES 65
#define STATUSES_MAX 16

enum metric {
#define METRIC(name, kind, exposed, help) METRIC_##name,
#include "orderhook/tbl/metric.def"
#undef METRIC
	METRIC_MAX
};

struct metric_row {
	const char *kind;
	const char *name;
	const char *help;
};

#define KIND_COUNTER "counter"
#define KIND_GAUGE "gauge"
#define KIND_HISTOGRAM "histogram"

static const struct metric_row rows[METRIC_MAX] = {
#define METRIC(name, kind, exposed, help) [METRIC_##name] = {KIND_##kind, exposed, help},
#include "orderhook/tbl/metric.def"
#undef METRIC
};

#define BOUNDS_MAX 14

struct histogram {
	const int64_t bounds[BOUNDS_MAX]; /* upper, inclusive; 0 ends the list */
	int64_t per_unit;                 /* stored units in one exposed unit */
	_Atomic uint64_t buckets[BOUNDS_MAX + 1];
	_Atomic int64_t sum;
};

static struct histogram request_us = {{250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000,
				       250000, 1000000, 5000000, 10000000},
				      1000000,
				      {0},
				      0};
static struct histogram commit_us = {
	{50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 100000, 500000, 1000000, 5000000},
	1000000,
	{0},
	0};
static struct histogram batch_events = {
	{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096}, 1, {0}, 0};

static pthread_mutex_t endpoints_lock = PTHREAD_MUTEX_INITIALIZER;
static char endpoint_names[ENDPOINTS_MAX][ENDPOINT_BYTES]; /* [0] is ""; written under the lock */
static _Atomic size_t n_endpoints = 1;                     /* those below it are complete */
static _Atomic uint64_t callbacks[ENDPOINTS_MAX][ERR_MAX];
static _Atomic uint64_t events[VERDICT_MAX];
static _Atomic int64_t queue_depth;
static _Atomic int64_t wal_bytes;
static _Atomic int64_t last_commit_ms;
static _Atomic int64_t held_rows;
static _Atomic int64_t held_evicted;
static _Atomic int64_t held_failed;  /* in the store */
static _Atomic int64_t held_dropped; /* before the store */
static struct {
	_Atomic int status; /* 0: free */
	_Atomic int64_t orders;
} order_counts[STATUSES_MAX]; /* written by the writer thread alone */

static size_t find_endpoint(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(endpoint_names[i], name) == 0)
			return i;
	}
	return n;
}

static size_t intern_endpoint(const char *name)
{
	size_t n = atomic_load_explicit(&n_endpoints, memory_order_acquire);
	size_t i = find_endpoint(name, n);

	if (i < n)
		return i;
	if (strlen(name) >= ENDPOINT_BYTES)
		return 0;
	pthread_mutex_lock(&endpoints_lock);
	n = atomic_load_explicit(&n_endpoints, memory_order_relaxed);
	i = find_endpoint(name, n);
	if (i == n && n < ENDPOINTS_MAX) {
		memcpy(endpoint_names[n], name, strlen(name) + 1);
		atomic_store_explicit(&n_endpoints, n + 1, memory_order_release);
	} else if (i == n) {
		i = 0;
	}
	pthread_mutex_unlock(&endpoints_lock);
	return i;
}

void metrics_callback(const char *endpoint, int outcome)
{
	int err = outcome < 0 ? -outcome : outcome;

	if (err >= ERR_MAX)
		err = ERR_INTERNAL;
	atomic_fetch_add_explicit(&callbacks[intern_endpoint(endpoint)][err], 1,
				  memory_order_relaxed);
}

void metrics_event(enum verdict verdict)
{
	atomic_fetch_add_explicit(&events[verdict], 1, memory_order_relaxed);
}

static void histogram_add(struct histogram *histogram, int64_t value)
{
	size_t i = 0;

	while (i < BOUNDS_MAX && histogram->bounds[i] && value > histogram->bounds[i])
		i++;
	atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

void metrics_request_us(int64_t us)
{
	histogram_add(&request_us, us);
}

void metrics_commit(int64_t us, size_t n_events, int64_t wall_ms)
{
	histogram_add(&commit_us, us);
	histogram_add(&batch_events, (int64_t)n_events);
	atomic_store_explicit(&last_commit_ms, wall_ms, memory_order_relaxed);
}

void metrics_queue_depth(size_t depth)
{
	atomic_store_explicit(&queue_depth, (int64_t)depth, memory_order_relaxed);
}

void metrics_wal_bytes(int64_t bytes)
{
	atomic_store_explicit(&wal_bytes, bytes, memory_order_relaxed);
}

void metrics_held(int64_t rows_kept, int64_t evicted, int64_t failed)
{
	atomic_store_explicit(&held_rows, rows_kept, memory_order_relaxed);
	atomic_store_explicit(&held_evicted, evicted, memory_order_relaxed);
	atomic_store_explicit(&held_failed, failed, memory_order_relaxed);
}

void metrics_held_dropped(void)
{
	atomic_fetch_add_explicit(&held_dropped, 1, memory_order_relaxed);
}

void metrics_orders(int status, int64_t orders)
{
	for (size_t i = 0; i < STATUSES_MAX; i++) {
		int there = atomic_load_explicit(&order_counts[i].status, memory_order_relaxed);
		if (there && there != status)
			continue;
		atomic_store_explicit(&order_counts[i].orders, orders, memory_order_relaxed);
		atomic_store_explicit(&order_counts[i].status, status, memory_order_release);
		return;
	}
}

static int render_head(struct buf *out, enum metric metric)
{
	return buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[metric].name, rows[metric].help,
			rows[metric].name, rows[metric].kind);
}

static int render_histogram(struct buf *out, enum metric metric, struct histogram *histogram)
{
	const char *name = rows[metric].name;
	double unit = (double)histogram->per_unit;
	uint64_t count = 0;
	int err = render_head(out, metric);
	size_t i = 0;

	for (; !err && i < BOUNDS_MAX && histogram->bounds[i]; i++) {
		count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
		err = buf_addf(out, "%s_bucket{le=\"%g\"} %llu\n", name,
			       (double)histogram->bounds[i] / unit, (unsigned long long)count);
	}
	count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
	if (!err)
		err = buf_addf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n",
			       name, (unsigned long long)count, name,
			       (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) /
				       unit,
			       name, (unsigned long long)count);
	return err;
}

static int render_gauge(struct buf *out, enum metric metric, double value)
{
	int err = render_head(out, metric);

	return err ? err : buf_addf(out, "%s %.15g\n", rows[metric].name, value);
}

static int render_callbacks(struct buf *out)
{
	size_t n = atomic_load_explicit(&n_endpoints, memory_order_acquire);
	int err = render_head(out, METRIC_CALLBACKS);

	for (size_t i = 0; i < n; i++) {
		for (int outcome = 0; !err && outcome < ERR_MAX; outcome++) {
			uint64_t count =
				atomic_load_explicit(&callbacks[i][outcome], memory_order_relaxed);
			if (count)
				err = buf_addf(out, "%s{endpoint=\"%s\",outcome=\"%s\"} %llu\n",
					       rows[METRIC_CALLBACKS].name, endpoint_names[i],
					       err_key(outcome), (unsigned long long)count);
		}
	}
	return err;
}

static int render_events(struct buf *out)
{
	int err = render_head(out, METRIC_EVENTS);

	for (int verdict = 0; !err && verdict < VERDICT_MAX; verdict++)
		err = buf_addf(out, "%s{verdict=\"%s\"} %llu\n", rows[METRIC_EVENTS].name,
			       verdict_key((enum verdict)verdict),
			       (unsigned long long)atomic_load_explicit(&events[verdict],
									memory_order_relaxed));
	return err;
}

static int render_orders(struct buf *out)
{
	int err = render_head(out, METRIC_ORDERS);

	for (size_t i = 0; !err && i < STATUSES_MAX; i++) {
		int status = atomic_load_explicit(&order_counts[i].status, memory_order_acquire);
		if (status)
			err = buf_addf(out, "%s{status=\"%d\"} %lld\n", rows[METRIC_ORDERS].name,
				       status,
				       (long long)atomic_load_explicit(&order_counts[i].orders,
								       memory_order_relaxed));
	}
	return err;
}

static int render_held(struct buf *out)
{
	int64_t dropped = atomic_load_explicit(&held_dropped, memory_order_relaxed) +
			  atomic_load_explicit(&held_failed, memory_order_relaxed);
	int err = render_gauge(out, METRIC_HELD,
			       (double)atomic_load_explicit(&held_rows, memory_order_relaxed));

	if (!err)
		err = render_gauge(
			out, METRIC_HELD_EVICTED,
			(double)atomic_load_explicit(&held_evicted, memory_order_relaxed));
	return err ? err : render_gauge(out, METRIC_HELD_DROPPED, (double)dropped);
}

int metrics_render(struct buf *out)
{
	int err = render_callbacks(out);

	if (!err)
		err = render_events(out);
	if (!err)
		err = render_histogram(out, METRIC_REQUEST_SECONDS, &request_us);
	if (!err)
		err = render_histogram(out, METRIC_COMMIT_SECONDS, &commit_us);
	if (!err)
		err = render_histogram(out, METRIC_BATCH_EVENTS, &batch_events);
	if (!err)
		err = render_gauge(
			out, METRIC_QUEUE_DEPTH,
			(double)atomic_load_explicit(&queue_depth, memory_order_relaxed));
	if (!err)
		err = render_gauge(out, METRIC_WAL_BYTES,
				   (double)atomic_load_explicit(&wal_bytes, memory_order_relaxed));
	if (!err)
		err = render_gauge(
			out, METRIC_LAST_COMMIT,
			(double)atomic_load_explicit(&last_commit_ms, memory_order_relaxed) / 1000);
	if (!err)
		err = render_orders(out);
	if (!err)
		err = render_held(out);
	if (!err)
		err = render_head(out, METRIC_BUILD_INFO);
	if (!err)
		err = buf_addf(out, "%s{version=\"%s\"} 1\n", rows[METRIC_BUILD_INFO].name,
			       ORDERHOOK_VERSION);
	return err;
}
