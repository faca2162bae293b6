/*
 * Feeds events to the judge as the store does, and prints what it says: what
 * tests/lib/order_model.py is compared with. Everything is judged over the complete history, and
 * once more without it wherever the judge's header allows that; a difference ends the program with
 * status 1, as does a state that is not the fold of its events.
 *
 * A line of input is one order: `=` and its events in the order of arrival, or `*` and its events,
 * which then arrive in every order. An event is
 *     status/sub-status/courier/occurred/received/order number/shop/content
 * with `-` for what is absent (occurred: the time of receipt stands in); times in ms; content is a
 * few hex digits in place of the digest. A line of output is, for each order of arrival (in
 * lexical order, separated by ";"), for each event (separated by " "):
 *     verdict:from>after,courier,since,reassignments
 * and `~` for another courier, `=N` for a duplicate of the order's Nth event. At the end stderr
 * says how many events were judged, and how many of them twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/order_machine.h"

#define EVENTS_MAX 64
#define FIELDS 8

struct order {
	struct order_known known;
	struct order_event history[EVENTS_MAX];
	size_t n;
};

static long line_number;
static long judged, judged_fast;

static void fail(const char *what)
{
	fprintf(stderr, "judge_driver: line %ld: %s\n", line_number, what);
	exit(1);
}

static int64_t number_of(const char *text, int64_t absent)
{
	int64_t value = absent;

	if (strcmp(text, "-") != 0 &&
	    slice_to_i64(slice_of(text), INT64_MIN / 2, INT64_MAX / 2, &value) != 0)
		fail("not a number");
	return value;
}

static void copy_id(const char *text, char out[EVENT_ID_BYTES_MAX + 1])
{
	if (strcmp(text, "-") != 0 && slice_copy(slice_of(text), out, EVENT_ID_BYTES_MAX + 1) != 0)
		fail("an id is too long");
}

static uint8_t hex_digit(char digit)
{
	const char *digits = "0123456789abcdef";
	const char *at = strchr(digits, digit);

	if (!digit || !at)
		fail("not hex");
	return (uint8_t)(at - digits);
}

static struct event event_of(char *text)
{
	struct event event = {.kind = EVENT_ORDER};
	char *fields[FIELDS];

	for (int i = 0; i < FIELDS; i++) {
		fields[i] = strsep(&text, "/");
		if (!fields[i])
			fail("an event has too few fields");
	}
	event.status = (int)number_of(fields[0], 0);
	event.sub_status = (int)number_of(fields[1], EVENT_SUB_ABSENT);
	copy_id(fields[2], event.courier_id);
	event.received_ms = number_of(fields[4], 0);
	event.occurred_ms = number_of(fields[3], event.received_ms);
	event.occurred_from =
		strcmp(fields[3], "-") == 0 ? EVENT_FROM_RECEIPT : EVENT_FROM_PLATFORM;
	copy_id(fields[5], event.order_no);
	copy_id(fields[6], event.shop_id);
	for (size_t i = 0; fields[7][i] && i < 2 * sizeof(event.content); i++)
		event.content[i / 2] |= (uint8_t)(hex_digit(fields[7][i]) << (i % 2 ? 0 : 4));
	return event;
}

static bool same_state(const struct order_state *a, const struct order_state *b)
{
	return a->status == b->status && a->sub_status == b->sub_status &&
	       strcmp(a->courier_id, b->courier_id) == 0 && a->since_ms == b->since_ms &&
	       a->reassignments == b->reassignments;
}

static bool same_judgement(const struct judgement *a, const struct judgement *b)
{
	return a->verdict == b->verdict && a->from_status == b->from_status &&
	       a->from_sub_status == b->from_sub_status && a->duplicate_of == b->duplicate_of &&
	       a->other_courier == b->other_courier && same_state(&a->after, &b->after);
}

/* What the header of order_judge() asks of an empty history. */
static bool comes_after_all(const struct order *order, const struct event *event)
{
	for (size_t i = 0; i < order->n; i++) {
		const struct order_event *stored = &order->history[i];
		if (stored->occurred_ms >= event->occurred_ms)
			return false;
		if (event->occurred_from == EVENT_FROM_RECEIPT &&
		    llabs(stored->received_ms - event->received_ms) <= EVENT_SAME_WITHIN_MS)
			return false;
	}
	return true;
}

