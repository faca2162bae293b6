"""A kill, or a failure, at every system call that the daemon makes.

First the calls are enumerated: strace watches one start, one request from its arrival to the ack,
one duplicate, one request that is preceded by a checkpoint, one stop. Then, for each call of each
thread, the same is done once more with a SIGKILL on entry of that call (`kill`), or with the call
failing once with each errno that fits it (`fail`).

Whatever happens: what was acknowledged is stored, once; the daemon answers or closes within five
seconds; it serves on or exits with 0, 74 or 78 within five seconds, and never by a signal that we
did not send; a start afterwards recovers, and the platform's retry is acknowledged.

A failing call is not carried out, so calls that cannot fail without effect in a real kernel are
left alone: futex (a wake-up would be lost), eventfds, unlocking, close, munmap, brk (it fails by
returning what was, which strace cannot say), epoll_ctl (adding can fail, removing cannot, and
strace cannot tell them apart), restart_syscall (the kernel's own), and the calls that never fail,
madvise and the signal masks among them.

A daemon that serves on after a failed call has as many open descriptors as before. Built with
AddressSanitizer it is stopped at the end, so that what it leaked in memory makes it end with 1.

    tests/fault/inject.py kill
    tests/fault/inject.py fail --sample 60 --seed 1
"""

import argparse
import collections
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import lanes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))

from conftest import Daemon, TOKEN, body_of, callback, request, wait_until  # noqa: E402

PATH = "/callback/shansong/" + TOKEN
LIMIT_S = 5
FRESH_POINTS = 200  # then a new store, since every check reads all of it
CHECKPOINT_BYTES = 32 + 1000 * (4096 + 24)
DISK = ("EIO", "ENOSPC")
ERRORS = {
    "openat": ("EIO", "EMFILE", "ENOSPC"), "read": ("EIO", "EINTR"), "pread64": ("EIO", "EINTR"),
    "write": ("EIO", "ENOSPC", "EAGAIN"), "pwrite64": ("EIO", "ENOSPC", "EINTR"),
    "fdatasync": DISK, "fsync": DISK, "ftruncate": DISK, "fallocate": DISK, "unlink": ("EIO",),
    "newfstatat": ("EIO", "ENOMEM"), "fstat": ("EIO",), "lseek": ("EIO",), "fchown": ("EIO",),
    "access": ("EIO",), "readlink": ("EIO",), "getcwd": ("ENOMEM",), "getdents64": ("EIO",),
    "fcntl": ("EIO", "EAGAIN", "EINTR"), "flock": ("EIO", "EINTR", "EAGAIN"),
    "mmap": ("ENOMEM",), "mremap": ("ENOMEM",), "mprotect": ("ENOMEM",),
    "clone3": ("EAGAIN", "ENOMEM"), "clone": ("EAGAIN",), "eventfd2": ("EMFILE", "ENOMEM"),
    "pipe2": ("EMFILE",), "getrandom": ("EINTR", "EAGAIN"),
    "rt_sigtimedwait": ("EINTR", "EAGAIN"), "clock_nanosleep": ("EINTR",),
    "epoll_wait": ("EINTR",), "poll": ("EINTR",), "epoll_create1": ("EMFILE", "ENOMEM"),
    "ioctl": ("EIO",),
    "socket": ("EMFILE", "ENOMEM"), "bind": ("ENOMEM",), "listen": ("ENOMEM",),
    "connect": ("EAGAIN",), "accept4": ("EMFILE", "EAGAIN", "EINTR", "ENOMEM"),
    "getsockname": ("ENOBUFS",), "getsockopt": ("ENOBUFS",), "setsockopt": ("ENOMEM",),
    "recvfrom": ("EAGAIN", "EINTR", "EIO"), "recvmsg": ("EAGAIN", "EIO"),
    "sendto": ("EAGAIN", "EINTR", "EIO"), "sendmsg": ("EAGAIN", "EINTR", "EIO"),
    "writev": ("EAGAIN", "EIO"), "shutdown": ("ENOTCONN",),
}
THREADS = ("main", "writer", "admin", "http")  # in the order in which they are made
PHASES = ("start", "request", "duplicate", "checkpoint", "stop")

