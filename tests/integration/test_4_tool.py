"""orderhook, the operator's tool: usage, configuration, store, formats, filters, signing, init."""

import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import time

import pytest

from conftest import SECRET, body_of, callback, captured, tool
from tool_help import (ISS, TOOL, assert_one_line, damaged, display_width, lines_of,  # noqa: F401
                       shop)

COMMANDS = ["orders", "show", "events", "raw", "explain", "held", "export", "verify", "attention",
            "rejudge", "backup", "simulate", "replay", "sign", "init", "doctor"]


# ---------------------------------------------------------------------- usage and help


def test_without_a_command_it_says_what_to_do():
    done = tool()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == ("orderhook: a command is missing\n"
                           "orderhook: try 'orderhook --help'\n")


@pytest.mark.parametrize("words, meant", [
    (["ordres"], "did you mean 'orders'?"),
    (["shwo", "X"], "did you mean 'show'?"),
    (["--bd", "x", "orders"], "did you mean '--db'?"),
    (["orders", "--fromat", "json"], "did you mean '--format'?"),
    (["events", "--verd", "late"], "did you mean '--verdict'?"),
    (["orders", "--format", "jsno"], "did you mean 'json'?"),
    (["events", "--verdict", "aplied"], "did you mean 'applied'?"),
    (["events", "--auth", "sigend"], "did you mean 'signed'?"),
    (["show", "X", "--as", "recieved"], "did you mean 'received'?"),
    (["export", "--format", "jsno"], "did you mean 'json'?"),
    (["held", "--reason", "sign-wrogn"], "did you mean 'sign-wrong'?"),
    (["simulate", "--to", "http://127.0.0.1:1/x", "--form", "falt"], "did you mean 'flat'?"),
    (["simulate", "--to", "http://127.0.0.1:1/x", "--faults", "dublicate=1%"],
     "did you mean 'duplicate'?"),
])
def test_a_wrong_word_is_answered_with_the_right_one(words, meant):
    done = tool(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert meant in first
    assert "--help'" in second


@pytest.mark.parametrize("words, said", [
    (["nonsense-entirely"], "unknown command"),
    (["orders", "--zzzzzz"], "unknown option '--zzzzzz'"),
    (["orders", "-q"], "unknown option '-q'"),
    (["orders", "--format"], "--format: table|json|jsonl|csv is missing"),
    (["orders", "--format", "yaml"], "table, json, jsonl and csv are allowed"),
    (["orders", "--status", "45"], "20 (dispatching)"),
    (["orders", "--limit", "-1"], "whole number"),
    (["orders", "--older-than", "2 hours"], "2h"),
    (["orders", "--since", "yesterdayish"], "2025-05-30T16:55:19+08:00"),
    (["orders", "--since", "2025-05-30 16:55:19"], "a zone is missing"),
    (["orders", "extra"], "unexpected argument 'extra'"),
    (["events", "--auth", "magic"], "signed and token are allowed"),
    (["events", "-f", "--format", "json"], "use --format jsonl"),
    (["events", "-f", "--until", "1h"], "exclude each other"),
    (["events", "--follow=yes"], "takes no value"),
    (["show"], "an argument is missing: ORDER"),
    (["show", "X", "--as", "seen"], "occurred and received are allowed"),
    (["raw", "first"], "not an event's number"),
    (["raw", "0"], "not an event's number"),
    (["--db", "x", "sign"], "works on no store"),
    (["sign", "--timestamp", "12"], "13 digits"),
    (["sign", "--param", "novalue"], "KEY=VALUE"),
    (["init", "--environment", "x"], "goes with --db only"),
    (["help", "ordres"], "did you mean 'orders'?"),
])
def test_a_usage_error_is_one_line_and_a_hint(words, said):
    done = tool(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2
    assert said in done.stderr


def test_an_argument_cannot_drive_the_terminal():
    done = tool("\x1b]0;title\x07\u202e")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr
    assert r"\x1b]0;title\x07\u{202e}" in done.stderr


def test_help_lists_every_command_and_goes_to_stdout():
    done = tool("--help")
    assert done.returncode == 0 and done.stderr == ""
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", done.stdout, re.M)
    assert tool("help").stdout == done.stdout
    assert max(display_width(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_two_examples(command):
    done = tool(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"Usage: orderhook {command} ")
    assert max(display_width(line) for line in done.stdout.splitlines()) <= 80
    examples = done.stdout.split("Examples:\n", 1)[1]
    assert len(re.findall(rf"^  .*orderhook .*{command}", examples, re.M)) >= 2, examples
    assert tool("help", command).stdout == done.stdout


def test_version():
    assert re.fullmatch(r"orderhook \d+\.\d+\.\d+\n", tool("--version").stdout)


def test_options_may_stand_anywhere(shop):
    before = tool("--db", shop.store, "show", "--format", "json", "V")
    after = tool("show", "V", f"--db={shop.store}", "--format=json")
    assert before.returncode == 0
    assert after.stdout == before.stdout
    assert tool("show", "--db", shop.store, "--", "--format").returncode == 3


# ---------------------------------------------------------------------- configuration and store


def test_a_missing_configuration_is_78_and_names_the_file(tmp_path):
    done = tool("orders", conf=str(tmp_path / "no.conf"))
    assert done.returncode == 78
    assert_one_line(done.stderr)
    assert "no.conf" in done.stderr


def test_a_wrong_configuration_is_78_with_file_and_line(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("[store]\npth = x\n")
    done = tool("orders", conf=str(conf))
    assert done.returncode == 78
    assert f"{conf}:2:" in done.stderr


def test_with_db_no_configuration_is_read(shop, tmp_path):
    done = tool("orders", db=shop.store, conf=str(tmp_path / "no.conf"))
    assert done.returncode == 0


def test_reading_needs_no_secret(shop):
    os.rename(shop.dir + "/secret", shop.dir + "/hidden")
    try:
        assert tool("orders", conf=shop.conf).returncode == 0
    finally:
        os.rename(shop.dir + "/hidden", shop.dir + "/secret")


def test_a_missing_store_is_78_with_init_as_the_remedy(tmp_path):
    done = tool("orders", db=str(tmp_path / "no.db"))
    assert done.returncode == 78
    assert_one_line(done.stderr)
    assert "init" in done.stderr
    assert not os.path.exists(tmp_path / "no.db")


@pytest.mark.parametrize("content", [b"", b"not a database at all\n" * 100])
def test_a_file_that_is_no_store_is_refused_unharmed(tmp_path, content):
    path = tmp_path / "other.db"
    path.write_bytes(content)
    done = tool("orders", db=str(path))
    assert done.returncode in (5, 78)
    assert_one_line(done.stderr)
    assert path.read_bytes() == content


def test_a_newer_store_is_78(damaged):
    done = tool("orders", db=damaged("PRAGMA user_version = 9999"))
    assert done.returncode == 78
    assert_one_line(done.stderr)
    assert "newer" in done.stderr


def test_a_damaged_store_is_5(damaged):
    path = damaged()
    with open(path, "r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * (os.path.getsize(path) - 4096))
    for command in (["orders"], ["events"], ["show", "V"]):
        done = tool(*command, db=path)
        assert done.returncode == 5, done
        assert_one_line(done.stderr)


def test_a_store_that_somebody_holds_alone_is_5(damaged):
    path = damaged()
    db = sqlite3.connect(path)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("BEGIN EXCLUSIVE")
    try:
        done = tool("orders", db=path)
    finally:
        db.close()
    assert done.returncode == 5
    assert_one_line(done.stderr)


def test_reading_writes_nothing(shop):
    before = {n: open(os.path.join(shop.dir, n), "rb").read()
              for n in ("orderhook.db", "orderhook.db-wal")}
    for command in (["orders"], ["events"], ["show", "V"], ["raw", "1"]):
        assert tool(*command, db=shop.store).returncode == 0
    for name, content in before.items():
        assert open(os.path.join(shop.dir, name), "rb").read() == content


# ---------------------------------------------------------------------- formats


def test_orders_json_is_the_view(shop):
    db = sqlite3.connect(f"file:{shop.store}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    view = [dict(row) for row in db.execute("SELECT * FROM order_state")]
    db.close()
    shown = json.loads(tool("orders", "--format", "json", db=shop.store, check=True).stdout)
    assert [list(row) for row in shown] == [list(view[0])] * len(view)
    assert sorted(shown, key=str) == sorted(view, key=str)


def test_events_json_is_the_view_without_the_body(shop):
    db = sqlite3.connect(f"file:{shop.store}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    view = [dict(row) for row in db.execute("SELECT * FROM order_log ORDER BY event_id")]
    db.close()
    for row in view:
        row.pop("body")
    shown = json.loads(tool("events", "--format", "json", db=shop.store, check=True).stdout)
    assert shown == view
    assert list(shown[0]) == list(view[0])


@pytest.mark.parametrize("command", ["orders", "events"])
def test_jsonl_and_csv_hold_the_same_rows_as_json(shop, command):
    rows = json.loads(tool(command, "--format", "json", db=shop.store).stdout)
    assert lines_of(tool(command, "--format", "jsonl", db=shop.store)) == rows
    text = subprocess.run([TOOL, "--db", shop.store, command, "--format", "csv"],
                          capture_output=True, check=True).stdout.decode()
    assert text.count("\r\n") == len(rows) + 1
    parsed = list(csv.DictReader(io.StringIO(text, newline="")))
    assert parsed == [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]


def test_nothing_matched_is_1_and_still_well_formed(shop):
    for command in ("orders", "events"):
        empty = {"json": "[]\n", "jsonl": "", "table": ""}
        for name, text in empty.items():
            done = tool(command, "--order", "none", "--format", name, db=shop.store)
            assert (done.returncode, done.stdout) == (1, text)
            assert_one_line(done.stderr)
        done = tool(command, "--order", "none", "--format", "csv", db=shop.store)
        assert done.returncode == 1 and len(done.stdout.splitlines()) == 1


def test_a_table_is_aligned_whatever_the_locale_is(shop):
    texts = {tool("orders", db=shop.store, env={"LC_ALL": locale}).stdout
             for locale in ("C", "C.UTF-8", "POSIX", "nonsense")}
    assert len(texts) == 1
    heading, *rows = texts.pop().splitlines()
    at = heading.index("since")
    for row in rows:
        cut = next(i for i in range(len(row)) if display_width(row[:i]) == at)
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", row[cut:] + " "), row


def test_a_status_is_shown_with_its_words(shop):
    assert "40/3 物品送回中 (returning)" in tool("orders", db=shop.store).stdout
    assert "60 已取消 (cancelled)" in tool("orders", db=shop.store).stdout


def test_the_zone_is_said_once_in_the_heading(shop):
    for command in ("orders", "events"):
        text = tool(command, db=shop.store).stdout
        assert text.count("UTC+8") == 1
        assert "UTC+8" in text.splitlines()[0]


# ---------------------------------------------------------------------- filters


def numbers(done):
    return [row["iss_order_no"] for row in json.loads(done.stdout)]


def orders(shop, *arguments):
    return numbers(tool("orders", *arguments, "--format", "json", db=shop.store))


def test_orders_come_newest_last(shop):
    assert orders(shop) == [ISS, "V", "D1", "D2", "R", "S"]
    assert orders(shop, "--limit", "2") == ["R", "S"]
    assert orders(shop, "--limit", "0") == orders(shop)


def test_orders_filters(shop):
    assert orders(shop, "--status", "60") == ["V", "D1"]
    assert orders(shop, "--status", "40", "--shop", "shopId") == ["R"]
    assert orders(shop, "--shop", "other") == []
    assert orders(shop, "--order", "twice") == ["D1", "D2"]
    assert orders(shop, "--older-than", "1h", "--status", "20") == ["D2", "S"]
    assert orders(shop, "--older-than", "90000d") == []
    assert orders(shop, "--since", "1h", "--limit", "1") == ["S"]
    assert orders(shop, "--until", "1h") == []
    assert orders(shop, "--since", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z") == []


def test_today_begins_at_midnight_of_the_users_zone(damaged):
    now = time.time()
    received = int(now * 1000) - 3600 * 1000
    path = damaged(f"UPDATE orders SET last_received_ms = {received}")

    def found(hours_since_midnight):
        # A zone in which it is now so many hours after midnight.
        offset = (hours_since_midnight - time.gmtime(now).tm_hour) % 24
        offset = offset if offset <= 12 else offset - 24
        zone = f"ZONE{-offset:+d}"
        return tool("orders", "--since", "today", db=path, env={"TZ": zone}).returncode == 0

    assert found(2)
    assert not found(0)


def test_events_filters(shop):
    def events(*arguments):
        return [(e["iss_order_no"], e["verdict"]) for e in json.loads(
            tool("events", *arguments, "--format", "json", db=shop.store).stdout)]

    assert events("--verdict", "conflict,illegal,unknown,mismatch") == [
        ("V", v) for v in ("illegal", "unknown", "conflict", "mismatch")]
    assert events("--auth", "signed") == [("S", "applied")]
    assert [iss for iss, _ in events("--order", "twice")] == ["D1", "D1", "D2"]
    assert [iss for iss, _ in events("--order", "D1")] == ["D1", "D1"]
    assert events("--limit", "2") == [("R", "jumped"), ("S", "applied")]
    assert events("--order", "V", "--verdict", "late", "--limit", "1") == [("V", "late")]
    assert events("--until", "2001-01-01T00:00:00Z") == []
    assert len(events("--since", "1h")) == 20


# ---------------------------------------------------------------------- sign


def test_sign_is_the_published_rule(shop):
    done = tool("sign", "--secret-file", shop.dir + "/secret", "--timestamp", "1748595319000",
                stdin=b'{"issOrderNo":"TDH1","status":20,"clientId":"c","shopId":"","a":null}')
    assert done.returncode in (0, 4)
    done = tool("sign", "--secret-file", shop.dir + "/secret", "--timestamp", "1748595319000",
                stdin=b'{"issOrderNo":"TDH1","status":20,"clientId":"c","shopId":""}', check=True)
    members = json.loads(done.stdout)
    expected = hashlib.md5((SECRET + "clientIdcissOrderNoTDH1status20timestamp1748595319000")
                           .encode()).hexdigest().upper()
    assert members["sign"] == expected
    assert str(members["timestamp"]) == "1748595319000"
    assert not done.stdout.endswith(b"\n")


def test_sign_makes_an_envelope(shop):
    body = captured()[0]
    done = tool("sign", "--secret-file", shop.dir + "/secret", "--envelope", stdin=body,
                check=True)
    members = json.loads(done.stdout)
    text = SECRET + "".join(k + str(members[k]) for k in sorted(members) if k != "sign")
    assert members["sign"] == hashlib.md5(text.encode()).hexdigest().upper()
    assert json.loads(members["data"])["issOrderNo"] == ISS


def test_sign_takes_the_secret_of_an_endpoint(shop, tmp_path):
    body = tmp_path / "body.json"
    body.write_bytes(captured()[0])
    common = ["--timestamp", "1748595319000", str(body)]
    by_file = tool("sign", "--secret-file", shop.dir + "/secret", *common, check=True)
    assert tool("sign", "--endpoint", "shansong", *common, conf=shop.conf).stdout == by_file.stdout
    assert tool("sign", *common, conf=shop.conf).stdout == by_file.stdout
    done = tool("sign", "--endpoint", "other", *common, conf=shop.conf)
    assert done.returncode == 78
    assert "other" in done.stderr


def test_sign_of_parameters_is_the_published_rule(shop):
    params = {"timestamp": "1700000000000", "data": '{"cityName":"北京市"}', "clientId": "cid-1",
              "shopId": ""}
    done = tool("sign", "--secret-file", shop.dir + "/secret",
                *(f"--param={k}={v}" for k, v in params.items()), check=True)
    text = SECRET + "".join(k + v for k, v in sorted(params.items()) if v)
    assert done.stdout == hashlib.md5(text.encode()).hexdigest().upper() + "\n"
    for wrong in (["--param=a=1", "--param=a=2"], ["--param=sign=x"], ["--param=a=1", "-"]):
        assert tool("sign", "--secret-file", shop.dir + "/secret", *wrong).returncode == 2


def test_sign_refuses_a_secret_that_others_can_read(shop, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    done = tool("sign", "--secret-file", str(secret), stdin=b"{}")
    assert (done.returncode, done.stdout) == (78, b"")
    assert SECRET.encode() not in done.stderr
    assert str(secret).encode() in done.stderr


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":1}x', b'{"a":1,"a":2}'])
def test_sign_refuses_what_is_no_object(shop, body):
    done = tool("sign", "--secret-file", shop.dir + "/secret", stdin=body)
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.count(b"\n") == 1


def test_sign_offers_the_envelope_where_the_flat_form_cannot_carry_a_member(shop):
    body = body_of(callback("S9", 20, 1, novel="x"))
    done = tool("sign", "--secret-file", shop.dir + "/secret", stdin=body)
    assert done.returncode == 4
    assert b"--envelope" in done.stderr
    tool("sign", "--secret-file", shop.dir + "/secret", "--envelope", stdin=body, check=True)


def test_sign_of_a_missing_file_is_4(shop):
    done = tool("sign", "--secret-file", shop.dir + "/secret", "/nonexistent/body")
    assert done.returncode == 4
    assert_one_line(done.stderr)


# ---------------------------------------------------------------------- init


def test_init_makes_the_store_and_says_what_comes_next(make_daemon):
    daemon = make_daemon()
    done = tool("init", conf=daemon.conf, check=True)
    assert daemon.store in done.stdout
    assert f"orderhookd -c {daemon.conf}" in done.stdout
    assert tool("orders", conf=daemon.conf).returncode == 1
    daemon.start()
    assert daemon.stop() == 0


def test_init_leaves_a_store_that_is_there_unharmed(damaged):
    path = damaged()
    before = open(path, "rb").read()
    done = tool("init", db=path)
    assert (done.returncode, done.stdout) == (4, "")
    assert_one_line(done.stderr)
    assert open(path, "rb").read() == before


def test_init_never_tells_to_move_the_log_of_a_store_that_is_there(daemon):
    assert daemon.post(callback("A")).status == 200
    done = tool("init", conf=daemon.conf)
    assert done.returncode == 4
    assert_one_line(done.stderr)
    assert f"{daemon.store} is there already" in done.stderr and "-wal" not in done.stderr


def test_init_leaves_an_empty_file_alone(tmp_path):
    path = tmp_path / "empty.db"
    path.write_bytes(b"")
    assert tool("init", db=str(path)).returncode == 4
    assert path.read_bytes() == b""


def test_init_without_the_directory_says_how_to_make_it(tmp_path):
    done = tool("init", db=str(tmp_path / "no/such/x.db"))
    assert done.returncode == 5
    assert_one_line(done.stderr)
    assert "install -d" in done.stderr
    assert not (tmp_path / "no").exists()


def test_init_with_db_stamps_the_environment(tmp_path, make_daemon):
    path = str(tmp_path / "x.db")
    assert "'test'" in tool("init", "--environment", "test", db=path, check=True).stdout
    daemon = make_daemon(store={"path": path, "environment": "production"})
    daemon.start(wait=False)
    assert daemon.wait_exit() == 78
