"""Jobs are read and changed alike in process and over HTTP (spec, sections 2, 4, 5 and 6)."""

from datetime import timedelta
from uuid import UUID

import pytest

from django_flare import FlareNotFoundError, JobState, jobs
from django_flare.models import Job
from django_flare.states import Event, allows
from django_flare.status import Reason
from tests.contract.support import ONCE, PLAIN, UNKNOWN, Stage
from tests.support import Driver, state, states

CONTROLS = {"cancel": Event.CANCEL, "retry": Event.RETRY, "discard": Event.DISCARD, "stop": Event.STOPPED}
STRANGE_IDS = ["", "nonsense", "batch", "..", "a/b", "x" * 10_000, "\x00", "\ud800", "%2e", "é"]


@pytest.fixture
def stage(verbs):
    return Stage(verbs)


class TestReading:
    def test_a_job_reads_the_same_in_every_state(self, every_verbs):
        for job_id in Stage(jobs).every().values():
            assert every_verbs.get_status(job_id) == jobs.get_status(job_id)

    def test_so_does_one_with_everything(self, verbs):
        """Parents, tags, an error, a result, progress, a cascade."""
        stage = Stage(jobs)
        parents = [stage.job(tags={"a": "ä"}) for _ in range(3)]
        child = jobs.continue_with(parents, PLAIN, {"a": {"b": [1.5, 2**53 + 1, "\u2028"]}}, tags={"k": "v"})
        stage.driver.fail(parents[0], ValueError("börk\n" * 100))
        stage.driver.discard(parents[1], "no use")
        for job_id in (*parents, child):
            assert verbs.get_status(job_id) == jobs.get_status(job_id)
        assert verbs.get_status(child).cancelled_by == parents[1]

    @pytest.mark.parametrize("form", [str, str.upper, UUID])
    def test_an_id_has_several_forms(self, verbs, form):
        job_id = jobs.enqueue(PLAIN)
        assert verbs.get_status(form(job_id)).job_id == job_id

    def test_no_such_job_is_none(self, every_verbs):
        for unknown in (UNKNOWN, UUID(UNKNOWN), *STRANGE_IDS):
            assert every_verbs.get_status(unknown) is None


class TestChanging:
    @pytest.mark.parametrize("verb", CONTROLS)
    def test_the_state_decides(self, verbs, stage, verb):
        for before, job_id in stage.every().items():
            expected = allows(CONTROLS[verb], before)
            assert getattr(verbs, verb)(job_id) is expected, before
            assert (state(job_id) is before) is (not expected or verb == "stop")

    def test_so_for_coroutines(self, every_verbs):
        stage = Stage(jobs)
        pending, running, failed = map(stage.job, (JobState.PENDING, JobState.PROCESSING, JobState.FAILED))
        assert [every_verbs.cancel(pending), every_verbs.cancel(pending)] == [True, False]
        assert [every_verbs.stop(pending), every_verbs.stop(running)] == [False, True]
        assert [every_verbs.discard(failed), every_verbs.discard(failed)] == [True, False]
        assert [every_verbs.retry(failed, revive=True), every_verbs.retry(failed)] == [True, False]

    @pytest.mark.parametrize("verb", [*CONTROLS, "explain"])
    def test_no_such_job_is_an_error(self, verbs, verb):
        for unknown in (UNKNOWN, UUID(UNKNOWN), *STRANGE_IDS):
            with pytest.raises(FlareNotFoundError, match="job_id: no job") as caught:
                getattr(verbs, verb)(unknown)
            assert caught.value.code == "job_not_found"

    def test_a_cancelled_job_takes_its_waiting_descendants_along(self, verbs):
        parent = verbs.enqueue(PLAIN)
        child = verbs.continue_with(parent, PLAIN)
        grandchild = verbs.continue_with(child, PLAIN)
        assert verbs.cancel(parent) is True
        assert [verbs.get_status(each).cancelled_by for each in (parent, child, grandchild)] == [
            None,
            parent,
            parent,
        ]

    def test_a_cancelled_job_never_starts(self, verbs):
        """Promise 5."""
        job_id = verbs.enqueue(PLAIN, queue="q")
        assert verbs.cancel(job_id) is True
        assert Driver().claim("q") == []

    def test_a_dead_job_gets_one_more_attempt(self, verbs):
        job_id = verbs.enqueue(ONCE)
        Driver().fail(job_id)
        assert verbs.get_status(job_id).state is JobState.DEAD_LETTER
        assert verbs.retry(job_id) is True
        found = verbs.get_status(job_id)
        assert (found.state, found.attempt_number, found.max_attempts) == (JobState.PENDING, 1, 2)

    @pytest.mark.parametrize("revive", [False, True])
    def test_its_children_wait_again_only_if_revived(self, verbs, revive):
        parent = verbs.enqueue(ONCE)
        child = verbs.continue_with(parent, PLAIN)
        Driver().fail(parent)
        assert verbs.get_status(child).state is JobState.CANCELLED
        assert verbs.retry(parent, revive=revive) is True
        expected = JobState.SCHEDULED if revive else JobState.CANCELLED
        assert states(parent, child) == [JobState.PENDING, expected]

    def test_a_stopped_job_is_cancelled_when_its_run_ends(self, verbs):
        driver, job_id = Driver(), verbs.enqueue(PLAIN)
        driver.start(job_id)
        assert verbs.stop(job_id) is True
        assert verbs.explain(job_id).code is Reason.STOP_REQUESTED
        driver.leave(job_id)
        found = verbs.get_status(job_id)
        assert found.state is JobState.CANCELLED
        assert found.error_message.startswith("stopped")


