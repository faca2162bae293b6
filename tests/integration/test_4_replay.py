"""orderhook replay: stored callbacks, sent again to a receiver under test."""

import re
import socket
import threading
import time

import pytest

from conftest import SECRET, TOKEN, body_of, callback, sign_flat, tool
from tool_help import lines_of, shop  # noqa: F401

STATES = ("SELECT endpoint, iss_order_no, order_no, shop_id, status, sub_status, since, events,"
          " reassignments, quarantined, courier_id FROM order_state ORDER BY iss_order_no")
LOG = ("SELECT iss_order_no, status, sub_status, occurred, verdict, from_status, body"
       " FROM order_log ORDER BY iss_order_no, event_id")


def to(daemon):
    host, port = daemon.address
    return ["--to", f"http://{host}:{port}/callback/shansong", "--token-file",
            daemon.dir + "/token"]


class Receiver:
    """Takes requests one after the other, keeps their bytes, answers as it is told."""

    def __init__(self, answer=b'{"status":200}', status="200 OK"):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.requests = []
        self.times = []
        self.answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (
            status.encode(), len(answer), answer)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d/x" % self.socket.getsockname()[1]

    def serve(self):
        try:
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.take, args=(connection,), daemon=True).start()
        except OSError:
            pass

    def take(self, connection):
        data = b""
        with connection:
            while True:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
                while b"\r\n\r\n" in data:
                    head, rest = data.split(b"\r\n\r\n", 1)
                    length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
                    if len(rest) < length:
                        break
                    self.requests.append((head.decode(), rest[:length]))
                    self.times.append(time.monotonic())
                    data = rest[length:]
                    connection.sendall(self.answer)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.close()


def test_replay_into_another_daemon_makes_the_same_states(shop, make_daemon):
    other = make_daemon("other").init().start()
    done = tool("replay", *to(other), "--format", "jsonl", db=shop.store)
    assert done.returncode == 0, done.stderr
    (count,), = shop.rows("SELECT COUNT(*) FROM event")
    assert f": {count} sent to http://" in done.stderr
    assert f", {count} acknowledged, 0 not" in done.stderr
    assert TOKEN not in done.stderr
    assert other.rows(STATES) == shop.rows(STATES)
    assert other.rows(LOG) == shop.rows(LOG)
    assert other.stop() == 0


def test_what_arrives_is_byte_for_byte_what_was_stored_and_in_order(shop, receiver):
    tool("replay", "--to", receiver.url, "--concurrency", "1", db=shop.store, check=True)
    assert [body for _, body in receiver.requests] == [
        body for (body,) in shop.rows("SELECT body FROM event ORDER BY event_id")]


def test_within_an_order_nothing_overtakes(shop, receiver):
    tool("replay", "--to", receiver.url, "--order", "V", "--concurrency", "16", db=shop.store,
         check=True)
    assert [body for _, body in receiver.requests] == [
        body for (body,) in shop.rows("SELECT body FROM order_log WHERE iss_order_no = 'V'"
                                      " ORDER BY event_id")]


def test_headers_that_sign_and_the_content_type_go_with_it(daemon, receiver):
    headers = {"webhook-id": "msg_1", "Webhook-Timestamp": "1748595319",
               "webhook-signature": "v1,AAAA", "Content-Type": "application/json; charset=utf-8",
               "X-Other": "stays"}
    assert daemon.post(callback("A", 20, 1), headers=headers).status == 200
    tool("replay", "--to", receiver.url, db=daemon.store, check=True)
    head = receiver.requests[0][0].lower()
    assert "webhook-id: msg_1" in head and "webhook-timestamp: 1748595319" in head
    assert "webhook-signature: v1,aaaa" in head
    assert "content-type: application/json; charset=utf-8" in head
    assert "x-other" not in head


def test_a_dry_run_prints_the_same_lines_and_sends_nothing(shop, receiver):
    words = ["replay", "--to", receiver.url, "--verdict", "applied,illegal"]
    dry = tool(*words, "--dry-run", db=shop.store)
    assert dry.returncode == 0 and receiver.requests == []
    wet = tool(*words, db=shop.store)
    assert wet.stdout == dry.stdout != ""
    assert len(receiver.requests) == len(dry.stdout.splitlines()) - 1


def test_stale_signatures_are_refused_and_resigned_ones_are_taken(make_daemon):
    first = make_daemon("first", endpoint={"signature": "required"}).init().start()
    flat = sign_flat(callback("A", 20, 1))
    envelope = tool("sign", "--secret-file", first.dir + "/secret", "--envelope",
                    stdin=body_of(callback("B", 20, 1)), check=True).stdout
    assert first.post(flat).status == 200
    assert first.post(envelope).status == 200
    other = make_daemon("other", endpoint={"signature": "required"})
    other.write_file("secret", "another-secret-0123456789")
    other.init().start()
    old = tool("replay", *to(other), "--format", "jsonl", db=first.store)
    assert old.returncode == 1
    assert "event 1: answered with HTTP 401, status 401 in the body" in old.stderr
    assert ", 0 acknowledged, 2 not" in old.stderr
    new = tool("replay", *to(other), "--resign", "--secret-file", other.dir + "/secret",
               db=first.store)
    assert new.returncode == 0, new.stderr
    assert [r[:5] for r in other.rows(STATES)] == [r[:5] for r in first.rows(STATES)]
    assert SECRET not in new.stdout + new.stderr
    assert first.stop() == 0 and other.stop() == 0


def test_events_are_picked_by_their_numbers(shop, receiver):
    done = tool("replay", "3", "1", "--to", receiver.url, "--format", "jsonl", db=shop.store)
    assert [r["event_id"] for r in lines_of(done)] == [3, 1]
    done = tool("replay", "1", "99999", "--to", receiver.url, db=shop.store)
    assert done.returncode == 3
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("words", [["--rate", "20"], ["--speed", "1"]])
def test_the_pace_is_kept(shop, receiver, words):
    began = time.monotonic()
    tool("replay", "--to", receiver.url, "--order", "V", *words, db=shop.store, check=True)
    if words[0] == "--rate":
        assert receiver.times[-1] - began >= 9 / 20
        assert receiver.times[-1] - receiver.times[0] >= 8 / 20
    assert len(receiver.requests) == 10


def test_only_loopback_unless_told_otherwise(shop):
    done = tool("replay", "--to", "http://192.0.2.1:9/x", db=shop.store)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "--allow-external" in done.stderr or "192.0.2.1" in done.stderr


def test_what_is_not_acknowledged_is_told_and_exit_1(shop):
    receiver = Receiver(b'{"status":500}')
    done = tool("replay", "--to", receiver.url, "--limit", "3", db=shop.store)
    receiver.close()
    assert done.returncode == 1
    assert "answered with HTTP 200, status 500 in the body" in done.stderr
    assert "3 sent to" in done.stderr and "0 acknowledged, 3 not" in done.stderr


def test_usage(shop):
    for words in ([], ["--to", "x", "--rate", "1", "--speed", "1"], ["--to", "http://h/", "one"],
                  ["--to", "http://127.0.0.1/", "--resign"],
                  ["--to", "http://127.0.0.1/", "1", "--order", "V"],
                  ["--to", "http://127.0.0.1/", "--concurrency", "0"]):
        done = tool("replay", *words, db=shop.store)
        assert (done.returncode, done.stdout) == (2, ""), words
