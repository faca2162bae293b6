"""The real programs under test: a daemon on a free port with a scratch store, and helpers."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("ORDERHOOK_BUILD", "build"))
SAMPLES = os.path.join(ROOT, "tests/fixtures/shansong")
TOKEN = "test-token-0123456789"
SECRET = "test-secret-0123456789"
DEADLINE_S = 20
# A command in the background of a script ignores it, and so would every program started here.
signal.signal(signal.SIGINT, signal.default_int_handler)
# make check-long: everything of which make check has a sample, or a share of it.
LONG = os.environ.get("ORDERHOOK_LONG", "0") not in ("", "0")
SHARE = float(os.environ.get("ORDERHOOK_SHARE") or 1)
# Of a relay: what its file has, and what that stands for.
RELAY_KEY = b"canary-key-of-the-relay-00112233"
RELAY_TEXT = "whsec_" + base64.b64encode(RELAY_KEY).decode()
# In the samples, and in what the tests send: nobody may meet them where they do not belong.
SECRETS = [TOKEN, SECRET, "second-secret-0123", RELAY_KEY.decode(), RELAY_TEXT[len("whsec_"):]]
PERSONAL = ["13800138000", "13877665544", "测师傅", "卡纳里", "31.234567", "121.987654",
            "Kanarie7391", "Kanarie8264"]
CANARIES = [text.encode() for text in (*SECRETS, *PERSONAL, "canary-", "courierHead.png")]
KEY = re.compile(rb"whsec_[A-Za-z0-9+/]{16,}")
SIGNATURE = re.compile(rb"(?<![0-9A-Za-z])[0-9A-F]{32}(?![0-9A-Za-z])|v1,[A-Za-z0-9+/]{43}=")
# The samples' own code is four digits, which a log may have for other reasons.
CODE = re.compile(rb"assword[^0-9A-Za-z\n]{0,8}4004|[\"'`]4004[\"'`]")
LOOKED_AT_BYTES = 1 << 20
LONGEST_CANARY_BYTES = 256


def how_many(sample, whole):
    """How much of something a test does."""
    return max(sample, int(whole * SHARE)) if LONG else sample


def in_lanes():
    """How many processes a harness may have: other files run beside a sample."""
    return 2 * os.cpu_count() if LONG else 1


def leaked(data):
    """What of a secret, a person or a signature is in there."""
    found = [canary for canary in CANARIES if canary in data]
    for pattern in KEY, SIGNATURE, CODE:
        found += pattern.findall(data)
    return [one.decode() for one in found]


def assert_no_leak(data, where):
    assert not leaked(data), f"{where} has {leaked(data)}: {data[:2000]!r}"


def assert_tool_kept_quiet(arguments, stdout, stderr):
    """What the tool may say: nothing on stderr, no secret anywhere, people and hand-over codes only
    with --reveal or as the exact bytes of `raw`, a signature only with the body that it signs."""
    command = "orderhook " + " ".join(str(one) for one in arguments)
    assert_no_leak(stderr, f"stderr of {command}")
    given = {str(one) for one in arguments}
    found = [one for one in SECRETS if one.encode() in stdout] + KEY.findall(stdout)
    if not given & {"--reveal", "raw", "sign"}:
        found += [one for one in PERSONAL if one.encode() in stdout] + CODE.findall(stdout)
    with_bodies = given & {"--reveal", "raw", "sign", "explain", "export"} or \
        given >= {"held", "show"}
    if not with_bodies:
        found += SIGNATURE.findall(stdout)
    assert not found, f"stdout of {command} has {found}"


def captured():
    """The five captured callbacks, in the order in which they happened."""
    names = sorted(n for n in os.listdir(SAMPLES) if n.startswith("captured-"))
    return [open(os.path.join(SAMPLES, n), "rb").read() for n in names]


def sign_flat(members, secret=SECRET, timestamp=None):
    """Signs as the platform's published rule says; written from the rule, not from the C."""
    members = dict(members)
    members["timestamp"] = str(timestamp if timestamp is not None else int(time.time() * 1000))
    text = secret
    for key in sorted(members):
        value = members[key]
        if value is None or value == "":
            continue
        if isinstance(value, (dict, list)):
            value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        elif isinstance(value, bool):
            value = "true" if value else "false"
        text += key + str(value)
    members["sign"] = hashlib.md5(text.encode()).hexdigest().upper()
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def callback(iss="TDH1", status=20, sub=1, time_text="2025-05-30 16:55:19", **more):
    members = {"issOrderNo": iss, "orderNo": "m-" + iss, "status": status,
               "statusChangeTime": time_text, "clientId": "clientId", "shopId": "shopId"}
    if sub is not None:
        members["subStatus"] = sub
    members.update(more)
    return members


