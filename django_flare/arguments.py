"""What the verbs take, read by the same rules in this process and before it goes over HTTP.

Each reader returns the value in its plain type, or raises FlareOptionError naming the argument, the
value's kind and the bound.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django_flare import values
from django_flare.errors import FlareNotFoundError, option_error
from django_flare.states import JobState
from django_flare.values import BadValueError

MAX_PARENTS = 100
MAX_DELAY = timedelta(seconds=values.TEN_YEARS)
MAX_LIMIT = 100
MAX_BATCH = 1000
"""How many jobs one request over HTTP may create."""

# Strict on purpose: UUID() would take braces, a URN prefix and digits of other scripts.
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class JobOptions(TypedDict, total=False):
    """Name the options of a single job; each takes precedence over `@job` and the settings.

    `queue`: 1 to 100 ASCII letters, digits and `_ . : -`. `max_attempts`: 1 to 100. `timeout`: a
    timedelta from 1 s to 24 h. `priority`: -100 to 100, larger first. `tags`: at most 32, merged
    over those of `@job` key by key. `idempotency_key`: 1 to 200 visible ASCII characters.
    """

    queue: str
    max_attempts: int
    timeout: timedelta
    priority: int
    tags: dict[str, str]
    idempotency_key: str


class ManyOptions(TypedDict, total=False):
    """Name the options of `enqueue_many`: those of one job, and the key may be made from the payload."""

    queue: str
    max_attempts: int
    timeout: timedelta
    priority: int
    tags: dict[str, str]
    idempotency_key: str | Callable[[Any], str]


def _timeout(value: Any) -> timedelta:
    if not isinstance(value, timedelta):
        raise BadValueError(f"{values.kind(value)}, expected a timedelta")
    return values.duration(value, values.MIN_TIMEOUT, values.MAX_TIMEOUT)


_RULES: dict[str, Callable[[Any], Any]] = {
    "queue": values.queue_name,
    "max_attempts": lambda value: values.whole(value, 1, values.MAX_ATTEMPTS_BOUND),
    "timeout": _timeout,
    "priority": lambda value: values.whole(value, -values.PRIORITY_BOUND, values.PRIORITY_BOUND),
    "tags": values.tags,
    "idempotency_key": values.idempotency_key,
}


def validate_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options in their plain types, as a new dict; what is absent stays absent.

    Raises FlareOptionError naming the option, the value's kind and the bound, and TypeError with
    a suggestion for an option that does not exist.
    """
    return {name: _validated(name, value) for name, value in options.items()}


def _validated(name: str, value: Any) -> Any:
    try:
        rule = _RULES[name]
    except KeyError:
        raise _unknown(name) from None
    try:
        return rule(value)
    except BadValueError as problem:
        raise option_error(name, str(problem)) from None


def _unknown(name: str) -> TypeError:
    near = difflib.get_close_matches(name, _RULES, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(_RULES)}"
    return TypeError(f"unknown option {name!r}, {hint}")


