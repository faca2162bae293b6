"""Restarts, upgrades, kills and a stuck writer under the load of callers that try again: nobody is
refused, nothing acknowledged is lost, nothing is there that was not sent."""

import os
import shutil
import subprocess
import threading

import pytest

from container import SAMPLE, Load, callback, how_many, not_in_the_sample, wait_until

RESTARTS = 2 if SAMPLE else how_many(10, 100)
UPGRADES = 1 if SAMPLE else how_many(2, 20)
KILLS = 2 if SAMPLE else how_many(10, 50)
SYNCS = how_many(1, 20)
WATCHDOGS = how_many(1, 10)


@pytest.fixture(scope="module")
def serving(installed):
    installed.set_up()
    installed.run("systemctl enable --now orderhookd")
    yield installed
    assert "0 findings" in installed.run("orderhook verify")


def another_version(package, version, folder):
    """The same package under another number."""
    tree = os.path.join(folder, version)
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = os.path.join(tree, "DEBIAN/control")
    text = open(control).read()
    with open(control, "w") as f:
        f.write(text.replace("\nVersion: 0.1.0\n", f"\nVersion: {version}\n"))
    path = os.path.join(folder, f"orderhook_{version}.deb")
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, path], check=True, capture_output=True)
    return path


def test_restarts_refuse_nobody_and_lose_nothing(serving, record_property):
    with Load(serving, "restart") as load:
        for _ in range(RESTARTS):
            serving.run("systemctl restart orderhookd")
    record_property("figures", load.figures(restarts=RESTARTS))


def test_upgrades_and_downgrades_refuse_nobody_and_lose_nothing(serving, package, tmp_path,
                                                                record_property):
    new = serving.give(another_version(package["deb"], "0.1.1", str(tmp_path)))
    old = serving.give(package["deb"])
    socket_since = serving.show("ActiveEnterTimestampMonotonic", "orderhookd.socket")
    with Load(serving, "upgrade") as load:
        for n in range(UPGRADES):
            pid = serving.show("MainPID")
            serving.run("dpkg -i " + (old if n % 2 else new))
            assert serving.show("MainPID") not in (pid, "0")
            load.wait_for(10)
    assert serving.show("ActiveEnterTimestampMonotonic", "orderhookd.socket") == socket_since
    assert serving.show("UnitFileState") == "enabled"
    record_property("figures", load.figures(upgrades=UPGRADES))


def test_killed_daemon_is_started_again_and_loses_nothing(serving, record_property):
    serving.drop_in("RestartSec=100ms")
    with Load(serving, "kill") as load:
        for _ in range(KILLS):
            pid = serving.show("MainPID")
            serving.run("systemctl kill -s KILL orderhookd")
            wait_until(lambda: serving.show("MainPID") not in (pid, "0"), 60)
            load.wait_for(10)
    serving.drop_in()
    record_property("figures", load.figures(kills=KILLS))


@not_in_the_sample
def test_daemon_that_hangs_is_found_by_the_watchdog_and_loses_nothing(serving, record_property):
    serving.drop_in("WatchdogSec=2s")
    serving.run("systemctl restart orderhookd")
    with Load(serving, "watchdog") as load:
        for _ in range(WATCHDOGS):
            pid = serving.show("MainPID")
            serving.run("systemctl kill -s STOP --kill-who=main orderhookd")
            wait_until(lambda: serving.show("MainPID") not in (pid, "0"), 60)
            load.wait_for(10)
    serving.drop_in()
    assert "Watchdog timeout" in serving.run("journalctl -o cat -u orderhookd")
    record_property("figures", load.figures(watchdogs=WATCHDOGS))


def pid_outside(machine):
    """Of the daemon, as this machine's kernel knows it."""
    namespace = os.readlink(f"/proc/{machine.leader}/ns/pid")
    inside = machine.show("MainPID")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as f:
                numbers = [line.split()[1:] for line in f if line.startswith("NSpid:")][0]
            if numbers[-1] == inside and os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                return pid
        except OSError:
            continue
    raise AssertionError(f"no process is {inside} in there")


