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
#include "http_client_private.h"

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

#define EVENTS_PER_ROUND 128

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
	client->curl_deadline_us = timeout_ms < 0 ? HTTP_NEVER : now_us() + timeout_ms * 1000LL;
	return 0;
}

static void finish_slot(struct http_slot *slot, CURLcode code)
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
	if (slot->continue_us != HTTP_NEVER) {
		slot->continue_us = HTTP_NEVER;
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

static int slots_new(struct http_client *client, size_t n, int64_t timeout_ms)
{
	client->slots = calloc(n, sizeof(*client->slots));
	if (!client->slots)
		return -ERR_NOMEM;
	for (; client->n_slots < n; client->n_slots++) {
		struct http_slot *slot = &client->slots[client->n_slots];
		int err = http_slot_init(slot, client, timeout_ms);
		if (err) {
			http_slot_release(slot);
			return err;
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
	client->curl_deadline_us = HTTP_NEVER;
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
		struct http_slot *slot = &client->slots[i];
		if (slot->busy)
			finish_slot(slot, CURLE_ABORTED_BY_CALLBACK);
		http_slot_release(slot);
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

int http_client_post(struct http_client *client, const struct http_post *post)
{
	struct http_slot *slot = client->free_slots;
	int err;

	if (!slot)
		return -ERR_QUEUE_FULL;
	err = http_slot_prepare(slot, post);
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
		finish_slot((struct http_slot *)(void *)slot, code);
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

/* The earliest continuation, HTTP_NEVER without one. Slow bodies are few, and mostly there are
 * none. */
static int64_t next_continuation(const struct http_client *client)
{
	int64_t next = HTTP_NEVER;

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
		struct http_slot *slot = &client->slots[i];
		if (slot->continue_us > now)
			continue;
		slot->continue_us = HTTP_NEVER;
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
	client->curl_deadline_us = HTTP_NEVER;
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
