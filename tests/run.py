"""Runs the tests and counts them; `make check` is the way in.

Kinds: lint (tests/lint/lint.py, a test for each check), unit (cmocka programs), build (the other
compiler and the sanitizers, each a build and a run of the unit tests), integration (pytest, the
real programs), systemd (pytest, the package in a container; a sample of it). T=name picks files,
C=case picks cases in them; a name that matches nothing fails.
"""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("ORDERHOOK_BUILD", "build")
PYTHON = sys.executable
# What a sanitized daemon is driven with: the whole way of a callback, each refusal, start and stop.
SANITIZED = [f"tests/integration/test_{name}.py" for name in ("1_main_job", "2_http", "3_daemon",
                                                              "3_mixed_load")]
LANES = 3  # test files at a time
LONG = os.environ.get("ORDERHOOK_LONG", "0") not in ("", "0")
SKIPPED = 77  # lint.py's exit code for a check that this machine cannot run
LIMIT_S = 600  # what a whole `make check` may take on two cores that do nothing else


class Totals:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def add(self, ok, name, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}", flush=True)
            if detail:
                print("    " + detail.strip().replace("\n", "\n    "), flush=True)


def run(args, env=None, timeout=900):
    """Output and exit code; a program that hangs is ended and has failed."""
    try:
        done = subprocess.run(args, cwd=ROOT, env={**os.environ, **(env or {})}, timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        return done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        return (out.decode(errors="replace") if isinstance(out, bytes) else out) + "\ntimed out", -1


def run_lint(totals, case):
    names, _ = run([PYTHON, "tests/lint/lint.py", "--list"])
    for name in names.split():
        if case and case not in name:
            continue
        out, code = run([PYTHON, "tests/lint/lint.py", name])
        if code == SKIPPED:
            print(out.strip(), flush=True)
            continue
        totals.add(code == 0, f"lint {name}", out)


def run_unit(totals, binary, case, label=""):
    name = os.path.basename(binary)
    env = {"CMOCKA_MESSAGE_OUTPUT": "TAP"}
    if case:
        env["TEST_CASE"] = f"*{case}*"
    out, code = run([binary], env)
    results = re.findall(r"^(ok|not ok) \d+ - (\S+)", out, re.M)
    for state, test in results:
        totals.add(state == "ok", f"{label}{name} {test}", out if state != "ok" else "")
    # A crash ends the output early, and a report of a sanitizer changes only the exit code.
    if code != 0 and all(state == "ok" for state, _ in results):
        totals.add(False, f"{label}{name}", out[-4000:] + f"\nexit code {code}")


def unit_binaries(build):
    sources = sorted(os.listdir(os.path.join(ROOT, "tests/unit")))
    return [os.path.join(build, "tests", s[:-2]) for s in sources
            if s.startswith("test_") and s.endswith(".c")]


def run_corpora(totals, build):
    """Everything that the fuzzers found worth keeping, once through each target."""
    for source in sorted(os.listdir(os.path.join(ROOT, "tests/fuzz"))):
        if not source.startswith("fuzz_") or not source.endswith(".c"):
            continue
        name = source[len("fuzz_"):-len(".c")]
        out, code = run([os.path.join(build, "fuzz", "fuzz_" + name), f"tests/fuzz/corpus/{name}"])
        totals.add(code == 0, f"corpus of fuzz_{name}", out[-4000:] + f"\nexit code {code}")


def run_build(totals, name, arguments, build):
    """Builds a tree of its own; under a sanitizer its tests are run, and a report fails them."""
    goals = ["tests-build", "fuzz-targets"] if name == "asan" else ["tests-build"]
    out, code = run(["make", "-j2", "DEVELOPER=1", *arguments, *goals])
    totals.add(code == 0, f"build {name}", out[-4000:])
    if code == 0 and name == "asan":
        run_corpora(totals, build)
    if code == 0 and name != "clang":
        for binary in unit_binaries(build):
            run_unit(totals, binary, None, f"{name} ")
        run_pytest(totals, SANITIZED, None, build, f"{name} ")


def tell_skipped(skipped):
    """{reason: names}; what keeps a whole kind of tests from running is told once."""
    for reason, names in skipped.items():
        print(f"skipped {names[0] if len(names) == 1 else f'{len(names)} tests'}: {reason}",
              flush=True)


def in_words(figures):
    """Figures as a test records them: text, or JSON, of which only what was found is said."""
    try:
        figures = json.loads(figures)
    except ValueError:
        return figures
    plain = [f"{name} {value}" for name, value in figures.items()
             if not isinstance(value, (dict, list))]
    inner = [f"{name}: " + ", ".join(f"{key} {value}" for key, value in sorted(members.items()))
             for name, members in figures.items() if isinstance(members, dict)]
    return "; ".join(([", ".join(plain)] if plain else []) + inner).replace("_", " ")


def run_pytest(totals, files, case, build=BUILD, label="", lanes=LANES, env=()):
    report = os.path.join(ROOT, build, "pytest.xml")
    failed_before = totals.failed
    args = [PYTHON, "-m", "pytest", "-q", "-x" if os.environ.get("X") else "-q", "-p",
            "no:cacheprovider", f"--junitxml={report}", *files]
    # Most tests wait for a program more than they compute. A file stays together, in its order.
    if len(files) > 1 and lanes > 1 and not case:
        args += ["-n", str(lanes), "--dist", "loadfile"]
    if case:
        args += ["-k", case]
    if os.path.exists(report):
        os.unlink(report)
    out, code = run(args, {"PYTHONDONTWRITEBYTECODE": "1", "ORDERHOOK_BUILD": build, **dict(env)},
                    timeout=12 * 3600 if LONG else 3600)
    count = 0
    skipped = {}
    if os.path.exists(report):
        for test in xml.parse(report).getroot().iter("testcase"):
            if test.find("skipped") is not None:
                reason = test.find("skipped").get("message")
                skipped.setdefault(reason, []).append(test.get("name"))
                continue
            bad = test.find("failure") if test.find("failure") is not None else test.find("error")
            name = f"{label}{test.get('classname')} {test.get('name')}"
            for figures in test.iterfind("properties/property[@name='figures']"):
                print(f"    {test.get('name')}: {in_words(figures.get('value'))} "
                      f"({float(test.get('time')):.0f} s)", flush=True)
            totals.add(bad is None, name, (bad.text or "")[-4000:] if bad is not None else "")
            count += 1
    tell_skipped(skipped)
    if code != 0 and (count == 0 or totals.failed == failed_before):
        totals.add(False, f"{label}pytest", out[-4000:])


def matches(wanted, name):
    return not wanted or wanted in (name, "test_" + name, os.path.splitext(name)[0]) \
        or os.path.splitext(name)[0] == "test_" + wanted


def test_files(folder, wanted):
    return [os.path.join(folder, f) for f in sorted(os.listdir(os.path.join(ROOT, folder)))
            if f.startswith("test_") and f.endswith(".py")
            and (matches(wanted, f) or wanted == os.path.basename(folder))]


def too_slow(took_s, cores, load):
    """What to say of a whole run that took so long, or None. No failure: others may have used the
    machine."""
    if took_s <= LIMIT_S or cores < 2:
        return None
    return (f"WARNING: THIS TOOK {took_s:.0f} s. On two cores that do nothing else make check has "
            f"to stay below {LIMIT_S} s. The load is {load:.1f} on {cores} cores: if nothing else "
            "ran here, a test has become too slow, and the times above say which kind it is in")


def main():
    wanted, case = os.environ.get("T"), os.environ.get("C")
    totals = Totals()
    began = time.monotonic()

    def step(name):
        print(f"[{time.monotonic() - began:5.0f} s] {name}", flush=True)

    if matches(wanted, "lint"):
        step("lint")
        run_lint(totals, case)
    step("unit")
    for binary in unit_binaries(BUILD):
        if matches(wanted, os.path.basename(binary)):
            run_unit(totals, binary, case)
    if not wanted and not os.environ.get("SANITIZE"):
        step("build with the other compiler")
        run_build(totals, "clang", ["CC=clang", "BUILD=build/clang"], "build/clang")
        step("AddressSanitizer and UndefinedBehaviorSanitizer")
        run_build(totals, "asan", ["SANITIZE=address,undefined"], "build/address-undefined")
        step("ThreadSanitizer")
        run_build(totals, "tsan", ["SANITIZE=thread"], "build/thread")
    files = test_files("tests/integration", wanted)
    if files:
        step("integration")
        run_pytest(totals, files, case)
    files = [] if os.environ.get("SANITIZE") else test_files("tests/systemd", wanted)
    if files:
        whole = wanted or LONG
        step("systemd" if whole else "systemd, a sample; `make check-systemd` runs all of it")
        run_pytest(totals, files, case, lanes=1, env={} if whole else {"ORDERHOOK_SAMPLE": "1"})
    if totals.passed + totals.failed == 0:
        totals.add(False, f"nothing matches T={wanted or ''} C={case or ''}")
    step("done")
    warning = too_slow(time.monotonic() - began, len(os.sched_getaffinity(0)), os.getloadavg()[0])
    if warning and not (wanted or case or LONG or os.environ.get("SANITIZE")):
        print(warning)
    print(f"{totals.passed} passed, {totals.failed} failed")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
