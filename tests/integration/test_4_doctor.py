"""orderhook doctor: what is wrong with an installation, each with its remedy."""

import os
import subprocess

import pytest

from conftest import BUILD, SECRET, TOKEN, tool
from tool_help import lines_of


def found(**where):
    """The findings but those of this machine's clock and disk."""
    done = tool("doctor", "--format", "jsonl", **where)
    rows = lines_of(done)
    assert done.returncode == (1 if rows else 0)
    assert SECRET not in done.stdout and TOKEN not in done.stdout
    return [r for r in rows if r["kind"] != "disk" and r["subject"] != "system"]


@pytest.fixture
def sound(make_daemon, tmp_path):
    one = make_daemon(server={"listen": f"unix:{tmp_path}/s", "admin_listen": f"unix:{tmp_path}/a"})
    one.init().start()
    yield one
    assert one.stop() == 0


def test_a_sound_installation_has_no_findings(sound):
    assert found(conf=sound.conf) == []


def test_a_secret_that_others_can_read_is_named_with_its_remedy(sound):
    os.chmod(sound.dir + "/secret", 0o644)
    (row,) = found(conf=sound.conf)
    assert (row["kind"], row["subject"]) == ("secret", "shansong")
    assert row["next"] == f"chmod 600 {sound.dir}/secret"


def test_a_stopped_daemon_is_told_for_both_sockets(sound):
    assert sound.stop() == 0
    assert [r["kind"] for r in found(conf=sound.conf)] == ["socket", "daemon"]
    sound.start()


def test_a_wrong_configuration_is_a_finding_with_its_line(sound):
    with open(sound.conf, "a") as f:
        f.write("nonsense = 1\n")
    (row,) = found(conf=sound.conf)
    assert row["kind"] == "config" and "orderhook.conf:" in row["detail"]
    assert row["next"].endswith("--check-config")


def test_a_store_of_another_environment_and_an_open_mode_are_told(sound):
    sound.configure(server={"listen": sound.address and f"unix:{sound.address}",
                            "admin_listen": f"unix:{sound.admin}"},
                    store={"environment": "other"})
    os.chmod(sound.store, 0o644)
    rows = found(conf=sound.conf)
    assert [r["kind"] for r in rows] == ["store", "store"]
    assert "others can read it" in rows[0]["detail"]
    assert "of the environment 'test' and the configuration says 'other'" in rows[1]["detail"]


def test_a_missing_store_is_a_finding_and_init_its_remedy(make_daemon):
    one = make_daemon()
    rows = found(conf=one.conf)
    assert [(r["kind"], r["next"]) for r in rows] == [("store", "orderhook init")]


@pytest.mark.parametrize("proxies", ["0.0.0.0/0", "::/0", "0.0.0.0/1"])
def test_proxies_that_trust_nearly_anybody_are_told(make_daemon, proxies):
    one = make_daemon(server={"trusted_proxies": proxies}).init()
    rows = found(conf=one.conf)
    assert [(r["kind"], r["subject"]) for r in rows] == [("proxy", proxies)]


def test_a_proxy_on_this_host_that_is_not_trusted_is_told(make_daemon):
    one = make_daemon(server={"trusted_proxies": "192.0.2.1"}).init()
    (row,) = found(conf=one.conf)
    assert (row["kind"], row["subject"]) == ("proxy", "127.0.0.1:0")
    assert row["next"] == f"edit trusted_proxies in {one.conf}"


def test_who_may_write_to_a_socket_is_looked_at(sound):
    os.chmod(sound.admin, 0o666)
    (row,) = found(conf=sound.conf)
    assert (row["kind"], row["subject"]) == ("socket", sound.admin)
    assert "every user of this host can ask the daemon" in row["detail"]
    assert row["next"] == f"chmod o-rw {sound.admin}"
    os.chmod(sound.admin, 0o660)


def test_a_directory_that_others_can_write_and_a_readable_log_are_told(sound):
    os.chmod(sound.dir, 0o777)
    os.chmod(sound.store + "-wal", 0o644)
    rows = found(conf=sound.conf)
    assert [(r["kind"], r["subject"], r["next"]) for r in rows] == [
        ("store", sound.dir, f"chmod o-w {sound.dir}"),
        ("store", sound.store + "-wal", f"chmod o-rwx {sound.store}-wal")]
    os.chmod(sound.dir, 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away; run it as root")
def test_a_file_of_another_owner_beside_the_store_is_told(sound):
    os.chown(sound.store + ".head", 65534, 65534)
    (row,) = found(conf=sound.conf)
    assert (row["kind"], row["subject"]) == ("store", sound.store + ".head")
    assert row["next"] == f"chown --reference={sound.dir} {sound.store}.head"
    os.chown(sound.store + ".head", 0, 0)


def test_a_retention_that_nobody_carries_out_is_told(sound):
    subprocess.run([os.path.join(BUILD, "tests/fill_driver"), make_old(sound), "test", "3",
                    str(5 * 86400)], check=True)
    sound.configure(server={"listen": f"unix:{sound.address}", "admin_listen":
                            f"unix:{sound.admin}"}, store={"retention": "4d"})
    sound.start()
    assert found(conf=sound.conf) == []
    sound.configure(server={"listen": f"unix:{sound.address}", "admin_listen":
                            f"unix:{sound.admin}"}, store={"retention": "2d"})
    (row,) = found(conf=sound.conf)
    assert (row["kind"], row["next"]) == (
        "retention", "systemctl enable --now orderhook-prune.timer")
    # The newest event stays, and its order with it.
    assert row["detail"].startswith("2 orders are older than the retention of")


def make_old(daemon):
    assert daemon.stop() == 0
    return daemon.store
