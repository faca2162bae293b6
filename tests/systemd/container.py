"""A Debian root from the machine's own apt sources, booted by systemd-nspawn with the package
installed into it. The root is kept in the build directory; what a test does in it is forgotten."""

import concurrent.futures
import functools
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/lint"))
from tree import Tree  # noqa: E402

# Its name is taken by the conftest.py beside this file.
_spec = importlib.util.spec_from_file_location(
    "integration", os.path.join(ROOT, "tests/integration/conftest.py"))
integration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(integration)
BUILD, SECRET, TOKEN = integration.BUILD, integration.SECRET, integration.TOKEN
callback, wait_until = integration.callback, integration.wait_until

how_many = integration.how_many
SAMPLE = bool(os.environ.get("ORDERHOOK_SAMPLE"))
PATH = "/callback/shansong/" + TOKEN
# Beside the package's own libraries: a proxy, and what docs/install.md uses.
PACKAGES = ["systemd", "systemd-sysv", "dbus", "sudo", "nginx", "openssl", "curl"]
TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container",
         "nsenter": "util-linux", "dpkg-buildpackage": "dpkg-dev", "dh": "debhelper"}
CREDENTIALS = "/etc/orderhook/credentials"
DROP_IN = "/run/systemd/system/orderhookd.service.d"


def environment():
    """Without what the make that runs the tests says to a make inside of them."""
    return {k: v for k, v in os.environ.items()
            if not k.startswith(("MAKE", "MFLAGS", "DEB_", "ORDERHOOK_"))}


def not_in_the_sample(test):
    """`make check` has no time for this one; `make check-systemd` runs all."""
    return None if SAMPLE else test


def build_package(folder, **changes):
    """Builds the tree as it is now in a copy of it; the .deb and the .changes."""
    source = os.path.join(folder, "orderhook")
    tree = Tree(ROOT)
    for name in tree.files:
        os.makedirs(os.path.dirname(os.path.join(source, name)), exist_ok=True)
        shutil.copy2(tree.path(name), os.path.join(source, name))
    done = subprocess.run(
        ["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=source, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=900,
        env={**environment(), "DEB_BUILD_OPTIONS": f"nocheck parallel={os.cpu_count()}"}, **changes)
    assert done.returncode == 0, done.stdout[-4000:]
    return {suffix: os.path.join(folder, name) for name in os.listdir(folder)
            for suffix in ("deb", "changes")
            if name.endswith("." + suffix) and "dbgsym" not in name}


def libraries():
    """The packages of the libraries: each -dev package depends on the one it belongs to."""
    text = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Depends}\n", "libmicrohttpd-dev", "libsqlite3-dev",
         "libssl-dev", "libsystemd-dev", "libinih-dev", "libcurl4-openssl-dev"],
        capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"(\S+) \(= ", text)))


class Missing(Exception):
    """Why this machine cannot run these tests."""


def make_root():
    wanted = ",".join(PACKAGES + libraries())
    tree = os.path.join(BUILD, "systemd-root")
    stamp = os.path.join(tree, ".made-of")
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    sources = [path for path in ("/etc/apt/sources.list.d/debian.sources",
                                 "/etc/apt/sources.list") if os.path.exists(path)][:1]
    codename = re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release").read(), re.M).group(1)
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", "--dpkgopt=force-unsafe-io",
         '--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::http::Timeout "10"',
         f"--include={wanted}", codename, tree, *sources],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
    if done.returncode:
        raise Missing("no root could be made from this machine's apt sources: "
                      + done.stdout.strip()[-300:])
    with open(stamp, "w") as f:
        f.write(wanted)
    return tree


def nspawn(tree, *arguments):
    return ["systemd-nspawn", f"--directory={tree}", "--volatile=overlay", "--register=no",
            "--keep-unit", "--private-network", *arguments]


