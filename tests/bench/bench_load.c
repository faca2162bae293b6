/*
 * The client: N connections, each playing orders of its own, one callback at a time, in one thread
 * over epoll. Closed loop, or paced: then a callback has a moment at which it is due, and its
 * latency counts from there, whether or not a connection was free.
 *
 * Every callback is unique. An acknowledgement (HTTP 200) goes into the ledger as "order step", so
 * that the store can be compared with it afterwards. Anything but 200 is counted and ends the run
 * with exit 1.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "callbacks.h"
#include "histogram.h"
#include "orderhook/clock.h"

#define CONNECTIONS_MAX 4096
#define REPLY_BYTES_MAX 4096
#define REQUEST_BYTES_MAX 8192
#define EVENTS_MAX 256
#define GRACE_US 10000000 /* what is under way at the end may take this long */

struct options {
	int port;
	char path[256]; /* with the token */
	char secret[256];
	const char *fixtures;
	const char *ledger;
	int64_t connections;
	int64_t seconds;
	int64_t rate; /* callbacks a second; 0: as fast as they are answered */
	int64_t first_order;
	bool close; /* a connection for each request */
};

struct connection {
	int fd;
	bool busy;
	uint64_t order;
	unsigned step;
	int64_t due_us;
	size_t received;
	size_t sent;
	size_t request_len;
	char request[REQUEST_BYTES_MAX];
	char reply[REPLY_BYTES_MAX];
};

struct load {
	struct options options;
	struct callbacks callbacks;
	struct connection *connections;
	int epoll;
	const struct clock *clock;
	FILE *ledger;
	uint64_t next_order;
	uint64_t acked;
	uint64_t refused;
	uint64_t under_way;
	int64_t begin_us;
	int64_t end_us;
	uint64_t scheduled; /* paced: callbacks that were due so far */
	struct histogram latencies;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_socket(struct load *load, struct connection *connection)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)load->options.port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	int on = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		die("socket");
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(connection->fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event))
		die("epoll_ctl");
}

/* Blocking: a request fits the socket's buffer, and the daemon reads what it accepted. */
static void send_request(struct load *load, struct connection *connection, int64_t due_us)
{
	struct slice body = callbacks_make(&load->callbacks, connection->step, connection->order,
					   clock_wall_ms(load->clock));
	int len =
		snprintf(connection->request, sizeof(connection->request),
			 "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
			 "User-Agent: orderhook-bench\r\n%sContent-Length: %zu\r\n\r\n%.*s",
			 load->options.path, load->options.close ? "Connection: close\r\n" : "",
			 body.len, SLICE_ARG(body));

	if (load->options.close)
		open_socket(load, connection);
	connection->busy = true;
	connection->due_us = due_us;
	connection->received = 0;
	load->under_way++;
	for (ssize_t sent = 0; sent < len;) {
		ssize_t n = send(connection->fd, connection->request + sent, (size_t)(len - sent),
				 MSG_NOSIGNAL);
		if (n < 0)
			die("send");
		sent += n;
	}
}

static void next_callback(struct load *load, struct connection *connection)
{
	connection->step++;
	if (connection->step == CALLBACK_STEPS) {
		connection->step = 0;
		connection->order = load->next_order++;
	}
}

/* The whole length of the reply, 0 while its head is not there. */
static size_t reply_length(const struct connection *connection)
{
	struct slice all = {connection->reply, connection->received};
	const char *end = slice_find(all, SLICE("\r\n\r\n"));
	const char *length;

	if (!end)
		return 0;
	length = slice_find(all, SLICE("Content-Length: "));
	return (size_t)(end - connection->reply) + 4 +
	       (length ? strtoul(length + 16, NULL, 10) : 0);
}

static void take_reply(struct load *load, struct connection *connection, int64_t now_us)
{
	bool ok = memcmp(connection->reply, "HTTP/1.1 200", 12) == 0;

	histogram_add(&load->latencies, now_us - connection->due_us);
	load->under_way--;
	connection->busy = false;
	if (ok) {
		load->acked++;
		if (load->ledger)
			fprintf(load->ledger, "%llu %u\n", (unsigned long long)connection->order,
				connection->step);
	} else if (load->refused++ == 0) {
		fprintf(stderr, "bench_load: the first refusal: %.*s\n", 60, connection->reply);
	}
	if (load->options.close)
		close(connection->fd);
	next_callback(load, connection);
}

static void readable(struct load *load, struct connection *connection)
{
	ssize_t n = recv(connection->fd, connection->reply + connection->received,
			 sizeof(connection->reply) - connection->received, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fprintf(stderr, "bench_load: a connection ended %s a reply\n",
			connection->busy ? "before" : "without");
		exit(1);
	}
	connection->received += (size_t)n;
	size_t length = reply_length(connection);
	if (length == 0 || connection->received < length)
		return;
	int64_t now_us = clock_elapsed_us(load->clock);
	take_reply(load, connection, now_us);
	if (load->options.rate == 0 && now_us < load->end_us)
		send_request(load, connection, now_us);
}

/* Sends what is due on whatever connection is free; returns the milliseconds until more is due. */
static int pace(struct load *load)
{
	for (;;) {
		int64_t due_us = load->begin_us + (int64_t)(load->scheduled * 1000000 /
							    (uint64_t)load->options.rate);
		int64_t now_us = clock_elapsed_us(load->clock);
		struct connection *idle = NULL;
		if (due_us >= load->end_us)
			return 100;
		if (due_us > now_us)
			return (int)((due_us - now_us) / 1000);
		for (int64_t i = 0; i < load->options.connections && !idle; i++) {
			int64_t at = ((int64_t)load->scheduled + i) % load->options.connections;
			if (!load->connections[at].busy)
				idle = &load->connections[at];
		}
		if (!idle)
			return 100; /* the next reply wakes us */
		send_request(load, idle, due_us);
		load->scheduled++;
	}
}

