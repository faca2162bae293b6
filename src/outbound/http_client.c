/*
 * libcurl's multi interface, driven by its socket callbacks over one epoll descriptor, so that a
 * round costs what is ready and not what is connected. There is one easy handle ("slot") for each
 * connection, made once; the connections themselves are curl's, kept by the multi handle.
 *
 * A slot is free, busy, or busy and paused (its body is being sent slowly). It is free again only
 * after done was called: the answer lives in it.
 *
 * epoll_wait() counts milliseconds; who measures latencies needs better. So the epoll descriptor
 * itself is waited for with ppoll(), and then emptied without waiting.
 */
#include <curl/curl.h>

#include "http_target_private.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"

#define BODY_BYTES_MAX (1024 * 1024)
#define EVENTS_PER_ROUND 128
#define NEVER INT64_MAX

struct slot {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	const char *content_type; /* that headers were made for */
	struct slot *next_free;
	bool busy;
	void *tag;
	struct buf body;
	struct buf answer;
	size_t n_read;       /* bytes of a slow body that curl has taken */
	int64_t pause_us;    /* 0: the body is not slow, or has had its pause */
	int64_t continue_us; /* when a paused body goes on; NEVER while it is not paused */
	int64_t sent_us;
	char problem[CURL_ERROR_SIZE];
};

struct http_client {
	CURLM *multi;
	int epoll_fd;
	struct slot *slots;
	size_t n_slots;
	struct slot *free_slots;
	size_t n_free;
	size_t n_paused;
	int64_t curl_deadline_us; /* when curl wants to be called without an event */
	struct http_target target;
	bool allow_external;
	http_done_fn done;
	void *context;
};

static int64_t now_us(void)
{
	return clock_elapsed_us(clock_system());
}

/* ------------------------------------------------------------------ called by curl ----- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
	struct http_client *client = context;
	struct epoll_event event = {.data.fd = fd};

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		/* Fails when curl has closed it already: then it is out anyway. */
		epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(client->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
		return -1;
	/* Anything that is not NULL tells the next call that the descriptor is known. */
	curl_multi_assign(client->multi, fd, client);
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct http_client *client = context;

	(void)multi;
	client->curl_deadline_us = timeout_ms < 0 ? NEVER : now_us() + timeout_ms * 1000LL;
	return 0;
}

