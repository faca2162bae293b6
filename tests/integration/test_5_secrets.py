"""No secret and nothing personal where it does not belong, and nothing from outside that acts.

conftest.py looks for the same canaries in every reply, log, notification and message of every other
test. Here each place that a caller can fill has a canary of its own.
"""

import json
import os
import re
import resource
import signal

import pytest

from conftest import (SECRET, TOKEN, assert_no_leak, body_of, callback, captured, leaked, request,
                      sign_flat, tool, wait_until)

PATH = "/callback/shansong/" + TOKEN
PERSONAL = {
    "courier": {"id": "C-1", "name": "canary-name", "mobile": "13800138000",
                "latitude": "canary-lat", "longitude": "canary-lng",
                "deliveryProcessTrail": [{"latitude": "canary-trail"}],
                "headIcon": "https://example.com/courierHead.png"},
    "pickupPassword": "canary-pickup", "deliveryPassword": "canary-delivery",
}
OLD, NEW = ("".join(f"{name}-{i:04x}-" for i in range(16)) for name in ("old", "new"))


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


def holds(pid, secret):
    """A part of it is enough: freed memory is overwritten here and there."""
    parts = [secret[i:i + 18].encode() for i in range(0, len(secret), 18)]
    return any(part in piece for piece in processes_memory(pid) for part in parts)


@pytest.mark.skipif(os.geteuid() != 0, reason="reading another process's memory needs root")
def test_secret_that_was_rotated_away_is_in_memory_no_more(make_daemon):
    daemon = make_daemon()
    daemon.write_file("old", OLD)
    daemon.write_file("new", NEW)
    daemon.configure(endpoint={"secrets": f"file:{daemon.dir}/old"})
    daemon.init().start()
    for i in range(50):
        assert daemon.post(sign_flat(callback(f"R{i}"), OLD)).status == 200
    assert daemon.post(sign_flat(callback("W"), SECRET)).status == 401
    assert holds(daemon.process.pid, OLD)
    daemon.configure(endpoint={"secrets": f"file:{daemon.dir}/new"})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notified("RELOADING")
    daemon.notified("READY")
    assert daemon.post(sign_flat(callback("R0"), OLD)).status == 401
    assert daemon.post(sign_flat(callback("N0"), NEW)).status == 200
    assert holds(daemon.process.pid, NEW)
    assert not holds(daemon.process.pid, OLD)
    assert daemon.stop() == 0


def test_killed_daemon_leaves_no_core_file(make_daemon):
    daemon = make_daemon().init()

    def allow_cores():
        limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))

    daemon.start(cwd=daemon.dir, preexec_fn=allow_cores)
    assert daemon.post(captured()[0]).status == 200
    with open(f"/proc/{daemon.process.pid}/limits") as limits:
        assert re.search(r"^Max core file size +0 +0 ", limits.read(), re.M)
    os.kill(daemon.process.pid, signal.SIGABRT)
    _, status = os.waitpid(daemon.process.pid, 0)
    daemon.process.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)
    assert not [name for name in os.listdir(daemon.dir) if "core" in name]


def test_arguments_and_environment_hold_no_secret(make_daemon):
    daemon = make_daemon().init()
    credentials = os.path.join(daemon.dir, "credentials")
    os.mkdir(credentials, 0o700)
    for name in "token", "secret":
        os.rename(os.path.join(daemon.dir, name), os.path.join(credentials, name))
    daemon.configure(endpoint={"token": "credential:token", "secrets": "credential:secret"})
    daemon.start(env={"CREDENTIALS_DIRECTORY": credentials})
    assert daemon.post(sign_flat(callback("E"))).status == 200
    for name in "cmdline", "environ":
        with open(f"/proc/{daemon.process.pid}/{name}", "rb") as file:
            text = file.read()
        assert b"orderhookd" in text or credentials.encode() in text
        assert_no_leak(text, name)
    assert daemon.stop() == 0


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


def test_tool_masks_people_and_says_no_secret(make_daemon):
    daemon = make_daemon().init().start()
    for _, data in deliveries():
        daemon.send(data)
    wait_until(lambda: daemon.rows("SELECT count(*) FROM held_log")[0][0] >= 4)
    commands = [f"{one} --format {form}" for one in SHOWN for form in ("table", "json", "csv")]
    for command in [*commands, "raw --headers 1", "export"]:
        done = tool(*command.split(), conf=daemon.conf)
        assert done.returncode in (0, 1), (command, done.stderr)
        for text in (TOKEN, SECRET, "13800138000", "canary-name", "canary-lat", "canary-lng",
                     "canary-trail", "canary-pickup", "canary-delivery"):
            assert text not in done.stdout, f"{command}: {text}"
    assert daemon.stop() == 0


# ------------------------------------------------------------------ injection

EVIL = "\n<0>forged\r\x1b[2J\x1b]0;title\x07\u202e\u2066\x9b31m\u2028"


def test_nothing_from_outside_writes_a_line_of_the_log_or_drives_a_terminal(make_daemon):
    daemon = make_daemon().init().start()
    evil = EVIL.encode()
    daemon.post(callback("I1", statusDesc=EVIL, courier={"id": EVIL, "name": EVIL}))
    daemon.post(callback("I2" + EVIL))
    daemon.post({**callback("I3"), EVIL: EVIL})
    daemon.post(callback("I4", callbackEvent=EVIL))
    one_line = EVIL.replace("\n", "").replace("\r", "").encode().decode("latin-1")
    for data in (request(PATH, body_of(callback("I5")), {"X-Request-Id": one_line}),
                 request(PATH, body_of(callback("I6")), {"X-Forwarded-For": "1.2.3.4\x1b[31m"}),
                 request("/" + one_line, b"{}"),
                 b"POST " + evil + b" HTTP/1.1\r\nHost: x\r\n\r\n"):
        connection = daemon.connect()
        connection.send(data)
        connection.reply()
        connection.close()
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
    for command in ("orders", "show I1", "events", "held", "attention", "show I1 --format csv"):
        done = tool(*command.split(), conf=daemon.conf)
        for text in done.stdout, done.stderr:
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), \
                (command, text)


WORDS = ["%", "_", "TDH%", "'", "''; DROP TABLE event; --", '" OR "1"="1', "x' OR '1'='1", "*",
         "?1", "\\", ":order", "$(id)", ""]


def test_arguments_are_data_and_no_sql_and_no_pattern(daemon):
    assert daemon.post(captured()[0]).status == 200
    before = daemon.rows("SELECT count(*) FROM order_log")
    for word in WORDS:
        for command in (["orders", "--shop", word], ["events", "--order", word], ["show", word],
                        ["held", "--reason", word]):
            done = tool(*command, "--format", "json", conf=daemon.conf)
            assert done.returncode in (1, 2, 3), (command, done.stdout, done.stderr)
            assert "TDH2025053050205843" not in done.stdout, command
    assert daemon.rows("SELECT count(*) FROM order_log") == before
    assert tool("verify", conf=daemon.conf).returncode == 0