static void start(struct load *load)
{
	load->begin_us = clock_elapsed_us(load->clock);
	load->end_us = load->begin_us + load->options.seconds * 1000000;
	for (int64_t i = 0; i < load->options.connections; i++) {
		struct connection *connection = &load->connections[i];
		connection->order = load->next_order++;
		if (!load->options.close)
			open_socket(load, connection);
	}
	load->begin_us = clock_elapsed_us(load->clock);
	load->end_us = load->begin_us + load->options.seconds * 1000000;
	for (int64_t i = 0; load->options.rate == 0 && i < load->options.connections; i++)
		send_request(load, &load->connections[i], clock_elapsed_us(load->clock));
}

static void run(struct load *load)
{
	struct epoll_event events[EVENTS_MAX];

	start(load);
	for (;;) {
		int wait_ms = load->options.rate ? pace(load) : 100;
		int n = epoll_wait(load->epoll, events, EVENTS_MAX, wait_ms);
		for (int i = 0; i < n; i++)
			readable(load, events[i].data.ptr);
		int64_t now_us = clock_elapsed_us(load->clock);
		if (now_us >= load->end_us && load->under_way == 0)
			return;
		if (now_us >= load->end_us + GRACE_US) {
			fprintf(stderr, "bench_load: %llu callbacks were never answered\n",
				(unsigned long long)load->under_way);
			exit(1);
		}
	}
}

static void report(const struct load *load, int64_t done_us)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	double cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	printf("{\"acked\":%llu,\"refused\":%llu,\"seconds\":%.6f,\"per_second\":%.1f,"
	       "\"p50_us\":%lld,\"p99_us\":%lld,\"p999_us\":%lld,\"max_us\":%lld,"
	       "\"client_cpu_us\":%.2f,\"next_order\":%llu}\n",
	       (unsigned long long)load->acked, (unsigned long long)load->refused,
	       (double)(done_us - load->begin_us) / 1e6,
	       (double)load->acked * 1e6 / (double)(done_us - load->begin_us),
	       (long long)histogram_percentile(&load->latencies, 0.50),
	       (long long)histogram_percentile(&load->latencies, 0.99),
	       (long long)histogram_percentile(&load->latencies, 0.999),
	       (long long)load->latencies.max_us, load->acked ? cpu_us / (double)load->acked : 0,
	       (unsigned long long)load->next_order);
}

static void read_line(const char *path, char *out, size_t cap)
{
	FILE *file = fopen(path, "r");

	if (!file || !fgets(out, (int)cap, file))
		die(path);
	out[strcspn(out, "\n")] = '\0';
	fclose(file);
}

static void number(const char *text, int64_t max, int64_t *ret)
{
	if (slice_to_i64(slice_of(text), 0, max, ret)) {
		fprintf(stderr, "bench_load: '%s' is no number up to %lld\n", text, (long long)max);
		exit(2);
	}
}

static void parse(int argc, char **argv, struct options *ret)
{
	static const struct option names[] = {
		{"port", 1, NULL, 'p'},        {"path", 1, NULL, 'P'},
		{"token-file", 1, NULL, 't'},  {"secret-file", 1, NULL, 's'},
		{"fixtures", 1, NULL, 'f'},    {"ledger", 1, NULL, 'l'},
		{"connections", 1, NULL, 'c'}, {"seconds", 1, NULL, 'd'},
		{"rate", 1, NULL, 'r'},        {"first-order", 1, NULL, 'o'},
		{"close", 0, NULL, 'x'},       {NULL, 0, NULL, 0}};
	char token[200] = "";
	const char *path = "/";
	int64_t port = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'p':
			number(optarg, 65535, &port);
			break;
		case 'P':
			path = optarg;
			break;
		case 't':
			read_line(optarg, token, sizeof(token));
			break;
		case 's':
			read_line(optarg, ret->secret, sizeof(ret->secret));
			break;
		case 'f':
			ret->fixtures = optarg;
			break;
		case 'l':
			ret->ledger = optarg;
			break;
		case 'c':
			number(optarg, CONNECTIONS_MAX, &ret->connections);
			break;
		case 'd':
			number(optarg, 3600, &ret->seconds);
			break;
		case 'r':
			number(optarg, 1000000, &ret->rate);
			break;
		case 'o':
			number(optarg, INT64_MAX, &ret->first_order);
			break;
		case 'x':
			ret->close = true;
			break;
		default:
			exit(2);
		}
	}
	ret->port = (int)port;
	snprintf(ret->path, sizeof(ret->path), "%s%s%s", path, token[0] ? "/" : "", token);
}

int main(int argc, char **argv)
{
	static struct load load = {.options = {.connections = 64,
					       .seconds = 3,
					       .fixtures = "tests/fixtures/shansong"}};

	parse(argc, argv, &load.options);
	load.clock = clock_system();
	load.next_order = (uint64_t)load.options.first_order;
	load.connections = calloc((size_t)load.options.connections, sizeof(struct connection));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.ledger = load.options.ledger ? fopen(load.options.ledger, "w") : NULL;
	if (!load.connections || load.epoll < 0 || (load.options.ledger && !load.ledger))
		die("bench_load");
	callbacks_init(&load.callbacks, load.options.fixtures, slice_of(load.options.secret));
	run(&load);
	report(&load, clock_elapsed_us(load.clock));
	if (load.ledger && fclose(load.ledger))
		die("ledger");
	callbacks_release(&load.callbacks);
	return load.refused || !load.acked;
}
