"""Every allocation of the daemon failed once, and from then on: start, request, duplicate, stop.

tests/fault/fail_alloc.c is preloaded into the real daemon, counts allocations of every thread and
library, and fails the one that the plan names; the plan is a file that both map. Numbers are
counted from where the phase begins. Threads allocate in any order, so a number is a moment, not a
place.

As in inject.py: what was acknowledged is stored, once; an answer or a close within five seconds; no
end by a signal; with memory back the daemon serves within five seconds, or it has ended with 0, 74
or 78 and the next start takes the retry.

A start may end by SIGSEGV inside OpenSSL's own initialisation (3.0 uses a lock that it had no
memory to make). It is counted, and allowed only before the daemon is ready: nothing was
acknowledged yet.

    tests/fault/alloc.py --sample 40 --seed 1
"""

import argparse
import collections
import json
import mmap
import os
import random
import signal
import struct
import sys
import time

import inject
import lanes
from inject import Bench, Violation, serves_or_ends, wait_end

PRELOAD = os.path.join(inject.ROOT, os.environ.get("ORDERHOOK_BUILD", "build"),
                       "tests/fail_alloc.so")
PHASES = ("start", "request", "duplicate", "stop")
PLAN_BYTES = 40  # seen, fail_at, onwards, failed, live

Point = collections.namedtuple("Point", "phase n onwards")


class Plan:
    """The memory that the preloaded library counts in."""

    def __init__(self, path):
        with open(path, "wb") as f:
            f.write(bytes(PLAN_BYTES))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), PLAN_BYTES)

    def get(self, i):
        return struct.unpack_from("q", self.map, 8 * i)[0]

    def arm(self, n, onwards):
        """The n-th allocation from now on fails."""
        struct.pack_into("q", self.map, 16, onwards)
        struct.pack_into("q", self.map, 8, self.get(0) + n)

    def disarm(self):
        struct.pack_into("q", self.map, 8, 0)

    def restart(self):
        """A new process counts from the beginning."""
        self.map[:] = bytes(PLAN_BYTES)


class AllocBench(Bench):
    """A daemon with the library in it, whatever phase is under test."""

    def __init__(self, directory):
        super().__init__(directory)
        self.path = os.path.join(directory, "plan")
        self.plan = Plan(self.path)

    def log_length(self):
        return os.path.getsize(self.daemon.log) if os.path.exists(self.daemon.log) else 0

    def said_ready(self):
        with open(self.daemon.log, "rb") as f:
            f.seek(self.log_at)
            return b" ready: " in f.read()

    def spawn(self, wait):
        self.daemon.start(wait=wait, env={"LD_PRELOAD": PRELOAD,
                                          "ORDERHOOK_ALLOC_PLAN": self.path})
        self.running = True

    def start(self):
        if not self.running:
            self.plan.restart()
            self.spawn(wait=True)


def act(bench, phase, key):
    if phase == "stop":
        bench.daemon.process.send_signal(signal.SIGTERM)
        return
    bench.post(key)
    if phase == "duplicate":
        bench.post(key)


def prepare(bench, phase):
    bench.start()
    key = bench.new_key()
    if phase == "duplicate" and bench.post(key) != 200:
        raise Violation("a healthy daemon did not acknowledge")
    return key


def count(bench, phase):
    """How many allocations the phase makes."""
    if phase == "start":
        if bench.running:
            bench.daemon.stop()
            bench.running = False
        bench.start()
        return bench.plan.get(0)
    key = prepare(bench, phase)
    before = bench.plan.get(0)
    act(bench, phase, key)
    if phase == "stop":
        bench.daemon.wait_exit(inject.LIMIT_S)
        bench.ended()
    return bench.plan.get(0) - before


def run_start(bench, point):
    if bench.running:
        bench.daemon.stop()
        bench.running = False
    bench.plan.restart()
    bench.plan.arm(point.n, point.onwards)
    bench.spawn(wait=False)
    allowed = {74, 78}
    if point.onwards:
        # Refused for want of memory, or serving nothing until it is back.
        end = time.monotonic() + inject.LIMIT_S
        while bench.daemon.process.poll() is None and time.monotonic() < end \
                and not bench.said_ready():
            bench.post(bench.new_key(), deadline_s=1)
        bench.plan.disarm()
    if not bench.said_ready():
        allowed.add(-signal.SIGSEGV)
    outcome = serves_or_ends(bench, allowed)
    bench.plan.disarm()
    if outcome == f"exit {-signal.SIGSEGV}":
        return "died in OpenSSL's beginning"
    return outcome


def run_running(bench, point):
    key = prepare(bench, point.phase)
    descriptors = bench.daemon.descriptors()
    bench.plan.arm(point.n, point.onwards)
    try:
        act(bench, point.phase, key)
        if point.phase == "stop":
            return f"exit {wait_end(bench, {0, 74})}"
        bench.plan.disarm()
        outcome = serves_or_ends(bench, {74})
        if bench.running:
            bench.expect_descriptors(descriptors)
        return outcome
    finally:
        bench.plan.disarm()


def run_point(bench, point):
    bench.log_at = bench.log_length()
    failed = 0 if point.phase == "start" else bench.plan.get(3)
    outcome = (run_start if point.phase == "start" else run_running)(bench, point)
    bench.hit = bench.plan.get(3) > failed
    bench.check()
    if not bench.running:
        bench.start()
        if bench.post(f"K{bench.n}" if bench.n else bench.new_key()) != 200:
            raise Violation("the retry after a restart was not acknowledged")
        bench.check()
    return outcome


def points(bench, phases):
    return [Point(phase, n, onwards) for phase in phases
            for n in range(1, count(bench, phase) + 1) for onwards in (0, 1)]


def choose(everything, sample, seed):
    """As many of each phase, however many it has; without a sample all of them, in an order of
    chance, so that lanes have equal parts."""
    order = random.Random(seed)
    if not sample:
        return order.sample(everything, len(everything))
    chosen = []
    for phase in PHASES:
        of_phase = [p for p in everything if p.phase == phase]
        chosen += order.sample(of_phase, min(len(of_phase), sample // len(PHASES)))
    return chosen


def run(sample=0, share=1.0, seed=1, phases=PHASES, n_lanes=1, tell=None):
    """Figures; "violations" names each point that broke the promise. The sample, or without it the
    share of all points."""
    everything = inject.enumerate_points(AllocBench, lambda bench: points(bench, phases))
    chosen = choose(everything, sample, seed)
    if not sample:
        chosen = chosen[:inject.share_of(everything, share)]
    figures = lanes.run([chosen[i::n_lanes] for i in range(n_lanes)],
                        lambda some: inject.run_points(some, AllocBench, run_point, tell))
    return {"points": len(everything), **figures}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--phase", action="append", choices=PHASES)
    inject.add_options(parser)
    options = parser.parse_args()
    began = time.monotonic()
    figures = run(options.sample, seed=options.seed, phases=options.phase or PHASES,
                  n_lanes=options.lanes, tell=inject.tell_point if options.v else None)
    print(json.dumps({"harness": "alloc daemon", "seed": options.seed, **figures,
                      "seconds": round(time.monotonic() - began, 1)}))
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
