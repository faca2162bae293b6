/*
 * The store: events and orders on disk. One process writes (it holds the lock on PATH.lock for
 * life); everybody else opens read-only and never checkpoints. Functions return errors of the table
 * and never log; store_problem() has the detail for whoever does.
 *
 * Implemented once, over SQLite in WAL mode with synchronous=FULL. struct store_ops is the seam:
 * the pipeline's tests put a store of their own behind it.
 */
#pragma once

#include "orderhook/clock.h"
#include "orderhook/order_machine.h"

struct store;

/* The outcome of one callback. Poisoned (-ERR_NOT_COMMITTED) until its transaction is on disk. */
struct store_result {
	int err;              /* 0 exactly when what follows is durable */
	int64_t event_id;     /* of the event, or of the first one for a duplicate */
	enum verdict verdict; /* undefined for an EVENT_OTHER */
	int from_status;
	int from_sub_status;
};

/* One callback to write. Everything but result is borrowed until the call returns. */
struct store_item {
	const struct event *event;
	const struct order_machine *machine;
	const char *endpoint; /* its name */
	struct slice body;    /* exactly as received */
	struct slice head;    /* request line and headers, without the URL token */
	const char *remote;   /* the caller's address */
	int64_t held_id;      /* the refused delivery that becomes this; 0: none. It goes with the
				 same commit, unless the item is refused */
	struct store_result result;
};

/* One refused delivery to keep. Borrowed until the batch that writes it returns. */
struct store_hold {
	const char *endpoint;
	const char *reason; /* key of the error */
	const char *remote;
	struct slice head;
	struct slice body;
	int64_t received_ms;
	bool token_ok;
	bool ours; /* the half of the ring that strangers cannot reach */
};

struct store_held_stats;
struct store_status_count;
struct store_prune;
struct store_prune_place;
struct store_pruned;
struct store_erased;
struct store_apply;

struct store_ops {
	/*
	 * Writes the items in their order, in one transaction and one fsync. Poisons every result
	 * first. Returns 0 when the transaction is durable: then each result.err is 0, or the
	 * refusal of that item alone (-ERR_TIMESTAMP_STALE). On an error nothing was written, or it
	 * is not known whether it was, and every result.err is that error.
	 */
	int (*write_batch)(struct store *store, struct store_item **items, size_t n);
	/* True while the path still names the file that is open. -ERR_STORE_MOVED otherwise. */
	int (*check_file)(struct store *store);
	/* A real commit that changes nothing a user sees: proves that the store can be written. */
	int (*touch)(struct store *store);
	/* Checkpoints what it can without waiting for readers. */
	int (*checkpoint)(struct store *store);
	void (*close)(struct store *store);
	/*
	 * Gives the next write_batch() refused deliveries to write in its transaction, which may
	 * be of no items. One that cannot be written is counted and never fails the batch.
	 */
	void (*hold)(struct store *store, const struct store_hold *holds, size_t n);

	/* What store_problem() and the functions below it ask. Each may be NULL: a store without
	 * such a thing has nothing to tell. */
	const char *(*problem)(const struct store *store);
	int (*sync_head)(struct store *store);
	int64_t (*wal_bytes)(const struct store *store);
	void (*log_readers)(const struct store *store, struct buf *out);
	void (*held_limit)(struct store *store, int64_t bytes);
	void (*held_stats)(const struct store *store, struct store_held_stats *ret);
	int (*count_orders)(struct store *store, struct store_status_count *counts, size_t cap,
			    size_t *ret_n);

	/* store_care.h. Each is one transaction, may be NULL in a test's store, and leaves all as
	 * it was on failure. */
	/* Removes a few whole orders, for a few milliseconds, and adds them to the counts. 1: there
	 * is more, 0: done. */
	int (*prune)(struct store *store, const struct store_prune *prune,
		     struct store_prune_place *place, struct store_pruned *counts);
	/*
	 * Takes the personal data out of every order of this issOrderNo or orderNo, and what is
	 * left of it out of the files; callbacks wait until the database was read through.
	 * -ERR_NOT_FOUND. -ERR_EVIDENCE: nothing was erased. -ERR_TRACES: it was, and ret is set,
	 * but the files still have some of it: a reader keeps the log, or the disk is full.
	 */
	int (*erase)(struct store *store, const char *order, struct store_erased *ret);
	/* Writes the states and counts of these orders anew, and the orders in each status. */
	int (*apply)(struct store *store, const struct store_apply *apply, int64_t *ret_orders);
};

struct store {
	const struct store_ops *ops;
	/* Called now and then during what takes long, so that whoever watches over the writer sees
	 * that it is at work; NULL: nobody does. */
	void (*at_work)(void *context);
	void *at_work_context;
};

/* Whether a store that failed so must not be written again: a sync may be lost, the file is not the
 * one it was, or what is in it is not to be trusted. A full disk and a held lock pass. */
bool store_is_final(int err);

/* Makes a new store. -ERR_STORE_EXISTS when there is a file, even an empty one. */
int store_create(const char *path, const char *environment, struct buf *problem);

