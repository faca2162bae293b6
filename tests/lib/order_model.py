"""What the contract says about judging, once more, for comparison with the C.

Written from the contract and docs/decisions/0002-judging.md, and as far from the C as possible:
places are sets of (status, sub-status), ways are searched breadth first each time, and every event
is judged by evaluating the whole history again. There is no short cut here.
"""

from typing import NamedTuple, Optional

TEN_MINUTES_MS = 10 * 60 * 1000
PLACED = "not placed yet"

# The documented steps, from the platform's table.
STEPS = {
    PLACED: [(20, 1)],
    (20, 1): [(30, 1), (60, None)],
    (20, 2): [(30, 1), (60, None)],
    (30, 1): [(30, 2), (20, 2), (60, None), (40, 1)],
    (30, 2): [(20, 2), (60, None), (40, 1)],
    (40, 1): [(50, 1), (40, 2)],
    (40, 2): [(50, 1), (40, 3), (40, 4)],
    (40, 4): [(40, 3), (50, 1)],
    (40, 3): [(60, None)],
    (50, 1): [(50, 2)],
    (50, 2): [],
    (60, None): [],
}
STATES = [place for place in STEPS if place != PLACED]

# Of two events at one instant the one further up happened first; "?" stands for the sub-statuses of
# a status that nobody knows, and for none.
RANKS = [(20, 1), (30, 1), (30, 2), (30, "?"), (20, 2), (20, "?"), (40, 1), (40, 2), (40, 4),
         (40, 3), (40, "?"), (50, 1), (50, 2), (50, "?"), (60, None)]


class Event(NamedTuple):
    status: int
    sub: Optional[int]
    courier: str = ""
    occurred: Optional[int] = None  # None: the platform gave no time
    received: int = 0
    order_no: str = ""
    shop: str = ""
    content: str = "00"  # hex digits in place of the digest

    def time(self):
        return self.received if self.occurred is None else self.occurred

    def key(self):
        return self.status, self.sub, self.courier, self.occurred

    def token(self):
        fields = (self.status, self.sub, self.courier, self.occurred, self.received, self.order_no,
                  self.shop, self.content)
        return "/".join("-" if f is None or f == "" else str(f) for f in fields)


class State(NamedTuple):
    """What is known of an order. since is the time of the event that set it."""
    status: int
    sub: Optional[int]
    courier: str
    since: int
    reassignments: int


class Judged(NamedTuple):
    verdict: str
    before: Optional[State]
    after: Optional[State]
    other_courier: bool = False
    duplicate_of: int = 0

    def text(self):
        def place(state):
            if state is None:
                return "0/0"
            return f"{state.status}/{'-' if state.sub is None else state.sub}"

        after = self.after
        rest = f"{after.courier},{after.since},{after.reassignments}" if after else ",0,0"
        return (f"{self.verdict}:{place(self.before)}>{place(after)},{rest}"
                + ("~" if self.other_courier else "")
                + (f"={self.duplicate_of}" if self.duplicate_of else ""))


def known_status(status):
    return any(status == s for s, _ in STATES)


def places(status, sub):
    """Where an order may be that is said to be in a status and sub-status."""
    if status == 60:
        return {(60, None)}
    if (status, sub) in STEPS:
        return {(status, sub)}
    return {place for place in STATES if place[0] == status}


def way(here, there):
    """The ends of the shortest ways of at least one step, and their length; None without a way."""
    seen, front, length = set(), set(here), 0
    while front:
        front = {end for place in front for end in STEPS[place]}
        length += 1
        if front & there:
            return front & there, length
        if front <= seen:
            return None
        seen |= front
    return None


def act(state, event):
    """One event at its turn: verdict, state afterwards, and whether another courier was ignored."""
    here = {PLACED} if state is None else places(state.status, state.sub)
    there = places(event.status, event.sub)
    sub = None if event.status == 60 else event.sub
    others = bool(state and state.courier and event.courier and state.courier != event.courier)

    if here & there:
        # Perhaps where the order is already. Couriers change on the way through 20/2 only, and from
        # there an order can only be met again in 20/2 itself or in 30.
        if others and event.status in (20, 30) and there != {(20, 1)}:
            return "jumped", moved(state, event, sub, (event.status, event.sub) == (20, 2)), False
        if sub is None or sub == state.sub:
            return "repeated", state._replace(courier=state.courier or event.courier), others
        if there == {(20, 2)}:
            return "reassigned", moved(state, event, sub, True), False
        return "applied", moved(state, event, sub, False), False

    found = way(here, there)
    if found is None:
        return "illegal", state, False
    ends, length = found
    if length > 1:
        return "jumped", moved(state, event, sub, (event.status, event.sub) == (20, 2)), False
    if ends == {(20, 2)}:
        return "reassigned", moved(state, event, sub, True), False
    return "applied", moved(state, event, sub, False), False


def moved(state, event, sub, reassigned):
    courier = event.courier
    if not courier and event.status != 20 and state is not None:
        courier = state.courier
    count = state.reassignments if state else 0
    return State(event.status, sub, courier, event.time(), count + reassigned)


def rank(event):
    for spelling in ((event.status, event.sub), (event.status, None), (event.status, "?")):
        if spelling in RANKS:
            return RANKS.index(spelling)
    raise AssertionError("only events of known statuses are folded")


def fold_order(event):
    sub = -1 if event.sub is None else event.sub
    return (event.time(), rank(event), sub, event.courier.encode(), event.content.ljust(64, "0"))


def fold(events):
    """State, and the event that set it."""
    state, setter = None, None
    for event in sorted(events, key=fold_order):
        verdict, state, _ = act(state, event)
        if verdict not in ("repeated", "illegal"):
            setter = event
    return state, setter


NOT_FOLDED = ("conflict", "mismatch", "unknown")


class Order:
    """One order and the events that are stored of it."""

    def __init__(self):
        self.stored = []  # (event, verdict), in the order of arrival

    def folded(self):
        return [event for event, verdict in self.stored if verdict not in NOT_FOLDED]

    def bound(self, member):
        for event, verdict in self.stored:
            if verdict != "mismatch" and getattr(event, member):
                return getattr(event, member)
        return ""

    def first_delivery(self, event):
        """Number of the stored event of which this is another delivery, 0 if there is none."""
        for number, (other, _) in enumerate(self.stored, 1):
            if other.key() != event.key() or other.content != event.content:
                continue
            if (event.occurred is not None
                    or abs(other.received - event.received) <= TEN_MINUTES_MS):
                return number
        return 0

    def mismatches(self, event):
        return any(self.bound(member) and getattr(event, member)
                   and self.bound(member) != getattr(event, member)
                   for member in ("order_no", "shop"))

    def contradicts(self, event):
        return event.occurred is not None and any(
            other.key() == event.key() for other, verdict in self.stored if verdict != "mismatch")

    def judge(self, event):
        before, setter = fold(self.folded())
        number = self.first_delivery(event)
        if number:
            return Judged("duplicate", before, before, duplicate_of=number)
        if self.mismatches(event):
            return Judged("mismatch", before, before)
        if not known_status(event.status):
            return Judged("unknown", before, before)
        if self.contradicts(event):
            return Judged("conflict", before, before)
        after, _ = fold(self.folded() + [event])
        if setter is not None and fold_order(event) < fold_order(setter):
            return Judged("late", before, after)
        verdict, _, others = act(before, event)
        return Judged(verdict, before, after, others)

    def take(self, event):
        judged = self.judge(event)
        if judged.verdict != "duplicate":
            self.stored.append((event, judged.verdict))
        return judged