Point = collections.namedtuple("Point", "phase thread call when error")


class Violation(Exception):
    pass


class SetAside(Exception):
    """The point says nothing about the daemon."""


def can_trace():
    """None, or why strace cannot watch a process of ours."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else "strace may not trace here: " + done.stderr.strip()


class Bench:
    """A store, the daemon on it, what was acknowledged, and what is wrong with it."""

    def __init__(self, directory):
        # An address of its own, known beforehand: what tells the port may be what is made to fail.
        # Of no other lane, and no caller's: between two daemons any of them could take the port.
        pid = os.getpid()
        with socket.socket() as free:
            free.bind((f"127.{1 + (pid >> 16)}.{pid >> 8 & 255}.{pid & 255}", 0))
            address = free.getsockname()
        self.daemon = Daemon(directory, server={
            "listen": "%s:%d" % address, "commit_timeout": "3s", "request_timeout": "4s"})
        self.daemon.address = address
        self.daemon.init()
        self.acked = set()
        self.in_doubt = self.lost = self.duplicated = 0
        self.hit = True  # the last point came to pass
        self.n = 0
        self.running = False

    def start(self):
        if not self.running:
            self.daemon.start()
            self.running = True

    def ended(self):
        """Takes note of an end: its exit code."""
        self.running = False
        self.daemon.stop()
        return self.daemon.process.returncode

    def post(self, key, size=0, deadline_s=LIMIT_S):
        """The status, or None when the daemon closed; an answer must come in time."""
        body = body_of(callback(key, ballast="x" * size))
        try:
            connection = self.daemon.connect()
        except OSError:
            return None
        connection.sock.settimeout(deadline_s)
        try:
            connection.send(request(PATH, body))
            reply = connection.reply()
        except TimeoutError:
            raise Violation(f"neither an answer nor a close within {deadline_s} s")
        except OSError:
            reply = None
        finally:
            connection.close()
        if reply and reply.status == 200:
            self.acked.add(key)
        self.in_doubt += reply is None
        return reply and reply.status

    def new_key(self):
        self.n += 1
        return f"K{self.n}"

    def check(self):
        rows = self.daemon.rows("SELECT iss_order_no, count(*) FROM order_log GROUP BY 1")
        counts = dict(rows)
        lost = self.acked - set(counts)
        twice = [key for key, n in rows if n != 1]
        self.lost += len(lost)
        self.duplicated += len(twice)
        if lost:
            raise Violation(f"acknowledged and not stored: {sorted(lost)}")
        if twice:
            raise Violation(f"stored more than once: {twice}")
        return counts

    def fill_log(self):
        """So that the next batch is preceded by a checkpoint."""
        while os.path.getsize(self.daemon.store + "-wal") < CHECKPOINT_BYTES:
            if self.post(self.new_key(), 60000) != 200:
                raise Violation("the log could not be filled")

    def empty_log(self):
        """The log is as long as it ever was until a clean stop; the harness needs it short."""
        if self.running:
            self.daemon.stop()
            self.running = False
        self.start()

    def expect_descriptors(self, before):
        try:
            wait_until(lambda: self.daemon.descriptors() <= before, LIMIT_S)
        except AssertionError:
            raise Violation(f"{self.daemon.descriptors() - before} descriptors were left open")

    def close(self):
        """Of a daemon whose points are all done; a leak is found by the sanitizer now."""
        if self.running and self.daemon.stop() != 0:
            raise Violation(f"it was stopped and ended with {self.daemon.process.returncode}")

    def throw_away(self):
        self.running = False
        self.daemon.stop(signal.SIGKILL)


# ---------------------------------------------------------------------- strace ---------

class Strace:
    """Attached to one thread, or to all of them."""

    def __init__(self, bench, thread, *expressions):
        pid = bench.daemon.process.pid
        tids = sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
        target = tids[THREADS.index(thread)] if thread else pid
        self.path = os.path.join(bench.daemon.dir, "strace")
        arguments = [a for e in expressions for a in ("-e", e)]
        self.process = subprocess.Popen(
            ["strace", "-y", *([] if thread else ["-f"]), "-p", str(target), "-o", self.path,
             *arguments], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

        def attached():
            # The last thread of all, so that every one is watched. What the daemon does by itself
            # every second may already have met its end.
            try:
                with open(f"/proc/{pid}/task/{target if thread else tids[-1]}/status") as f:
                    return f"TracerPid:\t{self.process.pid}" in f.read()
            except (FileNotFoundError, ProcessLookupError):
                return True
            finally:
                if self.process.poll():
                    raise Violation(f"strace: {self.process.stderr.read().decode()}")
        wait_until(attached)

    def detach(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT_S)
        with open(self.path, errors="replace") as f:
            return f.read()


def calls_of(trace):
    """Per thread, how often each call was made, and which of them never fail."""
    counts = collections.defaultdict(collections.Counter)
    sure = set()
    for line in trace.splitlines():
        made = re.match(r"(\d+)\s+([a-z]\w+)\((\d+<anon_inode:\[eventfd|.*F_UNLCK)?", line)
        if made:
            tid, call = int(made.group(1)), made.group(2)
            counts[tid][call] += 1
            if made.group(3):
                sure.add((tid, call, counts[tid][call]))
    return counts, sure


def act(bench, phase, key):
    """What is done in a phase; the status of a request."""
    if phase == "stop":
        bench.daemon.process.send_signal(signal.SIGTERM)
        return None
    return bench.post(key)


def prepare(bench, phase):
    """Brings the daemon to where the phase begins; the key of the request."""
    if phase in ("request", "checkpoint"):
        bench.empty_log()  # a new daemon: one that has served before makes fewer calls
    if phase == "checkpoint":
        bench.fill_log()
    bench.start()
    key = bench.new_key()
    if phase == "duplicate" and bench.post(key) != 200:
        raise Violation("a healthy daemon did not acknowledge")
    return key


def enumerate_attached(bench, phase):
    """(thread, call, which of them) of one request or stop."""
    key = prepare(bench, phase)
    tids = sorted(int(tid) for tid in os.listdir(f"/proc/{bench.daemon.process.pid}/task"))
    strace = Strace(bench, None, "trace=all")
    status = act(bench, phase, key)
    if phase == "stop":
        bench.daemon.wait_exit(LIMIT_S)
        bench.ended()
    elif status != 200:
        raise Violation(f"a watched daemon answered {status}")
    counts, sure = calls_of(strace.detach())
    return [(THREADS[tids.index(tid)], call, n) for tid in tids if tid in counts
            for call, last in sorted(counts[tid].items()) for n in range(1, last + 1)
            if (tid, call, n) not in sure]


def enumerate_start(bench):
    """(thread, call, which of them) from main on: the loader's calls are not ours."""
    bench.empty_log()
    bench.daemon.stop()
    path = os.path.join(bench.daemon.dir, "strace")
    bench.daemon.start(wrap=("strace", "-D", "-f", "-y", "-o", path))
    bench.daemon.stop(signal.SIGKILL)
    bench.running = False
    wait_until(lambda: "killed by SIGKILL" in open(path, errors="replace").read())
    trace = open(path, errors="replace").read()
    before, _, after = trace.partition(bench.daemon.conf + '", O_RDONLY')
    if not after:
        raise Violation("the configuration is never opened")
    main = int(trace.split()[0])
    # The call that the partition cuts off is the first one of after.
    early = calls_of(before[:before.rindex("\n") + 1])[0][main]
    counts, sure = calls_of(trace)
    return [("main", call, n) for call, last in sorted(counts[main].items())
            for n in range(early[call] + 1, last + 1) if (main, call, n) not in sure]


