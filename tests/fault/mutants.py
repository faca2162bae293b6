"""Are the harnesses able to fail? The promise is broken on purpose in a copy of the tree.

Each mutant of mutant_table.py and mutant_corpora.py changes one place of the sources as a mistake
would, is built, and must be caught by the harness that is there for it, which must say that the
promise is broken. The unchanged tree must pass it, or the catch would mean nothing.

    tests/fault/mutants.py [NAME...]
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import mutant_corpora
import mutant_table

MUTANTS = {**mutant_table.MUTANTS, **mutant_corpora.MUTANTS}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(tree, command):
    environment = {**os.environ, "ORDERHOOK_BUILD": "build", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("ORDERHOOK_LONG", None)
    done = subprocess.run(command, cwd=tree, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=600)
    return done.returncode, done.stdout


def build(tree, harnesses):
    """What they run: the two programs, or what their commands name."""
    words = {word for harness in harnesses for word in " ".join(harness).split()}
    targets = {word for word in words if word.startswith(("build/tests/", "build/fuzz/"))}
    if any(word.endswith(".py") for word in words):
        targets |= {"all", "build/tests/fail_alloc.so", "build/tests/slow_disk.so"}
    code, out = run(tree, ["make", "BUILD=build", "DEVELOPER=", *sorted(targets)])
    if code:
        raise SystemExit("mutants.py: the copy does not build:\n" + out[-2000:])


def pattern_of(mutant):
    """What the harness says of this promise."""
    command = " ".join(mutant[2])
    return mutant[3] if len(mutant) > 3 else next(
        pattern for program, pattern in mutant_table.REASONS if program in command)


def reason_of(out, pattern):
    """What the harness said, in a line, and whether it is about the promise. A life that fails
    without a crash is one of a program that does not work."""
    for line in out.splitlines():
        if "without a crash" in line:
            return line[:120], False
        found = re.search(pattern, line)
        if found:
            return line[max(0, found.start() - 40):][:120].strip(), True
    return (out.strip().splitlines() or [""])[-1][:120], False


def break_tree(tree, file, changes):
    """Returns the text as it was."""
    path = os.path.join(tree, file)
    with open(path) as f:
        text = f.read()
    broken = text
    for old, new in changes:
        if old not in broken:
            raise SystemExit(f"mutants.py: {file} no longer has: {old}")
        broken = broken.replace(old, new)
    with open(path, "w") as f:
        f.write(broken)
    return text


def try_mutant(tree, name):
    """True when it was caught."""
    file, changes, harness, *_ = MUTANTS[name]
    text = break_tree(tree, file, changes)
    began = time.monotonic()
    try:
        build(tree, [harness])
        code, out = run(tree, harness)
    finally:
        with open(os.path.join(tree, file), "w") as f:
            f.write(text)
    reason, fits = reason_of(out, pattern_of(MUTANTS[name]))
    # 1 is a harness's or pytest's own "it failed"; anything else means that it could not run.
    caught = code == 1 and fits
    print(f"{'caught' if caught else 'NOT CAUGHT'}  {name} ({time.monotonic() - began:.0f} s): "
          f"{reason}", flush=True)
    return caught


def main():
    names = sys.argv[1:] or list(MUTANTS)
    if set(names) - set(MUTANTS):
        print("mutants.py: mutants are: " + "; ".join(MUTANTS), file=sys.stderr)
        return 2
    began = time.monotonic()
    directory = tempfile.mkdtemp(prefix="orderhook-mutants-")
    tree = os.path.join(directory, "tree")
    try:
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build"))
        harnesses = {tuple(MUTANTS[name][2]) for name in names}
        build(tree, harnesses)
        sound = 0
        for harness in sorted(harnesses):
            code, out = run(tree, list(harness))
            sound += code == 0
            if code:
                print(f"the unchanged tree does not pass {' '.join(harness)}: {out[-1500:]}")
        caught = sum(try_mutant(tree, name) for name in names)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(json.dumps({"harness": "mutants", "mutants": len(names), "caught": caught,
                      "seconds": round(time.monotonic() - began, 1)}))
    return 0 if caught == len(names) and sound == len(harnesses) else 1


if __name__ == "__main__":
    sys.exit(main())
