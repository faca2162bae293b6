/* The client against a server of the test's own, which takes turns with it in one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "orderhook/http_client.h"

#define DEADLINE_US 10000000
#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

struct answers {
	int n;
	int status;
	char body[256];
	char problem[256];
	void *tag;
};

struct fixture {
	int listen_fd;
	int fd; /* the accepted connection, -1: none */
	int accepted;
	char url[128];
	struct http_client *client;
	struct answers answers;
	char received[8192];
	size_t len;
};

static void on_done(void *context, void *tag, const struct http_answer *answer)
{
	struct answers *answers = context;

	answers->n++;
	answers->status = answer->status;
	answers->tag = tag;
	snprintf(answers->body, sizeof(answers->body), "%.*s", SLICE_ARG(answer->body));
	snprintf(answers->problem, sizeof(answers->problem), "%s", answer->problem);
	assert_true(answer->ended_us >= answer->sent_us);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);

	assert_non_null(f);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = -1;
	f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(f->listen_fd, 16), 0);
	assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&address, &len), 0);
	snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u/call/back", ntohs(address.sin_port));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_client_free(f->client);
	if (f->fd >= 0)
		close(f->fd);
	close(f->listen_fd);
	free(f);
	return 0;
}

static void connect_client(struct fixture *f, const char *token, int64_t timeout_ms)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	struct http_client_options options = {.url = f->url,
					      .token = token,
					      .connections = 2,
					      .timeout_ms = timeout_ms,
					      .done = on_done,
					      .context = &f->answers};

	assert_int_equal(http_client_new(&options, &f->client, &problem), 0);
}

static void post(struct fixture *f, const char *body, int64_t pause_us, void *tag)
{
	struct http_post request = {.body = slice_of(body),
				    .content_type = "application/json",
				    .pause_us = pause_us,
				    .tag = tag};

	assert_int_equal(http_client_post(f->client, &request), 0);
}

/* Takes what has come, accepting first; true when a whole request with this body is there. */
static bool receive(struct fixture *f, const char *body)
{
	if (f->fd < 0) {
		f->fd = accept4(f->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		f->accepted += f->fd >= 0;
	}
	if (f->fd >= 0) {
		ssize_t n = read(f->fd, f->received + f->len, sizeof(f->received) - 1 - f->len);
		f->len += n > 0 ? (size_t)n : 0;
	}
	f->received[f->len] = '\0';
	const char *end = strstr(f->received, "\r\n\r\n");
	return end && strcmp(end + 4, body) == 0;
}

static void run_until_received(struct fixture *f, const char *body)
{
	int64_t end = clock_elapsed_us(clock_system()) + DEADLINE_US;

	while (!receive(f, body)) {
		assert_true(clock_elapsed_us(clock_system()) < end);
		assert_int_equal(http_client_run(f->client, 1000), 0);
	}
}

static void run_until_answered(struct fixture *f, int n)
{
	int64_t end = clock_elapsed_us(clock_system()) + DEADLINE_US;

	while (f->answers.n < n) {
		assert_true(clock_elapsed_us(clock_system()) < end);
		assert_int_equal(http_client_run(f->client, 100000), 0);
	}
}

static void reply(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->fd, text, strlen(text)), (ssize_t)strlen(text));
	f->len = 0;
}

