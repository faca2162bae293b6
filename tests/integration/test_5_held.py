"""Refused deliveries are kept, counted and shown, and what was accepted is not among them."""

import json
import os
import re

from conftest import SECRET, TOKEN, body_of, callback, sign_flat, tool, wait_until


def held(daemon, n, *arguments):
    """The list once it has n rows: they are written within a second."""
    def look():
        done = tool("held", "--format", "json", *arguments, conf=daemon.conf)
        rows = json.loads(done.stdout) if done.stdout else []
        return rows if len(rows) == n else None
    return wait_until(look)


def test_a_wrong_secret_is_held_with_its_reason(daemon):
    assert daemon.post(sign_flat(callback(), secret="another-secret-0123456789")).status == 401
    row, = held(daemon, 1)
    assert row["endpoint"] == "shansong" and row["reason"] == "sign-wrong"
    assert row["ours"] == 1 and row["deliveries"] == 1 and row["remote"] == "127.0.0.1"
    assert daemon.rows("SELECT count(*) FROM order_log") == [(0,)]
    assert "orderhook_held 1" in wait_until(
        lambda: (t := daemon.get_admin("/metrics").body.decode()).count("orderhook_held 1\n") and t)


def test_a_stale_and_a_malformed_one_are_held_too(daemon):
    assert daemon.post(sign_flat(callback(), timestamp=1748595319000)).status == 401
    assert daemon.post(b"{not json").status == 400
    rows = held(daemon, 2)
    assert {r["reason"] for r in rows} == {"timestamp-stale", "json-syntax"}
    assert [r["reason"] for r in held(daemon, 1, "--reason", "json-syntax")] == ["json-syntax"]


def test_what_is_refused_from_its_head_or_accepted_is_not_held(daemon):
    assert daemon.post(b"{}", path="/callback/shansong/wrong").status == 404
    assert daemon.post(b"{}", headers={"Content-Type": "text/plain"}).status == 415
    assert daemon.post(callback()).status == 200
    assert daemon.post(b"{").status == 400
    assert len(held(daemon, 1)) == 1


def test_an_identical_body_is_counted_across_a_restart(daemon):
    daemon.post(b"[1]")
    held(daemon, 1)
    daemon.stop()
    daemon.start()
    daemon.post(b"[1]")
    wait_until(lambda: daemon.rows("SELECT deliveries FROM held_log") == [(2,)])
    assert daemon.rows("SELECT count(*), max(last_received > received) FROM held_log") == [(1, 1)]


def test_what_is_refused_just_before_the_end_is_written(daemon):
    daemon.post(b"[2]")
    daemon.stop()
    assert daemon.rows("SELECT reason, body FROM held_log") == [("json-syntax", b"[2]")]
    daemon.start()


def test_without_a_token_only_our_ids_are_ours(make_daemon):
    daemon = make_daemon(endpoint={"token": None, "signature": "required"}).init().start()
    path = "/callback/shansong"
    bad = "another-secret-0123456789"
    assert daemon.post(sign_flat(callback(), secret=bad), path=path).status == 401
    assert daemon.post(sign_flat(callback(clientId="x"), secret=bad), path=path).status == 401
    rows = held(daemon, 2)
    assert {(r["reason"], r["ours"]) for r in rows} == {("sign-wrong", 1), ("client-id", 0)}
    assert [r["reason"] for r in held(daemon, 1, "--ours")] == ["sign-wrong"]


def test_junk_cannot_push_out_what_came_with_the_token_and_without_ids(make_daemon, tmp_path):
    daemon = make_daemon(store={"held_limit": "64K"}, extra=(
        "[endpoint open]\nplatform = shansong\npath = /callback/open\nclient_id = clientId\n"
        "shop_ids = shopId\nsignature = required\n"
        f"secrets = file:{tmp_path}/d/secret\n")).init().start()
    real = {k: v for k, v in callback().items() if k not in ("clientId", "shopId")}
    assert daemon.post(sign_flat(real, secret="another-secret-0123456789")).status == 401
    for i in range(12):
        junk = body_of({"clientId": "clientId", "junk": str(i) * 4096})
        assert daemon.post(junk, path="/callback/open").status == 401
    wait_until(lambda: re.search(r"^orderhook_held_evicted_total [1-9]",
                                 daemon.get_admin("/metrics").body.decode(), re.M))
    assert daemon.rows("SELECT held_id, endpoint, reason FROM held_log WHERE ours") == [
        (1, "shansong", "sign-wrong")]


