"""Everything at once: callbacks on many connections, a shell that holds the store's write lock,
scrapes, readers, reloads one after the other. Run by the sanitized daemons too: under
ThreadSanitizer this is where two threads meet."""

import json
import random
import shutil
import signal
import sqlite3
import threading
import time

from conftest import TOKEN, Connection, body_of, callback, request, sign_flat, tool

SECONDS = 2
CALLERS = 8
PATH = "/callback/shansong/" + TOKEN
STEPS = [(20, 1), (30, 1), (20, 2), (40, 1), (50, 1)]


class Load:
    """Threads that go on until they are told to stop; the first failure of any is raised."""

    def __init__(self):
        self.end = time.monotonic() + SECONDS
        self.failures = []
        self.threads = []

    def running(self):
        return time.monotonic() < self.end and not self.failures

    def start(self, work, *arguments):
        def run():
            try:
                work(self, *arguments)
            except BaseException as why:
                self.failures.append(why)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def finish(self):
        for thread in self.threads:
            thread.join(60)
        if self.failures:
            raise self.failures[0]


def deliveries(seed):
    """Bodies, and the statuses that each may be answered with when nothing stands in the way."""
    rng = random.Random(seed)
    while True:
        status, sub = rng.choice(STEPS)
        time_text = f"2025-05-30 16:{rng.randrange(60):02}:{rng.randrange(60):02}"
        members = callback(f"L{rng.randrange(40)}", status, sub, time_text,
                           courier={"id": f"C{rng.randrange(3)}"})
        kind = rng.randrange(10)
        if kind == 0:
            yield b'{"issOrderNo":', 400
        elif kind == 1:
            yield body_of({**members, "clientId": "another"}), 401
        elif kind < 5:
            yield sign_flat(members), 200
        else:
            yield body_of(members), 200


def call(load, daemon, seed, acked):
    connection = None
    for body, expected in deliveries(seed):
        if not load.running():
            break
        connection = connection or Connection(daemon.address)
        connection.send(request(PATH, body))
        reply = connection.reply()
        assert reply is not None and reply.status in (expected, 503), (body, reply)
        if reply.status == 200:
            acked.append(body)
        else:
            connection.close()
            connection = None
    if connection:
        connection.close()


def reload(load, daemon, reloads):
    while load.running():
        reloads.append(time.monotonic())
        daemon.configure(server={"admin_listen": daemon.address_of_admin,
                                 "max_body": random.choice(["32K", "64K"]),
                                 "commit_timeout": "300ms",
                                 "callback_log_rate": random.choice(["0", "1000"])})
        daemon.process.send_signal(signal.SIGHUP)
        daemon.notified("READY")


def scrape(load, daemon):
    while load.running():
        for page in "/metrics", "/readyz", "/healthz", "/nowhere":
            assert daemon.get_admin(page).status in (200, 404, 503)


def hold_the_lock(load, daemon):
    db = sqlite3.connect(daemon.store, isolation_level=None, timeout=20)
    while load.running():
        db.execute("BEGIN IMMEDIATE")
        # Past commit_timeout now and then, so that commits are given up and completed later.
        time.sleep(random.choice((0.01, 0.01, 0.4)))
        db.execute("ROLLBACK")
        time.sleep(0.2)
    db.close()


def ask(load, daemon, conf):
    """Control requests: what is refused is readmitted, and stays refused."""
    while load.running():
        assert tool("explain", "1", conf=conf).returncode in (0, 3, 4)
        assert tool("held", "readmit", "1", "2", conf=conf).returncode in (0, 1, 3, 4)


def read(load, daemon):
    while load.running():
        for command in "orders", "events", "attention", "held":
            # Not by the configuration, which is being written.
            assert tool(command, db=daemon.store).returncode in (0, 1)


def key_of(members):
    return tuple(members[name] for name in ("issOrderNo", "status", "subStatus", "statusChangeTime")
                 ) + (members["courier"]["id"],)


def test_nothing_acked_is_lost_under_everything_at_once(make_daemon, record_property):
    daemon = make_daemon()
    daemon.address_of_admin = f"unix:{daemon.dir}/admin.sock"
    daemon.configure(server={"admin_listen": daemon.address_of_admin, "commit_timeout": "300ms"})
    daemon.init().start()
    # The daemon's own is written again and again.
    conf = shutil.copy(daemon.conf, daemon.conf + ".tool")
    load = Load()
    acked = [[] for _ in range(CALLERS)]
    for i in range(CALLERS):
        load.start(call, daemon, i, acked[i])
    reloads = []
    load.start(reload, daemon, reloads)
    load.start(ask, daemon, conf)
    for work in scrape, hold_the_lock, read:
        load.start(work, daemon)
    load.finish()
    assert daemon.stop() == 0, daemon.log_text()
    acked = [json.loads(body) for one in acked for body in one]
    record_property("figures", f"{len(acked)} acked by {CALLERS} callers, {len(reloads)} reloads")
    assert len(acked) > 20 and len(reloads) > 3 and "control: " in daemon.log_text()
    # An event that came before is counted on its first delivery, whose bytes are the stored ones.
    stored = {key_of(json.loads(body)) for (body,) in daemon.rows("SELECT body FROM order_log")}
    assert {key_of(members) for members in acked} <= stored
    (deliveries_counted,), = daemon.rows("SELECT sum(deliveries) FROM order_log")
    assert deliveries_counted >= len(acked)
    assert tool("verify", conf=daemon.conf).returncode == 0
    assert tool("rejudge", conf=daemon.conf).returncode == 0
