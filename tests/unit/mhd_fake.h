/*
 * libmicrohttpd without a socket: one request at a time goes through the callback listener's
 * handler as the library would hand it over, and what it is answered with is kept.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/http/http_private.h"

#define MHD_FAKE_HEADERS_MAX 128
#define MHD_FAKE_HEAD_BYTES (1 << 17)

struct mhd_fake {
	struct http_connection connection;
	union MHD_ConnectionInfo info;
	char *text; /* the headers; NULL once they are in head */
	size_t head_bytes;
	const char *names[MHD_FAKE_HEADERS_MAX];
	const char *values[MHD_FAKE_HEADERS_MAX];
	size_t n_headers;
	bool suspended;
	/* The answer. */
	int answers;
	unsigned status;
	char body[256];
	bool closes;
	bool retry_after;
	bool allow;
};

static struct mhd_fake fake;
/* The head as the library leaves it: strings where they came, in one run. */
static char fake_head[MHD_FAKE_HEAD_BYTES];
/* A loop that always sleeps, so that what is decided wakes it; nothing runs in it. */
static struct http_loop fake_loop;

static struct MHD_Connection *fake_mhd(void)
{
	return (struct MHD_Connection *)(void *)&fake;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *mhd,
							enum MHD_ConnectionInfoType type, ...)
{
	(void)mhd;
	if (type == MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
		fake.info.header_size = fake.head_bytes;
	else if (type == MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		fake.info.socket_context = &fake.connection;
	else
		return NULL;
	return &fake.info;
}

int MHD_get_connection_values(struct MHD_Connection *mhd, enum MHD_ValueKind kind,
			      MHD_KeyValueIterator iterator, void *context)
{
	(void)mhd;
	for (size_t i = 0; i < fake.n_headers; i++) {
		if (!iterator(context, kind, fake.names[i], fake.values[i]))
			break;
	}
	return (int)fake.n_headers;
}

void MHD_suspend_connection(struct MHD_Connection *mhd)
{
	(void)mhd;
	fake.suspended = true;
}

void MHD_resume_connection(struct MHD_Connection *mhd)
{
	(void)mhd;
	fake.suspended = false;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *buffer,
						     enum MHD_ResponseMemoryMode mode)
{
	(void)mode;
	snprintf(fake.body, sizeof(fake.body), "%.*s", (int)size, (const char *)buffer);
	return (struct MHD_Response *)(void *)fake.body;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *response, const char *name,
					const char *value)
{
	(void)response;
	fake.closes |= strcmp(name, "Connection") == 0 && strcmp(value, "close") == 0;
	fake.retry_after |= strcmp(name, "Retry-After") == 0;
	fake.allow |= strcmp(name, "Allow") == 0;
	return MHD_YES;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *mhd, unsigned status,
				   struct MHD_Response *response)
{
	(void)mhd;
	(void)response;
	fake.answers++;
	fake.status = status;
	return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *response)
{
	(void)response;
}

static void fake_start(struct http_server *server)
{
	assert_int_equal(http_loop_init(&fake_loop, server), 0);
}

/* When nobody decides any more: after writer_free(). */
static void fake_stop(void)
{
	http_loop_stop(&fake_loop);
}

/* text: "Name: value\n" for each header, or "Name: value\n fold\n" for one of them; it is cut in
 * place by the first call. */
static void fake_begin(struct http_server *server, char *text)
{
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_lock(&fake_loop.lock);
	fake_loop.decided = NULL;
	fake_loop.decided_end = &fake_loop.decided;
	fake_loop.asleep = true;
	pthread_mutex_unlock(&fake_loop.lock);
	fake.connection.server = server;
	fake.connection.loop = &fake_loop;
	buf_init(&fake.connection.scratch, 1 << 20);
	/* As an acknowledged request of the same connection leaves it: it must not be taken for
	 * this one's. */
	fake.connection.call.result = (struct store_result){.event_id = 5};
	fake.text = text;
}

/* A string of the head, with so many NULs behind it; where it is. */
static const char *fake_lay(const char *string, size_t n_nuls)
{
	size_t len = strlen(string);
	char *at = fake_head + fake.head_bytes;

	assert_true(len + n_nuls <= sizeof(fake_head) - fake.head_bytes);
	memcpy(at, string, len);
	memset(at + len, '\0', n_nuls);
	fake.head_bytes += len + n_nuls;
	return at;
}

/* As the library: a folded line is added to the name of its header, which is then put elsewhere. */
static char *fake_fold(const char *name, char *line)
{
	static char folded[256];
	char *end = *line == ' ' ? strchr(line, '\n') : NULL;

	if (!end)
		return line;
	*end = '\0';
	snprintf(folded, sizeof(folded), "%s%s", name, fake_lay(line, 2) + 1);
	fake.names[fake.n_headers - 1] = folded;
	return end + 1;
}

static void fake_lay_head(const char **method, const char **path, const char **version)
{
	*method = fake_lay(*method, 1);
	*path = fake_lay(*path, 1);
	*version = fake_lay(*version, 2);
	for (char *line = fake.text; *line;) {
		char *end = strchr(line, '\n');
		char *colon = strchr(line, ':');
		assert_true(end && colon && colon < end && fake.n_headers < MHD_FAKE_HEADERS_MAX);
		*end = *colon = '\0';
		fake.names[fake.n_headers] = fake_lay(line, 1);
		fake.values[fake.n_headers++] = fake_lay(colon + 1, 2) + 1;
		line = fake_fold(line, end + 1);
	}
	fake_lay("", 2);
	fake.text = NULL;
}

/* For as long as it takes: who tests has a deadline. */
static void fake_wait_resumed(void)
{
	struct pollfd woken = {.fd = fake_loop.wake_fd, .events = POLLIN};
	uint64_t times;

	if (!fake.suspended)
		return;
	assert_int_equal(poll(&woken, 1, -1), 1);
	assert_int_equal(read(woken.fd, &times, sizeof(times)), sizeof(times));
	pthread_mutex_lock(&fake_loop.lock);
	assert_ptr_equal(fake_loop.decided, &fake.connection);
	pthread_mutex_unlock(&fake_loop.lock);
}

/* One call of the handler, as the library makes them: head, body, end, and once more when resumed.
 */
static void fake_call(const char *method, const char *path, const char *version,
		      struct slice upload)
{
	size_t len = upload.len;
	void *context = NULL;

	if (fake.text) {
		fake_lay_head(&method, &path, &version);
		callback_begin(&fake.connection, fake_mhd(), path);
	}
	assert_int_equal(
		callback_handle(NULL, fake_mhd(), path, method, version, upload.at, &len, &context),
		MHD_YES);
}

/* Nothing where it has been done: a test that failed leaves its request open. */
static void fake_end(void)
{
	if (!fake.connection.server)
		return;
	callback_end(&fake.connection);
	buf_release(&fake.connection.scratch);
	fake.connection.server = NULL;
}
