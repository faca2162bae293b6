/*
 * What ingest decides on its way, for whoever wants to know it: a delivery that carries a trace has
 * each check written down. There is no second implementation of a check for explaining it.
 *
 * Its texts never hold a value of the body, a secret or a sign.
 */
#pragma once

#include "orderhook/signature.h"

enum trace_step {
#define TRACE_STEP(name, key) TRACE_##name,
#include "orderhook/tbl/trace_step.def"
#undef TRACE_STEP
	TRACE_STEP_MAX
};

const char *trace_step_key(enum trace_step step);

#define TRACE_TEXT_BYTES 240

struct trace_line {
	bool said;
	int err; /* 0, or what the delivery is refused for */
	char text[TRACE_TEXT_BYTES];
};

/* All zero is empty. */
struct trace {
	struct trace_line lines[TRACE_STEP_MAX]; /* of each step the last word */
	/* What the MD5 rule was asked about, borrowed as the message is. */
	struct signature_param params[SIGNATURE_PARAMS_MAX];
	size_t n_params;   /* 0: it was not asked */
	struct slice sign; /* the one that was given */
};

/* Both do nothing without a trace. */
void trace_say(struct trace *trace, enum trace_step step, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void trace_signed(struct trace *trace, const struct signature_param *params, size_t n,
		  struct slice sign);