static void bind(char bound[EVENT_ID_BYTES_MAX + 1], const char *given)
{
	if (!bound[0])
		memcpy(bound, given, EVENT_ID_BYTES_MAX + 1);
}

static void store_event(struct order *order, const struct event *event,
			const struct judgement *judgement)
{
	struct order_event *stored = &order->history[order->n];

	if (judgement->verdict == VERDICT_DUPLICATE)
		return;
	*stored = order_event_of(event);
	stored->id = (int64_t)++order->n;
	stored->verdict = judgement->verdict;
	order->known.exists = true;
	order->known.state = judgement->after;
	if (judgement->verdict != VERDICT_MISMATCH) {
		bind(order->known.order_no, event->order_no);
		bind(order->known.shop_id, event->shop_id);
	}
}

static struct judgement judge(struct order *order, const struct event *event)
{
	const struct order_machine *machine = order_machine_v5();
	struct order_event history[EVENTS_MAX + 1];
	struct order_state state;
	struct judgement full, fast;

	memcpy(history, order->history, order->n * sizeof(history[0]));
	order_judge(machine, &order->known, history, order->n, event, &full);
	judged++;
	if (comes_after_all(order, event)) {
		judged_fast++;
		order_judge(machine, &order->known, NULL, 0, event, &fast);
		if (!same_judgement(&full, &fast))
			fail("judged differently without the history");
	}
	store_event(order, event, &full);
	memcpy(history, order->history, order->n * sizeof(history[0]));
	order_fold(machine, history, order->n, &state, NULL);
	if (!same_state(&state, &order->known.state))
		fail("the state is not the fold of the events");
	return full;
}

static void print_sub(char mark, int status, int sub_status)
{
	if (sub_status == EVENT_SUB_ABSENT)
		printf("%c%d/-", mark, status);
	else
		printf("%c%d/%d", mark, status, sub_status);
}

static void print_judgement(const struct judgement *judgement)
{
	const struct order_state *after = &judgement->after;

	fputs(verdict_key(judgement->verdict), stdout);
	print_sub(':', judgement->from_status, judgement->from_sub_status);
	print_sub('>', after->status, after->sub_status);
	printf(",%s,%lld,%d", after->courier_id, (long long)after->since_ms, after->reassignments);
	if (judgement->other_courier)
		putchar('~');
	if (judgement->duplicate_of)
		printf("=%lld", (long long)judgement->duplicate_of);
}

static void play(const struct event *events, const size_t *arrival, size_t n)
{
	struct order order = {0};

	for (size_t i = 0; i < n; i++) {
		struct judgement judgement = judge(&order, &events[arrival[i]]);
		if (i > 0)
			putchar(' ');
		print_judgement(&judgement);
	}
}

/* The next permutation in lexical order; false after the last one. */
static bool next_arrival(size_t *arrival, size_t n)
{
	size_t i = n, j = n;
	size_t kept;

	if (n < 2)
		return false;
	for (i = n - 1; i > 0 && arrival[i - 1] >= arrival[i]; i--)
		;
	if (i == 0)
		return false;
	for (j = n - 1; arrival[j] <= arrival[i - 1]; j--)
		;
	kept = arrival[i - 1];
	arrival[i - 1] = arrival[j];
	arrival[j] = kept;
	for (j = n - 1; i < j; i++, j--) {
		kept = arrival[i];
		arrival[i] = arrival[j];
		arrival[j] = kept;
	}
	return true;
}

static void play_line(char *line)
{
	struct event events[EVENTS_MAX];
	size_t arrival[EVENTS_MAX];
	const char *mode = strsep(&line, " ");
	bool all = strcmp(mode, "*") == 0;
	char *text;
	size_t n = 0;

	if (!all && strcmp(mode, "=") != 0)
		fail("a line begins with = or *");
	while ((text = strsep(&line, " "))) {
		if (n == EVENTS_MAX)
			fail("too many events");
		arrival[n] = n;
		events[n++] = event_of(text);
	}
	play(events, arrival, n);
	while (all && next_arrival(arrival, n)) {
		putchar(';');
		play(events, arrival, n);
	}
	putchar('\n');
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	while ((len = getline(&line, &cap, stdin)) > 0) {
		line_number++;
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		play_line(line);
	}
	free(line);
	fprintf(stderr, "%ld judged, %ld of them also without the history\n", judged, judged_fast);
	return ferror(stdin) || fflush(stdout) != 0;
}
