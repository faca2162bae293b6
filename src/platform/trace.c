/* A line for each step: what was said last about a step is how it ended. */
#include "orderhook/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *trace_step_key(enum trace_step step)
{
	static const char *const keys[TRACE_STEP_MAX] = {
#define TRACE_STEP(name, key) [TRACE_##name] = key,
#include "orderhook/tbl/trace_step.def"
#undef TRACE_STEP
	};

	return keys[step];
}

void trace_say(struct trace *trace, enum trace_step step, int err, const char *format, ...)
{
	struct trace_line *line;
	va_list args;

	if (!trace)
		return;
	line = &trace->lines[step];
	line->said = true;
	line->err = err;
	va_start(args, format);
	vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
}

void trace_signed(struct trace *trace, const struct signature_param *params, size_t n,
		  struct slice sign)
{
	if (!trace)
		return;
	memcpy(trace->params, params, n * sizeof(*params));
	trace->n_params = n;
	trace->sign = sign;
}
