/*
 * The bare HTTP echo: libmicrohttpd in the mode that it drives by itself (one POLL thread), without
 * suspending, reading the body and answering at once the reply that orderhookd answers. What it
 * reaches is what the library and the client allow on this machine. Prints its port, ends with its
 * standard input.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct MHD_Response *reply;
static char first_call;

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload_data,
			      size_t *upload_data_size, void **request)
{
	(void)cls;
	(void)url;
	(void)method;
	(void)version;
	(void)upload_data;
	if (!*request) {
		*request = &first_call;
		return MHD_YES;
	}
	if (*upload_data_size) {
		*upload_data_size = 0;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, reply);
}

int main(void)
{
	static char body[] = "{\"status\":200,\"msg\":\"\",\"data\":null}";
	struct sockaddr_in loopback = {.sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct MHD_Daemon *daemon;
	char byte;

	reply = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_PERSISTENT);
	MHD_add_response_header(reply, "Content-Type", "application/json; charset=utf-8");
	daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, answer,
				  NULL, MHD_OPTION_SOCK_ADDR, &loopback,
				  MHD_OPTION_CONNECTION_LIMIT, 4096u, MHD_OPTION_END);
	if (!daemon)
		return 1;
	printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	MHD_stop_daemon(daemon);
	MHD_destroy_response(reply);
	return 0;
}
