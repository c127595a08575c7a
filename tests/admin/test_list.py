from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_flare import jobs
from django_flare.admin import criteria
from django_flare.states import JobState
from tests.admin.support import LIST, listed, parse, rows
from tests.support import Driver, force, make_job
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db

AGE = 6
"""The only column to sort by, counted from the one of the boxes."""


@pytest.fixture
def get(operator):
    return lambda **parameters: operator.get(LIST, parameters)


def one_in_each_state():
    """Return the id of a job in each state, by state."""
    driver = Driver()
    found = {
        JobState.PENDING: make_job(),
        JobState.SCHEDULED: make_job(when=timedelta(hours=1)),
        JobState.PROCESSING: make_job(),
        JobState.SUCCEEDED: make_job(),
        JobState.FAILED: make_job(),
        JobState.CANCELLED: make_job(),
        JobState.DEAD_LETTER: make_job(max_attempts=1),
    }
    driver.start(found[JobState.PROCESSING])
    driver.succeed(found[JobState.SUCCEEDED])
    driver.fail(found[JobState.FAILED])
    jobs.cancel(found[JobState.CANCELLED])
    driver.fail(found[JobState.DEAD_LETTER])
    return found


class TestRows:
    def test_the_newest_come_first(self, get):
        created = [make_job() for _ in range(3)]
        assert listed(get()) == created[::-1]

    def test_a_row_says_what_a_job_is_and_how_far(self, get):
        job_id = make_job(queue="mail", max_attempts=4)
        Driver().start(job_id)
        force(job_id, progress=0.425)
        (row,) = rows(get())
        assert row["state_shown"] == "Processing"
        assert row["type_shown"] == "tests.testapp.jobs.plain"
        assert row["queue"] == "mail"
        assert row["attempts"] == "1/4"
        assert row["progress_shown"] == "42 %"
        assert row["age"].endswith("s")
        assert row["duration"].endswith("s")

    def test_each_state_has_its_label(self, get):
        one_in_each_state()
        shown = [row["state_shown"] for row in rows(get())]
        assert sorted(shown) == sorted(
            ["Pending", "Scheduled", "Processing", "Succeeded", "Failed", "Cancelled", "Dead letter"]
        )

    def test_the_age_turns_the_order_around(self, get):
        created = [make_job() for _ in range(3)]
        answer = get()
        (age,) = [each for each in parse(answer).find("th") if "column-age" in each.classes]
        (turn,) = [each for each in age.find("a") if "toggle" in each.classes]
        number = turn.attributes["href"].removeprefix("?o=")
        assert listed(get(o=number)) == created

    @pytest.mark.parametrize("column", [number for number in range(-9, 10) if abs(number) != AGE])
    def test_no_other_column_can_be_sorted_by(self, get, column):
        created = [make_job(queue=queue) for queue in "cab"]
        assert listed(get(o=str(column))) == created[::-1]


