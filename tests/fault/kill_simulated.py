"""SIGKILL at random moments while `orderhook simulate` plays whole orders at the daemon, with
duplicates, reorderings, forgeries and what else its faults are; its ledger is the account.

Of the ledger's lines: whatever was acknowledged is stored, once, whatever is stored was sent, byte
for byte, and no forgery is. How the daemon is killed is kill.py's.

    tests/fault/kill_simulated.py --orders 600 --seed 1
"""

import argparse
import collections
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

import kill
import lanes
from kill import BUILD, TOKEN, Violation

SECRET = "test-secret-0123456789"
HANG_S = 600
CONF = kill.CONF.replace("signature = off", "signature = required\nsecrets = file:{dir}/secret")


def simulate(lane, orders, seed):
    """The simulator, started; its callers wait for a daemon on the lane's socket."""
    host, port = lane.listeners[0].getsockname()
    return subprocess.Popen(
        [f"{BUILD}/orderhook", "simulate", "--to", f"http://{host}:{port}/callback/shansong",
         "--token-file", f"{lane.dir}/token", "--secret-file", f"{lane.dir}/secret",
         "--orders", str(orders), "--concurrency", "8", "--seed", str(seed),
         "--faults", "duplicate=10%,reorder=5%,late=3%,skip=2%,bad-signature=5%,reassign=10%",
         "--retry-interval", "20ms", "--ledger", f"{lane.dir}/ledger"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_ledger(path):
    """{SHA-256: key} of what was sent, that of forgeries, and the keys that were acknowledged."""
    sent, forged, acked = {}, set(), set()
    with open(path) as f:
        for row in map(json.loads, f):
            if row["line"] == "sent" and row["kind"] == "forged":
                forged.add(row["sha256"])
            elif row["line"] == "sent":
                sent[row["sha256"]] = row["key"]
            elif row["line"] == "outcome" and row["outcome"] == "acked":
                acked.add(row["key"])
    return sent, forged, acked


def compare(lane):
    sent, forged, acked = read_ledger(f"{lane.dir}/ledger")
    db = sqlite3.connect(f"file:{lane.dir}/orderhook.db?mode=ro", uri=True, timeout=kill.HANG_S)
    try:
        hashes = [hashlib.sha256(body).hexdigest()
                  for (body,) in db.execute("SELECT body FROM order_log")]
        (state,) = db.execute("PRAGMA integrity_check").fetchone()
    finally:
        db.close()
    stored = collections.Counter(sent[one] for one in hashes if one in sent)
    figures = {"sent": len(set(sent.values())), "acked": len(acked), "stored": len(hashes),
               "forgeries_sent": len(forged), "lost": len(acked - set(stored)),
               "duplicated": sum(n - 1 for n in stored.values()),
               "forged": sum(one not in sent for one in hashes)}
    wrong = [f"{name} {figures[name]}" for name in ("lost", "duplicated", "forged")
             if figures[name]]
    if state != "ok":
        wrong.append(f"integrity_check: {state}")
    return {**figures, "violations": wrong} if wrong else figures


def wait_healthy(lane):
    with socket.create_connection(lane.listeners[1].getsockname(), timeout=kill.HANG_S) as admin:
        admin.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not admin.recv(4096).startswith(b"HTTP/1.1 200 "):
            raise Violation(f"a daemon that was killed does not start again: {lane.tail()}")


def play(lane, orders, seed):
    """Kills until the simulator has played its orders."""
    simulator = simulate(lane, orders, seed)
    end = time.monotonic() + HANG_S
    try:
        while simulator.poll() is None:
            if time.monotonic() > end:
                raise Violation(f"the orders were not played within {HANG_S} s: {lane.tail()}")
            lane.live(lambda: wait_healthy(lane), time.sleep, 0.05)
            lane.kill()
    finally:
        simulator.kill()
        simulator.wait()
    return {**{f"killed_in_{k}": n for k, n in lane.kills.items()}, **compare(lane)}


def run_lane(seed, orders):
    directory = tempfile.mkdtemp(prefix="orderhook-kill-")
    with open(os.open(f"{directory}/secret", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(SECRET)
    lane = kill.Lane(directory, seed, callers=0, conf=CONF)
    try:
        return play(lane, orders, seed)
    except Violation as why:
        return {"violations": [str(why)]}
    finally:
        lane.close()
        shutil.rmtree(directory, ignore_errors=True)


def run(orders, seed, n_lanes=2):
    return lanes.run(range(n_lanes), lambda lane: run_lane(seed + lane, orders // n_lanes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    figures = run(options.orders, options.seed, options.lanes)
    print(json.dumps({"harness": "kill simulated", "seed": options.seed, **figures,
                      "seconds": round(time.monotonic() - began, 1)}))
    return 1 if "violations" in figures else 0


if __name__ == "__main__":
    sys.exit(main())
