"""/readyz with each of its reasons, and /metrics as Prometheus reads it."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT, TOKEN, callback, captured, request, wait_until

sys.path.insert(0, os.path.join(ROOT, "tests/fault"))

import inject  # noqa: E402

PATH = "/callback/shansong/" + TOKEN


def reasons(daemon):
    reply = daemon.get_admin("/readyz")
    page = json.loads(reply.body)
    assert (reply.status == 200) == page["ready"] == (page["reasons"] == [])
    assert reply.status in (200, 503)
    return page["reasons"]


def test_a_held_lock_and_a_full_queue_are_reasons_and_pass_by_themselves(make_daemon):
    daemon = make_daemon(server={"queue_limit": "1"}).init().start()
    assert reasons(daemon) == []
    shell = sqlite3.connect(daemon.store, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    first = daemon.connect()
    first.send(request(PATH, captured()[0]))
    wait_until(lambda: reasons(daemon) == ["queue-full"])
    assert daemon.post(callback("second")).status == 503
    assert first.reply().status == 503
    wait_until(lambda: reasons(daemon) == ["store-busy"])
    shell.execute("ROLLBACK")
    shell.close()
    wait_until(lambda: reasons(daemon) == [])
    first.close()
    assert daemon.stop() == 0


def test_a_full_disk_is_a_reason_until_there_is_space_without_any_callback(make_daemon):
    if not os.path.isdir("/dev/shm") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    daemon = make_daemon()
    disk = os.path.join(daemon.dir, "disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        daemon.store = os.path.join(disk, "orderhook.db")
        daemon.configure()
        daemon.init().start()
        ballast = os.open(os.path.join(disk, "ballast"), os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while True:
                os.write(ballast, b"x" * 4096)
        os.close(ballast)
        wait_until(lambda: daemon.post(callback("full", statusDesc="x" * 9000)).status == 503)
        wait_until(lambda: reasons(daemon) == ["store-full"])
        os.unlink(os.path.join(disk, "ballast"))
        wait_until(lambda: reasons(daemon) == [])
        assert daemon.stop() == 0
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
        subprocess.run(["umount", disk], check=True)


def test_a_store_that_was_taken_away_is_a_reason_while_the_daemon_ends(make_daemon):
    daemon = make_daemon().init().start()
    slow = daemon.connect()
    slow.send(request(PATH, captured()[0])[:-5])  # the end waits for it, and the page can be seen
    wait_until(lambda: daemon.get_admin("/healthz").status == 200)
    os.unlink(daemon.store)
    wait_until(lambda: "store-moved" in reasons(daemon))
    slow.close()
    assert daemon.wait_exit() == 74


def test_a_clock_that_was_set_back_is_a_reason_until_it_is_right_again(make_daemon):
    preload = os.path.join(BUILD, "tests/fake_clock.so")
    if os.environ.get("SANITIZE"):
        pytest.skip("a sanitizer wants to be the first library")
    daemon = make_daemon()
    clock = daemon.write_file("clock", "0")
    daemon.init().start(env={"LD_PRELOAD": preload, "FAKE_CLOCK_FILE": clock})
    assert reasons(daemon) == []
    daemon.write_file("clock", "-540")
    assert daemon.post(callback("nine-minutes")).status == 200
    assert reasons(daemon) == []
    daemon.write_file("clock", "-1200")
    wait_until(lambda: reasons(daemon) == ["clock-wrong"])
    assert daemon.post(callback("unsigned-ones-are-taken")).status == 200
    daemon.write_file("clock", "0")
    wait_until(lambda: reasons(daemon) == [])
    daemon.write_file("clock", "-2000000000")
    wait_until(lambda: reasons(daemon) == ["clock-wrong"])
    assert daemon.stop() == 0


def promtool():
    found = shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return found


def busy(daemon):
    """A scrape in which every family has something to say."""
    for body in captured():
        daemon.post(body)
    for body in (captured()[0], b"{", b'{"issOrderNo":"a\\"b","status":999}'):
        daemon.post(body)
    daemon.post(captured()[0], path="/elsewhere")
    # Orders are counted at most a second later, by the writer.
    wait_until(lambda: b"orderhook_orders{" in daemon.get_admin("/metrics").body)
    reply = daemon.get_admin("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return reply.body.decode()


SAMPLE = re.compile(r'(orderhook_[a-z_]+?)(_bucket|_sum|_count)?'
                    r'(\{(?:[a-z]+="[^"\\\n]*",?)+\})? (-?[0-9.e+]+)$')


def test_metrics_are_in_the_text_format(daemon):
    kinds, helped, seen, buckets = {}, set(), set(), {}
    for line in busy(daemon).splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in helped and len(line.split()) > 3
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name in helped and name not in kinds
            assert (kind == "counter") == name.endswith("_total")
            kinds[name] = kind
        else:
            name, suffix, labels, value = SAMPLE.match(line).groups()
            family = name if name in kinds else name + (suffix or "")
            assert kinds[family] in ("counter", "gauge", "histogram")
            assert (kinds[family] == "histogram") == bool(suffix)
            assert (name, suffix, labels) not in seen
            seen.add((name, suffix, labels))
            if suffix == "_bucket":
                assert float(value) >= buckets.get(family, 0)
                buckets[family] = float(value)
            elif suffix == "_count":
                assert float(value) == buckets[family]
    assert set(kinds) == helped
    table = open(os.path.join(ROOT, "include/orderhook/tbl/metric.def")).read()
    assert set(kinds) == set(re.findall(r'^METRIC\(\w+, \w+, "(\w+)"', table, re.M))
    assert {name + (suffix or "") for name, suffix, _ in seen} >= \
        {name for name, kind in kinds.items() if kind != "histogram"}


def test_promtool_finds_nothing_in_the_metrics(daemon):
    done = subprocess.run([promtool(), "check", "metrics"], input=busy(daemon), text=True,
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_alert_fires_on_what_it_is_for_and_on_no_ordinary_day():
    rules = os.path.join(ROOT, "etc/prometheus/orderhook.rules.yml")
    cases = os.path.join(ROOT, "tests/fixtures/prometheus/orderhook.rules.test.yml")
    for arguments in (["check", "rules", rules], ["test", "rules", cases]):
        done = subprocess.run([promtool(), *arguments], text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = open(cases).read()
    for alert in re.findall(r"- alert: (\w+)", open(rules).read()):
        assert tested.count(f"alertname: {alert}") == 2, alert


def test_the_daemon_never_dials_out(make_daemon, tmp_path):
    """Neither a name is looked up nor a connection made, but to systemd's sockets on this host."""
    why = inject.can_trace()
    if why:
        pytest.skip("NOT TESTED: " + why)
    trace = tmp_path / "trace"
    daemon = make_daemon().init()
    daemon.start(wrap=("strace", "-f", "-qq", "-o", str(trace), "-e",
                       "trace=connect,socket,sendto,sendmsg,sendmmsg"))
    try:
        for body in captured():
            assert daemon.post(body).status == 200
        daemon.post(b"{")
        daemon.get_admin("/metrics")
        child = int(open(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
                    .read().split()[0])
        os.kill(child, 1)  # a reload
        daemon.notified("RELOADING")
        daemon.notified("READY")
        os.kill(child, 15)
        assert daemon.wait_exit() == 0
    finally:
        daemon.stop()
    calls = trace.read_text()
    assert "sendmsg(" in calls or "sendto(" in calls, "nothing was traced"
    connects = re.findall(r"connect\([0-9]+, \{sa_family=(\w+)", calls)
    assert set(connects) <= {"AF_UNIX"}
    # The listeners are the only sockets of a network, and they are never connected.
    made = re.findall(r" socket\((\w+), ([\w|]+)", calls)
    assert [family for family, kind in made if family not in ("AF_UNIX", "AF_INET")] == []
    assert sum(family == "AF_INET" for family, _ in made) == 2
    # What goes out without a connection goes to the notify socket.
    assert not re.search(r"send\w*\([^\n]*msg_name=\{sa_family=AF_INET", calls)
    assert not re.search(r"sendto\([^\n]*sa_family=AF_INET", calls)
