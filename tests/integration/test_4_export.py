"""orderhook export: the log with its bodies."""

import base64
import csv
import io
import json
import os
import sqlite3
import subprocess

from conftest import tool
from tool_help import TOOL, damaged, lines_of, shop  # noqa: F401


def test_every_event_comes_with_its_exact_body(shop):
    rows = lines_of(tool("export", "--reveal", db=shop.store, check=True))
    stored = shop.rows("SELECT event_id, iss_order_no, verdict, body FROM order_log"
                       " ORDER BY event_id")
    assert len(stored) > 10
    assert [(r["event_id"], r["iss_order_no"], r["verdict"], r["body"].encode())
            for r in rows] == stored
    assert all(r["body_base64"] is None for r in rows)


def test_it_masks_unless_told_to_reveal(shop):
    text = tool("export", db=shop.store, check=True).stdout
    assert "测师傅" not in text and "13800138000" not in text
    assert "***" in text
    assert "13800138000" in tool("export", "--reveal", db=shop.store, check=True).stdout


def test_what_is_no_utf_8_comes_as_base64(damaged):
    path = damaged("UPDATE event SET body = x'ff00fe41' WHERE event_id = 3")
    row = lines_of(tool("export", "--reveal", db=path, check=True))[2]
    assert row["body"] is None
    assert base64.b64decode(row["body_base64"]) == b"\xff\x00\xfeA"


def test_a_body_that_cannot_be_masked_is_left_out_and_told(damaged):
    path = damaged("UPDATE event SET body = x'7b22' WHERE event_id = 3")
    done = tool("export", db=path)
    assert done.returncode == 0
    assert lines_of(done)[2]["body"] is None
    assert done.stderr == ("orderhook export: 1 bodies are left out, because nothing in them can be"
                           " masked; --reveal exports them\n")


def test_csv_and_json_have_the_same_bodies(shop):
    expected = [r["body"] for r in lines_of(tool("export", "--reveal", db=shop.store))]
    done = tool("export", "--reveal", "--format", "csv", db=shop.store, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert [r["body"] for r in rows] == expected
    done = tool("export", "--reveal", "--format", "json", db=shop.store, check=True)
    assert [r["body"] for r in json.loads(done.stdout)] == expected


def test_it_takes_a_selection_as_events_does(shop):
    for words in (["--order", "V"], ["--verdict", "illegal,conflict"], ["--auth", "signed"],
                  ["--limit", "3"], ["--order", "V", "--limit", "2"]):
        events = lines_of(tool("events", "--format", "jsonl", *words, db=shop.store))
        export = lines_of(tool("export", *words, db=shop.store))
        assert [r["event_id"] for r in export] == [r["event_id"] for r in events] != []


def test_nothing_that_matches_is_exit_1_and_a_table_a_usage_error(shop):
    done = tool("export", "--order", "no-such", db=shop.store)
    assert (done.returncode, done.stdout) == (1, "")
    assert tool("export", "--format", "table", db=shop.store).returncode == 2


def test_memory_does_not_grow_with_the_store(damaged):
    """A store of 40 MB of bodies, exported in a fraction of that."""
    path = damaged("WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n"
                   " WHERE i < 1640) INSERT INTO event SELECT i, order_id, occurred_ms,"
                   " received_ms, status, sub_status, occurred_from, verdict, from_status,"
                   " from_sub_status, auth, source, deliveries, courier_id, content,"
                   " body_sha256, link, private_sha256, order_no,"
                   " shop_id, remote, notes, head,"
                   " CAST(replace(hex(zeroblob(32768)), '0', 'a') AS BLOB)"
                   " FROM event, n WHERE event_id = 1")
    db = sqlite3.connect(path)
    db.execute("UPDATE event_span SET last_event_id = 1640")
    db.commit()
    db.close()
    process = subprocess.Popen([TOOL, "--db", path, "export", "--reveal"], stdout=subprocess.PIPE)
    read = 0
    while read < 30_000_000:
        read += len(process.stdout.read(1 << 20))
    # Of this process alone: what wait4() tells begins with the size of the one that made it.
    with open(f"/proc/{process.pid}/status") as status:
        most_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    read += sum(len(piece) for piece in iter(lambda: process.stdout.read(1 << 20), b""))
    process.stdout.close()
    assert process.wait(20) == 0
    assert read > 40_000_000
    assert most_kb < 36 * 1024  # its libraries alone take about 20 MB
