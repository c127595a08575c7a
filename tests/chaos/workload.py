"""What is enqueued, drawn by a seed: each item is a list of steps for a client."""

from dataclasses import dataclass, field
from datetime import timedelta

NASTY = ("exit", "huge", "nul", "result", "transaction")
POISONS = ("exit", "kill")

SHARES = {
    "noop": 52,
    "write": 12,
    "atomic": 3,
    "progress": 2,
    "long": 0.05,
    "deaf": 0.05,
    "flaky": 6,
    "hopeless": 1,
    "overlong": 0.1,
    "snoozer": 0.5,
    "scheduled": 3,
    "graph": 1.6,
    "late": 0.6,
    "parent": 1,
    "keyed": 4,
    "nasty": 0.3,
    "poison": 0.04,
}
"""Weights of the kinds of items; a graph, a late child and a parent are several jobs."""


@dataclass
class Item:
    """One job to enqueue; `parents` are places in the same list of items, `delay` in seconds."""

    kind: str
    payload: dict = field(default_factory=dict)
    parents: tuple[int, ...] = ()
    delay: float = 0.0
    dies: bool = False

    @property
    def when(self):
        return timedelta(seconds=self.delay) if self.delay else None


def draw_items(draw, shares):
    """Return the items of one turn of a client: one job, or those of a graph in order."""
    kind = draw.choices(list(shares), list(shares.values()))[0]
    return _MAKERS[kind](draw)


def _one(kind, **ranges):
    def make(draw):
        return [Item(f"chaos.{kind}", {name: draw.uniform(*span) for name, span in ranges.items()})]

    return make


def _noop(draw):
    return [Item("chaos.noop", {"seconds": draw.choice([0, 0, 0, 0.005])})]


def _flaky(draw):
    return [Item("chaos.flaky", {"failures": draw.randint(1, 3)})]


def _scheduled(draw):
    delay = draw.uniform(0.5, 8)
    return [Item("chaos.noop", {"delay": delay}, delay=delay)]


def _parent(draw):
    return [Item("chaos.parent", {"children": draw.randint(1, 6)})]


def _nasty(draw):
    return [Item("chaos.nasty", {"how": draw.choice(NASTY)})]


def _poison(draw):
    return [Item("chaos.poison", {"how": draw.choice(POISONS)})]


def _keyed(draw):
    return [Item("chaos.noop", {"keyed": True, "seconds": 0})]


def _late(draw):
    """A parent that lasts a moment; the client adds children meanwhile, until after its end."""
    root = Item("chaos.node", {"seconds": draw.uniform(0.1, 1.0), "dies": draw.random() < 0.2})
    return [root, *(Item("chaos.node", {"late": True}, parents=(0,)) for _ in range(draw.randint(2, 5)))]


def _graph(draw):
    root = Item("chaos.node", {"seconds": draw.uniform(0, 0.2), "dies": draw.random() < 0.15})
    return [root, *draw.choice([_chain, _fan, _diamond])(draw)]


def _node(draw, *parents):
    return Item("chaos.node", {"seconds": draw.choice([0, 0, 0.05])}, parents=parents)


def _chain(draw):
    return [_node(draw, place) for place in range(draw.randint(2, 10))]


def _fan(draw):
    width = draw.randint(3, 20)
    return [*(_node(draw, 0) for _ in range(width)), _node(draw, *range(1, width + 1))]


def _diamond(draw):
    return [_node(draw, 0), _node(draw, 0), _node(draw, 1, 2), _node(draw, 3)]


_MAKERS = {
    "noop": _noop,
    "write": _one("write", seconds=(0.02, 0.08)),
    "atomic": _one("atomic", seconds=(0, 0.2)),
    "progress": _one("progress", seconds=(0.6, 1.2)),
    "long": _one("long", seconds=(11, 13)),
    "deaf": _one("deaf", seconds=(6, 8)),
    "flaky": _flaky,
    "hopeless": _one("hopeless"),
    "overlong": _one("overlong"),
    "snoozer": _one("snoozer", seconds=(0.2, 2)),
    "scheduled": _scheduled,
    "graph": _graph,
    "late": _late,
    "parent": _parent,
    "keyed": _keyed,
    "nasty": _nasty,
    "poison": _poison,
}
