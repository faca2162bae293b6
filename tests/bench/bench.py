"""Durable callbacks a second and their latency, beside the limits of the same machine, in one run.

`make bench` builds the programs and runs this. Environment: BENCH_SECONDS (of one measurement, 3),
BENCH_RUNS (3; the median counts), BENCH_FILL (events in the large store, 10000000; 0 leaves it
out), BENCH_ONLY (words of section names). Results go to build/bench: results.json, table.md,
plot.svg. tests/bench/publish.py writes them into the documents.

Every acknowledgement is compared with the store afterwards; a run in which one is missing fails.
"""

import json
import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import svg

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("ORDERHOOK_BUILD", "build"))
OUT = os.path.join(BUILD, "bench")
SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
FILL = int(os.environ.get("BENCH_FILL", "10000000"))
ONLY = os.environ.get("BENCH_ONLY", "").split()
TOKEN = "bench-token-0123456789"
SECRET = "bench-secret-0123456789"
ODD_COUNTS = [127, 128, 129, 255, 256, 257, 511, 512, 1000]
STEPS = ((20, 1), (30, 1), (20, 2), (40, 1), (50, 1))


def program(name):
    return os.path.join(BUILD, "bench", name)


def run_json(*command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, cwd=ROOT, timeout=3600)
    if done.returncode != 0:
        raise SystemExit(f"bench: {os.path.basename(command[0])} ended with {done.returncode}")
    return json.loads(done.stdout)


def medians(results):
    """The median of each number over the runs; the share by which the rates were apart."""
    out = {key: statistics.median(r[key] for r in results) for key in results[0]}
    rates = [r["per_second"] for r in results]
    out["spread"] = (max(rates) - min(rates)) / out["per_second"]
    return out


