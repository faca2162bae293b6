"""The judge in C against the model in Python: every short order in every order of arrival, and long
random ones. ORDERHOOK_LONG=1 takes every order of five events as well, and more random ones."""

import hashlib
import itertools
import os
import random
import re
import subprocess
import sys

import pytest

from conftest import BUILD, LONG, ROOT, how_many

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import order_model as model  # noqa: E402
from order_model import Event  # noqa: E402

DRIVER = os.path.join(BUILD, "tests/judge_driver")
SEED = 20250530

KNOWN = [(status, sub, "") for status, sub in model.STATES]
# Sub-statuses that nobody knows or that are absent, an ignored one, a status that nobody knows.
STRANGE = [(20, 9, ""), (30, 9, ""), (40, 9, ""), (50, 9, ""), (20, None, ""), (30, None, ""),
           (40, None, ""), (50, None, ""), (60, 5, ""), (70, 1, "")]
CARRIED = [(status, sub, courier) for status, sub in
           ((20, 1), (20, 2), (30, 1), (30, 2), (30, None), (40, 1), (40, 9), (60, None))
           for courier in ("", "A", "B")]


def drive(lines):
    """The driver's lines of output, and how many events it judged without their history too."""
    done = subprocess.run([DRIVER], input="\n".join(lines) + "\n", capture_output=True, text=True,
                          timeout=1200)
    assert done.returncode == 0, done.stderr
    counts = re.fullmatch(r"(\d+) judged, (\d+) of them also without the history\n", done.stderr)
    return done.stdout.splitlines(), int(counts[2])


class Expected:
    """What the model says of one event after some others. As long as no two events have one key,
    neither the order of arrival of the others nor their verdicts enter, so it is asked once for
    each set of others."""

    def __init__(self):
        self.known = {}

    def text(self, events, arrived, i):
        key = (tuple(event for j, event in enumerate(events) if arrived >> j & 1), events[i])
        if key not in self.known:
            order = model.Order()
            order.stored = [(event, "applied" if model.known_status(event.status) else "unknown")
                            for event in key[0]]
            self.known[key] = order.judge(events[i]).text()
        return self.known[key]

    def line(self, events):
        n = len(events)
        after = {(arrived, i): self.text(events, arrived, i)
                 for arrived in range(1 << n) for i in range(n) if not arrived >> i & 1}
        return ";".join(self.arrival(after, order) for order in itertools.permutations(range(n)))

    @staticmethod
    def arrival(after, order):
        texts, arrived = [], 0
        for i in order:
            texts.append(after[arrived, i])
            arrived |= 1 << i
        return " ".join(texts)


def end_of(answer):
    """The state after the last event of one order of arrival."""
    return answer[answer.rindex(">"):].rstrip("~")


def compare(orders):
    """Plays orders in every order of arrival; returns how many arrivals were compared."""
    expected = Expected()
    lines = ["* " + " ".join(event.token() for event in events) for events in orders]
    answers, _ = drive(lines)
    assert len(answers) == len(lines)
    arrivals = 0
    for line, events, answer in zip(lines, orders, answers):
        assert answer == expected.line(events), line
        each = answer.split(";")
        assert len({end_of(one) for one in each}) == 1, line
        arrivals += len(each)
    return arrivals


def events_at(states, times):
    return [Event(status, sub, courier, time)
            for (status, sub, courier), time in zip(states, times)]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_order_of_known_states_in_every_order_of_arrival(n):
    orders = [events_at(states, range(1, n + 1)) for states in itertools.product(KNOWN, repeat=n)]
    assert compare(orders) == {1: 11, 2: 242, 3: 7986, 4: 351384}[n]


@pytest.mark.skipif(not LONG, reason="ORDERHOOK_LONG=1 runs it")
def test_every_order_of_five_known_states_in_every_order_of_arrival():
    arrivals = 0
    for first_two in itertools.product(KNOWN, repeat=2):  # all answers at once need gigabytes
        arrivals += compare([events_at(first_two + states, range(1, 6))
                             for states in itertools.product(KNOWN, repeat=3)])
    assert arrivals == 11 ** 5 * 120


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_order_with_strange_states_in_every_order_of_arrival(n):
    orders = [events_at(states, range(1, n + 1))
              for states in itertools.product(KNOWN + STRANGE, repeat=n)]
    assert compare(orders) == 21 ** n * {1: 1, 2: 2, 3: 6}[n]


@pytest.mark.parametrize("n", [2, 3])
def test_every_order_with_couriers_in_every_order_of_arrival(n):
    orders = [events_at(states, range(1, n + 1)) for states in itertools.product(CARRIED, repeat=n)]
    assert compare(orders) == 24 ** n * {2: 2, 3: 6}[n]


