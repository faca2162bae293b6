"""The scanner against a corpus drawn from the grammar, and against an independent reader on
mutations of it and of the captured callbacks.

ORDERHOOK_MUTATIONS says how many (without it 50 000, or a million under ORDERHOOK_LONG=1),
ORDERHOOK_SEED which ones.
"""

import hashlib
import os
import random
import re
import struct
import subprocess
import sys
import threading

import pytest

from conftest import BUILD, ROOT, SAMPLES, how_many

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import strict_json  # noqa: E402

DRIVER = os.path.join(BUILD, "tests/json_driver")
CORPUS = os.path.join(ROOT, "tests/fixtures/json/corpus.txt")
MUTATIONS = int(os.environ.get("ORDERHOOK_MUTATIONS") or how_many(50_000, 1_000_000))
SEED = int(os.environ.get("ORDERHOOK_SEED") or 20250530)
BATCH = 500  # their answers fit into a pipe, so neither side ever waits for the other
DEADLINE_S = 60
REFUSALS = ("syntax", "utf8", "surrogate", "nul", "depth", "members", "key-twice")


def expand(text):
    """The bytes that a TEXT of the corpus stands for; its notation is described there."""
    text = re.sub(r"%\{(\d+)\|(.*?)%\}",
                  lambda m: "".join(m[2].replace("#", str(i + 1)) for i in range(int(m[1]))), text)
    return re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode())


def corpus():
    """name: (ok or why not, text)"""
    cases = {}
    with open(CORPUS, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            name, verdict, text = line.split(" |", 2)
            assert name not in cases, f"{name} is there twice"
            cases[name] = verdict.strip(), expand(text[1:])
    return cases


CASES = corpus()


def samples():
    return {name: open(os.path.join(SAMPLES, name), "rb").read()
            for name in sorted(os.listdir(SAMPLES)) if re.match(r"(captured|constructed)-", name)}


def expected(text):
    """The driver's line, as the independent reader would write it."""
    try:
        members = strict_json.read(text)
    except strict_json.Refused as why:
        return "json-" + why.args[0]
    parts = []
    for key, kind, token, said in members:
        parts.append(b"%d:%s%s%d:%s" % (len(key), key, kind.encode(), len(token), token))
        if said is not None:
            parts.append(b"%d:%s" % (len(said), said))
    return f"ok {len(members)} {hashlib.sha256(b''.join(parts)).hexdigest()[:16]}"


class Driver:
    """The scanner in C, in one process for all questions."""

    def __init__(self):
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, texts):
        """Its lines for at most BATCH texts."""
        watchdog = threading.Timer(DEADLINE_S, self.process.kill)
        watchdog.start()
        answers = []
        try:
            self.process.stdin.write(b"".join(struct.pack(">I", len(t)) + t for t in texts))
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for text in texts:
            line = self.process.stdout.readline()
            assert line.endswith(b"\n"), \
                f"json_driver ended with {self.process.wait()} instead of answering for {text!r}"
            answers.append(line.decode().rstrip("\n"))
        watchdog.cancel()
        return answers

    def close(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        assert (self.process.wait(DEADLINE_S), rest) == (0, b"")


@pytest.fixture(scope="module")
def driver():
    one = Driver()
    yield one
    one.close()


def test_corpus_has_cases_of_every_verdict():
    verdicts = [verdict for verdict, _ in CASES.values()]
    assert len(CASES) >= 300
    assert set(verdicts) == {"ok", *REFUSALS}
    assert all(verdicts.count(verdict) >= 5 for verdict in set(verdicts))


@pytest.mark.parametrize("name", CASES)
def test_corpus(driver, name):
    verdict, text = CASES[name]
    line = expected(text)
    assert line.split()[0] == (verdict if verdict == "ok" else "json-" + verdict), \
        "the independent reader disagrees with the corpus"
    assert driver.ask([text]) == [line]


@pytest.mark.parametrize("name", samples())
def test_callbacks_of_the_platform_are_taken_apart(driver, name):
    text = samples()[name]
    line = expected(text)
    assert line.startswith("ok 1")
    assert driver.ask([text]) == [line]
    # Cut anywhere they are refused, for the same reason by both.
    cuts = [text[:n] for n in range(len(text))]
    lines = [expected(cut) for cut in cuts]
    assert not any(line.startswith("ok") for line in lines)
    assert [a for i in range(0, len(cuts), BATCH) for a in driver.ask(cuts[i:i + BATCH])] == lines


# What the grammar turns on, and what breaks it.
PIECES = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b" ", b"\t", b"\n", b"\r", b"0", b"00", b"1",
    b"-", b"+", b".", b"e", b"E+", b"1e400", b"-0.5", b"true", b"false", b"null", b"nul", b"''",
    b"{}", b"[]", b'""', b"[[[[", b"]]]]", b'{"a":', b'"status":', b'"Status":1,', b',"token":""',
    b"\\u0000", b"\\u0073", b"\\u00E9", b"\\ud83d", b"\\ude00", b"\\ud83d\\ude00", b"\\u12", b"\\n",
    b"\\/", b"\\q", b"\x00", b"\x01", b"\x1f", b"\x7f", b"\x80", b"\xc0\x80", b"\xc3\xa9", b"\xc3",
    b"\xed\xa0\x80", b"\xe9\x97\xaa", b"\xe9\x97", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80",
    b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"/**/", b"//", b"#",
]


