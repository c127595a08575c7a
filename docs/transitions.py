"""The table of transitions, made from the code so that it cannot differ; without Sphinx, for the tests."""

from django_flare.states import TRANSITIONS, Event, JobState

EFFECTS = {
    Event.CREATE: "by its time and its parents",
    Event.DUE: "``run_at`` is reached and no parent is open",
    Event.CLAIM: "attempt + 1, fence + 1, ``started_at``, the worker",
    Event.SUCCEED: "progress 1.0, result kept, error cleared, children settled",
    Event.FAIL: "error kept, ``run_at`` = now + backoff; also after a timeout",
    Event.EXHAUST: "no attempt is left, or the handler raised ``Discard``: error kept, cascade",
    Event.LOSE: "the worker vanished: attempt given back, losses + 1; dead at the third loss, "
    "or at the first with ``max_attempts=1``",
    Event.RELEASE: "the worker stops: attempt given back, ``run_at`` kept",
    Event.SNOOZE: "attempt given back, ``run_at`` = now + delay",
    Event.STOPPED: "the job was asked to stop by ``jobs.stop`` and did not succeed: cascade",
    Event.CANCEL: "``jobs.cancel``: cascade",
    Event.CASCADE: "a parent is dead or cancelled: ``cancelled_by`` = the root cause",
    Event.DISCARD: "``jobs.discard``: cascade",
    Event.RETRY: "``jobs.retry``: ``run_at`` = now; attempts used up: ``max_attempts`` = attempt + 1",
    Event.REVIVE: "``jobs.retry(…, revive=True)`` of the root cause: settled anew",
}


def rows() -> list[tuple[str, str, str, str]]:
    """Return (event, from, to, what goes with it) for each event, in the order of the machine."""
    return [
        (event.value, _names(each.sources) or "–", _names(each.targets), EFFECTS[event])
        for event, each in TRANSITIONS.items()
    ]


def _names(states: frozenset[JobState]) -> str:
    return ", ".join(state.value for state in JobState if state in states)


def table() -> str:
    """Return the rows as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [("event", "from", "to", "with it"), *rows()]:
        lines += [
            f"   {'* -' if first else '  -'} {cell}" for first, cell in zip((1, 0, 0, 0), row, strict=True)
        ]
    return "\n".join(lines)
