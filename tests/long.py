"""`make check-long`: all of what `make check` has a sample of, one after the other on a machine
that does nothing else, and the fuzzers and the coverage. Each row is a command that anybody can
type; its figures are printed, and kept in build/long.json.

    make check-long                       everything; hours on two cores
    ORDERHOOK_SHARE=0.1 make check-long   a tenth of each
    T=verify make check-long              the rows with this word; the others keep their figures
    tests/long.py --publish               writes the figures into docs/testing.md
"""

import json
import os
import re
import subprocess
import sys
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))

import markers  # noqa: E402

PAGE = os.path.join(ROOT, "docs/testing.md")
KEPT = os.path.join(ROOT, "build/long.json")
COUNTS = re.compile(r"(\d+) passed, (\d+) failed")
FIGURES = re.compile(r"    (test_\w+(?:\[[^\]]*\])?): (.*) \((\d+) s\)$")
ROWS = (
    "make check",
    "ORDERHOOK_LONG=1 make check T=9_fault_calls C=killed",
    "ORDERHOOK_LONG=1 make check T=9_fault_calls C=failing_system_calls",
    "ORDERHOOK_LONG=1 make check T=9_fault_power C=power_loss",
    "ORDERHOOK_LONG=1 make check T=9_fault_power C=allocations",
    "ORDERHOOK_LONG=1 make check T=9_fault_overload",
    "ORDERHOOK_LONG=1 make check T=9_fault_disk",
    "ORDERHOOK_LONG=1 make check T=9_verify",
    "ORDERHOOK_LONG=1 make check T=5_damaged",
    "ORDERHOOK_LONG=1 make check T=5_json",
    "ORDERHOOK_LONG=1 make check T=6_judge",
    "ORDERHOOK_LONG=1 make check T=9_million",
    "ORDERHOOK_LONG=1 make check T=5_control",
    "ORDERHOOK_LONG=1 make check T=4_tool_trouble",
    "ORDERHOOK_LONG=1 make check-systemd",
    "ORDERHOOK_LONG=1 make check T=3_mixed_load SANITIZE=thread",
    "make check T=9_fault_calls C=failing_system_calls SANITIZE=address,undefined",
    "FUZZ_SECONDS=60 make fuzz",
    "make coverage",
    "ORDERHOOK_LONG=1 make check T=9_fault_calls C=harnesses_catch",
)


def kept():
    """{command: what it came to}, of this run and of earlier ones."""
    if not os.path.exists(KEPT):
        return {}
    with open(KEPT) as f:
        return json.load(f)


def run(command):
    """Shows what the command prints as it comes; what it came to."""
    began = time.monotonic()
    print(f"\n$ {command}", flush=True)
    # A make of its own, whatever it is that this one was told.
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("T", "C", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "SANITIZE")}
    with subprocess.Popen(command, shell=True, cwd=ROOT, env=environment, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    counts = COUNTS.search(lines[-1]) if lines else None
    # A command that does not count its tests is one.
    passed, failed = map(int, counts.groups()) if counts else (int(process.returncode == 0), 0)
    return {"passed": passed, "failed": max(failed, int(process.returncode != 0)),
            "seconds": round(time.monotonic() - began),
            "lines": [] if command == ROWS[0] else page_lines(command, counts, lines)}


def page_lines(command, counted, lines):
    """Of what was printed: the figures of tests, each with its own command, or all of it."""
    if not counted:
        return [line for line in lines if not line.startswith("make")]
    found = []
    for line in lines:
        told = FIGURES.match(line)
        if told:
            name, figures, seconds = told.groups()
            found.append(f"{name}, {seconds} s")
            found += ["    " + part for part in figures.split("; ")]
    return found


def wrapped(line):
    """As lines of the page, a long one going on further in."""
    indent = " " * (4 + len(line) - len(line.lstrip()))
    return textwrap.wrap(line.strip(), 108, initial_indent=indent, subsequent_indent=indent + "  ",
                         break_long_words=False, break_on_hyphens=False)


def publish(results):
    """Between the markers of docs/testing.md."""
    text = []
    for command in ROWS:
        if command not in results:
            print(f"long: there are no figures of `{command}`; run make check-long")
            continue
        one = results[command]
        text += [f"    $ {command}", *(part for line in one["lines"] for part in wrapped(line)),
                 f"    {one['passed']} passed, {one['failed']} failed, {one['seconds']} s", ""]
    markers.put(PAGE, "long", "\n".join(text).rstrip("\n"))


def main():
    results = kept()
    if sys.argv[1:] == ["--publish"]:
        publish(results)
        return 0
    wanted = os.environ.get("T") or ""
    rows = [command for command in ROWS if wanted == command] or \
        [command for command in ROWS if wanted in command]
    if not rows:
        sys.exit(f"long: no row has the word {wanted}; they are:\n" + "\n".join(ROWS))
    for command in rows:
        results[command] = run(command)
        os.makedirs(os.path.dirname(KEPT), exist_ok=True)
        with open(KEPT, "w") as f:
            json.dump(results, f, indent=1)
    print()
    for command in rows:
        one = results[command]
        print(f"{'FAILED' if one['failed'] else 'passed'}  {one['seconds']:5} s  {command}")
    print(f"{sum(results[c]['passed'] for c in rows)} passed, "
          f"{sum(results[c]['failed'] for c in rows)} failed")
    return 1 if any(results[c]["failed"] for c in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
