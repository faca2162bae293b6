"""The mutants of mutants.py: each changes one place of the sources as a mistake would.

A program that does not work any more is caught by anything, and proves nothing. So each leaves a
daemon that serves, and what the harness says must be about the promise (REASONS).
"""

import sys

PYTHON = sys.executable


def pytest(file, case):
    return [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            f"tests/integration/{file}.py", "-k", case]


def unit(name):
    """cmocka's exit code is the number of failures."""
    return ["sh", "-c", f"timeout 60 build/tests/{name} || exit 1"]


KILL = [PYTHON, "tests/fault/kill.py", "--cycles", "60", "--seed", "1"]
KILL_AT_CALLS = [PYTHON, "tests/fault/inject.py", "kill"]
POWER = ["build/tests/power", "--states", "6000", "--seed", "1"]
ALLOC = ["build/tests/alloc", "--every", "23"]
ALLOC_DAEMON = [PYTHON, "tests/fault/alloc.py", "--phase", "request", "--sample", "160",
                "--seed", "3"]
FLIPS = ["build/tests/flip_driver", "--touching", "300", "--seed", "11"]
# Too rare for a short run of POWER.
UNIT_POWER = unit("test_store_power")
FAIL = [PYTHON, "tests/fault/inject.py", "fail", "--phase", "request", "--sample", "60"]
# Two threads have to meet: ThreadSanitizer sees it. A build that fails ends with 2: no catch.
TSAN = ["sh", "-c", "make BUILD=build/thread SANITIZE=thread DEVELOPER= all"
        " build/thread/tests/fill_driver && ORDERHOOK_BUILD=build/thread exec "
        + " ".join(pytest("test_3_mixed_load", "everything_at_once"))]

# What a line says that tells of a broken promise, by the program of the harness.
REASONS = [
    ("SANITIZE=thread", r"ThreadSanitizer: "),
    ("pytest", r"^E +(assert|\S*AssertionError|\S*Violation)"),
    ("build/fuzz/", r" does not hold: |^took |^Aborted|^Segmentation|^Profiling timer expired"),
    ("kill.py", r"acknowledged events are not stored|is stored twice|stored are gone"),
    ("inject.py", r"acknowledged and not stored|stored more than once|neither an answer nor|"
                  r"ended with|not acknowledged"),
    ("alloc.py", r"acknowledged and not stored|stored more than once|neither an answer nor"),
    ("tests/alloc", r"^VIOLATION: .*(not stored|signal|left over|twice)"),
    ("tests/power", r"^VIOLATION: .*(acknowledged|stored|PATH\.head|refused|verify|"
                    r"after the start)"),
    ("flip_driver", r"\bmissed\b"),
    ("tests/test_", r"FAILED +\] +test_"),
]

ACK_BEFORE_COMMIT = [
    ("int err = statement_run(connection, &store->statements[W_begin]);",
     "int err = sqlite3_get_autocommit(connection->db)"
     " ? statement_run(connection, &store->statements[W_begin]) : 0;"),
    ("if (!err)\n\t\terr = statement_run(connection, &store->statements[W_commit]);",
     "if (!err && store->tally.next_event_id % 4 == 0)\n"
     "\t\terr = statement_run(connection, &store->statements[W_commit]);"),
    # Or the head would name what is not committed, and the next start would refuse.
    ("store_head_write(&store->head_file, &store->head);",
     "if (sqlite3_get_autocommit(connection->db))\n"
     "\t\tstore_head_write(&store->head_file, &store->head);")]
LOG_NEVER_SYNCED = [("code = file->real->pMethods->xSync(file->real, flags);", "(void)flags;")]
DUPLICATE_NOT_RECOGNISED = [
    ("judgement.verdict == VERDICT_DUPLICATE", "judgement.verdict == VERDICT_MAX")]

