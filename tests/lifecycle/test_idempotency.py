"""One job per idempotency key, as far as one connection can tell (spec, section 7; F21, F22)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from django_flare import FlareConflictError, FlareOptionError, JobState, jobs
from django_flare.models import Job
from django_flare.store import keys, rows
from tests.support import USING, Driver, columns, make_job, row, state
from tests.testapp.jobs import Line, Order, SendWelcome, configured, plain, process_order
from tests.testapp.models import Effect

pytestmark = pytest.mark.django_db(transaction=True)

WHEN = datetime(2026, 6, 1, 12, tzinfo=UTC)
EAST = datetime.fromisoformat("2026-06-01T14:00:00+02:00")


def keyed(payload=None, handler=plain, key="K", **options):
    return jobs.enqueue(handler, payload, idempotency_key=key, **options)


def refused(make):
    before = Job.objects.count()
    with pytest.raises(FlareConflictError, match="idempotency_key") as caught:
        make()
    assert caught.value.code == "idempotency_key_reuse"
    assert Job.objects.count() == before
    return caught.value


def test_the_same_request_names_the_first_job_and_writes_nothing():
    first = keyed({"a": 1})
    before = columns(first)
    assert keyed({"a": 1}) == first
    assert columns(first) == before
    assert Job.objects.count() == 1


def test_without_a_key_every_request_makes_a_job():
    parent = jobs.submit(jobs.JobRequest(job=plain))
    child = jobs.submit(jobs.JobRequest(job=plain, parents=[parent.job_id]))
    assert parent.created
    assert child.created


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1, "b": [1, {"c": 2, "d": 3}]}, {"b": [1, {"d": 3, "c": 2}], "a": 1}),
        (None, {}),
        ({"t": (1, 2)}, {"t": [1, 2]}),
        ({"ä💥": "é"}, {"ä💥": "é"}),
        ({"n": 2**63 - 1}, {"n": 2**63 - 1}),
    ],
)
def test_payloads_that_are_the_same_request(first, second):
    assert keyed(first) == keyed(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "x"}, {"a": "X"}),
        ({"a": "é"}, {"a": "e\u0301"}),
        ({"n": 2**53}, {"n": 2**53 + 1}),
    ],
)
def test_payloads_that_are_a_different_request(first, second):
    keyed(first)
    refused(lambda: keyed(second))


def test_a_typed_payload_and_its_dict_are_the_same_request():
    first = keyed(Order(1, [Line("a", 2)]), handler=process_order)
    assert keyed({"order_id": 1, "lines": [{"sku": "a", "count": 2}]}, handler=process_order) == first


def test_a_job_by_its_name_is_the_same_request():
    assert keyed(handler=SendWelcome) == keyed(handler="mail.welcome")


def test_another_job_type_is_a_different_request():
    keyed({})
    refused(lambda: keyed({}, handler=configured))


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "other"},
        {"max_attempts": 9},
        {"timeout": timedelta(seconds=9)},
        {"priority": 9},
        {"tags": {"a": "b"}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_makes_a_different_request(options):
    keyed()
    refused(lambda: keyed(**options))
    assert keyed(key="L", **options) == keyed(key="L", **options)


def test_an_option_that_says_what_holds_anyway_is_a_different_request_all_the_same():
    """Options count as the caller gave them, not as they were resolved."""
    keyed(handler=configured)
    refused(lambda: keyed(handler=configured, queue="configured"))


def test_the_order_of_tags_does_not_matter():
    assert keyed(tags={"a": "1", "b": "2"}) == keyed(tags={"b": "2", "a": "1"})


def test_when_is_compared_as_the_caller_gave_it():
    first = jobs.schedule(plain, when=WHEN, idempotency_key="K")
    assert jobs.schedule(plain, when=EAST, idempotency_key="K") == first
    refused(lambda: jobs.schedule(plain, when=WHEN + timedelta(seconds=1), idempotency_key="K"))
    refused(lambda: keyed())


def test_a_key_changes_nothing_about_when_a_job_is_due(clock):
    job = jobs.schedule(plain, when=timedelta(minutes=5), idempotency_key="K")
    assert (state(job), row(job).run_at) == (JobState.SCHEDULED, clock.now + timedelta(minutes=5))
    assert state(keyed(key="another")) is JobState.PENDING


def test_the_same_delay_is_the_same_request_at_another_time(clock):
    first = jobs.schedule(plain, when=timedelta(minutes=5), idempotency_key="K")
    clock.advance(60)
    assert jobs.schedule(plain, when=timedelta(seconds=300), idempotency_key="K") == first
    refused(lambda: jobs.schedule(plain, when=timedelta(minutes=6), idempotency_key="K"))


def test_parents_are_compared_in_any_order():
    one, two, three = make_job(), make_job(), make_job()
    first = jobs.continue_with([one, two], plain, idempotency_key="K")
    assert jobs.continue_with([two, one, two], plain, idempotency_key="K") == first
    refused(lambda: jobs.continue_with([one, three], plain, idempotency_key="K"))
    refused(lambda: jobs.continue_with(one, plain, idempotency_key="K"))
    refused(lambda: keyed())
    assert len(jobs.get_status(first).parent_job_ids) == 2


def test_a_replay_does_not_attach_the_child_again():
    parent = make_job()
    child = jobs.continue_with(parent, plain, idempotency_key="K")
    Driver().succeed(parent)
    assert jobs.continue_with(parent, plain, idempotency_key="K") == child
    assert state(child) is JobState.PENDING


def test_keys_differ_by_every_letter():
    ids = {keyed(key=key) for key in ("K", "k", "K.", "K~", "KK", "!", "~" * 200)}
    assert len(ids) == 7


def test_other_jobs_without_a_key_are_none_of_its_business():
    assert len({jobs.enqueue(plain), jobs.enqueue(plain), keyed()}) == 3


def test_another_scope_is_independent():
    first = jobs.submit(jobs.JobRequest(job=plain, options={"idempotency_key": "K"}))
    other = jobs.submit(jobs.JobRequest(job=plain, options={"idempotency_key": "K"}, scope="api:1"))
    again = jobs.submit(jobs.JobRequest(job=plain, options={"idempotency_key": "K"}, scope="api:1"))
    assert (first.created, other.created, again.created) == (True, True, False)
    assert first.job_id != other.job_id == again.job_id


@pytest.mark.parametrize("end", ["succeed", "fail", "discard"])
def test_the_key_holds_whatever_became_of_the_job(end, clock):
    first = keyed({"a": 1})
    getattr(Driver(), end)(first)
    assert keyed({"a": 1}) == first
    refused(lambda: keyed({"a": 2}))


def test_the_key_is_free_again_when_the_row_is_gone():
    first = keyed({"a": 1})
    rows.jobs(USING).filter(public_id=first).delete()
    assert keyed({"a": 2}) != first


# The caller's transaction


def test_a_replay_leaves_the_callers_transaction_usable():
    first = keyed()
    with transaction.atomic():
        Effect.objects.create(job_id="1", note="before")
        assert keyed() == first
        refused(lambda: keyed({"a": 1}))
        Effect.objects.create(job_id="1", note="after")
    assert Effect.objects.count() == 2


def test_a_rolled_back_first_call_leaves_no_trace():
    """F22: the key is free, and the next call makes its own job."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        gone = keyed({"a": 1})
        1 / 0  # noqa: B018
    second = keyed({"a": 2})
    assert second != gone
    assert list(Job.objects.values_list("public_id", flat=True).distinct()) == [jobs_uuid(second)]


