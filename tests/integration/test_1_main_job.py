"""The main job on real input: the five captured callbacks, over HTTP, to the operator's screen."""

import itertools
import json

import pytest

from conftest import SECRET, callback, captured, sign_flat, tool

ORDER = "cp451412923563114496"
ISS = "TDH2025053050205843"
EXPECTED = [
    (20, 1, "applied", "2025-05-30T08:55:19.000Z"),
    (30, 1, "applied", "2025-05-30T08:55:54.000Z"),
    (20, 2, "reassigned", "2025-05-30T09:01:38.000Z"),
    (40, 1, "jumped", "2025-05-30T09:03:25.000Z"),
    (50, 1, "applied", "2025-05-30T09:04:24.000Z"),
]


def shown(daemon):
    done = tool("show", ORDER, "--format", "json", conf=daemon.conf, check=True)
    return json.loads(done.stdout)


def timeline(show):
    return [(e["status"], e["sub_status"], e["verdict"], e["occurred"]) for e in show["events"]]


def signed(body):
    return sign_flat(json.loads(body))


def test_five_captured_callbacks_become_one_orders_history(daemon):
    for body in captured():
        reply = daemon.post(body)
        assert reply.status == 200
        assert reply.json() == {"status": 200, "msg": "", "data": None}
    show = shown(daemon)
    assert timeline(show) == EXPECTED
    order = show["order"]
    assert (order["iss_order_no"], order["order_no"]) == (ISS, ORDER)
    assert (order["status"], order["sub_status"]) == (50, 1)
    assert order["since"] == "2025-05-30T09:04:24.000Z"
    assert order["reassignments"] == 1
    assert order["quarantined"] == 0
    assert order["courier_id"] == "SSBJ000000166"


def test_show_tells_the_reassignment_and_the_step_that_never_arrived(daemon):
    for body in captured():
        daemon.post(body)
    screen = tool("show", ORDER, conf=daemon.conf, check=True).stdout
    assert "reassigned" in screen
    assert "30/1" in [line for line in screen.splitlines() if "jumped" in line][0]
    assert "2025-05-30 16:55:19" in screen  # China time


def test_signed_callbacks_are_taken_as_signed(daemon):
    for body in captured():
        assert daemon.post(signed(body)).status == 200
    show = shown(daemon)
    assert timeline(show) == EXPECTED
    assert {e["auth"] for e in show["events"]} == {"signed"}


def test_tool_signs_what_the_daemon_accepts(daemon, tmp_path):
    for body in captured():
        done = tool("sign", "--secret-file", daemon.dir + "/secret", stdin=body, check=True)
        assert daemon.post(done.stdout).status == 200
    assert {e["auth"] for e in shown(daemon)["events"]} == {"signed"}


def test_the_same_five_again_change_only_the_delivery_counts(daemon):
    for body in captured():
        daemon.post(body)
    before = shown(daemon)
    for body in captured():
        assert daemon.post(body).status == 200
    after = shown(daemon)
    assert [e["deliveries"] for e in before["events"]] == [1] * 5
    assert [e["deliveries"] for e in after["events"]] == [2] * 5
    for show in before, after:
        show["order"].pop("last_received")
        for event in show["events"]:
            event.pop("deliveries")
    assert after == before


def test_a_retry_that_is_signed_anew_is_the_same_event(daemon):
    body = json.loads(captured()[0])
    daemon.post(sign_flat(body, SECRET))
    daemon.post(sign_flat(body, SECRET, timestamp=None))
    daemon.post(captured()[0])
    assert [e["deliveries"] for e in shown(daemon)["events"]] == [3]


def test_every_order_of_arrival_ends_in_the_same_state(daemon):
    bodies = captured()
    states = set()
    for number, order in enumerate(itertools.permutations(range(5))):
        iss = f"TDH{number}"
        for i in order:
            members = json.loads(bodies[i])
            members["issOrderNo"] = iss
            members["orderNo"] = f"cp{number}"
            assert daemon.post(members).status == 200
        states.add(daemon.state(iss))
    assert len(states) == 1
    status, sub, since, reassignments, events = states.pop()
    assert (status, sub, since, reassignments, events) == (
        50, 1, "2025-05-30T09:04:24.000Z", 1, 5)


def test_raw_gives_the_exact_bytes(daemon):
    body = b' { "issOrderNo" : "TDHraw" ,\n\t"status":"20", "x": 1e400 } '
    assert daemon.post(body).status == 200
    (event_id,), = daemon.rows("SELECT event_id FROM order_log")
    done = tool("raw", str(event_id), conf=daemon.conf, stdin=b"")
    assert done.stdout == body
    head = tool("raw", str(event_id), "--headers", conf=daemon.conf).stdout
    assert head.startswith("POST /callback/shansong HTTP/1.1\r\n".replace("\r", "")) or \
        head.startswith("POST /callback/shansong HTTP/1.1")
    assert "test-token" not in head
    assert "Content-Type: application/json" in head


@pytest.mark.parametrize("wait_for_each", [True, False])
def test_store_survives_a_restart(make_daemon, wait_for_each):
    daemon = make_daemon().init().start()
    for body in captured():
        assert daemon.post(body).status == 200
    assert daemon.stop() == 0
    assert [e[2] for e in timeline(shown(daemon))] == [e[2] for e in EXPECTED]
    daemon.start()
    assert daemon.post(captured()[4]).status == 200
    assert daemon.state(ISS)[4] == 5
    assert daemon.stop() == 0


def test_verdicts_of_the_contract_over_http(daemon):
    base = "2025-05-30 10:00:"
    courier = {"id": "C1", "name": "a", "mobile": "1"}
    steps = [
        (callback("V", 20, 1, base + "00"), "applied"),
        (callback("V", 30, 1, base + "10", courier=courier), "applied"),
        (callback("V", 30, 1, base + "11", courier=courier), "repeated"),
        (callback("V", 20, 2, base + "20"), "reassigned"),
        (callback("V", 30, 2, base + "15", courier=courier), "late"),
        (callback("V", 60, None, base + "40"), "applied"),
        (callback("V", 40, 1, base + "50"), "illegal"),
        (callback("V", 70, 1, base + "55"), "unknown"),
        (callback("V", 60, None, base + "40", drawback=5), "conflict"),
        (callback("V", 60, None, base + "59", orderNo="another"), "mismatch"),
    ]
    for members, _ in steps:
        assert daemon.post(members).status == 200
    assert daemon.verdicts("V") == [verdict for _, verdict in steps]
    assert daemon.rows("SELECT quarantined, status FROM order_state") == [(4, 60)]
    assert daemon.post(steps[0][0]).status == 200
    assert len(daemon.verdicts("V")) == len(steps)
