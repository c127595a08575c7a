"""The command that shows how queues and workers do."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.db import OperationalError
from django.db.models import F

from django_flare.management.commands import flare_status
from django_flare.models import Worker
from tests.support import Driver, make_job
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db


def shown(**options):
    out, err = io.StringIO(), io.StringIO()
    call_command("flare_status", stdout=out, stderr=err, **options)
    return out.getvalue() + err.getvalue()


def test_an_empty_table_says_so():
    text = shown()
    assert text.count("(none)") == 2
    assert "pending" in text


def test_columns_are_aligned():
    make_job(queue="a-queue-with-a-long-name")
    make_job(queue="b")
    make_job(queue="b")
    head, long, short = shown().splitlines()[2:5]
    assert head.split() == ["QUEUE", "CLAIMABLE", "OLDEST", "RUNNING", "NEXT", "DUE"]
    end = head.index("CLAIMABLE") + len("CLAIMABLE")
    assert (long[:end].split(), short[:end].split()) == (["a-queue-with-a-long-name", "1"], ["b", "2"])


def test_a_stale_worker_is_marked():
    Driver("wrk_alive")
    Driver("wrk_gone")
    Worker.objects.filter(pk="wrk_gone").update(last_beat_at=F("last_beat_at") - timedelta(hours=1))
    alive, gone = (line for line in shown().splitlines() if line.startswith("wrk_"))
    assert "stale" not in alive
    assert alive.endswith("all")
    assert gone.split()[-3:] == ["1h0m", "stale", "all"]


def test_types_that_nobody_knows_are_named():
    Driver("wrk_knows_nothing")
    make_job(plain)
    assert "no live worker knows:\n  tests.testapp.jobs.plain\n" in shown()


def test_what_a_foreign_hand_has_written_does_not_steer_the_terminal():
    Driver("wrk_\x1b[2J")
    assert "\x1b" not in shown()
    assert "wrk_\\x1b[2J" in shown()


def test_json_is_one_object_on_one_line():
    make_job(queue="mail")
    (line,) = shown(json=True).splitlines()
    assert json.loads(line)["queues"][0]["claimable"] == {"number": 1, "has_more": False}


class Interrupted:
    """Let so many waits pass, then play Ctrl-C."""

    def __init__(self, rounds):
        self.left = rounds
        self.waits = []

    def __call__(self, seconds):
        self.waits.append(seconds)
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch):
    waits = Interrupted(3)
    monkeypatch.setattr(flare_status.time, "sleep", waits)
    return waits


def test_a_watch_goes_on_until_it_is_interrupted(interrupted):
    """It returns, which is exit code 0."""
    lines = shown(watch=0.5, json=True).split()
    assert interrupted.waits == [0.5] * 3
    assert "".join(lines).count('"database"') == 3


def test_a_watch_survives_an_outage(interrupted, monkeypatch):
    read, answers = flare_status.read_overview, [OperationalError("no\nserver"), None, None]

    def sometimes(using):
        if error := answers.pop(0):
            raise error
        return read(using)

    monkeypatch.setattr(flare_status, "read_overview", sometimes)
    # A test's own transaction would end with the connection.
    monkeypatch.setattr(flare_status, "_forget_connection", lambda using: None)
    text = shown(watch=1.0)
    assert text.count("Database 'default': no\\nserver") == 1
    assert text.count("QUEUE") == 2 * 2


def test_once_an_outage_is_an_error(monkeypatch):
    def broken(using):
        raise OperationalError("no server")

    monkeypatch.setattr(flare_status, "read_overview", broken)
    with pytest.raises(CommandError, match="Database 'default': no server"):
        shown()


def test_an_unknown_database_is_a_bad_option():
    with pytest.raises(CommandError, match="--database: 'elsewhere' is not in DATABASES") as error:
        shown(database="elsewhere")
    assert error.value.returncode == 2


@pytest.mark.parametrize(("given", "seconds"), [([], None), (["--watch"], 2.0), (["--watch", "0.5"], 0.5)])
def test_how_often_a_watch_looks(given, seconds):
    parser = load_command_class("django_flare", "flare_status").create_parser("manage.py", "flare_status")
    assert parser.parse_args(given).watch == seconds


@pytest.mark.parametrize("given", ["0", "nan", "x", "-1", "3601"])
def test_a_bad_interval_is_a_bad_option(given):
    parser = load_command_class("django_flare", "flare_status").create_parser("manage.py", "flare_status")
    with pytest.raises(CommandError, match=f"--watch: '{given}', seconds from 0.1 to 3600"):
        parser.parse_args([f"--watch={given}"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0s"), (59, "59s"), (60, "1m0s"), (3_661, "1h1m"), (90_061, "1d1h")],
)
def test_a_duration_has_two_units(seconds, text):
    assert flare_status._span(seconds) == text