/*
 * Opens the store for its only writer: takes the lock (-ERR_STORE_LOCKED; problem names the
 * holder's pid), checks that it is ours and of this environment, migrates an older one.
 * -ERR_STORE_MISSING, _FOREIGN, _NEWER, _ENVIRONMENT, _ROLLED_BACK (events that PATH.head names
 * are missing), _CORRUPT, _IO. problem says what is wrong,
 * with which file and what to do.
 */
int store_open_writer(const char *path, const char *environment, struct store **ret,
		      struct buf *problem);
/* NULL is fine. A clean close checkpoints and leaves a WAL file for read-only users. */
void store_close(struct store *store);
/* Detail of the last failure, "" when there was none: for a log line. */
const char *store_problem(const struct store *store);
/* Makes durable what the head outside the database says: at least once a second. 1 when its file
 * was gone, or another one, and was made anew. An error is final, as a failed fsync always is. */
int store_sync_head(struct store *store);
/* Size of the write-ahead log in bytes, 0 when it cannot be told. */
int64_t store_wal_bytes(const struct store *store);

/* Names whose snapshots keep the log from being used again, "process 12 (sqlite3)"; adds nothing
 * when nobody does or it cannot be told. */
void store_log_readers(const struct store *store, struct buf *out);
/* The same for whoever does not write the store that lies there. */
void store_log_readers_at(const char *store_path, struct buf *out);

/* The ring of refused deliveries: its size, of which each half has one half. Its deliveries stay
 * when it gets smaller, until the next one comes. */
void store_held_limit(struct store *store, int64_t bytes);
/* A refused delivery, copied. */
struct store_held_delivery {
	char endpoint[EVENT_ID_BYTES_MAX + 2];
	char remote[64];
	int64_t received_ms;
	bool token_ok;
	char reason[64];
	struct buf head; /* the caller's, emptied first */
	struct buf body;
};
/* For the writer. -ERR_NOT_FOUND. */
int store_held_find(struct store *store, int64_t held_id, struct store_held_delivery *ret);
/* It was fed in again and is refused for this now; reason is the key of an error. */
int store_held_reason(struct store *store, int64_t held_id, const char *reason);
/* As of the last commit; evicted and failed since the store was opened. */
struct store_held_stats {
	int64_t held;
	int64_t bytes;
	int64_t evicted;
	int64_t failed;
};
void store_held_stats(const struct store *store, struct store_held_stats *ret);

/* Orders per status: for the metrics. Counts are kept by the writer, so this reads ten rows. */
struct store_status_count {
	int status;
	int64_t orders;
};
int store_count_orders(struct store *store, struct store_status_count *counts, size_t cap,
		       size_t *ret_n);

/* ------------------------------------------------------------------ reading ------------ */

struct store_reader;

/* Read-only, beside a running daemon or without one. Needs no environment. */
int store_open_reader(const char *path, struct store_reader **ret, struct buf *problem);
void store_reader_close(struct store_reader *reader);
const char *store_reader_problem(const struct store_reader *reader);
/* The environment that the store is stamped with. */
const char *store_reader_environment(const struct store_reader *reader);

/* The columns of the view order_state, in its order and under its names. */
enum order_column {
#define STORE_COLUMN(name) ORDER_COL_##name,
#include "orderhook/tbl/order_column.def"
#undef STORE_COLUMN
	ORDER_COL_MAX
};

/* The same for order_log, without body. */
enum event_column {
#define STORE_COLUMN(name) EVENT_COL_##name,
#include "orderhook/tbl/event_column.def"
#undef STORE_COLUMN
	EVENT_COL_MAX
};

enum store_value_type {
	STORE_NULL = 0,
	STORE_INTEGER,
	STORE_TEXT,
	STORE_VALUE_TYPE_MAX
};

struct store_value {
	enum store_value_type type;
	int64_t integer;   /* STORE_INTEGER */
	struct slice text; /* STORE_TEXT, and the decimal text of an integer */
};

#define STORE_COLUMNS_MAX 24

/* A row's values are borrowed from the cursor until the next step. */
struct store_row {
	struct store_value values[STORE_COLUMNS_MAX];
	size_t n;
};

/* Zero or NULL members do not filter. */
struct order_filter {
	int status; /* 0: any */
	const char *shop_id;
	const char *order;        /* issOrderNo or orderNo */
	int64_t since_before_ms;  /* in its state since before this instant */
	int64_t received_from_ms; /* last_received within [from, to) */
	int64_t received_to_ms;
	int64_t limit; /* the newest ones, oldest of them first; 0: all */
};

struct event_filter {
	const char *order; /* issOrderNo or orderNo */
	const char *endpoint;
	uint32_t verdicts; /* bit per enum verdict; 0: any */
	int auth;          /* enum event_auth + 1; 0: any */
	int64_t received_from_ms;
	int64_t received_to_ms;
	int64_t after_id; /* only newer ones */
	bool by_occurred; /* in the order of the fold instead of arrival */
	int64_t limit;    /* the newest ones, oldest of them first; 0: all */
};

