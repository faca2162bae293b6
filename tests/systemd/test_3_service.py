"""The installed service: what it refuses to start with, its journal, reload, a second one beside
it, the timers, the limits, and removal. The tests build on one another, in this order."""

import re
import threading

import pytest

from container import CREDENTIALS, SECRET, TOKEN, Load, callback, not_in_the_sample, wait_until

START_FAILED = "a863fe4f76f743bb9e31bdd270ad77f6"
CONF = "/etc/orderhook/orderhook.conf"


def refused(machine, words, code="78"):
    """The service ended once, said why in STATUS and in one line, and stays down."""
    machine.run("systemctl stop 'orderhookd*.socket' orderhookd; "
                "systemctl reset-failed 'orderhookd*'", check=False)
    machine.run("systemctl start orderhookd", check=False)
    wait_until(lambda: machine.show("ActiveState") == "failed")
    assert machine.show("ExecMainStatus") == code
    assert machine.show("NRestarts") == "0"
    assert words in machine.show("StatusText")
    # By the process: the journal does not find the unit of one that has ended before it looks.
    lines = machine.run(f"journalctl --sync; journalctl -o cat MESSAGE_ID={START_FAILED} _PID="
                        + machine.show("ExecMainPID")).strip().split("\n")
    assert len(lines) == 1 and words in lines[0], lines


def test_01_configuration_as_it_is_delivered_is_78(installed):
    refused(installed, "YOUR-CLIENT-ID")


def test_02_missing_store_is_78_with_its_remedy(installed):
    installed.set_up(store=False)
    refused(installed, "orderhook init")
    installed.run("runuser -u orderhook -- orderhook init")


@pytest.mark.parametrize("name", ["shansong-token", "shansong-secret"])
def test_03_missing_credential_is_78_with_its_name(installed, name):
    installed.run(f"mv {CREDENTIALS}/{name} /var/tmp")
    refused(installed, f"LoadCredential={name}:")
    installed.run(f"mv /var/tmp/{name} {CREDENTIALS}")


def test_04_wrong_configuration_is_78_with_its_line(installed):
    installed.run(f"cp {CONF} /var/tmp/good && echo '[nonsense]' >> {CONF}")
    refused(installed, "nonsense")
    installed.run(f"cp /var/tmp/good {CONF}")


@not_in_the_sample
@pytest.mark.parametrize("make, words", [
    ("echo something > $S", "is not an orderhook store"),
    ("rm -f $S* && orderhook --db $S init --environment test", "belongs to the environment test"),
])
def test_05_foreign_store_is_78(installed, make, words):
    store = "/var/lib/orderhook/orderhook.db"
    installed.run(f"mkdir /var/tmp/kept && mv {store}* /var/tmp/kept; S={store}; {make}; "
                  "chown -R orderhook:orderhook /var/lib/orderhook")
    refused(installed, words)
    installed.run(f"rm -f {store}*; mv /var/tmp/kept/* /var/lib/orderhook && rmdir /var/tmp/kept")


@not_in_the_sample
def test_06_socket_of_another_name_is_78(installed):
    folder = "/run/systemd/system/orderhookd-admin.socket.d"
    installed.write(folder + "/test.conf", "[Socket]\nFileDescriptorName=other\n", 0o644)
    installed.run("systemctl daemon-reload")
    refused(installed, 'named "other"')
    installed.run(f"rm -r {folder} && systemctl daemon-reload")


@not_in_the_sample
def test_07_read_only_state_directory_is_78(installed):
    state = "/var/lib/orderhook"
    installed.run(f"mount --bind {state} {state} && mount -o remount,bind,ro {state}")
    try:
        refused(installed, "Read-only file system")
    finally:
        installed.run(f"umount {state}")


def test_08_first_caller_starts_the_service_and_is_served(installed):
    installed.run("systemctl reset-failed 'orderhookd*'; "
                  "systemctl start orderhookd.socket orderhookd-admin.socket")
    assert installed.show("ActiveState") != "active"
    assert installed.post(callback("first")) == 200
    assert installed.show("ActiveState") == "active"
    assert installed.run("stat -c '%U %G %a' /run/orderhook/http.sock").split() == \
        ["orderhook", "orderhook-proxy", "660"]


