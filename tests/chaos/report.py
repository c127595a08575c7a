"""The campaign's report, for people (Markdown) and programs (JSON)."""

import json
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.invariants import describe

_SHOWN = 10
VERDICTS = {"passed": 0, "failed": 1, "unknown": 2}
"""The exit code of each; without a full drain nothing is known."""


@dataclass
class Report:
    """What came out: `violations` has a list for each invariant, None for one that does not apply."""

    seed: int
    asked: dict
    violations: dict
    figures: dict
    bounds: dict
    faults: dict
    seconds: float
    drained: bool
    left_out: dict = field(default_factory=dict)
    made_of: dict = field(default_factory=dict)
    """The revision and the versions that were tried."""

    @property
    def verdict(self):
        found = [each for name, each in self._found() if self.drained or not _is_of_the_drain(name, each)]
        if found:
            return "failed"
        return "passed" if self.drained else "unknown"

    def __post_init__(self):
        if self.exceeded:
            self.violations["figures"] = [f"{name}: more than {self.bounds[name]}" for name in self.exceeded]

    @property
    def exceeded(self):
        """The figures beyond their bounds."""
        return [name for name, most in self.bounds.items() if (self.figures.get(name) or 0) > most]

    def _found(self):
        return [(name, each) for name, found in self.violations.items() for each in found or ()]

    def _bound(self, name):
        most = self.bounds.get(name, "")
        return f"{most} **exceeded**" if name in self.exceeded else most

    def as_json(self):
        return json.dumps({**self.__dict__, "verdict": self.verdict}, indent=2, sort_keys=True) + "\n"

    def as_markdown(self):
        lines = [
            f"# Campaign {self.seed}: {self.verdict}",
            "",
            f"Asked for: {_pairs(self.asked)}. It took {self.seconds:.0f} s"
            f" and {'drained' if self.drained else 'did **not** drain'}.",
            f"Tried: {_pairs(self.made_of)}.",
            "",
            "| | invariant | violations |",
            "| --- | --- | --- |",
            *(f"| {name} | {describe(name)} | {_count(found)} |" for name, found in self.violations.items()),
        ]
        for name, found in self.violations.items():
            if found:
                lines += ["", f"## {name}", "", *(f"- {each}" for each in found[:_SHOWN])]
                lines += [f"- … and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        lines += ["", "| figure | | at most |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {_pairs(value)} | {self._bound(name)} |" for name, value in self.figures.items()
        ]
        lines += ["", "| fault | times |", "| --- | --- |"]
        lines += [f"| {kind} | {count} |" for kind, count in self.faults.items()]
        lines += [f"| {kind} | left out: {reason} |" for kind, reason in self.left_out.items()]
        return "\n".join(lines) + "\n"


def _is_of_the_drain(name, violation):
    """Tell whether a violation says no more than that jobs are left."""
    return name == "I11" or violation.startswith("not ended")


def count_kinds(faults):
    return dict(sorted(Counter(fault.kind for fault in faults).items()))


def _count(found):
    return "not applicable" if found is None else str(len(found))


def _pairs(value):
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "–" if value is None else str(value)
