"""How a worker process logs: lines of text, or a JSON object a line; no job's data can forge either."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

JOB_FIELDS = ("job_id", "job_type", "queue", "attempt", "duration", "state")
"""The fields that records about a job carry, beside their message."""

_OURS = "django_flare"
_worker_id = ""


def note_worker_id(worker_id: str) -> None:
    """Let records from now on say that they come from this worker."""
    global _worker_id
    _worker_id = worker_id


def escape(text: str) -> str:
    """Escape what would start a new line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormatter(logging.Formatter):
    """Write time, level and message on one line; a traceback follows, each line of it indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text of which every line but the first is indented."""
        head = f"{self.formatTime(record)} {record.levelname} {escape(_message(record))}"
        return "\n".join([head, *(f"    {escape(line)}" for line in _trace(record).splitlines())])


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object on one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "worker_id": getattr(record, "worker_id", "") or _worker_id,
            "pid": record.process,
        }
        fields |= {name: _plain(getattr(record, name)) for name in JOB_FIELDS if hasattr(record, name)}
        if trace := _trace(record):
            fields["exception"] = trace
        # JSON lets DEL stand as it is, the only control character that it does not escape.
        return json.dumps(fields).replace("\x7f", "\\u007f")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        # Arguments that do not fit, or that cannot be printed: no reason to lose the line.
        return f"{record.msg!s:.500} (its arguments could not be printed: {type(error).__name__})"


def _trace(record: logging.LogRecord) -> str:
    parts = []
    try:
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(logging.Formatter().formatException(record.exc_info))
        if record.stack_info:
            parts.append(str(record.stack_info))
    except Exception:
        parts.append("(the traceback could not be printed)")
    return "\n".join(parts)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def set_up(log_format: str) -> None:
    """Let this process log to stderr in `log_format`.

    `text` leaves everything as it is where the project's LOGGING has a handler for `django_flare`
    or the root. `json` comes first: whatever any logger would write to the terminal, warnings and
    uncaught exceptions come out as JSON instead; handlers that write elsewhere stay, and so do levels.
    """
    ours = logging.getLogger(_OURS)
    is_configured = ours.hasHandlers()
    if log_format == "json":
        _log_json()
    elif not is_configured:
        ours.addHandler(_handler(TextFormatter()))
    if not is_configured and ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)


def _handler(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    return handler


def _log_json() -> None:
    for logger in _all_loggers():
        terminals = [handler for handler in logger.handlers if _is_terminal(handler)]
        for handler in terminals:
            logger.removeHandler(handler)
        if terminals:
            # What it kept to itself reaches the root's handler, which speaks for all.
            logger.propagate = True
    logging.getLogger().addHandler(_handler(JsonFormatter()))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def _all_loggers() -> list[logging.Logger]:
    named = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in named if isinstance(logger, logging.Logger))]


def _is_terminal(handler: logging.Handler) -> bool:
    streams = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger(_OURS).critical("The process ends by an exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and found.exc_type is not SystemExit:
        name = found.thread.name if found.thread else "?"
        exception = (found.exc_type, found.exc_value, found.exc_traceback)
        logging.getLogger(_OURS).error("Thread %s ended by an exception", name, exc_info=exception)


def _log_unraisable(found: sys.UnraisableHookArgs) -> None:
    error = found.exc_value
    exception = (found.exc_type, error, found.exc_traceback) if error is not None else None
    logging.getLogger(_OURS).error("%s", found.err_msg or "An exception was ignored", exc_info=exception)


class LoggedOutput:
    """Stand for a command's stderr: what is written becomes log records."""

    def write(self, text: str) -> None:
        """Log `text`, which a command writes as a whole."""
        if text.strip():
            # How Django begins what ends a command; the rest is advice, such as of the system checks.
            is_end = text.startswith(("CommandError", "SystemCheckError"))
            logging.getLogger(_OURS).log(logging.ERROR if is_end else logging.WARNING, "%s", text.strip())

    def flush(self) -> None:
        """Do nothing: each record is flushed."""
