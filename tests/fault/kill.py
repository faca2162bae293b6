"""SIGKILL at random moments under load: acked is stored, stored was sent, each event once.

One store grows through all cycles of a lane. The harness owns the listening sockets, as systemd
would, so callers are never refused: what is sent while no daemon runs waits for the next one. A
quarter of the kills hit the start (the recovery of the log), the others the load. An event without
an answer is sent again, byte for byte, until it is answered, as the platform does.

What each check costs does not grow with the store: only the new rows are read; that no old row is
gone is looked at every hundred cycles and at the end.

    tests/fault/kill.py --cycles 1000 --seed 1
"""

import argparse
import fcntl
import json
import os
import random
import selectors
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time

import lanes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))

from conftest import BUILD, TOKEN, leaked  # noqa: E402

STEPS = ((20, 1), (30, 1), (40, 1), (50, 1), (60, None))
FULL_CHECK_CYCLES = 100
HANG_S = 20

CONF = """[server]
listen = 127.0.0.1:1
admin_listen = 127.0.0.1:2
[store]
path = {dir}/orderhook.db
environment = test
[endpoint shansong]
platform = shansong
path = /callback/shansong
token = file:{dir}/token
client_id = clientId
shop_ids = shopId
signature = off
"""


class Violation(Exception):
    """The promise is broken: what was acknowledged and is not there, or is there twice."""


def body_of(order, step):
    status, sub = STEPS[step]
    members = {"issOrderNo": order, "orderNo": "m-" + order, "status": status, "subStatus": sub,
               "statusChangeTime": f"2025-05-30 16:55:{10 + step}", "clientId": "clientId",
               "shopId": "shopId", "statusDesc": "x" * (len(order) * 37 % 300)}
    return json.dumps(members, separators=(",", ":")).encode()


class Ledger:
    """What was sent and what was acknowledged, and the comparison with the store."""

    def __init__(self, path):
        self.path = path
        self.sent = {}  # (order, status): body
        self.acked = 0
        self.unchecked = []  # acknowledged since the last check
        self.stored = {}  # (order, status): event_id
        self.last_id = 0
        self.in_doubt = self.lost = self.duplicated = self.forged = 0

    def figures(self):
        return {"sent": len(self.sent), "acked": self.acked, "stored": len(self.stored),
                "in_doubt": self.in_doubt, "lost": self.lost, "duplicated": self.duplicated,
                "forged": self.forged}

    def check(self):
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=HANG_S)
        try:
            rows = db.execute("SELECT event_id, iss_order_no, status, body FROM order_log"
                              " WHERE event_id > ? ORDER BY event_id", (self.last_id,)).fetchall()
        finally:
            db.close()
        wrong = []
        for event_id, order, status, body in rows:
            key = (order, status)
            if self.sent.get(key) != bytes(body):
                self.forged += 1
                wrong.append(f"event {event_id} {key} was never sent like this")
            if key in self.stored:
                self.duplicated += 1
                wrong.append(f"{key} is stored twice: {self.stored[key]} and {event_id}")
            self.stored[key] = event_id
            self.last_id = event_id
        lost = [key for key in self.unchecked if key not in self.stored]
        if lost:
            self.lost += len(lost)
            wrong.append(f"{len(lost)} acknowledged events are not stored, the first: {lost[0]}")
        self.unchecked.clear()
        if wrong:
            raise Violation(wrong[0])

    def check_all(self):
        self.check()
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=HANG_S)
        try:
            keys = set(db.execute("SELECT iss_order_no, status FROM order_log"))
            (state,) = db.execute("PRAGMA integrity_check").fetchone()
        finally:
            db.close()
        gone = set(self.stored) - keys
        self.lost += len(gone)
        if gone:
            raise Violation(f"{len(gone)} events that were stored are gone, one: {gone.pop()}")
        if state != "ok":
            raise Violation(f"integrity_check: {state}")


