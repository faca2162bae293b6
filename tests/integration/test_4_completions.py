"""What the shells offer after `orderhook`: bash, and zsh and fish where they are installed."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from conftest import DEADLINE_S, ROOT, tool

FOLDER = os.path.join(ROOT, "etc/completions")
BASH = os.path.join(FOLDER, "orderhook")
COMMANDS = [line.split()[0] for line in tool("--help").stdout.split("Options before", 1)[0]
            .splitlines() if line.startswith("  ") and line[2] != " "]

needs_zsh = pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh; install the package zsh")
needs_fish = pytest.mark.skipif(not shutil.which("fish"),
                                reason="needs fish; install the package fish")


def bash(*words):
    """What bash is offered for the last of the words."""
    script = (f'source {BASH}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _orderhook; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", *words], capture_output=True,
                          text=True, timeout=DEADLINE_S, cwd=FOLDER)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def options_of(command):
    """Every option that the command's help names."""
    text = tool("help", command).stdout.split("Examples:")[0]
    return [flag for pair in re.findall(r"^  (?:(-\w), |    )(--[\w-]+)", text, re.M)
            for flag in pair if flag]


def test_commands_are_offered_first():
    assert sorted(w for w in bash("orderhook", "") if not w.startswith("-")) \
        == sorted([*COMMANDS, "help"])
    assert bash("orderhook", "sh") == ["show"]
    assert bash("orderhook", "-c", "any", "sh") == ["show"]
    assert bash("orderhook", "help", "sh") == ["show"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_offered(command):
    wanted = options_of(command)
    assert "--help" in wanted and "-c" in wanted
    assert sorted(bash("orderhook", command, "-")) == sorted(wanted)


@pytest.mark.parametrize("words, offered", [
    (["orders", "--format", ""], ["table", "json", "jsonl", "csv"]),
    (["orders", "--format", "js"], ["json", "jsonl"]),
    (["orders", "--format", "=", "js"], ["json", "jsonl"]),
    (["orders", "--format", "="], ["table", "json", "jsonl", "csv"]),
    (["export", "--format", "t"], []),
    (["orders", "--status", "4"], ["40"]),
    (["show", "X", "--as", "o"], ["occurred"]),
    (["events", "--verdict", "ju"], ["jumped"]),
    (["events", "--verdict", "late,ju"], ["late,jumped"]),
    (["events", "--verdict", "dup"], []),
    (["held", "--reason", "sign-w"], ["sign-wrong"]),
    (["events", "--limit", ""], []),
    (["show", ""], None),
    (["backup", "orderhook.f"], ["orderhook.fish"]),
    (["-c", "orderhook.f"], ["orderhook.fish"]),
    (["orders", "--db", "orderhook.f"], ["orderhook.fish"]),
])
def test_values_are_offered(words, offered):
    if offered is None:
        assert all(w.startswith("-") for w in bash("orderhook", *words))
    else:
        assert bash("orderhook", *words) == offered


def test_a_tab_in_a_real_bash_completes(tmp_path):
    stub = tmp_path / "orderhook"
    stub.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    stub.chmod(0o755)
    process, master = pty.fork()
    if process == 0:
        os.execve(shutil.which("bash"), ["bash", "--norc", "--noprofile", "-i"],
                  {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ ",
                   "HISTFILE": ""})
    os.write(master, f"source {BASH}\n".encode()
             + b"orderhook ev\t--verdict=late,ju\t --as\nexit\n")
    text, end = b"", time.monotonic() + DEADLINE_S
    while b"<--as>" not in text:
        assert time.monotonic() < end, text
        if select.select([master], [], [], 0.1)[0]:
            try:
                text += os.read(master, 65536)
            except OSError:
                break
    os.close(master)
    os.waitpid(process, 0)
    assert b"<events><--verdict=late,jumped><--as>" in text


@needs_zsh
def test_zsh_can_read_its_completions():
    done = subprocess.run(["zsh", "-n", os.path.join(FOLDER, "_orderhook")], capture_output=True,
                          text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, "")


@needs_fish
@pytest.mark.parametrize("line, offered", [
    ("orderhook sh", ["show"]),
    ("orderhook orders --format js", ["json", "jsonl"]),
    ("orderhook -c x show --as o", ["occurred"]),
    ("orderhook events --verdict late,ju", ["late,jumped"]),
])
def test_fish_completes(line, offered, tmp_path):
    script = f"source {FOLDER}/orderhook.fish; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True,
                          timeout=DEADLINE_S, cwd=tmp_path,
                          env={**os.environ, "HOME": str(tmp_path)})
    assert [row.split("\t")[0] for row in done.stdout.splitlines()] == offered, done.stderr
