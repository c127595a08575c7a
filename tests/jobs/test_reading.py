"""Pages of jobs: filters, keyset, cursors (spec, sections 4 and 23)."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from django_flare import FlareOptionError, JobPage, JobState, jobs
from tests.support import Driver, make_job
from tests.testapp.jobs import configured, plain

pytestmark = pytest.mark.django_db

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState


def listed(**filters):
    return [status.job_id for status in jobs.list_jobs(**filters).jobs]


def walk(**filters):
    """Follow the cursors to the end; return the pages."""
    pages, cursor = [], None
    while True:
        page = jobs.list_jobs(cursor=cursor, **filters)
        pages.append([status.job_id for status in page.jobs])
        assert page.has_more is (page.next_cursor is not None)
        if not page.has_more:
            return pages
        cursor = page.next_cursor


def test_an_empty_table_is_an_empty_page():
    assert jobs.list_jobs() == JobPage([], False, None)


def test_the_newest_come_first(clock):
    ids = []
    for _ in range(3):
        ids.append(make_job())
        clock.advance(1)
    assert listed() == ids[::-1]


def test_jobs_of_one_instant_are_told_apart_by_their_order(clock):
    ids = jobs.enqueue_many(plain, [{}] * 7)
    assert walk(limit=2) == [ids[6:4:-1], ids[4:2:-1], ids[2:0:-1], ids[:1]]


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_pages_hold_everything_once(count, pages, clock):
    for _ in range(count):
        make_job()
        clock.advance(0.5)
    found = walk(limit=3)
    assert len(found) == pages
    assert len({job for page in found for job in page}) == sum(map(len, found)) == count


def test_jobs_made_meanwhile_do_not_shift_the_pages(clock):
    ids = [make_job() for _ in range(4)]
    first = jobs.list_jobs(limit=2)
    clock.advance(1)
    make_job()
    second = jobs.list_jobs(limit=2, cursor=first.next_cursor)
    assert [status.job_id for status in second.jobs] == [ids[1], ids[0]]


def test_the_limit_is_twenty_unless_given_and_at_most_a_hundred():
    jobs.enqueue_many(plain, [{}] * 101)
    assert len(listed()) == 20
    assert len(listed(limit=100)) == 100
    assert len(listed(limit=1)) == 1


# Filters


@pytest.fixture
def one_of_each(clock):
    driver = Driver()
    found = {PENDING: make_job(), SCHEDULED: make_job(when=timedelta(hours=1))}
    for state, step in [
        (PROCESSING, "start"),
        (SUCCEEDED, "succeed"),
        (FAILED, "fail"),
        (DEAD_LETTER, "discard"),
    ]:
        found[state] = make_job()
        getattr(driver, step)(found[state])
    found[CANCELLED] = make_job()
    jobs.cancel(found[CANCELLED])
    return found


@pytest.mark.parametrize("state", JobState)
def test_by_one_state(state, one_of_each):
    assert listed(state=state) == listed(state=state.value) == listed(state=[state]) == [one_of_each[state]]


@pytest.mark.parametrize("kind", [list, set, tuple, iter])
def test_by_several_states(kind, one_of_each):
    assert set(listed(state=kind(["failed", DEAD_LETTER]))) == {one_of_each[FAILED], one_of_each[DEAD_LETTER]}


def test_by_queue_letter_for_letter():
    job = make_job(queue="a_b")
    make_job(queue="A_b")
    make_job(queue="axb")
    make_job(queue="a_bc")
    assert listed(queue="a_b") == [job]
    assert listed(queue="a%") == listed(queue="_") == listed(queue="\\") == listed(queue="") == []


def test_by_job_type_letter_for_letter():
    job = make_job(configured)
    make_job(plain)
    assert listed(job_type="tests.testapp.jobs.configured") == [job]
    assert listed(job_type="tests.testapp.jobs.Configured") == listed(job_type="tests.testapp") == []


@pytest.fixture
def tagged():
    return {
        "both": make_job(tags={"team": "blue", "7": "x"}),
        "blue": make_job(tags={"team": "blue"}),
        "red": make_job(tags={"team": "red", "7": "y"}),
        "none": make_job(),
    }


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ({"team": "blue"}, {"both", "blue"}),
        ({"team": "blue", "7": "x"}, {"both"}),
        ({"7": "x"}, {"both"}),
        ({"7": "y"}, {"red"}),
        ({"team": "BLUE"}, set()),
        ({"Team": "blue"}, set()),
        ({"team": "blu"}, set()),
        ({"team": "blue%"}, set()),
        ({"team": ""}, set()),
        ({"0": "x"}, set()),
        ({"other": "blue"}, set()),
        ({}, {"both", "blue", "red", "none"}),
    ],
    ids=str,
)
def test_by_tags_all_pairs_must_match(tags, names, tagged):
    assert set(listed(tags=tags)) == {tagged[name] for name in names}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("0", "0"),
        ("-1", "1"),
        ("1.0", "x"),
        ("a.b", "dotted"),
        ("$", "dollar"),
        ("$.a[0]", "path"),
        ("quote\"'`", "\"'`"),
        ("back\\slash", "\\"),
        ("ä💥", "é💥"),
        ("space d", " lead and trail "),
        ("null", "null"),
        ("true", "true"),
        ("{}", '{"a":1}'),
        ("%s", "%(x)s %%"),
        ("?", "?"),
        ("line\nbreak", "\r\n"),
        ("case", "Case"),
        ("empty", ""),
    ],
)
def test_tags_are_text_whatever_they_look_like(key, value):
    job = make_job(tags={key: value})
    make_job(tags={key: f"{value}x"})
    make_job(tags={f"{key}x": value})
    assert listed(tags={key: value}) == [job]
    assert jobs.get_status(job).tags == {key: value}


def test_tags_compare_by_the_letter_not_by_its_look():
    composed = make_job(tags={"name": "é"})
    decomposed = make_job(tags={"name": "e\u0301"})
    padded = make_job(tags={"name": "é "})
    assert listed(tags={"name": "é"}) == [composed]
    assert listed(tags={"name": "e\u0301"}) == [decomposed]
    assert listed(tags={"name": "é "}) == [padded]


def test_names_compare_by_the_letter():
    job = make_job(queue="mail")
    job_type = jobs.get_status(job).job_type
    assert listed(queue="mail", job_type=job_type) == [job]
    for other in ("Mail", "mail ", " mail", "mai_", "%"):
        assert listed(queue=other) == []
    for other in (job_type.upper(), f"{job_type} ", f" {job_type}", "%"):
        assert listed(job_type=other) == []


def test_by_time_the_lower_end_counts_and_the_upper_does_not(clock):
    times, ids = [], []
    for _ in range(4):
        times.append(clock.now)
        ids.append(make_job())
        clock.advance(60)
    assert listed(created_after=times[1], created_before=times[3]) == [ids[2], ids[1]]
    assert listed(created_after=times[3]) == [ids[3]]
    assert listed(created_before=times[0]) == []
    after_by_a_hair = times[1] + timedelta(microseconds=1)
    assert listed(created_after=after_by_a_hair, created_before=times[3]) == [ids[2]]


def test_times_are_instants_whatever_their_zone(clock):
    job = make_job()
    east = clock.now.astimezone(timezone(timedelta(hours=9, minutes=30)))
    assert listed(created_after=east) == [job]
    assert listed(created_before=east) == []


@pytest.mark.parametrize("hours", [-23, -16, 16, 23])
def test_times_far_from_utc(hours):
    """PostgreSQL itself reads none that is 16 hours away."""
    job = make_job()
    now = datetime.now(timezone(timedelta(hours=hours)))
    assert listed(created_after=now - timedelta(1), created_before=now + timedelta(1)) == [job]
    assert listed(created_after=now + timedelta(1)) == []


def test_times_at_the_ends_of_the_calendar_are_times():
    job = make_job()
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert listed(created_after=first, created_before=last) == [job]
    assert listed(created_after=last) == listed(created_before=first) == []


def test_filters_work_together_and_across_pages(clock):
    wanted = []
    for number in range(6):
        make_job(queue="q")
        wanted.append(make_job(queue="q", tags={"n": "x"}))
        make_job(queue="other", tags={"n": "x"})
        clock.advance(number)
    pages = walk(queue="q", tags={"n": "x"}, state="pending", job_type="tests.testapp.jobs.plain", limit=4)
    assert pages == [wanted[:1:-1], wanted[1::-1]]


# Cursors


def cursor_for(**filters):
    jobs.enqueue_many(plain, [{}] * 3, queue="q")
    return jobs.list_jobs(limit=1, **filters).next_cursor


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"queue": "r"},
        {"queue": "q", "state": "pending"},
        {"queue": "q", "tags": {"a": "b"}},
        {"queue": "q", "created_after": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=str,
)
def test_a_cursor_holds_for_its_filters_alone(filters):
    cursor = cursor_for(queue="q")
    assert len(jobs.list_jobs(queue="q", cursor=cursor).jobs) == 2
    with pytest.raises(FlareOptionError, match="cursor: made for other filters"):
        jobs.list_jobs(cursor=cursor, **filters)


def test_a_cursor_holds_for_equal_filters_said_otherwise(clock):
    cursor = cursor_for(state=["pending", "failed"], created_before=clock.now + timedelta(hours=1))
    later = (clock.now + timedelta(hours=1)).astimezone(timezone(timedelta(hours=3)))
    assert jobs.list_jobs(state=("failed", "pending", "failed"), created_before=later, cursor=cursor).jobs


def test_a_cursor_goes_with_any_limit():
    cursor = cursor_for()
    assert [len(jobs.list_jobs(limit=limit, cursor=cursor).jobs) for limit in (1, 2, 50)] == [1, 2, 2]


def test_a_cursor_is_plain_url_text():
    assert set(cursor_for()) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def forged(**changes):
    cursor = cursor_for()
    place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return base64.urlsafe_b64encode(json.dumps({**place, **changes}).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "changes",
    [
        {"created_at": "2026-01-01T00:00:00"},
        {"created_at": "0001-01-01T00:00:00+14:00"},
        {"created_at": "9999-12-31T23:59:59-14:00"},
        {"created_at": "never"},
        {"created_at": 5},
        {"id": -1},
        {"id": 2**63},
        {"id": 10**40},
        {"id": "1"},
        {"id": True},
        {"filters": 5},
        {"more": 1},
    ],
    ids=str,
)
def test_a_forged_cursor_is_refused(changes, django_assert_num_queries):
    cursor = forged(**changes)
    with django_assert_num_queries(0), pytest.raises(FlareOptionError, match="cursor"):
        jobs.list_jobs(cursor=cursor)


@pytest.mark.parametrize("offset", ["+23:59", "-23:59", "+16:00", "+00:00"])
def test_a_cursor_may_say_its_time_with_any_offset(offset):
    """PostgreSQL takes no offset of sixteen hours or more."""
    hours, minutes = int(offset[:3]), int(offset[0] + offset[4:])
    zone = timezone(timedelta(hours=hours, minutes=minutes))
    cursor = forged()
    place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    elsewhere = datetime.fromisoformat(place["created_at"]).astimezone(zone).isoformat()
    same = base64.urlsafe_b64encode(json.dumps({**place, "created_at": elsewhere}).encode()).decode()
    assert jobs.list_jobs(cursor=same.rstrip("=")) == jobs.list_jobs(cursor=cursor)
    assert len(jobs.list_jobs(cursor=cursor).jobs) == 2


def test_a_page_takes_one_statement_and_one_for_all_parents(django_assert_num_queries):
    parent = make_job()
    with django_assert_num_queries(1):
        jobs.list_jobs()
    for _ in range(5):
        make_job(parents=parent)
    with django_assert_num_queries(2):
        jobs.list_jobs()
