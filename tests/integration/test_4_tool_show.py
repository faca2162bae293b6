"""orderhook show and orderhook raw: one order and one body."""

import csv
import io
import json
import re
import time

from conftest import TOKEN, callback, captured, tool, wait_until
from tool_help import (ISS, ORDER, assert_one_line, damaged, on_terminal,  # noqa: F401
                       shop)


# ---------------------------------------------------------------------- show


def timeline_line(text, word):
    return next(line for line in text.splitlines() if re.search(rf"\b{word}\b", line))


def test_show_names_the_state_and_every_step(shop):
    text = tool("show", ORDER, db=shop.store, check=True).stdout
    assert re.search(rf"^iss_order_no +{ISS}$", text, re.M)
    assert re.search(r"^status +50/1 已完成 \(completed\)$", text, re.M)
    assert re.search(r"^since +2025-05-30 17:04:24 UTC\+8$", text, re.M)
    assert re.search(r"^reassignments +1$", text, re.M)
    assert "skipped 30/1 (never arrived)" in timeline_line(text, "jumped")
    assert "another courier; from 30/1" in timeline_line(text, "reassigned")


def test_show_says_what_each_verdict_means_here(shop):
    text = tool("show", "V", db=shop.store, check=True).stdout
    assert "it was in 30/1 already" in timeline_line(text, "repeated")
    assert "arrived after 20/2; folded anew" in timeline_line(text, "late")
    assert "no way from 60" in timeline_line(text, "illegal")
    assert "different content" in timeline_line(text, "conflict")
    assert "does not know" in timeline_line(text, "unknown")
    assert "another orderNo or shop" in timeline_line(text, "mismatch")
    assert re.search(r"^quarantined +4$", text, re.M)


def test_show_skips_every_step_that_never_arrived(shop):
    line = timeline_line(tool("show", "R", db=shop.store, check=True).stdout, "jumped")
    for step in ("20/1", "30/1", "40/1", "40/2"):
        assert f"{step} (never arrived)" in line


def test_show_tells_a_step_that_arrived_later(daemon):
    for sub, seconds in ((1, "00"), (None, "40")):
        daemon.post(callback("L", 20 if sub else 60, sub, "2025-05-30 10:00:" + seconds))
    daemon.post(callback("L2", 40, 1, "2025-05-30 10:00:30"))
    daemon.post(callback("L2", 30, 1, "2025-05-30 10:00:20"))
    line = timeline_line(tool("show", "L2", db=daemon.store, check=True).stdout, "jumped")
    assert "20/1 (never arrived), 30/1 (arrived later)" in line


def test_show_takes_the_newest_dispatch_and_names_the_others(shop):
    done = tool("show", "twice", "--format", "json", db=shop.store, check=True)
    assert json.loads(done.stdout)["order"]["iss_order_no"] == "D2"
    assert_one_line(done.stderr)
    assert "D1" in done.stderr
    done = tool("show", "D1", "--format", "json", db=shop.store, check=True)
    assert json.loads(done.stdout)["order"]["iss_order_no"] == "D1"
    assert done.stderr == ""


def test_show_takes_the_platforms_number_before_a_merchants(daemon):
    assert daemon.post(callback("X1", orderNo="m1")).status == 200
    assert daemon.post(callback("X2", orderNo="X1")).status == 200
    done = tool("show", "X1", "--format", "json", db=daemon.store, check=True)
    show = json.loads(done.stdout)
    assert show["order"]["iss_order_no"] == "X1"
    assert [e["iss_order_no"] for e in show["events"]] == ["X1"]
    assert "X2" in done.stderr


def test_show_of_an_unknown_order_is_3(shop):
    done = tool("show", "nobody", "--format", "json", db=shop.store)
    assert (done.returncode, done.stdout) == (3, "")
    assert_one_line(done.stderr)
    assert "nobody" in done.stderr


def shown(shop, order, *arguments):
    return json.loads(tool("show", order, "--format", "json", *arguments, db=shop.store,
                           check=True).stdout)


def test_show_orders_events_as_they_happened_or_as_they_came(shop):
    happened = [e["occurred"] for e in shown(shop, "V")["events"]]
    assert happened == sorted(happened)
    came = [e["event_id"] for e in shown(shop, "V", "--as", "received")["events"]]
    assert came == sorted(came)
    assert sorted(e["event_id"] for e in shown(shop, "V")["events"]) == came


