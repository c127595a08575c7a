"""What a database error means, told by its code and not by Django's class.

Django's OperationalError holds both "try again" and "never again", and a read-only server is an
InternalError. Codes: PostgreSQL's SQLSTATE (its manual's appendix A), MariaDB's and MySQL's error
numbers, SQLite's primary result codes.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum

from django.db import DatabaseError, InterfaceError, OperationalError


class Fault(Enum):
    """Say what to do after a database error."""

    CONFLICT = "run the same transaction again, soon"
    OUTAGE = "discard the connection and try again with growing pauses"
    PERMANENT = "give up; trying again changes nothing"


_SQLSTATE_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
_SQLSTATE_OUTAGES = frozenset(
    {
        "57P01",
        "57P02",
        "57P03",
        "57P04",
        "57P05",
        "57014",
        "25006",
        "25P03",
        "53000",
        "53100",
        "53200",
        "53300",
        "58030",
    }
)
_MYSQL_CONFLICTS = frozenset({1205, 1213, 1020, 3572})
_MYSQL_OUTAGES = frozenset(
    {0, 1021, 1037, 1040, 1053, 1114, 1129, 1158, 1159, 1160, 1161, 1203, 1290, 1317, 1836, 1927}
    | {2002, 2003, 2006, 2013, 2014, 2055, 4031}
)
_SQLITE_CONFLICTS = frozenset({5, 6})
_SQLITE_OUTAGES = frozenset({8, 10, 13, 14})


def classify(error: BaseException) -> Fault:
    """Tell what `error` (Django's wrapper or the driver's own) means for a retry."""
    driver_error = error.__cause__ or error
    sqlstate = getattr(driver_error, "sqlstate", None) or getattr(driver_error, "pgcode", None)
    if isinstance(sqlstate, str):
        return _by_code(sqlstate, _SQLSTATE_CONFLICTS, _SQLSTATE_OUTAGES, outage=sqlstate.startswith("08"))
    sqlite_code = getattr(driver_error, "sqlite_errorcode", None)
    if isinstance(sqlite_code, int):
        return _by_code(sqlite_code & 0xFF, _SQLITE_CONFLICTS, _SQLITE_OUTAGES)
    number = driver_error.args[0] if driver_error.args else None
    if isinstance(number, int):
        return _by_code(number, _MYSQL_CONFLICTS, _MYSQL_OUTAGES)
    # A driver that lost its connection has no code to show: the server never answered.
    return Fault.OUTAGE if isinstance(error, OperationalError | InterfaceError) else Fault.PERMANENT


def _by_code(
    code: object, conflicts: Container[object], outages: Container[object], outage: bool = False
) -> Fault:
    if code in conflicts:
        return Fault.CONFLICT
    return Fault.OUTAGE if outage or code in outages else Fault.PERMANENT


def is_passing(error: BaseException) -> bool:
    """Tell whether the same work may succeed later."""
    return isinstance(error, DatabaseError | InterfaceError) and classify(error) is not Fault.PERMANENT
