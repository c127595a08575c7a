"""What came back for a request, before anybody has read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec


class Refusal(msgspec.Struct):
    """Hold an error as it goes over the wire."""

    code: str
    message: str
    request_id: str | None = None
    details: list[dict[str, Any]] | None = None


class _Envelope(msgspec.Struct):
    error: Refusal


@dataclass(frozen=True)
class Reply:
    """Hold an answer to `request`, or with `failure` why there was none; its status is 0 then.

    The names of `headers` are in lower case.
    """

    request: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    failure: Exception | None = None

    @property
    def is_success(self) -> bool:
        """Tell whether the server did what was asked."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body's value; raises ValueError or RecursionError for what is no JSON."""
        return json.loads(self.content)

    def refusal(self) -> Refusal | None:
        """Return the API's error that the body is, or None when it is something else."""
        try:
            return msgspec.convert(self.json(), _Envelope).error
        except (ValueError, RecursionError):  # errors of msgspec are ValueErrors
            return None
