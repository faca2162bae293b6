"""The mutants of mutants.py: each changes one place of the sources as a mistake would."""

import sys

PYTHON = sys.executable


def pytest(file, case):
    return [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            f"tests/integration/{file}.py", "-k", case]


KILL = [PYTHON, "tests/fault/kill.py", "--cycles", "60", "--seed", "1"]
POWER = ["build/tests/power", "--states", "4000", "--seed", "1"]
ALLOC = ["build/tests/alloc", "--every", "23"]
# Too rare for a short run of POWER; cmocka's exit code is the number of failures.
UNIT_POWER = ["sh", "-c", "build/tests/test_store_power || exit 1"]
FAIL = [PYTHON, "tests/fault/inject.py", "fail", "--phase", "request", "--sample", "60"]
# Two threads have to meet: ThreadSanitizer sees it. A build that fails ends with 2: no catch.
TSAN = ["sh", "-c", "make BUILD=build/thread SANITIZE=thread DEVELOPER= all"
        " build/thread/tests/fill_driver && ORDERHOOK_BUILD=build/thread exec "
        + " ".join(pytest("test_3_mixed_load", "everything_at_once"))]

# name: file, what stands there and what instead (any number of times), the harness
MUTANTS = {
    "ack before the commit": ("src/store/sqlite_write.c", [
        ("int err = statement_run(connection, &store->statements[W_begin]);",
         "int err = sqlite3_get_autocommit(connection->db)"
         " ? statement_run(connection, &store->statements[W_begin]) : 0;"),
        ("if (!err)\n\t\terr = statement_run(connection, &store->statements[W_commit]);",
         "if (!err && store->tally.next_event_id % 4 == 0)\n"
         "\t\terr = statement_run(connection, &store->statements[W_commit]);"),
        # Or the head would name what is not committed, and the next start would refuse.
        ("store_head_write(&store->head_file, &store->head);",
         "if (sqlite3_get_autocommit(connection->db))\n"
         "\t\tstore_head_write(&store->head_file, &store->head);")], KILL),
    "result of the commit ignored": ("src/store/sqlite_write.c", [
        ("err = statement_run(connection, &store->statements[W_commit]);",
         "statement_run(connection, &store->statements[W_commit]);")], FAIL),
    "no sync before the answer": ("src/store/sqlite_store.c", [
        ("PRAGMA synchronous = FULL;", "PRAGMA synchronous = OFF;")],
        pytest("test_9_fault_calls", "the_answer_comes_after_the_sync")),
    "frames kept back at the sync": ("src/store/sqlite_gather.c", [
        ("int code = hand_over(file);\n\n\tif (code == SQLITE_OK)\n\t\tcode = file->lost;",
         "int code = file->len > 100000 ? hand_over(file) : SQLITE_OK;")], KILL),
    "written on after a failed sync": ("src/store/sqlite_store.c", [
        ("store->failed = err;", "(void)store;")],
        pytest("test_9_fault_calls", "failed_sync")),
    "no check of the files": ("src/store/sqlite_store.c", [
        ("\tif (store->failed)\n\t\treturn store->failed;\n\terr = compare_file",
         "\tif (store->path)\n\t\treturn 0;\n\terr = compare_file")],
        pytest("test_9_fault_disk", "harmed_under_the_daemon")),
    "duplicate not recognised": ("src/store/sqlite_write.c", [
        ("judgement.verdict == VERDICT_DUPLICATE", "judgement.verdict == VERDICT_MAX")], KILL),
    "acked before the commit, and the power fails": ("src/store/sqlite_write.c", [
        ("int err = statement_run(connection, &store->statements[W_begin]);",
         "int err = sqlite3_get_autocommit(connection->db)"
         " ? statement_run(connection, &store->statements[W_begin]) : 0;"),
        ("if (!err)\n\t\terr = statement_run(connection, &store->statements[W_commit]);",
         "if (!err && store->tally.next_event_id % 4 == 0)\n"
         "\t\terr = statement_run(connection, &store->statements[W_commit]);"),
        ("store_head_write(&store->head_file, &store->head);",
         "if (sqlite3_get_autocommit(connection->db))\n"
         "\t\tstore_head_write(&store->head_file, &store->head);")], POWER),
    "result of the commit ignored, and the power fails": ("src/store/sqlite_write.c", [
        ("err = statement_run(connection, &store->statements[W_commit]);",
         "statement_run(connection, &store->statements[W_commit]);")], POWER),
    "synchronous=OFF": ("src/store/sqlite_store.c", [
        ("PRAGMA synchronous = FULL;", "PRAGMA synchronous = OFF;")], POWER),
    "synchronous=NORMAL": ("src/store/sqlite_store.c", [
        ("PRAGMA synchronous = FULL;", "PRAGMA synchronous = NORMAL;")], POWER),
    "head written before the commit": ("src/store/sqlite_write.c", [
        ("if (!err)\n\t\terr = statement_run(connection, &store->statements[W_commit]);",
         "if (!err) {\n"
         "\t\tstruct store_head next = store->head;\n"
         "\t\tnext.event_id = store->tally.next_event_id - 1;\n"
         "\t\tmemcpy(next.link, store->tally.link, CHAIN_BYTES);\n"
         "\t\tstore_head_write(&store->head_file, &next);\n"
         "\t\terr = statement_run(connection, &store->statements[W_commit]);\n"
         "\t}")], POWER),
    "head never synced": ("src/store/store_head.c", [
        ("if (cause || fdatasync(file->fd) != 0) {", "if (cause) {")], POWER),
    "directory of the head not synced": ("src/store/sqlite_chain.c", [
        ("err = store_sync_path(directory, O_DIRECTORY, problem);", "err = 0;")], POWER),
    "synced word of the head overwritten": ("src/store/store_head.c", [
        ("\t\tfile->errno_of_write = errno;\n}",
         "\t\tfile->errno_of_write = errno;\n\tfile->slot = !file->slot;\n}")], POWER),
    "new store not synced": ("src/store/sqlite_create.c", [
        ('"PRAGMA synchronous = FULL; BEGIN IMMEDIATE"',
         '"PRAGMA synchronous = OFF; BEGIN IMMEDIATE"'),
        ("err = store_sync_path(path, 0, problem);\n\treturn err ? err : "
         "store_sync_path(directory, O_DIRECTORY, problem);", "return 0;")], POWER),
    "interrupted init opened": ("src/store/sqlite_check.c", [
        ("if (has_journal(path)) {", "if (has_journal(path) && !path) {")], POWER),
    "torn first page refused": ("src/store/sqlite_check.c", [
        ("!is_ours_by_log(connection, path))", "path)")], POWER),
    "failed sync's frames left in the log": ("src/store/sqlite_store.c", [
        ("if (err == -ERR_STORE_IO)\n\t\tsqlite_log_cut(store);",
         "if (err == -ERR_STORE_IO && !store)\n\t\tsqlite_log_cut(store);")], UNIT_POWER),
    "word of the head kept whose sync failed": ("src/store/store_head.c", [
        ("\t\tforget_slot(file);\n", "\t\tif (!file)\n\t\t\tforget_slot(file);\n")],
        UNIT_POWER),
    "failed allocation not looked at": ("src/pipeline/write_job.c", [
        ("if (!job)\n\t\treturn NULL;", "")], ALLOC),
    "leak when there is no memory": ("src/store/sqlite_check.c", [
        ("connection_close(&connection);\n\treturn err ? err : check_log_owner",
         "if (!err)\n\t\tconnection_close(&connection);\n\treturn err ? err : check_log_owner")],
        ALLOC),
    "let in however long it would wait": ("src/pipeline/writer.c", [
        ("return queued > 0 && (queued + 2)", "return queued < 0 && (queued + 2)")],
        pytest("test_9_fault_overload", "ten_times_the_rate")),
    "queue without a limit": ("src/pipeline/writer.c", [
        ("writer->n_queued + writer->n_batch >= writer->options.queue_limit ||\n\t    ", "")],
        pytest("test_3_daemon", "queue_limit")),
    "proxies read without their lock": ("src/http/callback_handler.c", [
        ("\tpthread_mutex_lock(&server->lock);\n\thttp_remote_forwarded(",
         "\thttp_remote_forwarded("),
        ("call->remote);\n\tpthread_mutex_unlock(&server->lock);", "call->remote);")], TSAN),
    "refused delivery queued without its lock": ("src/pipeline/hold_queue.c", [
        ("\tpthread_mutex_lock(&queue->lock);\n\ttaken", "\ttaken"),
        ("\tpthread_mutex_unlock(&queue->lock);\n\treturn taken;", "\treturn taken;")], TSAN),
    "another store's log accepted": ("src/store/sqlite_check.c", [
        ("if (!alone[0] ||", "if (alone[0] ||")],
        pytest("test_9_fault_disk", "log_of_another")),
}
