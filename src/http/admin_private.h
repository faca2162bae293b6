/* What the two parts of the admin listener share: pages that are answered at once, and control. */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>

#include "orderhook/admin_server.h"
#include "orderhook/control.h"

struct admin_server {
	struct MHD_Daemon *daemon;
	admin_reasons_fn reasons;
	void *context;
	struct control *control;
	bool local;       /* a unix socket: control is served */
	long admin_group; /* the library's thread's; -1: not known yet */
	atomic_bool draining;
	atomic_int suspended; /* connections that wait for the writer */
	atomic_int requests;  /* of control, not over yet */
};

#define ADMIN_JSON "application/json"

/* admin_server.c. Copies the body. */
enum MHD_Result admin_send(struct MHD_Connection *mhd, unsigned status, const char *type,
			   struct slice body, const char *allow);

/* admin_control.c. con_cls holds a struct admin_call, for requests whose path begins so. */
enum MHD_Result admin_control(struct admin_server *server, struct MHD_Connection *mhd,
			      const char *url, const char *method, const char *upload_data,
			      size_t *upload_data_size, void **con_cls);
void admin_control_over(struct admin_server *server, void *con_cls); /* NULL is fine */

/* admin_peer.c: who is at the other end of a unix socket. False when the kernel does not say. */
bool admin_peer(struct admin_server *server, int fd, struct control_peer *ret);
