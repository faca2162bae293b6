/*
 * The order machine. Events of one order that agree on everything but what an event is are judged
 * in the order of the input, in a second order that the input chooses, and without a history where
 * the writer would do so. All must end in one state, which is the fold of what is stored; and no
 * verdict may be one that the events cannot have.
 *
 * Input: a byte for the second order, then four bytes an event: state, time, courier, kind.
 */
#include <stddef.h>

#include "fuzz.h"
#include "orderhook/order_machine.h"

#define EVENTS_MAX 12
#define BASE_MS INT64_C(1748595600000)

static const struct order_machine *machine;

struct order {
	struct order_known known;
	struct order_event events[EVENTS_MAX + 1];
	size_t n;
};

void fuzz_begin(void)
{
	machine = order_machine_v5();
}

static void make_event(struct slice *input, struct event *ret)
{
	static const int states[][2] = {
		{20, 1},
		{20, 2},
		{30, 1},
		{30, 2},
		{40, 1},
		{40, 2},
		{40, 3},
		{40, 4},
		{50, 1},
		{60, EVENT_SUB_ABSENT},
		{60, 7},
		{20, EVENT_SUB_ABSENT},
		{30, EVENT_SUB_ABSENT},
		{40, EVENT_SUB_ABSENT},
		{40, 9},
		{70, 1},
	};
	const int *state = states[fuzz_take_byte(input) % 16];
	int64_t time_s = fuzz_take_byte(input);
	int courier = fuzz_take_byte(input) % 4;
	char key[64];
	int len;

	memset(ret, 0, sizeof(*ret));
	ret->status = state[0];
	ret->sub_status = state[1];
	ret->occurred_ms = BASE_MS + time_s * 1000;
	ret->received_ms = ret->occurred_ms;
	ret->occurred_from = EVENT_FROM_PLATFORM;
	if (courier)
		snprintf(ret->courier_id, sizeof(ret->courier_id), "courier-%d", courier);
	/* Of the key alone, so that no two are in conflict: who of two comes first decides that. */
	len = snprintf(key, sizeof(key), "%d/%d/%lld/%d", ret->status, ret->sub_status,
		       (long long)time_s, courier);
	digest_sha256(&(struct slice){key, (size_t)len}, 1, ret->content);
	(void)fuzz_take_byte(input);
}

/* An empty history is for an event that comes after all: then it must not matter. */
static bool comes_last(const struct order *order, const struct event *event)
{
	for (size_t i = 0; i < order->n; i++) {
		if (order->events[i].occurred_ms >= event->occurred_ms)
			return false;
	}
	return true;
}

static bool equal(const struct order_state *a, const struct order_state *b)
{
	return a->status == b->status && a->sub_status == b->sub_status &&
	       a->since_ms == b->since_ms && a->reassignments == b->reassignments &&
	       strcmp(a->courier_id, b->courier_id) == 0;
}

static void check_verdict(const struct event *event, const struct judgement *judgement, bool last)
{
	FUZZ_ASSERT(judgement->verdict < VERDICT_MAX);
	FUZZ_ASSERT(judgement->verdict != VERDICT_MISMATCH);
	FUZZ_ASSERT(judgement->verdict != VERDICT_CONFLICT);
	FUZZ_ASSERT(!last || judgement->verdict != VERDICT_LATE);
	if (judgement->verdict != VERDICT_DUPLICATE)
		FUZZ_ASSERT((judgement->verdict == VERDICT_UNKNOWN) ==
			    !order_status_known(event->status));
	FUZZ_ASSERT((judgement->verdict == VERDICT_DUPLICATE) == (judgement->duplicate_of != 0));
}

static void arrive(struct order *order, const struct event *event)
{
	struct order_event scratch[EVENTS_MAX + 1];
	struct order_state folded;
	struct judgement judgement;
	struct judgement other;
	bool last = comes_last(order, event);

	memcpy(scratch, order->events, sizeof(scratch));
	order_judge(machine, &order->known, scratch, order->n, event, &judgement);
	check_verdict(event, &judgement, last);
	if (last && order->n) {
		order_judge(machine, &order->known, scratch, 0, event, &other);
		FUZZ_ASSERT(other.verdict == judgement.verdict);
		FUZZ_ASSERT(equal(&other.after, &judgement.after));
	}
	if (judgement.verdict != VERDICT_DUPLICATE) {
		struct order_event *stored = &order->events[order->n++];
		*stored = order_event_of(event);
		stored->id = (int64_t)order->n;
		stored->verdict = judgement.verdict;
	}
	memcpy(scratch, order->events, sizeof(scratch));
	order_fold(machine, scratch, order->n, &folded, NULL);
	FUZZ_ASSERT(equal(&folded, &judgement.after));
	order->known.exists = true;
	order->known.state = judgement.after;
}

/* By linear congruence, so that a byte of the input tells the whole order. */
static void shuffle(struct event *events, size_t n, uint32_t seed)
{
	for (size_t i = n; i > 1; i--) {
		struct event swap;
		size_t other;
		seed = seed * 1664525 + 1013904223;
		other = (seed >> 8) % i;
		swap = events[i - 1];
		events[i - 1] = events[other];
		events[other] = swap;
	}
}

void fuzz_one(struct slice input)
{
	static struct event events[EVENTS_MAX];
	static struct order first;
	static struct order second;
	uint8_t seed = fuzz_take_byte(&input);
	size_t n = 0;

	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	while (input.len && n < EVENTS_MAX)
		make_event(&input, &events[n++]);
	for (size_t i = 0; i < n; i++)
		arrive(&first, &events[i]);
	shuffle(events, n, seed);
	for (size_t i = 0; i < n; i++)
		arrive(&second, &events[i]);
	FUZZ_ASSERT(first.n == second.n);
	FUZZ_ASSERT(equal(&first.known.state, &second.known.state));
}
