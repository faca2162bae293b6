"""More than the daemon can take. The harness is tests/fault/overload.py.

ORDERHOOK_LONG=1 runs it in full, with the issue's own limits, for a quiet machine; the sample asks
for what must hold on a busy one.
"""

import json
import os
import sys

import pytest

from conftest import LONG, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests/fault"))

import overload  # noqa: E402

CONNECTION_LIMIT = 1024  # the default
# The library keeps 32 KiB for each, of which what was never used takes no memory.
CONNECTION_KIB = 24


def test_at_ten_times_the_rate_who_is_taken_is_answered_and_the_others_are_told_at_once(
        tmp_path, record_property):
    got = overload.ten_times(tmp_path, seconds=20 if LONG else 2)
    record_property("figures", json.dumps(got))
    assert (got["strange"], got["lost"], got["exit"]) == (0, 0, 0)
    assert got["accepted"] and got["refused"]
    assert got["accepted"] + got["refused"] == got["sent"]
    # A busy machine does not reach what its disk would take.
    assert got["goodput_per_s"] >= (
        0.9 * got["peak_per_s"] if LONG else 0.6 * got["measured_peak_per_s"])
    assert got["accepted_max_s"] < (1 if LONG else 3)
    assert got["refused_p999_s"] < (0.05 if LONG else 1)
    # An answer that came while the one process of all callers did something else was seen after it.
    assert not LONG or got["refused_max_s"] < 0.05 + got["callers_absent_max_s"]
    assert got["refused_p50_s"] < got["accepted_p50_s"] / 4
    assert got["memory_grown_kib"] < CONNECTION_LIMIT * CONNECTION_KIB


def test_thousands_of_slow_connections_do_not_keep_honest_callers_out(tmp_path, record_property):
    timeout_s = 30 if LONG else 4
    try:
        got = overload.slow_sockets(tmp_path, sockets=5000 if LONG else 2000, timeout_s=timeout_s)
    except overload.CannotRun as why:
        pytest.skip(str(why))
    record_property("figures", json.dumps(got))
    assert (got["acked"], got["exit"]) == (got["honest"], 0)
    assert got["acked_p99_s"] < (1 if LONG else 4)
    assert got["grown_per_connection_kib"] < CONNECTION_KIB
    assert got["answered_unread"] > got["reading_nothing"] * overload.Slow.ASKED
    assert timeout_s <= got["slow_closed_after_s"] < 2 * timeout_s + (5 if LONG else 20)


def test_after_an_outage_the_retries_of_a_minute_bring_everything_in(tmp_path, record_property):
    # With short minutes the time in which a busy machine starts the daemon counts for one.
    got = overload.retry_storm(tmp_path, **({} if LONG else {"minute_s": 0.6, "outage": 3}))
    record_property("figures", json.dumps(got))
    assert (got["lost"], got["exit"]) == (0, 0)
    assert got["missing_at_its_end"] > 0
    assert got["retries_needed_max"] <= overload.RETRIES
    # What failed last is sent again a minute after it failed, and answered within a second.
    assert got["drained_in_minutes"] < (1 + 1 / got["minute_s"] if LONG else 3)
    assert not LONG or got["answered_max_s"] < 1
    # Nobody of the storm was sent away for another minute.
    assert not LONG or got["retries_after_it_max"] == 1
