"""What reading verbs return: plain, frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from django_flare.states import JobState


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """Describe one job at one moment; what does not exist yet is None.

    Times are aware datetimes in UTC, `timeout` is a timedelta, `progress` a float from 0 to 1,
    `attempt_number` is 0 before the first claim, `parent_job_ids` keeps the order given.
    """

    job_id: str
    state: JobState
    job_type: str
    queue: str
    priority: int
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    attempt_number: int
    max_attempts: int
    progress: float | None
    error_message: str | None
    result: Any
    result_error: str | None
    tags: dict[str, str]
    parent_job_ids: tuple[str, ...]
    cancelled_by: str | None
    worker_id: str | None
    timeout: timedelta
    payload: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the HTTP API's job object: JSON types only, times in RFC 3339 with `Z`."""
        return {
            "id": self.job_id,
            "state": self.state.value,
            "job_type": self.job_type,
            "queue": self.queue,
            "priority": self.priority,
            "payload": self.payload,
            "tags": self.tags,
            "attempt": self.attempt_number,
            "max_attempts": self.max_attempts,
            "timeout_seconds": _plain_seconds(self.timeout),
            "progress": self.progress,
            "error_message": self.error_message,
            "result": self.result,
            "result_error": self.result_error,
            "created_at": instant(self.created_at),
            "run_at": instant(self.run_at),
            "started_at": instant(self.started_at),
            "completed_at": instant(self.completed_at),
            "parent_job_ids": list(self.parent_job_ids),
            "cancelled_by": self.cancelled_by,
            "worker_id": self.worker_id,
        }


@dataclass(frozen=True)
class JobPage:
    """Hold one page of `list_jobs`, newest first; pass `next_cursor` on for the next."""

    jobs: list[JobStatus]
    has_more: bool
    next_cursor: str | None


class Reason(StrEnum):
    """Name why a job is not running, in the order in which reasons are looked for."""

    FINAL = "final"
    STOP_REQUESTED = "stop_requested"
    RUNNING = "running"
    WAITING_FOR_PARENTS = "waiting_for_parents"
    SCHEDULED_UNTIL = "scheduled_until"
    RETRY_AT = "retry_at"
    QUEUE_PAUSED = "queue_paused"
    NO_WORKER_FOR_QUEUE = "no_worker_for_queue"
    NO_WORKER_KNOWS_TYPE = "no_worker_knows_type"
    WORKERS_BUSY = "workers_busy"
    CLAIMABLE = "claimable"


@dataclass(frozen=True)
class Explanation:
    """Say why a job is not running: a `code` for programs, a `message` for people, the facts in `details`.

    Times in `details` are aware datetimes in UTC.
    """

    code: Reason
    message: str
    details: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types only, times in RFC 3339 with `Z`."""
        details = {
            name: instant(value) if isinstance(value, datetime) else value
            for name, value in self.details.items()
        }
        return {"code": self.code.value, "message": self.message, "details": details}


def _plain_seconds(duration: timedelta) -> int | float:
    seconds = duration.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def instant(moment: datetime | None) -> str | None:
    """Return a time as it goes over the wire: RFC 3339 with `Z`."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
