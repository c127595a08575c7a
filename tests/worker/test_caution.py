"""When a worker makes room for a suspect, and for how long (F45)."""

import pytest

from django_flare.worker import caution
from django_flare.worker.caution import Caution
from tests.worker.support import make_run


@pytest.fixture
def now(monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr(caution.time, "monotonic", lambda: moment[0])
    return moment


@pytest.fixture
def drawn(monkeypatch):
    number = [1.0]
    monkeypatch.setattr(caution.random, "random", lambda: number[0])
    return number


def test_room_is_made_for_15_seconds_and_not_again_for_a_minute(now, drawn):
    cautious = Caution()
    cautious.make_room()
    assert cautious.forbids_claims(staying=1)
    assert not cautious.forbids_claims(staying=0)
    now[0] += 15
    assert not cautious.forbids_claims(staying=1)
    cautious.make_room()
    assert not cautious.forbids_claims(staying=1)
    now[0] += 45
    cautious.make_room()
    assert cautious.forbids_claims(staying=1)


def test_where_jobs_take_longer_a_later_pause_may_last_until_they_have_ended(now, drawn):
    cautious = Caution()
    drawn[0] = 0.0
    cautious.make_room()
    now[0] += 15
    assert not cautious.forbids_claims(staying=1), "the first is short in any case"
    now[0] += 45
    cautious.make_room()
    now[0] += 3600
    assert cautious.forbids_claims(staying=1)
    assert cautious.has_made_room


def test_the_pause_ends_with_the_claim_of_an_idle_worker(now, drawn):
    cautious = Caution()
    cautious.make_room()
    cautious.note_idle_claim()
    assert not cautious.forbids_claims(staying=1)


def test_nothing_starts_beside_a_suspect(now, drawn):
    cautious = Caution()
    suspect = make_run(losses=1)
    cautious.note_claimed(make_run())
    assert not cautious.forbids_claims(staying=1)
    cautious.note_claimed(suspect)
    assert cautious.forbids_claims(staying=0)
    suspect.outcome = object()
    assert not cautious.forbids_claims(staying=0)


def test_a_suspect_that_was_taken_back_holds_up_nobody(now, drawn):
    cautious = Caution()
    suspect = make_run(losses=1)
    cautious.note_claimed(suspect)
    cautious.note_taken_back([suspect])
    assert not cautious.forbids_claims(staying=0)
