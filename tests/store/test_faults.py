"""What is tried again and what is not is decided by the database's code. F36, F35, F44."""

import sqlite3

import psycopg
import pymysql
import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from django_flare.store.faults import UNKNOWN_TRIES, Fault, classify, is_passing

SQLSTATES = {
    Fault.CONFLICT: ["40001", "40P01", "55P03"],
    Fault.OUTAGE: [
        "08000", "08003", "08006", "08P01",  # connection lost; a pooler's errors
        "25006", "25P03",  # read-only, idle in transaction: InternalErrors
        "40003",  # nobody knows whether the commit happened
        "53000", "53100", "53200", "53300", "53400",  # disk full, out of memory, too many connections
        "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05",  # shut down, starting up, cancelled
        "58030",
    ],
    Fault.PERMANENT: [
        "0A000", "22001", "22P02", "22P05", "23502", "23503", "23505", "23514", "40002",
        "42501", "42601", "42703", "42883", "42P01", "54000",
    ],
    Fault.UNKNOWN: ["XX000", "XX001", "58P01", "55000", "55006", "25P02", "F0000", "ZZ999"],
}  # fmt: skip
MYSQL = {
    Fault.CONFLICT: [1205, 1213],
    Fault.OUTAGE: [1040, 1053, 1290, 1836, 2002, 2003, 2006, 2013, 1021],
    Fault.UNKNOWN: [1105, 1412, 9999],
}
SQLITE = {
    Fault.CONFLICT: [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_BUSY_SNAPSHOT],
    Fault.OUTAGE: [
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    ],
    Fault.PERMANENT: [sqlite3.SQLITE_ERROR],
    Fault.UNKNOWN: [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB],
}


def table(codes):
    return [(code, fault) for fault, each in codes.items() for code in each]


def wrapped(driver_error):
    """Wrap it as Django does: in its own class of the same name."""
    mine = (
        NotSupportedError,
        DataError,
        IntegrityError,
        ProgrammingError,
        OperationalError,
        InternalError,
        DatabaseError,
    )
    names = [each.__name__ for each in type(driver_error).__mro__]
    kind = next((each for each in mine if each.__name__ in names), DatabaseError)
    error = kind(*driver_error.args)
    error.__cause__ = driver_error
    return error


@pytest.mark.parametrize(("code", "fault"), table(SQLSTATES))
def test_by_sqlstate(code, fault):
    try:
        kind = psycopg.errors.lookup(code)
    except KeyError:
        kind = psycopg.DatabaseError
    error = kind("no")
    error.sqlstate = code
    assert classify(error) is classify(wrapped(error)) is fault


def test_a_text_that_is_no_text_is_a_fault_of_the_data():
    """F58: Python's module says so without a code, and in the class of lost connections."""
    with sqlite3.connect(":memory:") as database, pytest.raises(sqlite3.OperationalError) as raised:
        database.execute("SELECT CAST(X'ff' AS TEXT)").fetchall()
    assert classify(raised.value) is classify(wrapped(raised.value)) is Fault.PERMANENT
    assert classify(OperationalError("no")) is Fault.OUTAGE


@pytest.mark.parametrize(("code", "fault"), table(MYSQL))
def test_by_the_number_of_mariadb(code, fault):
    error = pymysql.err.OperationalError(code, "no")
    error.sqlstate = "HY000"
    assert classify(wrapped(error)) is fault


def test_a_duplicate_in_mariadb_is_permanent_whatever_its_number():
    assert classify(wrapped(pymysql.err.IntegrityError(1062, "duplicate"))) is Fault.PERMANENT
    assert classify(wrapped(pymysql.err.DataError(1406, "too long"))) is Fault.PERMANENT


@pytest.mark.parametrize(("code", "fault"), table(SQLITE))
def test_by_the_code_of_sqlite(code, fault):
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    assert classify(wrapped(error)) is fault


@pytest.mark.parametrize("error", [OperationalError("the connection is lost"), InterfaceError("closed")])
def test_no_code_at_all_is_a_lost_connection(error):
    assert classify(error) is Fault.OUTAGE


def test_other_errors_are_none_of_the_database():
    assert not is_passing(ValueError(1205))
    assert not is_passing(KeyError("57P01"))


def test_an_unknown_code_passes_only_so_often():
    error = psycopg.InternalError("what?")
    error.sqlstate = "XX000"
    unknown = wrapped(error)
    assert [is_passing(unknown, failures) for failures in range(UNKNOWN_TRIES + 2)] == [
        *[True] * UNKNOWN_TRIES,
        False,
        False,
    ]
    assert is_passing(OperationalError("the connection is lost"), 1000)
    assert not is_passing(ProgrammingError(1146), 0)
