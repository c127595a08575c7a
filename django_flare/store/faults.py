"""What a database error means, told by its code and not by Django's class.

Django's OperationalError holds both "try again" and "never again", and a read-only server is an
InternalError. Codes: PostgreSQL's SQLSTATE (its manual's appendix A), MariaDB's and MySQL's error
numbers, SQLite's primary result codes.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from django.db import DatabaseError, InterfaceError, OperationalError


class Fault(Enum):
    """Say what to do after a database error."""

    CONFLICT = "run the same transaction again, soon"
    OUTAGE = "discard the connection and try again with growing pauses"
    UNKNOWN = "treat it as an outage a few times, then as permanent"
    PERMANENT = "give up; trying again changes nothing"


_LOCK_TIMEOUTS = frozenset({"55P03", 1205, 5, 6})
# PostgreSQL's statement_timeout, MariaDB's max_statement_time, MySQL's max_execution_time, SQLite's own.
_TIME_LIMITS = frozenset({"57014", 1969, 3024, 9})
UNKNOWN_TRIES = 5
"""Failures in a row after which an error with an unknown code is taken for permanent."""

_SQLSTATE_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
_SQLSTATE_OUTAGES = frozenset({"25006", "25P03", "25P04", "40003", "58030"})
# Connection exception, insufficient resources (disk full, too many connections), operator intervention
# (shut down, starting up, cancelled by a statement timeout).
_SQLSTATE_OUTAGE_CLASSES = ("08", "53", "57")
# Integrity violated at commit; a limit of the program, such as a row too wide for its index.
_SQLSTATE_PERMANENT = frozenset({"40002", "54000", "54001", "54011", "54023"})
_MYSQL_CONFLICTS = frozenset({1205, 1213, 1020, 3572})
_MYSQL_OUTAGES = frozenset(
    {0, 1021, 1037, 1040, 1047, 1053, 1114, 1129, 1158, 1159, 1160, 1161, 1203, 1290, 1317, 1836, 1927}
    | {2002, 2003, 2006, 2013, 2014, 2055, 4031}
)
_SQLITE_CONFLICTS = frozenset({5, 6})
_SQLITE_OUTAGES = frozenset({8, 10, 13, 14})
# Python's module says it itself, without a code, of a text that is no UTF-8.
_UNDECODABLE = "undecodable"
_SQLITE_PERMANENT = frozenset({1, _UNDECODABLE})
_NEVER_AGAIN_NAMES = frozenset({"DataError", "IntegrityError", "NotSupportedError", "ProgrammingError"})


@dataclass(frozen=True)
class _Table:
    conflicts: Container[object]
    outages: Container[object]
    permanent: Container[object] = frozenset()


_SQLSTATES = _Table(_SQLSTATE_CONFLICTS, _SQLSTATE_OUTAGES, _SQLSTATE_PERMANENT)
_MYSQL = _Table(_MYSQL_CONFLICTS, _MYSQL_OUTAGES)
_SQLITE = _Table(_SQLITE_CONFLICTS, _SQLITE_OUTAGES, _SQLITE_PERMANENT)


def classify(error: BaseException) -> Fault:
    """Tell what `error` (Django's wrapper or the driver's own) means for a retry."""
    code, table = _code_of(error.__cause__ or error)
    if table is None:
        # A driver that lost its connection has no code to show: the server never answered.
        return Fault.OUTAGE if isinstance(error, OperationalError | InterfaceError) else Fault.PERMANENT
    if code in table.conflicts:
        return Fault.CONFLICT
    if code in table.outages or (isinstance(code, str) and code.startswith(_SQLSTATE_OUTAGE_CLASSES)):
        return Fault.OUTAGE
    return Fault.PERMANENT if code in table.permanent or _is_of_the_data(error) else Fault.UNKNOWN


def _code_of(error: BaseException) -> tuple[object, _Table | None]:
    # First, as PyMySQL has a SQLSTATE too, which for most errors is the same "HY000".
    number = error.args[0] if error.args else None
    if isinstance(number, int):
        return number, _MYSQL
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(sqlstate, str):
        return sqlstate, _SQLSTATES
    sqlite_code = getattr(error, "sqlite_errorcode", None)
    if isinstance(sqlite_code, int):
        return sqlite_code & 0xFF, _SQLITE
    is_of_the_module = (type(error).__module__, type(error).__name__) == ("sqlite3", "OperationalError")
    return (_UNDECODABLE, _SQLITE) if is_of_the_module else (None, None)


def _is_of_the_data(error: BaseException) -> bool:
    """Whether the class, Django's or the driver's by the same name, says that the statement is at fault."""
    return any(each.__name__ in _NEVER_AGAIN_NAMES for each in type(error).__mro__)


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether somebody else has held a lock for longer than this connection waits."""
    return _code_of(error.__cause__ or error)[0] in _LOCK_TIMEOUTS


def is_time_limit(error: BaseException) -> bool:
    """Tell whether a statement was ended because it took too long."""
    return _code_of(error.__cause__ or error)[0] in _TIME_LIMITS


def is_passing(error: BaseException, failures: int = 0) -> bool:
    """Tell whether the same work may succeed later, when it has failed `failures` times in a row before."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    fault = classify(error)
    return fault is not Fault.PERMANENT and (fault is not Fault.UNKNOWN or failures < UNKNOWN_TRIES)