def test_a_flood_is_limited_and_does_not_hinder_an_event(daemon):
    for i in range(150):
        assert daemon.post(b"[%d]" % i).status == 400
    assert daemon.post(callback()).status == 200
    wait_until(lambda: daemon.rows("SELECT count(*) >= 50 FROM held_log") == [(1,)])


def test_show_masks_and_keeps_the_token_and_secret_out(daemon):
    body = sign_flat(callback(courier={"id": "c", "name": "测师傅", "mobile": "13800138000"}),
                     secret="another-secret-0123456789")
    daemon.post(body)
    number = str(held(daemon, 1)[0]["held_id"])
    shown = tool("held", "show", number, conf=daemon.conf, check=True).stdout
    assert "no secret of the endpoint makes this signature" in shown
    assert "13800138000" not in shown and "测师傅" not in shown
    assert TOKEN not in shown and SECRET not in shown
    shown = tool("held", "show", number, "--reveal", conf=daemon.conf, check=True).stdout
    assert "13800138000" in shown and TOKEN not in shown


def test_a_body_that_cannot_be_masked_is_left_out(daemon):
    daemon.post(b'{"mobile":"13800138000"')
    number = str(held(daemon, 1)[0]["held_id"])
    done = tool("held", "show", number, conf=daemon.conf, check=True)
    assert "13800138000" not in done.stdout + done.stderr and "--reveal" in done.stderr


def test_wrong_use_says_what_is_allowed(daemon):
    done = tool("held", conf=daemon.conf)
    assert done.returncode == 1 and "no refused delivery" in done.stderr
    assert tool("held", "show", "7", conf=daemon.conf).returncode == 3
    done = tool("held", "--reason", "sign-wrogn", conf=daemon.conf)
    assert done.returncode == 2 and "did you mean 'sign-wrong'" in done.stderr
    assert tool("held", "readmid", conf=daemon.conf).returncode == 2
    assert tool("held", "show", conf=daemon.conf).returncode == 2


def test_the_names_are_those_of_the_view(daemon):
    daemon.post(b"[3]")
    row = held(daemon, 1)[0]
    names = [n for (n,) in daemon.rows("SELECT name FROM pragma_table_info('held_log')")]
    assert list(row) == names[:-1] and names[-1] == "body"
    assert os.path.exists(daemon.store)


def test_a_mended_secret_loses_nothing_and_a_forged_one_stays_out(daemon):
    daemon.stop()
    daemon.write_file("secret", "not-yet-the-right-one")
    daemon.start()
    assert daemon.post(sign_flat(callback())).status == 401
    assert daemon.post(sign_flat(callback("TDH2"))).status == 401
    assert daemon.post(sign_flat(callback("TDH3"), secret="forged-0123456789-0123")).status == 401
    first = held(daemon, 3)[-1]
    daemon.write_file("secret", SECRET)
    done = tool("held", "readmit", "--all", conf=daemon.conf)
    assert done.returncode == 4 and "stop it" in done.stderr
    daemon.stop()
    done = tool("held", "readmit", "--all", "--reason", "sign-wrong", conf=daemon.conf)
    assert done.returncode == 4, done.stderr
    assert [line.split(" ", 1)[1] for line in done.stdout.splitlines()] == [
        "stored as event 1", "stored as event 2",
        "still refused: sign-wrong: no secret of the endpoint makes this signature"]
    assert daemon.rows("SELECT iss_order_no, source, auth, received, remote FROM order_log "
                       "ORDER BY event_id LIMIT 1") == [
        ("TDH1", "readmit", "signed", first["received"], "127.0.0.1")]
    assert daemon.rows("SELECT count(*) FROM held") == [(1,)]
    assert tool("held", "readmit", "1", conf=daemon.conf).returncode == 3
    daemon.start()
    assert daemon.post(sign_flat(callback())).status == 200
    assert daemon.rows("SELECT deliveries FROM order_log WHERE iss_order_no = 'TDH1'") == [(2,)]


def test_readmission_skips_no_check(daemon):
    assert daemon.post(sign_flat(callback(), timestamp=1748595319000)).status == 401
    held(daemon, 1)
    daemon.stop()
    done = tool("held", "readmit", "--all", conf=daemon.conf)
    assert done.returncode == 4 and "timestamp-stale" in done.stdout
    assert daemon.rows("SELECT count(*) FROM order_log") == [(0,)]
    daemon.start()
