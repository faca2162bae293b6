/*
 * The workload: new events, the same ones again, conflicts, other events, refused deliveries,
 * checkpoints, some of them beside a reader, syncs of the head, clean ends and starts, a migration;
 * in half of the lives one system call fails, as the daemon would meet it: after a failure that is
 * final the store is closed and opened again over what the kernel still has in its cache.
 */
#include "power_life.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS 3
#define STEPS 7
#define INIT_OPERATIONS 60 /* about so many */
#define LIFE_OPERATIONS 160
#define BASE_MS INT64_C(1748595319000)

static const struct sql_text *migrations_of(const struct life *life)
{
	static struct sql_text later[16];
	size_t n = 0;

	if (life->migrated_at == NEVER)
		return sql_migrations;
	for (; sql_migrations[n].text; n++)
		later[n] = sql_migrations[n];
	later[n] = (struct sql_text){
		.number = later[n - 1].number + 1,
		.name = "later",
		.text = "CREATE TABLE later (x);"
			"INSERT INTO later SELECT event_id FROM event;"
			"ALTER TABLE orders ADD COLUMN later INTEGER",
	};
	return later;
}

int life_open(const struct life *life, struct store **ret, struct buf *problem)
{
	int err =
		sqlite_store_open(POWER_PATH, POWER_ENVIRONMENT, migrations_of(life), ret, problem);

	if (err)
		return err;
	err = (*ret)->ops->touch(*ret);
	if (err) {
		buf_addf(problem, "touch: %s", store_problem(*ret));
		store_close(*ret);
	}
	return err;
}

/* ------------------------------------------------------------------ events ------------- */

size_t power_body(uint64_t seed, int number, bool held, char ret[POWER_BODY_BYTES])
{
	struct rng rng = {seed * 31 + (uint64_t)number * 2 + held};
	size_t len = (size_t)snprintf(ret, POWER_BODY_BYTES, "%c%d ", held ? 'h' : 'e', number);
	size_t end = len + rng_below(&rng, rng_below(&rng, 8) ? 300 : POWER_BODY_BYTES - 20);

	while (len < end) {
		uint64_t letters = rng_next(&rng);
		for (int i = 0; i < 8 && len < end; i++, letters >>= 8)
			ret[len++] = (char)('a' + letters % 16);
	}
	return len;
}

/* Every 23rd is a conflict: another content under the key of an earlier one. */
static void make_event(int number, struct slice body, struct event *event)
{
	static const int steps[][2] = {{20, 1}, {30, 1}, {40, 1}, {50, 1}};
	int key = number % 23 == 22 ? number - 5 : number;
	const int *step = steps[key / 5 % 4];

	memset(event, 0, sizeof(*event));
	event->kind = number % 19 == 18 ? EVENT_OTHER : EVENT_ORDER;
	event->status = step[0];
	event->sub_status = step[1];
	event->occurred_ms = BASE_MS + key * 1000;
	event->received_ms = event->occurred_ms + 700;
	snprintf(event->iss_order_no, sizeof(event->iss_order_no), "TDP%d", key % 5 + key / 20 * 5);
	if (key % 7)
		snprintf(event->order_no, sizeof(event->order_no), "no-%d", key % 5 + key / 20 * 5);
	snprintf(event->shop_id, sizeof(event->shop_id), "shop-1");
	snprintf(event->courier_id, sizeof(event->courier_id), "%s", step[0] > 20 ? "c-7" : "");
	if (event->kind == EVENT_OTHER)
		snprintf(event->callback_event, sizeof(event->callback_event), "OTHER_CALLBACK");
	digest_sha256(&body, 1, event->content);
}

static size_t make_holds(struct life *life, struct disk *disk, size_t n,
			 struct store_hold holds[BATCH_MAX], char bodies[][POWER_BODY_BYTES])
{
	for (size_t i = 0; i < n; i++) {
		int number = (int)life->n_holds;
		size_t len = power_body(life->seed, number, true, bodies[i]);
		holds[i] = (struct store_hold){
			.endpoint = "shansong",
			.reason = "sign-wrong",
			.remote = "192.0.2.8",
			.head = SLICE("POST /callback/shansong HTTP/1.1\r\n"),
			.body = {bodies[i], len},
			.received_ms = BASE_MS + number,
			.ours = true,
		};
		life->holds[life->n_holds++] = (struct attempt){number, disk->n_ops, NEVER};
	}
	return n;
}

