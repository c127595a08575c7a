"""The start and the end of a worker, in this process."""

import pytest
from django.db import OperationalError, ProgrammingError

from django_flare import jobs
from django_flare.lifecycle import recovery
from django_flare.models import Worker
from django_flare.worker.options import WorkerOptions
from django_flare.worker.service import WorkerService
from tests.support import state
from tests.worker.support import idle

pytestmark = pytest.mark.django_db(transaction=True)


def _fail(monkeypatch, errors):
    register, left = recovery.register, list(errors)

    def sometimes(*args, **kwargs):
        if left:
            raise left.pop(0)
        register(*args, **kwargs)

    monkeypatch.setattr(recovery, "register", sometimes)
    return left


def test_it_waits_for_a_database_that_is_not_there_yet(monkeypatch, caplog):
    """F33: also at the start it does not exit."""
    job_id = jobs.enqueue(idle, {})
    left = _fail(monkeypatch, [OperationalError("no server"), OperationalError("starting up")])
    assert WorkerService(WorkerOptions(burst=True, concurrency=1)).run()
    assert left == []
    assert state(job_id) == "succeeded"
    assert caplog.text.count("The database does not answer yet") == 2
    assert not Worker.objects.exists()


def test_told_to_stop_before_it_could_register_it_ends(monkeypatch):
    service = WorkerService(WorkerOptions(concurrency=1))

    def gone(*args, **kwargs):
        service.stop()
        raise OperationalError("no server")

    monkeypatch.setattr(recovery, "register", gone)
    assert service.run()
    assert service.ended.is_set()


def test_an_error_that_will_not_pass_is_raised(monkeypatch):
    """A missing table is no outage: waiting for it would hide the mistake."""
    _fail(monkeypatch, [ProgrammingError("no such table")])
    with pytest.raises(ProgrammingError):
        WorkerService(WorkerOptions(burst=True)).run()
