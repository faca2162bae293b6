"""Builds the fuzz targets with clang's libFuzzer and runs each for FUZZ_SECONDS; `make fuzz` is the
way in. Prints a line for each and ends with 1 at the first finding, whose input it names. What was
found on the way to new code stays under build/, and the next run goes on from there.

    T=json make fuzz              one target
    FUZZ_SECONDS=600 make fuzz    longer
    FUZZ_MERGE=1 make fuzz        then takes into tests/fuzz/corpus what reaches more code
"""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = "build/libfuzzer"
HERE = "tests/fuzz"
SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))
# fuzz.c ends an input that takes more than 100 ms; this is for one that never ends by itself.
HANG_S = 5
DICTIONARIES = {"json": "json", "ingest": "callback", "signature": "callback", "form": "callback",
                "config": "config", "admin": "admin", "control": "callback"}
# Longest input of each: long enough for everything that there is to say.
LENGTHS = {"json": 4096, "ingest": 4096, "config": 4096, "signature": 2048, "form": 1024,
           "machine": 49, "admin": 512, "store": 60, "control": 2048}


def names():
    found = sorted(os.path.basename(f)[5:-2] for f in glob.glob(f"{HERE}/fuzz_*.c"))
    wanted = os.environ.get("T")
    if wanted and wanted not in found:
        sys.exit(f"fuzz: there is no target {wanted}; there are {', '.join(found)}")
    return [wanted] if wanted else found


def libfuzzer(name, *arguments):
    """Its output and exit code."""
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
                   "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run([f"{BUILD}/fuzz/fuzz_{name}", *arguments], env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.stdout, done.returncode


def run(name):
    """True when nothing was found."""
    found, artifacts = f"{BUILD}/corpus/{name}", f"{BUILD}/findings/{name}/"
    os.makedirs(found, exist_ok=True)
    os.makedirs(artifacts, exist_ok=True)
    arguments = [f"-max_total_time={SECONDS}", f"-timeout={HANG_S}", f"-max_len={LENGTHS[name]}",
                 f"-artifact_prefix={artifacts}", "-print_final_stats=1", "-rss_limit_mb=1024"]
    if name in DICTIONARIES:
        arguments.append(f"-dict={HERE}/{DICTIONARIES[name]}.dict")
    out, code = libfuzzer(name, *arguments, found, f"{HERE}/corpus/{name}")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", out)
    covered = re.findall(r"cov: (\d+)", out)
    print(f"{name:10} {int(runs[1]) if runs else 0:>10} inputs, "
          f"{covered[-1] if covered else 0:>4} places reached, {int(code != 0)} findings",
          flush=True)
    if code:
        print(out[-6000:] + f"\nfuzz: {name} found something; its input is in {artifacts}")
    return code == 0


def merge(name):
    target = f"{HERE}/corpus/{name}"
    out, code = libfuzzer(name, "-merge=1", f"-max_len={LENGTHS[name]}", target,
                          f"{BUILD}/corpus/{name}")
    if code:
        sys.exit(out[-6000:])
    print(f"{name}: {len(os.listdir(target))} inputs in {target}")


def main():
    os.chdir(ROOT)
    made = subprocess.run(["make", "-j2", "CC=clang", f"BUILD={BUILD}",
                           "SANITIZE=fuzzer-no-link,address,undefined", "DEVELOPER=1",
                           "fuzz-targets"])
    if made.returncode:
        sys.exit("fuzz: the targets do not build")
    for name in names():
        if not run(name):
            return 1
        if os.environ.get("FUZZ_MERGE"):
            merge(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