def body_of(members):
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Connection:
    """One HTTP/1.1 connection that sends exactly the bytes it is given."""

    def __init__(self, address):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(DEADLINE_S)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout=DEADLINE_S)
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def reply(self):
        """The next reply, or None when the peer closed before a whole one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length:
            if not self._more():
                return None
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        assert_no_leak(head + body, "a reply")
        return Reply(int(lines[0].split()[1]), headers, body)

    def closed(self):
        """True when the peer closes; waits for it."""
        try:
            while self._more():
                pass
        except ConnectionError:
            pass
        return True

    def close(self):
        self.sock.close()


def request(path, body, headers=None, method="POST", length=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    names = {k.lower() for k in (headers or {})}
    if "content-type" not in names:
        lines.append("Content-Type: application/json")
    for name, value in (headers or {}).items():
        if value is not None:
            lines.append(f"{name}: {value}")
    if length is not False:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Daemon:
    """orderhookd in a directory of its own."""

    def __init__(self, directory, **changes):
        self.dir = str(directory)
        self.store = os.path.join(self.dir, "orderhook.db")
        self.conf = os.path.join(self.dir, "orderhook.conf")
        self.process = None
        self.address = None
        self.admin = None
        self.log = os.path.join(self.dir, "log")
        self.log_looked_at = 0
        self.written = {self.conf, self.log}
        self.write_file("token", TOKEN)
        self.write_file("secret", SECRET)
        self.configure(**changes)

    def write_file(self, name, text, mode=0o600):
        path = os.path.join(self.dir, name)
        self.written.add(path)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def configure(self, server=None, store=None, endpoint=None, extra=""):
        def section(name, defaults, changes):
            values = {**defaults, **(changes or {})}
            lines = [f"{k} = {v}" for k, v in values.items() if v is not None]
            return f"[{name}]\n" + "\n".join(lines) + "\n"

        text = section("server", {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"}, server)
        text += section("store", {"path": self.store, "environment": "test"}, store)
        text += section("endpoint shansong", {
            "platform": "shansong", "path": "/callback/shansong",
            "token": f"file:{self.dir}/token", "client_id": "clientId", "shop_ids": "shopId",
            "signature": "if-present", "secrets": f"file:{self.dir}/secret"}, endpoint)
        with open(self.conf, "w") as f:
            f.write(text + extra)

    def init(self):
        tool("init", conf=self.conf, check=True)
        return self

    def start(self, env=None, wrap=(), wait=True, **popen):
        self.look_at_what_is_left()
        notify_path = os.path.join(self.dir, "notify")
        if os.path.exists(notify_path):
            os.unlink(notify_path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(notify_path)
        environment = {**os.environ, "NOTIFY_SOCKET": notify_path, **(env or {})}
        self.log_file = open(self.log, "ab")
        self.process = subprocess.Popen([*wrap, os.path.join(BUILD, "orderhookd"), "-c", self.conf],
                                        env=environment, stderr=self.log_file,
                                        stdin=subprocess.DEVNULL, **popen)
        if wait:
            self.wait_ready()
        return self

    def notified(self, wanted, deadline_s=DEADLINE_S):
        """Waits for a notification that has the word; returns its fields."""
        end = time.monotonic() + deadline_s
        self.notify.settimeout(0.1)
        while time.monotonic() < end:
            try:
                text = self.notify.recv(65536).decode()
                assert_no_leak(text.encode(), "a notification")
            except socket.timeout:
                if self.process.poll() is not None:
                    raise AssertionError(f"the daemon ended with {self.process.returncode}:\n"
                                         + self.log_text())
                continue
            fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            if wanted in fields:
                return fields
        raise AssertionError(f"no {wanted} within {deadline_s} s\n" + self.log_text())

    def wait_ready(self):
        status = self.notified("READY")["STATUS"]
        self.address = self._address(re.search(r"callbacks on (\S+),", status).group(1))
        self.admin = self._address(re.search(r"admin on (\S+),", status).group(1))

    @staticmethod
    def _address(text):
        if text.startswith("unix:"):
            return text[5:]
        host, port = text.rsplit(":", 1)
        return host.strip("[]"), int(port)

    def log_text(self):
        return open(self.log, errors="replace").read()

    def wait_exit(self, deadline_s=DEADLINE_S):
        code = self.process.wait(deadline_s)
        self.look_at_what_is_left()
        return code

    def look_at_what_is_left(self):
        """Whoever's daemon it was and however it ended: what its log has that was not looked at
        before, no core file, and nothing in a file that is neither the store nor the test's."""
        if os.path.exists(self.log):
            with open(self.log, "rb") as log:
                log.seek(max(0, self.log_looked_at - LONGEST_CANARY_BYTES))
                assert_no_leak(log.read(), "the log")
                self.log_looked_at = log.tell()
        for entry in os.scandir(self.dir):
            assert not entry.name.startswith("core"), f"a core file is left: {entry.name}"
            if entry.path in self.written or not entry.is_file(follow_symlinks=False) or \
                    self.may_have_canaries(entry.path):
                continue
            with open(entry.path, "rb") as file:
                assert_no_leak(file.read(LOOKED_AT_BYTES), entry.path)

    def may_have_canaries(self, path):
        """The store with its log, a copy of one, and what strace saw."""
        if path in {self.store + end for end in ("", "-wal", "-shm", "-journal")} or \
                os.path.basename(path) == "strace":
            return True
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"

    def stop(self, signal_number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal_number)
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        if self.process:
            self.notify.close()
            self.log_file.close()
            self.look_at_what_is_left()
        return self.process.returncode if self.process else None

    def descriptors(self):
        """How many are open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self):
        return Connection(self.address)

    def send(self, data):
        """One connection, one request, one reply."""
        connection = self.connect()
        try:
            connection.send(data)
            return connection.reply()
        finally:
            connection.close()

    def post(self, body, path="/callback/shansong/" + TOKEN, headers=None):
        if isinstance(body, dict):
            body = body_of(body)
        return self.send(request(path, body, headers))

    def get_admin(self, path, method="GET"):
        connection = Connection(self.admin)
        try:
            connection.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return connection.reply()
        finally:
            connection.close()

    def rows(self, sql, *arguments):
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        try:
            return db.execute(sql, arguments).fetchall()
        finally:
            db.close()

    def state(self, iss):
        return self.rows("SELECT status, sub_status, since, reassignments, events FROM order_state"
                         " WHERE iss_order_no = ?", iss)[0]

    def verdicts(self, iss):
        return [v for (v,) in self.rows("SELECT verdict FROM order_log WHERE iss_order_no = ?"
                                        " ORDER BY event_id", iss)]


def tool(*arguments, conf=None, db=None, stdin=None, check=False, env=None):
    """Runs orderhook; returns the finished process with text output."""
    command = [os.path.join(BUILD, "orderhook")]
    if conf:
        command += ["-c", conf]
    if db:
        command += ["--db", db]
    done = subprocess.run([*command, *arguments], input=stdin, capture_output=True,
                          timeout=120, text=not isinstance(stdin, bytes), cwd=ROOT,
                          env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"orderhook {' '.join(arguments)}: exit {done.returncode}\n"
                             f"{done.stderr}")
    assert_tool_kept_quiet(arguments, *(text if isinstance(text, bytes) else text.encode()
                                        for text in (done.stdout, done.stderr)))
    return done


def wait_until(condition, deadline_s=DEADLINE_S):
    """Waits for a condition, not for a time; returns what it returned."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture
def make_daemon(tmp_path):
    """Makes daemons (not started, store not made); all of them are stopped at the end."""
    made = []

    def make(name="d", **changes):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        made.append(Daemon(directory, **changes))
        return made[-1]

    yield make
    for one in made:
        if one.process and one.process.poll() is None:
            one.process.kill()
            one.process.wait()
    for one in made:
        one.look_at_what_is_left()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def daemon(make_daemon):
    """A running daemon with an empty store; its end must be a clean one."""
    one = make_daemon().init().start()
    yield one
    if one.process.poll() is None:
        assert one.stop() == 0, one.log_text()
