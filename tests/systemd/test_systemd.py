"""The units under a real systemd: a Debian root from the machine's own apt sources, booted by
systemd-nspawn. `make check-systemd`; building the root takes a minute or more, so it is kept in
the build directory. Needs root."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))
from conftest import BUILD, SECRET, TOKEN, body_of, callback, request, wait_until  # noqa: E402

PACKAGES = "systemd,systemd-sysv,dbus,libmicrohttpd12,libcjson1,libsqlite3-0,libinih1,libcurl4"
SOURCES = "/etc/apt/sources.list.d/debian.sources"
PATH = "/callback/shansong/" + TOKEN
RESTARTS = 100 if os.environ.get("ORDERHOOK_LONG") else 10


class Machine:
    """A booted container; its volatile overlay forgets everything at the end."""

    def __init__(self, tree):
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", f"--directory={tree}", "--boot", "--volatile=overlay",
             "--register=no", "--keep-unit", "--private-network", "--console=read-only",
             "--kill-signal=SIGRTMIN+3"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        try:
            wait_until(self._booted, 60)
        except AssertionError:
            self.nspawn.kill()
            raise
        self.root = f"/proc/{self.leader}/root"

    def _booted(self):
        """The first child is a helper that makes way for the container's PID 1."""
        path = f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children"
        self.leader = (open(path).read().split() or [None])[0]
        return self.leader and os.path.exists(f"/proc/{self.leader}/root/run/systemd") \
            and "running" in self.run("systemctl is-system-running", check=False)

    def run(self, script, check=True):
        done = subprocess.run(["nsenter", "-t", self.leader, "-a", "sh", "-c", script],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def show(self, name):
        return self.run(f"systemctl show orderhookd -P {name}").strip()

    def write(self, path, text, mode=0o600):
        with open(os.open(self.root + path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)

    def post(self, members):
        """The status of the reply, 0 without one; a refused connection raises."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(self.root + "/run/orderhook/http.sock")
            try:
                connection.sendall(request(PATH, body_of(members), {"Connection": "close"}))
                head = connection.recv(65536)
            except ConnectionError:
                return 0
            return int(head.split()[1]) if head else 0

    def stop(self):
        subprocess.run(["nsenter", "-t", self.leader, "-a", "systemctl", "poweroff"], timeout=60)
        self.nspawn.wait(60)


@pytest.fixture(scope="module")
def machine():
    missing = [p for p in ("mmdebstrap", "systemd-nspawn", "nsenter") if not shutil.which(p)]
    if os.geteuid() != 0 or missing or not os.path.exists(SOURCES):
        pytest.skip(f"NOT TESTED UNDER SYSTEMD: needs root, {SOURCES}, mmdebstrap, "
                    f"systemd-container; missing: {missing}")
    tree = os.path.join(BUILD, "systemd-root")
    if not os.path.exists(tree + "/.made-of-" + PACKAGES.replace(",", "-")):
        shutil.rmtree(tree, ignore_errors=True)
        codename = re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release").read(), re.M)
        subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}",
                        codename.group(1), tree, SOURCES], check=True, timeout=1200)
        open(tree + "/.made-of-" + PACKAGES.replace(",", "-"), "w").close()
    one = Machine(tree)
    try:
        subprocess.run(["make", "install", f"BUILD={os.path.relpath(BUILD, ROOT)}",
                        f"DESTDIR={one.root}", "PREFIX=/usr",
                        "UNITDIR=/usr/lib/systemd/system"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL, timeout=300)
        one.run("systemd-sysusers && systemd-tmpfiles --create orderhook.conf && "
                "sed -i 's/YOUR-CLIENT-ID/clientId/; s/YOUR-SHOP-ID/shopId/' "
                "/etc/orderhook/orderhook.conf && systemctl daemon-reload && "
                "journalctl --update-catalog && runuser -u orderhook -- orderhook init")
        yield one
    finally:
        one.stop()


def refused(machine, words):
    """The service ended with 78 once, said why in STATUS and in one line, and stays down."""
    machine.run("systemctl stop orderhookd.socket orderhookd-admin.socket orderhookd; "
                "systemctl reset-failed orderhookd; journalctl --rotate --vacuum-time=1s",
                check=False)
    machine.run("systemctl start orderhookd", check=False)
    wait_until(lambda: machine.show("ActiveState") == "failed")
    assert machine.show("ExecMainStatus") == "78"
    assert machine.show("NRestarts") == "0"
    assert words in machine.show("StatusText")
    lines = machine.run("journalctl -o cat -u orderhookd "
                        "MESSAGE_ID=a863fe4f76f743bb9e31bdd270ad77f6").strip().split("\n")
    assert len(lines) == 1 and words in lines[0], lines


def test_1_missing_credential_is_78_with_its_name(machine):
    refused(machine, "shansong-token")


def test_2_wrong_configuration_is_78_with_its_line(machine):
    machine.write("/etc/orderhook/credentials/shansong-token", TOKEN)
    machine.write("/etc/orderhook/credentials/shansong-secret", SECRET)
    machine.run("cp /etc/orderhook/orderhook.conf /etc/orderhook/good && "
                "echo '[nonsense]' >> /etc/orderhook/orderhook.conf")
    refused(machine, "nonsense")
    machine.run("mv /etc/orderhook/good /etc/orderhook/orderhook.conf")


def test_3_first_caller_starts_the_service_and_is_served(machine):
    machine.run("systemctl stop orderhookd; systemctl reset-failed; "
                "systemctl start orderhookd.socket orderhookd-admin.socket")
    assert machine.show("ActiveState") == "inactive"
    assert machine.post(callback("first")) == 200
    assert machine.show("ActiveState") == "active"
    assert machine.run("stat -c '%U %G %a' /run/orderhook/http.sock").split() == \
        ["orderhook", "orderhook-proxy", "660"]


def test_4_journal_finds_a_callback_by_its_order(machine):
    wait_until(lambda: "order first" in machine.run("journalctl -o cat ORDER_NO=m-first"))
    text = machine.run("journalctl -o export ORDER_NO=m-first")
    for field in ("ISS_ORDER_NO=first", "VERDICT=applied", "ENDPOINT=shansong", "PRIORITY=6",
                  "SYSLOG_IDENTIFIER=orderhookd", "_SYSTEMD_UNIT=orderhookd.service"):
        assert field in text
    assert re.search("^EVENT_ID=[0-9]+$", text, re.M) and re.search("^REQUEST_ID=", text, re.M)
    assert "A callback was stored" in machine.run("journalctl -x ORDER_NO=m-first")


def test_5_reload_of_a_wrong_file_is_told_in_status_and_keeps_the_old_one(machine):
    machine.run("cp /etc/orderhook/orderhook.conf /etc/orderhook/good && "
                "echo '[nonsense]' >> /etc/orderhook/orderhook.conf")
    machine.run("systemctl reload orderhookd")
    wait_until(lambda: "reload refused" in machine.show("StatusText"))
    assert "nonsense" in machine.show("StatusText")
    assert machine.post(callback("reload-1")) == 200
    machine.run("mv /etc/orderhook/good /etc/orderhook/orderhook.conf && "
                "systemctl reload orderhookd")
    wait_until(lambda: machine.show("StatusText").startswith("serving"))
    assert machine.post(callback("reload-2")) == 200


def under_load(machine, name, action):
    """Callers that try again until they are acknowledged; every connect must succeed."""
    acked, errors, done = [], [], threading.Event()

    def call(worker):
        n = 0
        while not done.is_set():
            order = f"{name}-{worker}-{n}"
            try:
                if machine.post(callback(order)) == 200:
                    acked.append(order)
                    n += 1
            except OSError as why:
                errors.append(repr(why))

    workers = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    try:
        action()
        before = len(acked)
        wait_until(lambda: len(acked) > before + 20 or errors)
    finally:
        done.set()
        for worker in workers:
            worker.join()
    assert errors == []
    db = machine.run("orderhook orders --format csv")
    stored = {line.split(",")[1] for line in db.splitlines()[1:]}
    assert set(acked) <= stored and len(acked) > 20


def test_6_restarts_under_load_refuse_and_lose_nothing(machine):
    def restart():
        for _ in range(RESTARTS):
            machine.run("systemctl restart orderhookd")

    under_load(machine, "restart", restart)


def test_7_killed_daemon_is_started_again_and_nothing_acked_is_lost(machine):
    def kill():
        restarts = int(machine.show("NRestarts"))
        machine.run("systemctl kill -s KILL orderhookd")
        wait_until(lambda: int(machine.show("NRestarts")) > restarts)

    under_load(machine, "kill", kill)


def test_8_hung_daemon_is_found_by_the_watchdog(machine):
    machine.run("mkdir -p /run/systemd/system/orderhookd.service.d && printf '[Service]\\n"
                "WatchdogSec=2s\\n' > /run/systemd/system/orderhookd.service.d/w.conf && "
                "systemctl daemon-reload && systemctl restart orderhookd")
    restarts = int(machine.show("NRestarts"))
    machine.run("systemctl kill -s STOP --kill-who=main orderhookd")
    wait_until(lambda: int(machine.show("NRestarts")) > restarts, 60)
    assert machine.post(callback("after-watchdog")) == 200