def points(bench, mode, phases):
    """Every point of these phases at which something can be injected."""
    found = []

    def errors(call):
        return ("KILL",) if mode == "kill" else ERRORS.get(call, ())

    for phase in phases:
        calls = enumerate_start(bench) if phase == "start" else enumerate_attached(bench, phase)
        # strace counts each thread's calls by themselves, and would fail an eventfd's, too.
        # What the main thread waits for comes round by itself and is no part of a request.
        found += [Point(phase, *call, error) for call in calls for error in errors(call[1])
                  if (phase, call[1]) != ("start", "write")
                  and not (mode == "kill" and call[1] == "rt_sigtimedwait")]
    return found


# ---------------------------------------------------------------------- one point ------

def inject_of(point):
    what = "signal=KILL" if point.error == "KILL" else f"error={point.error}"
    return f"trace={point.call}", f"inject={point.call}:{what}:when={point.when}"


def wait_end(bench, allowed):
    """The exit code of a daemon that must end now."""
    try:
        bench.daemon.wait_exit(LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Violation(f"it did not end within {LIMIT_S} s")
    code = bench.ended()
    if code not in allowed:
        raise Violation(f"it ended with {code}, allowed are {sorted(allowed)}")
    return code


def serves_or_ends(bench, allowed):
    """After a fault the daemon acknowledges again within five seconds, or has given up."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if bench.daemon.process.poll() is not None:
            return f"exit {wait_end(bench, allowed)}"
        if bench.post(bench.new_key()) == 200:
            return "served on"
        time.sleep(0.05)
    raise Violation(f"alive, and nothing acknowledged for {LIMIT_S} s")


def run_start(bench, point):
    if bench.running:
        bench.daemon.stop()
    path = os.path.join(bench.daemon.dir, "strace")
    arguments = [a for e in inject_of(point) for a in ("-e", e)]
    bench.daemon.start(wait=False, wrap=("strace", "-D", "-f", "-y", "-o", path, *arguments))
    bench.running = True
    killed = {-signal.SIGKILL} if point.error == "KILL" else set()
    outcome = serves_or_ends(bench, {74, 78} | killed)
    if bench.running:
        bench.empty_log()  # strace follows this daemon to its end: the next one is our own
    with open(path, errors="replace") as f:
        bench.hit = "(INJECTED)" in f.read()
    return outcome


def run_attached(bench, point):
    key = prepare(bench, point.phase)
    strace = Strace(bench, point.thread, *inject_of(point))
    killed = {-signal.SIGKILL} if point.error == "KILL" else set()
    descriptors = bench.daemon.descriptors()
    try:
        status = act(bench, point.phase, key)
        if point.phase == "stop":
            return f"exit {wait_end(bench, {0, 74} | killed)}"
        outcome = serves_or_ends(bench, {74} | killed)
        if bench.running and point.error != "KILL":
            bench.expect_descriptors(descriptors)
        return f"{status or 'closed'}, {outcome}"
    finally:
        trace = strace.detach()
        bench.hit = "(INJECTED)" in trace or "killed by SIGKILL" in trace
        # A kill may come behind the last answer, and takes its time.
        if "killed by SIGKILL" in trace and bench.running:
            bench.daemon.wait_exit(LIMIT_S)
        # Nothing of what was acked may depend on the process's memory; a retry must be taken.
        if bench.daemon.process.poll() is not None and bench.running:
            bench.ended()


def try_point(bench, point):
    outcome = run_start(bench, point) if point.phase == "start" else run_attached(bench, point)
    bench.check()
    if not bench.running:
        bench.start()
        key = f"K{bench.n}"
        if bench.post(key) != 200:
            raise Violation("the retry after a restart was not acknowledged")
        bench.check()
    return outcome


def hit_sure_call(bench):
    """True when another call was hit as well or instead, one that never fails: by what the daemon
    did meanwhile, or because strace counts each thread's calls of a start by themselves."""
    with open(os.path.join(bench.daemon.dir, "strace"), errors="replace") as f:
        hit = [line for line in f if "(INJECTED)" in line]
    return any("F_UNLCK" in line or "eventfd" in line for line in hit)


def run_point(bench, point):
    """The outcome in words; a Violation when the promise is broken."""
    try:
        return try_point(bench, point)
    except (Violation, AssertionError):
        if hit_sure_call(bench):
            raise SetAside("set aside: the call hit cannot fail")
        raise


def choose(all_points, sample, seed):
    """A sample that has every (phase, call, error) before it has one of them twice."""
    order = random.Random(seed)
    shuffled = order.sample(all_points, len(all_points))
    seen = set()
    first, rest = [], []
    for point in shuffled:
        kind = (point.phase, point.call, point.error)
        (rest if kind in seen else first).append(point)
        seen.add(kind)
    return (first + rest)[:sample]


def run_points(some, make_bench, one_point, tell=None):
    """Figures of these points, one after the other on one store, after a violation on a new one.
    one_point(bench, point) returns the outcome in words, or raises what broke the promise."""
    figures = {"runs": 0, "reached": 0, "acked": 0, "in_doubt": 0, "lost": 0, "duplicated": 0,
               "violations": []}
    outcomes = collections.Counter()
    directory = tempfile.mkdtemp(prefix="orderhook-fail-")
    bench = make_bench(directory)

    def add_up():
        """Of this store; what is left of its daemon is looked at last."""
        figures["acked"] += len(bench.acked)
        for name in ("in_doubt", "lost", "duplicated"):
            figures[name] += getattr(bench, name)
        try:
            bench.close()
        except (Violation, AssertionError) as why:
            figures["violations"].append(f"at the end: {why}")
        bench.throw_away()
        shutil.rmtree(directory, ignore_errors=True)

    try:
        for point in some:
            figures["runs"] += 1
            fresh = figures["runs"] % FRESH_POINTS == 0
            try:
                outcome = one_point(bench, point)
                outcomes[outcome] += 1
                figures["reached"] += bench.hit
            except SetAside as why:
                outcome = str(why)
                outcomes[outcome] += 1
                bench.throw_away()
                fresh = True
            except (Violation, AssertionError, OSError) as why:
                outcome = f"VIOLATION {why}"
                figures["violations"].append(f"{' '.join(map(str, point))}: {why}")
                bench.throw_away()
                fresh = True
            if tell:
                tell(f"{' '.join(map(str, point))}: {outcome}")
            if fresh:
                add_up()
                os.mkdir(directory)
                bench = make_bench(directory)
    finally:
        add_up()
    return {**figures, "outcomes": dict(outcomes)}


def enumerate_points(make_bench, find):
    """What find(bench) returns, on a store that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="orderhook-fail-") as directory:
        bench = make_bench(directory)
        try:
            return find(bench)
        finally:
            bench.throw_away()


def share_of(everything, share):
    """How many of them to take, as a sample's size."""
    return max(1, int(len(everything) * share))


def run(mode, sample=0, share=1.0, seed=1, phases=None, n_lanes=1, tell=None):
    """Figures; "violations" names each point that broke the promise. The sample, or without it the
    share of all points."""
    phases = phases or (("request",) if mode == "kill" else PHASES)
    everything = enumerate_points(Bench, lambda bench: points(bench, mode, phases))
    chosen = choose(everything, sample or share_of(everything, share), seed)
    figures = lanes.run([chosen[i::n_lanes] for i in range(n_lanes)],
                        lambda some: run_points(some, Bench, run_point, tell))
    return {"points": len(everything), **figures}


def add_options(parser):
    """What the harnesses that go from point to point have in common."""
    parser.add_argument("--sample", type=int, default=0, help="so many points; 0: every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=os.cpu_count(), help="so many at a time")
    parser.add_argument("-v", action="store_true", help="a line for each point")


def tell_point(line):
    print(line, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mode", choices=("kill", "fail"))
    parser.add_argument("--phase", action="append", choices=PHASES)
    add_options(parser)
    options = parser.parse_args()
    if can_trace():
        print("inject.py: " + can_trace(), file=sys.stderr)
        return 2
    began = time.monotonic()
    figures = run(options.mode, options.sample, seed=options.seed, phases=options.phase,
                  n_lanes=options.lanes, tell=tell_point if options.v else None)
    print(json.dumps({"harness": "inject " + options.mode, "seed": options.seed, **figures,
                      "seconds": round(time.monotonic() - began, 1)}))
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