static void test_a_post_carries_path_token_type_and_body(void **state)
{
	struct fixture *f = *state;
	int tag;

	connect_client(f, "a-token.1234", 5000);
	assert_null(strstr(http_client_target(f->client), "a-token"));
	post(f, "{\"a\":1}", 0, &tag);
	assert_int_equal(http_client_free_connections(f->client), 1);
	run_until_received(f, "{\"a\":1}");
	assert_ptr_equal(strstr(f->received, "POST /call/back/a-token.1234 HTTP/1.1\r\n"),
			 f->received);
	assert_non_null(strstr(f->received, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(f->received, "\r\nContent-Length: 7\r\n"));
	assert_null(strstr(f->received, "Expect"));
	reply(f, OK_REPLY);
	run_until_answered(f, 1);
	assert_int_equal(f->answers.status, 200);
	assert_string_equal(f->answers.body, "{}");
	assert_string_equal(f->answers.problem, "");
	assert_ptr_equal(f->answers.tag, &tag);
	assert_int_equal(http_client_free_connections(f->client), 2);
}

static void test_a_connection_is_kept_for_the_next_request(void **state)
{
	struct fixture *f = *state;

	connect_client(f, NULL, 5000);
	for (int i = 1; i <= 3; i++) {
		post(f, "{}", 0, NULL);
		run_until_received(f, "{}");
		reply(f, OK_REPLY);
		run_until_answered(f, i);
	}
	assert_int_equal(f->accepted, 1);
}

static void test_no_more_requests_than_connections(void **state)
{
	struct fixture *f = *state;
	struct http_post request = {.body = SLICE("{}"), .content_type = "application/json"};

	connect_client(f, NULL, 5000);
	post(f, "{}", 0, NULL);
	post(f, "{}", 0, NULL);
	assert_int_equal(http_client_post(f->client, &request), -ERR_QUEUE_FULL);
}

static void test_a_slow_body_comes_in_halves(void **state)
{
	struct fixture *f = *state;
	int64_t half_us;

	connect_client(f, NULL, 5000);
	post(f, "0123456789", 100000, NULL);
	run_until_received(f, "01234");
	half_us = clock_elapsed_us(clock_system());
	run_until_received(f, "0123456789");
	assert_true(clock_elapsed_us(clock_system()) - half_us > 50000);
	reply(f, OK_REPLY);
	run_until_answered(f, 1);
	assert_int_equal(f->answers.status, 200);
}

static void test_silence_ends_with_the_timeout(void **state)
{
	struct fixture *f = *state;

	connect_client(f, NULL, 50);
	post(f, "{}", 0, NULL);
	run_until_answered(f, 1);
	assert_int_equal(f->answers.status, 0);
	assert_true(f->answers.problem[0] != '\0');
}

static void test_a_pause_counts_into_the_timeout(void **state)
{
	struct fixture *f = *state;

	connect_client(f, NULL, 50);
	post(f, "0123456789", 5000000, NULL);
	run_until_answered(f, 1);
	assert_int_equal(f->answers.status, 0);
	/* The slot works again afterwards. */
	post(f, "{}", 0, NULL);
	run_until_answered(f, 2);
}

static void test_a_close_without_an_answer_is_no_answer(void **state)
{
	struct fixture *f = *state;

	connect_client(f, NULL, 5000);
	post(f, "{}", 0, NULL);
	run_until_received(f, "{}");
	close(f->fd);
	f->fd = -1;
	run_until_answered(f, 1);
	assert_int_equal(f->answers.status, 0);
}

static void test_a_redirect_is_not_followed(void **state)
{
	struct fixture *f = *state;

	connect_client(f, NULL, 5000);
	post(f, "{}", 0, NULL);
	run_until_received(f, "{}");
	reply(f, "HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
	run_until_answered(f, 1);
	assert_int_equal(f->answers.status, 307);
}

static void test_an_answer_without_end_is_no_answer(void **state)
{
	struct fixture *f = *state;
	char piece[4096];
	int64_t end = clock_elapsed_us(clock_system()) + DEADLINE_US;

	connect_client(f, NULL, 5000);
	post(f, "{}", 0, NULL);
	run_until_received(f, "{}");
	memset(piece, ' ', sizeof(piece));
	reply(f, "HTTP/1.1 200 OK\r\n\r\n");
	while (f->answers.n == 0) {
		assert_true(clock_elapsed_us(clock_system()) < end);
		(void)!send(f->fd, piece, sizeof(piece), MSG_NOSIGNAL);
		assert_int_equal(http_client_run(f->client, 1000), 0);
	}
	assert_int_equal(f->answers.status, 0);
}

static void test_free_gives_up_what_is_under_way(void **state)
{
	struct fixture *f = *state;

	connect_client(f, NULL, 5000);
	post(f, "{}", 0, NULL);
	post(f, "0123456789", 5000000, NULL);
	run_until_received(f, "{}");
	http_client_free(f->client);
	f->client = NULL;
	assert_int_equal(f->answers.n, 2);
	assert_int_equal(f->answers.status, 0);
}

static void test_a_unix_socket_is_a_target(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/orderhook-client-XXXXXX";
	char shown[128];

	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
	close(f->listen_fd);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listen_fd, 4), 0);
	snprintf(f->url, sizeof(f->url), "unix:%s:/x/y?q=1", address.sun_path);
	connect_client(f, "token-0123456789", 5000);
	snprintf(shown, sizeof(shown), "unix:%s:/x/y", address.sun_path);
	assert_string_equal(http_client_target(f->client), shown);
	post(f, "{}", 0, NULL);
	run_until_received(f, "{}");
	assert_ptr_equal(strstr(f->received, "POST /x/y/token-0123456789?q=1 HTTP/1.1\r\n"),
			 f->received);
	unlink(address.sun_path);
	rmdir(dir);
}

/* ------------------------------------------------------------------ what may be called - */

static int try_url(const char *url, bool allow_external, struct buf *problem)
{
	struct http_client *client = NULL;
	struct http_client_options options = {.url = url,
					      .allow_external = allow_external,
					      .connections = 1,
					      .timeout_ms = 1000,
					      .done = on_done};
	int err;

	buf_reset(problem);
	err = http_client_new(&options, &client, problem);
	assert_int_equal(err != 0, client == NULL);
	assert_int_equal(err != 0, problem->len > 0);
	http_client_free(client);
	return err;
}

static void test_only_this_host_unless_others_are_allowed(void **state)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	static const char *const ours[] = {"http://127.0.0.1:1/",        "http://127.1.2.3/",
					   "http://[::1]:80/x",          "http://localhost/",
					   "http://[::ffff:127.0.0.1]/", "unix:/s:/p",
					   "https://127.0.0.1/"};
	static const char *const others[] = {
		"http://192.0.2.1/", "http://10.0.0.1/",      "http://169.254.169.254/",
		"http://[fe80::1]/", "http://[2001:db8::1]/", "http://[::ffff:10.0.0.1]/"};
	static const char *const nowhere[] = {"http://0.0.0.0/", "http://[::]/",
					      "http://240.0.0.1/", "http://255.255.255.255/"};

	(void)state;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		assert_int_equal(try_url(ours[i], false, &problem), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(try_url(others[i], false, &problem), -ERR_TARGET);
		assert_non_null(strstr(problem.data, "--allow-external"));
		assert_int_equal(try_url(others[i], true, &problem), 0);
	}
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		assert_int_equal(try_url(nowhere[i], true, &problem), -ERR_TARGET);
}

