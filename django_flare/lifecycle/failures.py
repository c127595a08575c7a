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
        return cut(": ".join(filter(None, [name, self.message])), MESSAGE_BYTES)


def describe(error: BaseException) -> Failure:
    """Return `error` as text that every database takes; never raises."""
    return Failure(
        error_class=printable(_class_name(type(error)))[:_CLASS_CHARACTERS],
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
    # The longest mark is reserved; how much is left out is known only after the cut.
    half = (limit - len(_MARK.format(len(raw)).encode())) // 2
    head = raw[:half].decode(errors="ignore")
    tail = raw[-half:].decode(errors="ignore")
    return head + _MARK.format(len(raw) - len(head.encode()) - len(tail.encode())) + tail


def _class_name(kind: type[BaseException]) -> str:
    # A metaclass is user code as well.
    try:
        return f"{kind.__module__}.{kind.__qualname__}"
    except BaseException:
        return "BaseException"


def _message(error: BaseException) -> str:
    # User code: __str__ may raise anything, or return what is no string, or a string of its own kind.
    try:
        return str.__str__(str(error))
    except BaseException:
        return _UNPRINTABLE


def _trace(error: BaseException) -> str:
    # Printing calls __str__ of every exception in the chain, and a chain may be a ring.
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return "".join(traceback.format_tb(error.__traceback__)) + _UNPRINTABLE
