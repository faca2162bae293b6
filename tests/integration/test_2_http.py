"""The contract's statuses on the wire. A refusal changes nothing and closes; the daemon goes on."""

import json
import os
import re
import select
import time

import pytest

from conftest import (TOKEN, Connection, body_of, callback, captured, request, sign_flat,
                      tool)

PATH = "/callback/shansong/" + TOKEN
GOOD = captured()[0]
SLACK_S = 5  # beyond a deadline; nothing else ends a connection so soon


def head_of(*lines):
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


BASE = [f"POST {PATH} HTTP/1.1", "Host: x", "Content-Type: application/json"]
LENGTH = f"Content-Length: {len(GOOD)}"

REFUSED = {
    "wrong-path": (404, request("/elsewhere", GOOD)),
    "no-token": (404, request("/callback/shansong", GOOD)),
    "wrong-token": (404, request("/callback/shansong/" + "x" * len(TOKEN), GOOD)),
    "token-prefix": (404, request(PATH[:-1], GOOD)),
    "token-and-more": (404, request(PATH + "x", GOOD)),
    "trailing-slash": (404, request(PATH + "/", GOOD)),
    "double-slash": (404, request("//callback/shansong/" + TOKEN, GOOD)),
    "escaped-letter": (404, request(PATH.replace("callback", "%63allback"), GOOD)),
    "escaped-nul": (404, request(PATH + "%00", GOOD)),
    "other-case": (404, request(PATH.replace("callback", "Callback"), GOOD)),
    "get": (405, request(PATH, b"", method="GET", length=False)),
    "put": (405, request(PATH, GOOD, method="PUT")),
    "no-length": (411, request(PATH, b"", length=False)),
    "chunked": (400, head_of(*BASE, "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "chunked-and-length": (400, head_of(*BASE, LENGTH, "Transfer-Encoding: chunked") + GOOD),
    "two-lengths": (400, head_of(*BASE, LENGTH, "Content-Length: 3") + GOOD),
    "two-equal-lengths": (400, head_of(*BASE, LENGTH, LENGTH) + GOOD),
    "two-hosts": (400, head_of(*BASE, "Host: y", LENGTH) + GOOD),
    "no-host": (400, head_of(BASE[0], BASE[2], LENGTH) + GOOD),
    "two-types": (400, head_of(*BASE, "Content-Type: text/plain", LENGTH) + GOOD),
    "too-big": (413, head_of(*BASE, "Content-Length: 65537")),
    "far-too-big": (413, head_of(*BASE, "Content-Length: 9223372036854775807")),
    "text": (415, request(PATH, GOOD, {"Content-Type": "text/plain"})),
    "no-type": (415, head_of(BASE[0], BASE[1], LENGTH) + GOOD),
    "latin-1": (415, request(PATH, GOOD, {"Content-Type": "application/json; charset=latin1"})),
    "gzip": (415, request(PATH, GOOD, {"Content-Encoding": "gzip"})),
    "identity": (415, request(PATH, GOOD, {"Content-Encoding": "identity"})),
    "not-json": (400, request(PATH, b"hello")),
    "array": (400, request(PATH, b"[1]")),
    "empty": (400, request(PATH, b"")),
    "two-objects": (400, request(PATH, GOOD + GOOD)),
    "case-variant": (400, request(PATH, b'{"issOrderNo":"a","status":30,"STATUS":60}')),
    "duplicate-key": (400, request(PATH, b'{"issOrderNo":"a","status":30,"status":60}')),
    "nul": (400, request(PATH, b'{"issOrderNo":"a\\u0000","status":30}')),
    "no-order": (400, request(PATH, b'{"status":30}')),
    "no-status": (400, request(PATH, b'{"issOrderNo":"a"}')),
    "status-word": (400, request(PATH, b'{"issOrderNo":"a","status":"x"}')),
    "status-1000": (400, request(PATH, b'{"issOrderNo":"a","status":1000}')),
    "status-fraction": (400, request(PATH, b'{"issOrderNo":"a","status":20.0}')),
    "order-grammar": (400, request(PATH, b'{"issOrderNo":"a b","status":20}')),
    "order-long": (400, request(PATH, b'{"issOrderNo":"' + b"a" * 65 + b'","status":20}')),
    "client": (401, request(PATH, body_of(callback(clientId="other")))),
    "shop": (401, request(PATH, body_of(callback(shopId="other")))),
    "bad-sign": (401, request(PATH, body_of(callback(timestamp="1700000000000", sign="A" * 32)))),
    "other-secret": (401, request(PATH, sign_flat(callback(), "another-secret-000"))),
    "stale": (401, request(PATH, sign_flat(callback(), timestamp=1700000000000))),
    "envelope-unsigned": (401, request(PATH, body_of(
        {"clientId": "clientId", "shopId": "shopId", "timestamp": "1", "data": "{}"}))),
}

# Debian 13's libmicrohttpd refuses these before it asks us, with a page of its own.
LIBRARYS_OWN = {"no-host"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from conftest import Daemon
    one = Daemon(tmp_path_factory.mktemp("http")).init().start()
    yield one
    assert one.stop() == 0, one.log_text()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_with_the_contracts_status_and_nothing_stored(served, name):
    status, data = REFUSED[name]
    before = served.rows("SELECT count(*) FROM order_log")
    connection = served.connect()
    connection.send(data)
    reply = connection.reply()
    assert reply.status == status
    assert reply.headers["connection"].lower() == "close"
    if name not in LIBRARYS_OWN or reply.body.startswith(b"{"):
        assert json.loads(reply.body)["status"] == status
        assert set(json.loads(reply.body)) == {"status", "msg", "data"}
    assert connection.closed() and connection.buffer == b""
    connection.close()
    assert served.rows("SELECT count(*) FROM order_log") == before
    assert served.post(callback("after-" + name)).status == 200


@pytest.mark.parametrize("headers", [
    {"Content-Type": "application/json"},
    {"Content-Type": "application/json; charset=utf-8"},
    {"Content-Type": "application/json;charset=UTF-8"},
    {"Content-Type": 'Application/JSON; charset="utf-8"'},
])
def test_accepted_types(served, headers):
    assert served.post(callback("type-%d" % abs(hash(str(headers)))), headers=headers).status == 200


def test_form_is_taken_with_the_same_names(served):
    body = b"issOrderNo=form-1&status=20&subStatus=1&statusDesc=%E6%B4%BE%E5%8D%95+x&shopId=shopId"
    reply = served.post(body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status == 200
    assert served.verdicts("form-1") == ["applied"]


def test_method_refusal_names_what_is_allowed(served):
    assert served.send(REFUSED["get"][1]).headers["allow"] == "POST"


def test_query_is_ignored(served):
    assert served.post(callback("query"), path=PATH + "?a=b&c").status == 200


def test_too_big_a_body_is_refused_before_100_continue(served):
    connection = served.connect()
    connection.send(head_of(*BASE, "Content-Length: 70000", "Expect: 100-continue"))
    assert connection.reply().status == 413
    connection.close()


def test_a_refusal_comes_when_the_body_is_there_so_that_the_sender_can_read_it(served):
    connection = served.connect()
    connection.send(head_of(*BASE, LENGTH, "Content-Encoding: gzip"))
    assert served.post(callback("meanwhile")).status == 200
    assert select.select([connection.sock], [], [], 0)[0] == []
    connection.send(GOOD[:20])
    assert served.post(callback("meanwhile")).status == 200
    connection.send(GOOD[20:])
    assert connection.reply().status == 415
    assert connection.closed() and connection.buffer == b""
    connection.close()


def test_expect_100_continue_is_honoured(served):
    connection = served.connect()
    body = body_of(callback("expect"))
    connection.send(head_of(*BASE, f"Content-Length: {len(body)}", "Expect: 100-continue"))
    assert connection.reply().status == 100
    connection.send(body)
    assert connection.reply().status == 200
    connection.close()


def test_keep_alive_serves_many_and_pipelined_requests_one_by_one(served):
    connection = served.connect()
    bodies = [body_of(callback(f"pipe-{i}")) for i in range(20)]
    connection.send(b"".join(request(PATH, b) for b in bodies))
    assert [connection.reply().status for _ in bodies] == [200] * 20
    connection.close()


def test_nothing_after_a_refused_request_is_served(served):
    connection = served.connect()
    smuggled = request(PATH, body_of(callback("smuggled")))
    connection.send(head_of(*BASE, "Content-Length: 0", "Transfer-Encoding: chunked")
                    + b"0\r\n\r\n" + smuggled)
    assert connection.reply().status == 400
    assert connection.reply() is None
    connection.close()
    assert served.verdicts("smuggled") == []


def test_over_long_head_is_refused_and_served_on(served):
    for data, status in ((request(PATH, GOOD, {"X-Long": "a" * 40000}), 431),
                         (request("/" + "a" * 40000, GOOD), 414)):
        connection = served.connect()
        try:
            connection.send(data)
        except ConnectionError:
            pass  # answered and closed before all of it was sent
        assert connection.reply().status == status
        connection.close()
    assert served.post(callback("after-long")).status == 200


def test_body_in_small_pieces_arrives_whole(served):
    body = body_of(callback("pieces", statusDesc="派单中" * 40))
    data = request(PATH, body)
    connection = served.connect()
    for i in range(0, len(data), 37):
        connection.send(data[i:i + 37])
    assert connection.reply().status == 200
    connection.close()
    assert served.rows("SELECT body FROM order_log WHERE iss_order_no = 'pieces'") == [(body,)]


def test_largest_body_is_taken(served):
    members = callback("largest")
    members["pad"] = ""
    members["pad"] = "x" * (65536 - len(body_of(members)))
    body = body_of(members)
    assert len(body) == 65536
    assert served.post(body).status == 200


def test_refusal_says_nothing_about_why(served):
    names = ("client", "shop", "bad-sign", "stale")
    bodies = {served.send(REFUSED[name][1]).body for name in names}
    assert len(bodies) == 1


def test_caller_behind_a_trusted_proxy_is_named_by_the_rightmost_untrusted_address(served):
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.1"}
    assert served.post(callback("proxied"), headers=headers).status == 200
    assert served.rows("SELECT remote FROM order_log WHERE iss_order_no = 'proxied'") == \
        [("198.51.100.7",)]


def test_request_id_of_a_trusted_proxy_is_echoed_stored_and_logged(daemon):
    reply = daemon.post(callback("id-1"), headers={"X-Request-Id": "proxy-7.f_0"})
    assert (reply.status, reply.headers["x-request-id"]) == (200, "proxy-7.f_0")
    (event,), = daemon.rows("SELECT event_id FROM order_log WHERE iss_order_no = 'id-1'")
    head = tool("raw", str(event), "--headers", conf=daemon.conf, check=True).stdout
    assert "(request-id): proxy-7.f_0" in head
    line, = (t for t in daemon.log_text().splitlines() if "proxy-7.f_0" in t)
    assert "order id-1" in line and f"event {event}" in line and "applied" in line
    refused = daemon.post(b"{}", headers={"X-Request-Id": "proxy-8"})
    assert (refused.status, refused.headers["x-request-id"]) == (400, "proxy-8")
    assert "request proxy-8" in daemon.log_text()


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "<0>", "a;b", '"a"'])
def test_request_id_outside_its_grammar_is_replaced(served, given):
    headers = {} if given is None else {"X-Request-Id": given}
    ids = [served.post(callback("id-2"), headers=headers).headers["x-request-id"] for _ in "ab"]
    assert all(re.fullmatch("[0-9a-f]{16}", i) for i in ids) and ids[0] != ids[1]


def test_request_id_and_address_from_a_stranger_are_ignored(make_daemon):
    daemon = make_daemon(server={"trusted_proxies": "10.0.0.1"}).init().start()
    headers = {"X-Request-Id": "spoofed", "X-Forwarded-For": "203.0.113.9"}
    reply = daemon.post(callback("stranger"), headers=headers)
    assert reply.status == 200 and reply.headers["x-request-id"] != "spoofed"
    assert daemon.rows("SELECT remote FROM order_log") == [("127.0.0.1",)]
    assert daemon.stop() == 0
    assert "spoofed" not in daemon.log_text()


def test_lines_about_stored_callbacks_are_bounded_and_quarantine_is_told_anyway(make_daemon):
    daemon = make_daemon(server={"callback_log_rate": "0"}).init().start()
    assert daemon.post(callback("quiet")).status == 200
    assert daemon.post(callback("loud", status=999)).status == 200
    assert daemon.stop() == 0
    text = daemon.log_text()
    assert "order quiet" not in text
    assert re.search("<4>callback stored: order loud, event [0-9]+, unknown", text)


def test_a_slow_request_is_ended_by_its_absolute_deadline(make_daemon):
    """However it is slow, and though what drips keeps the idle timer of the library alive."""
    daemon = make_daemon(server={"request_timeout": "300ms"}).init().start()
    head = head_of(*BASE, "Content-Length: 60000")
    slow = {  # what is sent at once, and what drips after it
        "nothing": (b"", b""),
        "half a request line": (b"POST /call", b""),
        "half a head": (head[:-2], b""),
        "a head": (head, b""),
        "half a body": (head + GOOD, b""),
        "a dripping request line": (b"POST /", b"a"),
        "a dripping head": (head[:-2] + b"X-A: ", b"a"),
        "a dripping body": (head, b" "),
        "a later head": (head[:-2] + b"X-A: ", b"a"),
        "a later body": (head, b" "),
    }
    said = dict.fromkeys(slow, b"")
    ended = {}
    began = time.monotonic()
    opened = {name: daemon.connect() for name in slow}
    for name, connection in opened.items():
        if "later" in name:
            connection.send(request(PATH, GOOD))
            assert connection.reply().status == 200
            assert connection.buffer == b""
        connection.send(slow[name][0])
    while len(ended) < len(slow) and time.monotonic() < began + 0.3 + SLACK_S:
        open_still = {opened[name].sock: name for name in slow if name not in ended}
        for sock, name in open_still.items():
            try:
                sock.sendall(slow[name][1])
            except ConnectionError:
                ended[name] = time.monotonic()
        for sock in select.select(list(open_still), [], [], 0.02)[0]:
            try:
                data = sock.recv(4096)
            except ConnectionError:
                data = b""
            said[open_still[sock]] += data
            if not data:
                ended[open_still[sock]] = time.monotonic()
    assert set(ended) == set(slow)
    assert min(ended.values()) >= began + 0.3
    assert all(text == b"" or text.startswith(b"HTTP/1.1 408 ") for text in said.values()), said
    for connection in opened.values():
        connection.close()
    assert daemon.rows("SELECT sum(deliveries) FROM order_log") == [(2,)]
    assert daemon.post(GOOD).status == 200
    metrics = daemon.get_admin("/metrics").body.decode()
    assert f'outcome="request-timeout"}} {len(slow)}\n' in metrics
    assert daemon.stop() == 0


def test_unix_socket_serves_with_its_mode(make_daemon):
    daemon = make_daemon()
    path = daemon.dir + "/http.sock"
    daemon.configure(server={"listen": "unix:" + path, "unix_mode": "0600"})
    daemon.init().start()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert daemon.post(GOOD).status == 200
    assert daemon.rows("SELECT remote FROM order_log") == [("unix",)]
    assert daemon.stop() == 0
    assert not os.path.exists(path)


@pytest.mark.parametrize("connections", [127, 128, 129, 255, 256, 257, 511, 512])
def test_no_stall_with_so_many_busy_connections(served, connections):
    """Where the library waits by itself exactly 128, 256 or 512 of them stop it."""
    rounds = 4
    opened = [Connection(served.address) for _ in range(connections)]
    for r in range(rounds):
        for i, connection in enumerate(opened):
            connection.send(request(PATH, body_of(callback(f"busy-{connections}-{r}-{i}"))))
        for connection in opened:
            assert connection.reply().status == 200
    for connection in opened:
        connection.close()
    (count,), = served.rows(
        "SELECT count(*) FROM order_log WHERE iss_order_no LIKE ?", f"busy-{connections}-%")
    assert count == rounds * connections


def test_at_the_connection_limit_a_caller_is_served_when_another_leaves(make_daemon):
    daemon = make_daemon(server={"connection_limit": "16"}).init().start()
    opened = [daemon.connect() for _ in range(17)]
    for i, connection in enumerate(opened):
        connection.send(request(PATH, body_of(callback(f"limit-{i}"))))
    for connection in opened[:16]:
        assert connection.reply().status == 200
    opened[0].close()
    assert opened[16].reply().status == 200
    for connection in opened[1:]:
        connection.close()
    assert daemon.stop() == 0


def test_two_listener_threads_serve_and_stop_together(make_daemon):
    daemon = make_daemon(server={"threads": "2"}).init().start()
    opened = [daemon.connect() for _ in range(20)]
    for i, connection in enumerate(opened):
        connection.send(request(PATH, body_of(callback(f"threads-{i}"))))
    for connection in opened:
        assert connection.reply().status == 200
    assert daemon.stop() == 0
    assert daemon.rows("SELECT count(*) FROM order_log") == [(20,)]