def test_09_service_really_runs_confined(installed):
    """What the kernel says of the process, not what the unit says of itself."""
    pid = installed.show("MainPID")
    status = installed.run(f"cat /proc/{pid}/status")
    for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000",
                 "CapBnd:\t0000000000000000"):
        assert line in status
    # SIGXFSZ is ignored: bit 25, the lowest being signal 1.
    assert int(re.search(r"SigIgn:\t(\w+)", status).group(1), 16) >> 24 & 1
    assert re.search(r"Max core file size +0 +0", installed.run(f"cat /proc/{pid}/limits"))
    # No network but a loopback of its own, and nothing of it is up.
    devices = installed.run(f"nsenter -t {pid} -n ip -brief link 2>/dev/null || "
                            f"cat /proc/{pid}/net/dev")
    assert "lo" in devices and "eth" not in devices and "host0" not in devices
    assert installed.run(f"nsenter -t {pid} -m touch /usr/x /etc/x 2>&1", check=False).count(
        "Read-only") == 2
    # The list of locks, with which the daemon names who keeps its log growing.
    installed.run(f"nsenter -t {pid} -m test -r /proc/locks")
    level = installed.run("systemd-analyze security --no-pager orderhookd.service | tail -1")
    assert float(re.search(r"service: ([\d.]+)", level).group(1)) <= 1.0


def test_10_journal_finds_a_callback_by_its_order(installed):
    wait_until(lambda: "order first" in installed.run("journalctl -o cat ORDER_NO=m-first"))
    text = installed.run("journalctl -o export ORDER_NO=m-first")
    for field in ("ISS_ORDER_NO=first", "VERDICT=applied", "ENDPOINT=shansong", "PRIORITY=6",
                  "SYSLOG_IDENTIFIER=orderhookd", "_SYSTEMD_UNIT=orderhookd.service"):
        assert field in text
    assert re.search("^EVENT_ID=[0-9]+$", text, re.M) and re.search("^REQUEST_ID=", text, re.M)
    assert "A callback was stored" in installed.run("journalctl -x ORDER_NO=m-first")


def test_11_reload_of_a_wrong_file_is_told_and_keeps_the_old_one(installed):
    installed.run(f"cp {CONF} /var/tmp/good && echo '[nonsense]' >> {CONF} && "
                  "systemctl reload orderhookd")
    wait_until(lambda: "reload refused" in installed.show("StatusText"))
    assert "nonsense" in installed.show("StatusText")
    assert installed.post(callback("reload-1")) == 200
    installed.run(f"cp /var/tmp/good {CONF} && systemctl reload orderhookd")
    wait_until(lambda: installed.show("StatusText").startswith("serving"))
    assert installed.post(callback("reload-2")) == 200


def test_12_second_one_runs_beside_it_from_the_template(installed):
    installed.write(f"{CREDENTIALS}/test/shansong-token", TOKEN)
    installed.write(f"{CREDENTIALS}/test/shansong-secret", SECRET)
    # As docs/service.md tells.
    installed.run(
        f"sed 's|^#path = .*|path = /var/lib/orderhook-test/orderhook.db|; "
        f"s|^#environment = .*|environment = test|' {CONF} > /etc/orderhook/test.conf && "
        "install -d -m 750 -o orderhook -g orderhook /var/lib/orderhook-test && "
        "runuser -u orderhook -- orderhook -c /etc/orderhook/test.conf init && "
        "systemctl enable --now orderhookd@test orderhookd@test.socket "
        "orderhookd-admin@test.socket")
    assert installed.post(callback("of-test"), "/run/orderhook-test/http.sock") == 200
    assert installed.post(callback("of-production")) == 200
    orders = installed.run("orderhook -c /etc/orderhook/test.conf orders --format csv")
    assert ",of-test," in orders and ",of-production," not in orders
    assert ",of-test," not in installed.run("orderhook orders --format csv")
    assert installed.show("ActiveState", "orderhookd@test") == "active"


@not_in_the_sample
def test_12_upgrade_starts_an_instance_anew_and_no_stopped_daemon(installed, package):
    installed.run("systemctl stop orderhookd")
    pid = installed.show("MainPID", "orderhookd@test")
    installed.install(package["deb"])
    assert installed.show("MainPID", "orderhookd@test") not in (pid, "0")
    assert installed.show("ActiveState") == "inactive"
    assert installed.post(callback("after-upgrade")) == 200


