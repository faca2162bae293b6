/* The summary: for people, and as one JSON object whose members are named as the ledger's are. */
#include "simulator_report_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "orderhook/json_scan.h"

static const struct {
	const char *name;
	unsigned per_mille;
} percentiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p99.9", 999}};
#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static double seconds(const struct sim_summary *summary)
{
	return (double)summary->elapsed_us / 1e6;
}

static double acked_per_second(const struct sim_summary *summary)
{
	return summary->elapsed_us > 0 ? (double)summary->acked / seconds(summary) : 0;
}

#define NODE_TEXT_BYTES 16
static void node_text(enum order_node node, char out[NODE_TEXT_BYTES])
{
	int status;
	int sub_status;

	sim_node_status(node, &status, &sub_status);
	if (!status)
		snprintf(out, NODE_TEXT_BYTES, "unseen");
	else if (sub_status == EVENT_SUB_ABSENT)
		snprintf(out, NODE_TEXT_BYTES, "%d", status);
	else
		snprintf(out, NODE_TEXT_BYTES, "%d/%d", status, sub_status);
}

/* ------------------------------------------------------------------ for people --------- */

static void line(struct out *out, const char *name)
{
	out_f(out, "%s%-12s%s", style_begin(out, STYLE_HEADING), name,
	      style_end(out, STYLE_HEADING));
}

static void alarm_line(struct out *out, const char *name, uint64_t count, const char *text)
{
	enum print_style style = count ? STYLE_ALARM : STYLE_PLAIN;

	line(out, name);
	out_f(out, "%s%" PRIu64 "%s%s%s\n", style_begin(out, style), count, count ? " " : "",
	      count ? text : "", style_end(out, style));
}

static void print_orders(struct out *out, const struct sim_summary *summary)
{
	char text[NODE_TEXT_BYTES];

	line(out, "orders");
	out_f(out, "%" PRIu64 " played", summary->finished);
	for (int node = 0; node < NODE_MAX; node++) {
		if (!summary->finals[node])
			continue;
		node_text((enum order_node)node, text);
		out_f(out, ", %" PRIu64 " %s%s", summary->finals[node],
		      node == NODE_NONE ? "" : "ended in ", text);
	}
	if (summary->finished < summary->orders)
		out_f(out, "; %" PRIu64 " left unfinished", summary->orders - summary->finished);
	out_char(out, '\n');
}

static void print_answers(struct out *out, const struct sim_summary *summary)
{
	line(out, "answers");
	for (size_t i = 0; i < summary->n_answers; i++) {
		const struct sim_answer *answer = &summary->answers[i];
		out_f(out, "%s%d: %" PRIu64, i ? ", " : "", answer->http_status, answer->count);
		if (answer->body_status != answer->http_status)
			out_f(out, " (status %d in the body)", answer->body_status);
	}
	out_f(out, "%snone: %" PRIu64 "\n", summary->n_answers ? ", " : "", summary->unknown);
}

static void print_faults(struct out *out, const struct sim_summary *summary)
{
	line(out, "faults");
	for (int i = 0; i < SIM_FAULT_MAX; i++)
		out_f(out, "%s%s %" PRIu64, i ? ", " : "", sim_fault_key((enum sim_fault)i),
		      summary->faults[i]);
	out_char(out, '\n');
}

static void print_latency(struct out *out, const struct sim_report *report)
{
	const struct latency *latency = &report->summary->latency;

	line(out, "latency");
	if (!latency->n)
		out_string(out, "nothing was acknowledged");
	for (size_t i = 0; latency->n && i < PERCENTILES; i++)
		out_f(out, "%s %.1f ms, ", percentiles[i].name,
		      (double)latency_per_mille(latency, percentiles[i].per_mille) / 1000);
	if (latency->n)
		out_f(out, "max %.1f ms, from the %s", (double)latency->max_us / 1000,
		      report->scheduled ? "scheduled time" : "request");
	out_char(out, '\n');
}

