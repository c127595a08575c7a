"""Name each request, so that an answer, an error and a log line can be matched."""

from __future__ import annotations

import re
import uuid

from django.http import HttpRequest

HEADER = "X-Request-Id"
MAX_LENGTH = 128

_SANE = re.compile(rf"[\x21-\x7e]{{1,{MAX_LENGTH}}}", re.ASCII)


def request_id_of(request: HttpRequest) -> str:
    """Return the caller's `X-Request-Id` if it is 1 to 128 visible ASCII characters, else a new one."""
    given = request.headers.get(HEADER, "")
    return given if _SANE.fullmatch(given) else uuid.uuid4().hex