class TestListing:
    @pytest.fixture(autouse=True)
    def several(self, db):
        """Make jobs that filters can tell apart."""
        stage = Stage(jobs)
        stage.every()
        stage.job(queue="mail", tags={"team": "blue", "é": "a:b"})
        stage.job(queue="mail", tags={"team": "red"})
        jobs.enqueue(ONCE)

    FILTERS = [
        {},
        {"limit": 100},
        {"limit": 3},
        {"state": "pending"},
        {"state": JobState.FAILED},
        {"state": ["failed", JobState.SUCCEEDED]},
        {"state": []},
        {"queue": "mail"},
        {"queue": "nobody"},
        {"queue": ""},
        {"job_type": ONCE},
        {"tags": {"team": "blue"}},
        {"tags": {"team": "blue", "é": "a:b"}},
        {"tags": {"team": "green"}},
        {"tags": {}},
        {"state": {"pending"}, "queue": "mail", "tags": {"team": "red"}, "job_type": PLAIN, "limit": 1},
    ]

    @pytest.mark.parametrize("filters", FILTERS, ids=str)
    def test_a_page_reads_the_same(self, client, awaited, filters):
        expected = jobs.list_jobs(**filters)
        assert client.list_jobs(**filters) == awaited.list_jobs(**filters) == expected

    def test_times_bound_it(self, verbs):
        made = [each.created_at for each in jobs.list_jobs().jobs]
        newer = verbs.list_jobs(created_after=made[3])
        assert [each.created_at for each in newer.jobs] == made[:4]
        older = verbs.list_jobs(created_before=made[3])
        assert [each.created_at for each in older.jobs] == made[4:]

    def test_its_cursor_leads_through_all_in_process_and_over_http(self, client):
        expected = [each.job_id for each in jobs.list_jobs().jobs]
        found, cursor, sources = [], None, [client, jobs] * len(expected)
        while True:
            page = sources.pop().list_jobs(limit=3, cursor=cursor)
            found += [each.job_id for each in page.jobs]
            assert page.has_more is (page.next_cursor is not None)
            if not page.has_more:
                break
            cursor = page.next_cursor
        assert found == expected


class TestExplaining:
    def test_it_reads_the_same_in_every_state(self, client, awaited):
        for job_id in Stage(jobs).every().values():
            expected = jobs.explain(job_id)
            assert client.explain(job_id) == awaited.explain(job_id) == expected

    def test_so_do_the_reasons_that_lie_elsewhere(self, client):
        waiting = jobs.continue_with([jobs.enqueue(PLAIN) for _ in range(12)], PLAIN)
        paused = jobs.enqueue(PLAIN, queue="paused")
        jobs.pause_queue("paused")
        dead = jobs.enqueue(ONCE, queue="dead")
        cascaded = jobs.continue_with(dead, PLAIN)
        unserved = jobs.enqueue(PLAIN, queue="unserved")
        Driver().fail(dead)
        found = {each: client.explain(each) for each in (waiting, paused, cascaded, unserved)}
        assert found == {each: jobs.explain(each) for each in found}
        assert [each.code for each in found.values()][:3] == [
            Reason.WAITING_FOR_PARENTS,
            Reason.QUEUE_PAUSED,
            Reason.FINAL,
        ]


class TestQueues:
    @pytest.mark.parametrize("name", ["mail", "A.b:c_d-9", "..", ".", "x" * 100])
    def test_pausing_and_resuming_say_whether_they_changed_anything(self, verbs, name):
        assert [verbs.pause_queue(name), verbs.pause_queue(name)] == [True, False]
        assert [verbs.resume_queue(name), verbs.resume_queue(name)] == [True, False]

    def test_nothing_starts_in_between(self, every_verbs):
        job_id = every_verbs.enqueue(PLAIN, queue="mail")
        every_verbs.pause_queue("mail")
        assert Driver().claim("mail") == []
        every_verbs.resume_queue("mail")
        assert [str(each.public_id) for each in Driver().claim("mail")] == [job_id]


def test_nothing_but_what_was_asked_for_was_made(verbs):
    verbs.schedule(PLAIN, when=timedelta(hours=1))
    for read in (verbs.list_jobs, lambda: verbs.get_status(UNKNOWN)):
        read()
    assert Job.objects.count() == 1
