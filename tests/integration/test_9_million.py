"""An operator's questions to a store of a million events, beside a daemon under load."""

import json
import os
import select
import statistics
import subprocess

import pytest

from conftest import BUILD, DEADLINE_S, LONG, ROOT, SECRET, TOKEN, tool, wait_until
from tool_help import TOOL, Follower

EVENTS = 1_000_000
LIMIT_MS = 20

pytestmark = pytest.mark.skipif(not LONG,
                                reason="fills a store for a minute; ORDERHOOK_LONG=1")


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """(configuration, store, a number of an order in it); the daemon serves, and is kept busy."""
    from conftest import Daemon
    filler = os.path.join(BUILD, "bench/bench_store")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(["make", f"BUILD={os.path.relpath(BUILD, ROOT)}", os.path.relpath(filler, ROOT)],
                   cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    daemon = Daemon(tmp_path_factory.mktemp("m")).init()
    subprocess.run([filler, "--store", daemon.store, "--batch", "64", "--seconds", "1",
                    "--first-order", "1", "--fill", str(EVENTS)], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    daemon.start()
    assert daemon.rows("SELECT count(*) FROM order_log")[0][0] >= EVENTS
    host, port = daemon.address
    load = subprocess.Popen(
        [TOOL, "simulate", "--to", f"http://{host}:{port}/callback/shansong", "--token-file",
         daemon.write_file("t", TOKEN), "--secret-file", daemon.write_file("s", SECRET),
         "--client-id", "clientId", "--shop-id", "shopId", "--orders", "1000000", "--rate", "500",
         "--faults", "none", "--start", "1s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: daemon.rows("SELECT max(event_id) FROM order_log")[0][0] > EVENTS + 3000)
        yield daemon
    finally:
        load.kill()
        load.wait()
    assert daemon.stop() == 0, daemon.log_text()


def cost_ms(arguments, wanted):
    """The process's own time, its start included: the median of some runs."""
    costs = []
    for _ in range(9):
        process = subprocess.Popen([TOOL, *arguments], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        complaint = process.stderr.read()
        process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode in wanted, complaint
        costs.append((usage.ru_utime + usage.ru_stime) * 1000)
    return statistics.median(costs)


@pytest.mark.parametrize("question, wanted", [
    (["show", "{iss}"], {0}),
    (["show", "{order}"], {0}),
    (["events", "--order", "{iss}"], {0}),
    (["events", "--limit", "100"], {0}),
    (["events", "--verdict", "illegal,conflict", "--limit", "100"], {1}),
    (["events", "--since", "1s", "--limit", "100"], {0}),
    (["orders", "--limit", "100"], {0}),
    (["orders", "--status", "30", "--limit", "100"], {0, 1}),
    (["export", "--order", "{iss}"], {0}),
    (["raw", "{event}"], {0}),
    (["held"], {1}),
    (["attention", "--since", "1m"], {0, 1}),
])
def test_a_question_takes_twenty_milliseconds(million, record_property, question, wanted):
    iss, order, event = million.rows("SELECT iss_order_no, order_no, event_id FROM order_log"
                                     " WHERE event_id = 500000")[0]
    words = [word.format(iss=iss, order=order, event=event) for word in question]
    cost = cost_ms(["-c", million.conf, *words], wanted)
    record_property("figures", f"{' '.join(words)}: {cost:.1f} ms")
    assert cost <= LIMIT_MS


def test_following_begins_at_once_and_misses_nothing(million):
    follower = Follower(million.store)
    ids = follower.wait_for(2000)
    assert follower.end() == (0, "")
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_the_first_line_of_a_follower_costs_twenty_milliseconds(million, record_property):
    costs = []
    for _ in range(9):
        process = subprocess.Popen([TOOL, "--db", million.store, "events", "-f", "--format",
                                    "jsonl"], stdout=subprocess.PIPE)
        assert select.select([process.stdout], [], [], DEADLINE_S)[0]
        assert json.loads(process.stdout.readline())["event_id"] > EVENTS
        process.kill()
        process.stdout.close()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = -9
        costs.append((usage.ru_utime + usage.ru_stime) * 1000)
    record_property("figures", f"{statistics.median(costs):.1f} ms")
    assert statistics.median(costs) <= LIMIT_MS


def test_every_command_that_looks_works_there(million):
    """What reads the whole store may take its time, and must come to the right end."""
    for words in (["verify", "--quick"], ["rejudge"]):
        done = tool(*words, conf=million.conf)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr)
    done = tool("replay", "--limit", "100", "--dry-run", "--to", "http://127.0.0.1:1/x",
                conf=million.conf)
    assert done.returncode == 0 and len(done.stdout.splitlines()) >= 100, done.stderr
