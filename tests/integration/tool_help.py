"""What the tests of the tool share: pseudo-terminals, followers, a store with something of each."""

import fcntl
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

from conftest import (BUILD, DEADLINE_S, Daemon, assert_tool_kept_quiet, body_of, callback,
                      captured, tool, wait_until)

TOOL = os.path.join(BUILD, "orderhook")
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
    assert_tool_kept_quiet(arguments, text, stderr)
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

    def __init__(self, db, *arguments, format_name="jsonl", ready=True, wrap=()):
        self.process = subprocess.Popen(
            [*wrap, TOOL, "--db", db, "events", "-f", "--format", format_name, *arguments],
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
        assert_tool_kept_quiet(self.process.args, self.buffer, stderr)
        return self.process.returncode, stderr.decode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A store with the captured order, one of every verdict, a re-dispatched one; no daemon."""
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
