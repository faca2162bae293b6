/*
 * Control over the admin listener. The request's body is read whole and bounded, the connection
 * sleeps while the writer works, and the listener serves health and metrics meanwhile. Whoever
 * completes the call (the writer, or the main thread when it is overdue) wakes it up.
 */
#include <stdlib.h>
#include <string.h>

#include "admin_private.h"
#include "orderhook/err.h"

enum admin_phase {
	ADMIN_BODY = 0,
	ADMIN_WAITING, /* the call is the writer's and the connection is suspended */
	ADMIN_DECIDED,
	ADMIN_ANSWERED
};

struct admin_call {
	struct admin_server *server;
	struct MHD_Connection *mhd;
	const struct control_row *row;
	struct control_peer peer;
	struct buf body;
	enum admin_phase phase;
	struct control_call *call; /* ours, but in ADMIN_WAITING */
	int outcome;
	bool abandoned;
};

static enum MHD_Result refuse(struct MHD_Connection *mhd, unsigned status, int err,
			      const char *text, const char *allow)
{
	BUF_AUTO struct buf body = BUF_INIT(1024);

	if (buf_addf(&body, "{\"error\":\"%s\",\"text\":\"%s\"}\n", err_key(err), text))
		return MHD_NO;
	return admin_send(mhd, status, ADMIN_JSON, buf_slice(&body), allow);
}

static enum MHD_Result answer(struct admin_call *admin)
{
	struct control_call *call = admin->call;

	admin->phase = ADMIN_ANSWERED;
	return admin_send(admin->mhd, (unsigned)call->status, ADMIN_JSON, buf_slice(&call->answer),
			  NULL);
}

/* The call is the admin's again, or the writer's for good and must not be touched. */
static void decided(struct writer_call *call, void *waiter, bool abandoned)
{
	struct admin_call *admin = waiter;
	struct admin_server *server = admin->server;

	admin->abandoned = abandoned;
	if (!abandoned) {
		admin->call = (struct control_call *)call;
		admin->outcome = call->outcome;
	}
	admin->phase = ADMIN_DECIDED;
	MHD_resume_connection(admin->mhd);
	/* Last: with none suspended the server may go. */
	atomic_fetch_sub(&server->suspended, 1);
}

static enum MHD_Result submit(struct admin_call *admin)
{
	struct admin_server *server = admin->server;
	struct control_call *call = admin->call;
	int err;

	/* Asleep before the writer can wake it: a resume that comes first would be lost. */
	admin->phase = ADMIN_WAITING;
	admin->call = NULL;
	atomic_fetch_add(&server->suspended, 1);
	MHD_suspend_connection(admin->mhd);
	err = control_submit(server->control, call, decided, admin);
	if (err) {
		call->call.outcome = err;
		decided(&call->call, admin, false);
	}
	return MHD_YES;
}

static enum MHD_Result begin(struct admin_call *admin)
{
	admin->call = control_begin(admin->server->control, admin->row, &admin->peer,
				    buf_slice(&admin->body));
	if (!admin->call)
		return refuse(admin->mhd, 503, -ERR_NOMEM, err_text(ERR_NOMEM), NULL);
	return admin->call->status ? answer(admin) : submit(admin);
}

static enum MHD_Result finish(struct admin_call *admin)
{
	if (!admin->abandoned) {
		control_finish(admin->call, admin->outcome);
		return answer(admin);
	}
	admin->phase = ADMIN_ANSWERED;
	control_abandoned(admin->row, &admin->peer);
	return refuse(admin->mhd, 503, -ERR_COMMIT_TIMEOUT,
		      "it was not done in time, because the disk does not answer; it may still "
		      "happen: look, then try again",
		      NULL);
}

/* What the head decides. 0 and the length of the body, or after a refusal its result in *ret. */
static bool head_is_good(struct MHD_Connection *mhd, const char *method,
			 const struct control_row *row, enum MHD_Result *ret)
{
	const char *text =
		MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t length;

	if (!row)
		*ret = refuse(mhd, 404, -ERR_PATH,
			      "there is no such control request; a newer "
			      "orderhook may have it: is the daemon older than the tool?",
			      NULL);
	else if (strcmp(method, "POST") != 0)
		*ret = refuse(mhd, 405, -ERR_METHOD, err_text(ERR_METHOD), "POST");
	else if (!text)
		*ret = refuse(mhd, 411, -ERR_LENGTH_REQUIRED, err_text(ERR_LENGTH_REQUIRED), NULL);
	else if (slice_to_u64(slice_of(text), row->request_bytes, &length))
		*ret = refuse(mhd, 413, -ERR_BODY_TOO_LARGE, "the request is too long", NULL);
	else
		return true;
	return false;
}

static enum MHD_Result take_head(struct admin_server *server, struct MHD_Connection *mhd,
				 const char *url, const char *method, void **con_cls)
{
	const struct control_row *row = control_find(slice_of(url));
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct admin_call *admin;
	enum MHD_Result result;

	if (!head_is_good(mhd, method, row, &result))
		return result;
	if (atomic_load(&server->draining))
		return refuse(mhd, 503, -ERR_DRAINING, err_text(ERR_DRAINING), NULL);
	admin = calloc(1, sizeof(*admin));
	if (!admin)
		return refuse(mhd, 503, -ERR_NOMEM, err_text(ERR_NOMEM), NULL);
	admin->server = server;
	admin->mhd = mhd;
	admin->row = row;
	buf_init(&admin->body, row->request_bytes);
	atomic_fetch_add(&server->requests, 1);
	*con_cls = admin;
	if (!info || !admin_peer(server, info->connect_fd, &admin->peer)) {
		admin->phase = ADMIN_ANSWERED;
		return refuse(mhd, 403, -ERR_CONTROL_PEER, "the kernel does not say who asks",
			      NULL);
	}
	/* Nothing is read from somebody who may not ask. */
	return admin->peer.kinds & row->peers ? MHD_YES : begin(admin);
}

enum MHD_Result admin_control(struct admin_server *server, struct MHD_Connection *mhd,
			      const char *url, const char *method, const char *upload_data,
			      size_t *upload_data_size, void **con_cls)
{
	struct admin_call *admin = *con_cls;

	if (!admin)
		return take_head(server, mhd, url, method, con_cls);
	switch (admin->phase) {
	case ADMIN_BODY:
		if (*upload_data_size == 0)
			return begin(admin);
		if (buf_add(&admin->body, upload_data, *upload_data_size))
			return MHD_NO;
		*upload_data_size = 0;
		return MHD_YES;
	case ADMIN_DECIDED:
		return finish(admin);
	case ADMIN_WAITING:
	case ADMIN_ANSWERED:
		break;
	}
	*upload_data_size = 0;
	return MHD_YES;
}

void admin_control_over(struct admin_server *server, void *con_cls)
{
	struct admin_call *admin = con_cls;

	if (!admin)
		return;
	control_call_free(admin->call);
	buf_release(&admin->body);
	free(admin);
	atomic_fetch_sub(&server->requests, 1);
}
