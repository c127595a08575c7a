"""Where the API is and how it lets us in: read once, when a client is made."""

from __future__ import annotations

import re
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import urlsplit

import httpx

from django_flare import values
from django_flare.client.calls import Call
from django_flare.client.replies import Reply
from django_flare.errors import option_error

DEFAULT_TIMEOUT = 10.0
"""Seconds; more than the 5 s for which the server waits for a twin of a request."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")

Http = TypeVar("Http", bound=httpx.Client | httpx.AsyncClient)


class HttpOptions(TypedDict):
    """Name what both of httpx's clients are made with."""

    cookies: CookieJar
    headers: dict[str, str]
    timeout: float
    follow_redirects: bool


class Access(Generic[Http]):
    """What both clients share: a client of httpx that holds the key, and the requests for it."""

    def __init__(self, base_url: str, http: Http) -> None:
        self._base_url = base_url
        self._http = http

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    def _request(self, call: Call[Any]) -> httpx.Request:
        return self._http.build_request(
            call.method,
            f"{self._base_url}/{call.path}",
            params=list(call.query) or None,
            headers=dict(call.headers),
            content=call.content,
        )


def http_options(api_key: str, timeout: float | timedelta) -> HttpOptions:
    """Return what a client of httpx is made with; no error names the key."""
    if not isinstance(api_key, str):
        raise option_error("api_key", f"{values.kind(api_key)}, expected a string")
    if not _VISIBLE.fullmatch(api_key):
        raise option_error("api_key", "empty, or a character that no key has, such as a line's end")
    try:
        seconds = values.seconds(timeout, 0.001, values.DAY)
    except values.BadValueError as problem:
        raise option_error("timeout", str(problem)) from None
    headers = {
        "Accept": "application/json",
        "Authorization": f"Bearer {api_key}",
        "User-Agent": "django-flare",
    }
    return {
        # Whatever a server sets is not sent back: the key alone says who asks.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "headers": headers,
        "timeout": seconds,
        # Wherever a redirect leads, the key must not go with it.
        "follow_redirects": False,
    }


def checked_url(base_url: str) -> str:
    """Return the address of the API without a slash at its end."""
    if not isinstance(base_url, str):
        raise option_error("base_url", f"{values.kind(base_url)}, expected a string")
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
        httpx.URL(base_url)
    except (ValueError, httpx.InvalidURL):
        raise option_error("base_url", "not an address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise option_error("base_url", "expected an address that begins with https:// or http://")
    # httpx would send them in place of the key.
    if parts.username is not None or parts.password is not None:
        raise option_error("base_url", "holds a user or a password, expected the address alone")
    if parts.query or parts.fragment:
        raise option_error("base_url", "holds a query or a fragment, expected the address alone")
    return base_url.rstrip("/")


def replied(call: Call[Any], response: httpx.Response) -> Reply:
    """Return the answer to `call`."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(_named(call), response.status_code, headers, response.content)


def unanswered(call: Call[Any], error: httpx.RequestError) -> Reply:
    """Return what stands for the answer that `call` did not get."""
    return Reply(_named(call), failure=error)


def _named(call: Call[Any]) -> str:
    return f"{call.method} {call.path}"
