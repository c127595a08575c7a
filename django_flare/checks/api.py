"""Check what the HTTP API needs of the project, where the project routes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS
from django.core.checks import CheckMessage, Warning
from django.urls import URLResolver, get_resolver

from django_flare.checks.configuration import readable_settings

_ADDRESSES = "django_flare.api.urls"
_UNSHARED = frozenset(
    {"django.core.cache.backends.locmem.LocMemCache", "django.core.cache.backends.dummy.DummyCache"}
)


def check_rate_limit(**_: Any) -> list[CheckMessage]:
    """Check that the cache which counts requests is one for all processes."""
    flare = readable_settings()
    backend = settings.CACHES.get(DEFAULT_CACHE_ALIAS, {}).get("BACKEND")
    if flare is None or flare.api_rate is None or backend not in _UNSHARED or not _is_routed():
        return []
    return [
        Warning(
            f"CACHES['default'] is {backend}: each process limits the rate of API requests for itself",
            hint="Configure a cache that all processes share, or set FLARE['API_RATE'] = None.",
            id="django_flare.W007",
        )
    ]


def _is_routed() -> bool:
    return bool(getattr(settings, "ROOT_URLCONF", None)) and _holds_api(get_resolver().url_patterns)


def _holds_api(patterns: Iterable[Any]) -> bool:
    return any(
        getattr(each.urlconf_module, "__name__", "") == _ADDRESSES or _holds_api(each.url_patterns)
        for each in patterns
        if isinstance(each, URLResolver)
    )
