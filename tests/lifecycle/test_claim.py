"""What a worker gets of what is claimable, and what it learns beside (F45)."""

import pytest

from django_flare.definitions import registry
from django_flare.lifecycle import claim
from django_flare.lifecycle.claim import ClaimRequest, Turn, take_turn
from tests.support import USING, Driver, force, make_job
from tests.testapp.jobs import once, plain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def driver(clock):
    return Driver()


def turn(driver, *queues, limit=5, **facts):
    return take_turn([], ClaimRequest(driver.worker_id, queues, registry.names(), limit, **facts), USING)


def claimed(turn):
    return [str(run.public_id) for run in turn.claimed]


def fill(queue, number, handler=plain):
    return [make_job(handler, {}, queue=queue) for _ in range(number)]


def suspect(queue):
    """Make a job that lost its worker before."""
    job = make_job(queue=queue)
    force(job, losses=1)
    return job


class TestQueues:
    def test_come_in_the_order_asked_for_until_there_is_no_room(self, driver):
        first, second, third = fill("a", 2), fill("b", 2), fill("c", 1)
        assert claimed(turn(driver, "b", "a", "c", limit=3)) == [*second, first[0]]
        assert claimed(turn(driver, "b", "a", "c", limit=3)) == [first[1], *third]

    def test_one_that_is_empty_stops_nothing(self, driver):
        (job,) = fill("c", 1)
        assert claimed(turn(driver, "a", "b", "c", free_slots=5)) == [job]

    def test_a_careful_worker_takes_of_several(self, driver):
        jobs = [*fill("a", 1), *fill("b", 1)]
        assert claimed(turn(driver, "a", "b", free_slots=5)) == jobs
        jobs = [*fill("a", 1), *fill("b", 1)]
        assert claimed(turn(driver, "a", "b", free_slots=5, is_idle=True)) == jobs


class TestMore:
    @pytest.mark.parametrize(("number", "more"), [(0, False), (1, False), (2, True), (3, True)])
    def test_there_is_where_all_room_was_used(self, driver, number, more):
        fill("q", number)
        found = turn(driver, "q", limit=2)
        assert (len(found.claimed), found.has_more) == (min(number, 2), more)

    @pytest.mark.parametrize("queues", ["ab", "ba"])
    def test_there_is_where_one_of_the_queues_had_more_than_was_taken(self, driver, queues):
        fill("a", 3, once)
        found = turn(driver, *queues, limit=4, free_slots=2)
        assert len(found.claimed) == 2
        assert found.has_more
        left = turn(driver, *queues, limit=4, free_slots=2)
        assert (len(left.claimed), left.has_more) == (1, False)

    def test_an_idle_worker_learns_the_same(self, driver):
        fill("q", 3)
        assert turn(driver, "q", limit=2, is_idle=True).has_more
        assert not turn(driver, "q", limit=2, is_idle=True).has_more

    def test_of_a_turn_that_claims_nothing(self, driver):
        found = take_turn([], None, USING)
        assert (found.claimed, found.has_more, found.keeps_waiting) == ([], False, False)
        assert Turn().has_more is Turn().keeps_waiting is False


class TestSingleAttempts:
    """A job that has no second attempt must not wait in a worker's hand, where a neighbour may kill it."""

    def test_come_only_as_far_as_they_can_start_at_once(self, driver):
        several, single = fill("q", 1), fill("q", 3, once)
        behind = fill("q", 1)
        found = turn(driver, "q", free_slots=2)
        assert claimed(found) == [*several, single[0], *behind]
        assert (found.has_more, found.keeps_waiting) == (True, False)

    def test_what_comes_of_other_queues_takes_its_slots(self, driver):
        before, single = fill("a", 1), fill("b", 2, once)
        assert claimed(turn(driver, "a", "b", free_slots=2)) == [*before, single[0]]

    def test_come_to_whoever_does_not_care(self, driver):
        single = fill("q", 3, once)
        assert claimed(turn(driver, "q")) == single

    def test_two_attempts_are_enough_to_wait(self, driver):
        jobs = [make_job(queue="q", max_attempts=2) for _ in range(3)]
        assert claimed(turn(driver, "q", free_slots=1)) == jobs