@pytest.mark.parametrize("times", [(1, 1), (1, 1, 1), (1, 1, 2), (1, 2, 2)], ids=str)
def test_every_order_with_events_at_one_instant_in_every_order_of_arrival(times):
    states = KNOWN + STRANGE if len(times) == 2 else KNOWN + [(40, 9, ""), (30, None, "A")]
    orders = [events_at(chosen, times) for chosen in itertools.product(states, repeat=len(times))]
    # What two events with one key become depends on which came first; the random orders have them.
    compare([events for events in orders if len({e.key() for e in events}) == len(events)])


MINUTE_MS = 60 * 1000


class RandomOrder:
    """Deliveries of one order: a walk that mostly follows the documented steps, of which some are
    lost, some come twice, some come changed, some come late and some are nonsense."""

    def __init__(self, chance):
        self.chance = chance
        self.place = model.PLACED
        self.courier = "A"
        self.received = 100 * MINUTE_MS
        self.occurred = 90 * MINUTE_MS
        self.events = []

    def next_place(self):
        if self.chance.random() < 0.1:
            return self.chance.choice(STRANGE + KNOWN)[:2]
        for _ in range(self.chance.choice([1, 1, 1, 2, 3])):
            self.place = self.chance.choice(model.STEPS[self.place] or [self.place])
            if self.place == (20, 2):
                self.courier = self.chance.choice("ABC")
        return self.place

    def new_event(self):
        chance = self.chance
        status, sub = self.next_place()
        self.occurred += chance.choice([0, 0, 1, 1, 2, 5]) * MINUTE_MS
        occurred = self.occurred - chance.choice([0] * 8 + [1, 3]) * MINUTE_MS
        return Event(status, None if chance.random() < 0.05 else sub,
                     chance.choice([self.courier] * 6 + ["", "", "Z"]) if status != 20
                     else chance.choice(["", "", "", self.courier]),
                     None if chance.random() < 0.15 else occurred,
                     order_no=chance.choice(["m"] * 8 + ["", "other"]),
                     shop=chance.choice(["s"] * 8 + ["", "other"]))

    def delivery(self):
        chance = self.chance
        self.received += chance.choice([0, 1, 1, 4, 10, 11]) * MINUTE_MS
        kind = chance.random()
        if self.events and kind < 0.15:
            event = chance.choice(self.events)  # a retry
        elif self.events and kind < 0.25:
            event = chance.choice(self.events)._replace(shop="s", order_no="m")
            event = event._replace(content=self.digest(event, chance.choice("xy")))
        else:
            event = self.new_event()
            event = event._replace(content=self.digest(event, ""))
        readmitted = chance.choice([0] * 9 + [15 * MINUTE_MS])
        return event._replace(received=self.received - readmitted)

    @staticmethod
    def digest(event, more):
        members = (event.status, event.sub, event.courier, event.occurred, event.order_no,
                   event.shop, more)
        return hashlib.sha256(repr(members).encode()).hexdigest()

    def deliveries(self):
        for _ in range(self.chance.randint(2, 14)):
            self.events.append(self.delivery())
        if self.chance.random() < 0.3:
            self.chance.shuffle(self.events)
        return self.events


def take_all(events):
    order = model.Order()
    return [order.take(event) for event in events]


@pytest.mark.parametrize("block", range(how_many(4, 50)))
def test_random_orders(block):
    chance = random.Random(SEED + block)
    orders = [RandomOrder(chance).deliveries() for _ in range(5000)]
    lines = ["= " + " ".join(event.token() for event in events) for events in orders]
    answers, without_history = drive(lines)
    seen = dict.fromkeys(("applied", "jumped", "reassigned", "repeated", "late", "duplicate",
                          "conflict", "illegal", "unknown", "mismatch", "other courier"), 0)
    for line, events, answer in zip(lines, orders, answers):
        judged = take_all(events)
        assert answer.split(" ") == [one.text() for one in judged], line
        for one in judged:
            seen[one.verdict] += 1
            seen["other courier"] += one.other_courier
    # Or the orders would not test what they are made for.
    assert min(seen.values()) > 100, seen
    assert without_history > 5000


def test_random_orders_that_agree_end_in_one_state_whatever_arrives_first():
    chance = random.Random(SEED)
    lines, groups = [], 0
    for _ in range(500):
        events = [event._replace(order_no="m", shop="s")
                  for event in RandomOrder(chance).deliveries()]
        # One of each key; a time of receipt would move with the order of arrival.
        events = list({e.key(): e for e in events if e.occurred is not None}.values())
        if not events:
            continue
        groups += 1
        for _ in range(8):
            chance.shuffle(events)
            lines.append("= " + " ".join(event.token() for event in events))
    answers, _ = drive(lines)
    for group in range(groups):
        ends = {end_of(answer) for answer in answers[8 * group:8 * group + 8]}
        assert len(ends) == 1, lines[8 * group]
