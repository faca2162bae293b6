"""orderhookd as a service: start, readiness, sockets, signals, exit codes, the admin listener."""

import fcntl
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess

import pytest

from conftest import (BUILD, TOKEN, Connection, assert_no_leak, body_of, callback, captured,
                      request, tool, wait_until)

PATH = "/callback/shansong/" + TOKEN


def orderhookd(*arguments, **more):
    done = subprocess.run([os.path.join(BUILD, "orderhookd"), *arguments], capture_output=True,
                          text=True, timeout=20, **more)
    assert_no_leak((done.stdout + done.stderr).encode(), f"orderhookd {arguments}")
    return done


def fails(daemon, code):
    """Starts it, waits for its end, and returns what it said."""
    daemon.start(wait=False)
    assert daemon.wait_exit() == code, daemon.log_text()
    return daemon.log_text()


def test_help_and_version_and_usage():
    assert orderhookd("--help").returncode == 0
    assert "Usage: orderhookd" in orderhookd("--help").stdout
    assert re.match(r"orderhookd \d+\.\d+\.\d+\n$", orderhookd("--version").stdout)
    for wrong in (["--nonsense"], ["extra"], ["-c"]):
        done = orderhookd(*wrong)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--help" in done.stderr


def test_ready_comes_after_a_real_commit(make_daemon):
    daemon = make_daemon().init()
    before = daemon.rows("PRAGMA data_version"), os.path.getsize(daemon.store)
    daemon.start()
    assert os.path.getsize(daemon.store + "-wal") > 0 or os.path.getsize(daemon.store) != before[1]
    assert daemon.post(captured()[0]).status == 200


def test_missing_store_is_78_with_the_remedy(make_daemon):
    text = fails(make_daemon(), 78)
    assert "orderhook init" in text
    assert not os.path.exists(make_daemon().store)


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be looked at" * 50])
def test_file_that_is_no_store_is_78_and_left_as_it_was(make_daemon, content):
    daemon = make_daemon()
    with open(daemon.store, "wb") as f:
        f.write(content)
    fails(daemon, 78)
    assert open(daemon.store, "rb").read() == content


def test_store_of_another_program_is_78(make_daemon):
    daemon = make_daemon()
    db = sqlite3.connect(daemon.store)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()
    assert "not an orderhook store" in fails(daemon, 78)


def test_newer_store_is_78(make_daemon):
    daemon = make_daemon().init()
    db = sqlite3.connect(daemon.store)
    db.execute("PRAGMA user_version = 9999")
    db.close()
    assert "newer" in fails(daemon, 78)


def test_store_of_another_environment_is_78(make_daemon):
    daemon = make_daemon().init()
    daemon.configure(store={"environment": "production"})
    text = fails(daemon, 78)
    assert "production" in text and "test" in text


def test_second_daemon_on_the_same_store_is_78_and_names_the_first(daemon, make_daemon):
    second = make_daemon("second")
    second.configure(store={"path": daemon.store})
    assert str(daemon.process.pid) in fails(second, 78)
    assert daemon.post(captured()[0]).status == 200


def test_port_taken_is_told_with_the_address(make_daemon):
    daemon = make_daemon().init()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        daemon.configure(server={"listen": address})
        text = fails(daemon, 78)
    assert address in text and "another process" in text


def test_wrong_configuration_is_78_with_file_and_line(make_daemon):
    daemon = make_daemon()
    daemon.configure(server={"treads": "2"})
    assert f"{daemon.conf}:" in fails(daemon, 78)
    done = orderhookd("-c", daemon.conf, "--check-config")
    assert done.returncode == 78 and "treads" in done.stderr


def test_check_and_dump_config(make_daemon):
    daemon = make_daemon()
    assert orderhookd("-c", daemon.conf, "--check-config").returncode == 0
    dump = orderhookd("-c", daemon.conf, "--dump-config")
    assert dump.returncode == 0
    assert "queue_limit" in dump.stdout and "***" in dump.stdout
    assert daemon.dir + "/secret" not in dump.stdout


def test_secret_that_others_can_read_is_refused(make_daemon):
    daemon = make_daemon().init()
    os.chmod(daemon.dir + "/secret", 0o640)
    assert "chmod" in fails(daemon, 78)


def passing(first, second, names):
    """Arguments of Daemon.start() that hand it two sockets as systemd does."""
    def pass_descriptors():
        # Two steps, so that neither overwrites the other; LISTEN_PID must be the child's own.
        high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 64) for one in (first, second)]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    return {"wrap": ("sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"), "preexec_fn": pass_descriptors,
            "pass_fds": (3, 4, first.fileno(), second.fileno()),
            "env": {"LISTEN_FDS": "2", "LISTEN_FDNAMES": names}}


