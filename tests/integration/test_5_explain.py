"""Why a delivery was taken or refused, and its event judged so. The signs are made here, from the
platform's rule and from the ways in which people get it wrong."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import sqlite3
import time

import pytest

from conftest import (ROOT, SECRET, TOKEN, Daemon, body_of, callback, request, sign_flat, tool,
                      wait_until)
from test_9_readme import words_of

SECOND = "second-secret-of-the-rotation"
FOREIGN = "secret-of-the-test-environment"
KEY = b"0123456789abcdef0123456789abcdef"
KEY_TEXT = "whsec_" + base64.b64encode(KEY).decode()
COURIER = {"id": "c1", "name": "测/师傅", "mobile": "13800138000", "latitude": "39.9"}
PERSONAL = ("13800138000", "测", "师傅", "39.9", "4004")


def add_endpoints(daemon):
    daemon.write_file("second", SECOND)
    daemon.write_file("key", KEY_TEXT)
    daemon.write_file("foreign", FOREIGN)
    d = daemon.dir
    daemon.configure(
        server={"admin_listen": f"unix:{d}/admin.sock"},
        endpoint={"secrets": f"file:{d}/secret file:{d}/second file:{d}/key"},
        extra=f"[endpoint test]\nplatform = shansong\npath = /callback/test\n"
              f"client_id = clientId\nshop_ids = *\nsignature = required\n"
              f"secrets = file:{d}/foreign\n")
    return daemon.init()


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A daemon with two endpoints that only answers questions."""
    daemon = add_endpoints(Daemon(tmp_path_factory.mktemp("asked"))).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log_text()


@pytest.fixture
def telling(make_daemon):
    daemon = add_endpoints(make_daemon()).start()
    yield daemon
    if daemon.process.poll() is None:
        assert daemon.stop() == 0, daemon.log_text()


def explain(daemon, body, *more, endpoint="shansong"):
    """The object for a body that was not received, and the exit code."""
    done = tool("explain", "--body", "-", "--endpoint", endpoint, "--format", "json", *more,
                conf=daemon.conf, stdin=body)
    assert done.stderr in ("", b""), done.stderr
    return json.loads(done.stdout), done.returncode


def page(daemon, *arguments, code=0, **more):
    done = tool("explain", *arguments, conf=daemon.conf, **more)
    assert done.returncode == code, done.stderr
    return done.stdout


def now():
    return str(int(time.time() * 1000))


def plain(members):
    """What each value is in the signed string."""
    def text(value):
        if isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return str(value)
    return {k: text(v) for k, v in members.items() if v not in (None, "")}


def md5(text):
    return hashlib.md5(text.encode()).hexdigest().upper()


def joined(values, keys=None):
    return "".join(k + values[k] for k in (keys if keys is not None else sorted(values)))


def flat(sign_of, **more):
    """A flat body that is signed as sign_of(members, values) says; and the right sign."""
    members = {**callback(courier=COURIER, statusDesc="待取/货", deliveryPassword="4004"),
               "timestamp": now(), **more}
    values = plain(members)
    right = md5(SECRET + joined(values))
    return body_of({**members, "sign": sign_of(members, values)}), right


def envelope(sign_of, spaced=False):
    """An envelope; sign_of(members, values) makes the sign of its parameters."""
    inner = callback(courier=COURIER)
    data = json.dumps(inner, ensure_ascii=False,
                      separators=(", ", ": ") if spaced else (",", ":"))
    members = {"clientId": "clientId", "shopId": "shopId", "timestamp": now(), "data": data}
    values = plain(members)
    return body_of({**members, "sign": sign_of(members, values)}), md5(SECRET + joined(values))


def with_value(values, key, value):
    return {**values, key: value}


def python_style(values):
    return with_value(values, "data", json.dumps(json.loads(values["data"])))


def slashed(values):
    return with_value(values, "courier", values["courier"].replace("/", "\\/"))


