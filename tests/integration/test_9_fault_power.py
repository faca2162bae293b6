"""Power loss, and memory that runs out: tests/fault/power.c, alloc.c and alloc.py.

ORDERHOOK_LONG=1 runs them in full; ORDERHOOK_STATES chooses how many states.
"""

import json
import os
import subprocess
import sys

from conftest import BUILD, LONG, ROOT, SHARE, how_many, in_lanes

sys.path.insert(0, os.path.join(ROOT, "tests/fault"))

import alloc  # noqa: E402
import lanes  # noqa: E402

STATES = int(os.environ.get("ORDERHOOK_STATES") or how_many(10_000, 1_000_000))


def run_lanes(commands):
    """Runs them side by side; the last line of each as figures, and what else they printed."""
    started = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
               for command in commands]
    outputs = [one.communicate()[0].strip() for one in started]
    assert not any(one.returncode for one in started), "\n".join(outputs)
    figures = [json.loads(out.splitlines()[-1]) for out in outputs]
    return [{k: v for k, v in one.items() if k != "harness"} for one in figures]


def test_whatever_a_power_loss_leaves_keeps_what_was_acked(record_property):
    program = os.path.join(BUILD, "tests/power")
    figures = {}
    for one in run_lanes([[program, "--states", str(STATES // 2), "--seed", str(seed)]
                          for seed in (1, 1000000)]):
        lanes.add(figures, one)
    record_property("figures", json.dumps(figures))
    assert figures["states"] == STATES // 2 * 2
    assert figures["acked"] > 5 * figures["states"], "little was at stake"


def test_allocations_that_fail_make_no_false_ack_no_crash_and_no_leak(record_property):
    program = os.path.join(BUILD, "tests/alloc")
    every = ["--every", str(round(1 / SHARE)) if LONG else "17"]
    warm, cold = run_lanes([[program, *every], [program, *every, "--cold"]])
    record_property("figures", json.dumps({"warm": warm, "cold": cold}))
    for one in warm, cold:
        assert one["tried"] > 500
        # Threads allocate in any order, so the last numbers may not come.
        assert one["failed"] > 0.95 * one["tried"], "most numbers were of no allocation"


def test_daemon_whose_allocations_fail_makes_no_false_ack_no_crash_and_no_hang(record_property):
    figures = alloc.run(sample=0 if LONG else 24, share=SHARE, n_lanes=in_lanes())
    record_property("figures", json.dumps(figures))
    assert not figures["violations"], figures["violations"]
