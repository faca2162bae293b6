/*
 * Adds orders of some age to a store, through the writer, so that chain and states are right: for
 * tests of what is only seen in a store with a past, or of a size that callbacks would take minutes
 * to reach.
 *
 *     fill_driver STORE ENVIRONMENT ORDERS AGE_S [PREFIX]
 *
 * An order PREFIX0, PREFIX1, … has four events and ends in 50/1. They arrive interleaved, 512
 * orders at a time, the last one AGE_S seconds ago.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/store.h"

#define AT_ONCE 512
#define STEPS 4
#define BODY_BYTES 400

static const int statuses[STEPS] = {20, 30, 40, 50};

struct batch {
	struct event events[AT_ONCE];
	char bodies[AT_ONCE][BODY_BYTES];
	struct store_item items[AT_ONCE];
	struct store_item *pointers[AT_ONCE];
};

static struct batch batch;

static void make_event(size_t i, const char *prefix, int64_t order, int step, int64_t at_ms)
{
	struct event *event = &batch.events[i];
	int len = snprintf(
		batch.bodies[i], BODY_BYTES,
		"{\"issOrderNo\":\"%s%lld\",\"status\":%d,\"mobile\":\"138%08lld\",\"pad\":"
		"\"%0200d\"}",
		prefix, (long long)order, statuses[step], (long long)order, 0);
	struct slice body = {batch.bodies[i], (size_t)len};

	memset(event, 0, sizeof(*event));
	event->status = statuses[step];
	event->sub_status = 1;
	event->occurred_ms = at_ms - 1000;
	event->received_ms = at_ms;
	snprintf(event->iss_order_no, sizeof(event->iss_order_no), "%s%lld", prefix,
		 (long long)order);
	snprintf(event->order_no, sizeof(event->order_no), "m-%s%lld", prefix, (long long)order);
	snprintf(event->shop_id, sizeof(event->shop_id), "shopId");
	snprintf(event->courier_id, sizeof(event->courier_id), "%s", step ? "C1" : "");
	(void)digest_sha256(&body, 1, event->content);
	batch.items[i] = (struct store_item){.event = event,
					     .machine = order_machine_v5(),
					     .endpoint = "shansong",
					     .body = body,
					     .head = SLICE("POST /callback/shansong HTTP/1.1\r\n"),
					     .remote = "192.0.2.7"};
	batch.pointers[i] = &batch.items[i];
}

static int fill(struct store *store, const char *prefix, int64_t orders, int64_t end_ms)
{
	int err = 0;

	for (int64_t first = 0; first < orders && !err; first += AT_ONCE) {
		size_t n = (size_t)(orders - first < AT_ONCE ? orders - first : AT_ONCE);
		for (int step = 0; step < STEPS && !err; step++) {
			for (size_t i = 0; i < n; i++)
				make_event(i, prefix, first + (int64_t)i, step,
					   end_ms - (orders - first) * 10 + step);
			err = store->ops->write_batch(store, batch.pointers, n);
		}
	}
	return err;
}

int main(int argc, char **argv)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct store *store = NULL;
	int err;

	if (argc < 5) {
		fprintf(stderr, "fill_driver STORE ENVIRONMENT ORDERS AGE_S [PREFIX]\n");
		return 2;
	}
	err = store_open_writer(argv[1], argv[2], &store, &problem);
	if (!err)
		err = fill(store, argc > 5 ? argv[5] : "F", strtoll(argv[3], NULL, 10),
			   clock_wall_ms(clock_system()) - strtoll(argv[4], NULL, 10) * 1000);
	if (err)
		fprintf(stderr, "fill_driver: %s\n",
			problem.len ? problem.data : store_problem(store));
	store_close(store);
	return err ? 1 : 0;
}
