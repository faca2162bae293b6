/*
 * The writer's connection: open and close. Its log is sqlite_log.c, its files' identity
 * sqlite_file.c.
 *
 * Open, in this order: what the file system says, the lock, what the file says (sqlite_check.c) and
 * what the last writer said outside of it (store_head.h). Nothing is written, and no log is made,
 * before all of that is known to be ours and whole: what is refused stays as it was. Then the
 * writer's connection, migrations, statements, the head anew.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_care.h"

#define HELD_DEFAULT_BYTES (INT64_C(16) * 1024 * 1024)

static struct sqlite_store *store_of(struct store *store)
{
	return (struct sqlite_store *)store;
}

int sqlite_store_failed(struct sqlite_store *store, int err)
{
	if (err == -ERR_STORE_IO)
		sqlite_log_cut(store);
	if (store_is_final(err))
		store->failed = err;
	return err;
}

/* ------------------------------------------------------------------ what it does ------- */

static int check_file(struct store *base)
{
	return sqlite_store_check_file(store_of(base));
}

static int checkpoint(struct store *base)
{
	return sqlite_store_checkpoint(store_of(base), true);
}

static int touch(struct store *base)
{
	struct sqlite_store *store = store_of(base);
	int err = store->failed;

	if (!err)
		err = statement_run(&store->connection, &store->statements[W_touch]);
	return sqlite_store_failed(store, err);
}

/* ------------------------------------------------------------------ what it tells ------ */

static const char *problem_of(const struct store *store)
{
	return ((const struct sqlite_store *)store)->connection.problem;
}

/* The writer knows what PATH.head said: somebody who removes it, or puts another in its place,
 * takes nothing from what it vouches for. 1 when it was made anew. */
static int remake_head(struct sqlite_store *store)
{
	BUF_AUTO struct buf problem = BUF_INIT(STORE_PROBLEM_BYTES);
	int err;

	if (store_head_is_there(&store->head_file, store->path))
		return 0;
	store_head_close(&store->head_file);
	store->head_anew = true;
	err = sqlite_head_open(store, &problem);
	return err ? err : 1;
}

static int sync_head(struct store *base)
{
	struct sqlite_store *store = store_of(base);
	int made = store->failed ? store->failed : remake_head(store);
	int err = made < 0 ? made : store_head_sync(&store->head_file);

	if (err && !store->failed)
		snprintf(store->connection.problem, STORE_PROBLEM_BYTES,
			 "%s.head cannot be written: %s", store->path, strerror(errno));
	sqlite_store_failed(store, err);
	return err ? err : made;
}

static int64_t wal_bytes(const struct store *store)
{
	struct stat status;

	return stat(((const struct sqlite_store *)store)->wal_path, &status) == 0 ? status.st_size
										  : 0;
}

static void held_limit(struct store *base, int64_t bytes)
{
	store_of(base)->ring.limit_bytes = bytes;
}

static void held_stats(const struct store *base, struct store_held_stats *ret)
{
	const struct held_ring *ring = &((const struct sqlite_store *)base)->ring;

	*ret = (struct store_held_stats){
		.held = ring->rows[0] + ring->rows[1],
		.bytes = ring->bytes[0] + ring->bytes[1],
		.evicted = ring->evicted,
		.failed = ring->failed,
	};
}

static int count_orders(struct store *base, struct store_status_count *counts, size_t cap,
			size_t *ret_n)
{
	struct sqlite_store *store = store_of(base);
	struct statement *statement = &store->statements[W_count_orders];
	size_t n = 0;
	int err;

	while ((err = statement_step(&store->connection, statement)) == 1 && n < cap) {
		counts[n].status = sqlite3_column_int(statement->handle, 0);
		counts[n].orders = sqlite3_column_int64(statement->handle, 1);
		n++;
	}
	statement_reset(statement);
	if (err < 0)
		return err;
	*ret_n = n;
	return 0;
}

/* ------------------------------------------------------------------ open and close ----- */

