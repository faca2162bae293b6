/*
 * The platform's stand-in: whole orders along the platform's own state diagram, callback bodies of
 * the captured shape, and the platform's behaviour towards the reply. An order is a function of the
 * seed and its number alone; nothing here is kept for an order that is over.
 */
#pragma once

#include "latency_private.h"
#include "orderhook/clock.h"
#include "orderhook/order_machine.h"
#include "orderhook/shansong.h"

/* ------------------------------------------------------------------ simulator_shares.c - */

enum sim_fault {
#define SIM_FAULT(name, key, per_10000, of, text) SIM_##name,
#include "orderhook/tbl/sim_fault.def"
#undef SIM_FAULT
	SIM_FAULT_MAX
};

const char *sim_fault_key(enum sim_fault fault);

struct sim_shares {
	unsigned per_10000[SIM_FAULT_MAX];
};

void sim_shares_default(struct sim_shares *ret);
/*
 * "duplicate=5%,skip=0.5%": what is not named does not happen. The words "default" and "none" set
 * all shares, so "default,slow=0%" is the default without one. -ERR_SYNTAX, and problem says which
 * item and what is allowed.
 */
int sim_shares_parse(struct slice text, struct sim_shares *ret, struct buf *problem);
/* The help's table, one line for each. */
int sim_shares_help(struct buf *out);
/* A decimal with up to `places` places, times ten to the power of that. -ERR_SYNTAX, -ERR_RANGE. */
int sim_decimal(struct slice text, unsigned places, uint64_t max, uint64_t *ret);

/* ------------------------------------------------------------------ simulator_order.c -- */

#define SIM_STEPS_MAX 24
#define SIM_SENDS_MAX (3 * SIM_STEPS_MAX)
#define SIM_ORDER_SPAN_MS (20 * 60 * 1000) /* from the start, no order takes longer */

/* One change of an order's status. */
struct sim_step {
	enum order_node node;
	unsigned courier; /* the how-manieth of this order, from 1; 0: none in this callback */
	int64_t occurred_ms;
};

enum sim_send_kind {
	SIM_SEND_CALLBACK = 0,
	SIM_SEND_DUPLICATE,
	SIM_SEND_FORGED, /* signed with another secret */
	SIM_SEND_KIND_MAX
};

const char *sim_send_key(enum sim_send_kind kind);

struct sim_send {
	uint8_t step;
	uint8_t kind; /* enum sim_send_kind */
	bool slow;
};

struct sim_order {
	char iss_order_no[20]; /* "TDH" and 16 digits */
	char order_no[21];     /* "cp" and 18 digits */
	char token[33];
	char pickup_password[5];
	char delivery_password[5];
	uint64_t salt; /* of what is made up later: couriers, amounts */
	struct sim_step steps[SIM_STEPS_MAX];
	size_t n_steps;
	struct sim_send sends[SIM_SENDS_MAX]; /* in the order in which they go out */
	size_t n_sends;
	uint8_t faults[SIM_FAULT_MAX]; /* how often each happened to this order */
};

/* The index-th order of a seed, placed within a minute of start_ms. */
void sim_order_make(const struct sim_shares *shares, uint64_t seed, uint64_t index,
		    int64_t start_ms, struct sim_order *ret);

/* What a receiver must know once exactly the steps of the set have been acknowledged. */
struct sim_expected {
	int events;
	enum order_node node; /* NODE_NONE: no event */
	int reassignments;
};
struct sim_expected sim_order_expected(const struct sim_order *order, uint32_t acked_steps);

/* 0 and EVENT_SUB_ABSENT for NODE_NONE. */
void sim_node_status(enum order_node node, int *ret_status, int *ret_sub_status);
/* A well-mixed number, a function of both. */
uint64_t sim_mix(uint64_t a, uint64_t b);

/* ------------------------------------------------------------------ simulator_body.c --- */

struct sim_identity {
	const char *client_id;
	const char *shop_id;
};

/* Appends the callback object of a step, unsigned. */
int sim_body(const struct sim_order *order, size_t step, const struct sim_identity *identity,
	     struct buf *out);
/* Appends the event key as the contract words it, without the endpoint:
 * issOrderNo/status/subStatus/statusChangeTime/courier id, "" for what is absent. */
int sim_key(const struct sim_order *order, size_t step, struct buf *out);

/* ------------------------------------------------------------------ simulator_outcome.c  */

#define SIM_ANSWERS_MAX 16

enum sim_outcome {
	SIM_ACKED = 0, /* the body's status is 200 */
	SIM_REFUSED,   /* another answer */
	SIM_UNKNOWN,   /* no whole answer */
	SIM_OUTCOME_MAX
};

const char *sim_outcome_key(enum sim_outcome outcome);

