/*
 * Power loss. A store lives on a disk that keeps a list of what was done to it (crash_disk.c);
 * then, at moments of that list, the power fails, the disk keeps what the seed says of what was not
 * synced, and the daemon's way of starting runs on what is there. Whatever that is:
 *
 *   - what was acknowledged is stored, byte for byte, each event once; what is stored was sent;
 *   - the start is not refused, unless `orderhook init` had not yet said that it made the store;
 *   - PATH.head names the event that it named when it was last synced, or a newer one;
 *   - refused deliveries that were kept are still there;
 *   - a retry of what was in doubt is taken, and `verify` finds nothing.
 *
 * Some states crash again in the middle of that start. A life gives STATES_PER_LIFE states that
 * hold a store, and before them a few in which init has not yet said that it made one, which do not
 * count as states; its seed and the number of a state make exactly that state again.
 *
 *     power [--states N] [--seed S] [--state K] [-v]
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/store_verify.h"
#include "power_life.h"

#define STATES_PER_LIFE 100
#define POINTS_BEFORE_MADE 6
#define POINTS (POINTS_BEFORE_MADE + STATES_PER_LIFE)
#define CRASHES_MAX 3
#define HANG_S 60
#define OPERATIONS_TOLD 60

struct figures {
	long long states; /* crashes after init said that it made the store */
	long long before_made;
	long long lives;
	long long failed; /* of them, lives in which a call failed */
	long long acked;  /* compared with the store, summed over the states */
	long long in_doubt;
	long long in_doubt_kept;
	long long refused; /* starts before init was done, as it should be */
	long long again;   /* crashed in the start */
	long long styles[CRASH_STYLE_MAX];
};

static struct figures figures;
static bool verbose;
/* What is told when a promise is broken, and which state to make again. */
static char where[256];
static uint64_t life_seed;
static int state_number;

__attribute__((format(printf, 1, 2))) static bool violated(const char *format, ...)
{
	va_list arguments;

	printf("VIOLATION: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n    %s\n    again: power --seed %llu --state %d -v\n", where,
	       (unsigned long long)life_seed, state_number);
	return false;
}

static void hang(int signal_number)
{
	(void)signal_number;
	violated("no end after %d s", HANG_S);
	fflush(stdout);
	_exit(1);
}

/* ------------------------------------------------------------------ what is stored ----- */

struct counts {
	int stored[EVENTS_MAX];
	int64_t deliveries[EVENTS_MAX];
	int sent[EVENTS_MAX];
	int acked[EVENTS_MAX];
	bool held[HOLDS_MAX];
};

/* The number in a body, -1 when it is not the body that was sent under it. */
static int number_of(const struct life *life, const void *bytes, int len, bool held)
{
	static char expected[POWER_BODY_BYTES];
	int number = -1;

	if (!bytes || len < 2 || len >= POWER_BODY_BYTES)
		return -1;
	snprintf(expected, sizeof(expected), "%.*s", len < 12 ? len : 12, (const char *)bytes);
	if (sscanf(expected + 1, "%d", &number) != 1 || number < 0 ||
	    number >= (held ? HOLDS_MAX : EVENTS_MAX))
		return -1;
	if (power_body(life->seed, number, held, expected) != (size_t)len ||
	    memcmp(expected, bytes, (size_t)len) != 0)
		return -1;
	return number;
}

static bool read_rows(sqlite3 *db, const struct life *life, bool held, struct counts *counts)
{
	const char *query = held ? "SELECT body, deliveries FROM held"
				 : "SELECT body, deliveries FROM event"
				   " UNION ALL SELECT body, NULL FROM other";
	sqlite3_stmt *rows = NULL;
	int code = sqlite3_prepare_v2(db, query, -1, &rows, NULL);

	while (code == SQLITE_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
		int number = number_of(life, sqlite3_column_blob(rows, 0),
				       sqlite3_column_bytes(rows, 0), held);
		if (number < 0) {
			sqlite3_finalize(rows);
			return violated("stored and never sent like this");
		}
		if (held) {
			counts->held[number] = true;
		} else {
			counts->stored[number]++;
			/* An other event is not compared with earlier ones: each receipt is one. */
			counts->deliveries[number] += sqlite3_column_type(rows, 1) == SQLITE_NULL
							      ? 1
							      : sqlite3_column_int64(rows, 1);
		}
		code = SQLITE_OK;
	}
	sqlite3_finalize(rows);
	return code == SQLITE_DONE || violated("unreadable: %s", sqlite3_errmsg(db));
}

