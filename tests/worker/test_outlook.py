"""What a worker knows of the work there is; on the database, the worker's own clock in the test's hands."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_flare import jobs
from django_flare.lifecycle.finish import Applied
from django_flare.states import JobState
from django_flare.worker import outlook
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outlook import Outlook
from tests.support import state
from tests.worker.support import USING, idle

pytestmark = pytest.mark.django_db


@pytest.fixture
def now(monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr(outlook.time, "monotonic", lambda: moment[0])
    return moment


def make(*queues, poll=1.0, has_wakeups=True, attention=0):
    return Outlook(WorkerOptions(queues=queues), poll, has_wakeups=has_wakeups, attention=attention)


def enqueue(*queues):
    return [jobs.enqueue(idle, {}, queue=queue) for queue in queues]


def look(view, *, woken=False):
    """Look as a turn does, before and after its claim; return how many statements that took."""
    with CaptureQueriesContext(connection) as captured:
        view.look(USING, woken=woken)
        view.look_ahead(USING)
    return len(captured)


class TestQueues:
    def test_nothing_to_do(self, now):
        view = make()
        look(view)
        assert (view.queues, view.is_empty) == ([], True)

    def test_all_queues_in_turn(self, now):
        enqueue("a", "b", "c", "b")
        view = make()
        look(view)
        assert view.queues == ["a", "b", "c"]
        view.note_claim(found=True, has_more=True)
        assert view.queues == ["b", "c", "a"]
        view.note_claim(found=True, has_more=True)
        assert view.queues == ["c", "a", "b"]

    def test_only_those_told_in_the_order_of_preference(self, now):
        enqueue("a", "b", "c")
        view = make("c", "missing", "a")
        look(view)
        assert (view.queues, view.is_empty) == (["c", "a"], False)
        view.note_claim(found=True, has_more=True)
        assert view.queues == ["c", "a"]

    def test_empty_for_a_worker_whose_queues_are(self, now):
        enqueue("other")
        view = make("mine")
        look(view)
        assert (view.queues, view.is_empty) == ([], True)

    def test_names_are_kept_a_second_while_claims_come_back_full(self, now):
        enqueue("a")
        view = make()
        look(view)
        enqueue("b")
        now[0] += 0.9
        assert look(view) == 0
        assert view.queues == ["a"]
        now[0] += 0.2
        assert look(view) == 1
        assert view.queues == ["a", "b"]

    def test_a_paused_queue_is_nothing_to_do(self, now):
        enqueue("a", "b")
        jobs.pause_queue("a")
        view = make()
        look(view)
        assert (view.queues, view.is_empty) == (["b"], False)
        jobs.pause_queue("b")
        now[0] += 1.1
        look(view)
        assert (view.queues, view.is_empty) == ([], True)
        assert view.patience > 0.5

    def test_a_wake_up_looks_at_once(self, now):
        view = make()
        look(view)
        enqueue("a")
        assert look(view) == 0
        look(view, woken=True)
        assert view.queues == ["a"]

    def test_a_wake_up_that_may_stand_for_several_is_looked_after(self, now):
        """F24: a commit soon after a NOTIFY sends none of its own."""
        view = make(attention=0.015)
        look(view, woken=True)
        assert view.patience < 0.004
        enqueue("a")
        now[0] += 0.003
        look(view)
        assert view.queues == ["a"]
        view.note_claim(found=True, has_more=False)
        assert view.patience < 0.004
        looks = 0
        while now[0] < 1000.1:
            now[0] += 0.001
            looks += look(view)
        # Few of them, and a last one after all that the wake-up stands for.
        assert 2 <= looks <= 6
        assert view.patience > 0.8

    def test_a_claim_that_came_back_short_has_emptied_them(self, now):
        enqueue("a")
        view = make(poll=2.0)
        look(view)
        view.note_claim(found=True, has_more=False)
        assert view.queues == []
        assert look(view) == 0
        assert view.patience == pytest.approx(2.0)
        now[0] += 2.1
        look(view)
        assert view.queues == ["a"]

    def test_a_claim_that_found_nothing_ends_a_burst(self, now):
        """The names may be those of jobs of an unknown type."""
        enqueue("a")
        view = make()
        look(view)
        assert not view.is_empty
        view.note_claim(found=False, has_more=False)
        assert view.is_empty

    def test_outcomes_that_activated_children_ask_for_a_look(self, now):
        view = make()
        look(view)
        assert view.is_empty
        view.note_recorded(Applied({1: JobState.SUCCEEDED}))
        assert view.patience > 0
        view.note_recorded(Applied({1: JobState.SUCCEEDED}, activated=True))
        assert not view.is_empty
        assert view.patience == 0
        enqueue("a")
        look(view)
        assert view.queues == ["a"]


class TestDue:
    def test_what_is_due_is_promoted_for_the_next_look(self, now):
        late = jobs.schedule(idle, {}, when=timedelta(seconds=30))
        _make_due(late)
        view = make()
        look(view)
        assert state(late) == JobState.PENDING
        assert not view.is_empty
        assert view.patience == 0
        look(view)
        assert view.queues == ["stage"]

    def test_it_waits_for_the_next_due_time_and_no_longer(self, now):
        jobs.schedule(idle, {}, when=timedelta(seconds=0.4))
        view = make(poll=1.0)
        look(view)
        assert 0 < view.patience <= 0.4
        # Later than the poll does not matter.
        far = make(poll=0.2)
        look(far)
        assert far.patience == pytest.approx(0.2)

    def test_a_far_due_time_does_not_shorten_the_wait(self, now):
        jobs.schedule(idle, {}, when=timedelta(days=3))
        view = make(poll=1.0)
        look(view)
        assert view.patience == pytest.approx(1.0)

    def test_a_wake_up_may_announce_something_due_soon(self, now):
        view = make(poll=60.0)
        look(view)
        assert view.patience > 1
        jobs.schedule(idle, {}, when=timedelta(seconds=5))
        now[0] += 0.06
        look(view, woken=True)
        assert view.patience <= 5

    def test_a_wake_up_that_may_stand_for_several_announces_more_than_one_due_time(self, now):
        view = make(poll=60.0, attention=0.015)
        look(view, woken=True)
        jobs.schedule(idle, {}, when=timedelta(seconds=5))
        while now[0] < 1000.03:
            now[0] += 0.003
            look(view)
        assert view.patience <= 5

    def test_a_retry_of_its_own_is_expected(self, now):
        view = make(poll=60.0)
        look(view)
        view.note_recorded(Applied({1: JobState.FAILED}))
        assert view.patience <= 0.05

    def test_a_storm_of_wake_ups_does_not_ask_each_time(self, now):
        view = make()
        look(view, woken=True)
        asked = 0
        for _ in range(100):
            now[0] += 0.001
            asked += look(view, woken=True) - 1
        # 100 ms at one question each 50 ms; a question is one statement for each of the two states.
        assert asked <= 6

    def test_a_lost_wake_up_is_made_up_for(self, now):
        view = make(poll=1.0)
        look(view)
        late = jobs.schedule(idle, {}, when=timedelta(seconds=30))
        _make_due(late)
        now[0] += 2.9
        look(view)
        assert state(late) == JobState.SCHEDULED
        now[0] += 0.11
        look(view)
        assert state(late) == JobState.PENDING

    @pytest.mark.parametrize(("poll", "asked_by"), [(1.0, 3.1), (5.0, 5.1), (60.0, 10.1)])
    def test_that_takes_no_longer_than_the_poll_as_far_as_it_may(self, now, poll, asked_by):
        """F24: and an idle worker is to stay within 2.5 statements a second."""
        view = make(poll=poll)
        look(view)
        assert view._look_at_due_at < now[0] + asked_by
        statements = 0
        for _ in range(600):
            now[0] += 0.1
            statements += look(view)
        assert statements <= 60 * (1 / poll + 1 / 3) + 2

    def test_without_wake_ups_it_asks_at_every_poll(self, now):
        view = make(poll=0.2, has_wakeups=False)
        look(view)
        late = jobs.schedule(idle, {}, when=timedelta(seconds=30))
        _make_due(late)
        now[0] += 0.21
        look(view)
        assert state(late) == JobState.PENDING


def _make_due(job_id):
    from django.db.models import F

    from django_flare.store import rows

    rows.jobs(USING).filter(public_id=job_id).update(run_at=F("run_at") - timedelta(minutes=1))

    def test_when_wake_ups_are_lost_it_polls_as_without_and_back(self, now):
        """F24: as told by the listener, from the next look on."""
        view = make(poll=1.0)
        view.rely(0.2, has_wakeups=False)
        look(view, woken=True)
        assert view.patience == pytest.approx(0.2)
        late = jobs.schedule(idle, {}, when=timedelta(seconds=30))
        _make_due(late)
        now[0] += 0.21
        look(view)
        assert state(late) == JobState.PENDING
        view.rely(1.0, has_wakeups=True)
        jobs.cancel(late)
        now[0] += 0.21
        look(view)
        now[0] += 0.06
        look(view)
        assert view.patience == pytest.approx(1.0, abs=0.07)
