"""What a callback may cost, in figures that noise does not move: system calls, allocations, bytes,
syncs, instructions. A ceiling lies a little above what was counted when it was written
(docs/performance.md has the counts); a change that needs more raises it in the same commit and says
why."""

import collections
import os
import re
import shutil
import struct
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT, TOKEN, Connection, callback, request, sign_flat, \
    wait_until

sys.path.insert(0, os.path.join(ROOT, "tests/fault"))
import inject  # noqa: E402

PATH = "/callback/shansong/" + TOKEN
CONNECTIONS = 32
WAITING = ("epoll_wait", "poll", "futex", "read", "write")  # more of them on a busy machine
ROUNDS = 12

SOCKET_CALLS = 5.1  # of a callback, whatever the batch
WAITS = 3.0         # of a callback: the calls in which threads sleep and wake each other
STORE_CALLS = 17    # of a batch, with its share of the checkpoints
CALLS_ALONE = 18    # of a callback that is a batch by itself, without those waits
ALLOCATIONS = 28
WRITTEN_BYTES = 3000  # of an event; 1 KB of it is the callback
INGEST_INSTRUCTIONS = 73000
STORE_INSTRUCTIONS = 97000


def signed(name, step):
    status, sub = ((20, 1), (30, 1), (30, 2), (40, 1), (50, 1))[step]
    members = callback(f"cost-{name}", status, sub, f"2025-05-30 17:0{step}:00",
                       courier={"id": "c-1", "name": "n", "mobile": "13800000000", "latitude": "0",
                                "longitude": "0"}, statusDesc="d" * 400)
    return request(PATH, sign_flat(members))


class Volleys:
    """Keep-alive connections that all send one callback and then all wait for their answers."""

    def __init__(self, daemon, connections):
        self.connections = [Connection(daemon.address) for _ in range(connections)]
        self.round = 0

    def play(self, rounds):
        """Returns how many callbacks were acknowledged: all of them."""
        for _ in range(rounds):
            requests = [signed(f"{self.round // 5}-{i}", self.round % 5)
                        for i in range(len(self.connections))]
            for connection, text in zip(self.connections, requests):
                connection.send(text)
            for connection in self.connections:
                assert connection.reply().status == 200
            self.round += 1
        return rounds * len(self.connections)


def sanitized():
    return bool(os.environ.get("SANITIZE")) or "address" in BUILD or "thread" in BUILD


@pytest.fixture
def warm(make_daemon):
    """Makes a daemon that has served for a while: what happens once has happened."""
    if sanitized():
        pytest.skip("a sanitizer's own work would be counted")

    def make(connections, **environment):
        daemon = make_daemon(server={"callback_log_rate": "0"})
        daemon.init()
        daemon.start(env=environment)
        volleys = Volleys(daemon, connections)
        volleys.play(5)
        return daemon, volleys
    return make


def traceable():
    why = inject.can_trace()
    if why:
        pytest.skip("NOT TESTED: " + why)


def count_calls(daemon, volleys, rounds):
    """System calls by name while the volleys are played, and the callbacks played."""
    traceable()
    path = os.path.join(daemon.dir, "calls")
    strace = subprocess.Popen(["strace", "-f", "-q", "-o", path, "-p", str(daemon.process.pid)],
                              stderr=subprocess.DEVNULL)
    tasks = f"/proc/{daemon.process.pid}/task"
    wait_until(lambda: all(f"TracerPid:\t{strace.pid}" in open(f"{tasks}/{t}/status").read()
                           for t in os.listdir(tasks)))
    played = volleys.play(rounds)
    strace.terminate()
    strace.wait(10)
    calls = collections.Counter()
    for line in open(path, errors="replace"):
        made = re.match(r"\d+\s+([a-z]\w+)\(", line)
        if made:
            calls[made.group(1)] += 1
    return calls, played


