/*
 * What the machine's files share: sets of nodes. A state or event with a known sub-status is one
 * node, one with an unknown or absent sub-status is every node of its status.
 */
#pragma once

#include "orderhook/order_machine.h"

/* Bit per enum order_node; an unknown status is the empty set. */
unsigned order_nodes_of(int status, int sub_status);
/* sub_status, or EVENT_SUB_ABSENT where the status has none (60: one that is given is ignored). */
int order_sub_status_of(int status, int sub_status);
/* Place in the order of states within one instant. */
int order_rank_of(int status, int sub_status);

/* Fewest steps, at least one, from any node of from to any of to; ORDER_NO_PATH where there is no
 * way. ret_verdict: of the step, where one is enough; untouched otherwise, may be NULL. */
int order_steps(const struct order_machine *machine, unsigned from, unsigned to,
		enum verdict *ret_verdict);

/* Lets one event act on a state: says how it looks from there, and moves the state if it does.
 * ret_other_courier: VERDICT_REPEATED by another courier. */
enum verdict order_step(const struct order_machine *machine, struct order_state *state,
			const struct order_event *event, bool *ret_other_courier);
/* order_event_same_key() of two events that are known to have one courier. */
bool order_event_same_but_courier(const struct order_event *a, const struct order_event *b);