def test_daemon_whose_sync_fails_is_started_again_and_loses_nothing(serving, record_property):
    if not shutil.which("strace"):
        pytest.skip("NOT TESTED: strace is not installed")
    serving.run("systemctl restart orderhookd")
    restarts = int(serving.show("NRestarts"))
    with Load(serving, "sync") as load:
        for n in range(1, SYNCS + 1):
            pid = serving.show("MainPID")
            strace = subprocess.run(
                ["strace", "-f", "-o", "/dev/null", "-p", pid_outside(serving), "-e",
                 "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"],
                capture_output=True, text=True, timeout=60)
            assert "attached" in strace.stderr, strace.stderr
            wait_until(lambda: serving.show("MainPID") not in (pid, "0"), 60)
            assert int(serving.show("NRestarts")) == restarts + n
            load.wait_for(10)
    said = serving.run("journalctl -o cat -u orderhookd")
    assert said.count("status=74") >= SYNCS and "nothing more is acknowledged" in said
    record_property("figures", load.figures(failed_syncs=SYNCS))


@pytest.fixture
def freezing(serving, tmp_path):
    """The store on a file system that can be frozen; it always thaws."""
    image = tmp_path / "disk"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if made.returncode:
        pytest.skip("NOT TESTED: no loop device: " + made.stderr.strip())
    loop, state = made.stdout.strip(), "/var/lib/orderhook"
    device = os.stat(loop).st_rdev
    serving.run("systemctl stop 'orderhookd*.socket' orderhookd")
    try:
        serving.run(f"mknod /dev/store b {os.major(device)} {os.minor(device)} && "
                    f"mount -t ext4 /dev/store {state} && rmdir {state}/lost+found && "
                    f"chown orderhook:orderhook {state} && chmod 750 {state} && "
                    "runuser -u orderhook -- orderhook init && "
                    "systemctl start orderhookd.socket orderhookd-admin.socket")
        yield state
    finally:
        serving.run(f"fsfreeze --unfreeze {state}", check=False)
        serving.run("systemctl stop 'orderhookd*.socket' orderhookd; "
                    f"umount {state}; rm /dev/store", check=False)
        subprocess.run(["losetup", "--detach", loop])
    serving.drop_in()
    serving.run("systemctl start orderhookd")


@not_in_the_sample
def test_writer_stuck_in_the_kernel_is_found_while_the_listener_answers(serving, freezing):
    """The daemon cannot even die before the disk answers again. The unit waits for that longer than
    for a stop: a second daemon would find the store locked, end with 78, and stay down."""
    serving.drop_in("WatchdogSec=2s", "TimeoutStopSec=1s")
    assert serving.post(callback("before")) == 200
    pid = serving.show("MainPID")
    serving.run(f"fsfreeze --freeze {freezing}")
    statuses = []
    stuck = threading.Thread(target=lambda: statuses.append(serving.post(callback("stuck"))))
    stuck.start()
    ready = "curl -s --unix-socket /run/orderhook/admin.sock http://localhost/readyz"
    wait_until(lambda: "writer-stuck" in serving.run(ready), 30)
    stuck.join()
    assert statuses == [503]
    wait_until(lambda: serving.show("Result") == "watchdog", 30)
    # Longer than TimeoutStopSec: what comes after that is a second signal and a second daemon.
    wait_until(lambda: serving.show("SubState") != "stop-watchdog" or stopping_for(serving) > 3, 30)
    assert (serving.show("SubState"), serving.show("MainPID")) == ("stop-watchdog", pid)
    waiting = threading.Thread(target=lambda: statuses.append(serving.post(callback("waits"))))
    waiting.start()
    serving.run(f"fsfreeze --unfreeze {freezing}")
    waiting.join()
    assert statuses == [503, 200]
    orders = serving.run("orderhook orders --format csv")
    assert ",before," in orders and ",waits," in orders
    assert "0 findings" in serving.run("orderhook verify")


def stopping_for(machine):
    """Seconds since the watchdog ended it."""
    entered = int(machine.show("StateChangeTimestampMonotonic"))
    return float(open("/proc/uptime").read().split()[0]) - entered / 1e6
