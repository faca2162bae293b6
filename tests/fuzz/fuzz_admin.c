/*
 * The admin listener's routing, on TCP and on a unix socket, with libmicrohttpd replaced by what it
 * would hand over: any method, any URL, any length. Every request is answered once, with a status
 * of the contract; a page is only served to GET, control only on the unix socket and to nobody whom
 * the kernel does not name, and what claims to be JSON is.
 *
 * Input: a byte (which listener), the method up to a blank, the URL up to a newline, the
 * Content-Length up to a newline ("-": none).
 */
#include <microhttpd.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "orderhook/admin_server.h"
#include "orderhook/json_scan.h"

enum listener {
	LISTENER_TCP = 0,
	LISTENER_UNIX,
	LISTENER_MAX
};

static MHD_AccessHandlerCallback handler;
static void *contexts[LISTENER_MAX];
static MHD_RequestCompletedCallback completed;
static char *content_length;

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
	static int n;
	va_list options;

	(void)flags;
	(void)port;
	(void)accept;
	(void)accept_context;
	handler = handle;
	contexts[n++] = context;
	/* Every other option has a number. */
	va_start(options, context);
	for (enum MHD_OPTION option;
	     (option = (enum MHD_OPTION)va_arg(options, int)) != MHD_OPTION_END;) {
		if (option == MHD_OPTION_NOTIFY_COMPLETED) {
			completed = va_arg(options, MHD_RequestCompletedCallback);
			(void)va_arg(options, void *);
		} else {
			(void)va_arg(options, unsigned);
		}
	}
	va_end(options);
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

const char *MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind,
					const char *key)
{
	(void)connection;
	(void)kind;
	return strcmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 ? content_length : NULL;
}

/* Nobody is known to be there. */
const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *connection,
							enum MHD_ConnectionInfoType type, ...)
{
	(void)connection;
	(void)type;
	return NULL;
}

static size_t reasons(void *context, const char *ret[ADMIN_REASONS_MAX])
{
	(void)context;
	ret[0] = "queue-full";
	return 1;
}

void fuzz_begin(void)
{
	struct admin_server *servers[LISTENER_MAX];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	FUZZ_ASSERT(fd >= 0);
	FUZZ_ASSERT(admin_server_start(-1, reasons, NULL, NULL, &servers[LISTENER_TCP]) == 0);
	FUZZ_ASSERT(admin_server_start(fd, reasons, NULL, NULL, &servers[LISTENER_UNIX]) == 0);
	close(fd);
}

static void check_control(const char *method, const char *url)
{
	const struct control_row *row = control_find(slice_of(url));
	uint64_t length;
	unsigned expected = 403;

	if (!row)
		expected = 404;
	else if (strcmp(method, "POST") != 0)
		expected = 405;
	else if (!content_length)
		expected = 411;
	else if (slice_to_u64(slice_of(content_length), row->request_bytes, &length))
		expected = 413;
	FUZZ_ASSERT(answer.status == expected);
}

static void check(enum listener listener, const char *method, const char *url)
{
	static struct json_object object;
	bool page = strcmp(url, "/healthz") == 0 || strcmp(url, "/readyz") == 0 ||
		    strcmp(url, "/metrics") == 0;

	FUZZ_ASSERT(answer.answers == 1);
	FUZZ_ASSERT(answer.allow == (answer.status == 405));
	if (answer.json) {
		struct slice text = {answer.body, answer.len};
		FUZZ_ASSERT(json_scan_object(text, &object) == 0);
	}
	if (listener == LISTENER_UNIX && slice_starts_with(slice_of(url), SLICE(CONTROL_PATH))) {
		check_control(method, url);
		return;
	}
	FUZZ_ASSERT(page ? answer.status != 404 : answer.status == 404);
	FUZZ_ASSERT((answer.status == 405) == (page && strcmp(method, "GET") != 0));
}

void fuzz_one(struct slice input)
{
	enum listener listener = fuzz_take_byte(&input) % LISTENER_MAX;
	struct slice method = fuzz_take_until(&input, ' ');
	struct slice url = fuzz_take_until(&input, '\n');
	struct slice length = fuzz_take_until(&input, '\n');
	char *name = strndup(method.len ? method.at : "", method.len);
	char *path = strndup(url.len ? url.at : "", url.len);
	char *text = strndup(length.len ? length.at : "", length.len);
	size_t none = 0;
	void *call = NULL;

	if (name && path && text) {
		memset(&answer, 0, sizeof(answer));
		content_length = strcmp(text, "-") == 0 ? NULL : text;
		handler(contexts[listener], NULL, path, name, "HTTP/1.1", NULL, &none, &call);
		completed(contexts[listener], NULL, &call, MHD_REQUEST_TERMINATED_COMPLETED_OK);
		check(listener, name, path);
		free(answer.body);
	}
	free(name);
	free(path);
	free(text);
}
