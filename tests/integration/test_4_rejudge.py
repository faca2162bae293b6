"""orderhook rejudge: the stored history through the present machine."""

import sqlite3
import subprocess

from conftest import tool
from tool_help import TOOL, damaged, lines_of, shop  # noqa: F401


def test_what_the_daemon_judged_is_judged_the_same_again(shop):
    (events,), = shop.rows("SELECT COUNT(*) FROM event")
    (orders,), = shop.rows("SELECT COUNT(*) FROM orders")
    done = tool("rejudge", db=shop.store)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (f"orderhook rejudge: {events} events of {orders} orders judged again,"
                           " 0 differences\n")


def test_simulated_orders_with_every_fault_are_judged_the_same_again(daemon):
    host, port = daemon.address
    tool("simulate", "--to", f"http://{host}:{port}/callback/shansong", "--orders", "300",
         "--token-file", daemon.dir + "/token", "--secret-file", daemon.dir + "/secret",
         "--concurrency", "8", "--seed", "7", check=True)
    assert daemon.rows("SELECT COUNT(*) FROM event")[0][0] > 1000
    done = tool("rejudge", "--format", "jsonl", conf=daemon.conf)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_verdict_that_would_differ_is_printed(damaged):
    path = damaged("UPDATE event SET verdict = 1 WHERE event_id = 1")
    done = tool("rejudge", "--format", "jsonl", db=path)
    assert done.returncode == 1
    (row,) = lines_of(done)
    assert (row["event_id"], row["what"], row["stored"], row["judged"]) == (
        1, "verdict", "jumped", "applied")


def test_a_state_that_would_differ_is_printed(damaged):
    path = damaged("UPDATE orders SET status = 40, sub_status = 1, reassignments = 7,"
                   " courier_id = 'X', since_ms = 0 WHERE order_id = 1")
    done = tool("rejudge", "--format", "jsonl", db=path)
    assert done.returncode == 1
    rows = lines_of(done)
    assert {r["what"] for r in rows} == {"state", "since", "reassignments", "courier_id"}
    state = [r for r in rows if r["what"] == "state"][0]
    assert (state["event_id"], state["stored"], state["judged"]) == (None, "40/1", "50/1")
    assert done.stderr.endswith(", 4 differences\n")


def test_it_changes_nothing(damaged):
    path = damaged("UPDATE event SET verdict = 1 WHERE event_id = 1")
    before = open(path, "rb").read()
    assert tool("rejudge", db=path).returncode == 1
    assert open(path, "rb").read() == before


def test_any_number_of_orders_need_the_memory_of_one(damaged):
    """Twenty thousand copies of one order: the largest piece is one order's events."""
    path = damaged()
    db = sqlite3.connect(path)
    db.execute("WITH RECURSIVE n(i) AS"
               " (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 21000) INSERT INTO orders"
               " SELECT i, endpoint_id, 'N' || i, order_no, shop_id, status,"
               " sub_status, courier_id, since_ms, reassignments, events, quarantined,"
               " first_received_ms, last_received_ms, last_occurred_ms FROM orders, n"
               " WHERE order_id = 1")
    db.execute("INSERT INTO event SELECT o.order_id * 100 + e.event_id, o.order_id, occurred_ms,"
               " received_ms, e.status, e.sub_status, occurred_from, verdict, from_status,"
               " from_sub_status, auth, source, deliveries, e.courier_id, content,"
               " body_sha256, link, private_sha256, e.order_no,"
               " e.shop_id, remote, notes, head, body FROM orders o, event e"
               " WHERE e.order_id = 1 AND o.order_id >= 1000")
    db.commit()
    db.close()
    done = subprocess.run(["/usr/bin/env", "bash", "-c", 'ulimit -v 120000; exec "$0" "$@"', TOOL,
                           "--db", path, "rejudge"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
