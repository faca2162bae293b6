"""Stores with changed bytes under the tool itself: whatever is in them, a command ends by itself,
with a code of the contract, and leaves them as they are."""

import os
import pty
import random
import re
import subprocess
import threading
import unicodedata

import pytest

from conftest import ROOT, Daemon, callback, captured, how_many, sign_flat
from tool_help import COURIER, ISS, ORDER, TOOL, assert_one_line

LIMIT_S = 5
CORPUS = os.path.join(ROOT, "tests/fuzz/corpus/store")
SUFFIXES = ("", "-wal", ".head")
POISON = (b"\x1b[2J", b"\x9b31m", b"\r\n\x07\0", "\u202e".encode() + b"x", b"\xff\xfe\x80\xc2")
NAME = "orderhook.db"
# Exit codes of the contract that a command may have here, besides 5 (store error) and 78 (no store
# of ours any more).
COMMANDS = {
    "show": (["show", ORDER], {0, 3}),
    "show --at": (["show", ISS, "--at", "2025-05-30T17:02:00+08:00", "--format", "json"], {0, 3}),
    "events": (["events"], {0, 1}),
    "events by time": (["events", "--order", ISS, "--format", "csv"], {0, 1}),
    "orders": (["orders"], {0, 1}),
    "export": (["export", "--format", "jsonl"], {0, 1}),
    "attention": (["attention"], {0, 1}),
    "backup": (["backup", "OUT"], {0, 1}),
    "verify": (["verify"], {0, 1}),
    "doctor": (["doctor"], {0, 1}),
    "raw": (["raw", "1"], {0, 3, 4}),
    "raw --headers": (["raw", "7", "--headers"], {0, 3, 4}),
    "held": (["held"], {0, 1}),
    "held show": (["held", "show", "1"], {0, 3}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """As they lie there while a daemon runs: half of the events are in the log only."""
    daemon = Daemon(tmp_path_factory.mktemp("base")).init().start()
    for body in captured():
        assert daemon.post(body).status == 200
    assert daemon.stop() == 0
    daemon.start()
    for sub, seconds in ((1, "00"), (2, "20")):
        body = callback("W", 20, sub, "2025-05-30 10:00:" + seconds, statusDesc="about it")
        assert daemon.post(body).status == 200
    body = callback("W", 30, 1, "2025-05-30 10:00:30", courier=COURIER)
    assert daemon.post(body).status == 200
    forged = sign_flat(callback("W", 40, 1, "2025-05-30 10:00:40"), secret="another-secret-01")
    assert daemon.post(forged).status == 401
    # Refused ones go along with the next batch.
    assert daemon.post(callback("W", 40, 1, "2025-05-30 10:00:40")).status == 200
    read = [read_file(daemon.store + suffix) for suffix in SUFFIXES]
    assert daemon.stop() == 0
    assert len(read[1]) > 4096
    return read


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def changed_as(files, changes):
    """What fuzz_store.c does with an input: five bytes a change, of which file, where, to what."""
    changed = [bytearray(data) for data in files]
    for i in range(0, len(changes), 5):
        how, *place, value = changes[i:i + 5].ljust(5, b"\0")
        data = changed[how % len(SUFFIXES)]
        at = int.from_bytes(bytes(place), "big") % (len(files[how % len(SUFFIXES)]) + 1)
        if how >= 0xf0:
            del data[at:]
        elif at < len(data) and how >= 0x80:
            data[at] = value
        elif at < len(data):
            data[at] ^= 1 << value % 8
    return changed


def seeded(files, seed):
    """Damages that are likelier to be read as rows than a fuzzer's: in text, in whole pages."""
    choice = random.Random(seed)
    changed = [bytearray(data) for data in files]
    kind = choice.choice(["text", "text", "bits", "pages", "zeros", "short"])
    for data in changed[:2]:
        page = 4096 * choice.randrange(1, len(data) // 4096)
        if kind == "text":
            words = [m.start() for m in re.finditer(rb"[A-Za-z0-9-]{4}", data)]
            for at in choice.sample(words, 40):
                data[at:at + 4] = choice.choice(POISON)
        elif kind == "bits":
            for _ in range(choice.choice([3, 30])):
                data[choice.randrange(100, len(data))] ^= 1 << choice.randrange(8)
        elif kind == "pages":
            other = 4096 * choice.randrange(1, len(data) // 4096)
            data[page:page + 4096] = data[other:other + 4096]
        elif kind == "zeros":
            data[page:page + 512] = bytes(512)
        else:
            del data[choice.randrange(len(data)):]
    return changed


def write_store(directory, changed):
    os.mkdir(directory)
    for suffix, data in zip(SUFFIXES, changed):
        with open(os.path.join(directory, NAME + suffix), "wb") as f:
            f.write(data)


def contents(directory):
    """All but SQLite's index of the log, which a reader shares with the writer and makes anew."""
    return {name: read_file(os.path.join(directory, name)) for name in os.listdir(directory)
            if not name.endswith("-shm")}


def on_screen(path, arguments):
    """(what a terminal would get, stderr, exit code); a signal when it takes too long."""
    master, slave = pty.openpty()
    process = subprocess.Popen([TOOL, "--db", path, *arguments], stdout=slave,
                               stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               env={"TERM": "xterm", "NO_COLOR": "1", "PATH": os.environ["PATH"]})
    os.close(slave)
    late = threading.Timer(LIMIT_S, process.kill)
    late.start()
    text = b""
    try:
        while piece := os.read(master, 65536):
            text += piece
    except OSError:  # EIO: the other side is closed
        pass
    stderr = process.stderr.read()
    code = process.wait()
    late.cancel()
    process.stderr.close()
    os.close(master)
    return text.decode(), stderr.decode(), code


def check_command(name, path, out):
    arguments, codes = COMMANDS[name]
    screen, stderr, code = on_screen(path, [out if a == "OUT" else a for a in arguments])
    said = (name, code, stderr, screen[:500])
    assert code in codes | {5, 78}, said
    for c in re.sub(r"\r*\n", "", screen + stderr):
        assert unicodedata.category(c) not in ("Cc", "Cf"), (repr(c), said)
    if code not in (0, 1):
        assert_one_line(stderr)
    assert all(line.startswith("orderhook") for line in stderr.splitlines()), said
    return code


def check_store(directory, changed, tally):
    write_store(directory, changed)
    before = contents(directory)
    path = os.path.join(directory, NAME)
    for name in COMMANDS:
        code = check_command(name, path, directory + ".copy")
        tally[code] = tally.get(code, 0) + 1
        after = contents(directory)
        changed_files = [f for f in before.keys() | after.keys() if before.get(f) != after.get(f)]
        assert not changed_files, name


def test_a_store_of_the_fuzzers_corpus_is_read_to_an_exit_code_and_not_changed(
        files, tmp_path, record_property):
    names = sorted(os.listdir(CORPUS))
    tally = {}
    assert len(names) > 20
    for name in random.Random(1).sample(names, how_many(8, len(names))):
        check_store(str(tmp_path / name), changed_as(files, read_file(os.path.join(CORPUS, name))),
                    tally)
    record_property("figures", ", ".join(f"exit {c}: {n}" for c, n in sorted(tally.items())))


def test_a_store_with_seeded_damage_is_read_to_an_exit_code_and_not_changed(
        files, tmp_path, record_property):
    tally = {}
    for seed in range(how_many(12, 1000)):
        check_store(str(tmp_path / f"seed-{seed}"), seeded(files, seed), tally)
    # Otherwise the damages were none, or all of them such that nothing is read.
    assert tally[0] and tally[5]
    record_property("figures", ", ".join(f"exit {c}: {n}" for c, n in sorted(tally.items())))


def test_the_store_without_damage_is_read_by_every_command(files, tmp_path):
    directory = str(tmp_path / "whole")
    write_store(directory, files)
    for name in COMMANDS:
        expected = 1 if name in ("attention", "doctor") else 0
        assert check_command(name, os.path.join(directory, NAME), directory + ".copy") == expected
