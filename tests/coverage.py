"""Line coverage by layer, from the unit tests and those integration tests that reach what needs two
processes or a real disk; `make coverage` is the way in. A tree of its own is built with gcc's
--coverage. Prints what is covered of each layer, the lines that no test reaches (with V=1), and
ends with 1 when one of the layers that decide about an acknowledgement is below 95 percent.
"""

import collections
import glob
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = "build/coverage"
LEAST_PERCENT = {"base": 95, "domain": 95, "platform": 95, "store": 95, "pipeline": 95}
INTEGRATION = ("1_main_job", "3_daemon", "4_attention", "4_backup", "4_rejudge", "5_care",
               "5_control", "5_explain", "5_held", "9_fault_disk", "9_verify")


def check(done, what):
    if done.returncode:
        sys.exit(f"coverage: {what} failed:\n" + (done.stdout or "")[-4000:])


def run(arguments, **environment):
    return subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          env={**os.environ, **environment})


def make():
    # Threads count at once, and a line is one line only where nothing was optimised away.
    check(run(["make", "-j2", f"BUILD={BUILD}", "CC=gcc", "OPTIMISE=-O0 -g", "HARDENING=-fPIE",
               "CFLAGS=--coverage -fprofile-update=atomic", "LDFLAGS=--coverage", "tests-build"]),
          "the build")
    for old in glob.glob(f"{BUILD}/**/*.gcda", recursive=True):
        os.unlink(old)


def run_tests():
    for source in sorted(glob.glob("tests/unit/test_*.c")):
        name = os.path.basename(source)[:-2]
        check(run([f"{BUILD}/tests/{name}"]), name)
    files = [f"tests/integration/test_{name}.py" for name in INTEGRATION]
    check(run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
              ORDERHOOK_BUILD=BUILD, ORDERHOOK_FLIPS="50", PYTHONDONTWRITEBYTECODE="1"),
          "an integration test")


def count_lines():
    """{file: {line: how often}}"""
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    notes = sorted(glob.glob(f"{BUILD}/obj/*/*.gcno"))
    done = subprocess.run(["gcov", "--json-format", "--stdout", *notes], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    for document in done.stdout.splitlines():
        for file in json.loads(document)["files"]:
            for line in file["lines"]:
                lines[file["file"]][line["line_number"]] += line["count"]
    return {name: of for name, of in lines.items() if name.startswith("src/")}


def report(lines):
    """Prints a row for each layer; the layers that are below."""
    layers = collections.defaultdict(lambda: [0, 0])
    for name, counts in sorted(lines.items()):
        missed = sorted(number for number, count in counts.items() if count == 0)
        layer = layers[name.split("/")[1]]
        layer[0] += len(counts) - len(missed)
        layer[1] += len(counts)
        if missed and os.environ.get("V"):
            print(f"{name}: {', '.join(map(str, missed))}")
    below = []
    for layer, (covered, total) in sorted(layers.items()):
        percent = 100 * covered / total
        least = LEAST_PERCENT.get(layer, 0)
        if percent < least:
            below.append(layer)
        print(f"{layer:9} {covered:5} of {total:5} lines  {percent:5.1f} %"
              f"{f'  at least {least}' if least else ''}{'  BELOW' if percent < least else ''}")
    return below + sorted(set(LEAST_PERCENT) - set(layers))


def main():
    os.chdir(ROOT)
    make()
    run_tests()
    below = report(count_lines())
    if below:
        print(f"coverage: below what it must be: {', '.join(below)}; V=1 names the lines")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
