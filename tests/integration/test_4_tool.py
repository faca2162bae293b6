"""orderhook, the operator's tool: usage, formats, one order, following, bodies, signing, init."""

import csv
import fcntl
import hashlib
import io
import json
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import termios
import time
import unicodedata

import pytest

from conftest import (BUILD, DEADLINE_S, SECRET, TOKEN, Daemon, body_of, callback,
                      captured, tool, wait_until)

TOOL = os.path.join(BUILD, "orderhook")
COMMANDS = ["orders", "show", "events", "raw", "simulate", "sign", "init"]
ORDER = "cp451412923563114496"
ISS = "TDH2025053050205843"
COURIER = {"id": "C1", "name": "测师傅", "mobile": "13800138000"}


def on_terminal(*arguments, columns=100, env=None):
    """Runs the tool with its stdout on a pseudo-terminal; returns (text, stderr, exit code)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {"TERM": "xterm", "PATH": os.environ["PATH"], **(env or {})}
    process = subprocess.Popen([TOOL, *arguments], stdout=slave, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, env=environment)
    os.close(slave)
    text = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not piece:
            break
        text += piece
    stderr = process.stderr.read()
    process.stderr.close()
    os.close(master)
    return text.decode().replace("\r\n", "\n"), stderr.decode(), process.wait(DEADLINE_S)


def display_width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_one_line(stderr):
    assert stderr.endswith("\n") and stderr.count("\n") == 1, stderr
    assert stderr.startswith("orderhook")


class Follower:
    """orderhook events -f as a process whose lines can be waited for."""

    def __init__(self, db, *arguments, format_name="jsonl", ready=True):
        self.process = subprocess.Popen(
            [TOOL, "--db", db, "events", "-f", "--format", format_name, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.buffer = b""
        wait_until(lambda: not ready or self.watches() or self.process.poll() is not None)

    def watches(self):
        """True once it has looked for the first time: then it sets its watch and waits."""
        directory = f"/proc/{self.process.pid}/fdinfo"
        try:
            return any("inotify wd" in open(os.path.join(directory, fd)).read()
                       for fd in os.listdir(directory))
        except FileNotFoundError:
            return False

    def read_until(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition(self.lines()):
            left = end - time.monotonic()
            assert left > 0, (self.buffer, self.process.poll())
            if select.select([self.process.stdout], [], [], left)[0]:
                piece = os.read(self.process.stdout.fileno(), 65536)
                assert piece, "the follower ended"
                self.buffer += piece
        return self.lines()

    def lines(self):
        return self.buffer.decode().splitlines()

    def ids(self):
        return [json.loads(line)["event_id"] for line in self.lines()]

    def wait_for(self, number):
        self.read_until(lambda lines: len(lines) >= number)
        return self.ids()

    def end(self, signal_number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        rest, stderr = self.process.communicate(timeout=DEADLINE_S)
        self.buffer += rest
        return self.process.returncode, stderr.decode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A store with the captured order, an order of every verdict, a re-dispatched one; no daemon."""
    daemon = Daemon(tmp_path_factory.mktemp("shop")).init().start()
    base = "2025-05-30 10:00:"
    members = [
        callback("V", 20, 1, base + "00"),
        callback("V", 30, 1, base + "10", courier=COURIER),
        callback("V", 30, 1, base + "11", courier=COURIER),
        callback("V", 20, 2, base + "20"),
        callback("V", 30, 2, base + "15", courier=COURIER),
        callback("V", 60, None, base + "40"),
        callback("V", 40, 1, base + "50"),
        callback("V", 70, 1, base + "55"),
        callback("V", 60, None, base + "40", drawback=5),
        callback("V", 60, None, base + "59", orderNo="another"),
        callback("D1", 20, 1, base + "00", orderNo="twice"),
        callback("D1", 60, None, base + "10", orderNo="twice"),
        callback("D2", 20, 1, base + "20", orderNo="twice"),
        callback("R", 40, 3, base + "20"),
    ]
    for body in captured() + [body_of(m) for m in members]:
        assert daemon.post(body).status == 200
    signed = tool("sign", "--secret-file", daemon.dir + "/secret", "--envelope",
                  stdin=body_of(callback("S", 20, 1, base + "00")), check=True)
    assert daemon.post(signed.stdout).status == 200
    assert daemon.stop() == 0
    return daemon


