import re
import time
from datetime import timedelta

import pytest

from django_flare.models import Worker
from django_flare.worker import identity
from django_flare.worker.identity import Identity
from django_flare.worker.options import WorkerOptions


@pytest.fixture
def now(monkeypatch):
    """The clock that judges leases, in the hands of the test."""
    moment = [1000.0]
    monkeypatch.setattr(identity, "now", lambda: moment[0])
    return moment


@pytest.mark.parametrize("host", ["web-1.example", "büro", "a b\n;", "h" * 300, ""])
def test_ids_are_random_per_start_and_fit_the_column(monkeypatch, host):
    """F06: the same host and process number never prove somebody else alive."""
    monkeypatch.setattr(identity.socket, "gethostname", lambda: host)
    ids = {identity._new_worker_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"wrk_[A-Za-z0-9.-]*_\d+_[0-9a-f]{12}", each) and len(each) <= 64 for each in ids)


@pytest.mark.django_db
def test_it_may_claim_only_while_nobody_can_have_declared_it_dead(now):
    who = Identity(WorkerOptions(queues=("a", "b"), concurrency=3), timedelta(seconds=30))
    assert not who.may_claim
    who.register()
    row = Worker.objects.get(pk=who.worker_id)
    assert (row.queues, row.slots, row.running) == (["a", "b"], 3, 0)
    assert "worker.idle" in row.job_types or row.job_types
    assert row.last_beat_at == row.started_at

    now[0] += 29.9
    assert who.may_claim
    now[0] += 0.2
    assert not who.may_claim
    who.note_beat(now[0] - 5)
    assert who.may_claim
    now[0] += 25.1
    assert not who.may_claim

    who.note_beat(now[0])
    who.forget()
    assert not who.may_claim
    before = who.worker_id
    who.register()
    assert who.worker_id != before
    assert who.may_claim


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="about Linux")
def test_the_clock_that_judges_leases_goes_on_while_the_machine_is_suspended(monkeypatch):
    """F32: the monotonic one stands still then."""
    asked = []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: asked.append(clock) or 7.0)
    assert identity.now() == 7.0
    assert asked == [time.CLOCK_BOOTTIME]