static void release(struct sqlite_store *store)
{
	for (int i = 0; i < W_MAX; i++)
		statement_release(&store->statements[i]);
	if (store->connection.db)
		connection_close(&store->connection);
	gather_vfs_unregister(&store->vfs);
	store_head_close(&store->head_file);
	store_lock_release(&store->lock);
	order_cache_release(&store->orders);
	free(store->history);
	free(store->stamp.page);
	free(store->wal_path);
	free(store->path);
	free(store);
}

/* Recovery starts from the log as it is on disk. */
static void leave_log(struct sqlite_store *store)
{
	sqlite3_db_config(store->connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static void close_store(struct store *base)
{
	struct sqlite_store *store = store_of(base);
	sqlite3 *db = store->connection.db;

	/* Copying the log into a file that was cut, or is another one, would lose what it has. */
	if (sqlite_store_check_file(store)) {
		leave_log(store);
	} else {
		/* An empty log cannot be replayed into a backup that is put in this one's place. A
		 * reader that is still there keeps it; that one is whole, too. */
		sqlite3_busy_timeout(db, 0);
		int code = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL,
						     NULL);
		/* Closing would try once more, and a sync that failed is not tried again. */
		if (code != SQLITE_OK)
			leave_log(store);
		store_head_sync(&store->head_file);
	}
	release(store);
}

static const struct store_ops sqlite_ops = {
	.write_batch = sqlite_store_write_batch,
	.check_file = check_file,
	.touch = touch,
	.checkpoint = checkpoint,
	.close = close_store,
	.hold = sqlite_store_hold,
	.problem = problem_of,
	.sync_head = sync_head,
	.wal_bytes = wal_bytes,
	.log_readers = sqlite_store_log_readers,
	.held_limit = held_limit,
	.held_stats = held_stats,
	.count_orders = count_orders,
	.prune = sqlite_store_prune,
	.erase = sqlite_store_erase,
	.apply = sqlite_store_apply,
};

static struct sqlite_store *store_new(const char *path)
{
	struct sqlite_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->store.ops = &sqlite_ops;
	store->lock.fd = -1;
	store->head_file.fd = -1;
	store->ring.limit_bytes = HELD_DEFAULT_BYTES;
	order_cache_init(&store->orders);
	store->path = strdup(path);
	if (!store->path || asprintf(&store->wal_path, "%s-wal", path) < 0) {
		store->wal_path = NULL;
		release(store);
		return NULL;
	}
	return store;
}

static int check_environment(struct sqlite_store *store, const struct store_identity *identity,
			     const char *environment, struct buf *problem)
{
	if (strcmp(identity->environment, environment) != 0) {
		buf_addf(problem,
			 "%s belongs to the environment %s and the configuration says %s; name "
			 "another path, or set environment in [store]",
			 store->path, identity->environment, environment);
		return -ERR_STORE_ENVIRONMENT;
	}
	return 0;
}

/* Is it this store, and whole? Through a connection that cannot write. */
static int look(struct sqlite_store *store, const char *environment, int newest,
		struct buf *problem)
{
	struct connection connection;
	struct store_identity identity;
	int err = store_open_look(store->path, newest, &connection, &identity, problem);

	if (err)
		return err;
	err = check_environment(store, &identity, environment, problem);
	if (!err)
		err = sqlite_head_check(store, &connection, &identity, problem);
	connection_close(&connection);
	return err;
}

static const struct sql_query queries[W_MAX] = {
#define WRITER_STATEMENT(name) {#name, SQL_##name},
#include "sqlite_statement.def"
};

static int prepare(struct sqlite_store *store, enum writer_statement which)
{
	return statement_prepare(&store->connection, queries[which].name, queries[which].text,
				 &store->statements[which]);
}

/* Called for every rollback, also for those that SQLite makes by itself. */
static void note_rollback(void *context)
{
	struct sqlite_store *store = context;

	gather_vfs_rolled_back(&store->vfs);
}

static int set_up(struct sqlite_store *store)
{
	struct connection *connection = &store->connection;
	int64_t page_bytes = 0;
	int persist = 1;
	int err;

	sqlite3_rollback_hook(connection->db, note_rollback, store);
	err = connection_harden(connection);
	if (!err)
		err = connection_pragma_int(connection, "PRAGMA page_size", &page_bytes);
	store->frame_bytes = page_bytes + STORE_FRAME_HEADER_BYTES;
	if (!err)
		err = connection_exec(connection, "PRAGMA journal_mode = WAL;"
						  "PRAGMA synchronous = FULL;"
						  "PRAGMA wal_autocheckpoint = 0;"
						  "PRAGMA secure_delete = ON;"
						  /* Reads, so that there is a log to identify. */
						  "PRAGMA user_version;");
	/* Or readers of another uid could not read after a clean stop. */
	sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
	sqlite_log_watch(store);
	return err;
}

static int open_files(struct sqlite_store *store, struct buf *problem)
{
	struct connection *connection = &store->connection;
	int moved = 0;
	int err = gather_vfs_register(&store->vfs) == SQLITE_OK ? 0 : -ERR_INTERNAL;

	if (!err)
		err = connection_open_writer(connection, store->path, store->vfs.name);
	if (!err)
		err = set_up(store);
	if (!err && sqlite3_db_readonly(connection->db, "main")) {
		buf_addf(problem, "%s may not be written by this user", store->path);
		return -ERR_STORE_IO;
	}
	if (!err)
		err = sqlite_file_identify(store);
	/* From here on the path is compared with what was identified. */
	if (!err)
		sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (moved)
		err = -ERR_STORE_MOVED;
	return err;
}

static int migrate(struct sqlite_store *store, const struct sql_text *migrations)
{
	int err = migrations_run(&store->connection, migrations);

	for (int i = 0; i < W_MAX && !err; i++)
		err = prepare(store, (enum writer_statement)i);
	return err;
}

static int tell_unopened(struct sqlite_store *store, int err, struct buf *problem)
{
	const char *detail = store->connection.problem;

	if (!err || problem->len)
		return err;
	if (err == -ERR_STORE_CORRUPT)
		return store_tell_corrupt(store->path, detail, problem);
	buf_addf(problem, "%s cannot be opened for writing: %s", store->path,
		 detail[0] ? detail : err_text(err));
	return err;
}

static int open_locked(struct sqlite_store *store, const char *environment,
		       const struct sql_text *migrations, struct buf *problem)
{
	int err = store_check_path(store->path, problem);

	if (!err)
		err = look(store, environment, migrations_newest(migrations), problem);
	if (!err)
		err = open_files(store, problem);
	if (!err)
		err = sqlite_store_failed(store, migrate(store, migrations));
	if (!err)
		err = sqlite_store_failed(store, sqlite_file_find_stamp(store));
	/* A process that was killed between a commit's write and its sync leaves events that the
	 * kernel shows and no disk has. The head, which is about to name them, must not outlive
	 * them. Where that sync has failed before, the kernel may say now that it has not: that is
	 * not seen. */
	if (!err)
		err = store_sync_path(store->wal_path, 0, problem);
	if (!err)
		err = sqlite_head_open(store, problem);
	/* Events are taken whatever has become of the ring. */
	if (!err && held_load(store))
		store->connection.problem[0] = '\0';
	return tell_unopened(store, err, problem);
}

int sqlite_store_open(const char *path, const char *environment, const struct sql_text *migrations,
		      struct store **ret, struct buf *problem)
{
	struct sqlite_store *store;
	/* Before the lock, so that a wrong path gets no lock file. */
	int err = store_check_path(path, problem);

	if (err)
		return err;
	store = store_new(path);
	if (!store)
		return -ERR_NOMEM;
	err = store_lock_take(path, &store->lock, problem);
	if (!err)
		err = open_locked(store, environment, migrations, problem);
	if (err) {
		if (store->connection.db)
			leave_log(store);
		release(store);
		return err;
	}
	*ret = &store->store;
	return 0;
}

int store_open_writer(const char *path, const char *environment, struct store **ret,
		      struct buf *problem)
{
	return sqlite_store_open(path, environment, sql_migrations, ret, problem);
}
