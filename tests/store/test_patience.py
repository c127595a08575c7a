"""A caller waits for what it reads only so long, and leaves the connection as it was."""

import pytest
from django.db import DatabaseError, connection

from django_flare.store.patience import OutOfPatienceError, patient_read
from tests.store.endless import run_endlessly

SETTINGS = {"postgres": "SHOW statement_timeout", "mariadb": "SELECT @@max_statement_time"}


def ask(question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()


@pytest.mark.django_db(transaction=True)
class TestPatientRead:
    def test_a_read_that_takes_too_long_is_ended(self):
        with pytest.raises(OutOfPatienceError), patient_read(1, "default"):
            run_endlessly()
        assert ask("SELECT 1") == (1,)

    def test_a_short_one_is_not(self):
        with patient_read(1, "default"):
            assert ask("SELECT 1") == (1,)

    def test_other_errors_stay_what_they_are(self):
        with pytest.raises(DatabaseError), patient_read(1, "default"):
            ask("SELECT nothing FROM nowhere")

    def test_the_connection_is_as_before(self, database_vendor):
        question = SETTINGS.get(database_vendor)
        before = question and ask(question)
        with patient_read(1, "default"):
            assert question is None or ask(question) != before
        with pytest.raises(OutOfPatienceError), patient_read(1, "default"):
            run_endlessly()
        assert (question and ask(question)) == before

    def test_afterwards_nothing_is_ended(self):
        with patient_read(0, "default"):
            pass
        assert ask(LONG.get(connection.vendor, "SELECT 1"))


# More of SQLite's steps than lie between two looks at the clock.
LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
    "SELECT MAX(i) FROM n"
}