class Daemon:
    """orderhookd with a store of its own in the directory that is measured."""

    orders = 0  # order numbers given out so far, so that every callback is unique

    def __init__(self, directory, name, batch_limit=512, store=None, connection_limit=2048):
        self.dir = os.path.join(directory, name)
        os.makedirs(self.dir, exist_ok=True)
        self.store = store or os.path.join(self.dir, "orderhook.db")
        for file, text in (("token", TOKEN), ("secret", SECRET)):
            with open(os.open(f"{self.dir}/{file}", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(text)
        with open(f"{self.dir}/conf", "w") as f:
            f.write(f"[server]\nlisten = 127.0.0.1:0\nadmin_listen = unix:{self.dir}/admin.sock\n"
                    f"connection_limit = {connection_limit}\n"
                    f"[store]\npath = {self.store}\nenvironment = test\n"
                    f"batch_limit = {batch_limit}\n"
                    "[endpoint shansong]\nplatform = shansong\npath = /callback/shansong\n"
                    f"token = file:{self.dir}/token\nclient_id = clientId\nshop_ids = shopId\n"
                    f"signature = required\nsecrets = file:{self.dir}/secret\n")
        if not os.path.exists(self.store):
            subprocess.run([os.path.join(BUILD, "orderhook"), "-c", f"{self.dir}/conf", "init"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        self.log = open(f"{self.dir}/log", "w")
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "orderhookd"), "-c", f"{self.dir}/conf"], stderr=self.log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = re.search(r"callbacks on \S+:(\d+),", open(f"{self.dir}/log").read())
            if found:
                self.port = int(found.group(1))
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        raise SystemExit("bench: the daemon did not start:\n" + open(f"{self.dir}/log").read())

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()

    def cpu_s(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(
            f"/proc/{self.process.pid}/status").read()).group(1)) / 1024

    def load(self, connections, rate=0, close=False, port=None, seconds=SECONDS):
        """One run of the client; checks every acknowledgement against the store."""
        ledger = f"{self.dir}/ledger"
        before = self.cpu_s()
        command = [program("bench_load"), "--port", port or self.port,
                   "--path", "/callback/shansong",
                   "--token-file", f"{self.dir}/token", "--secret-file", f"{self.dir}/secret",
                   "--connections", connections, "--seconds", seconds, "--rate", rate,
                   "--first-order", Daemon.orders, "--ledger", ledger]
        result = run_json(*command, *(["--close"] if close else []))
        result["server_cpu_us"] = (self.cpu_s() - before) * 1e6 / result["acked"]
        result["resident_mb"] = self.resident_mb()
        began = time.monotonic()
        self.check(ledger, Daemon.orders)
        result["check_s"] = time.monotonic() - began
        Daemon.orders = int(result["next_order"]) + 1
        return result

    def check(self, ledger, first_order):
        acked = {tuple(map(int, line.split())) for line in open(ledger)}
        steps = {pair: i for i, pair in enumerate(STEPS)}
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        (newest,), = db.execute("SELECT max(event_id) FROM order_log")
        stored = set()
        for iss, status, sub in db.execute(
                "SELECT iss_order_no, status, sub_status FROM order_log WHERE event_id > ?",
                (newest - len(acked) - 100000,)):
            stored.add((int(iss[3:]), steps[status, sub]))
        db.close()
        missing = acked - stored
        if missing or min(o for o, _ in acked) < first_order:
            raise SystemExit(f"bench: {len(missing)} acknowledged callbacks are not in the store")


def repeat(measure):
    return medians([measure() for _ in range(RUNS)])


class Bench:
    def __init__(self, directory):
        self.dir = directory
        self.results = {}

    def say(self, name, result):
        self.results[name] = result
        print(f"{name:34} {result['per_second']:10.0f}/s   p50 {result.get('p50_us', 0):7.0f} µs"
              f"   p99 {result.get('p99_us', 0):7.0f} µs", flush=True)

    # sections ------------------------------------------------------------------------------

    def disk(self):
        for size in (4096, 65536):
            self.say(f"fdatasync {size // 1024}K", repeat(
                lambda: run_json(program("bench_sync"), self.dir, SECONDS, size)))

    def sqlite(self):
        for batch in (1, 16, 64, 256, 512):
            store = os.path.join(self.dir, f"sqlite-{batch}.db")
            self.init_store(store)
            self.say(f"sqlite {batch}", repeat(lambda: self.sqlite_run(store, batch)))
            self.remove(store)
        store = os.path.join(self.dir, "evidence.db")
        self.init_store(store)
        self.say("chain and head alone, 64 a batch",
                 repeat(lambda: self.sqlite_run(store, 64, "--evidence")))
        self.remove(store)

    def sqlite_run(self, store, batch, *more):
        result = run_json(program("bench_store"), "--store", store, "--batch", batch, "--seconds",
                          SECONDS, "--first-order", Daemon.orders, *more)
        Daemon.orders = int(result["next_order"]) + 1
        return result

    def init_store(self, path):
        Daemon(self.dir, "init", store=path)

    @staticmethod
    def remove(path):
        for suffix in ("", "-wal", "-shm", ".lock", ".head"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)

    def echo(self):
        server = subprocess.Popen([program("bench_echo")], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        port = int(server.stdout.readline())

        def run(connections, *more):
            return run_json(program("bench_load"), "--port", port, "--connections", connections,
                            "--seconds", SECONDS, *more)
        for connections in (1, 64, 256):
            self.say(f"echo {connections}", repeat(lambda: run(connections)))
        self.say("echo 64 close", repeat(lambda: run(64, "--close")))
        server.stdin.close()
        server.wait(10)

    def served(self):
        with Daemon(self.dir, "served") as daemon:
            for connections in (1, 4, 16, 64, 256):
                self.say(f"orderhookd {connections}", repeat(lambda: daemon.load(connections)))
            for connections in ODD_COUNTS:
                self.say(f"orderhookd {connections}",
                         medians([daemon.load(connections, seconds=max(1, SECONDS // 2))]))
            self.say("orderhookd 64 close", repeat(lambda: daemon.load(64, close=True)))
            self.say("orderhookd paced 1000/s", repeat(lambda: daemon.load(64, rate=1000)))
        self.remove(daemon.store)

    def single(self):
        with Daemon(self.dir, "single", batch_limit=1) as daemon:
            self.say("one transaction per request 64", repeat(lambda: daemon.load(64)))
        self.remove(daemon.store)

    def batches(self):
        for limit in (8, 64, 256):
            with Daemon(self.dir, f"batch-{limit}", batch_limit=limit) as daemon:
                self.say(f"orderhookd 256 batch_limit {limit}", repeat(lambda: daemon.load(256)))
            self.remove(daemon.store)

    def proxied(self):
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not nginx:
            print("nginx is not installed: left out", flush=True)
            return
        with Daemon(self.dir, "proxied") as daemon:
            port, process = nginx_start(nginx, self.dir, daemon.port)
            try:
                self.say("behind nginx 64", repeat(lambda: daemon.load(64, port=port)))
            finally:
                process.terminate()
                process.wait(10)
        self.remove(daemon.store)

    def large(self):
        if not FILL:
            return
        store = os.path.join(self.dir, "large.db")
        self.init_store(store)
        began = time.monotonic()
        self.sqlite_run(store, 512, "--fill", FILL)
        print(f"filled {FILL} events in {time.monotonic() - began:.0f} s, "
              f"{os.path.getsize(store) / FILL:.0f} bytes each", flush=True)
        self.results["fill"] = {"events": FILL}
        with Daemon(self.dir, "large", store=store) as daemon:
            self.say("orderhookd 64, large store", repeat(lambda: daemon.load(64)))
            daemon.load(1000)
            self.results["resident"] = {"mb": daemon.resident_mb()}
            self.results["query"] = self.query(daemon)
        self.results["start"] = self.start_with_wal(store)
        self.remove(store)

    @staticmethod
    def query(daemon):
        """Processor time of one `orderhook show`, the whole process."""
        times = []
        for n in range(10):
            before = os.times()
            subprocess.run([os.path.join(BUILD, "orderhook"), "-c", f"{daemon.dir}/conf", "show",
                            f"TDB{n * 1000:012d}", "--format", "json"], check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = os.times()
            times.append(after.children_user + after.children_system
                         - before.children_user - before.children_system)
        return {"cpu_ms": statistics.median(times) * 1000}

    def start_with_wal(self, store):
        """From exec to the first acknowledgement, with a 64 MB log left by a killed daemon."""
        daemon = Daemon(self.dir, "large", store=store)
        blocker = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        blocker.execute("BEGIN")
        blocker.execute("SELECT count(*) FROM (SELECT 1 FROM order_log LIMIT 1)").fetchall()
        daemon.__enter__()
        while os.path.getsize(store + "-wal") < 64 * 1024 * 1024:
            daemon.load(64, seconds=1)
        daemon.process.kill()
        daemon.process.wait()
        wal_mb = os.path.getsize(store + "-wal") / 1024 / 1024
        blocker.close()
        began = time.monotonic()
        with daemon:
            result = daemon.load(1, seconds=0)  # exactly one callback
            took = time.monotonic() - began - result["check_s"]
        return {"seconds": took, "wal_mb": wal_mb}

    SECTIONS = ("disk", "sqlite", "echo", "served", "single", "batches", "proxied", "large")

    def run(self):
        for name in self.SECTIONS:
            if not ONLY or name in ONLY:
                getattr(self, name)()


def nginx_start(nginx, directory, upstream):
    """nginx as etc/nginx configures it, with upstream keep-alive; returns its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"{directory}/nginx"
    os.makedirs(base, exist_ok=True)
    with open(f"{base}/conf", "w") as f:
        f.write(f"worker_processes 1;\npid {base}/pid;\nerror_log {base}/error.log;\ndaemon off;\n"
                "events { worker_connections 4096; }\n"
                "http {\n access_log off;\n keepalive_requests 100000000;\n"
                f" client_body_temp_path {base}/body; proxy_temp_path {base}/proxy;\n"
                f" fastcgi_temp_path {base}/f; uwsgi_temp_path {base}/u; scgi_temp_path {base}/s;\n"
                f" upstream d {{ server 127.0.0.1:{upstream}; keepalive 128;"
                " keepalive_requests 100000000; }\n"
                f" server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://d;\n"
                "  proxy_http_version 1.1; proxy_set_header Connection \"\"; } }\n}\n")
    process = subprocess.Popen([nginx, "-p", base, "-c", f"{base}/conf"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port, process
        time.sleep(0.01)
    raise SystemExit("bench: nginx did not start")


def ratio(results, name, over):
    return results[name]["per_second"] / results[over]["per_second"]


def targets(r):
    """(measure, target, figure, met) for whatever was measured."""
    rows = []

    def row(measure, target, make, ok, form="{:.2f}"):
        try:
            figure = make()
        except KeyError:
            return
        met = "" if ok is None else "yes" if ok(figure) else "no"
        rows.append((measure, target, form.format(figure), met))

    row("64 connections / SQLite alone at 64", "≥ 0.55",
        lambda: ratio(r, "orderhookd 64", "sqlite 64"), lambda x: x >= 0.55)
    row("1 connection / SQLite alone at 1", "≥ 0.65",
        lambda: ratio(r, "orderhookd 1", "sqlite 1"), lambda x: x >= 0.65)
    row("256 connections / 64", "≥ 1.0",
        lambda: ratio(r, "orderhookd 256", "orderhookd 64"), lambda x: x >= 1.0)
    row("slowest of 127 to 1000 connections / 64", "no collapse (≥ 0.8)",
        lambda: min(ratio(r, f"orderhookd {n}", "orderhookd 64") for n in ODD_COUNTS),
        lambda x: x >= 0.8)
    row("chain and head, share of SQLite's 64-event transaction, p50", "",
        lambda: r["chain and head alone, 64 a batch"]["p50_us"] / r["sqlite 64"]["p50_us"], None)
    row("64 connections / one transaction per request", "≥ 9",
        lambda: ratio(r, "orderhookd 64", "one transaction per request 64"), lambda x: x >= 9)
    row("p99 at 64 / p99 of SQLite's 64-event transaction", "≤ 1.0",
        lambda: r["orderhookd 64"]["p99_us"] / r["sqlite 64"]["p99_us"], lambda x: x <= 1.0)
    row("p99 at 64 connections, ms", "≤ 4",
        lambda: r["orderhookd 64"]["p99_us"] / 1000, lambda x: x <= 4)
    row("paced 1 000/s: p99 / fdatasync's", "≤ 9",
        lambda: r["orderhookd paced 1000/s"]["p99_us"] / r["fdatasync 4K"]["p99_us"],
        lambda x: x <= 9)
    row("paced 1 000/s: p50 / fdatasync's", "≤ 5",
        lambda: r["orderhookd paced 1000/s"]["p50_us"] / r["fdatasync 4K"]["p50_us"],
        lambda x: x <= 5)
    row("without keep-alive / bare echo without", "≥ 0.8",
        lambda: ratio(r, "orderhookd 64 close", "echo 64 close"), lambda x: x >= 0.8)
    row("behind nginx / direct", "≥ 0.7",
        lambda: ratio(r, "behind nginx 64", "orderhookd 64"), lambda x: x >= 0.7)
    row("large store / empty", "≥ 0.95",
        lambda: ratio(r, "orderhookd 64, large store", "orderhookd 64"), lambda x: x >= 0.95)
    row("single-order query in it, ms of process time", "≤ 20",
        lambda: r["query"]["cpu_ms"], lambda x: x <= 20, "{:.0f}")
    row("daemon's processor time per callback, µs", "≤ 22",
        lambda: r["orderhookd 64"]["server_cpu_us"], lambda x: x <= 22, "{:.1f}")
    row("resident after it and 1 000 connections, MB", "≤ 40",
        lambda: r["resident"]["mb"], lambda x: x <= 40, "{:.0f}")
    row("start with that store and a 64 MB log to the first ack, s", "≤ 1",
        lambda: r["start"]["seconds"], lambda x: x <= 1)
    return rows


def machine():
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return (f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores, "
            f"Linux {platform.release().split('-')[0]}, SQLite {sqlite3.sqlite_version}, "
            f"{time.strftime('%Y-%m-%d')}")


def table(results, run):
    lines = [f"Machine: {run['machine']}. {run['seconds']} s a run, medians of {run['runs']} runs, "
             "WAL and synchronous=FULL, client on the same cores.", "",
             "| measured | a second | p50 µs | p99 µs | p99.9 µs | daemon µs | client µs |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for name, r in results.items():
        if "per_second" in r:
            cells = [f"{r[k]:.0f}" if k in r else "" for k in
                     ("per_second", "p50_us", "p99_us", "p999_us", "server_cpu_us",
                      "client_cpu_us")]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| ratio | target | reached | met |", "|---|---|---:|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in targets(results)]
    return "\n".join(lines) + "\n"


def main():
    os.makedirs(OUT, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix="store-", dir=OUT)
    bench = Bench(scratch)
    try:
        bench.run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    run = {"machine": machine(), "seconds": SECONDS, "runs": RUNS, "fill": FILL,
           "results": bench.results}
    text = table(bench.results, run)
    with open(f"{OUT}/results.json", "w") as f:
        json.dump(run, f, indent=1)
    with open(f"{OUT}/table.md", "w") as f:
        f.write(text)
    svg.write(f"{OUT}/plot.svg", bench.results, run["machine"])
    print("\n" + text + f"\nwritten: {os.path.relpath(OUT, ROOT)}/table.md, plot.svg, results.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