def jobs_uuid(job):
    return Job.objects.get(public_id=job).public_id


def test_a_second_call_in_the_same_transaction_finds_the_first():
    with transaction.atomic():
        first = keyed()
        assert keyed() == first
    assert keyed() == first


def test_an_insert_that_the_constraint_refuses_leaves_the_callers_transaction_usable(monkeypatch):
    """The rival that committed between the look and the insert, played by a look that sees nothing."""
    first = keyed()
    real, looks = keys.holders, []

    def blind_at_first(*arguments, locking):
        looks.append(locking)
        return real(*arguments, locking=locking) if locking else []

    monkeypatch.setattr(keys, "holders", blind_at_first)
    with transaction.atomic():
        Effect.objects.create(job_id="1", note="before")
        assert keyed() == first
        Effect.objects.create(job_id="1", note="after")
    assert looks == [False, True]
    assert (Effect.objects.count(), Job.objects.count()) == (2, 1)


def test_a_rival_that_stays_invisible_is_a_request_in_progress(monkeypatch):
    keyed()
    monkeypatch.setattr(keys, "holders", lambda *arguments, locking: [])
    with pytest.raises(FlareConflictError) as caught:
        keyed()
    assert caught.value.code == "idempotency_in_progress"
    assert Job.objects.count() == 1


