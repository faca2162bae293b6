"""No secret and nothing personal where it does not belong, and nothing from outside that acts.

conftest.py looks for the same canaries in every reply, log, notification and message of every other
test. Here each place that a caller can fill has a canary of its own.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from conftest import (BUILD, DEADLINE_S, KEY, RELAY_KEY, RELAY_TEXT, SECRET, SIGNATURE, TOKEN,
                      Daemon, assert_no_leak, body_of, callback, captured, leaked, request,
                      sign_flat, tool, wait_until)
from tool_help import ISS, ORDER, TOOL, on_terminal

PATH = "/callback/shansong/" + TOKEN
RELAY_PATH = "/callback/relay"
PERSONAL = {
    "courier": {"id": "C-1", "name": "canary-name", "mobile": "13800138000",
                "latitude": "31.234567", "longitude": 121.987654,
                "deliveryProcessTrail": [{"latitude": "canary-trail"}],
                "headIcon": "https://example.com/courierHead.png"},
    "pickupPassword": "Kanarie7391", "deliveryPassword": "Kanarie8264",
}




def processes_memory(pid):
    """Everything that the process has mapped to write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            if mode.startswith("rw"):
                first, last = (int(one, 16) for one in span.split("-"))
                mem.seek(first)
                try:
                    yield mem.read(last - first)
                except OSError:  # a mapping that cannot be read, such as [vvar]
                    pass


def held_in_memory(pid, secrets):
    """The names of those that are there. A part is enough: freed memory is overwritten here and
    there."""
    parts = {name: [secret[i:i + 18] for i in range(0, len(secret) - 17, 18)]
             for name, secret in secrets.items()}
    pieces = list(processes_memory(pid))
    return {name for name, some in parts.items()
            if any(part in piece for piece in pieces for part in some)}


def numbered(name, length):
    """So long that free() overwrites only some of it, and no part of it is twice."""
    return "".join(f"{name}-{i:04x}-" for i in range(length))[:length]


class Rotated:
    """A token, a secret and a relay's key, as they are before or after a rotation."""

    def __init__(self, daemon, name):
        self.token = numbered(name + "t", 126)
        self.secret = numbered(name + "s", 162)
        self.key = numbered(name + "k", 63).encode()
        self.key_text = "whsec_" + base64.b64encode(self.key).decode()
        self.path = "/callback/shansong/" + self.token
        for kind in "token", "secret", "key_text":
            daemon.write_file(f"{name}-{kind}", getattr(self, kind))
        self.endpoint = {"token": f"file:{daemon.dir}/{name}-token", "secrets":
                         f"file:{daemon.dir}/{name}-secret file:{daemon.dir}/{name}-key_text"}

    def in_memory(self, pid):
        return held_in_memory(pid, {
            "token": self.token.encode(), "secret": self.secret.encode(), "key": self.key,
            "text of the key": self.key_text.encode()})


@pytest.mark.skipif(os.geteuid() != 0, reason="reading another process's memory needs root")
def test_secret_that_was_rotated_away_is_in_memory_no_more(make_daemon):
    daemon = make_daemon()
    old, new = Rotated(daemon, "old"), Rotated(daemon, "new")
    daemon.configure(endpoint=old.endpoint)
    daemon.init().start()
    for i in range(50):
        assert daemon.post(sign_flat(callback(f"R{i}"), old.secret), old.path).status == 200
        assert daemon.send(relayed(callback(f"H{i}"), old.key, path=old.path)).status == 200
    assert daemon.post(sign_flat(callback("W"), SECRET), old.path).status == 401
    # The text of a key is of no use once it is decoded.
    assert old.in_memory(daemon.process.pid) == {"token", "secret", "key"}
    daemon.configure(endpoint=new.endpoint)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notified("RELOADING")
    daemon.notified("READY")
    assert daemon.post(sign_flat(callback("R0"), new.secret), old.path).status == 404
    assert daemon.post(sign_flat(callback("R0"), old.secret), new.path).status == 401
    assert daemon.send(relayed(callback("H0"), old.key, path=new.path)).status == 401
    assert daemon.post(sign_flat(callback("N0"), new.secret), new.path).status == 200
    assert daemon.send(relayed(callback("N1"), new.key, path=new.path)).status == 200
    assert new.in_memory(daemon.process.pid) == {"token", "secret", "key"}
    assert old.in_memory(daemon.process.pid) == set()
    assert daemon.stop() == 0


