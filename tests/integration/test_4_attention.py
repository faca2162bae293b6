"""orderhook attention: what a person should look at, and nothing else."""

import csv
import io
import json
import signal
import socket
import sqlite3
import threading
import time

import pytest

from conftest import callback, tool, wait_until
from tool_help import damaged, lines_of, shop  # noqa: F401

KEYS = {"kind", "subject", "since", "detail", "next"}


def china(ago_s):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - ago_s + 8 * 3600))


def found(*arguments, **where):
    done = tool("attention", "--format", "jsonl", *arguments, **where)
    assert done.stderr == ""
    rows = lines_of(done)
    assert done.returncode == (1 if rows else 0)
    assert all(set(row) == KEYS for row in rows)
    return rows


@pytest.fixture
def quiet(make_daemon, tmp_path):
    """A running daemon whose admin socket the configuration names, with nothing to look at."""
    one = make_daemon(server={"admin_listen": f"unix:{tmp_path}/admin.sock"}).init().start()
    yield one
    assert one.stop() == 0


def test_with_nothing_to_look_at_it_prints_nothing_and_exits_0(quiet):
    assert quiet.post(callback("A", 20, 1, china(60))).status == 200
    assert quiet.post(callback("B", 60, None, "2025-05-30 16:00:00")).status == 200
    done = tool("attention", conf=quiet.conf)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(tool("attention", "--format", "json", conf=quiet.conf).stdout) == []


def test_an_order_that_stays_too_long_is_named_with_its_command(quiet):
    assert quiet.post(callback("A", 20, 1, china(31 * 60))).status == 200
    assert quiet.post(callback("B", 30, 1, china(59 * 60))).status == 200
    assert quiet.post(callback("C", 40, 1, china(5 * 3600))).status == 200
    rows = found(conf=quiet.conf)
    assert [(r["kind"], r["subject"]) for r in rows] == [("overdue", "A"), ("overdue", "C")]
    assert rows[0]["next"] == "orderhook show A"
    assert "20/1 派单中 (dispatching) for 31m, longer than 30m" in rows[0]["detail"]
    assert "for 5h00m, longer than 3h00m" in rows[1]["detail"]
    assert tool(*rows[0]["next"].split()[1:], conf=quiet.conf).returncode == 0


def test_the_configuration_says_how_long_is_too_long(quiet):
    assert quiet.post(callback("A", 20, 1, china(31 * 60))).status == 200
    with open(quiet.conf, "a") as f:
        f.write("[attention]\n20 = 40m\n50 = 1s\n")
    assert quiet.post(callback("B", 50, 1, china(3600))).status == 200
    assert found(conf=quiet.conf) == []


def test_each_quarantined_event_is_listed_once(shop):
    rows = [r for r in found(db=shop.store) if r["kind"] == "quarantined"]
    expected = shop.rows("SELECT event_id, iss_order_no, verdict FROM order_log WHERE verdict IN"
                         " ('conflict', 'illegal', 'unknown', 'mismatch') ORDER BY event_id")
    assert len(expected) >= 4
    assert len(rows) == len(expected)
    for event_id, iss, verdict in expected:
        assert any(r["subject"] == iss and r["detail"].startswith(f"event {event_id}, ")
                   and f"is {verdict}: " in r["detail"] for r in rows)


def test_since_passes_over_what_was_received_before(shop):
    rows = found("--since", "2999-01-01T00:00:00Z", db=shop.store)
    assert [r for r in rows if r["kind"] == "quarantined"] == []


def test_csv_and_table_have_the_same_lines(shop):
    jsonl = found(db=shop.store)
    done = tool("attention", "--format", "csv", db=shop.store)
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert done.returncode == 1
    assert [r["next"] for r in rows] == [r["next"] for r in jsonl]
    table = tool("attention", db=shop.store)
    assert table.returncode == 1
    assert len(table.stdout.splitlines()) == len(jsonl) + 1


