"""The records that a campaign's evidence is made of.

Times are seconds since 1970 by the clock of the machine, which is the database's too. Jobs are known by their
public id. States are words: the checker shares no table with what it checks.
"""

from typing import NamedTuple


class Change(NamedTuple):
    """One change of a job's row; `before` None is its creation, `after` None its deletion.

    `committed` is when the transaction committed, `writer` the application that wrote it. `nonce` names the
    execution that the row's result or error comes from.
    """

    seq: int
    job: str
    before: str | None
    after: str | None
    at: float
    committed: float
    fence_before: int = 0
    fence: int = 0
    attempt_before: int = 0
    attempt: int = 0
    losses_before: int = 0
    losses: int = 0
    max_attempts: int = 1
    worker: str = ""
    run_at_before: float = 0.0
    run_at: float = 0.0
    writer: str = ""
    nonce: str = ""
    error: str = ""

    @property
    def how(self):
        """How the run ended that this change ends."""
        if self.losses > self.losses_before:
            return "lost"
        return {
            "succeeded": "succeeded",
            "failed": "failed",
            "dead_letter": "exhausted",
            "cancelled": "stopped",
            "scheduled": "snoozed",
            "pending": "released",
        }.get(self.after, "vanished")


class Birth(NamedTuple):
    """What a job was created as; `payload` holds the facts by which the checker knows what to expect."""

    job: str
    token: str
    kind: str
    at: float
    committed: float
    scope: str = ""
    key: str | None = None
    payload: dict = {}


class Execution(NamedTuple):
    """One start of a handler, and its end if it got that far; `parents` are the states that it saw."""

    nonce: str
    job: str
    attempt: int
    pid: int
    started: float
    ended: float | None = None
    parents: tuple[str, ...] = ()


class Effect(NamedTuple):
    """A row that a handler wrote into the business data."""

    job: str
    kind: str


class Operation(NamedTuple):
    """What a client has tried: the intent was on disk before the call.

    `result` is ok, refused, rolled_back or unknown. `answer` is what the verb returned: a bool for those that
    control a job; `revive` what a retry was told. `statuses` are the answers over HTTP, each with whether it
    carried `Retry-After`.
    """

    verb: str
    channel: str
    asked: float
    answered: float
    result: str = "unknown"
    token: str = ""
    key: str | None = None
    job: str = ""
    answer: bool | None = None
    revive: bool = False
    error: str = ""
    statuses: tuple[tuple[int, bool], ...] = ()


class Fault(NamedTuple):
    """What the nemesis did, to which processes (none: to all), and which jobs were in flight there."""

    kind: str
    number: int
    began: float
    ended: float
    pids: tuple[int, ...] = ()
    in_flight: tuple[str, ...] = ()

    @property
    def is_global(self):
        return not self.pids


class Row(NamedTuple):
    """A job's row at the end."""

    job: str
    state: str
    open_parents: int = 0


class Sample(NamedTuple):
    """One look at the server: how long worker sessions are idle in transaction, and how many there are.

    `idle` holds (process id, seconds).
    """

    at: float
    idle: tuple[tuple[int, float], ...] = ()
    sessions: int = 0
    advisory_locks: int = 0


class Usage(NamedTuple):
    """What the witness, a worker that no fault on processes hits, holds at a moment."""

    at: float
    pid: int
    kibibytes: int
    descriptors: int


class Exit(NamedTuple):
    """The end of a worker's process as its supervisor or the campaign saw it."""

    at: float
    pid: int
    text: str
