"""Count requests in windows of fixed length, in the project's cache, for all processes together.

Windows begin at multiples of their length since 1970, so processes agree on them without a word. Each request
is one atomic increment; a cache that does not increment atomically (files, a database table) may let
a few more through. Who asks is told by the key, who fails by the address of the connection: nothing in a
request that a caller could forge.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Any

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.http import HttpRequest

from django_flare.api.problems import problem
from django_flare.conf import flare_settings

logger = logging.getLogger("django_flare.api")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TRIES = 3


@dataclass(frozen=True)
class Caller:
    """Name somebody who asks: the kind of their credentials, and which of that kind they are."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class Allowance:
    """Tell how many requests a caller has left until `reset`, in seconds since 1970."""

    limit: int
    used: int
    reset: int

    @property
    def is_exceeded(self) -> bool:
        """Whether the last request was one too many."""
        return self.used > self.limit

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a caller."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self.used, 0)),
            "X-RateLimit-Reset": str(self.reset),
        }

    def require(self) -> None:
        """Raise the 429 if the allowance is exceeded."""
        if self.is_exceeded:
            seconds = max(self.reset - int(time.time()), 1)
            raise problem(
                "rate_limit_exceeded",
                f"more than {self.limit} requests; the next window begins in {seconds} s",
                headers={**self.headers(), "Retry-After": str(seconds)},
            )


def count(caller: Caller) -> Allowance | None:
    """Count one request of `caller`; None without a limit, or when the cache does not answer."""
    rate = flare_settings().api_rate
    if rate is None:
        return None
    limit, unit = rate.split("/")
    length = _SECONDS[unit[0]]
    window = int(time.time()) // length
    used = _increment(_cache_key(caller, window), length)
    return None if used is None else Allowance(int(limit), used, (window + 1) * length)


def count_failure(request: HttpRequest) -> None:
    """Count a failed authentication of the connection's address; raises the 429 for too many.

    Behind a proxy all have its address, so whoever has a valid key is not asked for it.
    """
    allowance = count(Caller("refused", str(request.META.get("REMOTE_ADDR", ""))))
    if allowance:
        allowance.require()


def _cache_key(caller: Caller, window: int) -> str:
    # Hashed, as caches limit the length and the characters of a key.
    digest = hashlib.sha256(f"{caller}:{window}".encode()).hexdigest()[:32]
    return f"django_flare:rate:{digest}"


def _increment(key: str, length: int) -> int | None:
    counters: Any = caches[DEFAULT_CACHE_ALIAS]
    try:
        for _ in range(_TRIES):
            # The first request of the window, or the cache has evicted it, when there is none.
            used = _next(counters, key)
            if used is not None:
                _keep(counters, key, used, 2 * length)
                return used
            counters.add(key, 0, timeout=2 * length)
    except Exception:
        # A limit is no lock: without the cache the API goes on.
        logger.exception("The cache does not count requests; they are let through")
    return None


def _next(counters: Any, key: str) -> int | None:
    try:
        return int(counters.incr(key))
    except ValueError:
        return None


def _keep(counters: BaseCache, key: str, used: int, seconds: int) -> None:
    """Let the count last for its window also where Django increments by storing it for the cache's TIMEOUT.

    After each increment, so that the last word is ours; and by `touch`, which does not take back what
    somebody else has counted meanwhile.
    """
    if not _forgets_expiry(counters):
        return
    try:
        is_there = counters.touch(key, seconds)
    except ValueError:
        # What the cache of files says of an entry that is over already.
        is_there = False
    if not is_there:
        counters.add(key, used, seconds)


def _forgets_expiry(counters: BaseCache) -> bool:
    # Named, too, since a cache that is made of one of them may lock around the same increment.
    inherits = type(counters).incr is BaseCache.incr
    return inherits or isinstance(counters, FileBasedCache | DatabaseCache)
