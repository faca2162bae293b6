"""`orderhook verify` beside a running daemon and on what is wrong, and random bit flips that it has
to find. ORDERHOOK_FLIPS chooses how many of them must touch an event."""

import csv
import json
import os
import shutil
import sqlite3
import subprocess

from conftest import BUILD, ROOT, callback, how_many, tool

FLIPS = int(os.environ.get("ORDERHOOK_FLIPS") or how_many(2000, 100_000))
DRIVER = os.path.join(BUILD, "tests/flip_driver")


def post_orders(daemon, n):
    for i in range(n):
        assert daemon.post(callback(issOrderNo=f"TDV{i:06d}", orderNo=f"v-{i}")).status == 200


def change(store, statement):
    db = sqlite3.connect(store)
    db.execute(statement)
    db.commit()
    db.close()


def test_verify_beside_the_daemon_finds_nothing(daemon):
    post_orders(daemon, 5)
    done = tool("verify", "--format", "json", db=daemon.store)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr
    assert "5 events, 5 orders: 0 findings" in done.stderr
    assert "head" not in done.stderr


def test_verify_names_the_changed_event_in_every_format(daemon):
    post_orders(daemon, 3)
    assert daemon.stop() == 0
    change(daemon.store, "UPDATE event SET body = CAST(replace(body, 'TDV', 'TDX') AS BLOB)"
                         " WHERE event_id = 2")
    found = [json.loads(tool("verify", "--format", "json", db=daemon.store).stdout)[0],
             json.loads(tool("verify", "--format", "jsonl", db=daemon.store).stdout),
             next(csv.DictReader(tool("verify", "--format", "csv",
                                      db=daemon.store).stdout.splitlines()))]
    for one in found:
        assert (one["finding"], int(one["event_id"]), one["iss_order_no"]) == \
            ("body", 2, "TDV000001")
    done = tool("verify", db=daemon.store)
    assert done.returncode == 1
    assert "TDV000001" in done.stdout and "1 findings" in done.stderr


def test_store_that_was_put_back_is_refused_and_verify_says_what_is_missing(daemon):
    post_orders(daemon, 2)
    assert daemon.stop() == 0
    shutil.copy(daemon.store, daemon.store + ".old")
    daemon.start()
    post_orders(daemon, 4)
    assert daemon.stop() == 0
    shutil.move(daemon.store + ".old", daemon.store)
    done = tool("verify", "--format", "json", db=daemon.store)
    assert done.returncode == 1
    assert [(f["finding"], f["event_id"], f["last_event_id"]) for f in json.loads(done.stdout)] == \
        [("missing", 3, 4)]
    daemon.start(wait=False)
    assert daemon.wait_exit() == 78
    assert "were acknowledged" in daemon.log_text()


def test_head_that_is_missing_is_told(daemon):
    post_orders(daemon, 2)
    assert daemon.stop() == 0
    os.unlink(daemon.store + ".head")
    done = tool("verify", db=daemon.store)
    assert done.returncode == 0
    assert "there is none" in done.stderr
    daemon.start()
    assert daemon.stop() == 0
    assert "made anew at event 2" in tool("verify", db=daemon.store).stderr


def test_every_flipped_bit_of_an_event_is_found(record_property):
    lanes = [subprocess.Popen([DRIVER, "--touching", str(FLIPS // 2), "--seed", str(seed)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
             for seed in (11, 12)]
    told = [lane.communicate() for lane in lanes]
    figures = [json.loads(out) for out, _ in told if out]
    record_property("figures", json.dumps(
        {name: (max if name == "slowest_ms" else sum)(one[name] for one in figures)
         for name in figures[0]}))
    for lane, (_, problem) in zip(lanes, told):
        assert lane.returncode == 0, problem


def test_flips_are_missed_without_the_chain():
    done = subprocess.run([DRIVER, "--touching", "50", "--seed", "13", "--without-chain"],
                          capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert json.loads(done.stdout)["missed"] > 10
