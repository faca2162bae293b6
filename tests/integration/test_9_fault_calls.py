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
    figures = kill_simulated.run(how_many(40, 4000), seed=1)
    record_property("figures", json.dumps(figures))
    assert "violations" not in figures, figures["violations"]
    assert figures["forgeries_sent"] > 0 and figures["killed_in_load"] > 10


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


def test_the_answer_comes_after_the_sync(strace, make_daemon):
    daemon = make_daemon().init()
    path = os.path.join(daemon.dir, "strace")
    daemon.start(wrap=("strace", "-D", "-f", "-y", "-o", path, "-e", "trace=fdatasync,sendmsg"))
    assert daemon.post(captured()[0]).status == 200
    assert daemon.stop() == 0
    wait_until(lambda: "exited with" in open(path).read())
    calls = open(path).read()
    answer = calls.index("HTTP/1.1 200")
    ready = calls.index("READY=1")
    # Between readiness and the answer there is a sync of the log that has returned.
    assert re.search(r"fdatasync\(\d+<[^>]*-wal>\)? *(?:=|<unf)", calls[ready:answer])
    assert calls[ready:answer].count("fdatasync") - calls[ready:answer].count("<unfinished") \
        + calls[ready:answer].count("resumed") >= 1


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
    """strace on every thread of a daemon, with one injection."""

    def __init__(self, daemon, expression):
        self.path = os.path.join(daemon.dir, "strace")
        self.process = subprocess.Popen(
            ["strace", "-f", "-y", "-o", self.path, "-p", str(daemon.process.pid),
             "-e", "trace=" + expression.split(":")[0], "-e", "inject=" + expression],
            stderr=subprocess.DEVNULL)
        task = f"/proc/{daemon.process.pid}/task"
        wait_until(lambda: all(f"TracerPid:\t{self.process.pid}" in
                               open(f"{task}/{tid}/status").read() for tid in os.listdir(task)))

    def detach(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(5)
        return open(self.path, errors="replace").read()


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
