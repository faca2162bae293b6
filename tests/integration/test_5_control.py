"""Control over the admin socket: who may, what is refused, and that nobody waits for it."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

from conftest import (BUILD, LONG, SECRET, TOKEN, Connection, Daemon, body_of, callback, request,
                      sign_flat, tool, wait_until)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be other users")
STRANGER = 64999
ADMINS = 64998


def local(make_daemon, **changes):
    """A daemon whose admin listener is a unix socket; its secret is not yet the right one."""
    server = {"admin_listen": "unix:admin.sock", **changes.pop("server", {})}
    daemon = make_daemon(server=server, **changes)
    daemon.configure(server={**server, "admin_listen": f"unix:{daemon.dir}/admin.sock"}, **changes)
    daemon.write_file("secret", "not-yet-the-right-one")
    return daemon.init()


@pytest.fixture
def refusing(make_daemon):
    daemon = local(make_daemon).start()
    yield daemon
    if daemon.process.poll() is None:
        assert daemon.stop() == 0, daemon.log_text()


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """One for all the requests that it refuses."""
    daemon = Daemon(tmp_path_factory.mktemp("strict"))
    daemon.configure(server={"admin_listen": f"unix:{daemon.dir}/admin.sock"})
    yield daemon.init().start()
    assert daemon.stop() == 0, daemon.log_text()


def hold(daemon, *bodies):
    """Sends callbacks that are refused with 401; waits until they are held."""
    for body in bodies:
        assert daemon.post(body).status == 401
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held") == [(len(bodies),)])


def mend(daemon, name="secret", secret=SECRET):
    daemon.write_file(name, secret)
    before = daemon.log_text().count("reloaded ")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("reloaded ") > before)


def control(daemon, name, body, method="POST"):
    connection = Connection(daemon.admin)
    try:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.send(request(f"/control/{name}", body, method=method))
        return connection.reply()
    finally:
        connection.close()


def user(uid, groups=()):
    """A prefix that makes a command another user's, who may pass any directory."""
    groups = ",".join(map(str, groups))
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}",
            f"--groups={groups}" if groups else "--clear-groups",
            "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def ask_as(daemon, uid, groups=()):
    done = subprocess.run([*user(uid, groups), sys.executable, "-c", ASK, daemon.admin],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'POST /control/readmit HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 13\\r\\n\\r\\n'
          b'{"held_id":7}')