# Each of the mistakes that the table names, made once.
MISTAKES = {
    "other-endpoint": flat(lambda m, v: md5(FOREIGN + joined(v))),
    "lower-case": flat(lambda m, v: md5(SECRET + joined(v)).lower()),
    "not-sorted": flat(lambda m, v: md5(SECRET + joined(v, list(v)))),
    "re-serialised": envelope(lambda m, v: md5(SECRET + joined(python_style(v)))),
    "escaped": envelope(lambda m, v: md5(SECRET + joined(
        with_value(v, "data", json.dumps(v["data"], ensure_ascii=False)[1:-1])))),
    "seconds-for-milliseconds": flat(lambda m, v: md5(SECRET + joined(
        with_value(v, "timestamp", v["timestamp"][:10])))),
    "timestamp-left-out": flat(lambda m, v: md5(SECRET + joined(
        {k: v[k] for k in v if k != "timestamp"}))),
    "empty-kept": flat(lambda m, v: md5(SECRET + joined(with_value(v, "abortReason", ""))),
                       abortReason=""),
    "objects-left-out": flat(lambda m, v: md5(SECRET + joined(
        {k: v[k] for k in v if k != "courier"}))),
    "separators": flat(lambda m, v: md5(SECRET + "&".join(f"{k}={v[k]}" for k in sorted(v)))),
    "secret-last": flat(lambda m, v: md5(joined(v) + SECRET)),
    "no-secret": flat(lambda m, v: md5(joined(v))),
    "secret-newline": flat(lambda m, v: md5(SECRET + "\n" + joined(v))),
}
COMBINED = {
    "separators+secret-last": flat(lambda m, v: md5(
        "&".join(f"{k}={v[k]}" for k in sorted(v)) + "&key=" + SECRET)),
    "other-endpoint+lower-case": flat(lambda m, v: md5(FOREIGN + joined(v)).lower()),
    "lower-case+not-sorted": flat(lambda m, v: md5(SECRET + joined(v, list(v))).lower()),
    "re-serialised": flat(lambda m, v: md5(SECRET + joined(slashed(v)))),
}


@pytest.mark.parametrize("name,made", [*MISTAKES.items(), *COMBINED.items()],
                         ids=[*MISTAKES, *(f"combined {n}" for n in COMBINED)])
def test_the_mistake_that_was_made_is_named(asked, name, made):
    body, right = made
    told, code = explain(asked, body)
    answer = told["explanation"]
    assert code == 1 and answer["outcome"] in ("sign-wrong", "sign-form") and not answer["auth"]
    assert list(answer["matches"]) == [name], answer["matches"]
    secret = answer["matches"][name].get("secret")
    assert secret == (None if name == "no-secret" else
                      "secret 1 of endpoint " + ("test" if "other" in name else "shansong"))
    # Of the right sign eight digits are told and no more, unless it was right but for its case.
    assert answer["expected"]["secret 1"] == right[:8]
    assert name == "lower-case" or right[:9] not in json.dumps(told).upper()


def test_a_member_that_the_platform_added_and_signs_is_found_out(asked):
    body, _ = flat(lambda m, v: md5(SECRET + joined(v)), newMember="x")
    told, code = explain(asked, body)
    assert code == 0 and told["explanation"]["auth"] == "token"
    assert "outside the signed list" in told["explanation"]["checks"]["sign"]["text"]
    assert list(told["explanation"]["matches"]) == ["unknown-signed"]
    told, code = explain(asked, sign_flat({**callback(), "newMember": "x"}, FOREIGN),
                         endpoint="test")
    assert code == 1 and told["explanation"]["outcome"] == "sign-member"


def test_every_mistake_of_the_table_is_tried_here():
    table = open(os.path.join(os.path.dirname(__file__),
                              "../../include/orderhook/tbl/sign_mistake.def")).read()
    keys = {line.split('"')[1] for line in table.splitlines() if line.startswith("SIGN_MISTAKE(")}
    assert keys == {*MISTAKES, *WEBHOOK, "unknown-signed"} - {"right"}


def webhook(key=KEY, stamp=None, encode=lambda d: base64.b64encode(d).decode()):
    """(body, headers) of a relay."""
    body = body_of(callback())
    stamp = stamp or str(int(time.time()))
    digest = hmac.new(key, b"msg_1." + stamp.encode() + b"." + body, hashlib.sha256).digest()
    return body, ["--header", "webhook-id: msg_1", "--header", f"webhook-timestamp: {stamp}",
                  "--header", f"webhook-signature: v1,{encode(digest)}"]


