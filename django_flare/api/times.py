"""Read times as RFC 3339 has them, with an offset."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django_flare.api.problems import refused
from django_flare.values import kind

_FORM = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def read_time(value: Any, name: str) -> datetime:
    """Return the aware time that the text `value` is; raises the 400 naming the field `name`.

    Fractions are cut to microseconds. The leap second 60 is refused.
    """
    if not isinstance(value, str):
        raise refused(name, f"{kind(value)}, expected a time in RFC 3339", "kind", "invalid_option")
    form = _FORM.fullmatch(value)
    if form is None:
        raise refused(name, f"{value[:40]!a}, expected a time in RFC 3339", "invalid", "invalid_option")
    day, time, fraction, offset = form.groups(default="")
    if not offset:
        raise refused(
            name, "a time without an offset such as Z or +02:00", "timezone_required", "invalid_option"
        )
    try:
        return datetime.fromisoformat(f"{day}T{time}{fraction[:7]}{offset.upper()}")
    except ValueError as error:
        raise refused(name, f"{value[:40]!a} is no time: {error}", "out_of_range", "invalid_option") from None
