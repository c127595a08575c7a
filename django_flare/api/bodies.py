"""Read request bodies: JSON of a bounded size, with the members that are known and no others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rest_framework.request import Request

from django_flare.api.problems import ProblemError, problem, refused
from django_flare.api.strict_json import parse
from django_flare.conf import flare_settings
from django_flare.values import kind

ENVELOPE_BYTES = 65_536
"""What a create body may hold beside its payload."""
BATCH_PAYLOADS = 8
"""How many payloads of the greatest size a batch may hold."""
ENVELOPE_DEPTH = 8

_FIRST_BYTE = "flare_first_byte"
_CHUNK = 65_536
_MEDIA_TYPE = re.compile(
    r"application/json\s*(?:;\s*charset\s*=\s*(?:utf-8|\"utf-8\")\s*)?;?\s*", re.IGNORECASE | re.ASCII
)


def read_object(request: Request, most: int | None = None) -> dict[str, Any]:
    """Return the JSON object that the body is; `most` is how many bytes it may have.

    Raises the problems 413, 415, `malformed_json` and `invalid_request`.
    """
    value = _read(request, most or flare_settings().max_payload + ENVELOPE_BYTES)
    if not isinstance(value, dict):
        raise refused("body", f"{kind(value)}, expected an object", "kind")
    return value


def read_optional_object(request: Request) -> dict[str, Any]:
    """Return the JSON object that the body is, an empty one without a body."""
    return read_object(request) if _has_body(request) else {}


def require_no_body(request: Request) -> None:
    """Raise the 400 for a request with a body where none is taken."""
    if _has_body(request):
        raise refused("body", "none is taken here", "unexpected")


def require_members(
    body: Mapping[str, Any], allowed: Collection[str], read_only: Collection[str] = ()
) -> None:
    """Raise the 400 that names each member of `body` that is not `allowed`."""
    details = [_unknown(name, name in read_only) for name in body if name not in allowed]
    if details:
        raise problem("invalid_request", details[0]["message"], details[:100])


def _unknown(name: str, is_read_only: bool) -> dict[str, str]:
    shown = name[:100].encode("ascii", "backslashreplace").decode()
    reason = "read_only_field" if is_read_only else "unknown_field"
    text = "cannot be set" if is_read_only else "there is no such field"
    return {"field": shown, "reason": reason, "message": f"{shown}: {text}"}


def _has_body(request: Request) -> bool:
    """Tell whether there is a body; over HTTP/2 it need not be announced, so the first byte tells."""
    return _is_announced(request) or bool(_first_byte(request))


def _is_announced(request: Request) -> bool:
    return _is_chunked(request) or _length(request) > 0


def _first_byte(request: Request) -> bytes:
    if not hasattr(request, _FIRST_BYTE):
        setattr(request, _FIRST_BYTE, request._request.read(1))
    return bytes(getattr(request, _FIRST_BYTE))


def _read(request: Request, most: int) -> Any:
    length = _length(request)
    if not _has_body(request):
        raise problem("malformed_json", "the body is empty, expected a JSON object")
    _require_json(request)
    if length > most:
        raise _too_large(most)
    data = _data(request, most)
    if not data:
        # A server that hands on no length hands on no body either.
        raise problem("malformed_json", "the body needs a Content-Length")
    if len(data) < length:
        raise problem("malformed_json", f"the body ends after {len(data)} of {length} bytes")
    return parse(data, flare_settings().max_depth + ENVELOPE_DEPTH)


def _data(request: Request, most: int) -> bytes:
    """Read the body in pieces and stop as soon as it is too large, whatever its length was said to be."""
    chunks = [_first_byte(request)]
    left = most + 1 - len(chunks[0])
    while left > 0 and (chunk := request._request.read(min(_CHUNK, left))):
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise _too_large(most)
    return b"".join(chunks)


def _require_json(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise problem("unsupported_media_type", "a body must not be compressed")
    if not _MEDIA_TYPE.fullmatch(request.headers.get("content-type") or ""):
        raise problem("unsupported_media_type", "a body must be application/json in UTF-8")


def _length(request: Request) -> int:
    given = request.headers.get("content-length") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", given, re.ASCII):
        raise refused("Content-Length", "not a number of bytes", "invalid")
    return int(given)


def _is_chunked(request: Request) -> bool:
    return "chunked" in request.headers.get("transfer-encoding", "").lower()


def _too_large(most: int) -> ProblemError:
    return problem("payload_too_large", f"the body is larger than {most} bytes")
