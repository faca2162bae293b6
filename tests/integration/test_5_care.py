"""prune, erase and rejudge --apply: what goes, what stays, and a store that verifies afterwards;
with no daemon, and asked of a running one that takes callbacks meanwhile."""

import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading

import pytest

from conftest import (BUILD, ROOT, TOKEN, Connection, Daemon, body_of, callback, request, tool,
                      wait_until)
from tool_help import TOOL, assert_one_line, damaged, lines_of, on_terminal, shop  # noqa: F401

FILL = os.path.join(BUILD, "tests/fill_driver")
DAY_S = 86400
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users; run it as root")


def fill(store, orders, age_s, prefix="F"):
    subprocess.run([FILL, store, "test", str(orders), str(age_s), prefix], check=True)


@pytest.fixture(scope="module")
def old_store(tmp_path_factory):
    """4000 orders of 100 days ago, 100 of today; to be copied."""
    path = Daemon(tmp_path_factory.mktemp("old")).init().store
    fill(path, 4000, 100 * DAY_S)
    fill(path, 100, 60, "YOUNG")
    return path


@pytest.fixture
def controlled(make_daemon, tmp_path):
    """A daemon whose admin socket is a unix socket; not started, its store not made."""
    return make_daemon(server={"admin_listen": f"unix:{tmp_path}/admin.sock"})


def put_store(daemon, store):
    for suffix in ("", ".head"):
        shutil.copy(store + suffix, daemon.store + suffix)
    return daemon


def counts(done):
    assert done.returncode == 0, done.stderr
    return {row["what"]: row["count"] for row in json.loads(done.stdout)}


def verify(store):
    """What verify says besides its findings, of which there must be none."""
    done = tool("verify", db=store)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    return done.stderr


class Load:
    """Callbacks of new orders over a few connections until it is stopped; counts the acks."""

    def __init__(self, daemon, lanes=3):
        self.daemon = daemon
        self.acked = []
        self.failures = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(lanes)]

    def run(self, lane):
        connection = Connection(self.daemon.address)
        n = 0
        while not self.stopping.is_set():
            name = f"L{lane}-{n}"
            n += 1
            body = body_of(callback(name, 60, None))
            connection.send(request("/callback/shansong/" + TOKEN, body))
            reply = connection.reply()
            if reply is None or reply.status != 200:
                self.failures.append((name, reply and reply.status))
                break
            self.acked.append(name)
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.acked) > 20 or self.failures)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures


# ---------------------------------------------------------------- prune


def test_prune_beside_a_daemon_under_load_loses_nothing_that_is_young(controlled, old_store):
    daemon = put_store(controlled, old_store).start()
    with Load(daemon) as load:
        done = tool("prune", "--older-than", "90d", "--format", "json", conf=daemon.conf)
        seen = len(load.acked)
        wait_until(lambda: len(load.acked) > seen + 20)
    gone = counts(done)
    assert (gone["orders"], gone["events"]) == (4000, 16000)
    assert done.stderr == "orderhook prune: 4000 orders of 16000 events removed\n"
    names = {name for (name,) in daemon.rows("SELECT iss_order_no FROM order_state")}
    assert names == set(load.acked) | {f"YOUNG{i}" for i in range(100)}
    assert "16000 events were pruned" in verify(daemon.store)
    assert re.search(r"control: uid \d+, pid \d+: prune: \d+ orders, \d+ events", daemon.log_text())
    assert daemon.stop() == 0
    assert daemon.start().stop() == 0


def test_prune_without_a_daemon_takes_the_retention_of_the_configuration(controlled, old_store):
    daemon = put_store(controlled, old_store)
    done = tool("prune", conf=daemon.conf)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("orderhook prune: retention is 0 in [store]: everything is kept")
    daemon.configure(store={"retention": "101d"})
    assert counts(tool("prune", "--format", "json", conf=daemon.conf))["orders"] == 0
    daemon.configure(store={"retention": "99d"})
    assert counts(tool("prune", "--format", "json", conf=daemon.conf))["orders"] == 4000
    assert "16000 events were pruned" in verify(daemon.store)
    assert daemon.rows("SELECT count(*), min(events) FROM order_state") == [(100, 4)]


