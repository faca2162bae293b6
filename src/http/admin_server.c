/*
 * Small, rare requests: everything is answered at once from a table of paths, in a thread of its
 * own, so that the listener answers even while the writer is stuck in the kernel.
 */
#include "orderhook/admin_server.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/buf.h"
#include "orderhook/err.h"
#include "orderhook/metrics.h"

#define ADMIN_CONNECTIONS_MAX 32
#define ADMIN_TIMEOUT_S 5
#define ADMIN_PAGE_BYTES_MAX (1024 * 1024)

struct admin_server {
	struct MHD_Daemon *daemon;
	admin_reasons_fn reasons;
	void *context;
};

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
	{"/healthz", "application/json", page_health},
	{"/readyz", "application/json", page_ready},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
};

static enum MHD_Result send_page(struct MHD_Connection *mhd, unsigned status, const char *type,
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
	(void)upload_data;
	(void)upload_data_size;
	(void)con_cls;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(url, pages[i].path) != 0)
			continue;
		if (strcmp(method, "GET") != 0)
			return send_page(mhd, 405, "application/json",
					 SLICE("{\"error\":\"only GET is served here\"}\n"), "GET");
		unsigned status = pages[i].make(server, &body);
		return send_page(mhd, status, pages[i].type, buf_slice(&body), NULL);
	}
	return send_page(mhd, 404, "application/json",
			 SLICE("{\"error\":\"there are /healthz, /readyz and /metrics\"}\n"), NULL);
}

int admin_server_start(int listen_fd, admin_reasons_fn reasons, void *context,
		       struct admin_server **ret)
{
	struct admin_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ERR_NOMEM;
	server->reasons = reasons;
	server->context = context;
	server->daemon =
		MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, handle,
				 server, MHD_OPTION_LISTEN_SOCKET, listen_fd,
				 MHD_OPTION_CONNECTION_LIMIT, ADMIN_CONNECTIONS_MAX,
				 MHD_OPTION_CONNECTION_TIMEOUT, ADMIN_TIMEOUT_S, MHD_OPTION_END);
	if (!server->daemon) {
		free(server);
		return -ERR_SYSTEM;
	}
	*ret = server;
	return 0;
}

void admin_server_stop(struct admin_server *server)
{
	if (!server)
		return;
	/* The socket may be systemd's: MHD_stop_daemon() would shut it down for the next start. */
	MHD_quiesce_daemon(server->daemon);
	MHD_stop_daemon(server->daemon);
	free(server);
}