# ------------------------------------------------------------------ a relay


def relayed(members, key=RELAY_KEY, path=RELAY_PATH, stamp=None, signature=None):
    """The request of a relay: signed with HMAC over the bytes of its body."""
    body, stamp = body_of(members), str(stamp or int(time.time()))
    signed = b"msg_1." + stamp.encode() + b"." + body
    made = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return request(path, body, {"webhook-id": "msg_1", "webhook-timestamp": stamp,
                                "webhook-signature": signature or made})


def test_neither_key_nor_signature_of_a_relay_comes_out_anywhere(make_daemon, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    daemon = make_daemon()
    daemon.write_file("relay", RELAY_TEXT)
    daemon.configure(
        server={"admin_listen": f"unix:{daemon.dir}/admin.sock"},
        extra=f"[endpoint relay]\nplatform = shansong\npath = {RELAY_PATH}\nclient_id = clientId\n"
              f"shop_ids = shopId\nsignature = required\nsecrets = file:{daemon.dir}/relay\n")
    daemon.init().start(env={"TMPDIR": str(temporary)})
    wrong, late = b"another-key-of-a-relay-001122334", int(time.time()) - 3600
    requests = [
        (200, relayed(callback("G1"))),
        (200, relayed(callback("G1"))),
        (200, relayed(callback("G2", 77))),
        (401, relayed(callback("W1"), wrong)),
        (401, relayed(callback("W2"), RELAY_TEXT.encode())),
        (401, relayed(callback("W3"), signature="v1," + "A" * 42 + "*=")),
        (401, relayed(callback("S1"), stamp=late)),
        (401, relayed(callback("C1", clientId="other"))),
        (404, relayed(callback("P1"), path=RELAY_PATH + "/" + TOKEN)),
        (400, relayed({"issOrderNo": "B 1", "status": 20}))]
    for status, data in requests:
        assert daemon.send(data).status == status, data  # which looks at the reply
    held = wait_until(lambda: (rows := daemon.rows(
        "SELECT held_id, reason FROM held_log ORDER BY held_id")) and len(rows) == 6 and rows)
    assert [reason for _, reason in held] == [
        "hmac-wrong", "hmac-wrong", "hmac-wrong", "timestamp-stale", "client-id", "member-grammar"]
    for page in "/metrics", "/readyz", "/healthz":
        assert_no_leak(daemon.get_admin(page).body, page)
    # Here tool() looks: the lists have no signature, and no command a key.
    for command in ("orders", "events", "held", "attention", "verify", "doctor", "show G1",
                    "export", "raw 1 --headers", "held show 1"):
        assert tool(*command.split(), conf=daemon.conf).returncode in (0, 1), command
    for number, (_, data) in zip((1, 4), (requests[3], requests[6])):
        explained = tool("explain", f"held:{number}", conf=daemon.conf)
        assert explained.returncode == 1, explained.stderr
        given, = SIGNATURE.findall(data)
        assert set(SIGNATURE.findall(explained.stdout.encode())) <= {given}, explained.stdout
    dump = subprocess.run([os.path.join(BUILD, "orderhookd"), "-c", daemon.conf, "--dump-config"],
                          capture_output=True)
    assert dump.returncode == 0
    assert_no_leak(dump.stdout + dump.stderr, "the dump")
    assert daemon.stop() == 0
    having = {name: open(os.path.join(daemon.dir, name), "rb").read()
              for name in files_of(daemon.dir)}
    assert {name for name, data in having.items() if KEY.search(data) or RELAY_KEY in data or
            RELAY_TEXT[len("whsec_"):].encode() in data} == {"relay"}
    # The headers of a delivery are the store's, as its bytes are.
    signed = {name for name, data in having.items() if SIGNATURE.search(data)}
    assert signed and signed <= {"orderhook.db", "orderhook.db-wal"}, signed
    assert "orderhook.db.head" in having
    assert not os.listdir(temporary)


# ------------------------------------------------------------------ the process


def allow_cores():
    limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def assert_no_cores(pid):
    with open(f"/proc/{pid}/limits") as limits:
        assert re.search(r"^Max core file size +0 +0 ", limits.read(), re.M)


def test_killed_daemon_leaves_no_core_file(make_daemon):
    daemon = make_daemon().init()
    daemon.start(cwd=daemon.dir, preexec_fn=allow_cores)
    assert daemon.post(captured()[0]).status == 200
    assert_no_cores(daemon.process.pid)
    os.kill(daemon.process.pid, signal.SIGABRT)
    _, status = os.waitpid(daemon.process.pid, 0)
    daemon.process.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)
    assert not [name for name in os.listdir(daemon.dir) if "core" in name]


