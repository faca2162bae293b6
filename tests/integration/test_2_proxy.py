"""The shipped nginx, haproxy and caddy configurations, each over TLS before the real daemon."""

import grp
import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from conftest import TOKEN, Daemon, callback, request, sign_flat, tool, wait_until
from proxy_help import NAMES, Proxy, Upstream

PATH = "/callback/shansong/" + TOKEN
SPOOFED = {"X-Forwarded-For": "203.0.113.9", "X-Request-Id": "spoofed-id",
           "Forwarded": "for=203.0.113.9;proto=https", "X-Real-IP": "203.0.113.9"}
STRANGER = "127.0.0.5"  # no trusted proxy, and yet an address that a test can call from


def signed(order, **more):
    return request(PATH, sign_flat(callback(order, **more)))


@pytest.fixture(scope="module", params=NAMES)
def served(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("behind-" + request.param)
    proxy = Proxy(request.param, directory, directory / "http.sock")
    daemon = Daemon(directory)
    daemon.configure(server={"listen": f"unix:{directory}/http.sock"})
    proxy.daemon = daemon.init().start()
    try:
        yield proxy.start()
        assert daemon.stop() == 0, daemon.log_text()
    finally:
        proxy.stop()
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.fixture
def make_proxy(tmp_path):
    """A proxy before an upstream that only records."""
    made = []

    def make(name, answer=Upstream.OK, **more):
        proxy = Proxy(name, tmp_path, tmp_path / "up.sock", **more)
        proxy.seen = Upstream(tmp_path / "up.sock", answer)
        made.append(proxy)
        return proxy.start()

    yield make
    for proxy in made:
        proxy.stop()
        proxy.seen.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_file_is_clean_by_the_proxys_own_check(name, tmp_path):
    done = subprocess.run(Proxy(name, tmp_path, tmp_path / "up.sock").check, capture_output=True,
                          text=True, timeout=60, env={**os.environ, "HOME": str(tmp_path)})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not re.search(r"(?i)warning|\[warn\]|unnecessary|not formatted", said), said


def test_a_signed_callback_is_stored_and_found_by_the_proxys_request_id(served):
    reply = served.send(signed("stored"))
    assert (reply.status, json.loads(reply.body)["status"]) == (200, 200)
    daemon = served.daemon
    (event, auth), = daemon.rows(
        "SELECT event_id, auth FROM order_log WHERE iss_order_no = 'stored'")
    assert auth == "signed"
    request_id = reply.headers["x-request-id"]
    head = tool("raw", str(event), "--headers", conf=daemon.conf, check=True).stdout
    assert f"(request-id): {request_id}" in head
    assert f"order stored, event {event}, applied" in daemon.log_text()
    assert f"request {request_id}" in daemon.log_text()
    if served.name != "caddy":  # whose log has no such field
        assert request_id in served.logs()


def test_what_a_caller_claims_about_itself_is_not_believed(served):
    body = sign_flat(callback("claims"))
    reply = served.send(request(PATH, body, SPOOFED), source=STRANGER)
    assert reply.status == 200
    assert reply.headers["x-request-id"] != SPOOFED["X-Request-Id"]
    assert served.daemon.rows("SELECT remote FROM order_log WHERE iss_order_no = 'claims'") == \
        [(STRANGER,)]
    assert "spoofed-id" not in served.daemon.log_text()


@pytest.mark.parametrize("case, status", [
    ("wrong-token", 404), ("wrong-path", 404), ("root", 404), ("get", 405), ("put", 405),
    ("one-byte-too-big", 413), ("far-too-big", 413), ("no-length", 411), ("text", 415),
    ("bad-sign", 401), ("not-json", 400)])
def test_refusals_have_the_daemons_status_and_form(served, case, status):
    data = {
        "wrong-token": request(PATH[:-1] + "x", b"{}"),
        "wrong-path": request("/elsewhere", b"{}"),
        "root": request("/", b"{}"),
        "get": request(PATH, b"", method="GET", length=False),
        "put": request(PATH, b"{}", method="PUT"),
        "one-byte-too-big": request(PATH, b" " * 65537),
        "far-too-big": request(PATH, b"", length=10 ** 9),
        "no-length": request(PATH, b"", length=False),
        "text": request(PATH, b"{}", {"Content-Type": "text/plain"}),
        "bad-sign": request(PATH, sign_flat(callback("bad"), "another-secret-000")),
        "not-json": request(PATH, b"hello"),
    }[case]
    before = served.daemon.rows("SELECT count(*) FROM order_log")
    reply = served.send(data)
    assert reply.status == status
    assert json.loads(reply.body)["status"] == status
    assert set(json.loads(reply.body)) == {"status", "msg", "data"}
    assert reply.headers["x-request-id"]
    assert reply.headers.get("allow") == ("POST" if status == 405 else None)
    assert served.daemon.rows("SELECT count(*) FROM order_log") == before


def test_the_largest_body_passes(served):
    members = callback("largest")
    body = json.dumps({**members, "pad": ""}).encode()
    body = json.dumps({**members, "pad": "x" * (65536 - len(body))}).encode()
    assert len(body) == 65536
    assert served.send(request(PATH, body)).status == 200


def test_one_connection_of_the_caller_carries_many_callbacks(served):
    connection = served.connect()
    for i in range(50):
        connection.send(signed(f"many-{i}"))
        assert connection.reply().status == 200
    connection.close()


def test_the_token_is_in_no_log_of_the_proxy(served):
    for data in (signed("logged"), request(PATH, b"", method="GET", length=False),
                 request(PATH, b"", length=10 ** 9), request(PATH + "/x", b"{}")):
        served.send(data)
    logs = served.logs()
    assert "/callback/shansong" in logs
    assert TOKEN not in logs


@pytest.mark.parametrize("name", NAMES)
def test_the_daemon_sees_one_reading_of_each_header(make_proxy, name):
    proxy = make_proxy(name)
    body = b'{"a":1}'
    connection = proxy.connect(STRANGER)
    connection.send(request(PATH + "?x=%2e", body, {**SPOOFED, "Expect": "100-continue"}))
    reply = connection.reply()
    while reply.status == 100:
        reply = connection.reply()
    connection.close()
    assert reply.status == 200
    (head, got), = proxy.seen.requests()
    assert got == body
    assert head.startswith(f"POST {PATH}?x=%2e HTTP/1.1\r\n")
    fields = {}
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        fields.setdefault(key.lower(), []).append(value)
    assert fields["content-length"] == [str(len(body))]
    assert fields["x-forwarded-for"] == [STRANGER]
    assert len(fields["host"]) == len(fields["x-request-id"]) == len(fields["content-type"]) == 1
    assert re.fullmatch("[0-9a-f-]{32,36}", fields["x-request-id"][0])
    assert not {"transfer-encoding", "forwarded", "x-real-ip"} & set(fields)


@pytest.mark.parametrize("name", NAMES)
def test_connections_to_the_daemon_are_kept_and_used_again(make_proxy, name):
    proxy = make_proxy(name)
    for i in range(10):
        assert proxy.send(request(PATH, b"{}")).status == 200
    assert len(proxy.seen.requests()) == 10
    assert len(proxy.seen.connections) <= 2


@pytest.mark.parametrize("name", NAMES)
def test_a_slow_body_is_no_business_of_the_daemon_until_it_is_whole(make_proxy, name):
    proxy = make_proxy(name)
    data = request(PATH, b'{"slow":"' + b"x" * 1000 + b'"}')
    slow = proxy.connect()
    slow.send(data[:-500])
    assert proxy.send(request(PATH, b"{}")).status == 200
    assert len(proxy.seen.connections) == len(proxy.seen.requests()) == 1
    slow.send(data[-500:])
    assert slow.reply().status == 200
    slow.close()
    assert len(proxy.seen.requests()) == 2


SHORT = {"nginx": [("client_header_timeout 10s", "client_header_timeout 300ms"),
                   ("client_body_timeout 10s", "client_body_timeout 300ms")],
         "haproxy": [("timeout http-request 10s", "timeout http-request 300ms"),
                     ("wait-for-body time 10s", "wait-for-body time 300ms")],
         "caddy": [("read_header 10s", "read_header 300ms")]}


# A slow body caddy waits for.
@pytest.mark.parametrize("name, cut", [("nginx", 10), ("nginx", -5), ("haproxy", 10),
                                       ("haproxy", -5), ("caddy", 10)])
def test_a_slow_request_is_given_up_and_never_seen_by_the_daemon(make_proxy, name, cut):
    proxy = make_proxy(name, changes=SHORT[name])
    connection = proxy.connect()
    connection.send(request(PATH, b'{"slow":1}')[:cut])
    reply = connection.reply()
    assert reply is None or reply.status in (400, 408)
    connection.close()
    assert proxy.seen.requests() == []


@pytest.mark.parametrize("name", NAMES)
def test_a_request_without_an_answer_is_a_503_and_is_not_sent_twice(make_proxy, name):
    proxy = make_proxy(name, answer=b"")
    reply = proxy.send(request(PATH, b"{}"))
    assert (reply.status, reply.headers["retry-after"]) == (503, "60")
    assert json.loads(reply.body)["status"] == 503
    assert len(proxy.seen.requests()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_only_those_who_are_named_may_call(make_proxy, name):
    proxy = make_proxy(name, only=STRANGER + "/32")
    refused = proxy.send(request(PATH, b"{}"))
    assert (refused.status, json.loads(refused.body)["status"]) == (403, 403)
    assert proxy.send(request(PATH, b"{}"), source=STRANGER).status == 200
    assert len(proxy.seen.requests()) == 1


LIMITS = {"nginx": [("burst=5000", "burst=3"), ("rate=1000r/s", "rate=1r/m")],
          "haproxy": [("sc0_http_req_rate gt 10000", "sc0_http_req_rate gt 4")]}


@pytest.mark.parametrize("name", LIMITS)
def test_a_flood_from_one_address_is_refused_with_503_and_others_are_served(make_proxy, name):
    proxy = make_proxy(name, changes=LIMITS[name])
    replies = [proxy.send(request(PATH, b"{}")) for _ in range(6)]
    statuses = [r.status for r in replies]
    assert statuses == sorted(statuses) and set(statuses) == {200, 503}
    assert replies[-1].headers["retry-after"] == "60"
    assert json.loads(replies[-1].body)["status"] == 503
    assert proxy.send(request(PATH, b"{}"), source=STRANGER).status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
def test_haproxy_reaches_the_socket_by_the_group_of_its_configuration(make_proxy, tmp_path):
    group = grp.getgrnam("nogroup")
    proxy = make_proxy("haproxy", changes=[
        ("\nglobal\n", "\nglobal\n\tuser nobody\n\tgroup nogroup\n")])
    os.chown(proxy.seen.path, 0, group.gr_gid)
    os.chmod(proxy.seen.path, 0o660)
    # pytest's own directories are closed to others.
    for directory in (tmp_path, *list(tmp_path.parents)[:3]):
        os.chmod(directory, 0o711)
    assert proxy.send(request(PATH, b"{}")).status == 200
    os.chown(proxy.seen.path, 0, 0)
    assert proxy.send(request(PATH, b"{}")).status in (200, 503)


class Load(threading.Thread):
    """A caller that goes on until it is told to end, with a connection for each callback."""

    def __init__(self, proxy, prefix):
        super().__init__()
        self.proxy, self.prefix = proxy, prefix
        self.acked, self.refused, self.strange = [], [], []
        self.end = threading.Event()

    def run(self):
        number = 0
        while not self.end.is_set():
            order = f"{self.prefix}-{number}"
            number += 1
            try:
                reply = self.proxy.send(request(PATH, sign_flat(callback(order))))
            except OSError as problem:
                self.strange.append(repr(problem))
                continue
            if reply and reply.status == 200:
                self.acked.append(order)
            elif reply and reply.status == 503 and reply.headers.get("retry-after") == "60":
                self.refused.append(order)
            else:
                self.strange.append(reply and reply.status)


def socket_activated(daemon, listeners):
    """systemd's part: the sockets stay while the daemon comes and goes."""
    def pass_descriptors():
        for number, listener in enumerate(listeners):
            os.dup2(listener.fileno(), 10 + number)
        for number in range(2):
            os.dup2(10 + number, 3 + number)

    daemon.start(wrap=("sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"), preexec_fn=pass_descriptors,
                 pass_fds=(3, 4), env={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:admin"})


@pytest.mark.parametrize("name", NAMES)
def test_a_restart_behind_the_proxy_loses_nothing_and_refuses_no_connection(name, tmp_path,
                                                                           record_property):
    proxy = Proxy(name, tmp_path, tmp_path / "http.sock")
    listeners = [socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))]
    listeners[0].bind(str(tmp_path / "http.sock"))
    listeners[0].listen(4096)
    daemon = Daemon(tmp_path)
    daemon.init()
    loads = []
    try:
        socket_activated(daemon, listeners)
        proxy.start()
        loads = [Load(proxy, f"r{i}") for i in range(4)]
        for load in loads:
            load.start()
        for _ in range(3):
            assert daemon.stop() == 0, daemon.log_text()
            socket_activated(daemon, listeners)
            wanted = len(loads[0].acked) + 10
            wait_until(lambda: len(loads[0].acked) >= wanted)
    finally:
        for load in loads:
            load.end.set()
            load.join()
        proxy.stop()
        daemon.stop()
        for listener in listeners:
            listener.close()
    acked = {order for load in loads for order in load.acked}
    refused = sum(len(load.refused) for load in loads)
    record_property("figures", f"restarts 3, acked {len(acked)}, asked to retry {refused}, "
                               "refused connections 0, lost 0")
    assert [s for load in loads for s in load.strange] == []
    in_store = {iss for (iss,) in daemon.rows("SELECT iss_order_no FROM order_log")}
    assert acked <= in_store
