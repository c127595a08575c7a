"""Where a supervisor's lines go, told so that another process can see whether its own go there too."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from django_flare.worker.logs import JsonFormatter, TextFormatter

_LOGGER = "django_flare.worker"
_NEED_NO_APPS = frozenset(
    {
        "logging.FileHandler",
        "logging.NullHandler",
        "logging.StreamHandler",
        "logging.handlers.DatagramHandler",
        "logging.handlers.HTTPHandler",
        "logging.handlers.RotatingFileHandler",
        "logging.handlers.SMTPHandler",
        "logging.handlers.SocketHandler",
        "logging.handlers.SysLogHandler",
        "logging.handlers.TimedRotatingFileHandler",
        "logging.handlers.WatchedFileHandler",
    }
)
"""Handlers that write what they get at once and by themselves.

Of any other nobody knows that: one that puts records into a table, or Django's own that renders a mail with
its templates, would fail at the first line.
"""
_MACHINERY = ("_log", "makeRecord", "handle", "callHandlers", "filter")


def routes() -> list[str]:
    """Return a line for each thing that decides what becomes of the supervisor's records."""
    level = logging.getLogger(_LOGGER).getEffectiveLevel()
    found = [
        f"{_LOGGER}: level {level}, disabled below {logging.root.manager.disable}",
        f"machinery: {_patches()}",
    ]
    for logger in _chain():
        found.append(f"{logger.name}: disabled {logger.disabled}, filters {_names(logger.filters)}")
        found += [f"{logger.name}: {_described(handler)}" for handler in logger.handlers]
    return found


def are_own() -> bool:
    """Tell whether the lines go nowhere but to the handler that `logs.set_up` adds, as it leaves it."""
    return (
        not _patches()
        and logging.getLogger(_LOGGER).getEffectiveLevel() == logging.INFO
        and all(type(each.formatter) in (TextFormatter, JsonFormatter) for each in _handlers())
        and not any(each.filters for each in [*_chain(), *_handlers()])
    )


def unknown_handler() -> str:
    """Return the class of a handler of which nobody knows whether it needs Django's apps, or ""."""
    found = (name for each in _handlers() if (name := _name(type(each))) not in _NEED_NO_APPS)
    return next(found, "")


def rehearse() -> None:
    """Let all filters and formatters see a record that nobody writes; raises what they raise."""
    logger = logging.getLogger(_LOGGER)
    record = logger.makeRecord(_LOGGER, logging.INFO, __file__, 0, "%s", ("a rehearsal",), None)
    logger.filter(record)
    for handler in _handlers():
        handler.filter(record)
        handler.format(record)


def flush() -> None:
    """Let the handlers write what they still hold."""
    for handler in _handlers():
        handler.flush()


def _chain() -> Iterator[logging.Logger]:
    logger: logging.Logger | None = logging.getLogger(_LOGGER)
    while logger is not None:
        yield logger
        logger = logger.parent if logger.propagate else None


def _handlers() -> list[logging.Handler]:
    return [handler for logger in _chain() for handler in logger.handlers]


def _patches() -> list[str]:
    """Return what somebody has put in place of logging's own functions, as error trackers do."""
    found = [
        f"{name} {_name(function)}"
        for name in _MACHINERY
        if not _is_loggings_own(function := getattr(type(logging.getLogger(_LOGGER)), name))
    ]
    factory = logging.getLogRecordFactory()
    return found if factory is logging.LogRecord else [*found, f"records {_name(factory)}"]


def _is_loggings_own(function: Any) -> bool:
    # A wrapper may bear the name and module of what it wraps.
    return (
        type(function) is FunctionType
        and function.__code__.co_filename == logging.shutdown.__code__.co_filename
    )


def _described(handler: logging.Handler) -> str:
    formatter = handler.formatter
    pattern = getattr(formatter, "_fmt", None)
    target = getattr(handler, "baseFilename", None) or getattr(getattr(handler, "stream", None), "name", None)
    return (
        f"{_name(type(handler))} to {target}, level {handler.level}, filters {_names(handler.filters)}, "
        f"formatter {formatter and _name(type(formatter))} {pattern}"
    )


def _names(filters: list[Any]) -> list[str]:
    return [_name(each if isinstance(each, FunctionType) else type(each)) for each in filters]


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"
