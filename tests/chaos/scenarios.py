"""How a campaign goes: the small one, the full one, and the short ones in which a fault is planted."""

from dataclasses import dataclass, field

from tests.chaos.figures import BOUNDS, BOUNDS_OF_FULL
from tests.chaos.nemesis import FULL
from tests.chaos.workload import SHARES

_FULL_KILLS = FULL["kill_group"]


@dataclass
class Scenario:
    """What is asked of a campaign; times in seconds."""

    seed: int
    jobs: int
    seconds: float
    faults: dict[str, int]
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    drain: float = 180.0
    over_http: int = 3
    frozen: tuple[float, float] = (2.0, 15.0)
    planted: str = ""
    expected: tuple[str, ...] = ()
    """Of which invariants a planted fault has to violate one at least."""
    cluster: dict[str, str] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    """What figures may be at most."""


def campaign(seed, jobs, kills, seconds):
    """Return a campaign with all faults, in the proportions of the full one."""
    share = kills / _FULL_KILLS
    faults = {kind: max(1, round(count * share)) for kind, count in FULL.items()}
    bounds = BOUNDS_OF_FULL if kills >= _FULL_KILLS else BOUNDS
    return Scenario(seed, jobs, seconds, {**faults, "kill_group": kills}, bounds=bounds)


_ZOMBIES = {
    "jobs": 500,
    "seconds": 32,
    "faults": {"freeze": 7},
    "shares": {"noop": 20, "progress": 30, "long": 0.5},
    "frozen": (5.8, 7.5),
}
_GRAPHS = {
    "jobs": 600,
    "seconds": 15,
    "faults": {"stop_cleanly": 1},
    "shares": {"noop": 5, "graph": 5, "late": 10},
}
_PLANTED = {
    "no_fence": {
        # So few that slots are free for what is taken back before its zombie wakes.
        "jobs": 40,
        "seconds": 30,
        "faults": {"freeze": 2},
        "shares": {"noop": 3, "deaf": 7},
        "frozen": (9.0, 11.0),
        "expected": ("I7", "I3"),
    },
    "recovery_by_id": {**_ZOMBIES, "expected": ("I3",)},
    "no_parent_lock": {**_GRAPHS, "expected": ("I11",)},
    "early_activation": {**_GRAPHS, "expected": ("I9",)},
    "counted_at_the_end": {
        "jobs": 150,
        "seconds": 20,
        "faults": {"stop_cleanly": 1},
        "shares": {"noop": 95, "poison": 3},
        "expected": ("I17",),
    },
    "application_clock": {
        "jobs": 400,
        "seconds": 12,
        "faults": {"stop_cleanly": 1},
        "shares": {"noop": 5, "scheduled": 5},
        "expected": ("I16",),
    },
    "read_then_insert": {
        "jobs": 500,
        "seconds": 12,
        "faults": {"stop_cleanly": 1},
        "shares": {"keyed": 10},
        "expected": ("I12",),
    },
    "release_counts": {
        "jobs": 300,
        "seconds": 20,
        "faults": {"stop_cleanly": 4},
        "shares": {"noop": 10, "deaf": 10},
        "expected": ("I8",),
    },
    "asynchronous_commit": {
        "jobs": 2000,
        "seconds": 20,
        "faults": {"crash": 3},
        "shares": {"noop": 10},
        "cluster": {
            "synchronous_commit": "off",
            "wal_writer_delay": "10000ms",
            "wal_writer_flush_after": "512MB",
        },
        "expected": ("I1",),
    },
}
PLANTS = tuple(_PLANTED)


def planted(name, seed):
    """Return the short campaign in which the fault `name` is planted."""
    return Scenario(seed, planted=name, **{"drain": 15.0, **_PLANTED[name]})


def control(name, seed):
    """Return the same campaign with nothing planted, which has to pass."""
    return Scenario(seed, **{**_PLANTED[name], "expected": (), "cluster": {}})
