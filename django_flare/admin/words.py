"""Say states, spans of time and numbers in words and badges."""

from __future__ import annotations

import math
from datetime import datetime

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_flare.models.job import STATE_LABELS
from django_flare.states import JobState

NOTHING = "–"
"""Stands where there is nothing to show."""

_LABELS = dict(STATE_LABELS)
_STATES = frozenset(JobState)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def state_label(state: str | None) -> str:
    """Return the state's label in the language of the request; what is no state stands for itself."""
    return NOTHING if state is None else str(_LABELS.get(state, state))


def state_badge(state: str | None) -> SafeString:
    """Return the state as a coloured badge."""
    # Only our own words become names of classes, whatever the row holds.
    name = JobState(state).value.replace("_", "-") if state in _STATES else "unknown"
    return badge(state_label(state), name)


def badge(label: str, name: str) -> SafeString:
    """Return a badge that `admin.css` colours as `flare-<name>`; the names of states are among those."""
    return format_html('<span class="flare-badge flare-{}">{}</span>', name, label)


def span(seconds: float | None) -> str:
    """Return a span of time in at most two units, such as `2 h 5 min`; below 10 s with a tenth."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return _("%(number)d ms") % {"number": int(seconds * 1000)}
    if seconds < 10:
        return _("%(number).1f s") % {"number": math.floor(seconds * 10) / 10}
    if seconds < _MINUTE:
        return _("%(number)d s") % {"number": int(seconds)}
    whole = int(seconds)
    if whole < _HOUR:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": whole // _MINUTE, "seconds": whole % _MINUTE}
    if whole < _DAY:
        return _("%(hours)d h %(minutes)d min") % {
            "hours": whole // _HOUR,
            "minutes": whole % _HOUR // _MINUTE,
        }
    return _("%(days)d d %(hours)d h") % {"days": whole // _DAY, "hours": whole % _DAY // _HOUR}


def coarse(seconds: float | None) -> str:
    """Return an age in words that stay for ten seconds at least, above a minute for one."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return _("under 10 s")
    unit = 10 if seconds < _MINUTE else _MINUTE
    whole = int(seconds // unit * unit)
    return _("%(minutes)d min") % {"minutes": whole // _MINUTE} if _MINUTE <= whole < 3600 else span(whole)


def moment(time: datetime | None) -> str:
    """Return a time to the second, with its zone."""
    return NOTHING if time is None else date_format(localtime(time), "Y-m-d H:i:s T")
