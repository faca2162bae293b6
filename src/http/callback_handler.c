/*
 * One request, phase by phase: the gate at the head, the body into the write job, ingest at its
 * end, then the job goes to the writer and the connection sleeps. Whoever completes the job (the
 * writer, or the sweeper past commit_timeout) leaves a decision in the call and resumes; the reply
 * is queued here, and 200 only from a committed result.
 */
#include <stdlib.h>
#include <string.h>

#include "http_private.h"
#include "orderhook/err.h"
#include "orderhook/ingest.h"
#include "orderhook/log.h"
#include "orderhook/metrics.h"

#define TROUBLE_LINES_PER_SECOND 20 /* the rest is in the metrics, and in the store */

static enum MHD_Result refuse(struct http_connection *connection, int err)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;
	const char *endpoint =
		call->head.endpoint ? call->head.endpoint->name : METRICS_NO_ENDPOINT;

	call->phase = CALL_ANSWERED;
	atomic_store_explicit(&connection->deadline_us, 0, memory_order_relaxed);
	metrics_callback(endpoint, err);
	if (log_allowed(&server->trouble_lines, clock_elapsed_us(server->options.clock),
			TROUBLE_LINES_PER_SECOND))
		log_message(
			MESSAGE_CALLBACK_REFUSED,
			&(struct log_fields){.endpoint = endpoint, .request_id = call->request_id},
			"callback refused: %d %s: %s; endpoint '%s', from %s, request %s",
			err_http_status(err), err_key(err), err_text(err), endpoint, call->remote,
			call->request_id);
	return http_reply_refused(server->replies, call->connection, err, call->request_id);
}

/* The number that is in the body as well: a line about an order that cannot be found is no use. */
static void log_stored(struct http_server *server, const struct http_call *call, int64_t now_us)
{
	const struct event *event = &call->job->event;
	bool judged = event->kind == EVENT_ORDER;
	const char *verdict = judged ? verdict_key(call->result.verdict) : "other-event";
	bool trouble = judged && verdict_quarantined(call->result.verdict);
	struct log_limit *limit = trouble ? &server->trouble_lines : &server->stored_lines;
	int64_t rate = trouble ? TROUBLE_LINES_PER_SECOND
			       : atomic_load_explicit(&server->log_rate, memory_order_relaxed);

	if (!rate || !log_allowed(limit, now_us, rate))
		return;
	log_message(trouble ? MESSAGE_CALLBACK_QUARANTINED : MESSAGE_CALLBACK_STORED,
		    &(struct log_fields){.order_no = event->order_no,
					 .iss_order_no = event->iss_order_no,
					 .event_id = call->result.event_id,
					 .verdict = verdict,
					 .endpoint = call->head.endpoint->name,
					 .request_id = call->request_id},
		    "callback stored: order %s, event %lld, %s; endpoint '%s', from %s, request %s",
		    event->iss_order_no[0] ? event->iss_order_no : "-",
		    (long long)call->result.event_id, verdict, call->head.endpoint->name,
		    call->remote, call->request_id);
}

static void fill_delivery(const struct http_call *call, int64_t received_ms, struct delivery *ret)
{
	*ret = (struct delivery){
		.body = buf_slice(&call->job->body),
		.type = call->head.type,
		.webhook_id = call->head.webhook_id,
		.webhook_timestamp = call->head.webhook_timestamp,
		.webhook_signature = call->head.webhook_signature,
		.token_ok = call->head.token_ok,
		.received_ms = received_ms,
		.source = EVENT_CALLBACK,
	};
}

/* Keeps a whole delivery that is about to be refused for what it says, and takes the job's bytes
 * for that. Without memory it is only refused. */
static void keep(struct http_connection *connection, int64_t received_ms, int err)
{
	struct http_call *call = &connection->call;
	const struct endpoint *endpoint = call->head.endpoint;
	struct write_hold *hold;
	struct delivery delivery;
	int status = err_http_status(err);

	if (status != 400 && status != 401)
		return;
	hold = calloc(1, sizeof(*hold));
	if (!hold) {
		metrics_held_dropped();
		return;
	}
	fill_delivery(call, received_ms, &delivery);
	slice_copy(slice_of(endpoint->name), hold->endpoint, sizeof(hold->endpoint));
	slice_copy(slice_of(call->remote), hold->remote, sizeof(hold->remote));
	hold->reason = err_key(err);
	hold->received_ms = received_ms;
	hold->token_ok = delivery.token_ok;
	hold->ours = delivery.token_ok ||
		     endpoint->platform->names_us(endpoint, &delivery, &connection->scratch);
	hold->body = call->job->body;
	hold->head = call->job->head;
	buf_init(&call->job->body, hold->body.limit);
	buf_init(&call->job->head, hold->head.limit);
	writer_hold(connection->server->options.writer, hold);
}