@not_in_the_sample
def test_13_timers_copy_prune_and_tell_what_needs_a_person(installed):
    installed.run("systemctl enable --now orderhook-backup.timer orderhook-attention.timer "
                  "orderhook-prune.timer && touch -d '20 days ago' "
                  "/var/backups/orderhook/orderhook-old.db /var/backups/orderhook/other")
    assert installed.run("systemctl list-timers --no-legend 'orderhook-*' | wc -l").strip() == "3"
    installed.run("systemctl start orderhook-backup orderhook-prune orderhook-attention")
    copy, other = installed.run("ls /var/backups/orderhook").split()
    assert re.fullmatch(r"orderhook-\d{8}T\d{6}Z\.db", copy) and other == "other"
    assert installed.run(f"stat -c '%U %a' /var/backups/orderhook/{copy}") == "orderhook 640\n"
    assert installed.run(f"orderhook --db /var/backups/orderhook/{copy} verify")
    # An order of last year is overdue: a warning in the journal, and no failed unit.
    assert installed.show("Result", "orderhook-attention") == "success"
    assert installed.show("ExecMainStatus", "orderhook-attention") == "1"
    wait_until(lambda: "overdue" in installed.run(
        "journalctl -o cat -p warning -t orderhook -u orderhook-attention"))


@not_in_the_sample
def test_14_timers_run_confined(installed):
    for job in ("backup", "prune", "attention"):
        level = installed.run("systemd-analyze security --no-pager "
                              f"orderhook-{job}.service | tail -1")
        assert float(re.search(r"service: ([\d.]+)", level).group(1)) <= 1.0


@not_in_the_sample
@pytest.mark.parametrize("limit", ["LimitNOFILE=24", "LimitAS=72M"])
def test_15_limit_of_descriptors_or_memory_delays_and_loses_nothing(installed, limit):
    installed.drop_in(limit)
    installed.run("systemctl restart orderhookd")
    with Load(installed, limit.replace("=", "-"), callers=40) as load:
        load.wait_for(200)
    installed.drop_in()


@not_in_the_sample
def test_16_limit_of_tasks_is_no_end_and_callers_are_served_later(installed):
    # As the kernel answers above TasksMax=, which needs a cgroup that not every container has.
    installed.drop_in("SystemCallFilter=~clone clone3", "SystemCallErrorNumber=EAGAIN")
    installed.run("systemctl restart orderhookd", check=False)
    wait_until(lambda: int(installed.show("NRestarts")) > 0)
    wait_until(lambda: installed.show("ExecMainStatus") == "74")
    assert "no memory, thread or descriptor" in installed.run("journalctl -o cat -u orderhookd")
    statuses = []
    waiting = threading.Thread(target=lambda: statuses.append(installed.post(callback("waits"))))
    waiting.start()
    installed.drop_in()
    waiting.join()
    assert statuses == [200]


@not_in_the_sample
def test_17_limit_of_the_file_size_refuses_and_loses_nothing(installed):
    installed.drop_in("LimitFSIZE=300K")
    installed.run("systemctl restart orderhookd")
    statuses = {f"size-{n}": installed.post(callback(f"size-{n}")) for n in range(60)}
    assert set(statuses.values()) == {200, 503}
    installed.drop_in()
    installed.run("systemctl restart orderhookd")
    orders = installed.run("orderhook orders --format csv")
    assert all(f",{name}," in orders for name, status in statuses.items() if status == 200)
    for name, status in statuses.items():
        assert status == 200 or installed.post(callback(name)) == 200
    assert installed.run("orderhook verify")


@not_in_the_sample
def test_18_purge_takes_all_but_the_records(installed, package):
    said = installed.run("dpkg --purge orderhook")
    assert "/var/lib/orderhook has data and is kept" in said
    assert installed.run("systemctl list-units --no-legend --state=active 'orderhook*'") == ""
    assert installed.run(f"ls -d {CREDENTIALS} {CONF} /usr/sbin/orderhookd 2>/dev/null",
                         check=False) == ""
    assert "orderhook.db" in installed.run("ls /var/lib/orderhook /var/lib/orderhook-test")
    assert installed.run("getent passwd orderhook")
    # What was kept is there again for the next installation.
    installed.install(package["deb"])
    installed.set_up(store=False)
    installed.run("systemctl enable --now orderhookd")
    assert ",first," in installed.run("orderhook orders --format csv")
