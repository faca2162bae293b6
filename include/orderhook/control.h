/*
 * Control: what an operator asks the running daemon to do, without HTTP and without sockets. A
 * request is a row of tbl/control.def, the peer that asks, and one strict JSON object; the answer
 * is a status and one JSON object.
 *
 * A new kind of request is a row of tbl/control.def and a `const struct control_handler
 * control_NAME` in src/pipeline/control_NAME.c; src/pipeline/control_private.h tells what a handler
 * is. Dispatch, rights, limits, refusals and the line in the log follow from here, the tool's side
 * is daemon_ask() of src/tools/.
 */
#pragma once

#include <sys/types.h>

#include "orderhook/endpoint_set.h"
#include "orderhook/json_scan.h"
#include "orderhook/writer.h"

#define CONTROL_PATH "/control/"
#define CONTROL_GROUP "orderhook-admin"
#define CONTROL_ANSWER_BYTES_MAX ((size_t)256 * 1024)

enum control_peer_kind {
	PEER_ROOT = 1,
	PEER_DAEMON = 2,
	PEER_ADMINS = 4
};

/* Who is at the other end of the socket, as the kernel says. */
struct control_peer {
	uid_t uid;
	pid_t pid;
	unsigned kinds; /* of enum control_peer_kind; 0: a stranger */
};

struct control_handler;

struct control_row {
	const char *name;
	unsigned peers;
	size_t request_bytes;
	const struct control_handler *handler;
};

/* The row of a path, or NULL. */
const struct control_row *control_find(struct slice path);

/*
 * The whole of what came, to a row and the members of its object; where a fuzzer enters. -ERR_PATH,
 * -ERR_METHOD, -ERR_BODY_TOO_LARGE, errors of json_scan_object().
 */
int control_parse(struct slice method, struct slice path, struct slice body,
		  const struct control_row **ret_row, struct json_object *ret);

struct control;

/* writer and clock are borrowed, of endpoints a reference is taken. -ERR_NOMEM. */
int control_new(struct writer *writer, struct endpoint_set *endpoints, const struct clock *clock,
		struct control **ret);
void control_free(struct control *control); /* NULL is fine */
/* The endpoints that requests are served with from now on. */
void control_reload(struct control *control, struct endpoint_set *endpoints);

/* One request. The embedded call is the writer's between control_submit() and its done. */
struct control_call {
	struct writer_call call; /* first */
	const struct control_row *row;
	struct control_peer peer;
	struct endpoint_set *endpoints; /* a reference: as configured when it was asked */
	void *state;                    /* the handler's */
	char what[160];                 /* for the log: what was asked and what came of it */
	int status;                     /* HTTP; 0 while there is no answer */
	struct buf answer;              /* one JSON object and a newline */
};

/*
 * Checks the peer and the request. With a status it is answered already; without one it needs the
 * writer: control_submit(), and control_finish() once done was called. NULL without memory.
 */
struct control_call *control_begin(struct control *control, const struct control_row *row,
				   const struct control_peer *peer, struct slice body);
/* As writer_call(); on an error control_finish() with it. */
int control_submit(struct control *control, struct control_call *call,
		   void (*done)(struct writer_call *call, void *waiter, bool abandoned),
		   void *waiter);
/* Makes the answer and says in the log what was done. outcome: of the writer_call. */
void control_finish(struct control_call *call, int outcome);
void control_call_free(struct control_call *call); /* NULL is fine */
/* Says that nobody waited for the end of a request. The writer has it for good. */
void control_abandoned(const struct control_row *row, const struct control_peer *peer);

/* For stopping: gives up overdue calls, once their ends were asked for. */
void control_end(struct control *control);
void control_expire(struct control *control);