WEBHOOK = {
    "right": webhook(),
    "key-undecoded": webhook(KEY_TEXT.encode()),
    "hex": webhook(encode=lambda d: d.hex()),
    "webhook-milliseconds": webhook(stamp=now()),
}


@pytest.mark.parametrize("name", WEBHOOK)
def test_a_webhook_signature_is_explained(asked, name):
    body, headers = WEBHOOK[name]
    told, code = explain(asked, body, *headers)
    answer = told["explanation"]
    assert list(answer["matches"]) == [f"hmac {name}"], answer["matches"]
    assert (code, answer["outcome"]) == {
        "right": (0, "accepted"), "webhook-milliseconds": (1, "hmac-form")}.get(
            name, (1, "hmac-wrong"))
    assert answer["hmac_given"].startswith("v1,")
    assert len(answer["hmac_expected"]["secret 1"]) == 8


def test_what_fits_nothing_says_so(asked):
    text = page(asked, "--body", "-", "--endpoint", "shansong", code=1,
                stdin=sign_flat(callback(), "a-secret-that-nobody-knows").decode())
    assert "none of the usual mistakes" in text


def test_what_was_not_tried_with_every_secret_says_so(make_daemon):
    daemon = make_daemon()
    sections = ""
    for e in range(31):
        files = [daemon.write_file(f"{e}-{i}", f"secret-of-a-test-{e:02}-{i:02}")
                 for i in range(16)]
        sections += (f"[endpoint e{e}]\nplatform = shansong\npath = /{e}\nclient_id = clientId\n"
                     "shop_ids = shopId\nsignature = required\nsecrets =\n"
                     + "".join(f" file:{file}\n" for file in files))
    daemon.configure(server={"admin_listen": f"unix:{daemon.dir}/admin.sock"}, extra=sections)
    daemon.init().start()
    for size, said in ((1500, "with any secret that is configured: an old or"),
                       (60000, "so far: the body is too long to try each with every secret")):
        body = body_of({"clientId": "clientId", "shopId": "shopId", "timestamp": now(),
                        "sign": "0" * 32, "data": '{"issOrderNo":"T","x":"' + "x" * size + '"}'})
        text = page(daemon, "--body", "-", "--endpoint", "shansong", code=1, stdin=body.decode())
        assert said in " ".join(text.split()), text


def test_the_secret_of_a_rotation_that_was_used_is_named(asked):
    told, code = explain(asked, sign_flat(callback(), SECOND))
    assert code == 0 and told["explanation"]["auth"] == "signed"
    assert told["explanation"]["matches"] == {
        "right": {"secret": "secret 2 of endpoint shansong", "text": "made as the rule says"}}
    assert set(told["explanation"]["expected"]) == {"secret 1", "secret 2"}


@pytest.mark.parametrize("body,step,outcome", [
    (b"{", "form", "json-syntax"),
    (b'{"a":"\xff"}', "form", "json-utf8"),
    (body_of(callback(clientId="other")), "identity", "client-id"),
    (body_of(callback(shopId="other")), "identity", "shop-id"),
    (body_of({k: v for k, v in callback().items() if k != "status"}), "order", "member-missing"),
    (body_of(callback(status="x")), "order", "member-grammar"),
    (body_of({**callback(), "sign": "A" * 32}), "timestamp", "sign-timestamp"),
    (sign_flat(callback(statusDesc="to the courier")), "grammar", "sign-grammar"),
    (sign_flat(callback(drawback="1.5")), "grammar", "sign-grammar"),
    (body_of({"data": "{}", "clientId": "clientId", "shopId": "shopId", "more": 1}), "envelope",
     "sign-member"),
    (body_of({"data": "{}", "clientId": "clientId", "shopId": "shopId"}), "sign", "sign-missing"),
    (b"", "form", "json-syntax"),
], ids=lambda value: value if isinstance(value, str) else "body")  # some are signed as of now
def test_the_check_that_refuses_is_the_last_one_and_says_why(asked, body, step, outcome):
    told, code = explain(asked, body)
    checks = told["explanation"]["checks"]
    assert code == 1 and told["explanation"]["outcome"] == outcome
    assert list(checks)[-1] == step and checks[step]["result"] == outcome
    assert all(c["result"] == "ok" for name, c in checks.items() if name != step)
    assert checks[step]["text"] and told["explanation"]["event"] is None


