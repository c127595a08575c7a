"""The jobs that the demo watches."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_flare import JobState
from django_flare.states import FINAL
from example_project.demo.client import Reading, ShopClient


@dataclass
class WatchedJob:
    """A job, the state in which it should end, and how it was when last read."""

    job_id: str
    job_type: str
    expected: JobState
    reading: Reading | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether it has ended."""
        return self.reading is not None and self.reading.state in FINAL


@dataclass
class Row:
    """One line of the board: an order with its two jobs, or a report, which nobody gets by mail."""

    title: str
    jobs: list[WatchedJob]
    email: str | None = None


@dataclass(frozen=True)
class Change:
    """What reading a job again has shown."""

    row: Row
    job: WatchedJob
    before: JobState | None
    reading: Reading

    @property
    def is_one(self) -> bool:
        """Tell whether the state is another one than before."""
        return self.before is not self.reading.state


@dataclass
class Board:
    """All rows, in the order in which they were added."""

    rows: list[Row] = field(default_factory=list)

    @property
    def jobs(self) -> list[WatchedJob]:
        """Return the jobs of all rows."""
        return [job for row in self.rows for job in row.jobs]

    @property
    def is_final(self) -> bool:
        """Tell whether all jobs have ended."""
        return all(job.is_final for job in self.jobs)

    def refresh(self, client: ShopClient) -> list[Change]:
        """Read every job that has not ended; return those that are in another state than before."""
        return [change for row in self.rows for change in _refreshed(row, client)]


def _refreshed(row: Row, client: ShopClient) -> list[Change]:
    # A continuation is read before its parent, so that it never seems to be the first to move.
    changes = [_read(row, job, client) for job in reversed(row.jobs) if not job.is_final]
    return [change for change in reversed(changes) if change.is_one]


def _read(row: Row, job: WatchedJob, client: ShopClient) -> Change:
    before, job.reading = job.reading, client.read(job.job_id)
    return Change(row, job, before.state if before else None, job.reading)
