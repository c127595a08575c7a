"""The jobs that the demo watches."""

from __future__ import annotations

from collections.abc import Iterator
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
    """A job that is in another state than before."""

    row: Row
    job: WatchedJob
    before: JobState | None


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
        return list(self._changes(client))

    def _changes(self, client: ShopClient) -> Iterator[Change]:
        for row in self.rows:
            for job in row.jobs:
                if not job.is_final:
                    before, job.reading = job.reading, client.read(job.job_id)
                    if before is None or before.state is not job.reading.state:
                        yield Change(row, job, before.state if before else None)