def test_the_member_that_spoils_the_signed_string_is_named(asked):
    text = page(asked, "--body", "-", "--endpoint", "shansong", code=1,
                stdin=sign_flat(callback(statusDesc="to the courier")).decode())
    assert "statusDesc holds the name of a member" in text


def test_a_form_is_explained_by_its_content_type(asked):
    told, code = explain(asked, "issOrderNo=TDH1&status=20&subStatus=1", "--header",
                         "Content-Type: application/x-www-form-urlencoded")
    assert code == 0 and told["explanation"]["checks"]["form"]["text"] == "one form in UTF-8"
    assert told["explanation"]["event"]["iss_order_no"] == "TDH1"


def test_what_is_left_out_of_the_event_is_noted(asked):
    told, _ = explain(asked, body_of(callback(statusChangeTime="yesterday", drawback="x", new=1)))
    event = told["explanation"]["event"]
    assert "statusChangeTime is outside its grammar and left out" in event["notes"]
    assert "drawback is outside" in event["notes"] and event["occurred_from"] == "receipt"
    assert "1 of them unknown" in told["explanation"]["checks"]["members"]["text"]


def test_the_signed_text_is_shown_with_the_secret_masked(asked):
    body, right = flat(lambda m, v: "0" * 32)
    members = json.loads(body)
    text = page(asked, "--body", "-", "--endpoint", "shansong", "--reveal", code=1,
                stdin=body.decode())
    del members["sign"]
    assert "***" + joined(plain(members)) in text
    assert "0" * 32 in text and right[:8] + "… with secret 1" in text
    assert SECRET not in text and SECOND not in text and TOKEN not in text


@pytest.mark.parametrize("form", ["table", "json"])
def test_people_are_masked_unless_asked_for(asked, form):
    body, _ = flat(lambda m, v: "0" * 32)
    arguments = ["--body", "-", "--endpoint", "shansong", "--format", form]
    text = page(asked, *arguments, code=1, stdin=body.decode())
    assert not [p for p in PERSONAL if p in text], text
    text = page(asked, *arguments, "--reveal", code=1, stdin=body.decode())
    assert all(p in text for p in PERSONAL)
    assert not [p for p in PERSONAL if p in asked.log_text()]


def test_nothing_of_a_body_drives_the_terminal(asked):
    body = body_of({**callback(courier={"id": "c\u202e\u001b[31m", "name": "n"}),
                    "timestamp": now(), "sign": "0" * 32})
    for form in ("table", "json"):
        text = page(asked, "--body", "-", "--endpoint", "shansong", "--format", form, code=1,
                    stdin=body.decode())
        assert "\u202e" not in text and "\x1b" not in text
    assert json.loads(text)["explanation"]["signed"]["courier"].count("\u202e") == 1


# ------------------------------------------------------------------ events


def post(daemon, *callbacks):
    for members in callbacks:
        assert daemon.post(sign_flat(members)).status == 200