def test_a_daemon_that_does_not_answer_is_told(quiet):
    assert quiet.stop() == 0
    rows = found(conf=quiet.conf)
    assert [(r["kind"], r["next"]) for r in rows] == [("daemon", "systemctl status orderhookd")]
    quiet.start()


def test_a_daemon_that_hangs_is_told_within_seconds(quiet):
    quiet.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        rows = found(conf=quiet.conf)
        assert time.monotonic() - began < 10
    finally:
        quiet.process.send_signal(signal.SIGCONT)
    assert [r["kind"] for r in rows] == ["daemon"]
    assert "does not answer" in rows[0]["detail"]


def test_the_reasons_why_it_is_not_ready_are_told(shop, tmp_path):
    """A listener stands in for a daemon that is not ready: a real one exits soon after."""
    answer = b'{"ready":false,"reasons":["draining","the disk is full"]}\n'
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{tmp_path}/stand-in.sock")
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n"
                                   % len(answer) + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        shop.configure(server={"admin_listen": f"unix:{tmp_path}/stand-in.sock"})
        rows = found(conf=shop.conf)
        thread.join()
    assert [r["detail"] for r in rows if r["kind"] == "daemon"] == [
        "not ready: draining", "not ready: the disk is full"]


def test_a_long_log_and_a_full_disk_are_told(shop):
    db = sqlite3.connect(shop.store)
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE scratch (x)")
    db.executemany("INSERT INTO scratch VALUES (?)", [(b"x" * 4000,) for _ in range(400)])
    db.commit()
    rows = found("--wal-over", "1", "--free-below", str(1 << 40), db=shop.store)
    db.close()
    kinds = {r["kind"]: r for r in rows}
    assert "the log has 1 MiB, more than 1" in kinds["store"]["detail"]
    assert kinds["disk"]["next"].startswith("df -h /")


def test_a_clock_that_was_set_back_is_told(damaged):
    path = damaged("UPDATE event SET received_ms = received_ms - 7200000 WHERE event_id >= 5")
    rows = [r for r in found(db=path) if r["kind"] == "clock"]
    assert [(r["subject"], r["next"]) for r in rows] == [("5", "timedatectl")]
    assert "set back by 1h59m" in rows[0]["detail"] or "set back by 2h00m" in rows[0]["detail"]


def test_a_readmitted_event_is_no_clock_that_was_set_back(damaged):
    path = damaged("UPDATE event SET received_ms = received_ms - 7200000, source = 1"
                   " WHERE event_id = 5")
    assert [r for r in found(db=path) if r["kind"] == "clock"] == []


def test_a_missing_store_is_an_error_and_not_an_empty_list(tmp_path):
    done = tool("attention", db=str(tmp_path / "no.db"))
    assert done.returncode == 78
    assert done.stdout == ""
    assert "does not exist" in done.stderr


def test_refused_deliveries_of_the_last_day_are_told_by_their_reason(quiet):
    for i in range(3):
        assert quiet.post(callback(f"A{i}", 20, 1, china(60), clientId="other")).status == 401
    assert quiet.post(b"{").status == 400
    wait_until(lambda: quiet.rows("SELECT count(*) FROM held_log") == [(4,)])
    rows = found(conf=quiet.conf)
    assert [(r["kind"], r["subject"], r["next"]) for r in rows] == [
        ("held", "json-syntax", "orderhook held --reason json-syntax"),
        ("held", "client-id", "orderhook held --reason client-id")]
    assert rows[1]["detail"].startswith("3 deliveries were refused in the last day, 3 of them with"
                                        " our token or ids: ")
    assert tool(*rows[1]["next"].split()[1:], conf=quiet.conf).returncode == 0
    db = sqlite3.connect(quiet.store, timeout=10)
    db.execute("UPDATE held SET last_ms = last_ms - 86400000 - 1000 WHERE reason = 'client-id'")
    db.commit()
    db.close()
    assert [r["subject"] for r in found(conf=quiet.conf)] == ["json-syntax"]
