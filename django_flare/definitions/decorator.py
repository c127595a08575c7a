"""`@job`: what turns a function or a class into a handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, overload

from django_flare import values
from django_flare.arguments import validate_options
from django_flare.definitions.backoff import Backoff
from django_flare.definitions.definition import define
from django_flare.definitions.registry import registry
from django_flare.errors import option_error
from django_flare.values import BadValueError, kind

MAX_NAME_LENGTH = 500

Handler = TypeVar("Handler", bound=Callable[..., Any])


@overload
def job(handler: Handler, /) -> Handler: ...


@overload
def job(
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    timeout: timedelta | None = None,
    priority: int | None = None,
    backoff: Backoff | None = None,
    tags: Mapping[str, str] | None = None,
    atomic: bool = False,
) -> Callable[[Handler], Handler]: ...


def job(
    handler: Any = None,
    /,
    *,
    name: str | None = None,
    backoff: Backoff | None = None,
    atomic: bool = False,
    **options: Any,
) -> Any:
    """Register a function, or a class with `execute`, as the handler of a job type.

    The decorated object is returned unchanged. `name` is the job type, by default the dotted
    path; the other options hold for every job of the type unless the call says otherwise, and
    None leaves one to the settings. `atomic` makes the handler and its success one transaction.
    Nothing is inherited: a subclass of a handler is none until it is decorated.

    Raises FlareOptionError for a bad option, TypeError for a handler that takes anything but
    `payload` and `ctx`, and ImproperlyConfigured for a name that another handler has.
    """
    declared = _checked_options(options)
    _check_rest(name, backoff, atomic)

    def decorate(handler: Any) -> Any:
        definition = define(handler, name=name, options=declared, backoff=backoff, atomic=atomic)
        _check_name(definition.name)
        registry.register(definition)
        return handler

    return decorate if handler is None else decorate(handler)


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    if "idempotency_key" in options:
        raise TypeError("idempotency_key is an option of a call, not of @job")
    return validate_options({key: value for key, value in options.items() if value is not None})


def _check_rest(name: Any, backoff: Any, atomic: Any) -> None:
    if name is not None:
        _check_name(name)
    if backoff is not None and not isinstance(backoff, Backoff):
        raise option_error("backoff", f"{kind(backoff)}, expected a Backoff")
    if not isinstance(atomic, bool):
        raise option_error("atomic", f"{kind(atomic)}, expected True or False")


def _check_name(name: Any) -> None:
    try:
        plain = values.text(name, MAX_NAME_LENGTH)
    except BadValueError as problem:
        raise option_error("name", str(problem)) from None
    # Every kind of space but the plain one, and every control character, is unprintable.
    if " " in plain or not plain.isprintable():
        raise option_error("name", f"{plain!a}, spaces and control characters are not allowed")
