"""Kills at random moments and at every system call; every system call failing once.

The harnesses are tests/fault/kill.py and inject.py; ORDERHOOK_LONG=1 runs them in full.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from conftest import BUILD, LONG, ROOT, SHARE, callback, captured, how_many, in_lanes, wait_until

sys.path.insert(0, os.path.join(ROOT, "tests/fault"))

import alloc  # noqa: E402
import inject  # noqa: E402
import kill  # noqa: E402
import kill_simulated  # noqa: E402


@pytest.fixture
def strace():
    why = inject.can_trace()
    if why:
        pytest.skip("NOT TESTED: " + why)


def test_killed_at_random_moments_it_loses_nothing_it_acked(record_property):
    figures = kill.run(how_many(1000, 10000), seed=1)
    record_property("figures", json.dumps(figures))
    assert "violations" not in figures, figures["violations"]
    assert figures["acked"] > figures["cycles"], "the kills left no time for acks to be tested"


def test_killed_while_whole_orders_are_played_it_agrees_with_the_simulators_ledger(record_property):
    figures = kill_simulated.run(how_many(120, 4000), seed=1)
    record_property("figures", json.dumps(figures))
    assert "violations" not in figures, figures["violations"]
    assert figures["forgeries_sent"] > 0 and figures["killed_in_load"] > 3


def test_killed_at_each_system_call_of_a_request_it_loses_nothing_it_acked(strace,
                                                                           record_property):
    figures = inject.run("kill", phases=("request", "checkpoint") if LONG else ("request",))
    record_property("figures", json.dumps(figures))
    assert not figures["violations"], figures["violations"]
    # A call that is made now and then only may not come again.
    assert figures["reached"] >= 0.9 * figures["runs"] > 30


def test_failing_system_calls_make_no_false_ack_no_crash_no_leak_and_no_hang(
        strace, record_property, monkeypatch):
    phases = inject.PHASES
    if "address" in BUILD:
        # strace must let go before the end, or leaks cannot be looked for; and the sanitizer itself
        # does not live without memory.
        phases = ("request", "duplicate", "checkpoint")
        for call in ("mmap", "mremap", "mprotect"):
            monkeypatch.delitem(inject.ERRORS, call)
    figures = inject.run("fail", sample=0 if LONG else 60, share=SHARE, phases=phases,
                         n_lanes=in_lanes())
    record_property("figures", json.dumps(figures))
    assert not figures["violations"], figures["violations"]
    assert figures["reached"] >= 0.9 * figures["runs"]


def tokens_of(trace, kinds):
    """A letter for each call that matches, in the order in which they returned."""
    unfinished = {}
    tokens = []
    for line in trace.splitlines():
        thread = line.split(None, 1)[0]
        if "resumed>" in line:
            tokens.append(unfinished.pop(thread, ""))
            continue
        kind = next((letter for letter, words in kinds.items() if re.search(words, line)), "")
        if "<unfinished" in line:
            unfinished[thread] = kind
        else:
            tokens.append(kind)
    return "".join(tokens)


def test_each_answer_comes_after_a_sync_of_its_own(strace, make_daemon):
    daemon = make_daemon().init()
    path = os.path.join(daemon.dir, "strace")
    daemon.start(wrap=("strace", "-D", "-f", "-y", "-o", path, "-e", "trace=fdatasync,sendmsg"))
    for n in range(10):
        assert daemon.post(callback(f"S{n}")).status == 200
    assert daemon.stop() == 0
    wait_until(lambda: "exited with" in open(path).read())
    calls = open(path).read()
    tokens = tokens_of(calls[calls.index("READY=1"):],
                       {"L": r"fdatasync\(\d+<[^>]*-wal>", "A": r"HTTP/1.1 200"})
    assert re.fullmatch(r"(L+A){10}L*", tokens), tokens


def test_head_is_written_with_each_batch_and_synced_every_second(strace, make_daemon):
    daemon = make_daemon().init().start()
    tracer = Tracer(daemon, "fdatasync,pwrite64")
    began = time.monotonic()
    n = 0
    while time.monotonic() - began < 4.5:
        assert daemon.post(callback(f"H{n}")).status == 200
        n += 1
    tokens = tokens_of(tracer.detach(), {"L": r"fdatasync\(\d+<[^>]*-wal>",
                                         "D": r"fdatasync\(\d+<[^>]*\.db>",
                                         "H": r"pwrite64\(\d+<[^>]*\.head>",
                                         "S": r"fdatasync\(\d+<[^>]*\.head>"})
    assert tokens.count("L") >= n > 4
    # A log that begins anew after a checkpoint has its first page synced by itself.
    assert re.fullmatch(r"(S|D(LLH)?|LH)*", tokens), tokens
    # Four rounds; a machine that is busy may be late for one.
    assert tokens.count("S") >= 3, tokens
    assert daemon.stop() == 0


def test_log_that_a_killed_daemon_left_is_synced_before_the_head_names_it(strace, make_daemon):
    """Or a power loss now would leave a head that names what never was on a disk."""
    daemon = make_daemon().init().start()
    assert daemon.post(captured()[0]).status == 200
    daemon.stop(signal.SIGKILL)
    path = os.path.join(daemon.dir, "strace")
    daemon.start(wrap=("strace", "-D", "-f", "-y", "-o", path, "-e",
                       "trace=fsync,fdatasync,pwrite64"))
    assert daemon.stop() == 0
    wait_until(lambda: "exited with 0" in open(path, errors="replace").read())
    calls = re.findall(r"(fsync|fdatasync|pwrite64)\(\d+<([^>]*)>", open(path).read())
    synced = min(i for i, (call, file) in enumerate(calls)
                 if file.endswith("-wal") and call != "pwrite64")
    named = min(i for i, call in enumerate(calls) if call == ("pwrite64", daemon.store + ".head"))
    assert synced < named, calls


def test_failed_sync_is_never_tried_again_and_ends_the_daemon(strace, make_daemon):
    daemon = make_daemon().init().start()
    path = os.path.join(daemon.dir, "strace")
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", path, "-p", str(daemon.process.pid), "-e",
         "trace=fdatasync,fsync", "-e", "inject=fdatasync:error=EIO:when=1"],
        stderr=subprocess.DEVNULL)
    tids = os.listdir(f"/proc/{daemon.process.pid}/task")
    wait_until(lambda: all(
        f"TracerPid:\t{tracer.pid}" in open(f"/proc/{daemon.process.pid}/task/{tid}/status").read()
        for tid in tids))
    assert daemon.post(captured()[0]).status == 503
    try:
        assert daemon.post(captured()[1]).status == 503
    except OSError:
        pass  # it has ended meanwhile
    assert daemon.wait_exit(5) == 74
    tracer.wait(5)
    assert len(re.findall(r"(?:fdatasync|fsync)\(", open(path).read())) == 1
    daemon.stop()
    daemon.start()
    assert daemon.post(captured()[0]).status == 200
    assert daemon.rows("SELECT count(*) FROM order_log") == [(1,)]
    assert daemon.stop() == 0


class Tracer:
    """strace on every thread of a daemon: calls, the first of them with an injection or without."""

    def __init__(self, daemon, expression, *more):
        inject_it = ("-e", "inject=" + expression) if ":" in expression else ()
        self.path = os.path.join(daemon.dir, "strace")
        self.process = subprocess.Popen(
            ["strace", "-f", "-y", "-o", self.path, "-p", str(daemon.process.pid),
             "-e", "trace=" + ",".join((expression.split(":")[0], *more)), *inject_it],
            stderr=subprocess.DEVNULL)
        task = f"/proc/{daemon.process.pid}/task"
        wait_until(lambda: all(f"TracerPid:\t{self.process.pid}" in
                               open(f"{task}/{tid}/status").read() for tid in os.listdir(task)))

    def detach(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(5)
        return open(self.path, errors="replace").read()


def end_by_failed_sync(bench, error, which):
    """With a checkpoint due, this sync from now on fails. Returns the file that it was about."""
    bench.start()
    bench.fill_log()
    tracer = Tracer(bench.daemon, f"fdatasync:error={error}:when={which}", "fsync")
    wait_until(lambda: bench.post(bench.new_key()) is None)
    bench.daemon.wait_exit(5)
    assert bench.ended() == 74
    tracer.process.wait(5)
    synced = re.findall(r".*sync\(.*", open(tracer.path).read())
    # Whoever called it again would be told that all is well.
    assert [("INJECTED" in line) for line in synced] == [False] * (which - 1) + [True], synced
    bench.start()
    bench.check()
    assert bench.post(bench.new_key()) == 200
    bench.empty_log()
    return re.search(r"/orderhook\.db(\S*)>", synced[-1]).group(1)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failed_sync_of_a_checkpoint_ends_the_daemon_as_any_other(strace, make_daemon, error):
    """The database's own sync comes first or, when the head's round is due, second."""
    bench = inject.Bench(make_daemon().dir)
    try:
        files = {end_by_failed_sync(bench, error, which) for which in (1, 2, 3)}
    finally:
        bench.close()
    assert {"", "-wal"} <= files


def test_failed_sync_at_the_end_is_not_tried_again(strace, make_daemon):
    daemon = make_daemon().init().start()
    assert daemon.post(captured()[0]).status == 200
    tracer = Tracer(daemon, "fdatasync:error=EIO", "fsync")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 0
    tracer.process.wait(5)
    with open(tracer.path, errors="replace") as f:
        calls = [re.search(r"fdatasync\(\d+<([^>]*)>", line) for line in f]
    synced = [call.group(1) for call in calls if call]
    assert daemon.store in synced and len(synced) == len(set(synced)), synced
    daemon.start()
    assert daemon.rows("SELECT count(*) FROM order_log") == [(1,)]
    assert daemon.stop() == 0


def test_file_system_that_turns_read_only_ends_the_acks_and_the_daemon(strace, make_daemon):
    daemon = make_daemon().init().start()
    assert daemon.post(callback("R0")).status == 200
    tracer = Tracer(daemon, "pwrite64:error=EROFS")
    assert daemon.post(callback("R1")).status == 503
    assert daemon.wait_exit(5) == 74
    assert "EROFS" in tracer.detach()
    assert "Read-only file system" in daemon.log_text()
    daemon.stop()
    daemon.start()
    assert daemon.post(callback("R1")).status == 200
    assert daemon.rows("SELECT iss_order_no FROM order_log ORDER BY 1") == [("R0",), ("R1",)]
    assert daemon.stop() == 0


def test_exhausted_quota_is_503_and_passes_when_there_is_space(strace, make_daemon):
    daemon = make_daemon().init().start()
    assert daemon.post(callback("Q0")).status == 200
    tracer = Tracer(daemon, "pwrite64:error=EDQUOT")
    assert [daemon.post(callback(f"Q{i}")).status for i in (1, 2, 3)] == [503] * 3
    assert "EDQUOT" in tracer.detach()
    freed = time.monotonic()
    wait_until(lambda: daemon.post(callback("Q1")).status == 200)
    assert time.monotonic() - freed < 5
    assert daemon.rows("SELECT iss_order_no FROM order_log ORDER BY 1") == [("Q0",), ("Q1",)]
    assert daemon.stop() == 0


def test_failed_last_write_of_refused_deliveries_ends_in_order_with_74(strace, make_daemon):
    daemon = make_daemon().init().start()
    tracer = Tracer(daemon, "fdatasync:error=EIO:when=1")
    # The writer writes it within a second, or at its end: whichever comes first has the failure.
    assert daemon.post(b"{no object").status == 400
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 74
    assert "nothing more is acknowledged" in daemon.log_text()
    assert tracer.process.wait(5) == 0
    daemon.stop()
    daemon.start()
    assert daemon.post(captured()[0]).status == 200
    assert daemon.stop() == 0


def test_answer_that_the_library_forgot_for_want_of_memory_is_given(make_daemon):
    """libmicrohttpd forgets a resumed connection when it has no memory for its poll() then."""
    directory = make_daemon().dir
    bench = alloc.AllocBench(directory)
    try:
        points = range(1, alloc.count(bench, "request") + 1)
        outcomes = [alloc.run_point(bench, alloc.Point("request", n, 0)) for n in points]
    finally:
        bench.close()
    assert set(outcomes) <= {"served on", "exit 74"}


@pytest.mark.skipif(not LONG, reason="builds the program many times: make check-long")
def test_harnesses_catch_the_promise_broken_on_purpose(strace, record_property):
    done = subprocess.run([sys.executable, "tests/fault/mutants.py"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    record_property("figures", done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
