/*
 * What the files of the SQLite store share: connections, statements, the checks before a file is
 * opened, migrations. A connection has its own statements, prepared once, their parameters found by
 * name once.
 */
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include "orderhook/store.h"
#include "sql_text.h"
#include "sqlite_gather.h"
#include "store_head.h"
#include "store_lock.h"

#define STORE_APPLICATION_ID 0x6f72646b /* "ordk" */
#define STORE_BUSY_TIMEOUT_MS 2000      /* below commit_timeout: a held write lock becomes a 503 */
#define STORE_ENVIRONMENT_BYTES 65
#define STORE_SPAN_EVENTS 4096 /* events of one row of event_span; part of the file's format */
#define STORE_PROBLEM_BYTES 512
#define STORE_FRAME_HEADER_BYTES 24 /* before each page in the log */
#define STORE_HEADER_BYTES 100      /* the first page begins with it */

/* ------------------------------------------------------------------ statements --------- */

enum param {
#define PARAM(name) P_##name,
#include "sqlite_param.def"
#undef PARAM
	P_MAX
};

struct statement {
	sqlite3_stmt *handle; /* owned */
	const char *name;
	uint8_t index[P_MAX]; /* 0: the statement has no such parameter */
	uint64_t wanted;      /* bit per enum param */
	uint64_t bound;       /* since the last reset */
	int failed;           /* SQLite's code of the first binding that failed since then */
};

struct connection {
	sqlite3 *db;                       /* owned */
	char problem[STORE_PROBLEM_BYTES]; /* of the last failure */
};

/* -ERR_INTERNAL when the statement has a parameter that sqlite_param.def does not name. */
int statement_prepare(struct connection *connection, const char *name, const char *text,
		      struct statement *ret);
void statement_release(struct statement *statement); /* one never prepared is fine */

/* A binding that fails is reported by the next step. Bytes are borrowed until the reset. */
void bind_int(struct statement *statement, enum param param, int64_t value);
void bind_null(struct statement *statement, enum param param);
void bind_blob(struct statement *statement, enum param param, const void *bytes, size_t len);
void bind_text(struct statement *statement, enum param param, const char *text);
void bind_text_or_null(struct statement *statement, enum param param, const char *text); /* "" */
void bind_int_or_null(struct statement *statement, enum param param, int64_t value, int64_t null);

/* 1: a row, 0: done, or an error. Every parameter must have been bound. */
int statement_step(struct connection *connection, struct statement *statement);
void statement_reset(struct statement *statement);
/* For rows that do not come in the order that was asked for, which only a damaged file gives: who
 * goes from one to the next would never end. Returns -ERR_STORE_CORRUPT. */
int statement_no_progress(struct connection *connection, const struct statement *statement);
/* For a statement without rows: steps and resets. */
int statement_run(struct connection *connection, struct statement *statement);

/* Says which column has a value that orderhook never writes; returns -ERR_STORE_CORRUPT. */
int tell_bad_column(struct connection *connection, const struct statement *statement, int column);
/* Text of a column copied to out; "" for NULL. -ERR_STORE_CORRUPT when it does not fit. */
int column_text(struct connection *connection, struct statement *statement, int column, char *out,
		size_t cap);
/* An event as the judge sees it, from the columns of "history". */
int column_order_event(struct connection *connection, struct statement *statement,
		       struct order_event *ret);

/* ------------------------------------------------------------------ connections -------- */

/* The error of the table for a code of SQLite's; what was being done goes to the problem. */
int connection_fail(struct connection *connection, int code, const char *doing);
int connection_exec(struct connection *connection, const char *sql);
int connection_pragma_int(struct connection *connection, const char *sql, int64_t *ret);
/* Opens with flags of sqlite3_open_v2(); immutable: nobody writes it and no log lies beside it. */
int connection_open(struct connection *connection, const char *path, int flags, bool immutable);
/* The same for the store's writer, through the VFS of that name. */
int connection_open_writer(struct connection *connection, const char *path, const char *vfs);
/* Statements must have been released. */
void connection_close(struct connection *connection);
/* What holds for every connection: nothing in the file is trusted. Reads the file. */
int connection_harden(struct connection *connection);