def test_callbacks_that_come_at_once_share_system_calls(warm, record_property):
    daemon, volleys = warm(CONNECTIONS)
    calls, played = count_calls(daemon, volleys, ROUNDS)
    def made(*names):
        return sum(calls[name] for name in names)
    # How many were in a batch is the machine's mood; what a batch costs is not.
    batches = calls["fdatasync"]
    sockets = made("recvfrom", "sendmsg", "epoll_ctl", "accept4", "close") / played
    waits = made(*WAITING) / played
    store = made("fcntl", "newfstatat", "pwrite64", "fdatasync") / batches
    record_property("figures", f"a callback: {sockets:.2f} socket calls, {waits:.2f} to wait "
                    f"and wake; a batch of {played / batches:.1f}: {store:.1f} for the store; "
                    f"{sum(calls.values()) / played:.2f} a callback in all")
    assert sockets <= SOCKET_CALLS
    assert waits <= WAITS
    assert store <= STORE_CALLS
    assert batches < played, "each was committed by itself"


def test_a_callback_alone_takes_one_sync_and_few_system_calls(warm, record_property):
    daemon, volleys = warm(1)
    calls, played = count_calls(daemon, volleys, 60)
    each = sum(n for name, n in calls.items() if name not in WAITING) / played
    record_property("figures", f"{each:.2f} system calls a callback and the waits: " + ", ".join(
        f"{name} {n / played:.2f}" for name, n in calls.most_common(12)))
    assert each <= CALLS_ALONE
    # One for each commit; a checkpoint and the head, synced each second, have theirs.
    assert played <= calls["fdatasync"] <= played + 6


def test_a_callback_takes_few_allocations(warm, tmp_path, record_property):
    counter = str(tmp_path / "allocations")
    library = os.path.join(BUILD, "tests/count_alloc.so")
    _, volleys = warm(CONNECTIONS, LD_PRELOAD=library, COUNT_ALLOC_FILE=counter)

    def allocations():
        return struct.unpack("=Q", open(counter, "rb").read(8))[0]
    before = allocations()
    played = volleys.play(ROUNDS)
    each = (allocations() - before) / played
    record_property("figures", f"{each:.2f} allocations a callback")
    assert 0 < each <= ALLOCATIONS


def test_an_event_writes_few_bytes(make_daemon, record_property):
    """To the log, the database and the head, at 64 events a transaction; counted exactly."""
    traceable()
    daemon = make_daemon().init()
    path = os.path.join(daemon.dir, "writes")
    subprocess.run(
        ["strace", "-f", "-q", "-e", "trace=pwrite64", "-o", path,
         os.path.join(BUILD, "bench/bench_store"), "--store", daemon.store, "--batch", "64",
         "--fill", "6400"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=60)
    each = sum(int(n) for n in re.findall(r"= (\d+)$", open(path, errors="replace").read(),
                                          re.M)) / 6400
    record_property("figures", f"{each:.0f} bytes written an event")
    assert 1000 < each <= WRITTEN_BYTES


def instructions_in(function, directory, store):
    """Of one event, inside a function of bench_store; without the processor's own SHA, so that
    every machine counts the same."""
    out = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--toggle-collect={function}",
         f"--callgrind-out-file={directory}/callgrind", os.path.join(BUILD, "bench/bench_store"),
         "--store", store, "--batch", "64", "--fill", "1280"],
        cwd=ROOT, env={**os.environ, "OPENSSL_ia32cap": "0:0"}, check=True, timeout=120,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
    return int(re.search(r"Collected : (\d+)", out)[1]) / 1280


@pytest.mark.parametrize("function, ceiling", [
    ("ingest", INGEST_INSTRUCTIONS), ("sqlite_store_write_batch", STORE_INSTRUCTIONS)])
def test_a_callback_takes_few_instructions(make_daemon, tmp_path, record_property, function,
                                           ceiling):
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed: apt-get install valgrind")
    if sanitized():
        pytest.skip("valgrind cannot run what a sanitizer has built")
    daemon = make_daemon().init()
    each = instructions_in(function, tmp_path, daemon.store)
    record_property("figures", f"{each:.0f} instructions in {function}")
    assert each <= ceiling


def test_memory_of_many_connections_is_given_back(warm, record_property):
    daemon, volleys = warm(16)

    def resident_mb():
        status = open(f"/proc/{daemon.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    before = resident_mb()
    many = Volleys(daemon, 400)
    many.round = 100
    many.play(1)
    during = resident_mb()
    assert during > before + 8, "the connections took no memory worth giving back"
    for connection in many.connections:
        connection.close()
    wait_until(lambda: resident_mb() < before + 5)
    record_property("figures", f"{before:.1f} MB, {during:.1f} with 400 more connections")
    assert volleys.play(1) == 16
