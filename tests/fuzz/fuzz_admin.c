/*
 * The admin listener's routing, with libmicrohttpd replaced by what it would hand over: any method
 * and any URL. Every request is answered once, with a status of the contract; a page is only served
 * to GET, and what claims to be JSON is.
 *
 * Input: the method up to a blank, the URL up to a newline, the body.
 */
#include <microhttpd.h>

#include "fuzz.h"
#include "orderhook/admin_server.h"
#include "orderhook/json_scan.h"

static MHD_AccessHandlerCallback handler;
static void *handler_context;

/* The answer to the request under way. */
static struct {
	int answers;
	unsigned status;
	char *body;
	size_t len;
	bool json;
	bool allow;
} answer;

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
				    void *accept_context, MHD_AccessHandlerCallback handle,
				    void *context, ...)
{
	static char daemon;

	(void)flags;
	(void)port;
	(void)accept;
	(void)accept_context;
	handler = handle;
	handler_context = context;
	return (struct MHD_Daemon *)(void *)&daemon;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *buffer,
						     enum MHD_ResponseMemoryMode mode)
{
	(void)mode;
	answer.body = malloc(size + 1);
	FUZZ_ASSERT(answer.body);
	memcpy(answer.body, buffer, size);
	answer.len = size;
	return (struct MHD_Response *)(void *)&answer;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *response, const char *header,
					const char *content)
{
	(void)response;
	if (strcmp(header, MHD_HTTP_HEADER_CONTENT_TYPE) == 0)
		answer.json = strcmp(content, "application/json") == 0;
	if (strcmp(header, MHD_HTTP_HEADER_ALLOW) == 0)
		answer.allow = true;
	return MHD_YES;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
				   struct MHD_Response *response)
{
	(void)connection;
	(void)response;
	answer.answers++;
	answer.status = status;
	return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *response)
{
	(void)response;
}

static size_t reasons(void *context, const char *ret[ADMIN_REASONS_MAX])
{
	(void)context;
	ret[0] = "queue-full";
	return 1;
}

void fuzz_begin(void)
{
	struct admin_server *server;

	FUZZ_ASSERT(admin_server_start(-1, reasons, NULL, &server) == 0);
}

static void check(const char *method, const char *url)
{
	static struct json_object object;
	bool page = strcmp(url, "/healthz") == 0 || strcmp(url, "/readyz") == 0 ||
		    strcmp(url, "/metrics") == 0;

	FUZZ_ASSERT(answer.answers == 1);
	FUZZ_ASSERT(page ? answer.status != 404 : answer.status == 404);
	FUZZ_ASSERT((answer.status == 405) == (page && strcmp(method, "GET") != 0));
	FUZZ_ASSERT(answer.allow == (answer.status == 405));
	if (answer.json) {
		struct slice text = {answer.body, answer.len};
		FUZZ_ASSERT(json_scan_object(text, &object) == 0);
	}
}

void fuzz_one(struct slice input)
{
	struct slice method = fuzz_take_until(&input, ' ');
	struct slice url = fuzz_take_until(&input, '\n');
	size_t len = input.len;
	char *name = strndup(method.len ? method.at : "", method.len);
	char *path = strndup(url.len ? url.at : "", url.len);
	void *call = NULL;

	if (name && path) {
		memset(&answer, 0, sizeof(answer));
		handler(handler_context, NULL, path, name, "HTTP/1.1", len ? input.at : NULL, &len,
			&call);
		check(name, path);
		free(answer.body);
	}
	free(name);
	free(path);
}
