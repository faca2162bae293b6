/*
 * The state machine of a delivery order, pure: no clock, no store, no platform. The machine is data
 * (tbl/order_state.def, tbl/order_edge.def); the verdicts are tbl/verdict.def. How it judges, and
 * the cases that the platform leaves open, are in docs/decisions/.
 */
#pragma once

#include "orderhook/event.h"

enum order_node {
	NODE_NONE = 0, /* no event yet */
#define ORDER_STATE(name, status, sub, zh, en) NODE_##name,
#include "orderhook/tbl/order_state.def"
#undef ORDER_STATE
	NODE_MAX
};

enum verdict {
#define VERDICT(name, key, quarantined, folded, meaning) VERDICT_##name,
#include "orderhook/tbl/verdict.def"
#undef VERDICT
	VERDICT_MAX
};

const char *verdict_key(enum verdict verdict);
const char *verdict_meaning(enum verdict verdict);
bool verdict_quarantined(enum verdict verdict);
bool verdict_folded(enum verdict verdict);
int verdict_of_key(struct slice key); /* -1 when there is none */

/* Shortest numbers of steps between states, made from the edges once. */
struct order_machine {
	uint8_t steps[NODE_MAX]
		     [NODE_MAX]; /* at least one step; ORDER_NO_PATH where there is none */
	uint8_t edge_verdict[NODE_MAX][NODE_MAX]; /* of an edge: VERDICT_APPLIED or _REASSIGNED */
};
#define ORDER_NO_PATH 255

/* The machine of the tables. The first call makes it: call once before there are threads. */
const struct order_machine *order_machine_v5(void);

/* True of 50 and 60, where orders stay. */
bool order_status_rests(int status);
bool order_status_known(int status);
/* The node of a known pair, NODE_NONE when status or sub_status is not in the table. */
enum order_node order_node_of(int status, int sub_status);
/* "待取货", "awaiting pickup". For an unknown sub-status of a known status the text of the status's
 * first state; NULL for an unknown status. */
const char *order_status_zh(int status, int sub_status);
const char *order_status_en(int status, int sub_status);

/* An event as the fold sees it. */
struct order_event {
	int64_t id; /* of the stored event, 0 for one that is not stored yet */
	int64_t occurred_ms;
	int64_t received_ms;
	int status;
	int sub_status;
	enum event_occurred_from occurred_from;
	enum verdict verdict; /* as stored */
	char courier_id[EVENT_ID_BYTES_MAX + 1];
	uint8_t content[DIGEST_SHA256_BYTES];
};

struct order_event order_event_of(const struct event *event);
/* The order of the fold: time, rank, sub-status, courier, content. <0, 0, >0; usable in qsort(). */
int order_event_compare(const void *a, const void *b);
/* Same event key within one order. Without a platform time: received within EVENT_SAME_WITHIN_MS.
 */
bool order_event_same_key(const struct order_event *a, const struct order_event *b);

/* What the events make of an order. All zero: no event moved it yet. */
struct order_state {
	int status; /* 0: none */
	int sub_status;
	char courier_id[EVENT_ID_BYTES_MAX + 1];
	int64_t since_ms; /* occurred_ms of the event that set it */
	int reassignments;
};

/*
 * Folds events, in any order, to the state. Events whose verdict is not folded are passed over.
 * events is sorted in place. ret_setter: index (after sorting) of the event that set the state, -1
 * when none did; may be NULL.
 */
void order_fold(const struct order_machine *machine, struct order_event *events, size_t n,
		struct order_state *ret, ptrdiff_t *ret_setter);

/* What is known of an order before an event: its bindings and its state. */
struct order_known {
	bool exists;
	char order_no[EVENT_ID_BYTES_MAX + 1]; /* "" while no event named one */
	char shop_id[EVENT_ID_BYTES_MAX + 1];
	struct order_state state;
};

struct judgement {
	enum verdict verdict;
	int from_status; /* of the state it was judged against; 0: none */
	int from_sub_status;
	int64_t duplicate_of; /* event id, for VERDICT_DUPLICATE */
	bool other_courier;   /* REPEATED with another courier: worth a note */
	struct order_state after;
};

/*
 * Judges one event. history holds the order's stored events; it may be empty when the caller knows
 * that none of them is at or after the event's occurred_ms, nor received within
 * EVENT_SAME_WITHIN_MS of it where it has no platform time: then known->state alone decides, which
 * is how the common case costs one index seek. Otherwise history must be complete, and have room
 * for one more event: history[n] is scratch. It is sorted in place.
 */
void order_judge(const struct order_machine *machine, const struct order_known *known,
		 struct order_event *history, size_t n, const struct event *event,
		 struct judgement *ret);