static void test_urls_of_other_forms_are_refused(void **state)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	static const char *const bad[] = {"",
					  "127.0.0.1:8080/x",
					  "ftp://127.0.0.1/",
					  "file:///etc/passwd",
					  "http://user:password@127.0.0.1/",
					  "http://127.0.0.1/#part",
					  "http://127.0.0.1:99999/",
					  "unix:/no/path"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(try_url(bad[i], true, &problem), -ERR_SYNTAX);
		assert_null(strstr(problem.data, "password@"));
	}
}

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage storage = {.ss_family = AF_INET};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		return storage;
	storage.ss_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	return storage;
}

static void test_addresses_are_classed(void **state)
{
	static const struct {
		const char *text;
		enum address_class is;
	} rows[] = {
		{"127.0.0.1", ADDRESS_LOOPBACK},
		{"127.255.255.255", ADDRESS_LOOPBACK},
		{"128.0.0.1", ADDRESS_PUBLIC},
		{"10.255.255.255", ADDRESS_PRIVATE},
		{"11.0.0.0", ADDRESS_PUBLIC},
		{"172.15.255.255", ADDRESS_PUBLIC},
		{"172.16.0.0", ADDRESS_PRIVATE},
		{"172.31.255.255", ADDRESS_PRIVATE},
		{"172.32.0.0", ADDRESS_PUBLIC},
		{"192.168.0.1", ADDRESS_PRIVATE},
		{"169.254.169.254", ADDRESS_PRIVATE},
		{"100.64.0.1", ADDRESS_PRIVATE},
		{"100.128.0.1", ADDRESS_PUBLIC},
		{"0.0.0.0", ADDRESS_NOWHERE},
		{"0.1.2.3", ADDRESS_NOWHERE},
		{"223.255.255.255", ADDRESS_PUBLIC},
		{"224.0.0.1", ADDRESS_NOWHERE},
		{"255.255.255.255", ADDRESS_NOWHERE},
		{"::1", ADDRESS_LOOPBACK},
		{"::", ADDRESS_NOWHERE},
		{"::2", ADDRESS_NOWHERE},
		{"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
		{"::ffff:192.168.1.1", ADDRESS_PRIVATE},
		{"::ffff:8.8.8.8", ADDRESS_PUBLIC},
		{"64:ff9b::7f00:1", ADDRESS_NOWHERE},
		{"64:ff9b::808:808", ADDRESS_PUBLIC},
		{"fe80::1", ADDRESS_PRIVATE},
		{"febf::1", ADDRESS_PRIVATE},
		{"fec0::1", ADDRESS_PUBLIC},
		{"fd00::1", ADDRESS_PRIVATE},
		{"2001:db8::1", ADDRESS_PUBLIC},
		{"ff02::1", ADDRESS_NOWHERE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_storage storage = address(rows[i].text);
		if (address_class_of((struct sockaddr *)&storage) != rows[i].is)
			fail_msg("%s", rows[i].text);
	}
}

static void test_a_name_never_leads_to_a_private_address(void **state)
{
	struct sockaddr_storage private = address("169.254.169.254");
	struct sockaddr_storage public = address("192.0.2.1");
	struct sockaddr_storage loopback = address("127.0.0.1");

	(void)state;
	assert_true(address_may_be_called((struct sockaddr *)&private, true, true));
	assert_false(address_may_be_called((struct sockaddr *)&private, true, false));
	assert_false(address_may_be_called((struct sockaddr *)&private, false, true));
	assert_true(address_may_be_called((struct sockaddr *)&public, true, false));
	assert_false(address_may_be_called((struct sockaddr *)&public, false, true));
	assert_true(address_may_be_called((struct sockaddr *)&loopback, false, false));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_post_carries_path_token_type_and_body),
		TEST(test_a_connection_is_kept_for_the_next_request),
		TEST(test_no_more_requests_than_connections),
		TEST(test_a_slow_body_comes_in_halves),
		TEST(test_silence_ends_with_the_timeout),
		TEST(test_a_pause_counts_into_the_timeout),
		TEST(test_a_close_without_an_answer_is_no_answer),
		TEST(test_a_redirect_is_not_followed),
		TEST(test_an_answer_without_end_is_no_answer),
		TEST(test_free_gives_up_what_is_under_way),
		TEST(test_a_unix_socket_is_a_target),
		cmocka_unit_test(test_only_this_host_unless_others_are_allowed),
		cmocka_unit_test(test_urls_of_other_forms_are_refused),
		cmocka_unit_test(test_addresses_are_classed),
		cmocka_unit_test(test_a_name_never_leads_to_a_private_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