print(s.recv(65536).decode())
"""


def test_readmit_goes_through_the_running_daemon(refusing):
    hold(refusing, sign_flat(callback()), sign_flat(callback("TDH2")),
         sign_flat(callback("TDH3"), secret="forged-0123456789-0123"))
    first = refusing.rows("SELECT received, remote FROM held_log ORDER BY held_id")[0]
    mend(refusing)
    done = tool("held", "readmit", "--all", "--reason", "sign-wrong", conf=refusing.conf)
    assert done.returncode == 4 and done.stderr == "", done.stderr
    assert done.stdout.splitlines() == [
        "1 stored as event 1", "2 stored as event 2",
        "3 still refused: sign-wrong: no secret of the endpoint makes this signature"]
    assert refusing.rows("SELECT iss_order_no, source, auth, received, remote FROM order_log "
                         "ORDER BY event_id LIMIT 1") == [("TDH1", "readmit", "signed", *first)]
    assert refusing.rows("SELECT held_id FROM held") == [(3,)]
    assert tool("held", "readmit", "1", conf=refusing.conf).returncode == 3
    # The platform's own retry, meanwhile, is the same event.
    assert refusing.post(sign_flat(callback())).status == 200
    assert refusing.rows("SELECT deliveries FROM order_log WHERE iss_order_no = 'TDH1'") == [(2,)]
    assert 'orderhook_events_total{verdict="applied"} 2' in \
        refusing.get_admin("/metrics").body.decode()


def test_readmission_by_the_daemon_skips_no_check(refusing):
    hold(refusing, sign_flat(callback(), secret=SECRET, timestamp=1748595319000))
    mend(refusing)
    done = tool("held", "readmit", "--all", conf=refusing.conf)
    assert done.returncode == 4 and "timestamp-stale" in done.stdout
    assert refusing.rows("SELECT count(*) FROM order_log") == [(0,)]
    assert refusing.rows("SELECT reason FROM held_log") == [("timestamp-stale",)]


def test_readmission_is_judged_by_the_endpoint_that_received_it(make_daemon):
    daemon = local(make_daemon)
    daemon.write_file("other", "not-right-here-either")
    with open(daemon.conf, "a") as conf:
        conf.write("[endpoint other]\nplatform = shansong\npath = /callback/other\n"
                   "client_id = clientId\nshop_ids = shopId\nsignature = required\n"
                   f"secrets = file:{daemon.dir}/other\n")
    daemon.start()
    body = sign_flat(callback(), secret="secret-of-the-other-one")
    for n, path in enumerate(("/callback/other", f"/callback/shansong/{TOKEN}"), 1):
        assert daemon.post(body, path=path).status == 401
        wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log") == [(n,)])
    mend(daemon, "other", "secret-of-the-other-one")
    done = tool("held", "readmit", "--all", conf=daemon.conf)
    assert done.stdout.splitlines() == [
        "1 stored as event 1",
        "2 still refused: sign-wrong: no secret of the endpoint makes this signature"]
    assert daemon.rows("SELECT endpoint FROM order_log") == [("other",)]
    assert daemon.rows("SELECT endpoint FROM held_log") == [("shansong",)]
    assert daemon.stop() == 0


def test_the_address_of_the_first_receipt_comes_back(refusing):
    reply = refusing.post(sign_flat(callback()), headers={"X-Forwarded-For": "203.0.113.9"})
    assert reply.status == 401
    wait_until(lambda: refusing.rows("SELECT remote FROM held_log") == [("203.0.113.9",)])
    mend(refusing)
    tool("held", "readmit", "1", conf=refusing.conf, check=True)
    assert refusing.rows("SELECT remote, source FROM order_log") == [("203.0.113.9", "readmit")]


def test_a_form_is_readmitted_as_the_form_that_it_was(refusing):
    body = urllib.parse.urlencode(json.loads(sign_flat(callback(status="20", sub="1")))).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert refusing.post(body, headers=form).status == 401
    wait_until(lambda: refusing.rows("SELECT reason FROM held_log") == [("sign-wrong",)])
    mend(refusing)
    done = tool("held", "readmit", "1", conf=refusing.conf)
    assert done.stdout == "1 stored as event 1\n"
    assert refusing.rows("SELECT iss_order_no, auth, body FROM order_log") == [
        ("TDH1", "signed", body)]


def test_signed_headers_are_checked_again_with_what_they_said(refusing):
    key, wrong = b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210"
    mend(refusing, secret="whsec_" + base64.b64encode(b"-" * 32).decode())
    stamp = str(int(time.time()))
    for iss, by in (("TDH1", key), ("TDH2", wrong)):
        body = body_of(callback(iss))
        digest = hmac.new(by, b"m1." + stamp.encode() + b"." + body, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(digest).decode()
        assert refusing.post(body, headers={"webhook-id": "m1", "webhook-timestamp": stamp,
                                            "webhook-signature": signature}).status == 401
    wait_until(lambda: refusing.rows("SELECT reason FROM held_log") == [("hmac-wrong",)] * 2)
    mend(refusing, secret="whsec_" + base64.b64encode(key).decode())
    done = tool("held", "readmit", "--all", conf=refusing.conf)
    assert done.returncode == 4
    first, second = done.stdout.splitlines()
    assert first == "1 stored as event 1" and second.startswith("2 still refused: hmac-wrong")
    assert refusing.rows("SELECT iss_order_no, auth FROM order_log") == [("TDH1", "signed")]
    assert refusing.rows("SELECT held_id, reason FROM held_log") == [(2, "hmac-wrong")]


def test_a_token_of_today_does_not_vouch_for_a_url_of_then(make_daemon):
    daemon = local(make_daemon, endpoint={"token": None, "signature": "required"}).start()
    assert daemon.send(request("/callback/shansong", body_of(callback()))).status == 401
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held") == [(1,)])
    daemon.configure(server={"admin_listen": f"unix:{daemon.dir}/admin.sock"})
    mend(daemon)
    done = tool("held", "readmit", "1", conf=daemon.conf)
    assert done.returncode == 4 and "still refused: sign-missing" in done.stdout
    assert daemon.post(callback()).status == 200
    assert daemon.stop() == 0


def test_each_use_is_a_line_in_the_log_without_anything_personal(refusing):
    hold(refusing, sign_flat(callback(courier={"id": "c", "name": "测师傅",
                                               "mobile": "13800138000"})))
    mend(refusing)
    control(refusing, "readmit", {"held_id": 1})
    control(refusing, "readmit", {"held_id": 1})
    log = refusing.log_text()
    who = rf"control: uid {os.getuid()}, pid {os.getpid()}: readmit: refused delivery 1: "
    assert re.search(who + "stored as event 1", log) and re.search(who + "is not held", log)
    assert "order TDH1, event 1, applied; refused delivery 1 was readmitted" in log
    assert "13800138000" not in log and "测师傅" not in log and SECRET not in log


@pytest.mark.parametrize("body,status,says", [
    (b"", 400, "one JSON object"),
    (b"{", 400, "one JSON object"),
    (b'{"held_id":1,"held_id":2}', 400, "one JSON object"),
    (b"[1]", 400, "one JSON object"),
    (b"{}", 400, "held_id: is missing"),
    (b'{"held_id":"1"}', 400, "held_id: must be a whole number from 1"),
    (b'{"held_id":0}', 400, "held_id: must be a whole number from 1"),
    (b'{"held_id":1e3}', 400, "held_id: must be a whole number from 1"),
    (b'{"held_id":9223372036854775808}', 400, "held_id: must be a whole number from 1"),
    (b'{"held_id":1,"force":true}', 400, "not known here"),
    (b'{"held_id":1' + b" " * 2000 + b"}", 413, "too long"),
])
def test_a_request_that_is_not_exactly_right_is_refused_with_what_is_allowed(
        strict, body, status, says):
    reply = control(strict, "readmit", body)
    assert (reply.status, says in reply.json()["text"]) == (status, True), reply.body


def test_paths_and_methods_that_are_none_are_refused(strict):
    assert control(strict, "readmit", {"held_id": 1}, method="GET").status == 405
    assert control(strict, "readmi", {}).status == 404
    assert control(strict, "readmit/", {}).status == 404
    assert control(strict, "", {}).status == 404
    connection = Connection(strict.admin)
    connection.send(b"POST /control/readmit HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                    b"\r\n0\r\n\r\n")
    assert connection.reply().status == 411
    connection.close()
    assert strict.get_admin("/healthz").status == 200


def test_a_peer_that_goes_away_in_the_middle_harms_nobody(strict):
    for cut in (10, 60, -5, None):
        connection = Connection(strict.admin)
        connection.send(request("/control/readmit", b'{"held_id":1}')[:cut])
        connection.close()
    assert control(strict, "readmit", {"held_id": 1}).json()["outcome"] == "not-held"


def test_control_is_not_there_on_tcp_nor_on_the_callback_listener(daemon):
    connection = Connection(daemon.admin)
    connection.send(request("/control/readmit", b'{"held_id":1}'))
    assert connection.reply().status == 404
    connection.close()
    assert daemon.post(b'{"held_id":1}', path="/control/readmit").status == 404


def test_the_socket_is_for_its_user_and_group_only(refusing):
    assert stat.S_IMODE(os.stat(refusing.admin).st_mode) == 0o660


@as_root
def test_a_stranger_is_refused_and_told_the_group(refusing):
    os.chmod(refusing.admin, 0o666)
    reply = ask_as(refusing, STRANGER)
    assert reply.startswith("HTTP/1.1 403 ") and "orderhook-admin" in reply
    assert f"control: uid {STRANGER}, pid" in refusing.log_text()


def test_health_and_metrics_answer_while_a_readmission_waits_for_the_disk(make_daemon):
    daemon = local(make_daemon, server={"commit_timeout": "30s"}).start()
    hold(daemon, sign_flat(callback()))
    mend(daemon)
    shell = sqlite3.connect(daemon.store, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    replies = []
    asking = threading.Thread(
        target=lambda: replies.append(control(daemon, "readmit", {"held_id": 1})))
    asking.start()
    for _ in range(20):
        assert daemon.get_admin("/healthz").status == 200
        assert daemon.get_admin("/metrics").status == 200
    shell.execute("ROLLBACK")
    shell.close()
    asking.join()
    reply, = replies
    assert reply.status in (200, 503), reply.body
    stored = daemon.rows("SELECT count(*) FROM order_log")[0][0]
    assert stored == (1 if reply.status == 200 else 0)
    assert daemon.stop() == 0


def test_a_request_that_waits_when_the_daemon_stops_is_answered(make_daemon):
    daemon = local(make_daemon).start()
    hold(daemon, *(sign_flat(callback(f"TDH{i}")) for i in range(8)))
    mend(daemon)
    shell = sqlite3.connect(daemon.store, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    connections = [Connection(daemon.admin) for _ in range(8)]
    for i, connection in enumerate(connections):
        connection.send(request("/control/readmit", b'{"held_id":%d}' % (i + 1)))
    assert daemon.get_admin("/healthz").status == 200  # so the ones before it were taken
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping: signal TERM" in daemon.log_text())
    shell.execute("ROLLBACK")
    shell.close()
    statuses = [connection.reply().status for connection in connections]
    assert set(statuses) <= {200, 503} and daemon.wait_exit() == 0
    assert daemon.rows("SELECT count(*) FROM order_log") == [(statuses.count(200),)]
    daemon.stop()


@pytest.mark.skipif(not LONG, reason="ORDERHOOK_LONG=1 runs it")
def test_a_disk_that_does_not_answer_is_told_in_time_and_the_work_still_ends(make_daemon):
    daemon = local(make_daemon, server={"commit_timeout": "100ms"}).start()
    hold(daemon, sign_flat(callback()))
    mend(daemon)
    traced = subprocess.Popen(
        ["strace", "-f", "-o", f"{daemon.dir}/strace", "-p", str(daemon.process.pid), "-e",
         "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=8000000"],
        stderr=subprocess.PIPE, text=True)
    assert "attached" in traced.stderr.readline()
    reply = control(daemon, "readmit", {"held_id": 1})
    assert reply.status == 503 and "may still happen" in reply.json()["text"]
    assert daemon.get_admin("/healthz").status == 200
    assert "readmit: not done in time" in daemon.log_text()
    wait_until(lambda: daemon.rows("SELECT count(*) FROM order_log") == [(1,)])
    traced.send_signal(signal.SIGINT)
    traced.communicate()
    assert daemon.stop() == 0


def test_without_a_daemon_the_tool_does_it_under_the_writers_lock(make_daemon):
    daemon = local(make_daemon).start()
    hold(daemon, sign_flat(callback()))
    daemon.write_file("secret", SECRET)
    daemon.stop()
    done = tool("held", "readmit", "1", conf=daemon.conf, check=True)
    assert done.stdout == "1 stored as event 1\n"
    assert daemon.rows("SELECT source FROM order_log") == [("readmit",)]


def test_a_daemon_that_cannot_be_asked_is_named_with_what_to_do(make_daemon):
    daemon = local(make_daemon).start()
    hold(daemon, sign_flat(callback()))
    os.unlink(daemon.admin)
    done = tool("held", "readmit", "1", conf=daemon.conf)
    assert done.returncode == 4 and done.stdout == ""
    assert f"nobody listens at unix:{daemon.dir}/admin.sock" in done.stderr
    assert str(daemon.process.pid) in done.stderr and "stop it" in done.stderr
    assert daemon.stop() == 0


def test_another_store_is_never_changed_by_the_daemon_of_this_one(refusing, tmp_path):
    hold(refusing, sign_flat(callback()))
    mend(refusing)
    other = str(tmp_path / "other.db")
    tool("init", conf=refusing.conf, db=other, check=True)
    done = tool("held", "readmit", "1", conf=refusing.conf, db=other)
    assert done.returncode == 3 and refusing.rows("SELECT count(*) FROM held") == [(1,)]


@as_root
def test_members_of_the_group_may_and_have_lost_it_when_they_left(make_daemon, tmp_path):
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: no mount namespace can be made here")
    groups = tmp_path / "group"
    groups.write_text(open("/etc/group").read() + f"orderhook-admin:x:{ADMINS}:\n")
    daemon = local(make_daemon)
    # A namespace of its own, in which the machine has the group.
    daemon.start(wrap=["unshare", "-m", "sh", "-c",
                       f'mount --bind "{groups}" /etc/group && exec "$0" "$@"'])
    # It is the group's, so that its members can connect at all.
    assert (os.stat(daemon.admin).st_gid, stat.S_IMODE(os.stat(daemon.admin).st_mode)) == (
        ADMINS, 0o660)
    assert ask_as(daemon, STRANGER, [ADMINS]).startswith("HTTP/1.1 200 ")
    os.chmod(daemon.admin, 0o666)
    assert ask_as(daemon, ADMINS).startswith("HTTP/1.1 200 ")
    assert ask_as(daemon, STRANGER, [ADMINS + 1]).startswith("HTTP/1.1 403 ")
    assert daemon.stop() == 0


@as_root
def test_the_daemons_own_user_may_and_a_neighbour_may_not_even_connect(make_daemon):
    daemon = local(make_daemon)
    os.chown(daemon.dir, STRANGER, STRANGER)
    for name in os.listdir(daemon.dir):
        os.chown(os.path.join(daemon.dir, name), STRANGER, STRANGER)
    mask = os.umask(0)  # it has to reach the socket that it notifies
    daemon.start(wrap=user(STRANGER))
    os.umask(mask)
    assert ask_as(daemon, STRANGER).startswith("HTTP/1.1 200 ")
    done = subprocess.run([*user(ADMINS), os.path.join(BUILD, "orderhook"), "-c", daemon.conf,
                           "held", "readmit", "1"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and "Permission denied" in done.stderr
    assert "orderhook-admin" in done.stderr and TOKEN not in done.stderr
    assert daemon.stop() == 0


# ------------------------------------------------------------------ a wrong secret, mended later


LATER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int err = real(id, now);
    if (id == CLOCK_REALTIME)
        now->tv_sec += 26 * 60 * 60;
    return err;
}
"""