def like_any_user():
    """The words before a command that take the privileges of root away, which may look anywhere."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if not shutil.which("setpriv") or subprocess.run([*words, "true"]).returncode != 0:
        pytest.skip("taking root's privileges away needs setpriv and CAP_SETPCAP")
    return words


def look_into(pid, words):
    """What another process of the same user gets to see of its environment."""
    return subprocess.run([*words, "cat", f"/proc/{pid}/environ"], capture_output=True,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C"})


def test_other_processes_of_the_user_cannot_look_into_daemon_or_tool(make_daemon):
    words = like_any_user()
    daemon = make_daemon().init().start(wrap=words, preexec_fn=allow_cores)
    assert daemon.post(captured()[0]).status == 200
    open_to_all = subprocess.Popen([*words, "sleep", "60"], env={"PATH": os.environ["PATH"]})
    follower = subprocess.Popen([*words, TOOL, "--db", daemon.store, "events", "-f", "--format",
                                 "jsonl"], stdout=subprocess.PIPE, preexec_fn=allow_cores)
    try:
        seen = look_into(open_to_all.pid, words)
        assert seen.returncode == 0 and b"PATH=" in seen.stdout, seen
        assert follower.stdout.readline().startswith(b"{")  # past whatever it does first
        for process in daemon.process, follower:
            assert_no_cores(process.pid)
            seen = look_into(process.pid, words)
            assert seen.returncode != 0 and seen.stdout == b"", seen
            assert b"Permission denied" in seen.stderr or b"not permitted" in seen.stderr, seen
    finally:
        for process in open_to_all, follower:
            process.kill()
            process.wait(DEADLINE_S)
        follower.stdout.close()
    assert daemon.stop() == 0


def test_arguments_and_environment_hold_no_secret(make_daemon):
    daemon = make_daemon().init()
    credentials = os.path.join(daemon.dir, "credentials")
    os.mkdir(credentials, 0o700)
    for name in "token", "secret":
        os.rename(os.path.join(daemon.dir, name), os.path.join(credentials, name))
    daemon.configure(endpoint={"token": "credential:token", "secrets": "credential:secret"})
    daemon.start(env={"CREDENTIALS_DIRECTORY": credentials})
    assert daemon.post(sign_flat(callback("E"))).status == 200
    # Only root gets to see the environment: the guard keeps it from everybody else.
    for name in ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",):
        with open(f"/proc/{daemon.process.pid}/{name}", "rb") as file:
            text = file.read()
        assert b"orderhookd" in text or credentials.encode() in text
        assert_no_leak(text, name)
    assert daemon.stop() == 0


def with_control(daemon):
    """explain, erase and readmit go through a unix socket only."""
    daemon.configure(server={"admin_listen": f"unix:{daemon.dir}/admin.sock"})
    return daemon


def deliveries():
    """Bytes of requests that carry canaries in every place, and what each is answered with."""
    personal = callback("P1", statusDesc="canary-desc", thirdOrderNo="canary-third", **PERSONAL)
    signed = json.loads(sign_flat(callback("P2", abortReason="canary-reason")))
    wrong = {**signed, "sign": "0123456789ABCDEF0123456789ABCDEF"}
    header = {"X-Note": "canary-header", "Cookie": "canary-cookie", "Authorization": "canary-auth"}
    yield 200, request(PATH, body_of(personal), header)
    yield 200, request(PATH + "?canary-query=1", body_of(personal))
    yield 200, request(PATH, body_of(signed))
    yield 401, request(PATH, body_of(wrong))
    yield 401, request(PATH, body_of({**personal, "clientId": "canary-client"}))
    yield 401, request(PATH, body_of({**personal, "shopId": "canary-shop"}))
    yield 400, request(PATH, b'{"courier":{"mobile":"13800138000"},"canary-key":"canary-value"')
    yield 400, request(PATH, body_of({**personal, "issOrderNo": "canary order"}))
    yield 400, request(PATH, body_of({**personal, "status": "canary-status"}))
    yield 404, request("/callback/shansong/canary-token-0123456", body_of(personal))
    yield 404, request("/canary-path/" + TOKEN, body_of(personal))
    yield 405, request(PATH, b"", header, method="GET")
    yield 411, request(PATH, b"", header, length=False)
    yield 413, request(PATH, b"", header, length=10 ** 9)
    yield 415, request(PATH, body_of(personal), {"Content-Type": "canary/type"})
    yield 400, request(PATH, body_of(personal), {"Transfer-Encoding": "canary-coding"})


def files_of(directory):
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                yield os.path.relpath(path, directory)


def test_canaries_in_every_place_of_a_request_come_out_nowhere(make_daemon, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    daemon = make_daemon().init().start(env={"TMPDIR": str(temporary)})
    for status, data in deliveries():
        reply = daemon.send(data)
        assert reply.status == status, data
        assert_no_leak(reply.body + str(reply.headers).encode(), f"the reply to {data!r}")
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log")[0][0] >= 4)
    for page in "/metrics", "/readyz", "/healthz", "/canary-page":
        assert_no_leak(daemon.get_admin(page).body, page)
    assert daemon.stop() == 0
    # The store alone may have them, and the two files that the test made.
    having = [name for name in files_of(daemon.dir)
              if leaked(open(os.path.join(daemon.dir, name), "rb").read())]
    assert set(having) <= {"token", "secret", "orderhook.db", "orderhook.db-wal"}, having
    assert "orderhook.db" in having or "orderhook.db-wal" in having
    assert not os.listdir(temporary)
    assert re.findall(r"refused: (\d+)", daemon.log_text()), "the log says nothing at all"


# `raw` is not among them: its bytes are the stored ones.
SHOWN = ["orders", "events", "show P1", "show P2", "attention", "held", "verify", "rejudge"]
SHOWN_WITH_BODIES = ["explain 1", "explain 1 --format json", "explain held:1",
                     "explain held:1 --format json", "held show 1", "held show 1 --format json",
                     "export", "export --format json", "export --format csv", "raw --headers 1"]


def test_tool_masks_people_and_says_no_secret(make_daemon):
    daemon = with_control(make_daemon()).init().start()
    for _, data in deliveries():
        daemon.send(data)
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log")[0][0] >= 4)
    commands = [f"{one} --format {form}" for one in SHOWN for form in ("table", "json", "csv")]
    for command in [*commands, *SHOWN_WITH_BODIES]:
        done = tool(*command.split(), conf=daemon.conf)
        assert done.returncode in (0, 1), (command, done.stderr)
        for text in (TOKEN, SECRET, "13800138000", "canary-name", "31.234567", "121.987654",
                     "canary-trail", "Kanarie7391", "Kanarie8264"):
            assert text not in done.stdout, f"{command}: {text}"
    # On a terminal nobody asked `raw` for exact bytes.
    text, _, _ = on_terminal("-c", daemon.conf, "raw", "1")
    assert '"mobile":"***"' in text and '"longitude":"***"' in text
    assert not leaked(text.replace("canary-desc", "").replace("canary-third", "")
                      .replace("courierHead.png", "").encode()), text
    assert daemon.stop() == 0


# ------------------------------------------------------------------ injection

EVIL = "\n<0>forged\r\x1b[2J\x1b]0;title\x07\u202e\u2066\x9b31m\u2028"
ACTING = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
LISTED = ["orders", "show I1", "show I1 --format csv", "events", "held", "attention",
          "explain 1", "explain 1 --format json", "explain 2", "explain 2 --reveal",
          "explain 2 --format json", "explain held:1",
          "explain held:1 --reveal", "explain held:1 --format json", "held show 1",
          "held show 1 --reveal", "held show 1 --format json", "export", "export --reveal",
          "replay --dry-run --to http://127.0.0.1:1/"]
# Into a pipe these are the exact bytes, for a program; a terminal gets them escaped.
EXACT = ["raw 1", "raw 1 --reveal", "raw 1 --headers", "export --format csv",
         "export --reveal --format csv"]


def send_evil(daemon):
    evil = EVIL.encode()
    one_line = EVIL.replace("\n", "").replace("\r", "").encode().decode("latin-1")
    daemon.post(callback("I1", statusDesc=EVIL, courier={"id": EVIL, "name": EVIL}),
                headers={"User-Agent": "\u202e\x9b31m\u2028".encode().decode("latin-1")})
    # Signed, so that `explain` shows the text that was signed.
    assert daemon.post(sign_flat(callback("I7", statusDesc="\u202e\u2066\u2028"))).status == 200
    daemon.post(callback("I2" + EVIL))
    daemon.post({**callback("I3"), EVIL: EVIL})
    daemon.post(callback("I4", callbackEvent=EVIL))
    for data in (request(PATH, body_of(callback("I5")), {"X-Request-Id": one_line}),
                 request(PATH, body_of(callback("I6")), {"X-Forwarded-For": "1.2.3.4\x1b[31m"}),
                 request("/" + one_line, b"{}"),
                 b"POST " + evil + b" HTTP/1.1\r\nHost: x\r\n\r\n"):
        connection = daemon.connect()
        connection.send(data)
        connection.reply()
        connection.close()
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log") == [(1,)])


def test_nothing_from_outside_writes_a_line_of_the_log(make_daemon):
    daemon = make_daemon().init().start()
    send_evil(daemon)
    daemon.configure(server={"threads": "\u202e\u2066"})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notified("RELOADING")
    daemon.notified("READY")
    assert daemon.stop() == 0
    with open(daemon.log, "rb") as file:
        log = file.read()
    assert all(re.match(rb"<[0-7]>", line) for line in log.splitlines()), log
    acting = rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81"
    assert not re.search(acting, log), log
    assert b"\\u{202e}\\u{2066}" in log


def test_nothing_from_outside_drives_a_terminal(make_daemon):
    daemon = with_control(make_daemon()).init().start()
    send_evil(daemon)
    for command in LISTED:
        done = tool(*command.split(), conf=daemon.conf)
        assert done.returncode in (0, 1) and done.stdout, (command, done.stderr)
        for text in done.stdout, done.stderr:
            assert not re.search(ACTING, text), (command, text)
    for command in [*LISTED, *EXACT]:
        text, stderr, code = on_terminal("-c", daemon.conf, *command.split(), env={"NO_COLOR": "1"})
        # A line of csv ends in CR and LF by itself.
        text = text.replace("\r\n", "\n") if "csv" in command else text
        assert code in (0, 1) and text and not re.search(ACTING, text + stderr), (command, text)
    (body,), = daemon.rows("SELECT body FROM order_log WHERE iss_order_no = 'I1'")
    assert "\u202e".encode() in body
    assert tool("raw", "1", conf=daemon.conf, stdin=b"").stdout == body
    exported = tool("export", "--reveal", "--format", "csv", conf=daemon.conf, stdin=b"").stdout
    assert body in exported.replace(b'""', b'"')
    assert daemon.stop() == 0


# No order, shop or endpoint has such a name; as a pattern or as SQL each would find one.
WORDS = ["%", "_", "TDH%", "TDH2025053050205_43", "'", "''; DROP TABLE event; --", "x' OR '1'='1",
         '" OR "1"="1', "*", "TDH*", "?1", "\\", ":order", "$(id)"]
ANYWHERE = ["--dry-run", "--to", "http://127.0.0.1:1/"]
ARGUMENTS = [
    # (exit code, the words before it): 3 no such order, 1 nothing matches, 2 is no number, age or
    # word of the list that is asked for.
    (3, ["show"]), (3, ["erase"]),
    (1, ["orders", "--shop"]), (1, ["orders", "--order"]), (1, ["events", "--order"]),
    (1, ["export", "--order"]), (1, ["held", "--endpoint"]), (1, ["replay", *ANYWHERE, "--order"]),
    (2, ["held", "--reason"]), (2, ["held", "readmit"]), (2, ["held", "show"]), (2, ["explain"]),
    (2, ["raw"]), (2, ["events", "--verdict"]), (2, ["prune", "--older-than"]),
    (2, ["replay", *ANYWHERE]), (2, ["show", ISS, "--at"]),
]
# Well-formed numbers that nothing has.
NUMBERS = [["explain", "999"], ["explain", "held:999"], ["raw", "999"], ["held", "show", "999"],
           ["held", "readmit", "999"], ["replay", *ANYWHERE, "999"], ["erase", "999"],
           ["show", "999"]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A daemon with the captured order and a refused delivery, that can be asked to change both."""
    daemon = with_control(Daemon(tmp_path_factory.mktemp("filled"))).init().start()
    for body in captured():
        assert daemon.post(body).status == 200
    assert daemon.post(sign_flat(callback("W"), "another-secret-0123456789")).status == 401
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log") == [(1,)])
    yield daemon
    assert daemon.stop() == 0, daemon.log_text()