struct sim_result {
	enum sim_outcome outcome;
	int http_status;     /* 0: no whole answer */
	int body_status;     /* 0: none in the body */
	int64_t latency_us;  /* from when it was meant to go out */
	const char *problem; /* why there is no answer; "" when there is one */
};

struct sim_summary {
	char target[256];   /* without its token */
	uint64_t orders;    /* begun */
	uint64_t finished;  /* every callback has had its final outcome */
	uint64_t callbacks; /* true ones, duplicates among them; attempts are counted apart */
	uint64_t attempts;  /* requests sent, forgeries among them */
	uint64_t acked;     /* callbacks */
	uint64_t retried;   /* attempts after the first of a callback */
	uint64_t lost;      /* callbacks given up after the last retry */
	uint64_t unknown;   /* attempts without a whole answer */
	uint64_t forged;
	uint64_t forged_refused; /* with 401, as they must be */
	uint64_t unexpected;     /* answers that a healthy receiver does not give */
	struct sim_answer {
		int http_status;
		int body_status;
		uint64_t count;
	} answers[SIM_ANSWERS_MAX]; /* how requests were answered; the last one takes the rest */
	size_t n_answers;
	uint64_t faults[SIM_FAULT_MAX];
	uint64_t finals[NODE_MAX]; /* finished orders by the last state that was acknowledged */
	int64_t elapsed_us;
	struct latency latency;  /* of acknowledged callbacks that were not slow */
	char first_failure[256]; /* of an attempt; "" when there was none */
	char first_unexpected[256];
	int first_unexpected_http;
};

/* The status that an answer's body says, 0 when it says none. */
int sim_answer_status(struct slice body);
/* Counts one attempt that has ended. */
void sim_summary_count(struct sim_summary *summary, const struct sim_order *order,
		       const struct sim_send *send, const struct sim_result *result);
/* True when nothing was lost and nothing unexpected was answered. */
bool sim_summary_good(const struct sim_summary *summary);

/* ------------------------------------------------------------------ simulator_ledger.c - */

/* One attempt to deliver, as the ledger tells it. */
struct sim_attempt {
	uint64_t seq; /* of all attempts of the run, from 1 */
	unsigned attempt;
	enum sim_send_kind kind;
	int64_t sent_wall_ms;
	uint8_t sha256[DIGEST_SHA256_BYTES]; /* of the body's bytes */
};

/* What is known of the attempt before its outcome is: one "sent" line; with its result: one
 * "outcome" line that repeats it. Both end in a newline. */
int sim_ledger_line(struct buf *out, const struct sim_order *order, size_t step,
		    const struct sim_attempt *attempt, const struct sim_result *result);
/* What a receiver must know of an order that is over. */
int sim_ledger_order_line(struct buf *out, const struct sim_order *order,
			  const struct sim_expected *expected, unsigned lost);

struct sim_ledger {
	const char *path; /* borrowed */
	int fd;
	struct buf line;
};

/* Appends to a file that others cannot read, or makes it. -ERR_SYSTEM with errno. */
int sim_ledger_open(const char *path, struct sim_ledger *ret);
void sim_ledger_close(struct sim_ledger *ledger);
/* Writes what is in line and empties it. It has reached the file, though not the disk, when this
 * returns. -ERR_SYSTEM with errno. */
int sim_ledger_write(struct sim_ledger *ledger);

/* ------------------------------------------------------------------ simulator_run.c ---- */

#define SIM_RETRIES_MAX 5
#define SIM_ORDERS_IN_PLAY_MAX 4096

enum sim_command {
	SIM_GO_ON = 0,
	SIM_STOP,     /* send nothing more, wait for the answers that are due */
	SIM_STOP_NOW, /* do not wait either */
	SIM_COMMAND_MAX
};

struct sim_options {
	const char *url;
	const char *unix_socket; /* NULL: none */
	const char *token;       /* NULL: none */
	bool allow_external;
	bool sign;
	enum shansong_form form;
	struct slice secret;
	struct sim_identity identity;
	struct sim_shares shares;
	uint64_t seed;
	uint64_t orders;
	int64_t start_ms;
	uint64_t rate_milli; /* thousandths of a callback a second; 0: as fast as answers come */
	size_t concurrency;
	int64_t retry_interval_ms;
	int64_t timeout_ms;
	struct sim_ledger *ledger; /* NULL: none */
	const struct clock *clock;
	/* Called several times a second with the figures so far. */
	enum sim_command (*tick)(void *context, const struct sim_summary *so_far);
	void *context;
};

/*
 * Plays all orders, or until tick says stop. Errors of http_client_new(), shansong_sign() and the
 * ledger; problem then says what; the summary is filled as far as it came.
 */
int sim_run(const struct sim_options *options, struct sim_summary *ret, struct buf *problem);