int life_send(struct life *life, struct disk *disk, struct store *store, const int *numbers,
	      size_t n, size_t n_holds)
{
	static char bodies[BATCH_MAX][POWER_BODY_BYTES];
	static char held_bodies[BATCH_MAX][POWER_BODY_BYTES];
	struct event events[BATCH_MAX];
	struct store_item items[BATCH_MAX];
	struct store_item *pointers[BATCH_MAX];
	struct store_hold holds[BATCH_MAX];
	struct store_held_stats before;
	struct store_held_stats after;
	size_t first = life->n_attempts;
	int err;

	store_held_stats(store, &before);
	if (n_holds && make_holds(life, disk, n_holds, holds, held_bodies))
		store->ops->hold(store, holds, n_holds);
	for (size_t i = 0; i < n; i++) {
		struct slice body = {bodies[i],
				     power_body(life->seed, numbers[i], false, bodies[i])};
		make_event(numbers[i], body, &events[i]);
		items[i] = (struct store_item){
			.event = &events[i],
			.machine = order_machine_v5(),
			.endpoint = "shansong",
			.body = body,
			.head = SLICE("POST /callback/shansong HTTP/1.1\r\n"),
			.remote = "192.0.2.7",
		};
		pointers[i] = &items[i];
		life->attempts[life->n_attempts++] =
			(struct attempt){numbers[i], disk->n_ops, NEVER};
	}
	err = store->ops->write_batch(store, pointers, n);
	for (size_t i = 0; i < n; i++) {
		if (items[i].result.err == 0)
			life->attempts[first + i].acked_at = disk->n_ops;
	}
	store_held_stats(store, &after);
	for (size_t i = life->n_holds - n_holds; i < life->n_holds; i++) {
		if (!err && before.failed == after.failed)
			life->holds[i].acked_at = disk->n_ops;
	}
	return err;
}

/* ------------------------------------------------------------------ a life ------------- */

static bool tell(struct life *life, const char *what, const char *detail)
{
	snprintf(life->why, sizeof(life->why), "%s: %s", what, detail);
	return false;
}

static int send_some(struct life *life, struct disk *disk, struct store *store, struct rng *rng)
{
	int numbers[BATCH_MAX];
	size_t n = rng_below(rng, 8) ? 1 + rng_below(rng, 5) : 0;
	size_t n_holds = rng_below(rng, 3) ? 0 : 1 + rng_below(rng, 2);

	if (life->n_events + BATCH_MAX > EVENTS_MAX || life->n_attempts + BATCH_MAX > ATTEMPTS_MAX)
		n = 0;
	if (life->n_holds + 2 > HOLDS_MAX)
		n_holds = 0;
	for (size_t i = 0; i < n; i++)
		numbers[i] = life->n_events && rng_below(rng, 4) == 0
				     ? (int)rng_below(rng, (uint64_t)life->n_events)
				     : life->n_events++;
	return life_send(life, disk, store, numbers, n, n_holds);
}

/* The head was synced while this was the newest event. After a failure nothing is promised: a full
 * disk leaves the older word. */
static void promise_head(struct life *life, const struct disk *disk, int64_t event_id)
{
	if (!disk->failed && life->n_promises < PROMISES_MAX)
		life->promises[life->n_promises++] = (struct promise){event_id, disk->n_ops};
}

static int64_t newest_of(const struct store *store)
{
	return ((const struct sqlite_store *)store)->head.event_id;
}

/* Somebody removes PATH.head, and the daemon makes it anew. */
static int remove_head(struct life *life, struct disk *disk, struct store *store)
{
	int err;

	if (life->n_promises == PROMISES_MAX || unlink(POWER_PATH ".head") != 0)
		return 0;
	life->promises[life->n_promises++] = (struct promise){NO_PROMISE, disk->n_ops};
	err = store_sync_head(store);
	return err < 0 ? err : 0;
}