def test_each_verdict_is_told_with_the_edge_that_it_took_or_missed(telling):
    t = "2025-05-30 1{}:00:00".format
    post(telling, callback(status=20, sub=1, time_text=t(0)),
         callback(status=30, sub=1, time_text=t(1), courier={"id": "a"}),
         callback(status=20, sub=2, time_text=t(2)),
         callback(status=40, sub=1, time_text=t(3)),
         callback(status=40, sub=1, time_text=t(4)),
         callback(status=30, sub=2, time_text=t(1)[:-1] + "9"),
         callback(status=20, sub=1, time_text=t(5)),
         callback(status=77, sub=1, time_text=t(6)),
         callback(status=40, sub=1, time_text=t(3), drawback=5),
         {**callback(status=50, sub=1, time_text=t(7)), "orderNo": "another"},
         callback(status=50, sub=1, time_text=t(8)))
    wanted = [
        ("applied", "the edge (none) → 20/1"),
        ("applied", "the edge 20/1 → 30/1"),
        ("reassigned", "the edge 30/1 → 20/2"),
        ("jumped", "no edge leads there; the shortest way has 2 steps: 20/2 → 30/1 → 40/1"),
        ("repeated", "the order is in 40/1 already"),
        ("late", "it happened before 40/1"),
        ("illegal", "no way from 40/1 to 20/1: from 40/1 a step leads to 40/2, 50/1, and to 20/1 "
                    "a step leads from (none)"),
        ("unknown", "the machine has no status 77"),
        ("conflict", "event 4 has the same key and other members"),
        ("mismatch", "orderNo or shopId is not the order's"),
        ("applied", "the edge 40/1 → 50/1"),
    ]
    stored = telling.verdicts("TDH1")
    for i, (verdict, why) in enumerate(wanted):
        assert stored[i] == verdict
        told = json.loads(page(telling, str(i + 1), "--format", "json"))
        assert told["verdict"]["verdict"] == told["verdict"]["stored"] == verdict
        assert why in told["verdict"]["why"], told["verdict"]
        assert told["delivery"]["stored"]["event_id"] == i + 1
    assert (told["verdict"]["before"]["status"], told["verdict"]["after"]["status"]) == (40, 50)
    text = page(telling, "11")
    assert "order before" in text and "40/1 闪送中 (delivering) since" in text
    assert "accepted, signed" in text


def test_a_delivery_that_is_not_stored_is_judged_against_the_store(telling):
    post(telling, callback(status=20, sub=1), callback(status=60, time_text="2025-05-30 17:00:00"))
    told, code = explain(telling, sign_flat(callback(status=20, sub=1)))
    assert code == 0 and told["verdict"]["verdict"] == "duplicate"
    assert "event 1 once more" in told["verdict"]["why"]
    told, _ = explain(telling, sign_flat(callback(status=30, time_text="2025-05-30 18:00:00")))
    assert told["verdict"]["verdict"] == "illegal" and told["verdict"]["stored"] is None
    assert telling.rows("SELECT count(*), max(deliveries) FROM order_log") == [(2, 1)]


def test_a_stale_one_is_refused_unless_it_is_a_duplicate(telling):
    post(telling, callback())
    old = int(time.time() * 1000) - 3600 * 1000
    told, code = explain(telling, sign_flat(callback(), timestamp=old))
    assert code == 0 and told["verdict"]["refused"] is None
    told, code = explain(telling, sign_flat(callback("TDH2"), timestamp=old))
    assert code == 1 and told["verdict"]["refused"] == "timestamp-stale"
    told, code = explain(telling, sign_flat(callback("TDH2"), timestamp=old), "--received", "1h")
    assert code == 0 and told["verdict"]["refused"] is None


def test_a_held_delivery_is_explained_before_and_after_it_is_mended(telling):
    assert telling.post(sign_flat(callback(), "not-configured-yet-0123")).status == 401
    wait_until(lambda: telling.rows("SELECT count(*) FROM held") == [(1,)])
    text = page(telling, "held:1", code=1)
    assert "refused then: sign-wrong: no secret of the endpoint makes this signature" in text
    assert "refused: 401 sign-wrong" in text and "would be" not in text
    telling.write_file("second", "not-configured-yet-0123")
    telling.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded " in telling.log_text())
    text = page(telling, "held:1")
    assert "accepted, signed" in text and "secret 2 of endpoint shansong" in text
    assert "it would be    applied" in text
    done = tool("held", "readmit", "1", conf=telling.conf, check=True)
    assert done.stdout == "1 stored as event 1\n"
    assert "it is          applied" in page(telling, "1")


def test_a_held_one_whose_url_had_no_token_is_not_taken_by_it(telling):
    body = body_of(callback())
    assert telling.send(request("/callback/test", body)).status == 401
    wait_until(lambda: telling.rows("SELECT count(*) FROM held") == [(1,)])
    text = page(telling, "held:1", code=1)
    assert "without a token" in text and "signature = required" in text


def test_nobody_had_the_token_of_an_endpoint_that_has_none(asked):
    body = body_of(callback()).decode()
    text = page(asked, "--body", "-", "--endpoint", "test", stdin=body, code=1)
    assert "without a token" in text and "with the endpoint's token" not in text
    text = page(asked, "--body", "-", "--endpoint", "shansong", stdin=body)
    assert "with the endpoint's token" in text and "without a token" not in text


