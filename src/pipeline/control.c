/*
 * One way for every kind of request: the peer's right, the strict scan, the handler's begin(), and
 * for those that touch the store a call of the writer. Each use is one line in the log, whatever
 * came of it, and each refusal says what to do.
 */
#include "orderhook/control.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control_private.h"
#include "orderhook/err.h"
#include "orderhook/log.h"

#define REFUSALS_PER_SECOND 20

struct control {
	struct writer *writer;
	const struct clock *clock;
	struct log_limit refusals;
	pthread_mutex_t lock;
	struct endpoint_set *endpoints; /* guarded by lock */
};

static const struct control_row rows[] = {
#define CONTROL(name, peers, request_bytes) {#name, peers, request_bytes, &control_##name},
#include "orderhook/tbl/control.def"
#undef CONTROL
};

const struct control_row *control_find(struct slice path)
{
	const struct slice prefix = SLICE(CONTROL_PATH);

	if (!slice_starts_with(path, prefix))
		return NULL;
	path.at += prefix.len;
	path.len -= prefix.len;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (slice_equal_string(path, rows[i].name))
			return &rows[i];
	}
	return NULL;
}

static int read_body(const struct control_row *row, struct slice body, struct json_object *ret)
{
	return body.len > row->request_bytes ? -ERR_BODY_TOO_LARGE : json_scan_object(body, ret);
}

int control_parse(struct slice method, struct slice path, struct slice body,
		  const struct control_row **ret_row, struct json_object *ret)
{
	const struct control_row *row = control_find(path);

	if (!row)
		return -ERR_PATH;
	if (!slice_equal_string(method, "POST"))
		return -ERR_METHOD;
	int err = read_body(row, body, ret);
	if (!err)
		*ret_row = row;
	return err;
}

int control_new(struct writer *writer, struct endpoint_set *endpoints, const struct clock *clock,
		struct control **ret)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control)
		return -ERR_NOMEM;
	control->writer = writer;
	control->clock = clock;
	control->endpoints = endpoint_set_ref(endpoints);
	pthread_mutex_init(&control->lock, NULL);
	*ret = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	endpoint_set_unref(control->endpoints);
	pthread_mutex_destroy(&control->lock);
	free(control);
}

void control_reload(struct control *control, struct endpoint_set *endpoints)
{
	struct endpoint_set *old;

	pthread_mutex_lock(&control->lock);
	old = control->endpoints;
	control->endpoints = endpoint_set_ref(endpoints);
	pthread_mutex_unlock(&control->lock);
	endpoint_set_unref(old);
}

void control_end(struct control *control)
{
	writer_end_calls(control->writer);
}

void control_expire(struct control *control)
{
	writer_expire(control->writer);
}

/* ------------------------------------------------------------------ one request -------- */

void control_call_free(struct control_call *call)
{
	if (!call)
		return;
	if (call->row->handler->release)
		call->row->handler->release(call);
	else
		free(call->state);
	endpoint_set_unref(call->endpoints);
	buf_release(&call->answer);
	free(call);
}

static void free_writer_call(struct writer_call *call)
{
	control_call_free((struct control_call *)call);
}

static int step(struct writer_call *writer_call, struct store *store)
{
	struct control_call *call = (struct control_call *)writer_call;

	return call->row->handler->step(call, store);
}

static struct control_call *call_new(struct control *control, const struct control_row *row,
				     const struct control_peer *peer)
{
	struct control_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->row = row;
	call->peer = *peer;
	call->call.step = step;
	call->call.free = free_writer_call;
	buf_init(&call->answer, CONTROL_ANSWER_BYTES_MAX);
	pthread_mutex_lock(&control->lock);
	call->endpoints = endpoint_set_ref(control->endpoints);
	pthread_mutex_unlock(&control->lock);
	return call;
}

int control_refuse(struct control_call *call, int status, int err, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_reset(&call->answer);
	call->status = status;
	err = control_add_text(call, "error", slice_of(err_key(err)));
	if (!err)
		err = control_add_text(call, "text", slice_of(text));
	return err ? err : control_answered(call);
}

static void refuse_error(struct control_call *call, int err)
{
	int status = err_http_status(err);

	/* Without memory for the answer the status alone has to do. */
	if (control_refuse(call, status >= 500 ? status : 500, err, "%s%s", err_text(err),
			   err_retryable(err) ? "; try again" : ""))
		buf_reset(&call->answer);
}

static void log_use(const struct control_row *row, const struct control_peer *peer,
		    const char *what)
{
	log_message(MESSAGE_CONTROL_USED, NULL, "control: uid %ld, pid %ld: %s: %s",
		    (long)peer->uid, (long)peer->pid, row->name, what);
}

void control_abandoned(const struct control_row *row, const struct control_peer *peer)
{
	log_use(row, peer, "not done in time; it may still happen");
}

static void log_refusal(struct control *control, const struct control_call *call, const char *why)
{
	if (log_allowed(&control->refusals, clock_elapsed_us(control->clock), REFUSALS_PER_SECOND))
		log_message(MESSAGE_CONTROL_REFUSED, NULL, "control: uid %ld, pid %ld: %s: %s",
			    (long)call->peer.uid, (long)call->peer.pid, call->row->name, why);
}

/* Scans and begins. What is wrong with the request is answered here, or by the handler. */
static int begin(struct control_call *call, struct slice body)
{
	struct json_object request;
	int err = read_body(call->row, body, &request);

	if (err == -ERR_BODY_TOO_LARGE)
		return control_refuse(call, 413, err, "at most %zu bytes are read here",
				      call->row->request_bytes);
	if (err)
		return control_refuse(call, 400, err, "the request must be one JSON object: %s",
				      err_text(err));
	return call->row->handler->begin(call, &request);
}

struct control_call *control_begin(struct control *control, const struct control_row *row,
				   const struct control_peer *peer, struct slice body)
{
	struct control_call *call = call_new(control, row, peer);
	int err;

	if (!call)
		return NULL;
	if (!(peer->kinds & row->peers)) {
		log_refusal(control, call, err_text(ERR_CONTROL_PEER));
		err = control_refuse(
			call, 403, -ERR_CONTROL_PEER,
			"this is for root, the daemon's user and the group " CONTROL_GROUP
			"; join it (usermod -aG " CONTROL_GROUP " NAME) and log in again");
	} else {
		err = begin(call, body);
		if (!err && call->status >= 400)
			log_refusal(control, call, "a request that is not served");
		else if (!err && call->status)
			log_use(row, peer, call->what);
	}
	if (err)
		refuse_error(call, err);
	return call;
}

int control_submit(struct control *control, struct control_call *call,
		   void (*done)(struct writer_call *call, void *waiter, bool abandoned),
		   void *waiter)
{
	call->call.done = done;
	call->call.waiter = waiter;
	return writer_call(control->writer, &call->call);
}

void control_finish(struct control_call *call, int outcome)
{
	int err = outcome;

	if (outcome >= 0) {
		call->status = 200;
		err = call->row->handler->answer(call, outcome);
		if (!err)
			err = control_answered(call);
	}
	if (err)
		refuse_error(call, err);
	log_use(call->row, &call->peer, err ? err_text(err) : call->what);
}
