"""The three reverse proxies of etc/, each run from the shipped file itself.

What a test machine cannot have (port 443, /run, /etc, a certificate, a user to change to)
is replaced in a copy, by exact texts that must be there: a file in which one of them is gone is a
file that these tests do not know, and fails.
"""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import BUILD, ROOT, Connection, wait_until

NAMES = ("nginx", "haproxy", "caddy")
# What names everybody in each of the shipped lists.
EVERYBODY = {"nginx": "\nallow all;", "haproxy": "\n0.0.0.0/0\n::/0", "caddy": " 0.0.0.0/0 ::/0"}
ONLY = {"nginx": "\nallow {};\ndeny all;", "haproxy": "\n{}", "caddy": " {}"}
SERVER_NAME = "callback.example.com"


def program(name):
    """The proxy's program; a test without it is skipped, and says what to install."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    # Where `make check` unpacks nginx when it is not installed.
    found = shutil.which(name, path=f"{path}:{BUILD}/nginx/usr/sbin")
    if not found:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate(directory):
    """A self-signed one, made once for a test session: (certificate, key)."""
    pair = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    if not os.path.exists(pair[0]):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        f"/CN={SERVER_NAME}", "-addext", f"subjectAltName=DNS:{SERVER_NAME}",
                        "-keyout", pair[1], "-out", pair[0]], check=True, capture_output=True)
    return pair


class TlsConnection(Connection):
    """Exactly the bytes it is given, inside TLS, from a loopback address of the caller's choice."""

    def __init__(self, port, trust, source="127.0.0.1"):
        context = ssl.create_default_context(cafile=trust)
        raw = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = context.wrap_socket(raw, server_hostname=SERVER_NAME)
        except OSError:
            raw.close()
            raise
        self.buffer = b""

    def half_close(self):
        """The end of what is sent, as TLS says it, without waiting for the peer's."""
        self.sock.setblocking(False)
        try:
            self.sock.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.sock.settimeout(20)


class Upstream:
    """Stands where the daemon would, and tells what a proxy sends: each connection's requests as
    (head, body). answer is what it says to each; b"" closes without a word."""

    OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"

    def __init__(self, path, answer=OK):
        self.path = str(path)
        self.answer = answer
        self.connections = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            requests = []
            self.connections.append(requests)
            threading.Thread(target=self._serve, args=(peer, requests), daemon=True).start()

    def _serve(self, peer, requests):
        data = b""
        with peer:
            while True:
                more = peer.recv(65536)
                if not more:
                    return
                data += more
                head, end, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
                if not end or len(body) < int(length.group(1) if length else 0):
                    continue
                requests.append((head.decode(), body))
                data = b""
                if not self.answer:
                    return
                peer.sendall(self.answer)

    def requests(self):
        return [r for requests in self.connections for r in requests]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Proxy:
    """One of them, in front of the daemon on a unix socket. only: the one address that may call;
    changes: (old, new) texts of the main file."""

    def __init__(self, name, directory, upstream, changes=(), only=None):
        self.name = name
        self.program = program(name)
        self.dir = os.path.join(directory, "proxy")
        os.mkdir(self.dir)
        self.port = free_port()
        self.cert, self.key = certificate(self.dir)
        self.access_log = os.path.join(self.dir, "access.log")
        self.output = os.path.join(self.dir, "output.log")
        self.process = None
        self.upstream = str(upstream)
        self.allow = [(EVERYBODY[name], ONLY[name].format(only))] if only else []
        getattr(self, "_write_" + name)(changes)

    def _shipped(self, path, changes, to=None):
        """A copy of etc/PATH with the changes in it."""
        with open(os.path.join(ROOT, "etc", path)) as f:
            text = f.read()
        for old, new in changes:
            assert old in text, f"etc/{path} has no {old!r}"
            text = text.replace(old, new)
        target = os.path.join(self.dir, to or os.path.basename(path))
        with open(target, "w") as f:
            f.write(text)
        return target

    def _write_nginx(self, changes):
        allow = self._shipped("nginx/orderhook-allow.conf", self.allow)
        conf = self._shipped("nginx/orderhook.conf", [
            ("unix:/run/orderhook/http.sock", "unix:" + self.upstream),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("listen [::]:443 ssl;", ""),
            ("/etc/ssl/certs/orderhook.pem", self.cert),
            ("/etc/ssl/private/orderhook.key", self.key),
            ("/var/log/nginx/orderhook.log", self.access_log),
            ("/var/log/nginx/orderhook-error.log", os.path.join(self.dir, "error.log")),
            ("/etc/nginx/orderhook-allow.conf", allow), *changes])
        temps = "".join(f"{kind}_temp_path {self.dir}/{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        main = os.path.join(self.dir, "nginx.conf")
        user = "user root;\n" if os.geteuid() == 0 else ""
        with open(main, "w") as f:
            f.write(f"{user}worker_processes 1;\npid {self.dir}/pid;\ndaemon off;\n"
                    f"events {{ worker_connections 1024; }}\nhttp {{\n{temps}include {conf};\n}}\n")
        self.command = [self.program, "-p", self.dir, "-e", os.path.join(self.dir, "start.log"),
                        "-c", main]
        self.check = [*self.command, "-t", "-q"]

    def _write_haproxy(self, changes):
        both = os.path.join(self.dir, "both.pem")
        with open(both, "w") as out:
            for part in (self.cert, self.key):
                with open(part) as f:
                    out.write(f.read())
        allow = self._shipped("haproxy/orderhook-allow.lst", self.allow)
        conf = self._shipped("haproxy/orderhook.cfg", [
            ("unix@/run/orderhook/http.sock", "unix@" + self.upstream),
            ("bind :::443 v4v6 ssl", f"bind 127.0.0.1:{self.port} ssl"),
            ("/etc/haproxy/orderhook.pem", both),
            ("/etc/haproxy/orderhook-allow.lst", allow),
            ("log /dev/log local0", "log stdout format raw local0"),
            ("\tuser haproxy\n", ""),
            ("\tgroup orderhook-proxy\n", ""), *changes])
        self.command = [self.program, "-W", "-db", "-f", conf]
        self.check = [self.program, "-c", "-f", conf]

    def _write_caddy(self, changes):
        conf = self._shipped("caddy/Caddyfile", [
            ("unix//run/orderhook/http.sock", "unix/" + self.upstream),
            (f"{SERVER_NAME}, :443 {{",
             f"https://{SERVER_NAME}:{self.port}, https://:{self.port} {{\n\tbind 127.0.0.1"),
            ("/etc/caddy/orderhook.pem", self.cert),
            ("/etc/caddy/orderhook.key", self.key),
            ("admin unix//var/lib/caddy/admin.sock", f"admin unix/{self.dir}/admin.sock"),
            *self.allow, *changes])
        self.command = [self.program, "run", "--adapter", "caddyfile", "--config", conf]
        self.check = [self.program, "validate", "--adapter", "caddyfile", "--config", conf]

    def start(self):
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, env={**os.environ, "HOME": self.dir})
        wait_until(self._answers)
        return self

    def _answers(self):
        assert self.process.poll() is None, open(self.output, errors="replace").read()
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def connect(self, source="127.0.0.1"):
        return TlsConnection(self.port, self.cert, source)

    def send(self, data, source="127.0.0.1"):
        connection = self.connect(source)
        try:
            connection.send(data)
            return connection.reply()
        finally:
            connection.close()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def logs(self):
        """Everything that the proxy wrote, whatever the file."""
        text = ""
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    text += f.read()
        return text