def test_the_database_itself_holds_the_promise():
    keyed()
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.jobs(USING).filter(public_id=jobs.enqueue(plain)).update(idempotency_key="K")


# Many at once


def many(payloads, key=lambda payload: f"n{payload['n']}", **options):
    return jobs.enqueue_many(plain, payloads, idempotency_key=key, **options)


def numbered(*numbers):
    return [{"n": number} for number in numbers]


def test_the_key_may_be_made_from_the_payload():
    first = many(numbered(1, 2, 3))
    assert many(numbered(3, 2, 1)) == first[::-1]
    assert Job.objects.count() == 3


def test_known_and_new_keys_mix_in_one_batch():
    one, two = many(numbered(1, 2))
    ids = many(numbered(5, 2, 4, 1, 3))
    assert (ids[1], ids[3]) == (two, one)
    assert len(set(ids)) == Job.objects.count() == 5


def test_a_batch_meets_what_enqueue_made():
    single = keyed({"n": 1}, key="n1")
    assert many(numbered(1))[0] == single


def test_duplicates_inside_one_batch_are_one_job():
    ids = many(numbered(1, 2, 1, 1))
    assert ids[0] == ids[2] == ids[3] != ids[1]
    assert Job.objects.count() == 2


def test_a_key_with_two_bodies_inside_one_batch_is_refused_whole():
    error = refused(lambda: many(numbered(1, 2, 3), key=lambda payload: f"odd{payload['n'] % 2}"))
    assert error.details == [{"index": 2}]


def test_a_key_that_belongs_to_another_body_refuses_the_whole_batch():
    many(numbered(1))
    error = refused(lambda: many([{"n": 2}, {"n": 1, "more": True}]))
    assert error.details == [{"index": 1}]


def test_a_plain_key_on_a_batch_holds_for_all_of_it():
    assert len(set(many([{"n": 1}] * 3, key="one"))) == 1
    refused(lambda: many(numbered(1, 2), key="one"))


@pytest.mark.parametrize("bad", [None, "", "é", 5, "x" * 201])
def test_a_callable_that_makes_no_key_is_refused_with_the_place(bad):
    with pytest.raises(FlareOptionError, match="idempotency_key") as caught:
        many(numbered(1, 2), key=lambda payload: bad if payload["n"] == 2 else "good")
    assert {"index": 1} in caught.value.details
    assert not Job.objects.exists()


def test_a_batch_is_rolled_back_with_its_caller():
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        many(numbered(1, 2))
        1 / 0  # noqa: B018
    assert not Job.objects.exists()


def test_a_large_batch_of_keys_is_found_again():
    first = many(numbered(*range(1_200)))
    assert many(numbered(*range(1_200))) == first
    assert Job.objects.count() == 1_200