@pytest.fixture
def listening():
    pair = socket.socket(), socket.socket()
    for one in pair:
        one.bind(("127.0.0.1", 0))
        one.listen(64)
    yield pair
    for one in pair:
        one.close()


def test_sockets_from_systemd_are_taken_by_their_names(make_daemon, listening):
    daemon = make_daemon(server={"listen": "127.0.0.1:1", "admin_listen": "127.0.0.1:2"}).init()
    http, admin = listening
    daemon.start(**passing(admin, http, "admin:http"))
    assert daemon.address == http.getsockname()
    assert daemon.admin == admin.getsockname()
    assert daemon.post(captured()[0]).status == 200
    assert daemon.get_admin("/healthz").status == 200
    # The socket is shared with the next instance: a stop must leave it listening.
    assert daemon.stop() == 0
    waiting = Connection(http.getsockname())
    waiting.send(request(PATH, captured()[1]))
    daemon.start(**passing(admin, http, "admin:http"))
    assert waiting.reply().status == 200
    waiting.close()
    assert daemon.stop() == 0


@pytest.mark.parametrize("names, words", [("http:httpd", 'named "httpd"'),
                                          ("http:http", 'two sockets named "http"')])
def test_socket_that_nobody_would_serve_is_refused(make_daemon, listening, names, words):
    daemon = make_daemon().init()
    daemon.start(wait=False, **passing(*listening, names))
    assert daemon.wait_exit() == 78
    assert words in daemon.log_text()


def test_admin_listener_serves_get_and_nothing_else(daemon):
    assert daemon.get_admin("/healthz").status == 200
    ready = daemon.get_admin("/readyz")
    assert (ready.status, json.loads(ready.body)) == (200, {"ready": True, "reasons": []})
    assert daemon.get_admin("/nowhere").status == 404
    assert daemon.get_admin("/metrics", "POST").status == 405
    for path in ("/healthz", "/readyz", "/metrics"):
        assert daemon.post(captured()[0], path=path).status == 404


def test_metrics_tell_what_happened(daemon):
    for body in captured():
        daemon.post(body)
    daemon.post(captured()[0])
    daemon.post(b"nonsense")
    text = daemon.get_admin("/metrics").body.decode()
    assert 'orderhook_callbacks_total{endpoint="shansong",outcome="ok"} 6' in text
    assert 'orderhook_callbacks_total{endpoint="shansong",outcome="json-syntax"} 1' in text
    assert 'orderhook_events_total{verdict="applied"} 3' in text
    assert 'orderhook_events_total{verdict="duplicate"} 1' in text
    assert "orderhook_commit_seconds_count 6" in text
    wait_until(lambda: 'orderhook_orders{status="50"} 1'
               in daemon.get_admin("/metrics").body.decode())
    assert TOKEN not in text and "13800138000" not in text


def test_nothing_personal_or_secret_reaches_the_log(make_daemon):
    daemon = make_daemon().init().start()
    for body in captured():
        daemon.post(body)
    daemon.post(callback(clientId="other", courier={"mobile": "13800138000"}))
    daemon.post(b"x", path="/wrong/" + TOKEN)
    assert daemon.stop() == 0
    # A request id is random and may have four digits in a row by chance.
    text = re.sub(r"request [0-9a-f]{16}", "", daemon.log_text())
    assert "client-id" in text
    for canary in (TOKEN, "test-secret", "13800138000", "4004", "测师傅"):
        assert canary not in text


def test_stop_answers_what_was_accepted(make_daemon):
    daemon = make_daemon().init().start()
    connections = [daemon.connect() for _ in range(50)]
    for i, connection in enumerate(connections):
        connection.send(request(PATH, body_of(callback(f"stop-{i}"))))
    daemon.process.send_signal(signal.SIGTERM)
    acked = 0
    for connection in connections:
        try:
            reply = connection.reply()
        except ConnectionError:
            reply = None
        acked += reply is not None and reply.status == 200
        connection.close()
    assert daemon.wait_exit() == 0
    assert daemon.notified("STOPPING")
    (stored,), = daemon.rows("SELECT count(*) FROM order_log")
    assert acked == stored


def test_stop_does_not_wait_for_idle_connections(make_daemon):
    daemon = make_daemon().init().start()
    idle = [daemon.connect() for _ in range(3)]
    idle[0].send(request(PATH, captured()[0]))
    assert idle[0].reply().status == 200
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 0
    for connection in idle:
        connection.close()


