"""More callers than the disk can serve: who is accepted is answered soon, who is not is told soon.

    tests/fault/overload.py ten-times       ten times the sustainable rate, open loop
    tests/fault/overload.py slow-sockets    5 000 connections that never finish their request
    tests/fault/overload.py retry-storm     an outage, and what was not delivered comes again

The disk is slowed down (tests/lib/preload/slow_disk.c), so the sustainable rate is known:
batch_limit callbacks for each sync. A retry storm runs with a minute of two seconds: the platform's
"every minute, at most five times" keeps its proportions. Every acknowledged event is looked for in
the store.
"""

import argparse
import collections
import json
import os
import resource
import selectors
import shutil
import socket
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))

from conftest import BUILD, TOKEN, Daemon, body_of, callback, request, wait_until  # noqa: E402

PATH = "/callback/shansong/" + TOKEN
BATCH = 4
SYNC_US = 20000
RETRIES = 5
ANSWER_S = 30


class Violation(Exception):
    """What was promised is not so."""


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * share))], 4) if values else None


class Callers:
    """Sends each callback on a connection of its own, without waiting for one to send the next."""

    def __init__(self, address):
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.done = []  # (order, status or 0, seconds from the connect to the answer, when)

    def send(self, order):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        state = [order, time.monotonic(), request(PATH, body_of(callback(order))), b""]
        try:
            sock.connect(self.address)
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            self.done.append((order, 0, 0.0, time.monotonic()))
            return
        self.selector.register(sock, selectors.EVENT_WRITE, state)

    def _finish(self, sock, state, status):
        now = time.monotonic()
        self.selector.unregister(sock)
        sock.close()
        self.done.append((state[0], status, now - state[1], now))

    def _event(self, sock, state, mask):
        try:
            if mask & selectors.EVENT_WRITE:
                sock.send(state[2])
                self.selector.modify(sock, selectors.EVENT_READ, state)
                return
            data = sock.recv(4096)
        except OSError:
            self._finish(sock, state, 0)
            return
        state[3] += data
        if not data:
            self._finish(sock, state, 0)
        elif b"\r\n\r\n" in state[3]:
            self._finish(sock, state, int(state[3][9:12]))

    def turn(self, until):
        """Looks after the connections until then, at least once."""
        while True:
            left = max(0.0, until - time.monotonic())
            for key, mask in self.selector.select(left):
                self._event(key.fileobj, key.data, mask)
            if time.monotonic() >= until:
                return

    def under_way(self):
        return len(self.selector.get_map())

    def finish(self):
        end = time.monotonic() + ANSWER_S
        while self.under_way():
            if time.monotonic() > end:
                raise Violation(f"{self.under_way()} callers got no answer in {ANSWER_S} s")
            self.turn(time.monotonic() + 0.05)


def slow_disk(sync_us):
    return {"LD_PRELOAD": os.path.join(BUILD, "tests/slow_disk.so"), "SLOW_SYNC_US": str(sync_us)}


def check_stored(daemon, acked):
    stored = collections.Counter(
        iss for (iss,) in daemon.rows("SELECT iss_order_no FROM order_log"))
    lost = [order for order in acked if not stored[order]]
    if lost:
        raise Violation(f"{len(lost)} acknowledged callbacks are not stored: {lost[:3]}")
    twice = [order for order, n in stored.items() if n > 1]
    if twice:
        raise Violation(f"{len(twice)} events are stored twice: {twice[:3]}")
    return stored


def open_loop(callers, prefix, rate, seconds):
    begin = time.monotonic()
    for i in range(int(rate * seconds)):
        callers.turn(begin + i / rate)
        callers.send(f"{prefix}-{i}")
    callers.finish()
    return time.monotonic() - begin


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmHWM")).split()[1])


def ten_times(directory, seconds=4.0):
    daemon = Daemon(directory)
    daemon.configure(store={"path": daemon.store, "batch_limit": str(BATCH)})
    daemon.init().start(env=slow_disk(SYNC_US))
    sustainable = BATCH * 1e6 / SYNC_US
    try:
        # The peak: a little more than the disk can take, so that it is never idle.
        peak = Callers(daemon.address)
        took = open_loop(peak, "peak", sustainable * 1.1, seconds / 2)
        peak_rate = sum(status == 200 for _, status, *_ in peak.done) / took
        before = resident_kib(daemon.process.pid)
        callers = Callers(daemon.address)
        took = open_loop(callers, "ten", sustainable * 10, seconds)
        grown = resident_kib(daemon.process.pid) - before
    finally:
        code = daemon.stop()
    acked = [(order, after) for order, status, after, _ in callers.done if status == 200]
    refused = [after for _, status, after, _ in callers.done if status == 503]
    check_stored(daemon, [order for order, _ in acked])
    figures = {
        "sent": len(callers.done), "accepted": len(acked), "refused": len(refused),
        "strange": len(callers.done) - len(acked) - len(refused),
        "sustainable_per_s": round(sustainable), "peak_per_s": round(peak_rate),
        "goodput_per_s": round(len(acked) / took),
        "accepted_p50_s": percentile([after for _, after in acked], 0.5),
        "accepted_max_s": percentile([after for _, after in acked], 1),
        "refused_p50_s": percentile(refused, 0.5), "refused_p99_s": percentile(refused, 0.99),
        "refused_max_s": percentile(refused, 1),
        "memory_grown_kib": grown, "lost": 0, "exit": code}
    return figures


def raise_descriptor_limit(wanted):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return f"only {hard} descriptors may be open, {wanted} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return None


