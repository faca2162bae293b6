/*
 * SQLite alone: the store's own write_batch(), without HTTP, ingest, threads or waiting, at a fixed
 * number of events in a transaction. Events are made before the clock runs. Prints JSON.
 * --evidence: of all that only what proves it later, each event's place in the chain and the head's
 * write once a batch, to FILE.head.
 * Usage: bench_store --store FILE --batch N --seconds S --first-order N [--fill EVENTS]
 * [--evidence]
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../../src/store/sqlite_private.h"
#include "callbacks.h"
#include "histogram.h"
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/store.h"

#define SECRET "bench-secret-0123456789"
#define BATCH_MAX 4096
#define HEAD                                                                    \
	"POST /callback/shansong HTTP/1.1\r\nHost: localhost\r\nContent-Type: " \
	"application/json\r\n"                                                  \
	"User-Agent: orderhook-bench\r\nContent-Length: 680\r\n"

/* One order, as one connection would play it: the next transaction takes its next step. */
struct prepared {
	uint64_t order;
	unsigned step;
	struct event event;
	struct buf body;
	struct store_item item;
};

struct bench {
	struct callbacks callbacks;
	struct endpoint endpoint;
	struct buf scratch;
	struct prepared *prepared;
	struct store_item **items;
	uint64_t next_order;
};

static void die(int err, const char *what)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, err_text(err));
	exit(1);
}

static void prepare(struct bench *bench, struct prepared *prepared)
{
	int64_t now_ms = clock_wall_ms(clock_system());
	struct delivery delivery = {.type = BODY_JSON, .token_ok = true, .received_ms = now_ms};
	int err;

	buf_reset(&prepared->body);
	err = buf_add_slice(&prepared->body, callbacks_make(&bench->callbacks, prepared->step,
							    prepared->order, now_ms));
	delivery.body = buf_slice(&prepared->body);
	if (!err)
		err = ingest(&bench->endpoint, &delivery, &bench->scratch, &prepared->event);
	if (err)
		die(err, "ingest");
	prepared->item = (struct store_item){.event = &prepared->event,
					     .machine = bench->endpoint.platform->machine(),
					     .endpoint = bench->endpoint.name,
					     .body = delivery.body,
					     .head = SLICE(HEAD),
					     .remote = "127.0.0.1"};
	if (++prepared->step == CALLBACK_STEPS) {
		prepared->step = 0;
		prepared->order = bench->next_order++;
	}
}

static void prepare_batch(struct bench *bench, size_t n)
{
	for (size_t i = 0; i < n; i++)
		prepare(bench, &bench->prepared[i]);
}

static void bench_init(struct bench *bench, size_t batch, uint64_t first_order)
{
	static char key[] = SECRET;
	static char name[] = "shansong";
	static struct secret secret = {key, sizeof(key) - 1};

	memset(bench, 0, sizeof(*bench));
	callbacks_init(&bench->callbacks, "tests/fixtures/shansong", SLICE(SECRET));
	bench->endpoint = (struct endpoint){.name = name,
					    .platform = platform_shansong(),
					    .any_shop = true,
					    .signature = SIGNATURE_REQUIRED,
					    .secrets = &secret,
					    .n_secrets = 1};
	buf_init(&bench->scratch, 64 * 1024);
	bench->next_order = first_order;
	bench->prepared = calloc(batch, sizeof(*bench->prepared));
	bench->items = calloc(batch, sizeof(*bench->items));
	if (!bench->prepared || !bench->items)
		die(-ERR_NOMEM, "start");
	for (size_t i = 0; i < batch; i++) {
		buf_init(&bench->prepared[i].body, 64 * 1024);
		bench->prepared[i].order = bench->next_order++;
		bench->items[i] = &bench->prepared[i].item;
	}
}

struct options {
	const char *store;
	int64_t batch;
	int64_t seconds;
	int64_t first_order;
	int64_t fill;
	bool evidence;
};

static void parse(int argc, char **argv, struct options *ret)
{
	static const struct option names[] = {
		{"store", 1, NULL, 's'},   {"batch", 1, NULL, 'b'},
		{"seconds", 1, NULL, 'd'}, {"first-order", 1, NULL, 'o'},
		{"fill", 1, NULL, 'n'},    {"evidence", 0, NULL, 'e'},
		{NULL, 0, NULL, 0}};
	int bad = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			ret->store = optarg;
			break;
		case 'b':
			bad |= slice_to_i64(slice_of(optarg), 1, BATCH_MAX, &ret->batch);
			break;
		case 'd':
			bad |= slice_to_i64(slice_of(optarg), 1, 600, &ret->seconds);
			break;
		case 'o':
			bad |= slice_to_i64(slice_of(optarg), 0, INT64_MAX, &ret->first_order);
			break;
		case 'n':
			bad |= slice_to_i64(slice_of(optarg), 0, INT64_MAX, &ret->fill);
			break;
		case 'e':
			ret->evidence = true;
			break;
		default:
			bad = 1;
		}
	}
	if (bad || !ret->store) {
		fputs("bench_store: see the head of tests/bench/bench_store.c\n", stderr);
		exit(2);
	}
}

static int write_evidence(const struct bench *bench, size_t n, struct store_head *head,
			  struct store_head_file *file)
{
	const struct judgement judgement = {.verdict = VERDICT_APPLIED};
	struct chain_stamp stamp;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = chain_stamp(head->link, bench->items[i], bench->items[i]->event, &judgement,
				  ++head->event_id, &stamp);
		memcpy(head->link, stamp.link, sizeof(head->link));
	}
	store_head_write(file, head);
	return err ? err : file->errno_of_write ? -ERR_STORE_IO : 0;
}

int main(int argc, char **argv)
{
	struct options options = {.batch = 64, .seconds = 3};
	static struct histogram transactions;
	static struct bench bench;
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	const struct clock *clock = clock_system();
	struct store_head_file head_file = {.fd = -1};
	struct store_head head = {.store_id = ""};
	struct store *store;
	uint64_t events = 0;
	int64_t spent_us = 0;
	int err;

	parse(argc, argv, &options);
	order_machine_v5();
	bench_init(&bench, (size_t)options.batch, (uint64_t)options.first_order);
	err = store_open_writer(options.store, "test", &store, &problem);
	if (!err && options.evidence)
		err = store_head_open(options.store, false, &head_file, &problem);
	if (err)
		die(err, problem.len ? problem.data : "open");
	while (options.fill ? (int64_t)events < options.fill
			    : spent_us < options.seconds * 1000000) {
		prepare_batch(&bench, (size_t)options.batch);
		int64_t begin_us = clock_elapsed_us(clock);
		err = options.evidence
			      ? write_evidence(&bench, (size_t)options.batch, &head, &head_file)
			      : store->ops->write_batch(store, bench.items, (size_t)options.batch);
		int64_t took_us = clock_elapsed_us(clock) - begin_us;
		if (err)
			die(err, store_problem(store));
		histogram_add(&transactions, took_us);
		spent_us += took_us;
		events += (uint64_t)options.batch;
	}
	printf("{\"batch\":%lld,\"events\":%llu,\"per_second\":%.1f,\"p50_us\":%lld,\"p99_us\":%"
	       "lld,"
	       "\"next_order\":%llu}\n",
	       (long long)options.batch, (unsigned long long)events,
	       (double)events * 1e6 / (double)spent_us,
	       (long long)histogram_percentile(&transactions, 0.50),
	       (long long)histogram_percentile(&transactions, 0.99),
	       (unsigned long long)bench.next_order);
	store_head_close(&head_file);
	store_close(store);
	return 0;
}
