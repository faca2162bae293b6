"""More callers than the disk can serve: who is accepted is answered soon, who is not is told soon.

    tests/fault/overload.py ten-times       ten times the sustainable rate, open loop
    tests/fault/overload.py slow-sockets    5 000 connections that send or read too little
    tests/fault/overload.py retry-storm     an outage, and what was not delivered comes again

The disk is slowed down (tests/lib/preload/slow_disk.c), so the sustainable rate is known:
batch_limit callbacks for each sync. A retry storm runs with a minute of thirty seconds: the
platform's "every minute, at most five times" keeps its proportions. Every acknowledged event is
looked for in the store. Ends with 77 when something could not be tested on this machine.
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
NOT_TESTED = 77


class Violation(Exception):
    """What was promised is not so."""


class CannotRun(Exception):
    """This machine does not let it be tested; says what to change."""


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * share))], 4) if values else None


class Callers:
    """Sends each callback on a connection of its own, without waiting for one to send the next."""

    def __init__(self, address):
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.done = []  # (order, status or 0, seconds from the connect to the answer, when)
        self.looked = None
        self.absent_s = 0.0  # the longest time in which nobody looked at the sockets

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
            now = time.monotonic()
            self.absent_s = max(self.absent_s, now - (self.looked or now))
            ready = self.selector.select(max(0.0, until - now))
            self.looked = time.monotonic()
            for key, mask in ready:
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
    """Returns how many were acknowledged in each second of the sending: what is answered after it
    would count without its time."""
    begin = time.monotonic()
    for i in range(int(rate * seconds)):
        callers.turn(begin + i / rate)
        callers.send(f"{prefix}-{i}")
    end = time.monotonic()
    callers.finish()
    return sum(status == 200 and when <= end for _, status, _, when in callers.done) / (end - begin)


def memory_kib(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith(name + ":")).split()[1])


def ten_times(directory, seconds=4.0):
    daemon = Daemon(directory)
    daemon.configure(store={"path": daemon.store, "batch_limit": str(BATCH)})
    daemon.init().start(env=slow_disk(SYNC_US))
    sustainable = BATCH * 1e6 / SYNC_US
    try:
        # The peak: a little more than the disk can take, so that it is never idle.
        measured = open_loop(Callers(daemon.address), "peak", sustainable * 1.1, seconds)
        before = memory_kib(daemon.process.pid, "VmHWM")
        callers = Callers(daemon.address)
        goodput = open_loop(callers, "ten", sustainable * 10, seconds)
        grown = memory_kib(daemon.process.pid, "VmHWM") - before
    finally:
        code = daemon.stop()
    acked = [(order, after) for order, status, after, _ in callers.done if status == 200]
    refused = [after for _, status, after, _ in callers.done if status == 503]
    check_stored(daemon, [order for order, _ in acked])
    return {
        "sent": len(callers.done), "accepted": len(acked), "refused": len(refused),
        "strange": len(callers.done) - len(acked) - len(refused),
        "sustainable_per_s": round(sustainable), "measured_peak_per_s": round(measured, 1),
        "peak_per_s": round(max(measured, sustainable), 1), "goodput_per_s": round(goodput, 1),
        "accepted_p50_s": percentile([after for _, after in acked], 0.5),
        "accepted_max_s": percentile([after for _, after in acked], 1),
        "refused_p50_s": percentile(refused, 0.5), "refused_p99_s": percentile(refused, 0.99),
        "refused_p999_s": percentile(refused, 0.999), "refused_max_s": percentile(refused, 1),
        "callers_absent_max_s": round(callers.absent_s, 4),
        "memory_grown_kib": grown, "lost": 0, "exit": code}


def raise_descriptor_limit(wanted):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            # Root may.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (OSError, ValueError):
            raise CannotRun(f"NOT TESTED WITH THOUSANDS OF SOCKETS: only {hard} descriptors may be "
                            f"open here and {wanted} are needed; `ulimit -Hn {wanted}` as root, "
                            "then again") from None
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Slow:
    """Connections that keep their place for as long as they are let: each of a kind in turn."""

    KINDS = ("silent", "half a head", "no body", "dripping", "reads nothing")
    PROMISED = 60000  # bytes of a body that does not come
    ASKED = 8  # requests of one that reads nothing
    ASKED_MUCH = 4000  # of one that goes on asking all the time

    def __init__(self, address, sockets, asking_much):
        self.socks = []
        self.dripping = []  # [socket, what it has yet to send]
        self.asking = []  # the same, of those that ask for much
        self.asked = request(PATH, body_of(callback("asked")))
        for i in range(sockets):
            self._open(address, self.KINDS[i % len(self.KINDS)])
        self.reading_nothing = sockets // len(self.KINDS)
        for _ in range(asking_much):
            self.asking.append([self._open(address, "reads nothing"),
                                memoryview(self.asked * self.ASKED_MUCH)])
        self.all_asking = [sock for sock, _ in self.asking]

    def _open(self, address, kind):
        sock = socket.socket()
        sock.settimeout(ANSWER_S)
        if kind == "reads nothing":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(address)
        self.socks.append(sock)
        if kind == "half a head":
            sock.sendall(b"POST /callback")
        elif kind == "no body":
            sock.sendall(request(PATH, b"", length=self.PROMISED))
        elif kind == "dripping":
            self.dripping.append([sock, memoryview(request(PATH, b" " * self.PROMISED))])
        elif kind == "reads nothing":
            sock.sendall(self.asked * self.ASKED)
        sock.setblocking(False)
        return sock

    @staticmethod
    def _push(waiting, most):
        """Sends what is taken of each; forgets those that are done, or were closed."""
        for one in list(waiting):
            try:
                one[1] = one[1][one[0].send(one[1][:most]):]
            except BlockingIOError:
                continue
            except OSError:
                one[1] = b""
            if not one[1]:
                waiting.remove(one)

    def go_on(self):
        self._push(self.dripping, 1)
        self._push(self.asking, 1 << 20)

    def stop_asking(self):
        """They ask for what they may have, so nothing but their own end ends them."""
        self.asking.clear()
        for sock in self.all_asking:
            sock.close()

    def close(self):
        for sock in self.socks:
            sock.close()


def closed_when_time_is_up(daemon, slow, began, before, longest_s):
    """When the daemon had closed all of them. Whoever drips goes on."""
    def all_are_closed():
        slow.go_on()
        return daemon.descriptors() <= before

    try:
        wait_until(all_are_closed, longest_s)
    except AssertionError:
        raise Violation(f"{daemon.descriptors() - before} slow connections are still open "
                        f"after {time.monotonic() - began:.0f} s") from None
    return time.monotonic() - began


def slow_sockets(directory, sockets=5000, timeout_s=30, honest=200, asking_much=20):
    """One thread, as a daemon has it if nobody says otherwise."""
    raise_descriptor_limit(sockets + asking_much + 1000)
    daemon = Daemon(directory)
    daemon.configure(server={"listen": "127.0.0.1:0", "connection_limit": "8192",
                             "request_timeout": f"{timeout_s}s",
                             "keepalive_timeout": f"{timeout_s}s"})
    daemon.init().start()
    slow = None
    try:
        daemon.post(callback("asked"))
        before = memory_kib(daemon.process.pid, "VmRSS")
        descriptors = daemon.descriptors()
        began = time.monotonic()
        slow = Slow(daemon.address, sockets, asking_much)
        wait_until(lambda: daemon.descriptors() > sockets, timeout_s)
        opened = time.monotonic() - began
        callers = Callers(daemon.address)
        for i in range(honest):
            callers.send(f"honest-{i}")
            if i % 20 == 0:
                slow.go_on()
            callers.turn(time.monotonic() + 0.001)
        callers.finish()
        grown = memory_kib(daemon.process.pid, "VmHWM") - before
        slow.stop_asking()
        closed = closed_when_time_is_up(daemon, slow, began, descriptors,
                                        timeout_s + ANSWER_S)
    finally:
        if slow:
            slow.close()
        code = daemon.stop()
    acked = [order for order, status, *_ in callers.done if status == 200]
    check_stored(daemon, acked)
    (answered,), = daemon.rows("SELECT deliveries FROM order_log WHERE iss_order_no = 'asked'")
    return {"slow": len(slow.socks), "kinds": len(Slow.KINDS), "opened_in_s": round(opened, 2),
            "reading_nothing": slow.reading_nothing, "answered_unread": answered,
            "honest": honest, "acked": len(acked),
            "acked_p99_s": percentile([after for _, _, after, _ in callers.done], 0.99),
            "slow_closed_after_s": round(closed, 1), "grown_kib": grown,
            "grown_per_connection_kib": round(grown / len(slow.socks), 1), "exit": code}


class Platform:
    """Sends each event when it happens, and again every minute until it is stored, five times."""

    def __init__(self, daemon, rate, minute_s):
        self.daemon, self.rate, self.minute_s = daemon, rate, minute_s
        self.callers = None
        self.tries = collections.Counter()
        self.due = []  # (when, order), in order of time
        self.acked = {}  # {order: (when, seconds from the connect to the answer)}
        self.lost = []
        self.made = 0
        self.next_event = time.monotonic()

    def _look(self, seen):
        for order, status, after, when in self.callers.done[seen:]:
            if status == 200:
                self.acked[order] = (when, after)
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


def retry_storm(directory, minute_s=30.0, outage=4.95):
    """As long as an outage can be that loses nothing: five minutes after it began the first event
    has used up its retries, whatever the receiver does, and the daemon has to start as well."""
    daemon = Daemon(directory)
    daemon.configure(store={"path": daemon.store, "batch_limit": "16"})
    daemon.init().start(env=slow_disk(SYNC_US))
    sustainable = 16e6 / SYNC_US
    platform = Platform(daemon, sustainable / 10, minute_s)
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
        backlog = {o: n for o, n in platform.tries.items() if o not in platform.acked}
        while time.monotonic() < up + 10 * minute_s and set(backlog) - set(platform.acked):
            platform.run(0.05)
        platform.callers.finish()
    finally:
        code = daemon.stop()
    check_stored(daemon, list(platform.acked))
    waited = [platform.acked.get(o, (float("inf"), float("inf"))) for o in backlog]
    drained = max((when for when, _ in waited), default=up) - up
    return {"outage_minutes": round((up - down) / minute_s, 2), "missing_at_its_end": missing,
            "events": platform.made, "retries_needed_max": max(platform.tries.values()) - 1,
            "retries_after_it_max": max(platform.tries[o] - n for o, n in backlog.items()),
            "answered_max_s": percentile([after for _, after in waited], 1),
            "lost": len(platform.lost), "minute_s": minute_s,
            "drained_in_minutes": round(drained / minute_s, 3),
            "load_of_the_storm": round(len(backlog) / minute_s / sustainable, 2), "exit": code}


SCENARIOS = {"ten-times": ten_times, "slow-sockets": slow_sockets, "retry-storm": retry_storm}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS) + "; all of them if none")
    wanted = parser.parse_args().scenario or SCENARIOS
    unknown = [name for name in wanted if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}, only {', '.join(SCENARIOS)}")
    code = 0
    for name in wanted:
        directory = tempfile.mkdtemp(prefix="orderhook-overload-")
        try:
            print(name, json.dumps(SCENARIOS[name](directory)), flush=True)
        except Violation as what:
            print(f"{name}: VIOLATION: {what}", file=sys.stderr)
            return 1
        except CannotRun as why:
            print(f"{name}: {why}", file=sys.stderr)
            code = NOT_TESTED
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
