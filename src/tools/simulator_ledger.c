/*
 * The ledger: JSON lines that let a test compare what was sent, what was acknowledged and what is
 * stored, whatever was killed in between. So an attempt is written before its request goes out and
 * once more with its outcome, each line with one write() to a file opened for appending.
 */
#include "simulator_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "orderhook/json_scan.h"

#define LINE_BYTES_MAX 4096

static int add_number_or_null(struct buf *out, const char *key, int64_t number, bool known)
{
	return known ? buf_addf(out, ",\"%s\":%lld", key, (long long)number)
		     : buf_addf(out, ",\"%s\":null", key);
}

static int add_attempt(struct buf *out, const struct sim_order *order, size_t step,
		       const struct sim_attempt *attempt)
{
	char hash[2 * DIGEST_SHA256_BYTES + 1];
	char sent[CLOCK_RFC3339_BYTES];
	int status;
	int sub_status;
	int err;

	sim_node_status(order->steps[step].node, &status, &sub_status);
	digest_hex_lower(attempt->sha256, sizeof(attempt->sha256), hash);
	clock_format_rfc3339(attempt->sent_wall_ms, sent);
	err = buf_addf(out, ",\"seq\":%llu,\"order\":\"%s\",\"status\":%d",
		       (unsigned long long)attempt->seq, order->iss_order_no, status);
	if (!err)
		err = add_number_or_null(out, "sub", sub_status, sub_status != EVENT_SUB_ABSENT);
	if (!err)
		err = buf_add_string(out, ",\"key\":\"");
	if (!err)
		err = sim_key(order, step, out);
	return err ? err
		   : buf_addf(out,
			      "\",\"kind\":\"%s\",\"attempt\":%u,\"sha256\":\"%s\",\"sent\":\"%s\"",
			      sim_send_key(attempt->kind), attempt->attempt, hash, sent);
}

static int add_result(struct buf *out, const struct sim_result *result)
{
	int err = buf_addf(out, ",\"outcome\":\"%s\"", sim_outcome_key(result->outcome));

	if (!err)
		err = add_number_or_null(out, "http", result->http_status, result->http_status);
	if (!err)
		err = add_number_or_null(out, "answer", result->body_status, result->body_status);
	if (!err)
		err = buf_addf(out, ",\"latency_us\":%lld", (long long)result->latency_us);
	if (err || !result->problem[0])
		return err;
	err = buf_add_string(out, ",\"problem\":");
	return err ? err : json_add_string(out, slice_of(result->problem));
}

int sim_ledger_line(struct buf *out, const struct sim_order *order, size_t step,
		    const struct sim_attempt *attempt, const struct sim_result *result)
{
	int err = buf_addf(out, "{\"line\":\"%s\"", result ? "outcome" : "sent");

	if (!err)
		err = add_attempt(out, order, step, attempt);
	if (!err && result)
		err = add_result(out, result);
	return err ? err : buf_add_string(out, "}\n");
}

int sim_ledger_order_line(struct buf *out, const struct sim_order *order,
			  const struct sim_expected *expected, unsigned lost)
{
	int status;
	int sub_status;
	int err = buf_addf(out,
			   "{\"line\":\"order\",\"order\":\"%s\",\"order_no\":\"%s\",\"events\":%d,"
			   "\"lost\":%u",
			   order->iss_order_no, order->order_no, expected->events, lost);

	sim_node_status(expected->node, &status, &sub_status);
	if (!err)
		err = add_number_or_null(out, "status", status, status);
	if (!err)
		err = add_number_or_null(out, "sub", sub_status, sub_status != EVENT_SUB_ABSENT);
	return err ? err : buf_addf(out, ",\"reassignments\":%d}\n", expected->reassignments);
}

int sim_ledger_open(const char *path, struct sim_ledger *ret)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return -ERR_SYSTEM;
	ret->path = path;
	ret->fd = fd;
	buf_init(&ret->line, LINE_BYTES_MAX);
	return 0;
}

void sim_ledger_close(struct sim_ledger *ledger)
{
	close(ledger->fd);
	buf_release(&ledger->line);
}

int sim_ledger_write(struct sim_ledger *ledger)
{
	struct slice rest = buf_slice(&ledger->line);

	while (rest.len) {
		ssize_t n = write(ledger->fd, rest.at, rest.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -ERR_SYSTEM;
		rest.at += n;
		rest.len -= (size_t)n;
	}
	buf_reset(&ledger->line);
	return 0;
}