class Client:
    """One caller with orders of its own, one callback at a time."""

    def __init__(self, name, address, ledger, selector):
        self.name, self.address, self.ledger, self.selector = name, address, ledger, selector
        self.n = 0
        self.socket = None
        self.next()

    def next(self):
        order = f"{self.name}-{self.n // len(STEPS)}"
        step = self.n % len(STEPS)
        self.n += 1
        body = body_of(order, step)
        self.key = (order, STEPS[step][0])
        self.ledger.sent[self.key] = body
        self.request = (f"POST /callback/shansong/{TOKEN} HTTP/1.1\r\nHost: localhost\r\n"
                        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                        ).encode() + body
        if self.socket:
            self.send()

    def connect(self):
        self.close()
        self.socket = socket.create_connection(self.address, timeout=HANG_S)
        self.selector.register(self.socket, selectors.EVENT_READ, self)
        self.send()

    def close(self):
        if self.socket:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def send(self):
        self.buffer = b""
        try:
            self.socket.sendall(self.request)
        except OSError:
            pass  # the answer will tell

    def readable(self):
        """True when an acknowledgement came."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.ledger.in_doubt += 1
            self.connect()
            return False
        self.buffer += data
        if b"\r\n\r\n" not in self.buffer or not self.buffer.endswith(b"}"):
            return False
        if not self.buffer.startswith(b"HTTP/1.1 200 "):
            self.connect()  # refused: once more, on a new connection as the reply asks for
            return False
        self.ledger.acked += 1
        self.ledger.unchecked.append(self.key)
        self.next()
        return True


class Lane:
    """One store, one daemon after the other, some callers."""

    def __init__(self, directory, seed, callers=8, conf=CONF):
        self.dir = directory
        self.random = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.listeners = []
        for _ in range(2):
            one = socket.socket()
            one.bind(("127.0.0.1", 0))
            one.listen(4096)
            one.set_inheritable(True)
            self.listeners.append(one)
        with open(os.open(f"{directory}/token", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(TOKEN)
        with open(f"{directory}/conf", "w") as f:
            f.write(conf.format(dir=directory))
        if os.spawnl(os.P_WAIT, f"{BUILD}/orderhook", "orderhook", "-c", f"{directory}/conf",
                     "init") != 0:
            raise SystemExit("kill.py: the store could not be made")
        self.log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.ledger = Ledger(f"{directory}/orderhook.db")
        address = self.listeners[0].getsockname()
        self.clients = [Client(f"L{seed}C{i}", address, self.ledger, self.selector)
                        for i in range(callers)]
        self.pid = 0
        self.first_ack_s = 0.05  # of a start; learnt
        self.kills = {"start": 0, "load": 0}

    def spawn(self):
        # LISTEN_PID is the process's own number, which the shell knows.
        environment = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:admin"}
        # From above, so that no copy lands on a descriptor that is still to be copied.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
                for fd in (self.log, *(one.fileno() for one in self.listeners))]
        self.pid = os.posix_spawn("/bin/sh", [
            "sh", "-c", 'LISTEN_PID=$$ exec "$0" -c "$1"',
            f"{BUILD}/orderhookd", f"{self.dir}/conf"], environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in zip(high, (2, 3, 4))])
        for fd in high:
            os.close(fd)

    def serve(self, until, stop_at_ack=False):
        """Plays the callers until the moment; True when something was acknowledged."""
        acked = False
        while (left := until - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                acked = key.data.readable() or acked
            if acked and stop_at_ack:
                break
        return acked

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        if not os.WIFSIGNALED(status):
            raise Violation(f"the daemon ended by itself with {os.waitstatus_to_exitcode(status)}:"
                            f" {self.tail()}")
        # Answers that were under way count; nobody is answered any more.
        while (ready := self.selector.select(0)):
            before = self.ledger.in_doubt
            for key, _ in ready:
                key.data.readable()
            if self.ledger.in_doubt == before and len(ready) == 0:
                break

    def tail(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return f.read()[-800:]

    def check_log(self):
        """Nothing of the token or of a person in what all the daemons of the lane said."""
        with open(f"{self.dir}/log", "rb") as f:
            found = leaked(f.read())
        if found:
            raise Violation(f"the log has {found[:3]}")

    def live(self, wait_served, spend, load_s):
        """Starts a daemon that is to be killed now: a quarter of them in the start, the others in
        the load; then true. spend(seconds) lets time pass."""
        began = time.monotonic()
        self.spawn()
        if self.random.random() < 0.25:
            self.kills["start"] += 1
            spend(self.random.random() * self.first_ack_s)
            return False
        self.kills["load"] += 1
        wait_served()
        self.first_ack_s += (time.monotonic() - began - self.first_ack_s) / 10
        spend(self.random.random() * load_s)
        return True

    def wait_ack(self):
        if not self.serve(time.monotonic() + HANG_S, stop_at_ack=True):
            raise Violation(f"nothing was acknowledged within {HANG_S} s: {self.tail()}")

    def cycle(self):
        # Beside the daemon, or below after its end: then this reader recovers the log.
        if self.live(self.wait_ack, lambda seconds: self.serve(time.monotonic() + seconds), 0.012) \
                and self.random.random() < 0.5:
            self.ledger.check()
        self.kill()
        if self.random.random() < 0.5:
            self.ledger.check()

    def run(self, cycles):
        for client in self.clients:
            client.connect()
        for n in range(1, cycles + 1):
            self.cycle()
            if n % FULL_CHECK_CYCLES == 0:
                self.ledger.check_all()
        self.ledger.check_all()
        self.check_log()
        return {"cycles": cycles, **{f"killed_in_{k}": v for k, v in self.kills.items()},
                **self.ledger.figures()}

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for client in self.clients:
            client.close()
        for one in self.listeners:
            one.close()
        os.close(self.log)


def run_lane(seed, cycles, base):
    """The figures; "violations" says what broke the promise."""
    directory = tempfile.mkdtemp(prefix="orderhook-kill-", dir=base)
    lane = Lane(directory, seed)
    try:
        return lane.run(cycles)
    except Violation as why:
        return {"violations": [str(why)], **lane.ledger.figures()}
    finally:
        lane.close()
        shutil.rmtree(directory, ignore_errors=True)


def run(cycles, seed, n_lanes=2, base=None):
    """A store and a part of the cycles for each lane; the sum of their figures."""
    return lanes.run(range(n_lanes), lambda lane: run_lane(seed + lane, cycles // n_lanes, base))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--lanes", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    figures = run(options.cycles, options.seed, options.lanes)
    figures["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps({"harness": "kill", "seed": options.seed, **figures}))
    return 1 if "violations" in figures else 0


if __name__ == "__main__":
    sys.exit(main())