/* ------------------------------------------------------------------ the file ----------- */

struct store_identity {
	int64_t version;
	int64_t last_event_id;
	char store_id[STORE_ID_BYTES];
	char environment[STORE_ENVIRONMENT_BYTES];
};

/* What the file system says: missing, no file, empty. Writes nothing. */
int store_check_path(const char *path, struct buf *problem);
/* True when there is a log with something in it. */
bool store_has_wal(const char *path);
/* The beginning of the first page: of an SQLite database, and of ours. */
bool store_header_is_ours(const unsigned char header[STORE_HEADER_BYTES]);
/*
 * What the file says of itself, read through a connection that has read nothing yet, which is
 * hardened on the way; newest is the last migration's number. -ERR_STORE_FOREIGN, _NEWER, _CORRUPT.
 */
int store_read_identity(struct connection *connection, struct store_identity *ret);
int store_identify(struct connection *connection, const char *path, int newest,
		   struct store_identity *ret, struct buf *problem);
/* The same through a connection of its own that leaves every byte as it is; on success it is open,
 * for more to be read in the same way. */
int store_open_look(const char *path, int newest, struct connection *ret_connection,
		    struct store_identity *ret, struct buf *problem);
int store_look(const char *path, int newest, struct store_identity *ret, struct buf *problem);
/* Says in problem what to do about a damaged file; returns -ERR_STORE_CORRUPT. */
int store_tell_corrupt(const char *path, const char *detail, struct buf *problem);

#define STORE_MODE 0640 /* the group may read it: operators are put into the group */
#define STORE_PATH_BYTES 4096

/* The directory that a path lies in. */
void store_directory_of(const char *path, char out[STORE_PATH_BYTES]);
/* fsync of a file, or with O_DIRECTORY of a directory. -ERR_STORE_IO. */
int store_sync_path(const char *path, int flags, struct buf *problem);
/* A database of ours with all that may lie beside it. */
void store_remove_files(const char *path);

/* ------------------------------------------------------------------ migrations --------- */

int migrations_newest(const struct sql_text *migrations);
/* Applies those after version and stamps the last one's number. Inside the caller's transaction. */
int migrations_apply(struct connection *connection, const struct sql_text *migrations, int version);
/* Looks, locks, looks again, applies, stamps, commits. Does nothing when there is nothing to do. */
int migrations_run(struct connection *connection, const struct sql_text *migrations);

/* ------------------------------------------------------------------ the writer --------- */

extern const char SQL_identify[];
extern const char SQL_stamp[];
extern const char SQL_stamp_page[];

enum writer_statement {
#define WRITER_STATEMENT(name) W_##name,
#include "sqlite_statement.def"
	W_MAX
};

#define WRITER_STATEMENT(name) extern const char SQL_##name[];
#include "sqlite_statement.def"

#define STORE_ENDPOINTS_CACHED 32

struct endpoint_id {
	int64_t id;
	char name[EVENT_ID_BYTES_MAX + 1];
};

struct file_identity {
	dev_t device;
	ino_t inode;
	off_t bytes; /* the most that was seen */
	struct timespec changed;
};

/* Where the database itself, without its log, says which store it is. */
struct database_stamp {
	int64_t at;
	int page_bytes;
	unsigned char *page; /* owned, page_bytes: to read it into */
	bool seen;           /* it was there at the last look */
};

/* What a transaction has gathered and writes at its end. */
struct batch_tally {
	int64_t orders[EVENT_STATUS_MAX + 1]; /* change of their number in each status */
	int64_t next_event_id;
	uint8_t link[CHAIN_BYTES]; /* of the event before it */
	int64_t span;
	int64_t span_last_id; /* 0: nothing in the span */
	int64_t span_from_ms;
	int64_t span_to_ms;
};

/* The ring of refused deliveries; [1] is the half of ours. */
struct held_ring {
	bool known; /* what follows is read when it is not */
	int64_t rows[2];
	int64_t bytes[2];
	int64_t evicted; /* and committed */
	int64_t evicting;
	int64_t failed;
	int64_t limit_bytes;
};