static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct http_client *client = context;

	(void)purpose;
	if (!address_may_be_called(&address->addr, client->allow_external,
				   client->target.literal)) {
		errno = EACCES;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_answer(char *bytes, size_t size, size_t n, void *context)
{
	struct slot *slot = context;

	return buf_add(&slot->answer, bytes, size * n) ? 0 : size * n;
}

/* The slow body: its first half, a pause, the rest. */
static size_t on_body(char *out, size_t size, size_t n, void *context)
{
	struct slot *slot = context;
	size_t half = slot->body.len / 2;
	size_t len;

	if (slot->n_read >= half && slot->pause_us) {
		slot->continue_us = now_us() + slot->pause_us;
		slot->pause_us = 0;
		slot->client->n_paused++;
		return CURL_READFUNC_PAUSE;
	}
	len = (slot->pause_us ? half : slot->body.len) - slot->n_read;
	if (len > size * n)
		len = size * n;
	memcpy(out, slot->body.data + slot->n_read, len);
	slot->n_read += len;
	return len;
}

static int on_rewind(void *context, curl_off_t offset, int origin)
{
	struct slot *slot = context;

	if (origin != SEEK_SET || offset < 0 || (size_t)offset > slot->body.len)
		return CURL_SEEKFUNC_FAIL;
	slot->n_read = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void slot_finish(struct slot *slot, CURLcode code)
{
	struct http_client *client = slot->client;
	struct http_answer answer = {.sent_us = slot->sent_us, .ended_us = now_us(), .problem = ""};
	long status = 0;

	if (code == CURLE_OK &&
	    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) {
		answer.status = (int)status;
		answer.body = buf_slice(&slot->answer);
	} else if (code == CURLE_ABORTED_BY_CALLBACK) {
		answer.problem = "given up before an answer came";
	} else {
		answer.problem = slot->problem[0] ? slot->problem : curl_easy_strerror(code);
	}
	if (slot->continue_us != NEVER) {
		slot->continue_us = NEVER;
		client->n_paused--;
	}
	curl_multi_remove_handle(client->multi, slot->easy);
	client->done(client->context, slot->tag, &answer);
	slot->busy = false;
	slot->next_free = client->free_slots;
	client->free_slots = slot;
	client->n_free++;
}

/* ------------------------------------------------------------------ life --------------- */

static bool slot_set_options(struct slot *slot, int64_t timeout_ms)
{
	struct http_client *client = slot->client;
	CURL *easy = slot->easy;
	CURLcode bad = CURLE_OK;

#define SET(option, value) (bad = bad ? bad : curl_easy_setopt(easy, CURLOPT_##option, (value)))
	SET(URL, client->target.url);
	SET(UNIX_SOCKET_PATH, client->target.unix_socket);
	SET(PATH_AS_IS, 1L);
	SET(PROTOCOLS_STR, "http,https");
	SET(FOLLOWLOCATION, 0L);
	SET(PROXY, ""); /* not the environment's either */
	SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(POST, 1L);
	SET(NOSIGNAL, 1L);
	SET(TIMEOUT_MS, (long)timeout_ms);
	SET(CONNECTTIMEOUT_MS, (long)timeout_ms);
	SET(DNS_CACHE_TIMEOUT, -1L);
	SET(USERAGENT, "orderhook/" ORDERHOOK_VERSION);
	SET(ERRORBUFFER, slot->problem);
	SET(PRIVATE, (void *)slot);
	SET(OPENSOCKETFUNCTION, on_open);
	SET(OPENSOCKETDATA, (void *)client);
	SET(WRITEFUNCTION, on_answer);
	SET(WRITEDATA, (void *)slot);
	SET(READFUNCTION, on_body);
	SET(READDATA, (void *)slot);
	SET(SEEKFUNCTION, on_rewind);
	SET(SEEKDATA, (void *)slot);
#undef SET
	return bad == CURLE_OK;
}

static int slots_new(struct http_client *client, size_t n, int64_t timeout_ms)
{
	client->slots = calloc(n, sizeof(*client->slots));
	if (!client->slots)
		return -ERR_NOMEM;
	for (; client->n_slots < n; client->n_slots++) {
		struct slot *slot = &client->slots[client->n_slots];
		slot->client = client;
		slot->continue_us = NEVER;
		slot->easy = curl_easy_init();
		buf_init(&slot->body, BODY_BYTES_MAX);
		buf_init(&slot->answer, HTTP_CLIENT_ANSWER_BYTES_MAX);
		if (!slot->easy || !slot_set_options(slot, timeout_ms)) {
			curl_easy_cleanup(slot->easy);
			return -ERR_NOMEM;
		}
		slot->next_free = client->free_slots;
		client->free_slots = slot;
	}
	client->n_free = n;
	return 0;
}

static int multi_new(struct http_client *client, size_t connections)
{
	CURLMcode bad = CURLM_OK;

	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	client->multi = curl_multi_init();
	if (client->epoll_fd < 0)
		return -ERR_SYSTEM;
	if (!client->multi)
		return -ERR_NOMEM;
#define SET(option, value) \
	(bad = bad ? bad : curl_multi_setopt(client->multi, CURLMOPT_##option, (value)))
	SET(SOCKETFUNCTION, on_socket);
	SET(SOCKETDATA, (void *)client);
	SET(TIMERFUNCTION, on_timer);
	SET(TIMERDATA, (void *)client);
	SET(MAXCONNECTS, (long)connections);
	SET(MAX_TOTAL_CONNECTIONS, (long)connections);
	SET(PIPELINING, (long)CURLPIPE_NOTHING);
#undef SET
	return bad == CURLM_OK ? 0 : -ERR_NOMEM;
}

int http_client_new(const struct http_client_options *options, struct http_client **ret,
		    struct buf *problem)
{
	struct http_client *client;
	int err;

	assert(options->connections > 0 && options->connections <= HTTP_CLIENT_CONNECTIONS_MAX);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ERR_NOMEM;
	client = calloc(1, sizeof(*client));
	if (!client) {
		curl_global_cleanup();
		return -ERR_NOMEM;
	}
	client->epoll_fd = -1;
	client->curl_deadline_us = NEVER;
	client->allow_external = options->allow_external;
	client->done = options->done;
	client->context = options->context;
	err = http_target_parse(options, &client->target, problem);
	if (!err)
		err = multi_new(client, options->connections);
	if (!err)
		err = slots_new(client, options->connections, options->timeout_ms);
	if (err) {
		http_client_free(client);
		return err;
	}
	*ret = client;
	return 0;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	for (size_t i = 0; i < client->n_slots; i++) {
		struct slot *slot = &client->slots[i];
		if (slot->busy)
			slot_finish(slot, CURLE_ABORTED_BY_CALLBACK);
		curl_easy_cleanup(slot->easy);
		curl_slist_free_all(slot->headers);
		buf_release(&slot->body);
		buf_release(&slot->answer);
	}
	free(client->slots);
	curl_multi_cleanup(client->multi);
	if (client->epoll_fd >= 0)
		close(client->epoll_fd);
	http_target_release(&client->target);
	free(client);
	curl_global_cleanup();
}

const char *http_client_target(const struct http_client *client)
{
	return client->target.shown;
}

size_t http_client_free_connections(const struct http_client *client)
{
	return client->n_free;
}

/* ------------------------------------------------------------------ requests ----------- */

static int set_headers(struct slot *slot, const char *content_type)
{
	BUF_AUTO struct buf line = BUF_INIT(512);
	struct curl_slist *headers;
	struct curl_slist *longer;
	int err;

	/* Nearly always the same as the last time. */
	if (slot->content_type && strcmp(slot->content_type, content_type) == 0)
		return 0;
	err = buf_addf(&line, "Content-Type: %s", content_type);
	if (err)
		return err;
	/* A server of ours needs no 100 Continue, and waiting for one would be measured. */
	headers = curl_slist_append(NULL, "Expect:");
	longer = headers ? curl_slist_append(headers, line.data) : NULL;
	if (!longer || curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, longer) != CURLE_OK) {
		curl_slist_free_all(headers);
		return -ERR_NOMEM;
	}
	curl_slist_free_all(slot->headers);
	slot->headers = longer;
	slot->content_type = content_type;
	return 0;
}

static int slot_prepare(struct slot *slot, const struct http_post *post)
{
	int err = set_headers(slot, post->content_type);

	buf_reset(&slot->body);
	buf_reset(&slot->answer);
	if (!err)
		err = buf_add_slice(&slot->body, post->body);
	if (err)
		return err;
	slot->tag = post->tag;
	slot->n_read = 0;
	slot->pause_us = post->pause_us;
	slot->continue_us = NEVER;
	slot->problem[0] = '\0';
	/* Without POSTFIELDS curl asks on_body() for the bytes. */
	if (curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS,
			     post->pause_us ? NULL : slot->body.data) != CURLE_OK ||
	    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->body.len) !=
		    CURLE_OK)
		return -ERR_NOMEM;
	return 0;
}

int http_client_post(struct http_client *client, const struct http_post *post)
{
	struct slot *slot = client->free_slots;
	int err;

	if (!slot)
		return -ERR_QUEUE_FULL;
	err = slot_prepare(slot, post);
	if (err)
		return err;
	slot->sent_us = now_us();
	if (curl_multi_add_handle(client->multi, slot->easy) != CURLM_OK)
		return -ERR_NOMEM;
	client->free_slots = slot->next_free;
	client->n_free--;
	slot->busy = true;
	return 0;
}

static size_t finish_ended(struct http_client *client)
{
	size_t n = 0;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		CURLcode code = message->data.result;
		char *slot = NULL;

		assert(message->msg == CURLMSG_DONE);
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		slot_finish((struct slot *)(void *)slot, code);
		n++;
	}
	return n;
}