struct store_cursor;
int store_orders(struct store_reader *reader, const struct order_filter *filter,
		 struct store_cursor **ret);
int store_events(struct store_reader *reader, const struct event_filter *filter,
		 struct store_cursor **ret);
/* 1 and a row, 0 at the end, or an error. */
int store_cursor_next(struct store_cursor *cursor, struct store_row *ret);
void store_cursor_close(struct store_cursor *cursor);

/* The stored bytes of one event, appended. -ERR_NOT_FOUND, -ERR_ERASED. Either buffer may be NULL.
 */
int store_raw(struct store_reader *reader, int64_t event_id, struct buf *body, struct buf *head);

/* A callback that was received, by the clock, more than a second before the one before it. */
struct store_receipt_step {
	int64_t event_id;
	int64_t received_ms;
	int64_t before_ms; /* when the one before it was received */
};
/* The first cap of them among the newest `newest` events. */
int store_receipt_steps(struct store_reader *reader, int64_t newest,
			struct store_receipt_step *steps, size_t cap, size_t *ret_n);

/* What order_fold() takes of one event. -ERR_NOT_FOUND. */
int store_fold_event(struct store_reader *reader, int64_t event_id, struct order_event *ret);

/* ------------------------------------------------------------------ history ------------ */

/* One stored event as it arrived: what judging it again takes. */
struct store_arrival {
	struct order_event event;              /* with its stored verdict */
	char order_no[EVENT_ID_BYTES_MAX + 1]; /* "" where it is the order's, or absent */
	char shop_id[EVENT_ID_BYTES_MAX + 1];
};

/* What an order's row counts of its events. */
struct store_counts {
	int64_t events;
	int64_t quarantined;
	int64_t first_received_ms;
	int64_t last_received_ms;
	int64_t last_occurred_ms;
};

/* An order, and all its events in the order of arrival. All zero is empty. */
struct store_history {
	int64_t order_id;
	char endpoint[EVENT_ID_BYTES_MAX + 1];
	char iss_order_no[EVENT_ID_BYTES_MAX + 1];
	char order_no[EVENT_ID_BYTES_MAX + 1];
	char shop_id[EVENT_ID_BYTES_MAX + 1];
	struct order_state state;       /* as stored */
	struct store_counts counts;     /* likewise */
	bool erased;                    /* an event has lost its courier: it folds otherwise */
	struct store_arrival *arrivals; /* owned */
	size_t n;
	size_t cap;
};

/* The order after the one in history, which begins all zero: 1, 0 at the end, or an error. Both
 * the order and its events are of one moment. */
int store_next_history(struct store_reader *reader, struct store_history *history);
/* The order of an event, and one by its name. -ERR_NOT_FOUND. */
int store_event_history(struct store_reader *reader, int64_t event_id,
			struct store_history *history);
int store_order_history(struct store_reader *reader, const char *endpoint, const char *iss_order_no,
			struct store_history *history);
void store_history_release(struct store_history *history);
/* What the counts should be. Duplicates have left no row, so the times of receipt that are stored
 * may lie further out than the events' own, and then they stay. */
void store_history_count(const struct store_history *history, struct store_counts *ret);

/* ------------------------------------------------------------------ backup ------------- */

struct store_backup {
	int64_t events;
	int64_t orders;
	int64_t last_event_id;
	int64_t bytes;
	char environment[65];
};

/* Asked now and then; true ends what is under way. */
typedef bool (*store_stop_fn)(void *context);

/*
 * Copies the store, as it is at this moment, to a new file, beside a running daemon or without one:
 * complete, checked (integrity, identity, counts) and on disk before it gets its name, and readable
 * by the group. -ERR_STORE_EXISTS for a file that is there; errors of store_open_reader();
 * -ERR_STORE_IO, _FULL, _CORRUPT. Whatever fails, or is stopped, leaves no file behind.
 */
int store_backup(const char *path, const char *file, store_stop_fn stop, void *context,
		 struct store_backup *ret, struct buf *problem);

/* The columns of the view held_log, without body. */
enum held_column {
#define STORE_COLUMN(name) HELD_COL_##name,
#include "orderhook/tbl/held_column.def"
#undef STORE_COLUMN
	HELD_COL_MAX
};

struct held_filter {
	const char *endpoint; /* NULL: any */
	const char *reason;   /* NULL: any */
	int ours;             /* 1: only ours, 2: only strangers', 0: any */
	int64_t limit;        /* 0: all */
};
/* Calls each for every refused delivery, newest first, until it returns something else than 0,
 * which is returned. The row is borrowed for the call. */
int store_held(struct store_reader *reader, const struct held_filter *filter,
	       int (*each)(void *context, const struct store_row *row), void *context);
/* As store_held_find(), for a reader. */
int store_reader_held(struct store_reader *reader, int64_t held_id,
		      struct store_held_delivery *ret);
/* Like store_raw(), for a refused delivery. */
int store_raw_held(struct store_reader *reader, int64_t held_id, struct buf *body,
		   struct buf *head);
