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


def test_at_ten_times_the_rate_who_is_taken_is_answered_and_the_others_are_told_at_once(
        tmp_path, record_property):
    got = overload.ten_times(tmp_path, seconds=20 if LONG else 2)
    record_property("figures", json.dumps(got))
    assert (got["strange"], got["lost"], got["exit"]) == (0, 0, 0)
    assert got["accepted"] + got["refused"] == got["sent"]
    assert got["goodput_per_s"] >= (0.9 if LONG else 0.6) * got["peak_per_s"]
    assert got["accepted_max_s"] < (1 if LONG else 3)
    assert got["refused_p99_s"] < (0.05 if LONG else 1)
    assert got["refused_p50_s"] < got["accepted_p50_s"] / 4
    assert got["memory_grown_kib"] < 16 * 1024


def test_thousands_of_slow_connections_do_not_keep_honest_callers_out(tmp_path, record_property):
    got = overload.slow_sockets(tmp_path, **({} if LONG else {"sockets": 2000, "timeout_s": 4}))
    if "skipped" in got:
        pytest.skip(got["skipped"])
    record_property("figures", json.dumps(got))
    assert (got["acked"], got["exit"]) == (got["honest"], 0)
    assert got["acked_p99_s"] < (1 if LONG else 4)
    assert got["memory_kib"] < 160 * 1024


def test_after_an_outage_the_retries_of_a_minute_bring_everything_in(tmp_path, record_property):
    # With short minutes the time in which a busy machine starts the daemon counts for one.
    got = overload.retry_storm(tmp_path, **({} if LONG else {"minute_s": 0.6, "outage": 3}))
    record_property("figures", json.dumps(got))
    assert (got["lost"], got["exit"]) == (0, 0)
    assert got["missing_at_its_end"] > 0
    assert got["retries_needed_max"] <= overload.RETRIES
    assert got["drained_in_minutes"] < (1.1 if LONG else 3)
