"""The handlers' own book: what was started and ended, on a connection that django_flare knows nothing of.

It goes straight to the server, past the proxies, in autocommit: what a run does is seen also when the network
between its worker and the database is cut.
"""

import os
import re
import secrets
import threading
import time

import psycopg

from tests.chaos import auditor

_PATIENCE = 20.0
_START = """
    INSERT INTO chaos_execution (nonce, event, job, attempt, pid, parents)
    VALUES (%(nonce)s, 'start', %(job)s, %(attempt)s, %(pid)s, (
        SELECT array_agg(parent.state) FROM django_flare_job child
        JOIN django_flare_continuation link ON link.child_id = child.id
        JOIN django_flare_job parent ON parent.id = link.parent_id
        WHERE child.public_id = %(job)s
    ))
    ON CONFLICT DO NOTHING
    """
_END = """
    INSERT INTO chaos_execution (nonce, event, job, attempt, pid)
    VALUES (%(nonce)s, 'end', %(job)s, %(attempt)s, %(pid)s) ON CONFLICT DO NOTHING
    """

_IN_ERROR = re.compile(r"chaos\[([^\]]+)\]")
_IN_RESULT = re.compile(r'"nonce": ?"([^"]+)"')
_here = threading.local()


class LedgerUnavailableError(Exception):
    """The book could not be written, so the handler has not begun."""


class Entry:
    """The entry of one execution; `nonce` goes into its result or its error."""

    def __init__(self, context):
        self.nonce = f"{os.getpid():x}.{secrets.token_hex(6)}"
        self._values = {
            "nonce": self.nonce,
            "job": context.job_id,
            "attempt": context.attempt_number,
            "pid": os.getpid(),
        }

    def __enter__(self):
        self._write(_START)
        return self

    def __exit__(self, *_):
        # Without it the run's end is taken from its outcome.
        try:
            self._write(_END, patience=3.0)
        except LedgerUnavailableError:
            return

    def error(self, text):
        """Return an exception by which the outcome can be told from those of other executions."""
        return RuntimeError(f"chaos[{self.nonce}] {text}")

    def result(self, value=None):
        """Return a result by which the outcome can be told from those of other executions."""
        return {"nonce": self.nonce, "value": value}

    def _write(self, statement, patience=_PATIENCE):
        # Written twice it is there once, so any doubt is a reason to write it again.
        until = time.monotonic() + patience
        while True:
            try:
                _connection().execute(statement, self._values)
            except psycopg.Error as error:
                _forget()
                if time.monotonic() > until:
                    raise LedgerUnavailableError(str(error)) from error
                time.sleep(0.2)
            except BaseException:
                _forget()
                raise
            else:
                return


def nonce_in(outcome, error):
    """Return the nonce that a row's result or error message carries, "" if none."""
    # Of a long result only the beginning is kept.
    found = _IN_ERROR.search(error or "") or _IN_RESULT.search(outcome or "")
    return found[1] if found else ""


def _connection():
    if getattr(_here, "connection", None) is None:
        _here.connection = auditor.connect(
            os.environ["CHAOS_LEDGER_URL"], application_name=f"chaos-ledger-{os.getpid()}"
        )
    return _here.connection


def _forget():
    connection, _here.connection = getattr(_here, "connection", None), None
    if connection is not None:
        connection.close()
