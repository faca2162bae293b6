/* What a run of the simulator found, printed. */
#pragma once

#include "print_private.h"
#include "simulator_private.h"

struct sim_report {
	const struct sim_summary *summary;
	uint64_t seed;
	int64_t start_ms;
	bool scheduled; /* there was a rate, so latencies count from the schedule */
};

void sim_report_table(struct out *out, const struct sim_report *report);
void sim_report_json(struct out *out, const struct sim_report *report);
