"""Power loss, and memory that runs out: tests/fault/power.c, alloc.c and alloc.py.

ORDERHOOK_LONG=1 runs them in full; ORDERHOOK_STATES chooses how many states.
"""

import json
import os
import subprocess
import sys

from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests/fault"))

import alloc  # noqa: E402

LONG = os.environ.get("ORDERHOOK_LONG") == "1"
STATES = int(os.environ.get("ORDERHOOK_STATES", "1000000" if LONG else "10000"))


def run_lanes(commands):
    """Runs them side by side; the last line of each as figures, and what else they printed."""
    lanes = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
             for command in commands]
    outputs = [lane.communicate()[0].strip() for lane in lanes]
    assert [lane.returncode for lane in lanes] == [0] * len(lanes), "\n".join(outputs)
    return [json.loads(out.splitlines()[-1]) for out in outputs]


def test_whatever_a_power_loss_leaves_keeps_what_was_acked(record_property):
    program = os.path.join(BUILD, "tests/power")
    figures = run_lanes([[program, "--states", str(STATES // 2), "--seed", str(seed)]
                         for seed in (1, 1000000)])
    record_property("figures", json.dumps(figures))
    assert sum(one["states"] for one in figures) == STATES // 2 * 2
    assert all(one["acked"] > one["states"] for one in figures), "nothing was at stake"


def test_allocations_that_fail_make_no_false_ack_no_crash_and_no_leak(record_property):
    program = os.path.join(BUILD, "tests/alloc")
    every = ["--every", "1" if LONG else "53"]
    figures = run_lanes([[program, *every], [program, *every, "--cold"]])
    record_property("figures", json.dumps(figures))
    assert all(one["tried"] > 500 for one in figures)


def test_daemon_whose_allocations_fail_makes_no_false_ack_no_crash_and_no_hang(record_property):
    figures = alloc.run(sample=0 if LONG else 24)
    record_property("figures", json.dumps(figures))
    assert not figures["violations"], figures["violations"]