class TestFilters:
    def test_by_state(self, get):
        found = one_in_each_state()
        for state, job_id in found.items():
            assert listed(get(state=state)) == [job_id]

    def test_by_queue_and_by_type(self, get):
        mail, other = make_job(queue="mail"), make_job("mail.welcome", queue="other")
        assert listed(get(queue="mail")) == [mail]
        assert listed(get(job_type="mail.welcome")) == [other]
        assert listed(get(queue="mail", job_type="mail.welcome")) == []

    def test_by_time(self, get):
        now = timezone.now()
        ages = {
            "now": timedelta(minutes=1),
            "hour": timedelta(hours=2),
            "day": timedelta(days=2),
            "week": timedelta(days=8),
        }
        created = {name: make_job() for name in ages}
        for name, age in ages.items():
            force(created[name], created_at=now - age)
        assert listed(get(created="hour")) == [created["now"]]
        assert listed(get(created="day")) == [created["now"], created["hour"]]
        assert listed(get(created="week")) == [created["now"], created["hour"], created["day"]]
        span = {
            "created_from": (now - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M"),
            "created_to": (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M"),
        }
        assert listed(get(**span)) == [created["day"]]

    def test_the_choices_are_known_queues_types_and_states(self, get):
        make_job(queue="waiting-room")
        Driver().succeed(make_job(queue="long-gone"))
        shown = [each.text for each in parse(get()).find(id="changelist-filter")[0].find("a")]
        assert {"waiting-room", "configured", "default", "mail.welcome", "Dead letter", "Last hour"} <= set(
            shown
        )
        assert "long-gone" not in shown
        assert "long-gone" in [each.text for each in parse(get(queue="long-gone")).find("a")]

    def test_a_filter_keeps_the_others(self, get):
        make_job()
        links = parse(get(queue="mail", q="tests", o="-5")).find(id="changelist-filter")[0].find("a")
        (dead,) = [each.attributes["href"] for each in links if each.text == "Dead letter"]
        assert dead == "?o=-5&q=tests&queue=mail&state=dead_letter"
        form = parse(get(queue="mail", q="tests", created="hour")).find("form", "flare-between")[0]
        kept = {
            each.attributes["name"]: each.attributes["value"] for each in form.find("input", type="hidden")
        }
        assert kept == {"queue": "mail", "q": "tests"}

    @pytest.mark.parametrize(
        "bad",
        [
            {"state": "sleeping"},
            {"created": "century"},
            {"created_from": "yesterday"},
            {"created_to": "0001-01-01T00:00"},
            {"created_from": "99999-01-01T00:00"},
            {"queue": "q" * 501},
            {"q": "q" * 501},
        ],
        ids=str,
    )
    def test_a_bad_value_leads_back_to_the_whole_list(self, get, bad):
        make_job()
        answer = get(**bad)
        assert (answer.status_code, answer.url) == (302, f"{LIST}?e=1")

    @pytest.mark.parametrize(
        "lookup", ["payload__contains", "fingerprint", "id", "worker_id__regex", "headers__a", "state__in"]
    )
    def test_no_column_is_read_by_a_strangers_query_string(self, get, lookup):
        assert get(**{lookup: "1"}).status_code == 400


class TestSearch:
    def test_an_id(self, get):
        job_id, _ = make_job(), make_job()
        assert listed(get(q=job_id)) == [job_id]
        assert listed(get(q=f" {job_id.upper()} ")) == [job_id]

    def test_the_beginning_of_a_type(self, get):
        mail, other = make_job("mail.welcome"), make_job()
        assert listed(get(q="mail.")) == [mail]
        assert listed(get(q="tests.testapp")) == [other]
        assert listed(get(q="welcome")) == []

    @pytest.mark.parametrize(
        "term", ["%", "_ests", "tests.testapp.jobs%", "MAIL.", "mail_welcome", "\\", "'"]
    )
    def test_letters_stand_for_themselves(self, get, term):
        make_job("mail.welcome")
        make_job()
        assert listed(get(q=term)) == []

    def test_a_tag(self, get):
        tagged = make_job(tags={"shop": "köln=1", "7": "x"})
        make_job(tags={"shop": "berlin"})
        assert listed(get(q="shop=köln=1")) == [tagged]
        assert listed(get(q="7=x")) == [tagged]
        assert listed(get(q="shop=")) == []

    def test_an_idempotency_key_in_any_scope(self, get):
        from django_flare.jobs import JobRequest, submit

        mine = make_job(idempotency_key="order:7")
        theirs = submit(JobRequest(job=plain, options={"idempotency_key": "order:7"}, scope="key:abc")).job_id
        other = submit(JobRequest(job=plain, options={"idempotency_key": "a=b"}, scope="user:1")).job_id
        assert set(listed(get(q="order:7"))) == {mine, theirs}
        assert listed(get(q="a=b")) == [other]
        assert listed(get(q="order:")) == []

    def test_with_a_filter(self, get):
        job_id = make_job(queue="mail")
        assert listed(get(q=job_id, queue="mail")) == [job_id]
        assert listed(get(q=job_id, queue="other")) == []

    def test_a_nul_is_refused(self, get):
        make_job()
        assert "Null characters are not allowed." in get(q="a\0b").content.decode()


class TestBounds:
    def test_counting_stops(self, get, monkeypatch):
        monkeypatch.setattr("django_flare.admin.changelist.MOST_COUNTED", 150)
        jobs.enqueue_many(plain, [{}] * 201, queue="many")
        answer = get()
        assert "150+ jobs" in parse(answer).find(css="paginator")[0].text
        assert "Counting stopped" in answer.content.decode()
        assert len(listed(get(p="2"))) == 50
        assert get(p="3").status_code == 302, "the list ends where counting does"

    @pytest.mark.parametrize(("language", "shown"), [("en", "1,200+"), ("de", "1.200+")])
    def test_digits_are_grouped_and_the_sign_is_kept(self, operator, monkeypatch, settings, language, shown):
        settings.USE_THOUSAND_SEPARATOR = True
        monkeypatch.setattr("django_flare.admin.changelist.MOST_COUNTED", 1_200)
        jobs.enqueue_many(plain, [{}] * 1_201, queue="q")
        with translation.override(language):
            page = parse(operator.get(LIST))
        assert page.find(css="paginator")[0].text.split()[-2] == shown
        assert shown in page.find("span", "question")[0].text

    def test_what_no_index_finds_is_looked_for_among_the_newest(self, get, monkeypatch, clock):
        old = make_job(queue="rare")
        make_job(queue="rare", max_attempts=1)
        clock.advance(1)
        jobs.enqueue_many(plain, [{}] * 5, queue="many")
        new = make_job(queue="rare")
        answer = get(queue="rare")
        assert len(listed(answer)) == 3
        assert "Only the newest jobs" not in answer.content.decode()
        monkeypatch.setattr(criteria, "MOST_LOOKED_AT", 4)
        answer = get(queue="rare")
        assert listed(answer) == [new]
        assert "Only the newest jobs were looked through" in answer.content.decode()
        jobs.cancel(old)
        answer = get(queue="rare", state="cancelled")
        assert listed(answer) == [old], "there are few in this state, so all of them are looked at"
        assert "Only the newest jobs" not in answer.content.decode()

    @pytest.mark.parametrize(
        ("parameters", "most"),
        [({}, 10), ({"state": "pending"}, 10), ({"queue": "many"}, 11), ({"q": "tests"}, 14)],
        ids=str,
    )
    def test_the_number_of_statements(self, operator, parameters, most):
        def statements():
            with CaptureQueriesContext(connection) as captured:
                operator.get(LIST, parameters)
            return [each["sql"] for each in captured.captured_queries]

        jobs.enqueue_many(plain, [{}] * 3, queue="many")
        statements()
        few = statements()
        jobs.enqueue_many(plain, [{}] * 90, queue="many")
        assert len(statements()) == len(few)
        assert len(few) <= most, "\n".join(few)

    def test_the_large_columns_are_not_read(self, operator):
        make_job()
        with CaptureQueriesContext(connection) as captured:
            operator.get(LIST)
        assert not any("payload" in each["sql"] for each in captured.captured_queries)


UNREADABLE = {
    "sqlite": "'2026-13-45 99:00:00'",
    "postgresql": "'infinity'",
    # Neither is refused by MariaDB, nor known to Python.
    "mysql": "'2026-00-00 00:00:00'",
}


class TestUnreadableRows:
    """F58: a row that a foreign hand has made unreadable costs itself alone."""

    @pytest.fixture
    def broken(self, operator):
        job_id, other = make_job(), make_job()
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE django_flare_job SET created_at = {UNREADABLE[connection.vendor]}"
                " WHERE id = (SELECT id FROM (SELECT MIN(id) AS id FROM django_flare_job) first)"
            )
        return job_id, other

    def test_the_list_shows_what_can_be_read(self, get, broken):
        shown = rows(get())
        assert sorted(row["state_shown"] for row in shown) == ["Pending", "Unreadable"]
        assert set(listed(get())) == set(broken)

    def test_the_page_names_the_columns(self, operator, broken):
        answer = operator.get(f"{LIST}{broken[0]}/change/")
        text = parse(answer).find("p", "errornote")[0].text
        assert text.endswith(": created_at")

    def test_it_can_be_acted_upon(self, operator, broken):
        operator.post(f"{LIST}{broken[0]}/act/cancel/", {"confirmed": "yes"})
        with connection.cursor() as cursor:
            cursor.execute("SELECT state FROM django_flare_job ORDER BY id")
            assert [state for (state,) in cursor.fetchall()] == [JobState.CANCELLED, JobState.PENDING]


def test_a_job_of_no_state_that_we_know_is_shown_as_it_is():
    from django_flare.admin.words import state_badge

    assert state_badge("<b>") == '<span class="flare-badge flare-unknown">&lt;b&gt;</span>'