def test_the_machine_is_asked_anew_and_a_difference_is_said(telling):
    post(telling, callback(), callback(status=30, sub=1, time_text="2025-05-30 17:00:00"))
    telling.stop()
    with sqlite3.connect(telling.store) as db:
        db.execute("UPDATE event SET verdict = 1 WHERE event_id = 2")
    text = page(telling, "2")
    assert "applied: a legal step" in text and "stored as      jumped" in text


# ------------------------------------------------------------------ with no daemon, and wrong use


def test_the_page_shows_what_the_tool_prints(telling):
    assert telling.post(sign_flat(callback(), FOREIGN)).status == 401
    wait_until(lambda: telling.rows("SELECT count(*) FROM held") == [(1,)])
    text = open(os.path.join(ROOT, "docs/explain.md"), encoding="utf-8").read()
    shown = re.search("<!-- explain-output -->(.*)<!-- /explain-output -->", text, re.S).group(1)
    printed = page(telling, "held:1", code=1)
    digits = re.compile("[0-9A-F]{8,}")
    assert words_of(digits.sub("1", shown)) == words_of(digits.sub("1", printed))


def test_without_a_daemon_the_tool_says_the_same_when_it_can_read_the_secrets(telling):
    post(telling, callback())
    by_daemon = page(telling, "1", "--format", "json")
    assert "explain: a delivery of endpoint shansong" in telling.log_text()
    telling.stop()
    assert page(telling, "1", "--format", "json") == by_daemon


def test_without_the_secrets_what_is_stored_is_told_and_the_rest_refused(telling):
    post(telling, callback())
    telling.stop()
    os.unlink(os.path.join(telling.dir, "secret"))
    done = tool("explain", "1", conf=telling.conf)
    assert done.returncode == 4 and "secrets are not to be read here" in done.stderr
    assert "it is          applied" in done.stdout and "expected" not in done.stdout
    done = tool("explain", "--body", "-", "--endpoint", "shansong", conf=telling.conf, stdin="{}")
    assert done.returncode == 4 and done.stdout == ""


def test_another_callback_event_is_told_apart(telling):
    assert telling.post(sign_flat(callback(callbackEvent="OTHER_EVENT"))).status == 200
    done = tool("explain", "1", conf=telling.conf)
    assert done.returncode == 3 and "'orderhook raw 1' prints it" in done.stderr
    told, code = explain(telling, sign_flat(callback(callbackEvent="OTHER_EVENT")))
    assert code == 0 and told["verdict"] is None
    assert told["explanation"]["event"]["kind"] == "other"


@pytest.mark.parametrize("arguments,code,says", [
    (["7"], 3, "no event has the number 7"),
    (["held:7"], 3, "no refused delivery has the number 7"),
    (["seven"], 2, "neither an event's number nor held:N"),
    (["held:"], 2, "neither an event's number nor held:N"),
    ([], 2, "--body FILE"),
    (["1", "--body", "-"], 2, "--body FILE"),
    (["1", "--endpoint", "shansong"], 2, "go with --body"),
    (["--body", "-"], 2, "--endpoint NAME picks one"),
    (["--body", "-", "--endpoint", "none"], 78, "has no [endpoint none]"),
    (["--body", "/nonexistent", "--endpoint", "shansong"], 4, "/nonexistent"),
    (["--body", "-", "--endpoint", "shansong", "--header", "no colon"], 2, "'NAME: VALUE'"),
    (["1", "--format", "csv"], 2, "is no list"),
])
def test_wrong_use_says_what_is_allowed(asked, arguments, code, says):
    done = tool("explain", *arguments, conf=asked.conf, stdin="{}")
    assert done.returncode == code and says in done.stderr and done.stdout == "", done.stderr


def test_a_body_that_is_too_long_for_the_daemon_is_refused_in_words(asked):
    done = tool("explain", "--body", "-", "--endpoint", "shansong", conf=asked.conf,
                stdin='{"a":"' + "x" * 400000 + '"}')
    assert done.returncode == 4 and "too long" in done.stderr