static bool is_other(int number)
{
	return number % 19 == 18;
}

static bool compare_event(const struct counts *counts, int number)
{
	if (counts->acked[number] && !counts->stored[number])
		return violated("event %d was acknowledged and is not stored", number);
	if (counts->stored[number] && !counts->sent[number])
		return violated("event %d is stored and was not sent", number);
	if (counts->stored[number] > 1 && !is_other(number))
		return violated("event %d is stored %d times", number, counts->stored[number]);
	if (counts->deliveries[number] < counts->acked[number] ||
	    counts->deliveries[number] > counts->sent[number])
		return violated("event %d was sent %d times, acknowledged %d times, and counts "
				"%lld deliveries",
				number, counts->sent[number], counts->acked[number],
				(long long)counts->deliveries[number]);
	return true;
}

/* Compares; counts[] of what was found for the retries. */
static bool compare(sqlite3 *db, const struct life *life, struct counts *counts, bool count_figures)
{
	memset(counts, 0, sizeof(*counts));
	for (size_t i = 0; i < life->n_attempts; i++) {
		const struct attempt *one = &life->attempts[i];
		counts->sent[one->number]++;
		counts->acked[one->number] += one->acked_at != NEVER;
	}
	if (!read_rows(db, life, false, counts) || !read_rows(db, life, true, counts))
		return false;
	for (int number = 0; number < EVENTS_MAX; number++) {
		if (!compare_event(counts, number))
			return false;
		if (!count_figures || !counts->sent[number])
			continue;
		figures.acked += counts->acked[number] != 0;
		figures.in_doubt += !counts->acked[number];
		figures.in_doubt_kept += !counts->acked[number] && counts->stored[number];
	}
	for (size_t i = 0; i < life->n_holds; i++) {
		if (life->holds[i].acked_at != NEVER && !counts->held[life->holds[i].number])
			return violated("the refused delivery %d was kept and is gone",
					life->holds[i].number);
	}
	return true;
}

/* ------------------------------------------------------------------ a start ------------ */

static bool check_promise(const struct life *life)
{
	struct store_head head;
	int err;

	if (life->n_promises == 0)
		return true;
	err = store_head_read(POWER_PATH, &head);
	if (err)
		return violated("PATH.head named event %lld and was synced, and is %s",
				(long long)life->promises[0].event_id, err_text(err));
	return head.event_id >= life->promises[0].event_id ||
	       violated("PATH.head named event %lld and was synced, and names %lld",
			(long long)life->promises[0].event_id, (long long)head.event_id);
}

/* The retries of what was in doubt, and something new. */
static bool retry(struct life *life, struct disk *disk, struct store *store, struct counts *counts)
{
	int numbers[BATCH_MAX];
	size_t n = 0;
	size_t first;

	for (int number = EVENTS_MAX - 1; number >= 0 && n < BATCH_MAX - 1; number--) {
		if (counts->sent[number] && !counts->acked[number])
			numbers[n++] = number;
	}
	if (life->n_events < EVENTS_MAX)
		numbers[n++] = life->n_events++;
	if (life->n_attempts + n > ATTEMPTS_MAX)
		return true;
	first = life->n_attempts;
	if (life_send(life, disk, store, numbers, n, 0))
		return violated("a batch after the start: %s", store_problem(store));
	for (size_t i = first; i < life->n_attempts; i++) {
		if (life->attempts[i].acked_at == NEVER)
			return violated("the retry of event %d was refused",
					life->attempts[i].number);
	}
	return compare(store_db(store), life, counts, false);
}

static void note_finding(const struct store_finding *finding, void *context)
{
	int *n = context;

	++*n;
	violated("verify: %s, event %lld: %s", finding_key(finding->finding),
		 (long long)finding->event_id, finding->detail);
}

static bool verify(void)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	int found = 0;
	const struct store_verify options = {
		.machine = order_machine_v5(), .found = note_finding, .context = &found};
	struct store_verify_totals totals;
	struct store_reader *reader;
	int err = store_open_reader(POWER_PATH, &reader, &problem);

	if (err)
		return violated("verify cannot open the store: %s", problem.data);
	err = store_verify(reader, &options, &totals);
	if (err)
		violated("verify: %s", store_reader_problem(reader));
	store_reader_close(reader);
	return !err && !found;
}