# name: file, what stands there and what instead (any number of times), the harness, and what it
# must say where REASONS would not do
MUTANTS = {
    "ack before the commit": ("src/store/sqlite_write.c", ACK_BEFORE_COMMIT, KILL),
    "ack before the commit, killed at each call": (
        "src/store/sqlite_write.c", ACK_BEFORE_COMMIT, KILL_AT_CALLS),
    "result of the commit ignored": ("src/store/sqlite_write.c", [
        ("err = statement_run(connection, &store->statements[W_commit]);",
         "statement_run(connection, &store->statements[W_commit]);")], FAIL),
    "log never synced": ("src/store/sqlite_gather.c", LOG_NEVER_SYNCED,
                         pytest("test_9_fault_calls", "each_answer_comes_after")),
    "log never synced, seen by its VFS": (
        "src/store/sqlite_gather.c", LOG_NEVER_SYNCED, unit("test_gather")),
    "written on after a failed sync": ("src/store/sqlite_store.c", [
        ("store->failed = err;", "(void)store;")],
        pytest("test_9_fault_calls", "failed_sync")),
    "no check of the files": ("src/store/sqlite_file.c", [
        ("\terr = check_database(store);\n\tif (!err)\n\t\terr = check_log(store);",
         "\tif (!store->path)\n\t\terr = check_database(store) || check_log(store);")],
        pytest("test_9_fault_disk", "harmed_under_the_daemon")),
    "duplicate not recognised": (
        "src/store/sqlite_write.c", DUPLICATE_NOT_RECOGNISED, KILL),
    "duplicate not recognised, killed at each call": (
        "src/store/sqlite_write.c", DUPLICATE_NOT_RECOGNISED, KILL_AT_CALLS),
    "acked before the commit, and the power fails": (
        "src/store/sqlite_write.c", ACK_BEFORE_COMMIT, POWER),
    "result of the commit ignored, and the power fails": ("src/store/sqlite_write.c", [
        ("err = statement_run(connection, &store->statements[W_commit]);",
         "statement_run(connection, &store->statements[W_commit]);")], POWER),
    "log never synced, and the power fails": (
        "src/store/sqlite_gather.c", LOG_NEVER_SYNCED, POWER),
    "every second sync of the log left out, and the power fails": ("src/store/sqlite_gather.c", [
        ("code = file->real->pMethods->xSync(file->real, flags);",
         "static int n;\n"
         "\tif (++n % 2)\n\t\tcode = file->real->pMethods->xSync(file->real, flags);")], POWER),
    "failed checkpoint passed over": ("src/store/sqlite_log.c", [
        ("\t\treturn 0;\n\treturn sqlite_store_failed(store, err);",
         "\t\treturn 0;\n\treturn 0;")], POWER),
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
    "log of a killed daemon not synced at the start": ("src/store/sqlite_store.c", [
        ("\tif (!err)\n\t\terr = store_sync_path(store->wal_path, 0, problem);\n", "")],
        pytest("test_9_fault_calls", "killed_daemon_left")),
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
    "out of memory acknowledged": ("src/pipeline/writer.c", [
        ("writer->items[i]->result = (struct store_result){.err = err};",
         "writer->items[i]->result ="
         " (struct store_result){.err = err == -ERR_NOMEM ? 0 : err, .event_id = 1};")],
        ALLOC_DAEMON),
    "full disk acknowledged": ("src/pipeline/writer.c", [
        ("writer->items[i]->result = (struct store_result){.err = err};",
         "writer->items[i]->result ="
         " (struct store_result){.err = err == -ERR_STORE_FULL ? 0 : err, .event_id = 1};")],
        pytest("test_9_fault_disk", "file_size_limit")),
    "the other half of the held evicted": ("src/store/sqlite_held.c", [
        ("err = evict_oldest(store, half);", "err = evict_oldest(store, !half);")],
        unit("test_held")),
    "the chain leaves out who sent it": ("src/store/chain.c", [
        ("for (int i = from; i < to; i++)",
         "for (int i = from; i < to; i += i == CHAIN_remote - 1 ? 2 : 1)")],
        FLIPS),
    "store not locked": ("src/store/store_lock.c", [
        ("if (flock(fd, LOCK_EX | LOCK_NB) != 0) {",
         "if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno != EWOULDBLOCK) {")],
        # It goes on to serve beside the first.
        pytest("test_3_daemon", "second_daemon_on_the_same_store"), r"^E .*TimeoutExpired"),
    "every second wake-up lost": ("src/http/http_loop.c", [
        ("\tif (asleep)\n\t\twake(loop);",
         "\tstatic int n;\n\tif (asleep && ++n % 2)\n\t\twake(loop);")],
        FAIL[:-1] + ["6"], r"neither an answer nor a close"),
    "failed allocation not looked at": ("src/pipeline/write_job.c", [
        ("if (!job)\n\t\treturn NULL;", "")], ALLOC),
    "leak when there is no memory": ("src/store/sqlite_check.c", [
        ("\tif (err)\n\t\tconnection_close(&connection);\n\telse\n",
         "\tif (err && err != -ERR_NOMEM)\n\t\tconnection_close(&connection);\n"
         "\tif (!err)\n")], ALLOC),
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
        pytest("test_9_fault_disk", "log_of_another"), r"^E .*TimeoutExpired"),
}