def each_payload(
    payloads: Iterable[Any], options: Mapping[str, Any]
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield each payload with its options; an `idempotency_key` that is a callable makes the key from it."""
    if not isinstance(payloads, Iterable):
        raise option_error("payloads", f"{type(payloads).__name__}, several payloads", "kind")
    make_key = options.get("idempotency_key")
    for payload in payloads:
        own = {**options, "idempotency_key": make_key(payload)} if callable(make_key) else options
        yield payload, own


def truth(value: Any, name: str) -> bool:
    """Return the bool `value`."""
    if not isinstance(value, bool):
        raise option_error(name, f"{type(value).__name__}, a bool", "kind")
    return value


def queue_name(name: Any) -> str:
    """Return the name of a queue."""
    try:
        return values.queue_name(name)
    except BadValueError as problem:
        raise option_error("queue", str(problem)) from None


def parse_id(text: str) -> UUID | None:
    """Read an id as it stands on the wire; None when `text` is no id."""
    return UUID(text) if _ID.fullmatch(text) else None


def job_id_of(value: str | UUID, name: str = "job_id") -> UUID | None:
    """Read a job id; None for a string that is no id, FlareOptionError for another kind."""
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        raise option_error(name, f"{type(value).__name__}, a job id is a string or a UUID", "kind")
    return parse_id(value)


def no_job(value: object, name: str = "job_id") -> FlareNotFoundError:
    """Build the error for an id that names no job."""
    return FlareNotFoundError(f"{name}: no job {str(value)[:64]!a}")


def parent_ids(parents: str | UUID | Iterable[str | UUID]) -> tuple[UUID, ...]:
    """Read one parent id or several; duplicates count once, in the order given."""
    several = [parents] if isinstance(parents, str | UUID) else _listed(parents)
    if not several or several == [""]:
        raise option_error("parents", "none given, at least 1", "required")
    unique = tuple(dict.fromkeys(map(_known_form, several)))
    if len(unique) > MAX_PARENTS:
        raise option_error("parents", f"{len(unique)} parents, at most {MAX_PARENTS}", "too_many")
    return unique


def _listed(parents: Any) -> list[Any]:
    if isinstance(parents, Mapping | bytes) or not isinstance(parents, Iterable):
        raise option_error("parents", f"{type(parents).__name__}, a job id or several", "kind")
    return list(parents)


def _known_form(parent: Any) -> UUID:
    public_id = job_id_of(parent, "parents")
    if public_id is None:
        raise no_job(parent, "parents")
    return public_id


def start_time(when: Any) -> timedelta | datetime:
    """Return the delay, none below 0, or the moment in UTC, from which on a job may run.

    Refused are a naive time, one more than ten years ahead, and what is no time.
    """
    if isinstance(when, timedelta):
        if when > MAX_DELAY:
            raise option_error("when", f"{when.days} days from now, at most {MAX_DELAY.days}", "out_of_range")
        return max(when, timedelta())
    if not isinstance(when, datetime):
        raise option_error("when", f"{type(when).__name__}, a timedelta or an aware datetime", "kind")
    if when.utcoffset() is None:
        raise option_error("when", "a naive datetime, it needs a time zone", "timezone_required")
    return _within_ten_years(when)


def _within_ten_years(when: datetime) -> datetime:
    # The application's clock is good enough for a bound of ten years.
    try:
        in_utc = when.astimezone(tz=UTC)
    except (OverflowError, ValueError) as error:
        raise option_error("when", "a time outside the calendar", "out_of_range") from error
    if in_utc > datetime.now(tz=UTC) + MAX_DELAY:
        raise option_error("when", f"{when.year}, at most {MAX_DELAY.days} days from now", "out_of_range")
    return in_utc


def state_names(state: Any) -> list[str]:
    """Return one state or several as sorted names, each once."""
    several = [state] if isinstance(state, str) else list(state) if isinstance(state, Iterable) else [state]
    try:
        return sorted({JobState(each).value for each in several})
    except ValueError:
        raise option_error(
            "state", f"{state!r:.60}, one or several of {', '.join(JobState)}", "unknown"
        ) from None


def printable(value: Any, name: str) -> str:
    """Return the string `value`, which holds no control character."""
    if not isinstance(value, str):
        raise option_error(name, f"{type(value).__name__}, a string", "kind")
    if "\x00" in value or not value.isprintable():
        raise option_error(name, "a control character", "invalid_character")
    return value


def moment(value: Any, name: str) -> datetime:
    """Return the aware time `value` in UTC."""
    if not isinstance(value, datetime):
        raise option_error(name, f"{type(value).__name__}, an aware datetime", "kind")
    if value.utcoffset() is None:
        raise option_error(name, "a naive datetime, it needs a time zone", "timezone_required")
    try:
        # PostgreSQL reads no time that is 16 hours or more away from UTC.
        return value.astimezone(UTC)
    except (OverflowError, ValueError):
        raise option_error(name, "a time outside the calendar", "out_of_range") from None


def page_limit(limit: Any) -> int:
    """Return how many jobs a page may hold."""
    try:
        return values.whole(limit, 1, MAX_LIMIT)
    except BadValueError as problem:
        raise option_error("limit", str(problem)) from None