/* Only what init had not yet called a store may be refused. */
static bool check_refusal(const struct life *life, int err, const char *problem)
{
	bool fits =
		err == -ERR_STORE_MISSING || err == -ERR_STORE_FOREIGN || err == -ERR_STORE_CORRUPT;

	if (life->made_at == NEVER && fits) {
		figures.refused++;
		return true;
	}
	return violated("the start was refused (%s): %s", err_key(err), problem);
}

/* What the daemon and a person do after the power is back. */
static bool start_again(struct life *life, struct disk *disk)
{
	BUF_AUTO struct buf problem = BUF_INIT(2048);
	static struct counts counts;
	struct store *store;
	bool fine;
	int err;

	if (!check_promise(life))
		return false;
	err = life_open(life, &store, &problem);
	if (err)
		return check_refusal(life, err, problem.data);
	fine = compare(store_db(store), life, &counts, true) && retry(life, disk, store, &counts);
	if (fine && store_sync_head(store) < 0)
		fine = violated("the head: %s", store_problem(store));
	if (fine && life->n_promises < PROMISES_MAX)
		life->promises[life->n_promises++] = (struct promise){
			((struct sqlite_store *)store)->head.event_id, disk->n_ops};
	/* A store of a later program has no reader in this one. */
	if (fine && life->migrated_at == NEVER)
		fine = verify();
	store_close(store);
	return fine;
}

/* ------------------------------------------------------------------ states ------------- */

static enum crash_style choose_style(struct rng *rng)
{
	/* The plain ones are the same for every seed, so the others come more often. */
	static const enum crash_style styles[] = {
		CRASH_FORGOTTEN, CRASH_KEPT,    CRASH_PREFIX,   CRASH_PREFIX,   CRASH_SUBSET,
		CRASH_SUBSET,    CRASH_SUBSET,  CRASH_TORN_512, CRASH_TORN_512, CRASH_TORN_4096,
		CRASH_TORN_4096, CRASH_GARBAGE, CRASH_GARBAGE,  CRASH_GARBAGE,  CRASH_KILLED,
	};

	return styles[rng_below(rng, sizeof(styles) / sizeof(styles[0]))];
}

static void describe(const struct replay *replay, enum crash_style style, int crashes)
{
	size_t at = replay->at;
	size_t len = crashes ? strlen(where) : 0;

	snprintf(where + len, sizeof(where) - len,
		 "%scrash after operation %zu of %zu (%s), "
		 "%zu not synced: %s",
		 crashes ? "; then " : "", at, replay->disk->n_ops,
		 at ? op_name(replay->disk->ops[at - 1].kind) : "none", replay->n_pending,
		 crash_style_name(style));
}

/* The state, and what the disk was asked for before it. */
static void tell_state(const struct replay *replay)
{
	const struct disk *disk = replay->disk;

	printf("state %d: %s\n", state_number, where);
	for (size_t i = replay->at > OPERATIONS_TOLD ? replay->at - OPERATIONS_TOLD : 0;
	     i < replay->at; i++) {
		const struct op *op = &disk->ops[i];
		printf("    %zu %s %s%s", i + 1, op_name(op->kind), disk_name_of(disk, op->file),
		       op->name);
		if (op->kind == OP_WRITE || op->kind == OP_TRUNCATE)
			printf(" at %zu, %zu bytes", op->offset, op->len);
		puts("");
	}
}

static bool one_state(const struct replay *replay, const struct life *life, struct rng *rng,
		      int crashes)
{
	enum crash_style style = choose_style(rng);
	struct life *now = malloc(sizeof(*now));
	struct disk *disk;
	bool fine;

	if (!now)
		abort();
	figures.styles[style]++;
	describe(replay, style, crashes);
	if (verbose)
		tell_state(replay);
	disk = replay_crash(replay, style, rng);
	life_at(life, replay->at, now);
	disk_use(disk, rng_next(rng));
	sqlite3_randomness(0, NULL);
	fine = start_again(now, disk);
	if (fine && crashes + 1 < CRASHES_MAX &&
	    rng_below(rng, style == CRASH_KILLED ? 2 : 6) == 0) {
		struct replay again;
		figures.again++;
		replay_init(&again, disk, rng_next(rng));
		replay_to(&again, rng_below(rng, disk->n_ops + 1));
		fine = one_state(&again, now, rng, crashes + 1);
		replay_release(&again);
	}
	disk_free(disk);
	free(now);
	return fine;
}

static int compare_points(const void *a, const void *b)
{
	size_t one = *(const size_t *)a;
	size_t other = *(const size_t *)b;

	return (one > other) - (one < other);
}

