"""The disk and the file under a running daemon, and what a start does with a damaged store."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import LONG, body_of, callback, captured, request, tool, wait_until

PATH = "/callback/shansong/test-token-0123456789"
WRITE_HEAVY = "x" * 20000


def is_root():
    return os.geteuid() == 0


class Acks:
    """What one daemon acknowledged, compared with the store at the end."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.acked = set()
        self.n = 0

    def post(self, ballast=""):
        """The status of a new event, None when the daemon closed."""
        self.n += 1
        key = f"E{self.n}"
        try:
            reply = self.daemon.post(callback(key, ballast=ballast))
        except OSError:
            reply = None
        if reply and reply.status == 200:
            self.acked.add(key)
        return reply and reply.status

    def check(self):
        rows = self.daemon.rows("SELECT iss_order_no, count(*) FROM order_log GROUP BY 1")
        assert self.acked <= {key for key, _ in rows}, "acknowledged and not stored"
        assert all(n == 1 for _, n in rows), "stored twice"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB that can be filled and remounted."""
    path = tmp_path / "disk"
    path.mkdir()
    if not is_root() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path],
                                       capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: mounting a small file system needs root")
    yield str(path)
    subprocess.run(["umount", "-l", path], check=True)


def on_disk(make_daemon, disk):
    daemon = make_daemon()
    daemon.store = os.path.join(disk, "orderhook.db")
    daemon.configure()
    return daemon.init().start()


def test_full_disk_is_503_and_passes_when_there_is_space(make_daemon, small_disk):
    daemon = on_disk(make_daemon, small_disk)
    acks = Acks(daemon)
    assert acks.post() == 200
    ballast = os.open(os.path.join(small_disk, "ballast"), os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError):
        while True:
            os.write(ballast, b"x" * 4096)
    os.close(ballast)
    refused = [acks.post(WRITE_HEAVY) for _ in range(20)]
    # What still fits into the page that was there is durable; the rest is refused, never closed.
    assert set(refused) <= {200, 503} and refused[-5:] == [503] * 5
    assert daemon.process.poll() is None
    os.unlink(os.path.join(small_disk, "ballast"))
    freed = time.monotonic()
    wait_until(lambda: acks.post() == 200)
    assert time.monotonic() - freed < 5
    assert daemon.stop() == 0
    acks.check()


def test_file_size_limit_is_503_and_no_death(make_daemon):
    daemon = make_daemon().init()
    daemon.start(wrap=("sh", "-c", 'ulimit -f 1000; exec "$@"', "sh"))
    acks = Acks(daemon)
    wait_until(lambda: acks.post(WRITE_HEAVY) == 503)
    assert [acks.post(WRITE_HEAVY) for _ in range(3)] == [503] * 3
    assert daemon.process.poll() is None
    daemon.stop()
    assert daemon.process.returncode in (0, 74)
    daemon.start()
    acks.check()
    assert acks.post(WRITE_HEAVY) == 200
    assert daemon.stop() == 0


@pytest.fixture
def ext4_disk(tmp_path):
    """An ext4 file system that turns read-only at an error, as the kernel does it; its directory,
    the file that makes an error, and a function that repairs and mounts it again."""
    image, path = str(tmp_path / "image"), str(tmp_path / "ext4")
    os.mkdir(path)
    if not is_root() or not shutil.which("mkfs.ext4"):
        pytest.skip("NOT TESTED: needs root and mkfs.ext4 (package e2fsprogs)")
    with open(image, "wb") as f:
        f.truncate(32 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    mount = ["mount", "-o", "loop,errors=remount-ro", image, path]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("NOT TESTED: no loop device can be had here: " + done.stderr.strip())
    device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", path], check=True,
                            capture_output=True, text=True).stdout.strip()

    def repair():
        subprocess.run(["umount", path], check=True)
        assert subprocess.run(["e2fsck", "-fy", image], capture_output=True).returncode in (0, 1)
        subprocess.run(mount, check=True)

    yield path, f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error", repair
    subprocess.run(["umount", "-l", path], check=True)


def test_file_system_that_turns_read_only_at_an_error_ends_the_acks(make_daemon, ext4_disk):
    path, trigger, repair = ext4_disk
    daemon = on_disk(make_daemon, path)
    acks = Acks(daemon)
    assert [acks.post() for _ in range(20)] == [200] * 20
    with open(trigger, "w") as f:
        f.write("orderhook test")
    assert acks.post() == 503
    assert daemon.wait_exit(5) == 74
    assert "nothing more is acknowledged" in daemon.log_text()
    daemon.stop()
    # While it is so only a person can help, and is told with which file.
    daemon.start(wait=False)
    assert daemon.wait_exit(5) == 78
    assert "Read-only file system" in daemon.log_text()
    assert "must be writable" in daemon.log_text()
    daemon.stop()
    repair()
    daemon.start()
    acks.check()
    assert acks.post() == 200
    assert daemon.stop() == 0


def test_start_in_a_directory_that_is_read_only_is_78(make_daemon, small_disk):
    """Only a person can mend it: a supervisor that starts the daemon again would do so for ever."""
    daemon = on_disk(make_daemon, small_disk)
    assert daemon.stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    daemon.start(wait=False)
    assert daemon.wait_exit() == 78
    assert "Read-only file system" in daemon.log_text()
    assert "must be writable" in daemon.log_text()


def overwrite(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def unlink_all(store):
    for suffix in ("", "-wal", "-shm"):
        os.unlink(store + suffix)


def replace(store):
    shutil.copy(store, store + ".copy")
    os.rename(store + ".copy", store)


def cut(store):
    os.truncate(store, 4096)


def cut_log(store):
    os.truncate(store + "-wal", 32)


def unlink_log(store):
    os.unlink(store + "-wal")


def assert_acks_end(daemon, acks):
    """From now on, under load: no ack after a second, and the daemon ends."""
    harmed = time.monotonic()
    late = 0.0
    while daemon.process.poll() is None and time.monotonic() - harmed < 5:
        if acks.post() == 200:
            late = time.monotonic() - harmed
    # The round is a second; the rest is the machine's.
    assert late < 1.5, f"acknowledged {late:.1f} s after the file was gone"
    assert daemon.wait_exit(5) == 74
    assert "nothing more is acknowledged" in daemon.log_text()


@pytest.mark.parametrize("harm", [unlink_all, os.unlink, replace, cut, cut_log, unlink_log],
                         ids=lambda harm: harm.__name__)
def test_store_harmed_under_the_daemon_ends_the_acks_within_a_second(make_daemon, harm):
    daemon = make_daemon().init().start()
    acks = Acks(daemon)
    for _ in range(5):
        assert acks.post() == 200
    harm(daemon.store)
    assert_acks_end(daemon, acks)


def of_size(make_daemon, name, kilobytes):
    """A stopped daemon with a store of about this size."""
    daemon = make_daemon(name).init().start()
    connection = daemon.connect()
    for n in range(kilobytes // 20):
        connection.send(request(PATH, body_of(callback(f"{name}{n}", ballast=WRITE_HEAVY))))
        assert connection.reply().status == 200
    connection.close()
    assert daemon.stop() == 0
    assert os.path.getsize(daemon.store) >= kilobytes * 1000
    return daemon


def overwritten_by_another_store(store, other):
    """Not shorter, and the same file: only what is in it tells."""
    with open(other, "rb") as f:
        data = f.read()
    data += b"\0" * max(0, os.path.getsize(store) - len(data))
    overwrite(store, 0, data)


def overwritten_by_junk(store, _):
    overwrite(store, 0, os.urandom(os.path.getsize(store) + 4096))


def overwritten_header(store, _):
    overwrite(store, 0, b"\0" * 4096)


@pytest.mark.parametrize("kilobytes", [200, 6000], ids=["small", "large"])
@pytest.mark.parametrize("harm", [overwritten_by_another_store, overwritten_by_junk,
                                  overwritten_header], ids=lambda harm: harm.__name__)
def test_database_overwritten_in_its_place_ends_the_acks_within_a_second(make_daemon, harm,
                                                                         kilobytes):
    daemon = of_size(make_daemon, "a", kilobytes).start()
    other = of_size(make_daemon, "b", kilobytes)
    acks = Acks(daemon)
    for _ in range(5):
        assert acks.post() == 200
    inode = os.stat(daemon.store).st_ino
    harm(daemon.store, other.store)
    assert os.stat(daemon.store).st_ino == inode
    assert_acks_end(daemon, acks)
    assert "was written over" in daemon.log_text()


def test_idle_daemon_notices_an_overwritten_database_within_a_second(make_daemon):
    daemon = of_size(make_daemon, "a", 200).start()
    overwritten_by_junk(daemon.store, None)
    assert daemon.wait_exit(2.5) == 74
    assert "was written over" in daemon.log_text()


def test_checkpoint_of_a_shell_and_a_new_time_of_the_file_stop_nothing(make_daemon):
    daemon = make_daemon().init().start()
    acks = Acks(daemon)
    for round_trip in range(3):
        assert acks.post() == 200
        before = os.stat(daemon.store).st_mtime_ns
        shell = sqlite3.connect(daemon.store)
        busy, frames, copied = shell.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        shell.close()
        assert (busy, copied) == (0, frames) and frames > 0
        assert os.stat(daemon.store).st_mtime_ns != before
        assert acks.post() == 200
        os.utime(daemon.store)
    # What the shell's own writing and its checkpoint leave is taken, too.
    shell = sqlite3.connect(daemon.store, isolation_level=None)
    shell.execute("UPDATE store SET logs_begun = logs_begun + 1000")
    shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shell.close()
    assert acks.post() == 200
    assert daemon.stop() == 0
    acks.check()


@pytest.mark.parametrize("harm", [os.unlink, replace], ids=["removed", "replaced"])
def test_head_file_harmed_under_the_daemon_is_there_again_within_seconds(make_daemon, harm):
    """No ack depends on it, and the writer knows what it said: it serves on, and says so."""
    daemon = make_daemon().init().start()
    acks = Acks(daemon)
    assert acks.post() == 200
    # Kept open, so that its number is not given to the new one.
    with open(daemon.store + ".head", "rb") as old:
        inode = os.fstat(old.fileno()).st_ino
        harm(daemon.store + ".head")
        wait_until(lambda: os.path.exists(daemon.store + ".head")
                   and os.stat(daemon.store + ".head").st_ino != inode
                   and "was made anew" in daemon.log_text())
    assert acks.post() == 200
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    # What was acknowledged before the harm is still vouched for: without its log it is missed.
    shutil.copy(daemon.store + "-wal", daemon.store + ".away")
    os.unlink(daemon.store + "-wal")
    daemon.start(wait=False)
    assert daemon.wait_exit(5) == 78
    assert "were acknowledged" in daemon.log_text()
    os.rename(daemon.store + ".away", daemon.store + "-wal")
    daemon.start()
    acks.check()
    assert daemon.stop() == 0


# ---------------------------------------------------------------------- at the start ---

def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def stored(make_daemon, clean=True):
    """A store with some events; with clean=False they are only in the log."""
    daemon = make_daemon().init().start()
    for i in range(20):
        assert daemon.post(callback(f"S{i}", ballast="y" * 3000)).status == 200
    daemon.stop(signal.SIGTERM if clean else signal.SIGKILL)
    return daemon


def evidence(daemon):
    """What lies there of the store, each file with what is in it. The lock file is no evidence, and
    neither is shared memory beside a log, which is made anew from the log."""
    name = os.path.basename(daemon.store)
    found = {file[len(name):]: digest_of(os.path.join(daemon.dir, file))
             for file in os.listdir(daemon.dir) if file.startswith(name)}
    found.pop(".lock", None)
    if os.path.exists(daemon.store + "-wal") and os.path.getsize(daemon.store + "-wal"):
        found.pop("-shm", None)
    return found


def refused_as_it_was(daemon, code, words):
    """The start is refused with these words; every byte of the evidence stays, none is added."""
    before = evidence(daemon)
    daemon.start(wait=False)
    assert daemon.wait_exit(5) == code, daemon.log_text()
    assert words in daemon.log_text()
    assert evidence(daemon) == before


def test_start_on_an_empty_or_foreign_file_is_refused(make_daemon):
    daemon = make_daemon()
    open(daemon.store, "w").close()
    refused_as_it_was(daemon, 78, "is empty")
    os.unlink(daemon.store)
    db = sqlite3.connect(daemon.store)
    db.execute("CREATE TABLE notes (x)")
    db.commit()
    db.close()
    refused_as_it_was(daemon, 78, "not an orderhook store")


def test_start_beside_the_journal_of_an_interrupted_init_is_refused(make_daemon):
    daemon = make_daemon().init()
    with open(daemon.store + "-journal", "w") as f:
        f.write("journal")
    refused_as_it_was(daemon, 78, "`orderhook init` was interrupted")


def test_start_on_a_damaged_header_is_refused(make_daemon):
    daemon = stored(make_daemon)
    overwrite(daemon.store, 0, b"\0" * 64)
    refused_as_it_was(daemon, 78, "not an orderhook store")


def test_start_on_a_damaged_schema_page_is_refused(make_daemon):
    daemon = stored(make_daemon)
    overwrite(daemon.store, 100, os.urandom(3900))
    refused_as_it_was(daemon, 78, "is damaged")


def test_start_on_a_cut_store_is_refused(make_daemon):
    daemon = stored(make_daemon)
    os.truncate(daemon.store, os.path.getsize(daemon.store) // 2)
    refused_as_it_was(daemon, 78, "damaged")


def test_start_without_the_log_is_refused(make_daemon):
    daemon = stored(make_daemon, clean=False)
    os.unlink(daemon.store + "-wal")
    refused_as_it_was(daemon, 78, "were acknowledged")


def test_start_with_a_cut_log_is_refused(make_daemon):
    daemon = stored(make_daemon, clean=False)
    os.truncate(daemon.store + "-wal", os.path.getsize(daemon.store + "-wal") // 2)
    refused_as_it_was(daemon, 78, "were acknowledged")


@pytest.mark.parametrize("clean", [True, False], ids=["clean", "killed"])
def test_start_on_a_newer_store_is_refused(make_daemon, clean):
    daemon = stored(make_daemon, clean)
    db = sqlite3.connect(daemon.store)
    db.execute("PRAGMA user_version = 999")
    db.commit()
    db.close()
    refused_as_it_was(daemon, 78, "was written by a newer orderhook")


@pytest.mark.parametrize("clean", [True, False], ids=["clean", "killed"])
def test_start_on_a_store_of_another_environment_is_refused(make_daemon, clean):
    daemon = stored(make_daemon, clean)
    daemon.configure(store={"environment": "production"})
    refused_as_it_was(daemon, 78, "belongs to the environment test")


def test_start_without_a_store_is_refused_and_makes_none(make_daemon):
    daemon = make_daemon()
    refused_as_it_was(daemon, 78, "make it with `orderhook init`")
    assert os.path.basename(daemon.store) + ".lock" not in os.listdir(daemon.dir)


def test_start_with_the_log_of_another_store_is_refused(make_daemon, tmp_path):
    daemon = stored(make_daemon, clean=False)
    other = make_daemon("other").init().start()
    assert other.post(captured()[0]).status == 200
    other.stop(signal.SIGKILL)
    shutil.copy(other.store + "-wal", daemon.store + "-wal")
    refused_as_it_was(daemon, 78, "is the log of another store")


def test_start_without_the_database_but_with_its_log_is_refused(make_daemon):
    daemon = stored(make_daemon, clean=False)
    os.unlink(daemon.store)
    refused_as_it_was(daemon, 78, "put the database back")


# ---------------------------------------------------------------------- other programs -

def test_shell_that_holds_the_write_lock_is_503_until_it_lets_go(make_daemon):
    daemon = make_daemon().init().start()
    acks = Acks(daemon)
    shell = sqlite3.connect(daemon.store, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    assert [acks.post(), acks.post()] == [503, 503]
    shell.execute("ROLLBACK")
    shell.close()
    released = time.monotonic()
    wait_until(lambda: acks.post() == 200)
    assert time.monotonic() - released < 5
    assert daemon.stop() == 0
    acks.check()


ALARM = re.compile(r".*write-ahead log.*")


@pytest.fixture
def hold_snapshot():
    """Starts shells that read an old state of a daemon's store; all are ended."""
    shells = []

    def hold(daemon):
        shells.append(subprocess.Popen(["sqlite3", f"file:{daemon.store}?mode=ro"], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        shells[-1].stdin.write("BEGIN;\nSELECT count(*) FROM order_log;\n")
        shells[-1].stdin.flush()
        assert shells[-1].stdout.readline() == "0\n"
        return shells[-1]

    yield hold
    for shell in shells:
        shell.stdin.close()
        shell.wait()
        shell.stdout.close()


def lengthen_log(daemon, connection, to_bytes):
    body = body_of(callback("R", ballast="x" * 60000))
    while os.path.getsize(daemon.store + "-wal") <= to_bytes:
        acked = body.replace(b'"R"', b'"R%d"' % os.path.getsize(daemon.store + "-wal"))
        connection.send(request(PATH, acked))
        assert connection.reply().status == 200


def who_keeps_the_log(daemon, *options):
    done = tool("attention", "--format", "jsonl", *options, conf=daemon.conf)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return next(row["detail"] for row in rows if row["subject"] == daemon.store + "-wal")


def test_reader_that_keeps_the_log_is_named(make_daemon, hold_snapshot):
    """A snapshot that is held open keeps the log growing; past a bound the log line says whose."""
    daemon = make_daemon().init().start()
    reader = hold_snapshot(daemon)
    connection = daemon.connect()
    body = body_of(callback("R", ballast="x" * 60000))
    lengthen_log(daemon, connection, 64 * 1024 * 1024)
    line = wait_until(lambda: ALARM.search(daemon.log_text()))
    assert f"process {reader.pid} (sqlite3)" in line.group(0)
    assert f"process {reader.pid} (sqlite3) keeps it" in who_keeps_the_log(daemon)
    if LONG:
        wait_until(lambda: len(ALARM.findall(daemon.log_text())) == 2, 90)
    text = daemon.get_admin("/metrics").body.decode()
    assert float(re.search(r"^orderhook_wal_bytes (\S+)", text, re.M).group(1)) > 64 * 1024 * 1024
    reader.stdin.close()
    reader.wait()
    assert "nobody is seen to read it now" in who_keeps_the_log(daemon)
    # It ends: the log is used again from its beginning instead of growing.
    for n in range(3):
        connection.send(request(PATH, body.replace(b'"R"', b'"T%d"' % n)))
        assert connection.reply().status == 200
    size = os.path.getsize(daemon.store + "-wal")
    for n in range(100):
        connection.send(request(PATH, body.replace(b'"R"', b'"U%d"' % n)))
        assert connection.reply().status == 200
    assert os.path.getsize(daemon.store + "-wal") == size
    connection.close()
    assert daemon.stop() == 0


def test_reader_is_named_by_attention_where_the_daemon_may_not_see_it(make_daemon, hold_snapshot):
    """In a container whose /proc has processes only, the log line says what does name it."""
    private_proc = ("unshare", "-m", "sh", "-c",
                    'mount -t proc -o subset=pid,hidepid=invisible proc /proc && exec "$@"', "sh")
    if subprocess.run([*private_proc, "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: mounting a /proc of one's own needs root")
    daemon = make_daemon().init().start(wrap=private_proc)
    reader = hold_snapshot(daemon)
    connection = daemon.connect()
    lengthen_log(daemon, connection, 64 * 1024 * 1024)
    connection.close()
    line = wait_until(lambda: ALARM.search(daemon.log_text()))
    assert "process" not in line.group(0) and "`orderhook attention` names them" in line.group(0)
    assert f"process {reader.pid} (sqlite3) keeps it" in who_keeps_the_log(daemon)
    assert re.findall(r"process (\d+)", who_keeps_the_log(daemon)) == [str(reader.pid)]
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["overwritten", "cut"])
def test_stop_copies_no_log_into_a_database_that_was_harmed(make_daemon, how):
    daemon = make_daemon().init().start()
    for n in range(40):
        assert daemon.post(callback(f"STOP{n}")).status == 200
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.post(callback("STOP-last")).status == 200
    if how == "cut":
        os.truncate(daemon.store, os.path.getsize(daemon.store) // 2 // 4096 * 4096)
    else:
        with open(daemon.store, "r+b") as f:
            f.write(os.urandom(os.path.getsize(daemon.store)))
    daemon.process.send_signal(signal.SIGTERM)
    paths = [daemon.store, daemon.store + "-wal"]
    left = [open(path, "rb").read() for path in paths]
    assert daemon.wait_exit() == 74 and len(left[1]) > 4096
    assert [open(path, "rb").read() for path in paths] == left
    assert "its log is left as it is" in daemon.log_text() or \
        "nothing more is acknowledged" in daemon.log_text()


# ---------------------------------------------------------------------- junk and events -

def statuses_on_a_full_disk(make_daemon, disk, name, left_bytes, junk):
    """Of ten events on a disk with room for a few of them; with junk before each."""
    disk = os.path.join(disk, name)
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        daemon = make_daemon(name)
        daemon.store = os.path.join(disk, "orderhook.db")
        daemon.configure()
        daemon.init().start()
        acks = Acks(daemon)
        assert [acks.post() for _ in range(10)] == [200] * 10
        free = os.statvfs(disk)
        with open(os.path.join(disk, "ballast"), "wb") as ballast:
            ballast.write(b"x" * (free.f_bavail * free.f_frsize - left_bytes))
        statuses = []
        for i in range(10):
            if junk:
                assert daemon.post(b"{%d" % i + b"x" * 30000).status == 400
            statuses.append(acks.post())
        acks.check()
        dropped = re.search(r"^orderhook_held_dropped_total (\S+)",
                            daemon.get_admin("/metrics").body.decode(), re.M).group(1)
        assert daemon.stop() == 0
        return statuses, int(float(dropped))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("left_bytes", [64 * 1024, 160 * 1024])
def test_refused_deliveries_cost_no_event_on_a_disk_that_is_nearly_full(make_daemon, small_disk,
                                                                        left_bytes):
    alone, none = statuses_on_a_full_disk(make_daemon, small_disk, "alone", left_bytes, False)
    beside, dropped = statuses_on_a_full_disk(make_daemon, small_disk, "beside", left_bytes, True)
    assert alone[0] == 200 and alone[-1] == 503 and none == 0
    assert beside == alone
    assert dropped == 10