def test_a_dry_run_counts_the_same_and_writes_nothing(old_store, tmp_path):
    path = str(tmp_path / "s.db")
    for suffix in ("", ".head"):
        shutil.copy(old_store + suffix, path + suffix)
    before = open(path, "rb").read()
    words = ("prune", "--older-than", "90d", "--format", "json")
    planned = tool(*words, "--dry-run", db=path)
    assert open(path, "rb").read() == before
    assert not os.path.exists(path + ".lock")
    assert planned.stderr == "orderhook prune: 4000 orders of 16000 events would be removed\n"
    assert counts(planned) == counts(tool(*words, db=path))


def test_what_attention_names_stays_and_goes_only_when_told(controlled):
    daemon = controlled.init()
    daemon.configure(server={"admin_listen": f"unix:{daemon.dir}/a"},
                     extra="[attention]\n20 = 0\n")
    daemon.start()
    for iss, status, sub in [("DONE", 60, None), ("STUCK", 30, 1), ("RESTS", 20, 1), ("ODD", 77, 1),
                             ("LAST", 60, None)]:
        assert daemon.post(callback(iss, status, sub)).status == 200
    named = {row["subject"] for row in lines_of(tool("attention", "--format", "jsonl",
                                                     conf=daemon.conf))}
    assert named >= {"STUCK", "ODD"}
    done = tool("prune", "--older-than", "1ms", "--format", "json", conf=daemon.conf)
    gone = counts(done)
    assert (gone["orders"], gone["kept: quarantined"], gone["kept: overdue"],
            gone["kept: newest event"]) == (2, 1, 1, 1)
    assert "--attention-too" in done.stderr
    assert "a callback that the platform sends again" in done.stderr
    assert daemon.rows("SELECT iss_order_no FROM order_state ORDER BY 1") == [
        ("LAST",), ("ODD",), ("STUCK",)]
    done = tool("prune", "--older-than", "1ms", "--attention-too", "--format", "json",
                conf=daemon.conf)
    assert counts(done)["orders"] == 2
    verify(daemon.store)
    # What the platform sends again after that is a new order.
    assert daemon.post(callback("DONE", 60, None)).status == 200
    assert daemon.verdicts("DONE") == ["jumped"]
    assert daemon.stop() == 0


def orders_left(store):
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute("SELECT count(*) FROM orders").fetchone()[0]
    finally:
        db.close()


