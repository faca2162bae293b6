"""orderhook simulate: against a small receiver of the test's own, then against the daemon."""

import collections
import hashlib
import http.server
import json
import os
import pty
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from conftest import BUILD, DEADLINE_S, ROOT, SECRET, TOKEN, sign_flat, tool, wait_until

PATH = "/callback/shansong"
OK = {"status": 200, "msg": "", "data": None}


class Receiver:
    """Answers callbacks as the test says and remembers what came."""

    def __init__(self, answer, unix_path=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = not unix_path

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    outer.requests.append((self.path, dict(self.headers), body))
                    n = len(outer.requests)
                reply = outer.answer(body, n)
                if reply is None:
                    self.close_connection = True
                    return
                status, members = reply[:2]
                data = json.dumps(members).encode() if not isinstance(members, bytes) else members
                self.send_response(status)
                for name, value in (reply[2] if len(reply) > 2 else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

            def address_string(self):
                return "test"

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 256
            address_family = socket.AF_UNIX if unix_path else socket.AF_INET
            connections = 0

            def get_request(self):
                self.connections += 1
                request, address = super().get_request()
                return request, address or ("unix", 0)

            def handle_error(self, *_):
                pass

        self.answer = answer
        self.lock = threading.Lock()
        self.requests = []
        self.server = Server(unix_path or ("127.0.0.1", 0), Handler)
        self.address = self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.address[1]}{PATH}"

    def bodies(self):
        return [json.loads(body) for _, _, body in self.requests]

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receive():
    made = []

    def make(answer=lambda body, n: (200, OK), **more):
        made.append(Receiver(answer, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def files(tmp_path):
    for name, text in (("token", TOKEN), ("secret", SECRET)):
        with open(os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(text)
    return tmp_path


def simulate(files, url, *arguments, secret=True, **more):
    keys = ["--secret-file", str(files / "secret")] if secret else []
    return tool("simulate", "--to", url, "--token-file", str(files / "token"), *keys,
                "--retry-interval", "10ms", "--ledger", str(files / "ledger"), *arguments, **more)


def summary(done):
    return json.loads(done.stdout)


def ledger(files, line=None):
    rows = [json.loads(text) for text in open(files / "ledger")]
    return [row for row in rows if line in (None, row["line"])]


def bare(members):
    return {k: v for k, v in members.items() if k not in ("timestamp", "sign")}


def well_signed(members):
    return json.loads(sign_flat(bare(members), timestamp=members["timestamp"])) == members


def judge(body, n):
    """A healthy receiver: 401 for a wrong signature."""
    return (200, OK) if well_signed(json.loads(body)) else (401, {"status": 401})


# ---------------------------------------------------------------- what goes out


def test_signed_callbacks_reach_path_and_token(receive, files):
    receiver = receive(judge)
    done = simulate(files, receiver.url, "--orders", "20", "--seed", "1", "--faults", "none",
                    "--client-id", "cid", "--shop-id", "shop-9", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert len(receiver.requests) >= 20 * 4
    for path, headers, body in receiver.requests:
        assert path == f"{PATH}/{TOKEN}"
        assert headers["Content-Type"] == "application/json"
        members = json.loads(body)
        assert well_signed(members)
        assert abs(int(members["timestamp"]) - time.time() * 1000) < 60000
        assert (members["clientId"], members["shopId"]) == ("cid", "shop-9")
    report = summary(done)
    assert report["acked"] == report["callbacks"] == len(receiver.requests)
    assert report["finals"] == {"50/1": 20}
    assert report["answers"] == [{"http": 200, "answer": 200, "count": report["acked"]}]
    assert report["latency_us"]["count"] == report["acked"]
    assert done.stderr == ""


def test_connections_are_kept_and_bounded(receive, files):
    receiver = receive(judge)
    assert simulate(files, receiver.url, "--orders", "40", "--seed", "1", "--faults", "none",
                    "--concurrency", "3").returncode == 0
    assert 1 <= receiver.server.connections <= 3


def test_the_callbacks_of_an_order_keep_their_order(receive, files):
    receiver = receive(judge)
    simulate(files, receiver.url, "--orders", "50", "--seed", "2", "--concurrency", "16",
             "--faults", "reassign=50%,cancel=50%,refund=50%")
    times = collections.defaultdict(list)
    for members in receiver.bodies():
        times[members["issOrderNo"]].append(members["statusChangeTime"])
    assert len(times) == 50
    for order in times.values():
        assert order == sorted(order)


def test_the_same_seed_and_start_make_the_same_bodies(receive, files):
    runs = []
    for concurrency in "1", "8":
        receiver = receive(judge)
        done = simulate(files, receiver.url, "--orders", "30", "--seed", "3",
                        "--start", "2025-05-30T16:00:00+08:00", "--concurrency", concurrency)
        assert done.returncode == 0, done.stdout + done.stderr
        runs.append(collections.Counter(
            json.dumps(bare(m), ensure_ascii=False) for m in receiver.bodies()))
    assert runs[0] == runs[1]


def test_another_seed_makes_other_orders_and_the_summary_names_it(receive, files):
    receiver = receive(judge)
    seeds = {summary(simulate(files, receiver.url, "--orders", "2", "--faults", "none",
                              "--format", "json"))["seed"] for _ in range(2)}
    assert len(seeds) == 2
    assert len({m["issOrderNo"] for m in receiver.bodies()}) == 4


def test_no_time_is_ahead_of_the_clock(receive, files):
    receiver = receive(judge)
    simulate(files, receiver.url, "--orders", "50", "--seed", "4")
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 8 * 3600))
    assert max(m["statusChangeTime"] for m in receiver.bodies()) <= now


def test_envelopes_are_signed_as_the_rule_says(receive, files):
    receiver = receive()
    assert simulate(files, receiver.url, "--orders", "5", "--seed", "5", "--form", "envelope",
                    "--faults", "none").returncode == 0
    for members in receiver.bodies():
        assert set(members) == {"clientId", "shopId", "timestamp", "data", "sign"}
        text = SECRET + "".join(k + members[k] for k in sorted(members) if k != "sign")
        assert hashlib.md5(text.encode()).hexdigest().upper() == members["sign"]
        assert json.loads(members["data"])["issOrderNo"].startswith("TDH")


def test_unsigned_callbacks_have_the_captured_members(receive, files):
    receiver = receive()
    done = simulate(files, receiver.url, "--orders", "5", "--seed", "5", secret=False)
    assert done.returncode == 0, done.stderr
    for members in receiver.bodies():
        assert "sign" not in members and "timestamp" not in members
        assert list(members) == sorted(members)


def test_a_duplicate_is_the_same_callback_signed_anew(receive, files):
    receiver = receive(judge)
    assert simulate(files, receiver.url, "--orders", "1", "--seed", "6",
                    "--faults", "duplicate=100%").returncode == 0
    bodies = [bare(m) for m in receiver.bodies()]
    assert bodies[0::2] == bodies[1::2]


def test_slow_bodies_arrive_whole(receive, files):
    receiver = receive(judge)
    done = simulate(files, receiver.url, "--orders", "1", "--seed", "6", "--faults", "slow=100%",
                    "--timeout", "300ms", "--format", "json")
    assert done.returncode == 0, done.stdout
    report = summary(done)
    assert report["acked"] == report["faults"]["slow"] == len(receiver.requests)
    assert report["elapsed_ms"] >= 100 * report["acked"]
    assert report["latency_us"] is None  # their latency would be ours


def test_a_unix_socket_is_a_target(receive, files):
    path = str(files / "s")
    receiver = receive(judge, unix_path=path)
    for url, more in ((f"unix:{path}:{PATH}", []),
                      (f"http://localhost{PATH}", ["--unix-socket", path])):
        before = len(receiver.requests)
        done = simulate(files, url, "--orders", "2", "--seed", "7", "--faults", "none", *more)
        assert done.returncode == 0, done.stderr
        assert len(receiver.requests) > before
        assert all(p == f"{PATH}/{TOKEN}" for p, _, _ in receiver.requests)


def test_an_endpoint_of_the_configuration_is_a_target(receive, files):
    receiver = receive(judge)
    conf = files / "orderhook.conf"
    conf.write_text(f"""
[server]
listen = 127.0.0.1:{receiver.address[1]}
[store]
path = {files}/orderhook.db
environment = test
[endpoint shansong]
platform = shansong
path = {PATH}
token = file:{files}/token
client_id = cid-7
shop_ids = shop-7 shop-8
signature = required
secrets = file:{files}/secret
""")
    done = tool("simulate", "--to", "endpoint:shansong", "--orders", "2", "--faults", "none",
                conf=str(conf))
    assert done.returncode == 0, done.stderr
    path, _, body = receiver.requests[0]
    assert path == f"{PATH}/{TOKEN}"
    members = json.loads(body)
    assert well_signed(members)
    assert (members["clientId"], members["shopId"]) == ("cid-7", "shop-7")
    assert tool("simulate", "--to", "endpoint:other", conf=str(conf)).returncode == 3


def test_a_proxy_of_the_environment_is_not_used(receive, files):
    receiver = receive(judge)
    proxies = {name: "http://127.0.0.1:1" for name in ("http_proxy", "all_proxy", "ALL_PROXY")}
    done = simulate(files, receiver.url, "--orders", "1", "--faults", "none",
                    env={**proxies, "no_proxy": "", "NO_PROXY": ""})
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- the platform's behaviour


def test_what_is_refused_is_sent_again_before_the_next_one(receive, files):
    seen = collections.Counter()

    def answer(body, n):
        members = json.loads(body)
        key = members["issOrderNo"] + members["statusChangeTime"]
        seen[key] += 1
        return (200, OK) if seen[key] == 3 else (503, {"status": 503, "msg": "", "data": None})

    receiver = receive(answer)
    done = simulate(files, receiver.url, "--orders", "4", "--seed", "8", "--faults", "none",
                    "--format", "json")
    assert done.returncode == 0, done.stderr
    report = summary(done)
    assert set(seen.values()) == {3}
    assert report["retried"] == 2 * report["callbacks"]
    assert report["lost"] == report["unexpected"] == 0
    for order in {row["order"] for row in ledger(files, "sent")}:
        rows = [r for r in ledger(files, "sent") if r["order"] == order]
        assert [r["attempt"] for r in rows] == [1, 2, 3] * (len(rows) // 3)


def test_after_five_retries_a_callback_is_lost(receive, files):
    receiver = receive(lambda body, n: (500, {"status": 500}))
    done = simulate(files, receiver.url, "--orders", "1", "--seed", "9", "--faults", "none",
                    "--format", "json")
    assert done.returncode == 1
    report = summary(done)
    assert report["lost"] == report["callbacks"]
    assert report["attempts"] == 6 * report["callbacks"] == len(receiver.requests)
    (order,) = ledger(files, "order")
    assert (order["lost"], order["events"], order["status"]) == (report["lost"], 0, None)


def test_success_is_the_status_in_the_body(receive, files):
    for body in ({"status": 500}, b"OK", {"status": "200"}, {"code": 200}):
        receiver = receive(lambda _, n, body=body: (200, body))
        done = simulate(files, receiver.url, "--orders", "1", "--seed", "9", "--faults", "none",
                        "--format", "json")
        assert done.returncode == 1
        assert summary(done)["acked"] == 0
        assert "unexpected" in done.stderr and "HTTP 200" in done.stderr


def test_a_good_callback_that_is_refused_is_unexpected(receive, files):
    receiver = receive(lambda body, n: (401, {"status": 401}) if n == 1 else (200, OK))
    done = simulate(files, receiver.url, "--orders", "1", "--seed", "9", "--faults", "none",
                    "--format", "json")
    assert done.returncode == 1
    assert (summary(done)["unexpected"], summary(done)["lost"]) == (1, 0)
    assert "--secret-file" in done.stderr


def test_forgeries_must_be_refused(receive, files):
    arguments = ("--orders", "5", "--seed", "10", "--faults", "bad-signature=100%",
                 "--format", "json")
    honest = receive(judge)
    done = simulate(files, honest.url, *arguments)
    assert done.returncode == 0, done.stderr
    report = summary(done)
    assert report["forged"] == report["forged_refused"] == report["callbacks"] > 0
    assert report["retried"] == 0
    careless = receive()
    done = simulate(files, careless.url, *arguments)
    assert done.returncode == 1
    assert summary(done)["unexpected"] == summary(done)["forged"]
    assert "forged" in done.stderr


def test_no_answer_is_unknown_and_said_at_once(receive, files):
    receiver = receive(lambda body, n: None if n <= 2 else (200, OK))
    done = simulate(files, receiver.url, "--orders", "2", "--seed", "11", "--faults", "none",
                    "--concurrency", "1", "--format", "json")
    assert done.returncode == 0
    assert summary(done)["unknown"] == 2
    assert done.stderr.count("no answer") == 1
    assert [r["http"] for r in ledger(files, "outcome") if r["outcome"] == "unknown"] == [None] * 2


def test_silence_is_given_up_after_the_timeout(files):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        done = simulate(files, f"http://127.0.0.1:{silent.getsockname()[1]}{PATH}", "--orders", "1",
                        "--faults", "none", "--timeout", "20ms", "--format", "json")
    assert done.returncode == 1
    report = summary(done)
    assert report["unknown"] == report["attempts"] == 6 * report["callbacks"]


def test_a_redirect_is_an_answer_and_not_followed(receive, files):
    other = receive()
    receiver = receive(lambda body, n: (307, {}, {"Location": other.url}))
    assert simulate(files, receiver.url, "--orders", "1", "--faults", "none").returncode == 1
    assert other.requests == []


def test_latency_counts_from_the_schedule(receive, files):
    """A stall of half a second is charged to all that should have gone out meanwhile."""
    stalled = threading.Lock()

    def answer(body, n):
        with stalled:
            if n == 20:
                time.sleep(0.5)
        return 200, OK

    receiver = receive(answer)
    done = simulate(files, receiver.url, "--orders", "40", "--seed", "12", "--faults", "none",
                    "--rate", "200", "--concurrency", "2", "--format", "json")
    report = summary(done)
    assert report["elapsed_ms"] >= 1000 * (report["callbacks"] - 1) / 200 - 5
    slow = [r for r in ledger(files, "outcome") if r["latency_us"] > 100000]
    assert len(slow) >= 40  # only two requests were under way
    assert report["latency_us"]["p90"] >= 100000


# ---------------------------------------------------------------- the ledger


def test_the_ledger_is_ahead_of_the_request(receive, files):
    missing = []

    def answer(body, n):
        hashes = [json.loads(line)["sha256"] for line in open(files / "ledger")
                  if '"line":"sent"' in line]
        if hashlib.sha256(body).hexdigest() not in hashes:
            missing.append(body)
        return judge(body, n)

    receiver = receive(answer)
    assert simulate(files, receiver.url, "--orders", "10", "--seed", "13").returncode == 0
    assert receiver.requests and missing == []


def test_the_ledger_tells_every_attempt_and_every_order(receive, files):
    receiver = receive(judge)
    done = simulate(files, receiver.url, "--orders", "30", "--seed", "14", "--format", "json")
    report = summary(done)
    sent, outcome = ledger(files, "sent"), ledger(files, "outcome")
    assert [r["seq"] for r in sent] == list(range(1, report["attempts"] + 1))
    assert sorted(r["seq"] for r in outcome) == [r["seq"] for r in sent]
    assert collections.Counter(r["sha256"] for r in sent) == collections.Counter(
        hashlib.sha256(body).hexdigest() for _, _, body in receiver.requests)
    by_seq = {r["seq"]: r for r in sent}
    for row in outcome:
        first = by_seq[row["seq"]]
        assert {k: row[k] for k in first if k != "line"} == \
            {k: v for k, v in first.items() if k != "line"}
        assert row["outcome"] == ("refused" if row["kind"] == "forged" else "acked")
    assert len(ledger(files, "order")) == 30
    assert os.stat(files / "ledger").st_mode & 0o077 == 0


def test_no_secret_and_no_token_is_printed_or_written(receive, files):
    receiver = receive(lambda body, n: (500, {"status": 500}))
    done = simulate(files, receiver.url, "--orders", "1", "--faults", "none")
    text = done.stdout + done.stderr + open(files / "ledger").read()
    assert TOKEN not in text and SECRET not in text


def test_a_ledger_that_cannot_be_written_stops_the_run(receive, files):
    receiver = receive(judge)
    done = simulate(files, receiver.url, "--orders", "50", "--ledger", "/dev/full")
    assert done.returncode == 4
    assert "/dev/full: No space" in done.stderr
    assert receiver.requests == []


# ---------------------------------------------------------------- the user's side


@pytest.fixture
def start():
    """Starts `orderhook` beside the test; what still runs at the end is ended."""
    started = []

    def run(*arguments, **popen):
        started.append(subprocess.Popen(
            [os.path.join(BUILD, "orderhook"), *arguments], stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def keys_and_ledger(files):
    return "--secret-file", str(files / "secret"), "--ledger", str(files / "ledger")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_summary(receive, start, files, number):
    receiver = receive(judge)
    process = start("simulate", "--to", receiver.url, *keys_and_ledger(files), "--orders", "100000",
                    "--rate", "50", "--format", "json", "--faults", "none")
    wait_until(lambda: len(receiver.requests) > 5)
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number, err
    report = json.loads(out)
    assert report["attempts"] == report["acked"] == len(receiver.requests)
    assert report["finished"] <= report["orders"] < 100000


def test_a_second_signal_does_not_wait_for_answers(start, files):
    with socket.socket() as silent, open(files / "err", "w+") as err:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}{PATH}"
        process = start("simulate", "--to", url, *keys_and_ledger(files), "--timeout", "10m",
                        "--orders", "3", "--format", "json", stderr=err)
        wait_until(lambda: os.path.exists(files / "ledger") and ledger(files, "sent"))
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "once more" in open(files / "err").read())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert json.loads(out)["unknown"] == json.loads(out)["attempts"] > 0
    assert len(ledger(files, "outcome")) == len(ledger(files, "sent"))


def test_progress_is_for_terminals_only(receive, start, files):
    receiver = receive(judge)
    master, slave = pty.openpty()
    process = start("simulate", "--to", receiver.url, *keys_and_ledger(files), "--orders", "4",
                    "--rate", "60", "--faults", "none", stderr=slave,
                    env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    text = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    out, _ = process.communicate(timeout=DEADLINE_S)
    os.close(master)
    assert process.returncode == 0
    assert re.search(rb"%\s+\d+/4\s+orders", text)
    assert text.endswith(b"\r\x1b[K")
    assert "\x1b" not in out
    assert simulate(files, receiver.url, "--orders", "4", "--faults", "none").stderr == ""


def test_the_table_names_what_a_person_asks_for(receive, files):
    receiver = receive(judge)
    done = simulate(files, receiver.url, "--orders", "20", "--seed", "15",
                    "--start", "2025-05-30T16:00:00+08:00")
    assert receiver.url in done.stdout
    assert "--seed 15 --start 2025-05-30T08:00:00.000Z" in done.stdout
    for word in ("acknowledged", "lost", "unexpected", "p99.9", "200: "):
        assert word in done.stdout


@pytest.mark.parametrize("arguments,code,words", [
    ([], 2, "--to is missing"),
    (["--to", "http://192.0.2.1/x"], 4, "--allow-external"),
    (["--to", "http://127.0.0.1:1/x", "--orders", "0"], 2, "--orders"),
    (["--to", "http://127.0.0.1:1/x", "--concurrency", "0"], 2, "--concurrency"),
    (["--to", "http://127.0.0.1:1/x", "--rate", "0"], 2, "--rate"),
    (["--to", "http://127.0.0.1:1/x", "--retry-interval", "100000000d"], 2, "--retry-interval"),
    (["--to", "http://127.0.0.1:1/x", "--faults", "dupe=1%"], 2, "duplicate"),
    (["--to", "http://127.0.0.1:1/x", "--faults", "bad-signature=1%"], 2, "signed"),
    (["--to", "http://127.0.0.1:1/x", "--form", "flat"], 2, "--secret-file"),
    (["--to", "http://127.0.0.1:1/x", "--format", "csv"], 2, "--format"),
    (["--to", "http://127.0.0.1:1/x", "--client-id", "a b"], 2, "--client-id"),
    (["--to", "ftp://127.0.0.1/x"], 2, "--to"),
    (["--to", "http://u:topsecret@127.0.0.1/x"], 2, "--to"),
    (["--to", "http://127.0.0.1:1/x", "--token-file", "/nonexistent/t"], 78, "/nonexistent/t"),
])
def test_usage_is_checked_before_anything_is_sent(arguments, code, words):
    done = tool("simulate", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "topsecret" not in done.stderr


def test_the_page_names_every_fault_with_its_share():
    page = open(os.path.join(ROOT, "docs/simulator.md")).read()
    table = open(os.path.join(ROOT, "include/orderhook/tbl/sim_fault.def")).read()
    rows = re.findall(r'^SIM_FAULT\(\w+, "([a-z-]+)", (\d+), "([^"]+)"', table, re.M)
    assert rows
    for key, share, of in rows:
        assert f"| `{key}` | {int(share) // 100} % of {of} |" in page


# ---------------------------------------------------------------- against the daemon


def daemon_url(daemon):
    return f"http://127.0.0.1:{daemon.address[1]}{PATH}"


def run_against(daemon, files, *arguments):
    return simulate(files, daemon_url(daemon), *arguments)


def key_of(row):
    iss, status, sub, occurred, courier = row
    return f"{iss}/{status}/{'' if sub is None else sub}/{occurred}/{courier or ''}"


def stored_keys(daemon):
    """The event keys of the store, from the bodies themselves."""
    keys = set()
    for (body,) in daemon.rows("SELECT body FROM order_log"):
        members = json.loads(body)
        members = json.loads(members["data"]) if "data" in members else members
        keys.add(key_of((members["issOrderNo"], members["status"], members.get("subStatus"),
                         members["statusChangeTime"], members.get("courier", {}).get("id"))))
    return keys


def assert_consistent(daemon, files):
    """acked ⊆ stored ⊆ sent, and every order is what its acknowledged callbacks make of it."""
    sent = [r for r in ledger(files, "sent") if r["kind"] != "forged"]
    acked = {r["key"] for r in ledger(files, "outcome") if r["outcome"] == "acked"}
    stored = stored_keys(daemon)
    assert acked <= stored <= {r["key"] for r in sent}
    hashes = {hashlib.sha256(body if isinstance(body, bytes) else body.encode()).hexdigest()
              for (body,) in daemon.rows("SELECT body FROM order_log")}
    assert hashes <= {r["sha256"] for r in sent}
    assert daemon.rows("SELECT count(*) FROM order_log") == [(len(stored),)]
    states = {row[0]: row[1:] for row in daemon.rows(
        "SELECT iss_order_no, status, sub_status, reassignments, events, quarantined"
        " FROM order_state")}
    for order in ledger(files, "order"):
        if order["lost"] == 0 and order["events"]:
            assert states[order["order"]] == (order["status"], order["sub"],
                                              order["reassignments"], order["events"], 0)


@pytest.mark.parametrize("form", ["flat", "envelope", "unsigned"])
def test_the_daemon_keeps_exactly_what_it_acknowledged(daemon, files, form):
    faults = "default,duplicate=20%,reorder=20%,late=10%,skip=10%,reassign=40%,cancel=40%," \
             "slow=0%,bad-signature=" + ("0%" if form == "unsigned" else "20%")
    done = run_against(daemon, files, "--orders", "60", "--seed", "20", "--form", form,
                       "--concurrency", "8", "--faults", faults, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = summary(done)
    assert report["finished"] == 60 and report["retried"] == 0
    assert len({r["order"] for r in ledger(files, "sent")}) >= 59
    assert_consistent(daemon, files)


def test_the_same_run_again_is_all_duplicates(daemon, files):
    first = run_against(daemon, files, "--orders", "10", "--seed", "21", "--faults", "none")
    assert first.returncode == 0, first.stderr
    count = "SELECT count(*), sum(deliveries) FROM order_log"
    (events, deliveries), = daemon.rows(count)
    assert events == deliveries > 0
    again = re.search(r"--seed \S+ --start \S+", first.stdout).group().split()
    assert run_against(daemon, files, "--orders", "10", *again, "--faults", "none").returncode == 0
    assert daemon.rows(count) == [(events, 2 * events)]


def test_the_configured_endpoint_is_reached_by_name(make_daemon, files):
    path = str(files / "listen.sock")
    daemon = make_daemon(server={"listen": f"unix:{path}"}).init().start()
    done = tool("simulate", "--to", "endpoint:shansong", "--orders", "3", "--seed", "22",
                "--ledger", str(files / "ledger"), conf=daemon.conf)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_consistent(daemon, files)


def test_nothing_acknowledged_is_lost_when_the_daemon_is_killed(make_daemon, start, files):
    path = str(files / "listen.sock")
    daemon = make_daemon(server={"listen": f"unix:{path}"}).init().start()
    process = start(
        "-c", daemon.conf, "simulate", "--to", "endpoint:shansong", "--orders", "400",
        "--rate", "1500", "--concurrency", "16", "--retry-interval", "700ms", "--seed", "23",
        "--faults", "default,slow=0%", "--ledger", str(files / "ledger"), "--format", "json")
    for acked in 100, 500:
        wait_until(lambda: os.path.exists(files / "ledger")
                   and open(files / "ledger").read().count('"acked"') > acked)
        daemon.stop(signal.SIGKILL)
        daemon.start()
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert report["retried"] > 0
    assert report["lost"] == report["unexpected"] == 0, err
    assert process.returncode == 0
    assert_consistent(daemon, files)
    assert daemon.stop() == 0
