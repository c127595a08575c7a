"""Write answers as JSON, and accept no other wish."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

MEDIA_TYPE = "application/json"
# The nearer a range names JSON, the more it says of it.
_RANGES = (MEDIA_TYPE, "application/*", "*/*")
_REFUSED = re.compile(r"q\s*=\s*0(\.0{0,3})?", re.ASCII)


def render(value: Any) -> bytes:
    """Return the JSON of `value` in ASCII, which carries also what no encoding would (a lone surrogate).

    A number that JSON does not know, from a row that a foreign hand has written, becomes null.
    """
    try:
        return _dump(value)
    except ValueError:
        return _dump(_finite(value))


def _dump(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


class JsonRenderer(BaseRenderer):
    """Render JSON; bytes are JSON already and go out as they are."""

    media_type = MEDIA_TYPE
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body of the answer."""
        if data is None:
            return b""
        return data if isinstance(data, bytes) else render(data)


class JsonOnly(BaseContentNegotiation):
    """Answer JSON to whoever accepts it; neither `?format=` nor a suffix changes that."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Choose none: bodies are read by `bodies`."""
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[Any, str]:
        """Return the JSON renderer, or raise NotAcceptable."""
        if not _takes_json(request.headers.get("accept") or "*/*"):
            raise NotAcceptable()
        return renderers[0], MEDIA_TYPE


def _takes_json(accepted: str) -> bool:
    """Tell whether the nearest range that holds JSON takes it (RFC 9110, section 12.5.1)."""
    wishes = [_wish(part) for part in accepted.split(",")]
    for media_range in _RANGES:
        said = [is_taken for named, is_taken in wishes if named == media_range]
        if said:
            return any(said)
    return False


def _wish(part: str) -> tuple[str, bool]:
    media_range, *parameters = (word.strip().lower() for word in part.split(";"))
    return media_range, not any(_REFUSED.fullmatch(each) for each in parameters)