def everything(daemon):
    """Rows and what is in them: an erased order has as many as before."""
    return [daemon.rows(f"SELECT * FROM {view}")
            for view in ("order_log", "order_state", "held_log", "other_event")]


@pytest.mark.parametrize("code, words", ARGUMENTS, ids=[" ".join(words) for _, words in ARGUMENTS])
def test_arguments_are_data_and_no_sql_and_no_pattern(filled, code, words):
    before = everything(filled)
    for word in WORDS:
        done = tool(*words, word, conf=filled.conf)
        assert done.returncode == code, (words, word, done.stdout, done.stderr)
        assert ISS not in done.stdout and ORDER not in done.stdout, (words, word, done.stdout)
        if code != 1:
            assert done.stdout == "" and word in done.stderr, (words, word, done.stderr)
    assert everything(filled) == before


@pytest.mark.parametrize("words", NUMBERS, ids=" ".join)
def test_numbers_that_nothing_has_are_told_as_such(filled, words):
    before = everything(filled)
    done = tool(*words, conf=filled.conf)
    assert done.returncode == 3, done.stderr
    # readmit has a line for each number that it is given.
    assert "999" in (done.stdout if words[1] == "readmit" else done.stderr)
    assert done.stdout in ("", "999 is not held\n")
    assert everything(filled) == before


def test_store_is_whole_after_all_these_arguments(filled):
    assert tool("verify", conf=filled.conf).returncode == 0
    assert len(filled.rows("SELECT * FROM order_log WHERE body IS NOT NULL")) == 5