def test_stop_gives_a_request_the_time_that_a_reload_gave_it(make_daemon):
    short = {"request_timeout": "100ms", "commit_timeout": "100ms"}
    daemon = make_daemon(server=short).init().start()
    daemon.configure(server={**short, "request_timeout": "30s"})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notified("READY")
    connection = daemon.connect()
    body = body_of(callback("patient"))
    connection.send(request(PATH, b"", {"Expect": "100-continue"}, length=len(body)))
    # The head has been read: it is no idle connection.
    assert connection.sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    daemon.process.send_signal(signal.SIGTERM)
    # Longer than a stop waits for the requests of the time before the reload.
    connection.sock.settimeout(2.6)
    with pytest.raises(socket.timeout):
        connection.sock.recv(1)
    connection.sock.settimeout(20)
    connection.send(body)
    assert connection.reply().status == 200
    connection.close()
    assert daemon.wait_exit() == 0
    assert daemon.state("patient")[0] == 20


def test_sigint_is_a_clean_stop(make_daemon):
    daemon = make_daemon().init().start()
    assert daemon.stop(signal.SIGINT) == 0


def test_killed_daemon_lost_nothing_it_acked(make_daemon):
    daemon = make_daemon().init().start()
    for i in range(30):
        assert daemon.post(callback(f"kill-{i}")).status == 200
    daemon.stop(signal.SIGKILL)
    daemon.start()
    (stored,), = daemon.rows("SELECT count(*) FROM order_log")
    assert stored == 30


def test_reload_takes_a_new_secret_and_a_bad_file_keeps_the_old(daemon):
    from conftest import sign_flat
    signed = sign_flat(callback("reload"), "second-secret-0123")
    assert daemon.post(signed).status == 401
    daemon.write_file("second", "second-secret-0123")
    daemon.configure(endpoint={"secrets": f"file:{daemon.dir}/secret file:{daemon.dir}/second"})
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.notified("RELOADING")
    daemon.notified("READY")
    assert daemon.post(signed).status == 200
    assert daemon.post(sign_flat(callback("reload-2"))).status == 200
    with open(daemon.conf, "a") as f:
        f.write("[nonsense]\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notified("READY")
    assert "nonsense" in daemon.log_text()
    assert daemon.post(signed).status == 200


def test_reload_names_the_keys_that_need_a_restart(daemon):
    daemon.configure(store={"batch_limit": "7"})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.notified("READY")
    assert "batch_limit" in daemon.log_text()


def test_watchdog_is_fed_while_the_writer_works(make_daemon):
    daemon = make_daemon().init()
    daemon.start(env={"WATCHDOG_USEC": "400000"})
    for _ in range(3):
        daemon.notified("WATCHDOG")
    assert daemon.stop() == 0


def test_store_that_is_removed_stops_the_acks_and_the_daemon(make_daemon):
    daemon = make_daemon().init().start()
    assert daemon.post(captured()[0]).status == 200
    os.rename(daemon.store, daemon.store + ".gone")
    # Nothing comes in: its own round, of a second, finds it.
    wait_until(lambda: "removed or replaced" in daemon.log_text(), 1.5)
    assert daemon.wait_exit(5) == 74


def test_queue_limit_answers_503_with_retry_after(make_daemon):
    """A shell holds the store's write lock, so that nothing commits and the queue fills."""
    daemon = make_daemon(server={"queue_limit": "1", "commit_timeout": "5s"}).init().start()
    blocker = sqlite3.connect(daemon.store, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    first = daemon.connect()
    first.send(request(PATH, captured()[0]))

    def refused():
        reply = daemon.post(callback("full"))
        return reply if reply.headers.get("retry-after") else None

    reply = wait_until(refused)
    assert (reply.status, reply.headers["retry-after"]) == (503, "60")
    # And not because the commit took too long, which has the same answer.
    assert 'outcome="queue-full"' in daemon.get_admin("/metrics").body.decode()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert first.reply().status in (200, 503)
    wait_until(lambda: daemon.post(captured()[0]).status == 200)
    assert daemon.stop() == 0


def test_commit_timeout_answers_503_and_the_retry_finds_it_stored(make_daemon):
    daemon = make_daemon(server={"commit_timeout": "200ms"}).init().start()
    blocker = sqlite3.connect(daemon.store, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    reply = daemon.post(captured()[0])
    assert reply.status == 503
    assert 'outcome="commit-timeout"' in daemon.get_admin("/metrics").body.decode()
    blocker.execute("ROLLBACK")
    blocker.close()
    wait_until(lambda: daemon.post(captured()[0]).status == 200)
    assert daemon.rows("SELECT count(*) FROM order_log") == [(1,)]
    assert daemon.stop() == 0
