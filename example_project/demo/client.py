"""The shop as its customers see it: over HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from django_flare import JobState
from example_project.demo.errors import DemoError


@dataclass(frozen=True)
class Reading:
    """A job as it was at one moment."""

    state: JobState
    attempt: int
    max_attempts: int
    progress: float | None
    error: str | None
    result: Any


@dataclass(frozen=True)
class PlacedOrder:
    """An order that the shop has taken, and its jobs."""

    order_id: int
    email: str
    job_id: str
    confirmation_job_id: str


class ShopClient:
    """Call the shop's endpoints; an answer other than the expected one is a DemoError."""

    def __init__(self, port: int) -> None:
        self._port = port

    def is_there(self) -> bool:
        """Tell whether the server answers."""
        try:
            return self._send("GET", "/jobs/none", None)[0] == 404
        except (OSError, HTTPException):
            return False

    def place_order(self, order: dict[str, str]) -> PlacedOrder:
        """Order what a row of the CSV file says."""
        body = {**order, "quantity": int(order["quantity"])}
        placed = self._call("POST", "/orders", 201, body)
        stored = self._call("GET", f"/orders/{placed['order_id']}", 200)
        return PlacedOrder(
            placed["order_id"], stored["email"], placed["job_id"], stored["confirmation_job_id"]
        )

    def schedule_report(self, run_at: datetime) -> str:
        """Ask for a report; return its job's id."""
        body = {"run_at": run_at.isoformat()}
        return str(self._call("POST", "/reports/schedule", 202, body)["job_id"])

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        self._call("POST", f"/jobs/{job_id}/cancel", 200)

    def read(self, job_id: str) -> Reading:
        """Return how a job stands."""
        job = self._call("GET", f"/jobs/{job_id}", 200)
        return Reading(
            JobState(job["state"]),
            job["attempt"],
            job["max_attempts"],
            job["progress"],
            job["error_message"],
            job["result"],
        )

    def _call(self, method: str, path: str, expected: int, body: object = None) -> dict[str, Any]:
        try:
            status, answer = self._send(method, path, body)
        except (OSError, HTTPException) as error:
            raise DemoError(f"{method} {path}: no answer from the server ({error})") from error
        if status != expected:
            raise DemoError(f"{method} {path}: {status} instead of {expected}: {answer[:300]!r}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def _send(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        # Straight to the server, whatever proxy the environment names.
        connection = HTTPConnection("127.0.0.1", self._port, timeout=15)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
