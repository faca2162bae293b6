"""Everything at once: callbacks through a proxy on many connections of two threads, secrets, tokens
and proxies that change with every reload, a shell that holds the store's write lock, scrapes,
readers, and an operator who prunes, erases, judges again and readmits. Run by the sanitized daemons
too: under ThreadSanitizer this is where two threads meet."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from conftest import (BUILD, SECRET, TOKEN, Connection, body_of, callback, how_many, request,
                      sign_flat, tool)

SECONDS = how_many(2, 60)
CALLERS = 8
STEPS = [(20, 1), (30, 1), (20, 2), (40, 1), (50, 1)]
TOKENS = (TOKEN, "canary-token-0123456789")
SECRETS = (SECRET, "second-secret-0123456789")
# Who called, as the proxy at 127.0.0.1 has it from another proxy, and what each list makes of it.
FORWARDED = "198.51.100.7, 10.1.2.3"
PROXIES = ("127.0.0.1 ::1 unix", "192.0.2.1 127.0.0.0/8 2001:db8::/32 10.0.0.0/8")
REMOTES = ("10.1.2.3", "198.51.100.7")
# Days of long ago, with as many orders on each.
OLD_DAYS = how_many(6, 30)
OLD_ORDERS = 40
OLDEST = 200
DAY_S = 86400
CARE = ("erased", "pruned", "judged")


class Load:
    """Threads that go on until they are told to stop; the first failure of any is raised."""

    def __init__(self):
        self.begin = time.monotonic()
        self.failures = []
        self.threads = []

    def passed(self):
        """Of the whole time, from 0 to 1."""
        return min(1.0, (time.monotonic() - self.begin) / SECONDS)

    def running(self):
        return self.passed() < 1 and not self.failures

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
            thread.join(SECONDS + 60)
        if self.failures:
            raise self.failures[0]
        assert not any(thread.is_alive() for thread in self.threads)


class Rotation:
    """Which token and secret the daemon takes. The turn is odd while that changes."""

    def __init__(self):
        self.turn = 0
        self.now = 0

    def settled(self, turn):
        return turn % 2 == 0 and turn == self.turn


def deliveries(load, rng, rotation):
    """Turn of the rotation, path, body, and the status of the answer when nothing stands in the way
    and the turn is still the same."""
    while True:
        turn, now = rotation.turn, rotation.now
        status, sub = rng.choice(STEPS)
        time_text = f"2025-05-30 16:{rng.randrange(60):02}:{rng.randrange(60):02}"
        # Other orders every second, or their histories grow to what no order has.
        iss = f"L{int(load.passed() * SECONDS)}-{rng.randrange(40)}"
        members = callback(iss, status, sub, time_text, courier={"id": f"C{rng.randrange(3)}"})
        kind = rng.randrange(10)
        token = TOKENS[now ^ (kind == 9)]
        if kind == 0:
            body, wanted = b'{"issOrderNo":', 400
        elif kind == 1:
            body, wanted = body_of({**members, "clientId": "another"}), 401
        elif kind == 2:
            body, wanted = sign_flat(members, SECRETS[1 - now]), 401
        elif kind < 6:
            body, wanted = sign_flat(members, SECRETS[now]), 200
        else:
            body, wanted = body_of(members), 200
        yield turn, "/callback/shansong/" + token, body, 404 if kind == 9 else wanted


def call(load, daemon, rotation, lane, told):
    connection = None
    for turn, path, body, expected in deliveries(load, random.Random(lane), rotation):
        if not load.running():
            break
        connection = connection or Connection(daemon.address)
        told["sent"][lane].append(body)
        connection.send(request(path, body, {"X-Forwarded-For": FORWARDED}))
        reply = connection.reply()
        settled = rotation.settled(turn)
        allowed = {expected, 503} if settled else {200, 400, 401, 404, 503}
        assert reply is not None and reply.status in allowed, (allowed, reply and reply.status)
        told["exact"][lane] += settled
        if reply.status == 200:
            told["acked"][lane].append(body)
        else:
            connection.close()
            connection = None
    if connection:
        connection.close()


def reload(load, daemon, rotation, told):
    """Other proxies each time, another token and secret every fourth."""
    while load.running():
        n = told["reloads"] = told["reloads"] + 1
        following = n // 4 % 2
        if following != rotation.now:
            rotation.turn += 1
            daemon.write_file("token", TOKENS[following])
            daemon.write_file("secret", SECRETS[following])
        daemon.configure(server={**daemon.kept, "max_body": random.choice(["32K", "64K"]),
                                 "trusted_proxies": PROXIES[n % 2],
                                 "callback_log_rate": random.choice(["0", "1000"])})
        daemon.process.send_signal(signal.SIGHUP)
        assert "reload refused" not in daemon.notified("READY")["STATUS"]
        if following != rotation.now:
            rotation.now = following
            rotation.turn += 1


def scrape(load, daemon):
    while load.running():
        for page in "/metrics", "/readyz", "/healthz", "/nowhere":
            assert daemon.get_admin(page).status in (200, 404, 503)
            # Refused before it gets to the writer, so there are many of these.
            assert ask_admin(daemon, "readmit", {}).status == 400


def hold_the_lock(load, daemon):
    db = sqlite3.connect(daemon.store, isolation_level=None, timeout=20)
    while load.running():
        db.execute("BEGIN IMMEDIATE")
        # Past commit_timeout now and then, so that commits are given up and completed later.
        time.sleep(random.choice((0.01, 0.01, 0.4)))
        db.execute("ROLLBACK")
        time.sleep(0.2)
    db.close()


def ask(load, conf):
    """By the tool: refused deliveries are readmitted, of which some have the right secret again."""
    while load.running():
        assert tool("explain", "1", conf=conf).returncode in (0, 3, 4)
        assert tool("held", "readmit", "1", "2", conf=conf).returncode in (0, 1, 3, 4)


def ask_admin(daemon, name, members):
    connection = Connection(daemon.admin)
    connection.send(request(f"/control/{name}", json.dumps(members).encode()))
    reply = connection.reply()
    connection.close()
    return reply


def control(daemon, name, **members):
    """The answer, or None when the store was busy, or was given up on."""
    reply = ask_admin(daemon, name, members)
    assert reply is not None and reply.status in (200, 503), (name, reply and reply.body)
    return reply.json() if reply.status == 200 else None


def deliver(daemon, rotation, iss):
    """True when it was stored."""
    reply = daemon.post(callback(iss, 60, None),
                        "/callback/shansong/" + TOKENS[rotation.now])
    return reply is not None and reply.status == 200


def care(load, daemon, rotation, cared):
    """An operator who removes the old orders bit by bit, erases some and judges all again."""
    n = 0
    # On a busy machine with the lock in other hands that may take longer.
    while load.running() or not (load.failures or all(cared[did] for did in CARE)):
        n += 1
        iss = f"E{n}"
        if deliver(daemon, rotation, iss):
            answer = control(daemon, "erase", order=iss)
            # "traces": the log could not be cleaned, because one of the readers holds it.
            cared["erased"] += [iss] if answer and answer["outcome"] in ("erased", "traces") else []
        before_ms = int((time.time() - DAY_S * (OLDEST - OLD_DAYS * load.passed())) * 1000)
        answer = control(daemon, "prune", before_ms=before_ms)
        if answer and answer["part"] > 0:
            cared["pruned_ms"] = before_ms
        cared["pruned"] += answer["orders"] if answer else 0
        (newest,), = daemon.rows("SELECT max(order_id) FROM orders")
        ids = random.sample(range(1, newest + 1), 40)
        answer = control(daemon, "apply", orders=" ".join(map(str, ids)))
        cared["judged"] += answer["orders"] if answer else 0


def read(load, daemon):
    while load.running():
        for command in "orders", "events", "attention", "held":
            # Not by the configuration, which is being written.
            assert tool(command, db=daemon.store).returncode in (0, 1)


def key_of(members):
    return tuple(members[name] for name in ("issOrderNo", "status", "subStatus", "statusChangeTime")
                 ) + (members["courier"]["id"],)


def keys_of(bodies):
    return {key_of(json.loads(body)) for body in bodies if body.endswith(b"}")}


def fill_with_old_orders(daemon):
    for day in range(OLD_DAYS):
        subprocess.run([os.path.join(BUILD, "tests/fill_driver"), daemon.store, "test",
                        str(OLD_ORDERS), str((OLDEST - day) * DAY_S), f"F{day}-"], check=True)


def start_everything(load, daemon, rotation):
    """{what: what its thread has to tell}"""
    told = {"sent": [[] for _ in range(CALLERS)], "acked": [[] for _ in range(CALLERS)],
            "reloads": 0, "exact": [0] * CALLERS, "erased": [], "pruned": 0, "pruned_ms": 0,
            "judged": 0}
    # The daemon's own is written again and again.
    conf = shutil.copy(daemon.conf, daemon.conf + ".tool")
    for i in range(CALLERS):
        load.start(call, daemon, rotation, i, told)
    load.start(reload, daemon, rotation, told)
    load.start(ask, conf)
    load.start(care, daemon, rotation, told)
    for work in scrape, hold_the_lock, read:
        load.start(work, daemon)
    return told


def check_what_is_stored(daemon, told):
    acked = [body for one in told["acked"] for body in one]
    # An event that came before is counted on its first delivery, whose bytes are the stored ones.
    stored = daemon.rows("SELECT body, remote, deliveries FROM order_log"
                         " WHERE iss_order_no LIKE 'L%'")
    assert keys_of(acked) <= keys_of(body for body, *_ in stored)
    assert keys_of(body for body, *_ in stored) <= keys_of(
        body for one in told["sent"] for body in one)
    assert sum(deliveries for *_, deliveries in stored) >= len(acked)
    assert {remote for _, remote, _ in stored} == set(REMOTES)


def check_what_was_removed(daemon, told):
    (left, oldest), = daemon.rows("SELECT count(*), min(last_received_ms) FROM orders"
                                  " WHERE iss_order_no LIKE 'F%'")
    # A prune whose answer was given up may have gone on.
    assert left <= OLD_DAYS * OLD_ORDERS - told["pruned"]
    assert not left or oldest >= told["pruned_ms"]
    with_bodies = {iss for (iss,) in daemon.rows(
        "SELECT iss_order_no FROM order_log WHERE iss_order_no LIKE 'E%' AND body IS NOT NULL")}
    assert not with_bodies & set(told["erased"])


def test_nothing_acked_is_lost_under_everything_at_once(make_daemon, record_property):
    daemon = make_daemon()
    daemon.kept = {"admin_listen": f"unix:{daemon.dir}/admin.sock", "commit_timeout": "300ms",
                   "threads": "2"}
    daemon.configure(server=daemon.kept)
    daemon.init()
    fill_with_old_orders(daemon)
    daemon.start()
    load, rotation = Load(), Rotation()
    told = start_everything(load, daemon, rotation)
    load.finish()
    assert daemon.stop() == 0, daemon.log_text()
    figures = {"seconds": SECONDS, "callers": CALLERS, "acked": sum(map(len, told["acked"])),
               "answers as the valid token and secret say": sum(told["exact"]),
               "reloads": told["reloads"], "rotations": rotation.turn // 2,
               "pruned": told["pruned"],
               "erased": len(told["erased"]), "judged again": told["judged"],
               "control requests": daemon.log_text().count("control: "), "lost": 0}
    check_what_is_stored(daemon, told)
    check_what_was_removed(daemon, told)
    assert figures["acked"] > 20 and sum(told["exact"]) > 20 and rotation.turn // 2 > 1
    record_property("figures", json.dumps(figures))
    assert tool("verify", conf=daemon.conf).returncode == 0
    assert tool("rejudge", conf=daemon.conf).returncode == 0
