"""Are the harnesses able to fail? The promise is broken on purpose in a copy of the tree.

Each mutant of mutant_table.py and mutant_corpora.py changes one place of the sources as a mistake
would, is built, and must be caught by the harness that is there for it; so must the unchanged tree
pass it, or the catch would mean nothing.

    tests/fault/mutants.py [NAME...]
"""

import json
import os
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


def build(tree):
    code, out = run(tree, ["make", "BUILD=build", "DEVELOPER=", "all", "build/tests/power",
                           "build/tests/alloc", "build/tests/test_store_power", "fuzz-targets"])
    if code:
        raise SystemExit("mutants.py: the copy does not build:\n" + out[-2000:])


def reason_of(out):
    """What the harness said, in a line."""
    if "WARNING: ThreadSanitizer: " in out:
        return out[out.index("ThreadSanitizer: "):].splitlines()[0][:120]
    for line in out.splitlines():
        if line.startswith("{"):
            figures = json.loads(line)
            found = (figures.get("violations") or [""])[0]
            if found:
                return found[:120]
        if " does not hold: " in line:
            return line[:120]
        if line.startswith("VIOLATION: "):
            return line[11:131]
        if line.startswith("E  "):
            return line[1:].strip()[:120]
    return out.strip().splitlines()[-1][:120] if out.strip() else ""


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
    file, changes, harness = MUTANTS[name]
    text = break_tree(tree, file, changes)
    try:
        build(tree)
        code, out = run(tree, harness)
    finally:
        with open(os.path.join(tree, file), "w") as f:
            f.write(text)
    # 1 is a harness's or pytest's own "it failed"; anything else means that it could not run.
    print(f"{'caught' if code == 1 else 'NOT CAUGHT'}  {name}: {reason_of(out)}", flush=True)
    return code == 1


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
        build(tree)
        harnesses = {tuple(MUTANTS[name][2]) for name in names}
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