/* sqlite_order_cache.c: rows of orders as the last batches left them. */
struct order_cache {
	struct order_slot *slots; /* owned; NULL: nothing is kept */
	uint64_t generation;      /* slots of another one are empty */
	unsigned version;         /* the pager's, after the last batch */
};

struct sqlite_store {
	struct store store; /* first: a struct store * is one of these */
	struct gather_vfs vfs;
	struct connection connection;
	struct statement statements[W_MAX];
	struct store_lock lock;
	struct store_head_file head_file;
	struct store_head head; /* of what is committed */
	bool head_anew;         /* PATH.head is missing, or says nothing about this store */
	char *path;
	char *wal_path;
	struct file_identity file;
	struct file_identity wal;
	struct database_stamp stamp;
	int failed; /* a failure after which nothing is written any more */

	int64_t frame_bytes;     /* what a page takes in the log */
	int64_t wal_pages;       /* in the log, as of the last commit */
	int64_t wal_copied;      /* of them, copied into the database by the last checkpoint */
	int64_t copied_event_id; /* the newest one at that time */

	/* Those that are committed; a transaction's own are taken back when it fails. */
	struct endpoint_id endpoints[STORE_ENDPOINTS_CACHED];
	size_t n_endpoints;

	struct batch_tally tally;
	struct order_cache orders;
	struct order_event *history; /* owned */
	size_t history_cap;

	struct held_ring ring;
	const struct store_hold *holds; /* of the next batch */
	size_t n_holds;
};

/* store_open_writer() with other migrations than the built-in ones: for their test. */
int sqlite_store_open(const char *path, const char *environment, const struct sql_text *migrations,
		      struct store **ret, struct buf *problem);
int sqlite_store_write_batch(struct store *store, struct store_item **items, size_t n);
/* Undoes the transaction, if SQLite has not done so; the problem stays the first failure's. */
void sqlite_store_roll_back(struct sqlite_store *store);
/* Writes the tally's change of the orders in each status. */
int sqlite_store_flush_counts(struct sqlite_store *store);
/* sqlite_file.c. Remembers what the files are, as soon as the connection is open. */
int sqlite_file_identify(struct sqlite_store *store);
/* Remembers where the stamp lies, which a migration may move. */
int sqlite_file_find_stamp(struct sqlite_store *store);
/* Are both files still the ones that were opened, not shorter than they were, and of this store?
 * -ERR_STORE_MOVED, _CORRUPT. */
int sqlite_store_check_file(struct sqlite_store *store);
/* Remembers a failure that ends the store's writing; returns err. */
int sqlite_store_failed(struct sqlite_store *store, int err);

/* sqlite_log.c. Follows the log's length from commit to commit. */
void sqlite_log_watch(struct sqlite_store *store);
/* Is all that is committed in a log of this length? */
bool sqlite_log_is_whole(struct sqlite_store *store, int64_t bytes);
/* Takes what is behind the last commit out of the log, and out of the kernel's cache. */
void sqlite_log_cut(struct sqlite_store *store);
/* Copies the log into the database when that is due; always, when forced. */
int sqlite_store_checkpoint(struct sqlite_store *store, bool forced);

/* Compares the head that the connection sees with PATH.head, and takes it over; nothing is written.
 * -ERR_STORE_ROLLED_BACK. */
int sqlite_head_check(struct sqlite_store *store, struct connection *connection,
		      const struct store_identity *identity, struct buf *problem);
/* Opens PATH.head and writes the head. Its name is durable then, the rest with the next sync. */
int sqlite_head_open(struct sqlite_store *store, struct buf *problem);
/* The link of an event, or of the last one of a pruned range, with the statement "link_of"; number
 * 0: what stands before the first. -ERR_NOT_FOUND. */
int chain_read_link(struct connection *connection, struct statement *statement,
		    const char *store_id, int64_t event_id, uint8_t ret[CHAIN_BYTES]);