class TestSuspects:
    def test_comes_alone_to_an_idle_worker(self, driver):
        job = suspect("a")
        behind, other = fill("a", 1), fill("b", 1)
        found = turn(driver, "a", "b", free_slots=5, is_idle=True)
        assert (claimed(found), found.has_more, found.keeps_waiting) == ([job], True, False)
        assert claimed(turn(driver, "a", "b", free_slots=5, is_idle=True)) == [*behind, *other]

    def test_does_not_come_beside_what_another_queue_gave(self, driver):
        jobs = fill("a", 1)
        waiting = suspect("b")
        found = turn(driver, "a", "b", free_slots=5, is_idle=True)
        assert (claimed(found), found.keeps_waiting) == (jobs, True)
        assert claimed(turn(driver, "a", "b", free_slots=5, is_idle=True)) == [waiting]

    def test_that_waits_in_one_queue_is_not_forgotten_over_the_next(self, driver):
        suspect("a")
        fill("b", 1)
        assert turn(driver, "a", "b", free_slots=5).keeps_waiting
        assert turn(driver, "a", "b", free_slots=5).keeps_waiting

    def test_comes_like_any_other_to_whoever_does_not_care(self, driver):
        jobs = [suspect("a"), *fill("a", 1), *fill("b", 1)]
        found = turn(driver, "a", "b")
        assert (claimed(found), found.keeps_waiting) == (jobs, False)

    def test_is_sought_only_by_whoever_is_idle(self, driver):
        jobs = fill("a", 1)
        suspect("b")
        assert claimed(turn(driver, "a", "b", free_slots=5, seeks_suspect=True)) == jobs

    def test_where_there_is_none_the_seeker_takes_what_there_is(self, driver):
        jobs = [*fill("b", 2), *fill("c", 1)]
        found = turn(driver, "a", "b", "c", free_slots=5, is_idle=True, seeks_suspect=True)
        assert (claimed(found), found.has_more) == (jobs, False)


class TestAtOnce:
    """An idle worker claims from its only queue by one statement, where the engine has such."""

    @pytest.fixture
    def asked(self, monkeypatch):
        asked = []
        claim_at_once = claim.store.claim_at_once

        def ask(queue, *arguments):
            asked.append(queue)
            return claim_at_once(queue, *arguments)

        monkeypatch.setattr(claim.store, "claim_at_once", ask)
        return asked

    def test_is_asked_for(self, driver, asked):
        jobs = fill("q", 2)
        assert claimed(turn(driver, "q", is_idle=True)) == jobs
        assert asked == ["q"]

    @pytest.mark.parametrize(
        ("queues", "facts"),
        [
            (["q"], {}),
            (["q", "r"], {"is_idle": True}),
            ([], {"is_idle": True}),
            (["q"], {"is_idle": True, "mixed": {"q"}}),
        ],
    )
    def test_is_not_asked_for_where_it_takes_more(self, driver, asked, queues, facts):
        fill("q", 1)
        assert len(turn(driver, *queues, **facts).claimed) == len(queues[:1])
        assert asked == []

    @pytest.mark.parametrize(("limit", "more"), [(2, True), (3, False)])
    def test_there_is_more_where_all_room_was_used(self, driver, monkeypatch, limit, more):
        rows = [object(), object()]
        monkeypatch.setattr(claim.store, "claim_at_once", lambda *_: rows)
        found = turn(driver, "q", is_idle=True, limit=limit)
        assert (found.claimed, found.has_more) == (rows, more)

    def test_where_the_engine_has_none_it_is_claimed_in_a_transaction(self, driver, monkeypatch):
        jobs = fill("q", 1)
        monkeypatch.setattr(claim.store, "claim_at_once", lambda *_: None)
        assert claimed(turn(driver, "q", is_idle=True)) == jobs

    def test_is_asked_for_beside_other_mixed_queues(self, driver, asked):
        fill("q", 1)
        assert len(turn(driver, "q", is_idle=True, mixed={"r"}).claimed) == 1
        assert asked == ["q"]
