"""Every two operations at once, either of them first (reliability 3.2, L2).

The first stops at each failpoint that it comes by, and once with all written and nothing committed; the second
then does all that it can. Whatever happens must be what one of the two orders would have led to, one after the
other: the rows, and the answers of both. Nobody may be the victim of a deadlock, also none that is tried again.
"""

# ruff: noqa: E501

import re
from functools import cache, cached_property, partial
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

import django_flare
from django_flare import failpoints
from django_flare.store import transactions
from django_flare.store.faults import Fault
from tests.races.operations import OPERATIONS, World, answer, may_meet, snapshot
from tests.races.support import Stage, is_serial, own_transaction, stop_here

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.whole_run_on("postgres", "mariadb")]

BEFORE_COMMIT = "test.here"
# Those of a turn are the same as that and as no race at all.
PLACES = sorted(
    {
        place
        for file in Path(django_flare.__file__).parent.rglob("*.py")
        for place in re.findall(r'\breach\("([a-z_.]+)"\)', file.read_text())
        if not place.startswith("turn.")
    }
)

world_named = cache(World)


class Race:
    """Let two operations, as rivals 0 and 1, loose on one world."""

    def __init__(self, world, names):
        self.world = world
        self.names = names
        self.operations = [OPERATIONS[name] for name in names]
        self.places, self.alone = {}, {}

    def hold(self, first, place):
        """Hold the first up at the place while the second does what it can, and judge what comes of it."""
        self.world.restore()
        stage = Stage()
        try:
            held = stage.start(partial(self._answer_slowly, first, place), pause_at=place)
            rival = stage.start(partial(self._answer, 1 - first))
            how = rival.ends_or_blocks(may_block=self.operations[1 - first].may_wait or is_serial())
            held.go_on()
            said = {first: held.result(), 1 - first: rival.result()}
        finally:
            stage.close()
        case = f"{self.world.name}: {self.names[first]} held at {place}, {self.names[1 - first]} was {how}"
        self._judge(said, case)

    def _judge(self, said, case):
        found, expected = (said, snapshot(self.world)), self.orders
        if found not in expected and any(each.passes_over for each in self.operations):
            found, expected = self._once_more(said), self.orders_and_once_more
        assert found in expected, case

    @cached_property
    def orders(self):
        """What comes of the two orders: the answers of both, and all that is there then."""
        return [(self._one_after_the_other(first), snapshot(self.world)) for first in (0, 1)]

    @cached_property
    def orders_and_once_more(self):
        return [self._once_more(self._one_after_the_other(first)) for first in (0, 1)]

    def _one_after_the_other(self, first):
        self.world.restore()
        self.alone[None] = snapshot(self.world)
        came_by = []
        for place in PLACES:
            failpoints.activate(place, partial(came_by.append, place))
        said = {first: self._answer(first)}
        failpoints.clear()
        self.places[first] = [*dict.fromkeys(came_by), BEFORE_COMMIT]
        self.alone[first] = snapshot(self.world)
        said[1 - first] = self._answer(1 - first)
        return said

    def is_one(self):
        """Tell whether each of the two changes something, before the other or after it."""
        after = [there for _, there in self.orders]
        return all(
            self.alone[rival] != self.alone[None] or after[1 - rival] != self.alone[1 - rival]
            for rival in (0, 1)
        )

    def _once_more(self, said):
        """Let those come again that pass over what others have locked; return what is there then."""
        total = dict(said)
        for rival, operation in enumerate(self.operations):
            if operation.passes_over:
                total[rival] = operation.sum_up(said[rival], self._answer(rival))
        return total, snapshot(self.world)

    def _answer(self, rival):
        return answer(self.operations[rival], self.world, rival)

    def _answer_slowly(self, rival, place):
        if place != BEFORE_COMMIT:
            return self._answer(rival)
        with own_transaction():
            said = self._answer(rival)
            stop_here(BEFORE_COMMIT)
        return said


@pytest.fixture(autouse=True)
def conflicts(monkeypatch):
    """Collect what the database refused for another's sake, also where it was tried again."""
    found, classify = [], transactions.classify

    def noting(error):
        fault = classify(error)
        if fault is Fault.CONFLICT:
            found.append(error)
        return fault

    monkeypatch.setattr(transactions, "classify", noting)
    yield
    assert found == []


@pytest.mark.parametrize("names", list(combinations_with_replacement(OPERATIONS, 2)), ids=" + ".join)
def test_two_operations_at_once_do_what_they_would_one_after_the_other(names):
    worlds = dict.fromkeys(OPERATIONS[name].home for name in names)
    races = [race for race in (Race(world_named(home), names) for home in worlds) if race.is_one()]
    assert bool(races) == may_meet(*names)
    for race in races:
        for first in dict.fromkeys([0, names.index(names[1])]):
            for place in [BEFORE_COMMIT] if is_serial() else race.places[first]:
                race.hold(first, place)
