/* What the parts of the callback listener share: one connection, its present request, the server.
 */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "orderhook/http_gate.h"
#include "orderhook/http_reply.h"
#include "orderhook/http_request_id.h"
#include "orderhook/http_server.h"
#include "orderhook/log.h"

enum call_phase {
	CALL_IDLE = 0,   /* no request */
	CALL_HEAD,       /* the request line is there */
	CALL_BODY,       /* the head passed the gate */
	CALL_REFUSED,    /* it did not; the body is read first, and forgotten */
	CALL_COMMITTING, /* the job is the writer's and the connection is suspended */
	CALL_DECIDED,    /* refusal or result stands, the connection was resumed */
	CALL_ANSWERED    /* a reply is queued */
};

/* One request. Embedded in its connection, which serves one request at a time. */
struct http_call {
	enum call_phase phase;
	struct MHD_Connection *connection;
	struct endpoint_set *endpoints; /* a reference, while a request is served */
	struct slice uri;               /* as it came, with its query; the library's */
	struct http_head head;
	struct write_job *job; /* ours, but in CALL_COMMITTING */
	int refusal;
	struct store_result result;
	int64_t start_us;
	char remote[HTTP_REMOTE_BYTES];
	char request_id[HTTP_REQUEST_ID_BYTES];
};

struct http_connection {
	struct http_server *server;
	struct http_loop *loop;
	struct http_connection *next_decided; /* guarded by the loop's lock */
	struct http_connection *next;         /* guarded by the server's lock */
	struct http_connection *prev;         /* guarded by the server's lock */
	int fd;
	bool trusted; /* the peer is a trusted proxy */
	bool fresh;   /* no request yet: the deadline counts from accept. The library thread's */
	char peer[HTTP_REMOTE_BYTES];
	/* When the request must be whole; 0: none is being read. */
	_Atomic int64_t deadline_us;
	atomic_bool idle;   /* between requests, or before the first */
	atomic_bool shut;   /* reading was shut down */
	struct buf scratch; /* for ingest */
	struct http_call call;
};

/* http_loop.c: a thread that drives one libmicrohttpd daemon. */
struct http_loop {
	struct http_server *server;
	struct MHD_Daemon *daemon; /* owned; the thread's, while it runs */
	pthread_t thread;
	bool running;
	int epoll_fd; /* the library's */
	int wake_fd;  /* owned */
	bool closed;  /* the thread's: a connection ended in this run of the library */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct http_connection *decided;      /* guarded by lock: to be resumed */
	struct http_connection **decided_end; /* guarded by lock */
	bool asleep;                          /* guarded by lock */
	bool draining;                        /* guarded by lock */
	bool quiesced;                        /* guarded by lock */
	bool stopping;                        /* guarded by lock */
};

struct http_server {
	struct http_loop *loops; /* owned */
	size_t n_loops;
	struct http_server_options options; /* endpoints and proxies: guarded by lock */
	struct http_replies *replies;
	_Atomic int64_t request_timeout_us;
	_Atomic int64_t max_body_bytes;
	_Atomic int64_t log_rate;
	struct log_limit stored_lines;
	struct log_limit trouble_lines;
	struct http_request_ids request_ids;
	struct write_job_pool jobs;
	atomic_bool draining;
	pthread_mutex_t lock;
	struct http_connection *connections; /* guarded by lock */
	size_t n_connections;                /* guarded by lock */
	size_t most_connections;             /* guarded by lock: since memory was given back */
};

/* -ERR_SYSTEM; it must be stopped all the same. */
int http_loop_init(struct http_loop *loop, struct http_server *server);
/* Takes the daemon over and starts the thread. -ERR_SYSTEM. */
int http_loop_start(struct http_loop *loop, struct MHD_Daemon *daemon);
/* For any thread: the connection's call is decided, and is to be resumed. */
void http_loop_decided(struct http_loop *loop, struct http_connection *connection);
/* Returns when the loop accepts no more. */
void http_loop_drain(struct http_loop *loop);
/* Ends thread and daemon. The listening socket must have been taken away by http_loop_drain(). */
void http_loop_stop(struct http_loop *loop);

/* http_server.c: what notify_connection() keeps with a connection; NULL when it had no memory. */
struct http_connection *http_connection_of(struct MHD_Connection *mhd);

/* http_whole.c: false when something came that the library does not hand over. uri: with its query,
 * as the library showed it first. */
bool http_head_is_whole(struct MHD_Connection *mhd, const char *method, struct slice uri,
			const char *version);

/* callback_handler.c: the access handler, and what ends a request. */
enum MHD_Result callback_handle(void *cls, struct MHD_Connection *connection, const char *url,
				const char *method, const char *version, const char *upload_data,
				size_t *upload_data_size, void **con_cls);
void callback_begin(struct http_connection *connection, struct MHD_Connection *mhd,
		    const char *uri);
void callback_end(struct http_connection *connection);