static sqlite3 *begin_reading(void)
{
	sqlite3 *reader = NULL;

	if (sqlite3_open_v2(POWER_PATH, &reader, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK)
		sqlite3_exec(reader, "BEGIN; PRAGMA user_version", NULL, NULL, NULL);
	sqlite3_db_config(reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return reader;
}

/* A checkpoint copies no further than the oldest reader sees, and syncs the database only when it
 * copies everything: what was copied beside a reader waits for the sync of a later one. */
static int checkpoint_beside_reader(struct life *life, struct disk *disk, struct store *store,
				    struct rng *rng)
{
	int err = send_some(life, disk, store, rng);
	sqlite3 *reader = begin_reading();

	if (!err)
		err = send_some(life, disk, store, rng);
	if (!err)
		err = store->ops->checkpoint(store);
	sqlite3_close(reader);
	return err ? err : store->ops->checkpoint(store);
}

/* One thing that a daemon does. */
static int step(struct life *life, struct disk *disk, struct store *store, struct rng *rng)
{
	uint64_t choice = rng_below(rng, 24);
	int err = 0;

	if (choice <= 1)
		err = store->ops->checkpoint(store);
	else if (choice >= 20)
		err = checkpoint_beside_reader(life, disk, store, rng);
	else if (choice <= 4)
		err = store_sync_head(store);
	else if (choice == 5)
		err = remove_head(life, disk, store);
	else
		err = send_some(life, disk, store, rng);
	if (!err && choice >= 2 && choice <= 5)
		promise_head(life, disk, newest_of(store));
	return err;
}

/* False when the life ends here. */
static bool session(struct life *life, struct disk *disk, struct rng *rng)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	struct store *store;
	size_t steps = 2 + rng_below(rng, STEPS);
	int64_t newest;
	int err = life_open(life, &store, &problem);

	if (err)
		return disk->failed ? false : tell(life, "open", problem.data);
	for (size_t i = 0; i < steps; i++) {
		err = step(life, disk, store, rng);
		if (err && !disk->failed) {
			tell(life, "a step", store_problem(store));
			store_close(store);
			return false;
		}
		if (((struct sqlite_store *)store)->failed)
			break; /* the daemon ends */
	}
	newest = newest_of(store);
	store_close(store);
	promise_head(life, disk, newest);
	return true;
}

/* A sync is one call of many, and the one that everything hangs on: it has a share of its own. */
static struct failing choose_failing(struct rng *rng, size_t from)
{
	static const char *const syncs[] = {POWER_NAME, POWER_NAME, POWER_NAME, POWER_NAME "-wal",
					    POWER_NAME ".head"};
	static const int errors[] = {EIO, ENOSPC};
	uint64_t of = rng_below(rng, 2 * sizeof(syncs) / sizeof(syncs[0]));

	return (struct failing){
		.from = from,
		.error = errors[rng_below(rng, 2)],
		.sync_of = of < sizeof(syncs) / sizeof(syncs[0]) ? syncs[of] : NULL,
	};
}

bool life_run(struct life *life, struct disk *disk, struct rng *rng)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	bool migrates = rng_below(rng, 8) == 0;

	life->made_at = NEVER;
	life->migrated_at = NEVER;
	if (rng_below(rng, 20) == 0)
		disk->failing = choose_failing(rng, rng_below(rng, INIT_OPERATIONS));
	if (store_create(POWER_PATH, POWER_ENVIRONMENT, &problem))
		return disk->failed ? true : tell(life, "init", problem.data);
	life->made_at = disk->n_ops;
	if (!disk->failed && rng_below(rng, 2))
		disk->failing = choose_failing(rng, disk->n_ops + rng_below(rng, LIFE_OPERATIONS));
	for (int i = 0; i < SESSIONS; i++) {
		if (migrates && i == 1)
			life->migrated_at = disk->n_ops;
		if (!session(life, disk, rng))
			break;
	}
	return !life->why[0];
}

static size_t moment(size_t at, size_t until)
{
	return at <= until ? 0 : NEVER;
}

void life_at(const struct life *life, size_t at, struct life *ret)
{
	int64_t promised = NO_PROMISE;

	*ret = *life;
	ret->n_attempts = 0;
	for (size_t i = 0; i < life->n_attempts; i++) {
		const struct attempt *one = &life->attempts[i];
		if (one->sent_at <= at)
			ret->attempts[ret->n_attempts++] =
				(struct attempt){one->number, 0, moment(one->acked_at, at)};
	}
	ret->n_holds = 0;
	for (size_t i = 0; i < life->n_holds; i++) {
		const struct attempt *one = &life->holds[i];
		if (one->sent_at <= at)
			ret->holds[ret->n_holds++] =
				(struct attempt){one->number, 0, moment(one->acked_at, at)};
	}
	ret->n_promises = 0;
	for (size_t i = 0; i < life->n_promises; i++) {
		if (life->promises[i].at <= at)
			promised = life->promises[i].event_id;
	}
	if (promised != NO_PROMISE)
		ret->promises[ret->n_promises++] = (struct promise){promised, 0};
	ret->made_at = moment(life->made_at, at);
	ret->migrated_at = moment(life->migrated_at, at);
	ret->why[0] = '\0';
}

sqlite3 *store_db(struct store *store)
{
	return ((struct sqlite_store *)store)->connection.db;
}
