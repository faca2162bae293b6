"""orderhook backup: a whole store or nothing."""

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading

import pytest

from conftest import callback, tool, wait_until
from tool_help import TOOL, assert_one_line, damaged, lines_of, shop  # noqa: F401


def everything(path):
    db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        return (db.execute("SELECT * FROM order_log ORDER BY event_id").fetchall(),
                db.execute("SELECT * FROM order_state ORDER BY iss_order_no").fetchall(),
                db.execute("PRAGMA user_version").fetchall(),
                db.execute("PRAGMA application_id").fetchall())
    finally:
        db.close()


@pytest.fixture
def big(damaged):
    """A store that takes a while to copy."""
    return damaged("WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n"
                   " WHERE i < 100000) INSERT INTO event SELECT i, order_id, occurred_ms,"
                   " received_ms, status, sub_status, occurred_from, verdict, from_status,"
                   " from_sub_status, auth, source, deliveries, courier_id, content,"
                   " body_sha256, link, private_sha256, order_no,"
                   " shop_id, remote, notes, head, body FROM event, n WHERE event_id = 1")


def test_a_backup_holds_what_the_store_holds(shop, tmp_path):
    file = str(tmp_path / "b.db")
    done = tool("backup", file, conf=shop.conf, check=True)
    events = shop.rows("SELECT COUNT(*) FROM order_log")[0][0]
    assert done.stdout.startswith(f"{file}: {events} events of ")
    assert done.stdout.endswith("environment 'test', checked\n")
    assert everything(file) == everything(shop.store)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o640
    assert not os.path.exists(file + ".partial")


def test_it_is_consistent_beside_a_daemon_that_writes(daemon, tmp_path):
    stop = threading.Event()

    def write():
        for i in range(100000):
            if stop.is_set():
                return
            assert daemon.post(callback(f"O{i}", 20, 1)).status == 200
            assert daemon.post(callback(f"O{i}", 30, 1, "2025-05-30 17:00:00")).status == 200

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_until(lambda: daemon.rows("SELECT COUNT(*) FROM event")[0][0] > 20)
        for i in range(5):
            before = daemon.rows("SELECT MAX(event_id) FROM event")[0][0]
            file = str(tmp_path / f"b{i}.db")
            tool("backup", file, conf=daemon.conf, check=True)
            log, state, _, _ = everything(file)
            assert len(log) >= before
            assert [row[0] for row in log] == list(range(1, len(log) + 1))
            assert sum(row[10] for row in state) == len(log)
    finally:
        stop.set()
        thread.join()


def test_a_daemon_starts_on_a_restored_backup(daemon, tmp_path):
    assert daemon.post(callback("A", 20, 1)).status == 200
    tool("backup", str(tmp_path / "b.db"), conf=daemon.conf, check=True)
    assert daemon.post(callback("A", 30, 1, "2025-05-30 17:00:00")).status == 200
    assert daemon.stop() == 0
    for suffix in ("", "-wal", "-shm", ".lock", ".head"):
        if os.path.exists(daemon.store + suffix):
            os.rename(daemon.store + suffix, str(tmp_path / "away") + suffix)
    shutil.copy(tmp_path / "b.db", daemon.store)
    daemon.start()
    assert daemon.state("A")[0] == 20
    assert daemon.post(callback("A", 40, 1, "2025-05-30 18:00:00")).status == 200
    assert daemon.state("A")[0] == 40


def test_a_backup_is_a_store_to_the_tool(shop, tmp_path):
    file = str(tmp_path / "b.db")
    tool("backup", file, db=shop.store, check=True)
    words = ("events", "--format", "jsonl")
    assert lines_of(tool(*words, db=file)) == lines_of(tool(*words, db=shop.store))


def test_a_file_that_is_there_is_left_alone(shop, tmp_path):
    file = tmp_path / "b.db"
    file.write_bytes(b"mine")
    done = tool("backup", str(file), db=shop.store)
    assert done.returncode == 4
    assert_one_line(done.stderr)
    assert "is there already" in done.stderr
    assert file.read_bytes() == b"mine"
    assert sorted(n for n in os.listdir(tmp_path) if n.startswith("b.db")) == ["b.db"]


def test_what_a_killed_backup_left_is_told(shop, tmp_path):
    (tmp_path / "b.db.partial").write_bytes(b"half")
    done = tool("backup", str(tmp_path / "b.db"), db=shop.store)
    assert done.returncode == 4
    assert "b.db.partial is there, of a backup that is running or was killed" in done.stderr
    assert not (tmp_path / "b.db").exists()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(big, tmp_path, signal_number):
    file = str(tmp_path / "b.db")
    process = subprocess.Popen([TOOL, "--db", big, "backup", file], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: os.path.exists(file + ".partial")
               and os.path.getsize(file + ".partial") > 0 or process.poll() is not None)
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signal_number, "")
    assert err == f"orderhook backup: stopped; {file} was not made\n"
    assert [n for n in os.listdir(tmp_path) if n.startswith("b.db")] == []


def test_no_room_leaves_nothing_behind(big, tmp_path):
    file = str(tmp_path / "b.db")
    limit = 1024 * 1024
    done = subprocess.run(
        [TOOL, "--db", big, "backup", file], capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert (done.returncode, done.stdout) == (5, "")
    assert_one_line(done.stderr)
    assert [n for n in os.listdir(tmp_path) if n.startswith("b.db")] == []


def test_a_copy_that_does_not_add_up_is_no_backup(damaged, tmp_path):
    path = damaged("UPDATE orders SET events = events + 1 WHERE order_id = 1")
    done = tool("backup", str(tmp_path / "b.db"), db=path)
    assert done.returncode == 5
    assert "is not whole" in done.stderr and "its orders count" in done.stderr
    assert [n for n in os.listdir(tmp_path) if n.startswith("b.db")] == []


def test_a_directory_that_is_not_there_and_a_missing_store_are_told(shop, tmp_path):
    done = tool("backup", str(tmp_path / "no/b.db"), db=shop.store)
    assert done.returncode == 5
    assert_one_line(done.stderr)
    done = tool("backup", str(tmp_path / "b.db"), db=str(tmp_path / "no.db"))
    assert done.returncode == 78
    assert [n for n in os.listdir(tmp_path) if n.startswith("b.db")] == []