@functools.lru_cache(maxsize=None)
def root_and_package():
    """(root, package, why not); both take a while, and do not need each other."""
    missing = sorted({package for program, package in TOOLS.items() if not shutil.which(program)})
    if missing:
        return None, None, "apt-get install " + " ".join(missing)
    if os.geteuid() != 0:
        return None, None, "needs root"
    folder = os.path.join(BUILD, "systemd-package")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            root = pool.submit(make_root)
            package = build_package(folder)
            tree = root.result()
    except Missing as why:
        return None, None, str(why)
    done = subprocess.run([*nspawn(tree, "--quiet"), "true"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return tree, package, done.returncode and f"no container runs here: {done.stdout.strip()}"


def ready():
    tree, package, why_not = root_and_package()
    if why_not:
        pytest.skip(f"NOT TESTED UNDER SYSTEMD: {why_not}")
    return tree, package


class Machine:
    """A booted container; its volatile overlay forgets everything at the end."""

    def __init__(self, tree):
        self.nspawn = subprocess.Popen(
            nspawn(tree, "--boot", "--console=read-only", "--kill-signal=SIGRTMIN+3"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self._booted, 120)
        except BaseException:
            self.nspawn.kill()
            raise
        self.root = f"/proc/{self.leader}/root"

    def _booted(self):
        """The first child is a helper that makes way for the container's PID 1."""
        path = f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children"
        self.leader = (open(path).read().split() or [None])[0]
        return self.leader and os.path.exists(f"/proc/{self.leader}/root/run/systemd") \
            and "running" in self.run("systemctl is-system-running", check=False)

    def run(self, script, check=True, stdin=None):
        done = subprocess.run(["nsenter", "-t", self.leader, "-a", "sh", "-c", script],
                              input=stdin or "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120, env={"PATH": os.environ["PATH"]})
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def show(self, name, unit="orderhookd"):
        return self.run(f"systemctl show {unit} -P {name}").strip()

    def write(self, path, text, mode=0o600):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        with open(os.open(self.root + path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)

    def give(self, package):
        """Copies a package in and returns its path there."""
        shutil.copy(package, self.root + "/opt")
        return "/opt/" + os.path.basename(package)

    def install(self, package):
        self.run(f"dpkg -i {self.give(package)}")

    def set_up(self, store=True):
        """As docs/install.md does, with the tests' own token."""
        self.write(CREDENTIALS + "/shansong-token", TOKEN)
        self.write(CREDENTIALS + "/shansong-secret", SECRET)
        self.run("sed -i 's/YOUR-CLIENT-ID/clientId/; s/YOUR-SHOP-ID/shopId/' "
                 "/etc/orderhook/orderhook.conf")
        if store:
            self.run("runuser -u orderhook -- orderhook init")

    def drop_in(self, *lines):
        """Changes the unit for a while; without lines it is as it was."""
        self.run(f"rm -rf {DROP_IN}")
        if lines:
            self.write(DROP_IN + "/test.conf", "\n".join(("[Service]", *lines)) + "\n", 0o644)
        self.run("systemctl daemon-reload")

    def post(self, members, path="/run/orderhook/http.sock"):
        """The status of the reply, 0 without one; a refused connection raises."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(self.root + path)
            try:
                connection.sendall(integration.request(PATH, integration.body_of(members),
                                                       {"Connection": "close"}))
                head = connection.recv(65536)
            except ConnectionError:
                return 0
            return int(head.split()[1]) if head else 0

    def stop(self):
        subprocess.run(["nsenter", "-t", self.leader, "-a", "systemctl", "poweroff"], timeout=60)
        self.nspawn.wait(60)


class Load:
    """Callers that try again until they are acknowledged, for as long as the body runs. Every
    connect must succeed, and every acknowledged callback must be there at the end, once."""

    def __init__(self, machine, name, callers=8):
        self.machine = machine
        self.name = name
        self.acked, self.sent, self.errors, self.unanswered = [], set(), [], 0
        self.lost = None  # not known before the end
        self.done = threading.Event()
        self.callers = [threading.Thread(target=self._call, args=(i,)) for i in range(callers)]

    def _call(self, caller):
        n = 0
        while not self.done.is_set():
            order = f"{self.name}-{caller}-{n}"
            self.sent.add(order)
            try:
                if self.machine.post(callback(order)) == 200:
                    self.acked.append(order)
                    n += 1
                else:
                    self.unanswered += 1
            except OSError as why:
                self.errors.append(repr(why))

    def __enter__(self):
        for caller in self.callers:
            caller.start()
        self.wait_for(20)
        return self

    def wait_for(self, more):
        before = len(self.acked)
        wait_until(lambda: len(self.acked) >= before + more or self.errors, 60)

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.wait_for(20)
        finally:
            self.done.set()
            for caller in self.callers:
                caller.join()
        if kind is None:
            self._compare()

    def _compare(self):
        assert self.errors == []
        rows = self.machine.run("orderhook orders --format csv").splitlines()[1:]
        stored = [row.split(",")[1] for row in rows if row.split(",")[1].startswith(self.name)]
        self.lost = len(set(self.acked) - set(stored))
        assert len(stored) == len(set(stored))
        assert set(stored) <= self.sent and not self.lost

    def figures(self, **more):
        parts = [f"{value} {name}" for name, value in more.items()]
        return ", ".join(parts + [f"acked {len(self.acked)}", f"not acked {self.unanswered}",
                                  f"refused {len(self.errors)}", f"lost {self.lost}"])