@pytest.fixture
def damaged(shop, tmp_path):
    """A copy of the shop's store in which a statement has been run."""
    def make(sql=None):
        path = str(tmp_path / "copy.db")
        db = sqlite3.connect(f"file:{shop.store}?mode=ro", uri=True)
        db.execute("VACUUM INTO ?", (path,))
        db.close()
        if sql:
            db = sqlite3.connect(path)
            db.execute(sql)
            db.commit()
            db.close()
        return path
    return make


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
    (["orders", "--format"], "--format: FORMAT is missing"),
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
    assert max(display_width(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_two_examples(command):
    done = tool(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"Usage: orderhook {command} ")
    examples = done.stdout.split("Examples:\n", 1)[1]
    assert len(re.findall(rf"^  .*orderhook .*{command}", examples, re.M)) >= 2, examples
    assert tool("help", command).stdout == done.stdout


def test_the_examples_in_the_help_are_taken(shop):
    """What the help shows must parse: none of it may end as a usage error."""
    for command in ["orders", "show", "events", "raw"]:
        examples = tool("help", command).stdout.split("Examples:\n", 1)[1]
        for line in re.findall(r"^  orderhook (.*)$", examples, re.M):
            words = re.split(r"\s{3,}|\s[>|]", line)[0].split()
            if "-f" in words:
                words.remove("-f")
            assert tool(*words, db=shop.store).returncode in (0, 1, 3), line


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


def test_raw_with_reveal_is_exact_on_a_terminal(shop):
    text, stderr, code = on_terminal("--db", shop.store, "raw", "2", "--reveal")
    assert (text.encode(), stderr, code) == (captured()[1], "", 0)


def test_raw_on_a_terminal_cannot_drive_it(damaged):
    path = damaged("UPDATE event SET body = CAST('{\"a\":\"' || char(155, 8238) || '\"}' AS BLOB)")
    text, _, code = on_terminal("--db", path, "raw", "1")
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


# ---------------------------------------------------------------------- terminals


@pytest.mark.parametrize("command", [["orders"], ["events"], ["show", "V"], ["show", "R"]])
@pytest.mark.parametrize("columns", [80, 100, 132, 200])
def test_a_table_fits_the_terminal(shop, command, columns):
    text, _, code = on_terminal("--db", shop.store, *command, columns=columns)
    assert code == 0
    for line in plain(text).splitlines():
        assert display_width(line) <= columns, line


def test_a_narrow_terminal_keeps_times_and_numbers(shop):
    text, _, _ = on_terminal("--db", shop.store, "orders", columns=80)
    assert "2025-05-30 17:04:24" in text
    assert "…" in text


def test_a_pipe_is_not_cut(shop):
    assert "…" not in tool("orders", db=shop.store, env={"COLUMNS": "20"}).stdout


def test_colour_only_on_a_terminal_and_never_with_no_color(shop):
    assert "\x1b[" in on_terminal("--db", shop.store, "events")[0]
    assert "\x1b" not in tool("events", db=shop.store, env={"TERM": "xterm"}).stdout
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal("--db", shop.store, "events", env=env)[0]
    assert "\x1b[" in on_terminal("--db", shop.store, "events", env={"NO_COLOR": ""})[0]


@pytest.mark.parametrize("format_name", ["table", "json", "jsonl", "csv"])
def test_stored_text_cannot_drive_the_terminal(damaged, format_name):
    path = damaged("UPDATE event SET notes = char(27) || '[2J' || char(8238, 155, 7, 10) || 'x'")
    for command in (["events"], ["show", "V"]):
        text, _, code = on_terminal("--db", path, *command, "--format", format_name,
                                    columns=400, env={"NO_COLOR": "1"})
        assert code == 0
        for c in re.sub(r"\r*\n", "", text):  # CSV's lines end in CR LF
            assert unicodedata.category(c) not in ("Cc", "Cf"), repr(c)
        escaped = r"\u001b[2J\u202e\u009b\u0007\n" if "json" in format_name \
            else r"\x1b[2J\u{202e}\u{9b}\x07\x0a"
        assert escaped in text


def test_csv_in_a_pipe_is_exact(damaged):
    path = damaged("UPDATE event SET notes = char(27, 13, 10) || '\"'")
    done = subprocess.run([TOOL, "--db", path, "events", "--format", "csv"], capture_output=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert {row["notes"] for row in rows} == {'\x1b\r\n"'}


# ---------------------------------------------------------------------- output that fails


def test_a_reader_that_goes_away_is_no_failure(shop):
    for command in (["orders"], ["events", "--format", "json"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([TOOL, "--db", shop.store, *command], stdout=write,
                              stderr=subprocess.PIPE, timeout=DEADLINE_S)
        os.close(write)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_under_the_output_is_5(shop):
    with open("/dev/full", "w") as full:
        done = subprocess.run([TOOL, "--db", shop.store, "orders"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S)
    assert done.returncode == 5
    assert_one_line(done.stderr)
    assert "No space left" in done.stderr


# ---------------------------------------------------------------------- following


def test_follow_prints_each_event_once_and_ends_on_ctrl_c(daemon):
    follower = Follower(daemon.store)
    for number in range(30):
        assert daemon.post(callback(f"F{number}")).status == 200
        if number % 10 == 9:
            follower.wait_for(number + 1)
    assert follower.end() == (0, "")
    assert follower.ids() == list(range(1, 31))


def test_follow_goes_on_across_restarts_of_the_daemon(make_daemon):
    daemon = make_daemon().init().start()
    daemon.post(callback("F0"))
    follower = Follower(daemon.store)
    follower.wait_for(1)
    sent = 1
    for ending in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        for _ in range(5):
            assert daemon.post(callback(f"F{sent}")).status == 200
            sent += 1
        daemon.stop(ending)
        daemon.start()
        assert daemon.post(callback(f"F{sent}")).status == 200
        sent += 1
        follower.wait_for(sent)
    assert daemon.stop() == 0
    assert follower.end() == (0, "")
    assert follower.ids() == list(range(1, sent + 1))


def test_follow_of_an_empty_store_misses_nothing_of_a_burst(daemon):
    follower = Follower(daemon.store)
    connection = daemon.connect()
    for number in range(100):
        connection.send(b"".join([
            f"POST /callback/shansong/{TOKEN} HTTP/1.1\r\nHost: x\r\n".encode(),
            b"Content-Type: application/json\r\nContent-Length: ",
            str(len(body_of(callback(f"B{number}")))).encode(), b"\r\n\r\n",
            body_of(callback(f"B{number}"))]))
        assert connection.reply().status == 200
    connection.close()
    follower.wait_for(100)
    assert follower.end(signal.SIGTERM) == (0, "")
    assert follower.ids() == list(range(1, 101))


def test_follow_begins_with_the_newest_ten(shop):
    follower = Follower(shop.store)
    ids = follower.wait_for(10)
    follower.end()
    assert ids == follower.ids() == list(range(11, 21))


def test_follow_with_since_begins_with_all_of_it(shop):
    follower = Follower(shop.store, "--since", "2001-01-01T00:00:00Z")
    follower.wait_for(20)
    follower.end()
    assert follower.ids() == list(range(1, 21))


def test_follow_filters(daemon):
    follower = Follower(daemon.store, "--verdict", "unknown,jumped")
    for number, (status, sub) in enumerate([(20, 1), (70, 1), (20, 1), (40, 1), (20, 1)]):
        daemon.post(callback(f"F{number}", status, sub))
    follower.wait_for(2)
    follower.end()
    assert follower.ids() == [2, 4]


def test_follow_as_a_table_prints_its_heading_once(daemon):
    follower = Follower(daemon.store, format_name="table")
    for number in range(3):
        daemon.post(callback(f"F{number}"))
        follower.read_until(lambda lines, n=number: len(lines) >= n + 2)
    assert follower.end() == (0, "")
    assert sum("event_id" in line for line in follower.lines()) == 1


def test_follow_ends_when_nobody_reads(shop):
    follower = Follower(shop.store)
    follower.wait_for(10)
    follower.process.stdout.close()
    assert follower.process.wait(DEADLINE_S) == 0
    assert follower.process.stderr.read() == b""
    follower.process.stderr.close()


def test_follow_ends_on_ctrl_c_while_its_output_is_stuck(damaged):
    path = damaged("UPDATE event SET notes = hex(zeroblob(5000))")
    follower = Follower(path, "--since", "2001-01-01T00:00:00Z", ready=False)
    wait_until(lambda: select.select([follower.process.stdout], [], [], 0)[0])
    follower.process.send_signal(signal.SIGINT)
    assert follower.process.wait(DEADLINE_S) == 0
    follower.end()


def test_follow_notices_that_the_store_was_replaced(damaged):
    path = damaged()
    follower = Follower(path, ready=False)
    follower.wait_for(10)
    os.rename(path, path + ".old")
    assert follower.process.wait(DEADLINE_S) == 5
    _, stderr = follower.end()
    assert "replaced" in stderr


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
