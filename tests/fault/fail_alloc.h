/*
 * Memory that runs out on purpose. Linked into a program, or preloaded into one as a library: then
 * ORDERHOOK_ALLOC_PLAN names a file with a struct alloc_plan, which whoever drives the program
 * maps as well.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct alloc_plan {
	_Atomic int64_t seen;    /* allocations so far */
	_Atomic int64_t fail_at; /* the one that fails; 0: none */
	_Atomic int64_t onwards; /* 1: and all that come after it */
	_Atomic int64_t failed;
	_Atomic int64_t live; /* blocks that were not given back */
};

extern struct alloc_plan *alloc_plan; /* never NULL */