static enum MHD_Result acknowledge(struct http_connection *connection)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;

	int64_t now_us = clock_elapsed_us(server->options.clock);

	call->phase = CALL_ANSWERED;
	metrics_callback(call->head.endpoint->name, 0);
	metrics_request_us(now_us - call->start_us);
	log_stored(server, call, now_us);
	return http_reply_committed(server->replies, call->connection, &call->result,
				    atomic_load_explicit(&server->draining, memory_order_relaxed),
				    call->request_id);
}

/* The request line is there. On a connection's first request the time runs since accept. */
void callback_begin(struct http_connection *connection, struct MHD_Connection *mhd, const char *uri)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;

	call->phase = CALL_HEAD;
	atomic_store_explicit(&connection->idle, false, memory_order_relaxed);
	call->connection = mhd;
	call->uri = slice_of(uri);
	call->refusal = 0;
	call->head = (struct http_head){.endpoint = NULL};
	call->start_us = clock_elapsed_us(server->options.clock);
	memcpy(call->remote, connection->peer, sizeof(call->remote));
	call->request_id[0] = '\0';
	if (!connection->fresh)
		atomic_store_explicit(&connection->deadline_us,
				      call->start_us +
					      atomic_load_explicit(&server->request_timeout_us,
								   memory_order_relaxed),
				      memory_order_relaxed);
	connection->fresh = false;
}

/* The request is over, however it went. The job is never the writer's here: a suspended
 * connection does not end. */
void callback_end(struct http_connection *connection)
{
	struct http_call *call = &connection->call;

	write_job_give(&connection->server->jobs, call->job);
	call->job = NULL;
	endpoint_set_unref(call->endpoints);
	call->endpoints = NULL;
	call->phase = CALL_IDLE;
	atomic_store_explicit(&connection->idle, true, memory_order_relaxed);
	atomic_store_explicit(&connection->deadline_us, 0, memory_order_relaxed);
}

/* A trusted proxy says for whom it calls. */
static void take_forwarded(struct http_connection *connection)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;

	if (!connection->trusted || !call->head.forwarded_for.at)
		return;
	pthread_mutex_lock(&server->lock);
	http_remote_forwarded(&server->options.proxies, call->head.forwarded_for, call->remote);
	pthread_mutex_unlock(&server->lock);
}

/* The proxy's own where the peer is one that may name it, else one of ours. Kept below the headers
 * under a name that no header can have, so that what a caller sent is never taken for it. */
static int take_request_id(struct http_connection *connection)
{
	struct http_call *call = &connection->call;
	int err;

	if (!connection->trusted || !http_request_id_is(call->head.request_id))
		http_request_id_make(&connection->server->request_ids, call->request_id);
	else
		slice_copy(call->head.request_id, call->request_id, sizeof(call->request_id));
	if (!call->head.endpoint)
		return 0;
	err = buf_add_string(&call->job->head, "(request-id): ");
	if (!err)
		err = buf_add_string(&call->job->head, call->request_id);
	return err ? err : buf_add_string(&call->job->head, "\r\n");
}

/* A close while the body is on its way makes the sender see a broken connection and not the answer;
 * caddy then says 503 instead. So a body that is short, and comes anyway, is let in first. */
static enum MHD_Result refuse_head(struct http_connection *connection, int err)
{
	struct http_call *call = &connection->call;

	if (!call->head.body_comes)
		return refuse(connection, err);
	call->refusal = err;
	call->phase = CALL_REFUSED;
	return MHD_YES;
}