@pytest.mark.parametrize("victim", ["daemon", "tool"])
def test_killed_in_the_middle_of_a_prune_the_store_verifies_and_the_next_one_ends_it(
        controlled, old_store, victim):
    daemon = put_store(controlled, old_store)
    if victim == "daemon":
        daemon.start()
    process = subprocess.Popen([TOOL, "-c", daemon.conf, "prune", "--older-than", "90d"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: orders_left(daemon.store) < 4000)
    (daemon.process if victim == "daemon" else process).kill()
    _, stderr = process.communicate(timeout=60)
    if victim == "daemon":
        assert process.returncode in (0, 5), stderr
        daemon.wait_exit()
    left = orders_left(daemon.store)
    assert left >= 100
    (whole,), = daemon.rows("SELECT count(*) FROM order_state s WHERE events = 4 AND 4 = (SELECT"
                            " count(*) FROM order_log l WHERE l.iss_order_no = s.iss_order_no)")
    assert whole == left
    verify(daemon.store)
    gone = counts(tool("prune", "--older-than", "90d", "--format", "json", conf=daemon.conf))
    assert gone["orders"] == left - 100
    assert "16000 events were pruned" in verify(daemon.store)


@pytest.mark.parametrize("running", [True, False])
def test_ctrl_c_ends_a_prune_between_two_steps(controlled, old_store, running):
    daemon = put_store(controlled, old_store)
    if running:
        daemon.start()
    process = subprocess.Popen([TOOL, "-c", daemon.conf, "prune", "--older-than", "90d", "--format",
                                "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: orders_left(daemon.store) < 4000)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    removed = {row["what"]: row["count"] for row in json.loads(stdout)}["orders"]
    assert removed == 4100 - orders_left(daemon.store)
    if process.returncode != 0:
        assert process.returncode == 130
        assert stderr.endswith("stopped; the next prune goes on from here\n")
    verify(daemon.store)
    if running:
        assert daemon.stop() == 0


def test_prune_at_a_terminal_is_a_table(old_store, tmp_path):
    path = str(tmp_path / "s.db")
    for suffix in ("", ".head"):
        shutil.copy(old_store + suffix, path + suffix)
    text, stderr, code = on_terminal("--db", path, "prune", "--older-than", "90d", "--dry-run",
                                     env={"NO_COLOR": "1"})
    assert code == 0
    assert [line.split()[:2] for line in text.splitlines()[:3]] == [
        ["what", "count"], ["orders", "4000"], ["events", "16000"]]
    assert stderr == "orderhook prune: 4000 orders of 16000 events would be removed\n"


def test_wrong_words_of_prune_are_told(old_store):
    for words, told in [(("--older-than", "soon"), "a number with its unit"),
                        (("--older-then", "9d"), "did you mean '--older-than'?"),
                        (("90d",), "unexpected argument"), ((), "the age is missing")]:
        done = tool("prune", *words, db=old_store)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr


# ---------------------------------------------------------------- erase


CANARIES = {
    "orderNo": "KANARIE-ORDER-1",
    "shopId": "shopId",
    "pickupPassword": "Kanarie7391",
    "deliveryPassword": "Kanarie8264",
    "abortReason": "KANARIE reason",
    "courier": {"id": "KANARIE-C1", "name": "卡纳里", "mobile": "13877665544", "latitude": "31.234567",
                "longitude": "121.987654"},
}
# Long enough to be nothing else: a store has numbers of its own.
WORDS = ["KANARIE", "Kanarie7391", "Kanarie8264", "卡纳里", "13877665544", "31.234567", "121.987654"]


def personal(iss, status, sub, at, **more):
    return callback(iss, status, sub, f"2025-05-30 17:00:{at:02d}", **{**CANARIES, **more})


def post_personal(daemon, iss="ISS-1"):
    headers = {"User-Agent": "KANARIE-agent"}
    for i, (status, sub) in enumerate([(20, 1), (30, 1), (40, 1), (50, 1)]):
        assert daemon.post(personal(iss, status, sub, i), headers=headers).status == 200
    # In quarantine, of another kind, refused as JSON and as a form.
    assert daemon.post(personal(iss, 77, 1, 10), headers=headers).status == 200
    assert daemon.post(personal(iss, 20, 1, 11, orderNo="KANARIE-ORDER-2"), headers=headers)
    other = personal(iss, 50, 1, 12, callbackEvent="OTHER_EVENT")
    assert daemon.post(other, headers=headers).status == 200
    refused = personal(iss, 50, 1, 13, clientId="KANARIE-client")
    assert daemon.post(refused, headers=headers).status == 401
    form = f"issOrderNo={iss.replace('-', '%2D')}&status=x&mobile=13877665544".encode()
    assert daemon.post(form, headers={**headers, "Content-Type":
                                      "application/x-www-form-urlencoded"}).status == 400
    # Somebody else's, which must stay.
    assert daemon.post(callback(iss + "2", 20, 1)).status == 200
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log") == [(2,)])


def canaries_left(store):
    left = []
    for suffix in ("", "-wal", "-shm", ".head", ".lock"):
        if not os.path.exists(store + suffix):
            continue
        data = open(store + suffix, "rb").read()
        left += [(suffix, word) for word in WORDS if word.encode() in data]
    return left


@pytest.mark.parametrize("running", [True, False])
def test_erase_leaves_no_byte_of_a_person_in_any_file(controlled, running):
    daemon = controlled.init().start()
    post_personal(daemon)
    if not running:
        assert daemon.stop() == 0
    assert len(canaries_left(daemon.store)) >= len(WORDS)
    done = tool("erase", "KANARIE-ORDER-1", "--format", "json", conf=daemon.conf)
    assert canaries_left(daemon.store) == []
    assert counts(done) == {"orders": 1, "events": 6, "events erased before": 0, "other events": 1,
                            "refused deliveries": 2}
    assert "backups" in done.stderr
    told = verify(daemon.store)
    assert "7 events were erased and 1 orders have one" in told
    # The skeleton stays.
    assert daemon.rows("SELECT status, verdict, notes, body FROM order_log WHERE iss_order_no ="
                       " 'ISS-1' ORDER BY event_id LIMIT 5") == [
        (20, "applied", "erased", None), (30, "applied", "erased", None),
        (40, "applied", "erased", None), (50, "applied", "erased", None),
        (77, "unknown", "erased", None)]
    assert daemon.state("ISS-1")[0] == 50
    assert daemon.state("ISS-12")[0] == 20
    if running:
        assert "KANARIE" not in daemon.log_text().split("erase: ")[-1]
    else:
        daemon.start()
    # A retry of what was erased brings nothing back.
    assert daemon.post(personal("ISS-1", 50, 1, 3)).status == 200
    assert daemon.state("ISS-1")[4] == 6
    assert daemon.post(callback("ISS-12", 30, 1, "2025-05-30 18:00:00")).status == 200
    assert daemon.stop() == 0
    assert canaries_left(daemon.store) == []
    verify(daemon.store)


def test_every_command_says_that_an_event_is_erased(controlled, tmp_path):
    daemon = controlled.init().start()
    post_personal(daemon)
    before = str(tmp_path / "before.db")
    tool("backup", before, conf=daemon.conf, check=True)
    tool("erase", "ISS-1", conf=daemon.conf, check=True)
    raw = tool("raw", "1", conf=daemon.conf)
    assert (raw.returncode, raw.stdout) == (3, "")
    assert_one_line(raw.stderr)
    assert "event 1 was erased" in raw.stderr
    assert tool("raw", "1", "--headers", conf=daemon.conf).returncode == 3
    for event_id in ("1", "7"):
        explained = tool("explain", event_id, conf=daemon.conf)
        assert (explained.returncode, explained.stdout) == (3, "")
        assert f"event {event_id} was erased" in explained.stderr
    exported = lines_of(tool("export", "--order", "ISS-1", conf=daemon.conf, check=True))
    assert {(row["body"], row["notes"]) for row in exported} == {(None, "erased")}
    shown = tool("show", "ISS-1", conf=daemon.conf, check=True)
    assert shown.stdout.count("erased") == 6
    assert tool("events", "--order", "ISS-1", conf=daemon.conf,
                check=True).stdout.count("erased") == 6
    replayed = tool("replay", "1", "8", "--dry-run", "--to", "http://127.0.0.1:1/",
                    conf=daemon.conf)
    assert "event 1 was erased and is not sent" in replayed.stderr
    assert "1 would be sent" in replayed.stderr
    again = tool("rejudge", conf=daemon.conf)
    assert again.returncode == 0
    assert "1 orders have an erased event and cannot be judged again" in again.stderr
    copy = str(tmp_path / "copy.db")
    tool("backup", copy, conf=daemon.conf, check=True)
    assert "7 events were erased" in verify(copy)
    assert canaries_left(copy) == []
    # A backup is a store, and can be erased in.
    assert canaries_left(before) != []
    tool("erase", "ISS-1", db=before, check=True)
    assert canaries_left(before) == []
    assert "7 events were erased" in verify(before)
    assert daemon.stop() == 0


def test_erase_beside_a_daemon_under_load_loses_nothing(controlled):
    daemon = controlled.init().start()
    post_personal(daemon)
    with Load(daemon) as load:
        for _ in range(5):
            tool("erase", "ISS-1", conf=daemon.conf, check=True)
            seen = len(load.acked)
            wait_until(lambda: len(load.acked) > seen + 20)
    names = {name for (name,) in daemon.rows("SELECT iss_order_no FROM order_state")}
    assert names == set(load.acked) | {"ISS-1", "ISS-12"}
    assert daemon.stop() == 0
    assert canaries_left(daemon.store) == []
    verify(daemon.store)


def test_killed_at_random_moments_of_an_erase_the_store_verifies(controlled, old_store):
    daemon = put_store(controlled, old_store)
    daemon.start()
    for i in range(5):
        iss = f"KILL-{i}"
        post = [personal(iss, status, 1, n) for n, status in enumerate((20, 30, 40, 50))]
        assert all(daemon.post(body).status == 200 for body in post)
        process = subprocess.Popen([TOOL, "-c", daemon.conf, "erase", iss], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        size = os.path.getsize(daemon.store + "-wal")
        # Some die in the transaction, some in the copying of the log, some after it.
        if i % 2:
            wait_until(lambda: os.path.getsize(daemon.store + "-wal") != size)
        else:
            wait_until(lambda: process.poll() is not None or random.random() < 0.3)
        daemon.process.kill()
        daemon.wait_exit()
        process.communicate(timeout=60)
        assert process.returncode in (0, 5, 4)
        verify(daemon.store)
        daemon.start()
        erased = daemon.rows("SELECT count(*) FROM order_log WHERE iss_order_no = ? AND notes ="
                             " 'erased'", iss)[0][0]
        assert erased in (0, 4)
        tool("erase", iss, conf=daemon.conf, check=True)
        assert canaries_left(daemon.store) == []
    assert daemon.stop() == 0
    verify(daemon.store)


@pytest.mark.parametrize("running", [True, False])
def test_an_order_that_is_not_there_is_3(controlled, running):
    daemon = controlled.init().start()
    assert daemon.post(callback("A", 20, 1)).status == 200
    if not running:
        assert daemon.stop() == 0
    for order in ("NIX", "", "x" * 65, "m-A "):
        done = tool("erase", order, conf=daemon.conf)
        assert (done.returncode, done.stdout) == (3, "")
        assert_one_line(done.stderr)
        assert "'orderhook orders' lists them" in done.stderr
    assert daemon.rows("SELECT count(*) FROM order_log WHERE notes = 'erased'") == [(0,)]
    assert not running or daemon.stop() == 0


def test_an_order_under_way_is_erased_and_told(controlled):
    daemon = controlled.init().start()
    assert daemon.post(personal("A", 30, 1, 0)).status == 200
    done = tool("erase", "A", conf=daemon.conf, check=True)
    assert "can still get callbacks" in done.stderr
    assert canaries_left(daemon.store) == []
    assert daemon.stop() == 0


@pytest.mark.parametrize("running", [True, False])
def test_an_event_that_was_changed_is_evidence_and_stays(controlled, running):
    daemon = controlled.init().start()
    assert daemon.post(personal("A", 20, 1, 0)).status == 200
    assert daemon.post(personal("A", 30, 1, 1)).status == 200
    assert daemon.stop() == 0
    db = sqlite3.connect(daemon.store)
    db.execute("UPDATE event SET body = CAST(replace(body, '7391', '7392') AS BLOB)"
               " WHERE event_id = 2")
    db.commit()
    db.close()
    if running:
        daemon.start()
    done = tool("erase", "A", conf=daemon.conf)
    assert (done.returncode, done.stdout) == (4, "")
    assert_one_line(done.stderr)
    assert "event 2 is not what was stored" in done.stderr and "orderhook verify" in done.stderr
    assert daemon.rows("SELECT count(*) FROM order_log WHERE notes = 'erased'") == [(0,)]
    if running:
        assert daemon.post(callback("B", 20, 1)).status == 200
        assert daemon.stop() == 0


def test_a_reader_that_keeps_the_log_is_named_and_the_next_erase_ends_it(controlled):
    daemon = controlled.init().start()
    assert daemon.post(personal("A", 50, 1, 0)).status == 200
    reader = sqlite3.connect(f"file:{daemon.store}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    done = tool("erase", "A", conf=daemon.conf)
    assert done.returncode == 5
    assert f"process {os.getpid()} (" in done.stderr
    assert "their bytes are not gone yet" in done.stderr
    reader.close()
    again = counts(tool("erase", "A", "--format", "json", conf=daemon.conf))
    assert again["events erased before"] == 1
    assert canaries_left(daemon.store) == []
    assert daemon.stop() == 0


def test_with_db_alone_no_configuration_is_needed_and_a_daemons_lock_is_respected(controlled):
    daemon = controlled.init().start()
    assert daemon.post(personal("A", 50, 1, 0)).status == 200
    for words in (("erase", "A"), ("prune", "--older-than", "1d"), ("rejudge", "--apply")):
        done = tool(*words, db=daemon.store)
        assert done.returncode == 4
        assert f"process {daemon.process.pid}" in done.stderr and "-c" in done.stderr
    assert daemon.stop() == 0
    tool("erase", "A", db=daemon.store, check=True)
    assert canaries_left(daemon.store) == []


@NEEDS_ROOT
@pytest.mark.parametrize("running", [True, False])
def test_somebody_without_the_right_changes_nothing(controlled, tmp_path, running):
    daemon = controlled.init().start()
    assert daemon.post(personal("A", 50, 1, 0)).status == 200
    if not running:
        assert daemon.stop() == 0
    # May read everything, as an operator of the reading group.
    for path in (tmp_path, *list(tmp_path.parents)[:3], daemon.dir, daemon.conf):
        os.chmod(path, os.stat(path).st_mode | 0o055)
    for name in os.listdir(daemon.dir):
        os.chmod(os.path.join(daemon.dir, name), 0o644)
    for words in (("erase", "A"), ("prune", "--older-than", "1ms", "--attention-too"),
                  ("rejudge", "--apply")):
        done = subprocess.run([TOOL, "-c", daemon.conf, *words], capture_output=True, text=True,
                              user=65534, group=65534, extra_groups=[], timeout=60, cwd=ROOT)
        assert done.returncode == (4 if running else 78), done.stderr
        assert "orderhook" in done.stderr.splitlines()[-1]
    assert daemon.rows("SELECT count(*) FROM order_log WHERE notes IS NULL") == [(1,)]
    assert not running or daemon.stop() == 0


def test_a_full_disk_leaves_the_store_as_it_was(controlled, old_store):
    daemon = put_store(controlled, old_store)
    limit = os.path.getsize(daemon.store) // 4096 * 4096

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run([TOOL, "-c", daemon.conf, "prune", "--older-than", "90d"], text=True,
                          capture_output=True, preexec_fn=no_room, timeout=60)
    assert done.returncode == 5, done.stderr
    assert "full" in done.stderr
    assert orders_left(daemon.store) == 4100 and os.path.getsize(daemon.store) == limit
    verify(daemon.store)


# ---------------------------------------------------------------- rejudge --apply


@pytest.mark.parametrize("running", [True, False])
def test_apply_prints_the_diff_and_makes_the_store_right(controlled, shop, running):  # noqa: F811
    daemon = put_store(controlled, shop.store)
    events = daemon.rows("SELECT * FROM event ORDER BY event_id")
    db = sqlite3.connect(daemon.store)
    rows = db.execute("SELECT * FROM orders").fetchall()
    db.execute("UPDATE orders SET status = 40, sub_status = 1, reassignments = 7, courier_id = 'X',"
               " since_ms = 5, events = 9 WHERE order_id = 1")
    db.execute("UPDATE orders SET quarantined = 0 WHERE iss_order_no = 'V'")
    db.execute("UPDATE status_count SET orders = 3")
    db.commit()
    db.close()
    if running:
        daemon.start()
    assert tool("verify", db=daemon.store).returncode == 1
    diff = tool("rejudge", "--format", "jsonl", conf=daemon.conf)
    assert diff.returncode == 1
    assert {row["what"] for row in lines_of(diff)} == {
        "state", "since", "reassignments", "courier_id", "events", "quarantined"}
    done = tool("rejudge", "--apply", "--format", "jsonl", conf=daemon.conf)
    assert (done.returncode, done.stdout) == (0, diff.stdout)
    assert "2 orders written" in done.stderr
    assert daemon.rows("SELECT * FROM orders") == rows
    assert daemon.rows("SELECT * FROM event ORDER BY event_id") == events
    verify(daemon.store)
    done = tool("rejudge", "--apply", conf=daemon.conf)
    assert (done.returncode, done.stdout) == (0, "")
    assert not running or daemon.stop() == 0


# ---------------------------------------------------------------- over the socket


WRONG = [
    ("prune", b'{}', "before_ms: is missing"),
    ("prune", b'{"before_ms":1,"part":3}', "part: must be a whole number from 0 to 2"),
    ("prune", b'{"before_ms":1,"overdue":"20 x"}', "overdue: must be a string of whole numbers"),
    ("prune", b'{"before_ms":1,"overdue":"1000 1"}', "overdue: must be a string"),
    ("prune", b'{"before_ms":1,"overdue":[20,1]}', "overdue: must be a string"),
    ("prune", b'{"before_ms":1,"attention_too":1}', "attention_too: must be true or false"),
    ("prune", b'{"before_ms":1,"older_than":1}', "has a member that is not known here"),
    ("erase", b'{}', "order: is missing"),
    ("erase", b'{"order":"' + b"x" * 65 + b'"}', "order: must be a string"),
    ("erase", b'{"order":1}', "order: must be a string"),
    ("apply", b'{"orders":"1  2"}', "orders: must be a string of whole numbers"),
    ("apply", b'{"orders":"-1"}', "orders: must be a string of whole numbers"),
]


def test_a_request_that_is_wrong_is_refused_and_changes_nothing(controlled):
    daemon = controlled.init().start()
    assert daemon.post(callback("A", 60, None)).status == 200
    assert daemon.post(callback("B", 60, None)).status == 200
    for name, body, told in WRONG:
        connection = Connection(daemon.admin)
        connection.send(request(f"/control/{name}", body))
        reply = connection.reply()
        connection.close()
        assert reply.status == 400, (name, body)
        assert told in reply.json()["text"], (name, body)
    assert daemon.rows("SELECT iss_order_no, order_no FROM order_state ORDER BY 1") == [
        ("A", "m-A"), ("B", "m-B")]
    assert daemon.stop() == 0


def test_orders_that_are_gone_are_passed_over_by_apply(controlled):
    daemon = controlled.init().start()
    assert daemon.post(callback("A", 60, None)).status == 200
    before = daemon.rows("SELECT * FROM orders")
    connection = Connection(daemon.admin)
    connection.send(request("/control/apply", b'{"orders":"1 2 9223372036854775807"}'))
    reply = connection.reply()
    connection.close()
    assert (reply.status, reply.json()) == (200, {"orders": 1})
    assert daemon.rows("SELECT * FROM orders") == before
    assert daemon.stop() == 0


def test_orders_are_judged_in_any_order_twice_and_after_some_are_gone(controlled):
    daemon = controlled.init().start()
    for name in "A", "B", "C":
        assert daemon.post(callback(name, 60, None)).status == 200
    tool("prune", "--older-than", "1ms", conf=daemon.conf, check=True)
    assert daemon.rows("SELECT order_id FROM orders") == [(3,)]
    connection = Connection(daemon.admin)
    connection.send(request("/control/apply", b'{"orders":"1 2 3 3 1"}'))
    reply = connection.reply()
    connection.close()
    assert (reply.status, reply.json()) == (200, {"orders": 2})
    assert daemon.post(callback("D", 60, None)).status == 200
    assert daemon.stop() == 0, daemon.log_text()