/* Where the power fails, in order; returns how many. A life whose init failed has no store. */
static int choose_points(const struct life *life, const struct disk *disk, struct rng *rng,
			 size_t points[POINTS])
{
	bool made = life->made_at != NEVER;
	size_t before = made ? life->made_at : disk->n_ops + 1;
	int n = 0;

	while (n < POINTS_BEFORE_MADE)
		points[n++] = rng_below(rng, before);
	while (made && n < POINTS)
		points[n++] = life->made_at + rng_below(rng, disk->n_ops - life->made_at + 1);
	qsort(points, (size_t)n, sizeof(points[0]), compare_points);
	return n;
}

static bool live(struct life *life, struct disk *disk, struct rng *rng)
{
	bool fine;

	state_number = 0;
	snprintf(where, sizeof(where), "no crash yet");
	disk_use(disk, rng_next(rng));
	sqlite3_randomness(0, NULL);
	fine = life_run(life, disk, rng);
	if (!fine)
		violated("without a crash: %s", life->why);
	figures.lives++;
	figures.failed += disk->failed;
	return fine;
}

/* A life and its states; only: the one to make, -1 for as many as are wanted. */
static bool one_life(uint64_t seed, int only, uint64_t wanted)
{
	struct rng rng = {seed};
	struct life *life = calloc(1, sizeof(*life));
	struct disk *disk = disk_new();
	size_t points[POINTS];
	struct replay replay;
	bool fine;
	int n;

	if (!life)
		abort();
	life_seed = life->seed = seed;
	fine = live(life, disk, &rng);
	n = choose_points(life, disk, &rng, points);
	replay_init(&replay, disk, seed);
	for (int i = 0; i < n && fine && (uint64_t)figures.states < wanted; i++) {
		struct rng of_state = {seed * 1000003 + (uint64_t)i};
		replay_to(&replay, points[i]);
		state_number = i;
		if (only >= 0 && only != i)
			continue;
		if (points[i] < life->made_at)
			figures.before_made++;
		else
			figures.states++;
		alarm(HANG_S);
		fine = one_state(&replay, life, &of_state, 0);
		alarm(0);
	}
	replay_release(&replay);
	disk_free(disk);
	free(life);
	return fine;
}

static void print_figures(bool fine)
{
	printf("{\"harness\":\"power\",\"states\":%lld,\"lives\":%lld,\"with_a_failed_call\":%lld,"
	       "\"crashed_in_the_start\":%lld,\"acked\":%lld,\"lost\":%s,\"in_doubt\":%lld,"
	       "\"of_them_stored\":%lld,\"before_made\":%lld,\"refused_before_made\":%lld",
	       figures.states, figures.lives, figures.failed, figures.again, figures.acked,
	       fine ? "0" : "\"see above\"", figures.in_doubt, figures.in_doubt_kept,
	       figures.before_made, figures.refused);
	for (int i = 0; i < CRASH_STYLE_MAX; i++)
		printf(",\"%s\":%lld", crash_style_name(i), figures.styles[i]);
	puts("}");
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"states", 1, NULL, 'n'},
					      {"seed", 1, NULL, 's'},
					      {"state", 1, NULL, 'k'},
					      {NULL, 0, NULL, 0}};
	const struct sigaction on_alarm = {.sa_handler = hang};
	uint64_t states = 10000;
	uint64_t seed = 1;
	uint64_t only = 0;
	bool one = false;
	bool fine = true;
	int bad = 0;
	int c;

	while ((c = getopt_long(argc, argv, "v", names, NULL)) != -1) {
		if (c == 'n')
			bad |= slice_to_u64(slice_of(optarg), INT64_MAX, &states);
		else if (c == 's')
			bad |= slice_to_u64(slice_of(optarg), UINT64_MAX, &seed);
		else if (c == 'k')
			bad |= slice_to_u64(slice_of(optarg), POINTS - 1, &only);
		else if (c != 'v')
			bad = 1;
		one |= c == 'k';
		verbose |= c == 'v';
	}
	if (bad) {
		fputs("power: see the head of tests/fault/power.c\n", stderr);
		return 2;
	}
	/* One thread, and nobody asks how much memory SQLite has: a sixth of the time. */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	crash_memory_use();
	sigaction(SIGALRM, &on_alarm, NULL);
	order_machine_v5();
	if (one)
		fine = one_life(seed, (int)only, STATES_PER_LIFE);
	else
		while (fine && (uint64_t)figures.states < states)
			fine = one_life(seed++, -1, states);
	disk_use(NULL, 0);
	print_figures(fine);
	return fine ? 0 : 1;
}
