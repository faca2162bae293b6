"""/readyz with each of its reasons, and /metrics as Prometheus reads it."""

import json
import os
import re
import resource
import shutil
import socket
import sqlite3
import subprocess

import pytest

from conftest import BUILD, ROOT, TOKEN, callback, captured, request, wait_until

PATH = "/callback/shansong/" + TOKEN


def reasons(daemon):
    reply = daemon.get_admin("/readyz")
    page = json.loads(reply.body)
    assert (reply.status == 200) == page["ready"] == (page["reasons"] == [])
    assert reply.status in (200, 503)
    return page["reasons"]


def test_a_held_lock_and_a_full_queue_are_reasons_and_pass_by_themselves(make_daemon):
    daemon = make_daemon(server={"queue_limit": "1"}).init().start()
    assert reasons(daemon) == []
    shell = sqlite3.connect(daemon.store, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    first = daemon.connect()
    first.send(request(PATH, captured()[0]))
    wait_until(lambda: reasons(daemon) == ["queue-full"])
    assert daemon.post(callback("second")).status == 503
    assert first.reply().status == 503
    wait_until(lambda: reasons(daemon) == ["store-busy"])
    shell.execute("ROLLBACK")
    shell.close()
    wait_until(lambda: reasons(daemon) == [])
    first.close()
    assert daemon.stop() == 0


def test_a_full_disk_is_a_reason_until_there_is_space_without_any_callback(make_daemon):
    if not os.path.isdir("/dev/shm") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    daemon = make_daemon()
    disk = os.path.join(daemon.dir, "disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        daemon.store = os.path.join(disk, "orderhook.db")
        daemon.configure()
        daemon.init().start()
        ballast = os.open(os.path.join(disk, "ballast"), os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while True:
                os.write(ballast, b"x" * 4096)
        os.close(ballast)
        wait_until(lambda: daemon.post(callback("full", statusDesc="x" * 9000)).status == 503)
        wait_until(lambda: reasons(daemon) == ["store-full"])
        os.unlink(os.path.join(disk, "ballast"))
        wait_until(lambda: reasons(daemon) == [])
        assert daemon.stop() == 0
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
        subprocess.run(["umount", disk], check=True)


def test_a_store_that_was_taken_away_is_a_reason_while_the_daemon_ends(make_daemon):
    daemon = make_daemon().init().start()
    slow = daemon.connect()
    slow.send(request(PATH, captured()[0])[:-5])  # the end waits for it, and the page can be seen
    wait_until(lambda: daemon.get_admin("/healthz").status == 200)
    os.unlink(daemon.store)
    wait_until(lambda: "store-moved" in reasons(daemon))
    slow.close()
    assert daemon.wait_exit() == 74


def test_a_clock_that_was_set_back_is_a_reason_until_it_is_right_again(make_daemon):
    preload = os.path.join(BUILD, "tests/fake_clock.so")
    if os.environ.get("SANITIZE"):
        pytest.skip("a sanitizer wants to be the first library")
    daemon = make_daemon()
    clock = daemon.write_file("clock", "0")
    daemon.init().start(env={"LD_PRELOAD": preload, "FAKE_CLOCK_FILE": clock})
    assert reasons(daemon) == []
    daemon.write_file("clock", "-540")
    assert daemon.post(callback("nine-minutes")).status == 200
    assert reasons(daemon) == []
    daemon.write_file("clock", "-1200")
    wait_until(lambda: reasons(daemon) == ["clock-wrong"])
    assert daemon.post(callback("unsigned-ones-are-taken")).status == 200
    daemon.write_file("clock", "0")
    wait_until(lambda: reasons(daemon) == [])
    daemon.write_file("clock", "-2000000000")
    wait_until(lambda: reasons(daemon) == ["clock-wrong"])
    assert daemon.stop() == 0