/* What an event's row gets besides what the event says. */
struct chain_stamp {
	uint8_t body_sha256[CHAIN_BYTES];
	uint8_t link[CHAIN_BYTES];
};
/* judgement is NULL for an EVENT_OTHER. Fails only as hashing does. */
int chain_stamp(const uint8_t previous[CHAIN_BYTES], const struct store_item *item,
		const struct event *event, const struct judgement *judgement, int64_t event_id,
		struct chain_stamp *ret);

/* sqlite_held.c. Inside the batch's transaction: writes what hold() gave. Fails only where the
 * transaction cannot go on. */
int held_write(struct sqlite_store *store);
/* Inside the transaction: the delivery has become an event. */
int held_readmitted(struct sqlite_store *store, int64_t held_id);
/* Reads what is in the ring. */
int held_load(struct sqlite_store *store);
/* What the transaction did to the ring stands. Whoever rolls it back puts the ring back too. */
void held_committed(struct sqlite_store *store);
/* store_readers.c */
void sqlite_store_log_readers(const struct store *store, struct buf *out);
void sqlite_store_hold(struct store *store, const struct store_hold *holds, size_t n);

/* An order's row, and what the judge must know of it. */
struct order_row {
	int64_t order_id;
	struct order_known known;
	int64_t events;
	int64_t quarantined;
	int64_t first_received_ms;
	int64_t last_received_ms;
	int64_t last_occurred_ms;
};

/* From the columns of "find_order". ret is zeroed before. */
int column_order_row(struct connection *connection, struct statement *statement,
		     struct order_row *ret);
/* An order with what it is called by. */
struct named_order {
	struct order_row row;
	char name[EVENT_ID_BYTES_MAX + 1];
	char endpoint[EVENT_ID_BYTES_MAX + 1];
};
/* From the columns of "orders_after". On failure the names may be there already. */
int column_named_order(struct connection *connection, struct statement *statement,
		       struct named_order *ret);
/* known.exists tells whether there is one. */
int order_find(struct sqlite_store *store, int64_t endpoint_id, const char *iss_order_no,
	       struct order_row *ret);
/* The history that judging the event takes: none in the common case. store->history has room for
 * one more. */
int order_history(struct sqlite_store *store, const struct order_row *row,
		  const struct event *event, size_t *ret_n);
/* Inserts the order, with its order_id as result, or updates it. */
int order_save(struct sqlite_store *store, int64_t endpoint_id, const char *iss_order_no,
	       struct order_row *row);
int order_bind(struct sqlite_store *store, const struct order_row *row);
/* Writes an order's row by its number, and keeps nothing of it. */
int order_update(struct sqlite_store *store, const struct order_row *row);

void order_cache_init(struct order_cache *cache);
void order_cache_release(struct order_cache *cache);
/* After BEGIN: what was kept stands only if nobody has committed since the last batch. */
void order_cache_begin(struct order_cache *cache, struct connection *connection);
void order_cache_committed(struct order_cache *cache, struct connection *connection);
/* NULL when it is not kept. */
const struct order_row *order_cache_find(struct order_cache *cache, int64_t endpoint_id,
					 const char *name);
void order_cache_keep(struct order_cache *cache, int64_t endpoint_id, const char *name,
		      const struct order_row *row);
/* For whoever rolls back, or changes rows of orders in a batch's transaction without order_save().
 */
void order_cache_forget(struct order_cache *cache);

/* sqlite_arrivals.c. From the columns of "orders_after": the order, with no events yet. */
int history_read_order(struct connection *connection, struct statement *statement,
		       struct store_history *ret);
/* All its events, with the statement "arrivals". */
int history_read_events(struct connection *connection, struct statement *statement,
			struct store_history *history);

/* ------------------------------------------------------------------ the reader --------- */

enum reader_statement {
#define READER_STATEMENT(name) R_##name,
#include "sqlite_statement.def"
	R_MAX
};

#define READER_STATEMENT(name) extern const char SQL_##name[];
#include "sqlite_statement.def"

struct store_reader {
	struct connection connection;
	struct statement statements[R_MAX];
	char environment[STORE_ENVIRONMENT_BYTES];
};

/* A read transaction, for what must be of one moment. It ends whatever failed in it. */
int reader_begin(struct store_reader *reader);
int reader_end(struct store_reader *reader, int err);
