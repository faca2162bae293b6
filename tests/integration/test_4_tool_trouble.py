"""Every command in trouble: a store that cannot be used, a reader that goes away, Ctrl-C."""

import fcntl
import os
import re
import signal
import sqlite3
import struct
import subprocess
import termios
import unicodedata

import pytest

from conftest import DEADLINE_S, LONG, ROOT, tool, wait_until
from tool_help import TOOL, assert_one_line, damaged, on_terminal, shop  # noqa: F401

TABLE = open(os.path.join(ROOT, "include/orderhook/tbl/command.def"), encoding="utf-8").read()
# (name, arguments) of each command that works on a store; init makes one.
READERS = [(name, arguments) for name, store, arguments in
           re.findall(r'^COMMAND\((\w+), \w+, ([01]), "([^"]*)"', TABLE, re.M)
           if store == "1" and name != "init"]
NAMES = [name for name, _ in READERS]
# What a command needs besides what its usage line names.
MORE = {"replay": ["--dry-run"], "prune": ["--older-than", "90d", "--dry-run"]}


def words(name, arguments, tmp_path):
    """The command as somebody would type it, from its usage line."""
    first = re.sub(r"\[[^\]]*\]", "", arguments).split("|")[0]
    # The store is the next test's, too.
    order = "NOBODY" if name == "erase" else "V"
    values = {"EVENT": "1", "ORDER": order, "FILE": str(tmp_path / "out.db"),
              "URL": "http://127.0.0.1:1/x"}
    return [name, *(values.get(word, word) for word in first.split()), *MORE.get(name, [])]


def spoil(kind, damaged, tmp_path):
    """(path, exit code, words of the message, what to close at the end)"""
    path = str(tmp_path / "spoiled.db")
    if kind == "missing":
        return path, 78, "does not exist; make it with `orderhook init`", None
    if kind == "directory":
        os.mkdir(path)
        return path, 78, "is not a regular file", None
    if kind == "unreadable":
        os.symlink("spoiled.db", path)
        return path, 5, "Too many levels of symbolic links", None
    if kind == "empty":
        open(path, "w").close()
        return path, 78, "is empty", None
    if kind == "foreign":
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE a (b)")
        db.close()
        return path, 78, "is not an orderhook store", None
    if kind == "newer":
        return damaged("PRAGMA user_version = 9999"), 78, "install that orderhook again", None
    path = damaged()
    if kind == "damaged":
        with open(path, "r+b") as f:
            f.seek(4096)
            f.write(b"\xff" * (os.path.getsize(path) - 4096))
        return path, 5, "restore a backup", None
    db = sqlite3.connect(path)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("BEGIN EXCLUSIVE")
    return path, 5, "fuser -v", db


def contents(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)
            if os.path.isfile(os.path.join(folder, name))}


@pytest.mark.parametrize("kind", ["missing", "directory", "unreadable", "empty", "foreign", "newer",
                                  "damaged", "locked"])
def test_a_store_that_cannot_be_used_is_one_line_and_stays_as_it_is(damaged, tmp_path, kind):
    path, code, said, held = spoil(kind, damaged, tmp_path)
    # Reading the file here would drop the lock that this process holds on it.
    before = None if held else contents(tmp_path)
    # Each waits for a second until it gives the lock up.
    some = held and not LONG
    for name, arguments in [r for r in READERS if not some or r[0] in ("show", "backup")]:
        done = tool(*words(name, arguments, tmp_path), db=path)
        if name == "doctor":  # it is there to find this
            assert done.returncode == 1 and done.stderr == "" and path in done.stdout, done
            continue
        assert (done.returncode, done.stdout) == (code, ""), (name, done)
        assert_one_line(done.stderr)
        assert said in done.stderr and path in done.stderr, (name, done.stderr)
    if held:
        held.close()
    else:
        assert contents(tmp_path) == before


POISON = "\x1b]0;t\x07\x1b[2J\u202e\u009b31m\x08\r\u2066\ufeff"


def poisoned(damaged):
    """A store in which every text that came from outside has what drives a terminal."""
    path = damaged("INSERT INTO held (received_ms, last_ms, ours, token_ok, bytes, endpoint,"
                   " reason, identity, head, body) VALUES (1, 1, 1, 1, 9, 'e', 'sign-wrong',"
                   " zeroblob(32), x'00', x'00')")
    db = sqlite3.connect(path)
    for table in ("orders", "event", "endpoint", "held"):
        for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
            if kind == "TEXT" and column not in ("reason", "iss_order_no"):
                db.execute(f"UPDATE {table} SET {column} = ifnull({column}, '') || ?", (POISON,))
            elif column in ("head", "body"):
                text = f'{{"a":"{POISON}"}}' if column == "body" else f"X: {POISON}\r\n"
                db.execute(f"UPDATE {table} SET {column} = CAST(? AS BLOB)", (text,))
    db.execute("UPDATE orders SET iss_order_no = iss_order_no || ? WHERE iss_order_no != 'V'",
               (POISON,))
    db.commit()
    db.close()
    return path


def test_what_drives_a_terminal_reaches_none_by_any_command(damaged, tmp_path):
    path = poisoned(damaged)
    lines = [["held", "show", "1"], ["held", "show", "1", "--reveal"], ["raw", "1", "--headers"]]
    lines += [[name, "--format", form] for name in ("orders", "events", "export", "held")
              for form in ("json", "jsonl", "csv")]
    lines += [words(name, arguments, tmp_path) for name, arguments in READERS]
    for line in lines:
        screen, stderr, _ = on_terminal("--db", path, *line, columns=400, env={"NO_COLOR": "1"})
        for c in re.sub(r"\r*\n", "", screen + stderr):
            assert unicodedata.category(c) not in ("Cc", "Cf"), (line, repr(c), screen, stderr)
        if line[0] in ("orders", "events", "show", "held"):
            assert "\\x1b]0;t\\x07" in screen or "\\u001b]0;t" in screen, (line, screen, stderr)


@pytest.mark.parametrize("name, arguments", READERS, ids=NAMES)
def test_a_reader_that_has_gone_away_changes_neither_exit_code_nor_says_anything(
        damaged, tmp_path, name, arguments):
    def line():
        for left in os.listdir(tmp_path):
            os.unlink(tmp_path / left)
        return [TOOL, "--db", damaged(), *words(name, arguments, tmp_path)]

    listened = subprocess.run(line(), capture_output=True, timeout=DEADLINE_S, cwd=tmp_path)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(line(), stdout=write, stderr=subprocess.PIPE, timeout=DEADLINE_S,
                          cwd=tmp_path)
    os.close(write)
    assert done.returncode == listened.returncode
    assert b"ipe" not in done.stderr and done.stderr.count(b"\n") <= listened.stderr.count(b"\n")


@pytest.mark.parametrize("line", [["events"], ["export"], ["events", "-f", "--limit", "20"]])
def test_ctrl_c_ends_a_command_whose_output_is_stuck(damaged, line):
    """By the signal, or by itself; without a word either way."""
    path = damaged("UPDATE event SET notes = hex(zeroblob(5000))")
    process = subprocess.Popen([TOOL, "--db", path, *line, "--format", "jsonl"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stuck():
        size = fcntl.ioctl(process.stdout.fileno(), termios.FIONREAD, struct.pack("i", 0))
        return struct.unpack("i", size)[0] >= 60_000

    try:
        wait_until(stuck)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) in (0, -signal.SIGINT)
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()
