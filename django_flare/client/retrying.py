"""When a request is sent again, and after which pause."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django_flare.client.replies import Reply

MOST_REPEATS = 3
"""How often a request is sent again at most."""
LONGEST_ORDER = 60.0
"""How many seconds a server may order to wait."""
PASSING = frozenset({429, 502, 503, 504})
"""The statuses of troubles that pass."""

_BASE, _CAP = 0.5, 8.0
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


class Repeats:
    """Decide for one request whether it is sent again; `uniform` gives numbers between its two arguments."""

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._made = 0

    def pause(self, reply: Reply) -> float | None:
        """Return the seconds after which to send the request again, or None to leave it at this answer.

        They are chosen between 0 and min(8, 0.5 * 2^n), where n counts the repeats from 0, and are never
        less than what `Retry-After` orders. A longer order than 60 s is not waited for.
        """
        if self._made == MOST_REPEATS or not _may_pass(reply):
            return None
        ordered = _ordered(reply.headers.get("retry-after", ""))
        if ordered > LONGEST_ORDER:
            return None
        pause = max(ordered, self._uniform(0, min(_CAP, _BASE * 2**self._made)))
        self._made += 1
        return pause


def _may_pass(reply: Reply) -> bool:
    if reply.failure is not None or reply.status in PASSING:
        return True
    # A twin of this request is at work; once it has ended, the answer is its job.
    refusal = reply.refusal() if reply.status == 409 else None
    return refusal is not None and refusal.code == "idempotency_in_progress"


def _ordered(retry_after: str) -> float:
    if _SECONDS.fullmatch(retry_after):
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((aware - datetime.now(UTC)).total_seconds(), 0.0)