def test_show_at_is_the_order_as_it_was(shop):
    show = shown(shop, ISS, "--at", "2025-05-30T17:02:00+08:00")
    assert [e["status"] for e in show["events"]] == [20, 30, 20]
    order = show["order"]
    assert (order["status"], order["sub_status"], order["status_text"]) == (20, 2, "转单改派中")
    assert order["since"] == "2025-05-30T09:01:38.000Z"
    assert (order["events"], order["reassignments"], order["courier_id"]) == (3, 1, None)
    later = shown(shop, ISS, "--at", "2025-05-30T17:03:25+08:00")["order"]
    assert (later["status"], later["courier_id"]) == (40, "SSBJ000000166")


def test_show_at_the_end_is_the_stored_state(shop):
    for order in (ISS, "V", "D1", "R", "S"):
        for way in ("occurred", "received"):
            now = shown(shop, order, "--as", way)
            then = shown(shop, order, "--as", way, "--at", "0")
            assert then == now


def test_show_at_before_the_first_event_is_3(shop):
    done = tool("show", ISS, "--at", "2025-05-30T16:00:00+08:00", db=shop.store)
    assert done.returncode == 3
    assert_one_line(done.stderr)


def test_show_at_as_received_knows_only_what_had_arrived(daemon):
    assert daemon.post(callback("L", 40, 1, "2025-05-30 10:00:30")).status == 200
    (first,), = daemon.rows("SELECT received FROM order_log")
    wait_until(lambda: time.time() > time.time_ns() // 10**9)
    before = int(time.time() * 1000)
    wait_until(lambda: int(time.time() * 1000) > before + 5)
    assert daemon.post(callback("L", 30, 1, "2025-05-30 10:00:20")).status == 200
    assert len(shown(daemon, "L", "--at", first, "--as", "received")["events"]) == 1
    assert len(shown(daemon, "L", "--at", "2025-05-30T10:00:20+08:00")["events"]) == 1
    at = shown(daemon, "L", "--at", "2025-05-30T10:00:20+08:00")["order"]
    assert (at["status"], at["sub_status"]) == (30, 1)


def test_show_reveals_a_courier_only_when_told(shop):
    text = tool("show", ISS, db=shop.store).stdout
    assert "SSBJ000000166" in text and "13800138000" not in text and "测师傅" not in text
    text = tool("show", ISS, "--reveal", db=shop.store).stdout
    assert "13800138000" in text and "测师傅" in text


def test_show_as_csv_is_the_events(shop):
    text = tool("show", "V", "--format", "csv", db=shop.store, check=True).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["event_id"]) for row in rows] == \
        [e["event_id"] for e in shown(shop, "V")["events"]]


def test_show_as_jsonl_is_one_line(shop):
    text = tool("show", "V", "--format", "jsonl", db=shop.store, check=True).stdout
    assert text.count("\n") == 1
    assert json.loads(text) == shown(shop, "V")


# ---------------------------------------------------------------------- raw


def test_raw_into_a_pipe_is_exact(shop):
    for number, body in enumerate(captured(), 1):
        assert tool("raw", str(number), db=shop.store, stdin=b"").stdout == body


def test_raw_on_a_terminal_is_masked_and_says_so(shop):
    text, stderr, code = on_terminal("--db", shop.store, "raw", "2")
    assert code == 0
    for secret in ("13800138000", "测师傅", "4004"):
        assert secret not in text
    members = json.loads(text)
    assert members["courier"]["mobile"] == "***"
    assert members["issOrderNo"] == ISS
    assert "--reveal" in stderr


def test_raw_with_reveal_is_unmasked_on_a_terminal(shop):
    text, stderr, code = on_terminal("--db", shop.store, "raw", "2", "--reveal")
    assert (text.encode(), stderr, code) == (captured()[1] + b"\n", "", 0)


def test_raw_on_a_terminal_cannot_drive_it(damaged):
    path = damaged("UPDATE event SET body = CAST('{\"a\":\"' || char(155, 8238) || '\"}' AS BLOB)")
    for reveal in [], ["--reveal"]:
        text, _, code = on_terminal("--db", path, "raw", "1", *reveal)
        assert code == 0
        assert text == '{"a":"\\u{9b}\\u{202e}"}\n'


def test_raw_on_a_terminal_does_not_show_what_it_cannot_mask(damaged):
    path = damaged("UPDATE event SET body = CAST('{\"mobile\":\"13800138000' AS BLOB)")
    text, stderr, code = on_terminal("--db", path, "raw", "1")
    assert (text, code) == ("", 4)
    assert "--reveal" in stderr


def test_raw_headers_have_no_token(shop):
    head = tool("raw", "1", "--headers", db=shop.store, check=True).stdout
    assert head.startswith("POST /callback/shansong HTTP/1.1")
    assert TOKEN not in head


def test_raw_of_an_unknown_event_is_3(shop):
    done = tool("raw", "999999", db=shop.store)
    assert (done.returncode, done.stdout) == (3, "")
    assert_one_line(done.stderr)
