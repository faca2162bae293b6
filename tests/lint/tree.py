"""The tree that is checked, and what the checks need to read C."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Bytes as a platform sent them or as a fuzzer found them: nothing in them is ours to style.
FIXTURES = ("tests/fixtures/", "tests/fuzz/corpus/")


class Skip(Exception):
    """A check cannot run on this machine, for the reason in it."""


class Tree:
    """The files that git has or would take; in a tree without git, all but what is built."""

    def __init__(self, root):
        self.root = root
        self.files = sorted(self._list())
        self._texts = {}

    def _list(self):
        git = ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
        if os.path.exists(os.path.join(self.root, ".git")):
            names = subprocess.run(git, capture_output=True, check=True, text=True).stdout
            return {n for n in names.split("\0") if n and os.path.exists(self.path(n))}
        found = set()
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = [s for s in subfolders if s not in ("build", "__pycache__")]
            found |= {os.path.relpath(os.path.join(folder, n), self.root) for n in names}
        return found

    def path(self, name):
        return os.path.join(self.root, name)

    def read(self, name):
        if name not in self._texts:
            with open(self.path(name), "rb") as f:
                self._texts[name] = f.read().decode("utf-8", errors="replace")
        return self._texts[name]

    def lines(self, name):
        """(number, line) pairs, from 1."""
        return enumerate(self.read(name).split("\n"), 1)

    def under(self, *folders, ends=("",)):
        return [f for f in self.files if f.startswith(tuple(folders)) and f.endswith(tuple(ends))]

    def c_files(self):
        return self.under("src/", "include/", "tests/", ends=(".c", ".h"))

    def text_files(self):
        return [f for f in self.files if not f.startswith(FIXTURES)]

    def run(self, arguments, **more):
        """Output (both streams) and exit code of a tool run in the tree."""
        done = subprocess.run(arguments, cwd=self.root, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, **more)
        return done.stdout, done.returncode


def missing(tree, *names):
    """A finding for each input that a check cannot do without."""
    return [f"{name}: is not there, so nothing could be checked" for name in names
            if name not in tree.files]


TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def without_comments(text):
    """C with its comments as blanks; every line keeps its number."""
    return TOKEN.sub(lambda m: blank(m) if m.group().startswith("/") else m.group(), text)


def code_only(text):
    """The same without what is in quotes."""
    return TOKEN.sub(blank, text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def functions(text):
    """(name, first line, last line, body) of each function; its braces stand in column 0."""
    lines = code_only(text).split("\n")
    for i, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        end = next((j for j in range(i, len(lines)) if lines[j].startswith("}")), len(lines) - 1)
        first = i
        while first > 0 and lines[first - 1].strip() and lines[first - 1][0] not in "#}":
            first -= 1
        head = " ".join(lines[first:i])
        name = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
        if name:
            yield name.group(1), first + 1, end + 1, "\n".join(lines[i:end + 1])