def test_a_secret_mended_a_day_later_loses_nothing(make_daemon, tmp_path):
    source, shim = tmp_path / "later.c", tmp_path / "later.so"
    source.write_text(LATER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    daemon = local(make_daemon).start()
    hold(daemon, sign_flat(callback()))
    received = daemon.rows("SELECT received FROM held_log")
    daemon.stop()
    daemon.write_file("secret", SECRET)
    daemon.start(env={"LD_PRELOAD": str(shim)})
    # The day has passed: the same bytes, sent again, are too old.
    assert daemon.post(sign_flat(callback("TDH2"))).status == 401
    done = tool("held", "readmit", "1", conf=daemon.conf, check=True)
    assert done.stdout == "1 stored as event 1\n"
    assert daemon.rows("SELECT received FROM order_log WHERE source = 'readmit'") == received
    assert daemon.stop() == 0


def test_a_flood_of_junk_pushes_out_no_real_one_and_is_not_readmitted(make_daemon):
    daemon = local(make_daemon, store={"held_limit": "64K"},
                   endpoint={"token": None, "signature": "required"}).start()
    path = "/callback/shansong"
    assert daemon.post(sign_flat(callback()), path=path).status == 401
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log WHERE ours") == [(1,)])
    for i in range(120):
        assert daemon.post(b'{"junk":"%d%s"}' % (i, b"x" * 1000), path=path).status == 401
    wait_until(lambda: daemon.rows("SELECT count(*) >= 20 FROM held_log WHERE NOT ours") == [(1,)])
    mend(daemon)
    done = tool("held", "readmit", "--all", "--ours", conf=daemon.conf, check=True)
    assert done.stdout == "1 stored as event 1\n"
    junk = str(daemon.rows("SELECT max(held_id) FROM held_log")[0][0])
    assert tool("held", "readmit", junk, conf=daemon.conf).returncode == 4
    assert daemon.rows("SELECT count(*) FROM order_log") == [(1,)]
    assert daemon.stop() == 0


def dropped(daemon):
    text = daemon.get_admin("/metrics").body.decode()
    return int(float(re.search(r"^orderhook_held_dropped_total (\S+)", text, re.M).group(1)))


def test_real_ones_refused_in_the_middle_of_a_flood_are_all_held_and_readmitted(make_daemon):
    daemon = local(make_daemon, endpoint={"token": None, "signature": "required"}).start()
    path = "/callback/shansong"
    over = threading.Event()

    def flood(thread):
        n = 0
        while not over.is_set():
            n += 1
            assert daemon.post(b'{"junk":"%d %d"}' % (thread, n), path=path).status == 401

    strangers = [threading.Thread(target=flood, args=(i,)) for i in range(3)]
    for stranger in strangers:
        stranger.start()
    try:
        wait_until(lambda: dropped(daemon) > 0)
        for i in range(20):
            before = dropped(daemon)
            assert daemon.post(sign_flat(callback(f"TD{i}")), path=path).status == 401
            wait_until(lambda: dropped(daemon) > before)  # it is a flood all the time
        wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log WHERE ours") == [(20,)])
    finally:
        over.set()
        for stranger in strangers:
            stranger.join()
    assert daemon.rows("SELECT count(*) > 0 FROM held_log WHERE NOT ours") == [(1,)]
    mend(daemon)
    done = tool("held", "readmit", "--all", "--ours", conf=daemon.conf, check=True)
    assert done.stdout.count("stored as event") == 20
    assert daemon.rows("SELECT count(*), count(DISTINCT iss_order_no) FROM order_log") == [(20, 20)]
    assert daemon.stop() == 0


def test_readmission_under_load_delays_nobody_and_loses_nothing(make_daemon, tmp_path):
    daemon = local(make_daemon).start()
    hold(daemon, *(sign_flat(callback(f"TDH{i}")) for i in range(40)))
    mend(daemon)
    ledger = str(tmp_path / "ledger.csv")
    load = subprocess.Popen(
        [os.path.join(BUILD, "orderhook"), "-c", daemon.conf, "simulate", "--to",
         "http://127.0.0.1:%d/callback/shansong" % daemon.address[1], "--token-file",
         f"{daemon.dir}/token", "--orders", "300", "--concurrency", "16", "--seed", "5",
         "--ledger", ledger], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done = tool("held", "readmit", "--all", conf=daemon.conf)
    out, err = load.communicate(timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 40 and load.returncode == 0, err
    assert daemon.rows("SELECT count(*) FROM held_log") == [(0,)]
    assert daemon.rows("SELECT count(*), count(DISTINCT iss_order_no) FROM order_log "
                       "WHERE source = 'readmit'") == [(40, 40)]
    assert daemon.stop() == 0
    assert tool("verify", conf=daemon.conf).returncode == 0