def slow_sockets(directory, sockets=5000, timeout_s=30, honest=200):
    """One thread, as a daemon has it if nobody says otherwise."""
    why = raise_descriptor_limit(sockets + 1000)
    if why:
        return {"skipped": why}
    daemon = Daemon(directory)
    daemon.configure(server={"listen": "127.0.0.1:0", "connection_limit": "8192",
                             "request_timeout": f"{timeout_s}s"})
    daemon.init().start()
    slow = []
    try:
        began = time.monotonic()
        for i in range(sockets):
            sock = socket.create_connection(daemon.address, timeout=ANSWER_S)
            sock.sendall((b"POST /callback", request(PATH, b"", length=100))[i % 2])
            slow.append(sock)
        wait_until(lambda: daemon_descriptors(daemon) > sockets, timeout_s)
        opened = time.monotonic() - began
        callers = Callers(daemon.address)
        for i in range(honest):
            callers.send(f"honest-{i}")
            callers.turn(time.monotonic() + 0.001)
        callers.finish()
        grown = resident_kib(daemon.process.pid)
        # None of them gets an answer, and all are closed when request_timeout has passed.
        wait_until(lambda: daemon_descriptors(daemon) < 100, timeout_s + ANSWER_S)
        closed = time.monotonic() - began
    finally:
        for sock in slow:
            sock.close()
        code = daemon.stop()
    acked = [order for order, status, *_ in callers.done if status == 200]
    check_stored(daemon, acked)
    return {"slow": len(slow), "opened_in_s": round(opened, 2), "honest": honest,
            "acked": len(acked),
            "acked_p99_s": percentile([after for _, _, after, _ in callers.done], 0.99),
            "slow_closed_after_s": round(closed, 1), "memory_kib": grown, "exit": code}


def daemon_descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


class Platform:
    """Sends each event when it happens, and again every minute until it is stored, five times."""

    def __init__(self, daemon, rate, minute_s):
        self.daemon, self.rate, self.minute_s = daemon, rate, minute_s
        self.callers = None
        self.tries = collections.Counter()
        self.due = []  # (when, order), in order of time
        self.acked = {}
        self.lost = []
        self.made = 0
        self.next_event = time.monotonic()

    def _look(self, seen):
        for order, status, _, when in self.callers.done[seen:]:
            if status == 200:
                self.acked[order] = when
            elif self.tries[order] > RETRIES:
                self.lost.append(order)
            else:
                self.due.append((when + self.minute_s, order))

    def run(self, seconds):
        """Until then; what is due, new events and retries."""
        end = time.monotonic() + seconds
        if self.callers is None or self.callers.address != self.daemon.address:
            self.callers = Callers(self.daemon.address)
        while time.monotonic() < end:
            now = time.monotonic()
            while self.next_event <= now:
                self.due.append((self.next_event, f"event-{self.made}"))
                self.made += 1
                self.next_event += 1 / self.rate
            self.due.sort()
            while self.due and self.due[0][0] <= now:
                _, order = self.due.pop(0)
                self.tries[order] += 1
                self.callers.send(order)
            seen = len(self.callers.done)
            self.callers.turn(time.monotonic() + 0.005)
            self._look(min(seen, len(self.callers.done)))


def retry_storm(directory, minute_s=2.0, outage=4.2):
    """An outage of more than four minutes: at five, the first events have used up their retries,
    whatever the receiver does."""
    daemon = Daemon(directory)
    daemon.configure(store={"path": daemon.store, "batch_limit": "16"})
    daemon.init().start(env=slow_disk(SYNC_US))
    sustainable = 16e6 / SYNC_US
    platform = Platform(daemon, sustainable / 8, minute_s)
    try:
        platform.run(minute_s)
        daemon.stop()
        down = time.monotonic()
        platform.run(outage * minute_s)
        missing = platform.made - len(platform.acked)
        port = daemon.address[1]
        daemon.configure(server={"listen": f"127.0.0.1:{port}"},
                         store={"path": daemon.store, "batch_limit": "16"})
        daemon.start(env=slow_disk(SYNC_US))
        up = time.monotonic()
        backlog = {o for o in platform.tries if o not in platform.acked}
        while time.monotonic() < up + 10 * minute_s and backlog - set(platform.acked):
            platform.run(0.05)
        platform.callers.finish()
    finally:
        code = daemon.stop()
    check_stored(daemon, list(platform.acked))
    drained = max((platform.acked.get(o, float("inf")) for o in backlog), default=up) - up
    return {"outage_minutes": round((up - down) / minute_s, 1), "missing_at_its_end": missing,
            "events": platform.made, "retries_needed_max": max(platform.tries.values()) - 1,
            "lost": len(platform.lost), "drained_in_minutes": round(drained / minute_s, 2),
            "load_of_the_storm": round(len(backlog) / minute_s / sustainable, 2), "exit": code}


SCENARIOS = {"ten-times": ten_times, "slow-sockets": slow_sockets, "retry-storm": retry_storm}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS) + "; all of them if none")
    wanted = parser.parse_args().scenario or SCENARIOS
    unknown = [name for name in wanted if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}, only {', '.join(SCENARIOS)}")
    for name in wanted:
        directory = tempfile.mkdtemp(prefix="orderhook-overload-")
        try:
            print(name, json.dumps(SCENARIOS[name](directory)), flush=True)
        except Violation as what:
            print(f"{name}: VIOLATION: {what}", file=sys.stderr)
            return 1
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