static enum MHD_Result take_head(struct http_connection *connection, const char *url,
				 const char *method, const char *version)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;
	int64_t max_body = atomic_load_explicit(&server->max_body_bytes, memory_order_relaxed);
	int err;

	pthread_mutex_lock(&server->lock);
	call->endpoints = endpoint_set_ref(server->options.endpoints);
	pthread_mutex_unlock(&server->lock);

	call->job = write_job_take(&server->jobs, (size_t)max_body);
	if (!call->job)
		return refuse(connection, -ERR_NOMEM);
	err = http_gate(call->connection, call->endpoints, url, method, version, max_body,
			&call->job->head, &call->head);
	if (!http_head_is_whole(call->connection, method, call->uri, version)) {
		err = -ERR_FRAMING;
		call->head.body_comes = false; /* nobody knows */
	}
	take_forwarded(connection);
	int id_err = take_request_id(connection);
	if (!err)
		err = id_err;
	if (!err && atomic_load_explicit(&server->draining, memory_order_relaxed))
		err = -ERR_DRAINING;
	if (!err)
		err = writer_ready(server->options.writer);
	if (!err)
		err = buf_reserve(&call->job->body, (size_t)call->head.content_length);
	if (err)
		return refuse_head(connection, err);
	call->phase = CALL_BODY;
	return MHD_YES;
}

/*
 * The commit is known, or given up. From here on the job is ours again, unless it was abandoned:
 * then it is the writer's for good and must not be touched.
 */
static void decided(struct write_job *job, void *waiter, bool abandoned)
{
	struct http_connection *connection = waiter;
	struct http_call *call = &connection->call;

	if (abandoned) {
		call->refusal = -ERR_COMMIT_TIMEOUT;
	} else {
		call->result = job->item.result;
		call->refusal = call->result.err;
		call->job = job;
	}
	call->phase = CALL_DECIDED;
	http_loop_decided(connection->loop, connection);
}

static enum MHD_Result submit(struct http_connection *connection)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;
	struct write_job *job = call->job;
	int err;

	job->machine = call->head.endpoint->platform->machine();
	slice_copy(slice_of(call->head.endpoint->name), job->endpoint, sizeof(job->endpoint));
	memcpy(job->remote, call->remote, sizeof(job->remote));
	job->done = decided;
	job->waiter = connection;
	/* Asleep before the writer can wake it: a resume that comes first would be lost. */
	call->phase = CALL_COMMITTING;
	call->job = NULL;
	MHD_suspend_connection(call->connection);
	err = writer_submit(server->options.writer, job);
	if (err) {
		call->job = job;
		call->refusal = err;
		call->phase = CALL_DECIDED;
		MHD_resume_connection(call->connection);
	}
	return MHD_YES;
}

static enum MHD_Result take_end(struct http_connection *connection)
{
	struct http_server *server = connection->server;
	struct http_call *call = &connection->call;
	struct delivery delivery;
	int err;

	/* The request is whole: from here commit_timeout bounds the wait. */
	atomic_store_explicit(&connection->deadline_us, 0, memory_order_relaxed);
	fill_delivery(call, clock_wall_ms(server->options.clock), &delivery);
	if (delivery.body.len != call->head.content_length)
		return refuse(connection, -ERR_FRAMING);
	err = ingest(call->head.endpoint, &delivery, &connection->scratch, &call->job->event);
	if (!err)
		return submit(connection);
	keep(connection, delivery.received_ms, err);
	return refuse(connection, err);
}

enum MHD_Result callback_handle(void *cls, struct MHD_Connection *mhd, const char *url,
				const char *method, const char *version, const char *upload_data,
				size_t *upload_data_size, void **con_cls)
{
	struct http_connection *connection = http_connection_of(mhd);
	struct http_call *call = &connection->call;

	(void)cls;
	(void)con_cls;
	switch (call->phase) {
	case CALL_HEAD:
		return take_head(connection, url, method, version);
	case CALL_BODY:
		if (*upload_data_size == 0)
			return take_end(connection);
		if (buf_add(&call->job->body, upload_data, *upload_data_size))
			return refuse(connection, -ERR_BODY_TOO_LARGE);
		*upload_data_size = 0;
		return MHD_YES;
	case CALL_REFUSED:
		if (*upload_data_size == 0)
			return refuse(connection, call->refusal);
		*upload_data_size = 0;
		return MHD_YES;
	case CALL_DECIDED:
		if (!call->refusal)
			return acknowledge(connection);
		/* Only the store can tell that a stale one is no duplicate. */
		if (call->refusal == -ERR_TIMESTAMP_STALE)
			keep(connection, call->job->event.received_ms, call->refusal);
		return refuse(connection, call->refusal);
	case CALL_ANSWERED:
		/* What is left of a refused body. */
		*upload_data_size = 0;
		return MHD_YES;
	case CALL_IDLE:
	case CALL_COMMITTING:
		break;
	}
	/* A request without a request line, or a call while suspended: the library broke a promise.
	 */
	log_message(MESSAGE_INTERNAL, NULL,
		    "http: a request came out of turn; its connection is closed");
	return MHD_NO;
}
