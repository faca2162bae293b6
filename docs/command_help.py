"""What `orderhook --help` says, read back: the manual page and the completions are made from it, so
that an option lives in one place, the table of its command."""

import os
import re
import subprocess
import sys

from tables import ROOT, rows

BUILD = os.path.join(ROOT, os.environ.get("ORDERHOOK_BUILD", "build"))


class Option:
    def __init__(self, letter, name, argument, text):
        self.letter = letter
        self.name = name
        self.argument = argument
        self.text = text

    def words(self):
        """The values it takes, where they are words."""
        return self.argument.split("|") if self.argument and "|" in self.argument else []


class Command:
    def __init__(self, name, group, store, arguments, summary):
        self.name = name
        self.group = group
        self.arguments = arguments
        self.summary = summary
        parts = re.split(r"^(Options|Everywhere|Examples):\n", output("help", name), flags=re.M)
        sections = dict(zip(parts[1::2], parts[2::2]))
        self.text = parts[0].split("\n", 2)[2].strip("\n")
        self.options = list(options(sections.get("Options", "")))
        self.everywhere = list(options(sections["Everywhere"]))
        self.examples = sections["Examples"].rstrip("\n")


def program(name):
    """The built program, which must not be older than what it is made of."""
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        sys.exit(f"docs/generate.py: {os.path.relpath(path, ROOT)} is not there; run make first")
    folders = ["src/tools", "src/daemon", "include/orderhook/tbl"]
    newest = max((os.path.join(folder, file) for folder in folders
                  for file in os.listdir(os.path.join(ROOT, folder))),
                 key=lambda file: os.stat(os.path.join(ROOT, file)).st_mtime)
    if os.stat(os.path.join(ROOT, newest)).st_mtime > os.stat(path).st_mtime:
        sys.exit(f"docs/generate.py: {os.path.relpath(path, ROOT)} is older than {newest}; "
                 "run make first")
    return path


def output(*arguments):
    return subprocess.run([program("orderhook"), *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def options(text):
    """The rows of a list of options; their texts may go on below."""
    for row in re.finditer(r"^  (?:-(\w), |    )--([\w-]+)(?: (\S+))?(?: {2,}(\S.*))?\n"
                           r"((?: {20,}\S.*\n)*)", text, re.M):
        letter, name, argument, first, more = row.groups()
        yield Option(letter, name, argument, " ".join(" ".join([first or "", more]).split()))


def commands():
    return [Command(*row) for row in rows("command.def", "COMMAND")]
