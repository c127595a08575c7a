"""Describe an exception so that recording it cannot fail, whatever the exception is."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

MESSAGE_BYTES = 2 * 1024
TRACEBACK_BYTES = 64 * 1024
_CLASS_CHARACTERS = 255
_MARK = "\n… cut: {} bytes left out …\n"
_UNPRINTABLE = "(the exception could not be printed)"


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold an exception as text: class, message and traceback, each within its bound."""

    error_class: str
    message: str
    traceback: str

    @property
    def summary(self) -> str:
        """The class's own name and the message, at most 2 KiB."""
        name = self.error_class.rpartition(".")[2]
        return cut(f"{name}: {self.message}" if self.message else name, MESSAGE_BYTES)


def describe(error: BaseException) -> Failure:
    """Return `error` as text that every database takes; never raises."""
    kind = type(error)
    return Failure(
        error_class=printable(f"{kind.__module__}.{kind.__qualname__}")[:_CLASS_CHARACTERS],
        message=cut(_message(error), MESSAGE_BYTES),
        traceback=cut(_trace(error), TRACEBACK_BYTES),
    )


def printable(text: str) -> str:
    """Replace what a database refuses: NUL and lone surrogates."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()


def cut(text: str, limit: int) -> str:
    """Keep the head and the tail of `text` within `limit` bytes of UTF-8, the mark between included."""
    raw = printable(text).encode()
    if len(raw) <= limit:
        return raw.decode()
    mark = _MARK.format(len(raw) - limit)
    room = limit - len(mark.encode()) - 8
    head = raw[: room // 2].decode(errors="ignore")
    tail = raw[-(room // 2) :].decode(errors="ignore")
    return head + mark + tail


def _message(error: BaseException) -> str:
    # User code: __str__ may raise anything, or return what is no string.
    try:
        return str(error)
    except BaseException:
        return _UNPRINTABLE


def _trace(error: BaseException) -> str:
    # Printing calls __str__ of every exception in the chain, and a chain may be a ring.
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return "".join(traceback.format_tb(error.__traceback__)) + _UNPRINTABLE