static int act(struct http_client *client, curl_socket_t fd, int events)
{
	int running;

	return curl_multi_socket_action(client->multi, fd, events, &running) == CURLM_OK
		       ? 0
		       : -ERR_SYSTEM;
}

/* The earliest continuation, NEVER without one. Slow bodies are few, and mostly there are none. */
static int64_t next_continuation(const struct http_client *client)
{
	int64_t next = NEVER;

	for (size_t i = 0; client->n_paused && i < client->n_slots; i++) {
		if (client->slots[i].continue_us < next)
			next = client->slots[i].continue_us;
	}
	return next;
}

static void continue_paused(struct http_client *client)
{
	int64_t now = now_us();

	for (size_t i = 0; client->n_paused && i < client->n_slots; i++) {
		struct slot *slot = &client->slots[i];
		if (slot->continue_us > now)
			continue;
		slot->continue_us = NEVER;
		client->n_paused--;
		curl_easy_pause(slot->easy, CURLPAUSE_CONT);
	}
}

static int wait_ready(struct http_client *client, int64_t until_us)
{
	struct pollfd ready = {.fd = client->epoll_fd, .events = POLLIN};
	int64_t wait_us = until_us - now_us();
	struct timespec wait;

	wait_us = wait_us > 0 ? wait_us : 0;
	wait.tv_sec = wait_us / 1000000;
	wait.tv_nsec = wait_us % 1000000 * 1000;
	return ppoll(&ready, 1, &wait, NULL) < 0 && errno != EINTR ? -ERR_SYSTEM : 0;
}

static int act_on_ready(struct http_client *client)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	int n = epoll_wait(client->epoll_fd, events, EVENTS_PER_ROUND, 0);
	int err = n < 0 && errno != EINTR ? -ERR_SYSTEM : 0;

	for (int i = 0; !err && i < n; i++) {
		int what = 0;
		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		err = act(client, events[i].data.fd, what);
	}
	return err;
}

static int act_on_timer(struct http_client *client)
{
	if (client->curl_deadline_us > now_us())
		return 0;
	client->curl_deadline_us = NEVER;
	return act(client, CURL_SOCKET_TIMEOUT, 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int http_client_run(struct http_client *client, int64_t wait_us)
{
	int64_t until = now_us() + wait_us;
	int err = act_on_timer(client);

	if (!err && finish_ended(client) == 0) {
		until = earlier(until, client->curl_deadline_us);
		until = earlier(until, next_continuation(client));
		err = wait_ready(client, until);
	}
	if (!err)
		err = act_on_ready(client);
	continue_paused(client);
	if (!err)
		err = act_on_timer(client);
	finish_ended(client);
	return err;
}
