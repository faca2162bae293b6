/* Ways through the state machine, as a person follows them: for `show` and `explain`. */
#pragma once

#include "orderhook/order_machine.h"
#include "print_private.h"

/* A state as the views have it; the machine need not know its sub-status. */
struct place {
	int64_t status; /* 0: none, an order without an event */
	int64_t sub_status;
};

struct way {
	enum order_node nodes[NODE_MAX + 1]; /* from the start to the end, both included */
	size_t n;
};

/* The shortest way of at least one step. False where there is none. */
bool way_find(struct place from, struct place to, struct way *ret);
struct place way_place(enum order_node node);
/* "20/1"; "(none)" for no state. */
void way_code(struct place place, char out[STATUS_CODE_BYTES]);

/* Appends the states to which one step leads, or from which one step leads, "60, 40/3"; "nothing"
 * where there is none. */
int way_add_next(struct buf *buf, struct place from);
int way_add_before(struct buf *buf, struct place to);
