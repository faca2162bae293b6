/*
 * Small, rare requests: pages are answered at once from a table of paths, in a thread of its own,
 * so that the listener answers even while the writer is stuck in the kernel. Control waits for the
 * writer with its connection asleep (admin_control.c).
 */
#include "orderhook/admin_server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "admin_private.h"
#include "orderhook/err.h"
#include "orderhook/metrics.h"

#define ADMIN_CONNECTIONS_MAX 32
#define ADMIN_TIMEOUT_S 5
#define ADMIN_PAGE_BYTES_MAX (1024 * 1024)
/* How long the stop waits for a peer to take its answer. */
#define ADMIN_LINGER_MS 1000

/* Writes the page and returns its HTTP status. */
typedef unsigned (*page_fn)(struct admin_server *server, struct buf *page);

static unsigned page_health(struct admin_server *server, struct buf *page)
{
	(void)server;
	return buf_add_string(page, "{\"status\":\"alive\"}\n") ? 500 : 200;
}

static unsigned page_ready(struct admin_server *server, struct buf *page)
{
	const char *reasons[ADMIN_REASONS_MAX];
	size_t n = server->reasons(server->context, reasons);
	int err = buf_addf(page, "{\"ready\":%s,\"reasons\":[", n ? "false" : "true");

	for (size_t i = 0; !err && i < n; i++)
		err = buf_addf(page, "%s\"%s\"", i ? "," : "", reasons[i]);
	if (!err)
		err = buf_add_string(page, "]}\n");
	return err ? 500 : n ? 503 : 200;
}

static unsigned page_metrics(struct admin_server *server, struct buf *page)
{
	(void)server;
	return metrics_render(page) ? 500 : 200;
}

static const struct page {
	const char *path;
	const char *type;
	page_fn make;
} pages[] = {
	{"/healthz", ADMIN_JSON, page_health},
	{"/readyz", ADMIN_JSON, page_ready},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
};

enum MHD_Result admin_send(struct MHD_Connection *mhd, unsigned status, const char *type,
			   struct slice body, const char *allow)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		body.len, (void *)(uintptr_t)body.at, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) &&
	    (!allow || MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow)))
		result = MHD_queue_response(mhd, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url,
			      const char *method, const char *version, const char *upload_data,
			      size_t *upload_data_size, void **con_cls)
{
	BUF_AUTO struct buf body = BUF_INIT(ADMIN_PAGE_BYTES_MAX);
	struct admin_server *server = cls;

	(void)version;
	if (server->local && slice_starts_with(slice_of(url), SLICE(CONTROL_PATH)))
		return admin_control(server, mhd, url, method, upload_data, upload_data_size,
				     con_cls);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(url, pages[i].path) != 0)
			continue;
		if (strcmp(method, "GET") != 0)
			return admin_send(mhd, 405, ADMIN_JSON,
					  SLICE("{\"error\":\"only GET is served here\"}\n"),
					  "GET");
		unsigned status = pages[i].make(server, &body);
		return admin_send(mhd, status, pages[i].type, buf_slice(&body), NULL);
	}
	return admin_send(mhd, 404, ADMIN_JSON,
			  SLICE("{\"error\":\"there are /healthz, /readyz and /metrics\"}\n"),
			  NULL);
}

static void completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
		      enum MHD_RequestTerminationCode code)
{
	(void)mhd;
	(void)code;
	admin_control_over(cls, *con_cls);
	*con_cls = NULL;
}

static bool is_local(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

int admin_server_start(int listen_fd, admin_reasons_fn reasons, void *context,
		       struct control *control, struct admin_server **ret)
{
	struct admin_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ERR_NOMEM;
	server->reasons = reasons;
	server->context = context;
	server->control = control;
	server->local = is_local(listen_fd);
	server->admin_group = -1;
	server->daemon = MHD_start_daemon(
		MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
		NULL, handle, server, MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, ADMIN_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		ADMIN_TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED, completed, server, MHD_OPTION_END);
	if (!server->daemon) {
		free(server);
		return -ERR_SYSTEM;
	}
	*ret = server;
	return 0;
}

void admin_server_stop(struct admin_server *server)
{
	const struct timespec round = {.tv_nsec = 1000000};

	if (!server)
		return;
	/* The socket may be systemd's: MHD_stop_daemon() would shut it down for the next start. */
	MHD_quiesce_daemon(server->daemon);
	atomic_store(&server->draining, true);
	control_end(server->control);
	/* A connection that is asleep cannot be stopped; the calls end, or become overdue. */
	while (atomic_load(&server->suspended)) {
		control_expire(server->control);
		nanosleep(&round, NULL);
	}
	for (int i = 0; i < ADMIN_LINGER_MS && atomic_load(&server->requests); i++)
		nanosleep(&round, NULL);
	MHD_stop_daemon(server->daemon);
	free(server);
}
