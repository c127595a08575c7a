"""The ancestors and descendants of a job: found level by level, laid out in columns, drawn as SVG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from django_flare.admin.words import state_label
from django_flare.jobs.tolerance import Unreadable, read_tolerantly
from django_flare.models import Continuation
from django_flare.states import JobState

MOST_NODES = 200
_MOST_LINKS = 1_000
_MOST_LEVELS = 30

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 210, 46, 56, 14, 8
_MOST_LETTERS = 26
_STATES = frozenset(JobState)


@dataclass(frozen=True)
class Node:
    """One job of the graph, placed."""

    job: Any
    x: str
    y: str
    is_own: bool

    @property
    def label(self) -> str:
        """The end of the job's type, which tells types of one module apart."""
        name = str(self.job.job_type)
        return name if len(name) <= _MOST_LETTERS else f"…{name[1 - _MOST_LETTERS :]}"

    @property
    def state(self) -> str:
        """The state in words."""
        return state_label(self.job.state)

    @property
    def css(self) -> str:
        """The name by which the state is coloured."""
        return self.job.state.replace("_", "-") if self.job.state in _STATES else "unknown"


@dataclass(frozen=True)
class Graph:
    """A drawing of `width` times `height`: nodes, and paths from parents to children."""

    nodes: Sequence[Node]
    paths: Sequence[str]
    width: str
    height: str


@dataclass
class Family:
    """The keys of a job's relations as far as they were looked for, and the links between them."""

    links: set[tuple[int, int]] = field(default_factory=set)
    keys: set[int] = field(default_factory=set)
    is_whole: bool = True


def find_family(job: Any) -> Family:
    """Find the ancestors and the descendants of the job, up to 200 jobs and 30 levels each way."""
    family = Family(keys={job.pk})
    for near, far in (("child_id", "parent_id"), ("parent_id", "child_id")):
        level = {job.pk}
        for _level in range(_MOST_LEVELS):
            if not level or not family.is_whole:
                break
            found = list(
                Continuation.objects.filter(**{f"{near}__in": level})
                .order_by("parent_id", "child_id")
                .values_list("parent_id", "child_id")[: _MOST_LINKS + 1]
            )
            family.links.update(found)
            level = {link[far == "child_id"] for link in found} - family.keys
            family.keys |= level
            family.is_whole = len(family.keys) <= MOST_NODES and len(found) <= _MOST_LINKS
        family.is_whole = family.is_whole and not level
    return family


def draw(job: Any, family: Family, visible: QuerySet[Any]) -> Graph:
    """Place the jobs of the family that may be seen in columns, parents left of their children."""
    rows = visible.filter(pk__in=family.keys).only("public_id", "state", "job_type", "queue")
    jobs = {row.pk: row for row in read_tolerantly(rows) if not isinstance(row, Unreadable)}
    jobs[job.pk] = job
    links = {link for link in family.links if jobs.keys() >= set(link)}
    places = _places(jobs, links)
    nodes = [Node(jobs[key], str(x), str(y), key == job.pk) for key, (x, y) in sorted(places.items())]
    paths = [_path(places[parent], places[child]) for parent, child in sorted(links)]
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    return Graph(nodes, paths, str(width), str(height))


def _places(keys: Collection[int], links: Collection[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    parents: dict[int, list[int]] = defaultdict(list)
    for parent, child in links:
        parents[child].append(parent)
    columns: dict[int, list[int]] = defaultdict(list)
    depth: dict[int, int] = {}
    # A child's key is greater than its parents', so they come first.
    for key in sorted(keys):
        depth[key] = 1 + max((depth[parent] for parent in parents[key]), default=-1)
        columns[depth[key]].append(key)
    rank: dict[int, float] = {}
    places = {}
    for column in sorted(columns):
        ordered = sorted(columns[column], key=lambda key: (_middle(parents[key], rank), key))
        for position, key in enumerate(ordered):
            rank[key] = position
            places[key] = (
                _MARGIN + column * (_WIDTH + _GAP_X),
                _MARGIN + position * (_HEIGHT + _GAP_Y),
            )
    return places


def _middle(parents: Sequence[int], rank: Mapping[int, float]) -> float:
    return sum(rank[parent] for parent in parents) / len(parents) if parents else 0.0


def _path(parent: tuple[int, int], child: tuple[int, int]) -> str:
    x1, y1 = parent[0] + _WIDTH, parent[1] + _HEIGHT // 2
    x2, y2 = child[0], child[1] + _HEIGHT // 2
    half = (x1 + x2) // 2
    return f"M{x1} {y1}C{half} {y1} {half} {y2} {x2 - 5} {y2}"