void sim_report_table(struct out *out, const struct sim_report *report)
{
	const struct sim_summary *summary = report->summary;
	char start[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(report->start_ms, start);
	line(out, "target");
	out_f(out, "%s\n", report->summary->target);
	line(out, "repeat with");
	out_f(out, "--seed %" PRIu64 " --start %s\n", report->seed, start);
	print_orders(out, summary);
	line(out, "callbacks");
	out_f(out, "%" PRIu64 " acknowledged of %" PRIu64 ", %" PRIu64 " sent again\n",
	      summary->acked, summary->callbacks, summary->retried);
	line(out, "forgeries");
	out_f(out, "%" PRIu64 " refused of %" PRIu64 "\n", summary->forged_refused,
	      summary->forged);
	print_faults(out, summary);
	print_answers(out, summary);
	alarm_line(out, "lost", summary->lost, "callbacks, after the last try");
	alarm_line(out, "unexpected", summary->unexpected, "answers");
	line(out, "rate");
	out_f(out, "%.0f acknowledged callbacks a second, for %.1f s\n", acked_per_second(summary),
	      seconds(summary));
	print_latency(out, report);
}

/* ------------------------------------------------------------------ for programs ------- */

static void json_count(struct out *out, const char *name, uint64_t count)
{
	out_f(out, ",\"%s\":%" PRIu64, name, count);
}

static void json_answers(struct out *out, const struct sim_summary *summary)
{
	out_string(out, ",\"answers\":[");
	for (size_t i = 0; i < summary->n_answers; i++)
		out_f(out, "%s{\"http\":%d,\"answer\":%d,\"count\":%" PRIu64 "}", i ? "," : "",
		      summary->answers[i].http_status, summary->answers[i].body_status,
		      summary->answers[i].count);
	out_char(out, ']');
}

static void json_finals(struct out *out, const struct sim_summary *summary)
{
	const char *comma = "";
	char text[NODE_TEXT_BYTES];

	out_string(out, ",\"finals\":{");
	for (int node = 0; node < NODE_MAX; node++) {
		if (!summary->finals[node])
			continue;
		node_text((enum order_node)node, text);
		out_f(out, "%s\"%s\":%" PRIu64, comma, text, summary->finals[node]);
		comma = ",";
	}
	out_char(out, '}');
}

static void json_faults(struct out *out, const struct sim_summary *summary)
{
	out_string(out, ",\"faults\":{");
	for (int i = 0; i < SIM_FAULT_MAX; i++)
		out_f(out, "%s\"%s\":%" PRIu64, i ? "," : "", sim_fault_key((enum sim_fault)i),
		      summary->faults[i]);
	out_char(out, '}');
}

static void json_latency(struct out *out, const struct latency *latency)
{
	out_string(out, ",\"latency_us\":");
	if (!latency->n) {
		out_string(out, "null");
		return;
	}
	out_f(out, "{\"count\":%" PRIu64, latency->n);
	for (size_t i = 0; i < PERCENTILES; i++)
		out_f(out, ",\"%s\":%" PRId64, percentiles[i].name,
		      latency_per_mille(latency, percentiles[i].per_mille));
	out_f(out, ",\"max\":%" PRId64 "}", latency->max_us);
}

void sim_report_json(struct out *out, const struct sim_report *report)
{
	const struct sim_summary *summary = report->summary;
	char start[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(report->start_ms, start);
	out_string(out, "{\"target\":");
	if (text_add_json(&out->buf, slice_of(report->summary->target)))
		return;
	out_f(out, ",\"seed\":%" PRIu64 ",\"start\":\"%s\"", report->seed, start);
	json_count(out, "orders", summary->orders);
	json_count(out, "finished", summary->finished);
	json_count(out, "callbacks", summary->callbacks);
	json_count(out, "acked", summary->acked);
	json_count(out, "attempts", summary->attempts);
	json_count(out, "retried", summary->retried);
	json_count(out, "lost", summary->lost);
	json_count(out, "unknown", summary->unknown);
	json_count(out, "forged", summary->forged);
	json_count(out, "forged_refused", summary->forged_refused);
	json_count(out, "unexpected", summary->unexpected);
	json_answers(out, summary);
	json_faults(out, summary);
	json_finals(out, summary);
	out_f(out, ",\"elapsed_ms\":%" PRId64 ",\"acked_per_second\":%.1f",
	      summary->elapsed_us / 1000, acked_per_second(summary));
	json_latency(out, &summary->latency);
	out_string(out, "}\n");
}
