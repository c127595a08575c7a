"""Exceptions that defeat naive recording (F52); each is made anew, some have really been raised."""

import asyncio
import json
import subprocess
import sys

from django_flare import JobCancelled, JobTimeout


class StrRaises(Exception):
    def __str__(self):
        raise ValueError("no text for you")


class StrInterrupts(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class StrIsNoString(Exception):
    def __str__(self):
        return None


class ReprRaises(Exception):
    def __repr__(self):
        raise ValueError("no repr either")


class StrRecurses(Exception):
    def __str__(self):
        return str(self)


class EvilText(str):
    def replace(self, *_):
        raise RuntimeError("not even this")

    encode = __str__ = __format__ = __len__ = replace


class StrIsEvil(Exception):
    def __str__(self):
        return EvilText("evil")


class Nameless(type):
    def __getattribute__(cls, name):
        if name in ("__module__", "__qualname__", "__name__"):
            raise RuntimeError("this class has no name")
        return super().__getattribute__(name)


class ClassHasNoName(Exception, metaclass=Nameless):
    pass


class Holder:
    def __repr__(self):
        raise ValueError("an argument without repr")


def _raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def _named(name, *, module="tests"):
    kind = type("Odd", (Exception,), {})
    kind.__qualname__ = name
    kind.__module__ = module
    return kind("odd")


def _cause_ring():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def _context_ring():
    error = ValueError("its own context")
    other = KeyError("between")
    error.__context__, other.__context__ = other, error
    return error


def _long_chain():
    error = ValueError("0")
    for number in range(300):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    return error


def _deep_recursion():
    def dive():
        dive()

    try:
        dive()
    except RecursionError as error:
        return error


def _cause_without_text():
    error = ValueError("outer")
    error.__cause__ = StrRaises()
    return error


def _with_notes(*notes):
    error = ValueError("noted")
    error.__notes__ = notes[0] if len(notes) == 1 else list(notes)
    return error


def _group_of_nasties():
    return ExceptionGroup("group", [StrRaises(), ExceptionGroup("inner", [ValueError("\x00")])])


def _syntax_error():
    return SyntaxError("odd", ("file\x00name", 1, 1, "text\ud800 here", 1, 5))


def _undecodable():
    try:
        b"\xff\xfe".decode()
    except UnicodeDecodeError as error:
        return error


def _bad_json():
    try:
        json.loads("{")
    except ValueError as error:
        return error


NASTY_ERRORS = {
    "plain": lambda: _raised(ValueError("boom")),
    "no arguments": lambda: _raised(ValueError()),
    "a NUL": lambda: _raised(ValueError("a\x00b")),
    "a lone surrogate": lambda: _raised(ValueError("a\ud800b")),
    "twenty megabytes": lambda: _raised(ValueError("x" * 20_000_000)),
    "twenty thousand emoji": lambda: _raised(ValueError("💥" * 20_000)),
    "twenty thousand lines": lambda: _raised(ValueError("line\n" * 20_000)),
    "quotes and backslashes": lambda: _raised(ValueError("\"'`\\ \\u0000 %s {} \r\n\t\x1b[31m ;--")),
    "right-to-left override": lambda: _raised(ValueError("\u202e reversed \ufeff \u2028")),
    "__str__ raises": lambda: _raised(StrRaises()),
    "__str__ interrupts": lambda: _raised(StrInterrupts()),
    "__str__ returns None": lambda: _raised(StrIsNoString()),
    "__str__ recurses": lambda: _raised(StrRecurses()),
    "__str__ returns an evil string": lambda: _raised(StrIsEvil()),
    "__repr__ raises": lambda: _raised(ReprRaises("fine")),
    "an argument without repr": lambda: _raised(ValueError(Holder(), Holder())),
    "a key without repr": lambda: _raised(KeyError(Holder())),
    "a class without a name": lambda: _raised(ClassHasNoName("anonymous")),
    "a class with a long name": lambda: _named("N" * 1_000),
    "a class with a NUL in its name": lambda: _named("N\x00\ud800"),
    "a class of no module": lambda: _named("Odd", module=None),
    "a class of a local scope": lambda: _named("f.<locals>.Odd"),
    "its own cause": _cause_ring,
    "its own context": _context_ring,
    "a cause without text": _cause_without_text,
    "three hundred causes": _long_chain,
    "a stack that overflowed": _deep_recursion,
    "a group of nasties": _group_of_nasties,
    "notes with a NUL": lambda: _with_notes("\x00", "\ud800"),
    "notes that are none": lambda: _with_notes(5),
    "a syntax error in odd text": _syntax_error,
    "undecodable bytes": _undecodable,
    "bytes as the message": lambda: ValueError(b"\xff\x00"),
    "malformed JSON": _bad_json,
    "SystemExit": lambda: _raised(SystemExit(3)),
    "KeyboardInterrupt": lambda: _raised(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raised(GeneratorExit()),
    "CancelledError": lambda: _raised(asyncio.CancelledError()),
    "JobCancelled": lambda: _raised(JobCancelled("stop")),
    "JobTimeout": lambda: _raised(JobTimeout()),
    "MemoryError": lambda: _raised(MemoryError()),
    "StopIteration": lambda: _raised(StopIteration(1)),
    "an exit status": lambda: subprocess.CalledProcessError(1, ["\x00"], b"\xff", b"\xff"),
    "a huge integer": lambda: ValueError(10**50 if sys.maxsize else 0),
}
