"""The tool's output as it runs: terminals, readers that go away, following."""

import csv
import io
import os
import re
import select
import signal
import subprocess
import unicodedata

import pytest

from conftest import DEADLINE_S, callback, tool, wait_until
from tool_help import (TOOL, Follower, assert_one_line, damaged, display_width,  # noqa: F401
                       lines_of, on_terminal, plain, shop)


# ---------------------------------------------------------------------- terminals


@pytest.mark.parametrize("command", [["orders"], ["events"], ["show", "V"], ["show", "R"]])
@pytest.mark.parametrize("columns", [40, 80, 100, 132, 200])
def test_a_table_fits_the_terminal(shop, command, columns):
    text, _, code = on_terminal("--db", shop.store, *command, columns=columns)
    assert code == 0
    # The head of show is no table.
    table = text.split("\n\n", 1)[1] if command[0] == "show" else text
    for line in plain(table).splitlines():
        assert display_width(line) <= columns, line


def test_a_narrow_terminal_keeps_times_and_numbers(shop):
    text, _, _ = on_terminal("--db", shop.store, "orders", columns=80)
    assert "2025-05-30 17:04:24" in text
    assert "…" in text


def test_a_terminal_too_narrow_for_a_row_gets_a_line_for_each_cell(shop):
    for words in ("orders", "events"):
        text, _, _ = on_terminal("--db", shop.store, words, "--limit", "2", columns=40,
                                 env={"NO_COLOR": "1"})
        first, second = text.split("\n\n")
        assert re.search(r"^iss_order_no +R$", first, re.M)
        assert re.search(r"^iss_order_no +S$", second, re.M)
        assert re.search(r"^status +40/3 物品送回中", first, re.M)


def test_no_heading_is_cut_to_nothing(shop):
    for words in ("orders", "events"):
        text, _, _ = on_terminal("--db", shop.store, words, columns=80, env={"NO_COLOR": "1"})
        assert all(len(word) > 1 for word in text.splitlines()[0].split())


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


def test_followers_have_every_event_once_under_load_and_across_restarts(make_daemon):
    """Each follower is stopped over and over until more has come, amid its looks too."""
    daemon = make_daemon()
    daemon.configure(server={"listen": f"unix:{daemon.dir}/http"})
    daemon.init().start()
    followers = {arguments: Follower(daemon.store, *arguments)
                 for arguments in ((), ("--verdict", "applied,jumped"), ("--auth", "token"))}
    load = subprocess.Popen(
        [TOOL, "simulate", "--to", f"unix:{daemon.dir}/http:/callback/shansong", "--token-file",
         daemon.dir + "/token", "--client-id", "clientId", "--shop-id", "shopId", "--orders", "200",
         "--concurrency", "8", "--retry-interval", "300ms", "--seed", "3"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stored():
        return daemon.rows("SELECT count(*) FROM order_log")[0][0]

    def stop_and_go(until):
        while stored() < until and load.poll() is None:
            for follower in followers.values():
                before = stored()
                follower.process.send_signal(signal.SIGSTOP)
                wait_until(lambda: stored() > before or load.poll() is not None)
                follower.process.send_signal(signal.SIGCONT)

    for ending, enough in ((signal.SIGTERM, 150), (signal.SIGKILL, 450)):
        stop_and_go(enough)
        daemon.stop(ending)
        daemon.start()
    stop_and_go(10_000)
    load.wait(60)
    assert stored() > 600
    for arguments, follower in followers.items():
        wanted = [row["event_id"] for row in lines_of(tool(
            "events", *arguments, "--format", "jsonl", db=daemon.store))]
        follower.wait_for(len(wanted))
        assert follower.end() == (0, "")
        assert follower.ids() == wanted


def test_a_follower_with_a_filter_misses_nothing_between_two_of_its_reads(daemon, tmp_path):
    """strace holds it up for longer than a callback takes, wherever it goes back to the store."""
    slow = ("strace", "-D", "-o", str(tmp_path / "trace"), "-e", "trace=fcntl", "-e",
            "inject=fcntl:delay_enter=1500:when=20+")
    if subprocess.run([*slow, "true"], capture_output=True).returncode:
        pytest.skip("needs strace, and to be allowed to trace")
    daemon.post(callback("A", 70))
    follower = Follower(daemon.store, "--verdict", "unknown", ready=False, wrap=slow)
    follower.wait_for(1)
    for number in range(500):
        assert daemon.post(callback(f"F{number}", 70 if number % 5 else 20)).status == 200
    daemon.post(callback("Z", 70))
    wanted = [row["event_id"] for row in lines_of(tool(
        "events", "--verdict", "unknown", "--format", "jsonl", db=daemon.store))]
    assert len(wanted) == 402
    last = f'"event_id":{wanted[-1]},'.encode()
    follower.read_until(lambda _: last in follower.buffer and follower.buffer.endswith(b"\n"))
    assert follower.end() == (0, "")
    assert follower.ids() == wanted


def test_follow_of_an_empty_store_misses_nothing_of_a_burst(daemon):
    follower = Follower(daemon.store)
    follower.process.send_signal(signal.SIGSTOP)
    for number in range(40):
        assert daemon.post(callback(f"B{number}")).status == 200
    follower.process.send_signal(signal.SIGCONT)
    follower.wait_for(40)
    assert follower.end(signal.SIGTERM) == (0, "")
    assert follower.ids() == list(range(1, 41))


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
