/*
 * What the writer does besides writing: it tells failures and remembers which was its last, and
 * looks once a second whether the store's file is still there, whether it can be written again, and
 * whether somebody keeps its log from being used again.
 */
#include "orderhook/err.h"
#include "orderhook/log.h"
#include "orderhook/metrics.h"
#include "writer_private.h"

#define STATUSES_MAX 16
#define WAL_ALARM_BYTES (64 * 1024 * 1024)
#define WAL_ALARM_EVERY_US 60000000

void writer_note_failure(struct writer *writer, int err)
{
	if (!store_is_final(err)) {
		log_message(MESSAGE_BATCH_REFUSED, NULL,
			    "store: batch refused: %s (%s); callers are asked to retry",
			    err_text(err), store_problem(writer->options.store));
		atomic_store(&writer->trouble, err);
		return;
	}
	log_message(MESSAGE_STORE_FAILED, NULL, "store: %s (%s); nothing more is acknowledged",
		    err_text(err), store_problem(writer->options.store));
	atomic_store(&writer->failure, err);
}

/* A log this long is read by somebody who does not end: the disk fills until they do. */
static void warn_of_log(struct writer *writer, int64_t bytes, int64_t now_us)
{
	BUF_AUTO struct buf readers = BUF_INIT(1024);

	if (bytes <= WAL_ALARM_BYTES ||
	    (writer->alarmed_us && now_us - writer->alarmed_us < WAL_ALARM_EVERY_US))
		return;
	store_log_readers(writer->options.store, &readers);
	/* The file keeps its length when they have ended, and is used again from its beginning. */
	if (!readers.len && writer->alarmed_us)
		return;
	writer->alarmed_us = now_us;
	log_message(MESSAGE_LOG_HELD, NULL,
		    "store: the write-ahead log has %lld MB because somebody reads an old state of "
		    "the store: %s; it grows until they end",
		    (long long)bytes / (1024 * 1024),
		    readers.len ? readers.data : "`orderhook attention` names them");
}

/* Who asks whether the daemon is ready, and sends nothing while it is not, must see it recover. */
static int try_again(struct writer *writer)
{
	struct store *store = writer->options.store;
	int err = atomic_load(&writer->trouble);

	if (!err)
		return 0;
	err = store->ops->touch(store);
	if (!err || store_is_final(err)) {
		atomic_store(&writer->trouble, 0);
		return err;
	}
	atomic_store(&writer->trouble, err);
	return 0;
}

static int sync_head(struct store *store)
{
	int made = store_sync_head(store);

	if (made > 0)
		log_message(MESSAGE_HEAD_REMADE, NULL,
			    "store: the head file was gone or another one, and was made anew with "
			    "what it said");
	return made < 0 ? made : 0;
}

void writer_housekeep(struct writer *writer, int64_t now_us)
{
	struct store *store = writer->options.store;
	struct store_status_count counts[STATUSES_MAX];
	int64_t wal_bytes;
	size_t n = 0;
	int err;

	if (now_us - writer->housekept_us < WRITER_ROUND_US || atomic_load(&writer->failure))
		return;
	writer->housekept_us = now_us;
	err = store->ops->check_file(store);
	if (!err)
		err = sync_head(store);
	if (!err)
		err = try_again(writer);
	if (err) {
		writer_note_failure(writer, err);
		return;
	}
	wal_bytes = store_wal_bytes(store);
	metrics_wal_bytes(wal_bytes);
	warn_of_log(writer, wal_bytes, now_us);
	if (store_count_orders(store, counts, STATUSES_MAX, &n) == 0) {
		for (size_t i = 0; i < n; i++)
			metrics_orders(counts[i].status, counts[i].orders);
	}
}