class Mutator:
    """Texts near to the grammar: most of them just outside it, enough of them still inside."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.bases = list(samples().values()) * 20 + [
            text for _, text in CASES.values() if len(text) <= 2000]
        self.changes = [
            self.byte, self.piece, self.insert, self.delete, self.copy, self.cut, self.splice,
            self.case, self.escape, self.nest, self.key_again, self.many_members]
        self.weights = [6, 6, 8, 4, 4, 2, 2, 6, 8, 4, 6, 2]

    def text(self):
        text = self.random.choice(self.bases)
        count = self.random.choice((1, 1, 1, 2, 3))
        for change in self.random.choices(self.changes, self.weights, k=count):
            text = change(text)
        return text

    def place(self, text):
        return self.random.randint(0, len(text))

    def behind(self, text, byte):
        """A place behind one of these bytes, or any place when there is none."""
        places = [m.end() for m in re.finditer(re.escape(byte), text)]
        return self.random.choice(places) if places else self.place(text)

    def byte(self, text):
        at = self.place(text)
        return text[:at] + bytes([self.random.randrange(256)]) + text[at + 1:]

    def piece(self, text):
        at = self.place(text)
        return text[:at] + self.random.choice(PIECES) + text[at + 1:]

    def insert(self, text):
        at = self.place(text)
        return text[:at] + self.random.choice(PIECES) + text[at:]

    def delete(self, text):
        at = self.place(text)
        return text[:at] + text[at + self.random.choice((1, 1, 1, 2, 3, 10, 40)):]

    def copy(self, text):
        start, to = self.place(text), self.place(text)
        return text[:to] + text[start:start + self.random.randint(1, 40)] + text[to:]

    def cut(self, text):
        return text[:self.place(text)]

    def splice(self, text):
        other = self.random.choice(self.bases)
        return text[:self.place(text)] + other[self.place(other):]

    def case(self, text):
        at = self.place(text)
        return text[:at] + text[at:at + 1].swapcase() + text[at + 1:]

    def escape(self, text):
        """Writes a plain character as an escape, which changes nothing within a string."""
        at = self.behind(text, self.random.choice((b'"', b"e", b"s", b"o", b"t")))
        if not text[at:at + 1].isalnum():
            return self.case(text)
        digits = b"%04X" if self.random.random() < 0.5 else b"%04x"
        return text[:at] + b"\\u" + digits % text[at] + text[at + 1:]

    def nest(self, text):
        """Puts a value of some levels in front of another one, or in an array with it."""
        at = self.behind(text, self.random.choice((b":", b"[")))
        levels = self.random.randint(1, 9)
        opening, closing = self.random.choice(((b"[", b"]"), (b'{"x":', b"}")))
        value = opening * levels + b"1" + closing * levels
        return text[:at] + value + b',"%d":' % self.random.randrange(99) + text[at:]

    def key_again(self, text):
        """Adds a member whose key is there already, or nearly, to some object."""
        keys = re.findall(rb'"((?:[^"\\]|\\.)*)"\s*:', text) or [b"status"]
        key = self.random.choice(keys)
        how = self.random.randrange(4)
        if how == 1:
            key = key.swapcase() if b"\\" not in key else key
        elif how == 2 and key[:1].isalnum():
            key = b"\\u%04x" % key[0] + key[1:]
        elif how == 3:
            key += b"_"
        at = self.behind(text, b"{")
        return text[:at] + b'"' + key + b'":0,' + text[at:]

    def many_members(self, text):
        at = self.behind(text, b"{")
        return text[:at] + b"".join(b'"m%d":%d,' % (i, i) for i in
                                    range(self.random.randint(40, 66))) + text[at:]


def verdicts(driver, text):
    return driver.ask([text])[0].split()[0], expected(text).split()[0]


def shrink(driver, text):
    """A shorter text about which the two disagree in the same way."""
    wanted = verdicts(driver, text)
    size = len(text) // 2
    while size:
        before, at = len(text), 0
        while at < len(text):
            shorter = text[:at] + text[at + size:]
            if verdicts(driver, shorter) == wanted and driver.ask([shorter]) != [expected(shorter)]:
                text = shorter
            else:
                at += size
        # What went may have let more go.
        size = size if len(text) < before else size // 2
    return text


def test_mutations(driver, record_property):
    print(f"ORDERHOOK_SEED={SEED} ORDERHOOK_MUTATIONS={MUTATIONS}")
    mutator = Mutator(SEED)
    counts = dict.fromkeys(["ok", *("json-" + refusal for refusal in REFUSALS)], 0)
    for done in range(0, MUTATIONS, BATCH):
        texts = [mutator.text() for _ in range(min(BATCH, MUTATIONS - done))]
        for text, answer in zip(texts, driver.ask(texts)):
            line = expected(text)
            if answer != line:
                text = shrink(driver, text)
                pytest.fail(f"the scanner says {driver.ask([text])[0]}, the independent reader "
                            f"{expected(text)}: {text!r} (seed {SEED})")
            counts[line.split()[0]] += 1
    record_property("figures", f"{MUTATIONS} texts, seed {SEED}: {counts}")
    # Each verdict was put to the test, and not by a handful of texts.
    assert sum(counts.values()) == MUTATIONS
    assert all(count >= MUTATIONS // 200 for count in counts.values()), counts
