"""The dashboard: figures of what is and what was, buttons for whoever may, 304 while nothing happens."""

from types import SimpleNamespace

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from django_flare import JobState, jobs
from django_flare.admin.dashboard_charts import _rounded_up, charts
from django_flare.admin.dashboard_rows import coarse, took
from django_flare.jobs.figures import SCALES, Bar, Figures, TypeFigures
from django_flare.models import Worker
from django_flare.states import Event
from django_flare.store import rollups, rows
from django_flare.store.clock import DatabaseNow
from tests.admin.support import messages, page_of, parse
from tests.clock import START
from tests.support import USING, Driver, make_job, row, state
from tests.testapp.jobs import once

pytestmark = pytest.mark.django_db

DASHBOARD = "/admin/django_flare/dashboard/"
CONTENT = f"{DASHBOARD}content/"
ALL = ("view_job", "view_queue", "view_worker", "pause_queue", "retry_job")


def find_section(answer, name):
    page = parse(answer)
    found = [
        each for each in page.find("section") if each.attributes.get("aria-labelledby") == f"flare-{name}"
    ]
    return found[0] if found else None


def cells(part):
    """Return the texts of the rows of a part's first table, without its head."""
    return [
        [cell.text for cell in row.children if not isinstance(cell, str) and cell.tag in ("td", "th")]
        for row in part.find("tbody")[0].find("tr")
    ]


def test_it_is_in_the_index_and_beside_the_jobs(operator):
    for address in ("/admin/", "/admin/django_flare/", "/admin/django_flare/job/"):
        assert parse(operator.get(address)).find("a", href=DASHBOARD), address


def test_it_counts_the_states_and_links_to_their_jobs(operator):
    driver = Driver()
    make_job()
    driver.succeed(make_job())
    driver.fail(make_job(once))
    found = find_section(operator.get(DASHBOARD), "states")
    numbers = {item.find("a")[0].attributes["href"].split("=")[-1]: item.text for item in found.find("li")}
    assert numbers.keys() == set(JobState)
    assert numbers[JobState.PENDING] == "1 Pending"
    assert numbers[JobState.DEAD_LETTER] == "1 Dead letter"
    assert numbers[JobState.CANCELLED] == "0 Cancelled"


@pytest.mark.parametrize("period", SCALES)
def test_bars_show_what_ended_in_the_period(operator, clock, period):
    driver = Driver()
    driver.succeed(make_job())
    driver.fail(make_job(once))
    clock.advance(SCALES[period].step.total_seconds())
    driver.succeed(make_job())
    page = parse(operator.get(f"{DASHBOARD}?period={period}"))
    ended, failures = page.find("svg", role="img")
    assert [len(group.find("rect")) for group in ended.find("g")] == [2, 1]
    assert [len(group.find("rect")) for group in failures.find("g")] == [1]
    assert "Ended jobs: 3, at most 2 in a bar" in ended.attributes["aria-label"]
    assert "Succeeded: 1 · Dead letter: 1" in ended.find("title")[0].text


def test_what_ended_before_the_period_is_not_shown(operator, clock):
    Driver().succeed(make_job())
    clock.advance(3600)
    page = parse(operator.get(f"{DASHBOARD}?period=1h"))
    assert page.find("svg", role="img")[0].find("g") == []
    assert len(parse(operator.get(f"{DASHBOARD}?period=24h")).find("svg", role="img")[0].find("g")) == 1


def test_each_chart_has_a_table_for_who_sees_none(operator):
    Driver().succeed(make_job())
    ended = find_section(operator.get(DASHBOARD), "ended")
    ((_, *numbers),) = cells(ended)
    assert numbers == ["1", "0", "0", "0"]


def test_it_tells_how_long_jobs_waited_and_ran(operator):
    rollups.write([rollups.Ended("q", "t", JobState.SUCCEEDED, 0.02, 2.0)] * 100, USING)
    assert cells(find_section(operator.get(DASHBOARD), "spans")) == [
        ["Wait", "20 ms", "19 ms", "28 ms", "29 ms"],
        ["Run", "2.0 s", "2.0 s", "2.9 s", "2.9 s"],
    ]


def test_it_names_the_busiest_and_the_worst_types(operator):
    for job_type, good, bad in (("busy", 50, 1), ("bad", 5, 5), ("good", 20, 0)):
        ended = [rollups.Ended("q", job_type, JobState.SUCCEEDED, 0.1, 0.1)] * good
        rollups.write(ended + [rollups.Ended("q", job_type, JobState.FAILED, 0.1, 0.1)] * bad, USING)
    answer = operator.get(DASHBOARD)
    assert [row[:3] for row in cells(find_section(answer, "busiest"))] == [
        ["busy", "51", "1 2.0 %"],
        ["good", "20", "0"],
        ["bad", "10", "5 50.0 %"],
    ]
    assert [row[0] for row in cells(find_section(answer, "worst"))] == ["bad", "busy"]


def test_types_and_queues_lead_to_their_jobs(operator, member):
    rollups.write([rollups.Ended("mail", "a&b", JobState.FAILED, 0.1, 0.1)], USING)
    make_job(queue="mail:1")
    answer = operator.get(DASHBOARD)
    for name in ("busiest", "worst"):
        assert find_section(answer, name).find("a", href="/admin/django_flare/job/?job_type=a%26b")
    link = "/admin/django_flare/job/?queue=mail%3A1"
    assert find_section(answer, "queues").find("a", href=link)
    assert parse(operator.get("/admin/django_flare/queue/")).find("a", href=link)
    assert not parse(member("view_queue").get("/admin/django_flare/queue/")).find("a", href=link)


def test_it_shows_queues_and_workers(operator, clock):
    Driver("wrk_old")
    clock.advance(60)
    driver = Driver("wrk_new")
    make_job(queue="mail")
    clock.advance(125)
    Worker.objects.filter(pk="wrk_new").update(last_beat_at=DatabaseNow(), running=3)
    jobs.pause_queue("reports")
    answer = operator.get(DASHBOARD)
    assert cells(find_section(answer, "queues")) == [
        ["reports", "Paused", "0", "–", "0", "–", "Resume"],
        ["mail", "Active", "1", "2 min", "0", "–", "Pause"],
    ]
    old, new = cells(find_section(answer, "workers"))
    assert new == ["host · 1wrk_new", "Alive", "3 of 10", "under 10 s", "0", "all"]
    assert old[:4] == ["host · 1wrk_old", "Stale", "0 of 10", "3 min"]
    assert driver.worker_id in answer.content.decode()


def test_what_needs_somebody_comes_first_and_the_page_says_what_it_leaves_out(operator, clock, monkeypatch):
    monkeypatch.setattr("django_flare.admin.dashboard._QUEUES", 2)
    monkeypatch.setattr("django_flare.admin.dashboard._WORKERS", 2)
    make_job(queue="starving")
    Driver("wrk_stale")
    clock.advance(600)
    for number in range(3):
        make_job(queue=f"busy{number}")
        Driver(f"wrk_{number}")
    answer = operator.get(DASHBOARD)
    assert [row[0] for row in cells(find_section(answer, "queues"))] == ["starving", "busy0"]
    assert "wrk_stale" in cells(find_section(answer, "workers"))[0][0]
    for name, number in (("queue", 4), ("worker", 4)):
        section = find_section(answer, f"{name}s")
        assert f"Only 2 of {number}" in section.text
        assert [each.attributes["href"] for each in section.find("a")].count(
            f"/admin/django_flare/{name}/"
        ) == 2
    jobs.pause_queue("zzz")
    assert [row[0] for row in cells(find_section(operator.get(DASHBOARD), "queues"))] == ["zzz", "starving"]


def test_nothing_is_said_of_what_is_left_out_while_all_is_shown(operator):
    make_job(queue="mail")
    Driver()
    assert "Only" not in operator.get(CONTENT).content.decode()


def test_a_dead_letter_is_retried_by_its_button(operator):
    dead = make_job(once)
    Driver().fail(dead, ValueError("no luck"))
    found = find_section(operator.get(DASHBOARD), "dead")
    (button,) = found.find("button")
    assert "ValueError: no luck" in found.text
    assert found.find("a", href=page_of(dead))
    answer = operator.post(
        button.attributes["formaction"], {button.attributes["name"]: button.attributes["value"]}, follow=True
    )
    assert answer.redirect_chain == [(f"{DASHBOARD}?period=1h", 302)]
    assert state(dead) == JobState.PENDING
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user, entry.change_message) == (dead, operator.user, "Retried.")
    assert find_section(answer, "dead").find("button") == []


@pytest.mark.parametrize("job_id", ["", "x", "00000000-0000-0000-0000-000000000000", "\0"])
def test_a_retry_of_what_is_not_there(operator, job_id):
    answer = operator.post(f"{DASHBOARD}retry/", {"job": job_id}, follow=True)
    assert messages(answer) == ["There is no such job any more."]
    assert not LogEntry.objects.exists()


def test_a_retry_by_the_key_of_the_row(operator):
    """Django's own links name a job so."""
    dead = make_job(once)
    Driver().fail(dead)
    operator.post(f"{DASHBOARD}retry/", {"job": row(dead).pk})
    assert state(dead) == JobState.PENDING
    assert LogEntry.objects.get().object_id == dead


def test_a_retry_of_what_retention_deletes_meanwhile(operator, monkeypatch):
    dead = make_job(once)
    Driver().fail(dead)

    def delete_first(job_id):
        rows.jobs(USING).filter(public_id=job_id).delete()
        return jobs.retry(job_id)

    monkeypatch.setattr("django_flare.admin.dashboard.jobs", SimpleNamespace(retry=delete_first))
    answer = operator.post(f"{DASHBOARD}retry/", {"job": dead}, follow=True)
    assert messages(answer) == ["There is no such job any more."]
    assert not LogEntry.objects.exists()


def test_a_retry_that_comes_too_late(operator):
    job = make_job()
    answer = operator.post(f"{DASHBOARD}retry/?period=7d", {"job": job}, follow=True)
    assert answer.redirect_chain == [(f"{DASHBOARD}?period=7d", 302)]
    assert messages(answer) == ["Only failed and dead jobs can be retried."]
    assert LogEntry.objects.get().change_message == "Not retried: its state forbade it."


class TestAskingAgain:
    def test_nothing_new_is_304(self, operator, clock):
        Driver()
        make_job(queue="mail")
        first = operator.get(CONTENT)
        clock.advance(5)
        again = operator.get(CONTENT, headers={"if-none-match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")

    def test_something_new_is_200(self, operator):
        first = operator.get(CONTENT)
        Driver().fail(make_job(once))
        again = operator.get(CONTENT, headers={"if-none-match": first.headers["ETag"]})
        assert again.status_code == 200
        assert again.headers["ETag"] != first.headers["ETag"]

    def test_it_is_what_the_page_holds(self, operator):
        Driver().fail(make_job(once))
        content = operator.get(CONTENT).content.decode().strip()
        assert content in operator.get(DASHBOARD).content.decode()
        assert "csrfmiddlewaretoken" not in content
        assert "<html" not in content

    def test_an_unknown_period_is_the_first(self, operator):
        assert "Last hour" in operator.get(f"{CONTENT}?period=1y").content.decode()


class TestPermissions:
    def test_nobody_is_sent_to_the_login(self, client):
        for address in (DASHBOARD, CONTENT):
            assert client.get(address).status_code == 302

    def test_without_that_for_jobs_there_is_no_page(self, member):
        client = member("view_queue", "view_worker", "pause_queue", "retry_job")
        assert client.get(DASHBOARD).status_code == client.get(CONTENT).status_code == 403

    def test_each_part_has_its_own(self, member):
        Driver().fail(make_job(once))
        make_job(queue="mail")
        answer = member("view_job").get(DASHBOARD)
        assert find_section(answer, "queues") is find_section(answer, "workers") is None
        assert parse(answer).find("button", form="flare-act") == []
        answer = member(*ALL, name="all").get(DASHBOARD)
        assert len(find_section(answer, "queues").find("button")) == 1
        assert len(find_section(answer, "dead").find("button")) == 1

    @pytest.mark.parametrize("method", ["get", "put", "delete"])
    def test_a_retry_is_posted(self, operator, method):
        assert getattr(operator, method)(f"{DASHBOARD}retry/").status_code == 405

    def test_only_who_may_retry_does(self, member):
        dead = make_job(once)
        Driver().fail(dead)
        for number, permissions in enumerate((["view_job", "pause_queue", "cancel_job"], ["retry_job"])):
            client = member(*permissions, name=f"member{number}")
            assert client.post(f"{DASHBOARD}retry/", {"job": dead}).status_code == 403
        assert state(dead) == JobState.DEAD_LETTER

    def test_a_post_without_a_token_is_refused(self, operator):
        operator.handler.enforce_csrf_checks = True
        assert operator.post(f"{DASHBOARD}retry/", {"job": make_job()}).status_code == 403

    def test_restricted_jobs_are_neither_shown_nor_retried(self, operator, monkeypatch):
        from django_flare.admin.jobs import JobAdmin

        mine, others = make_job(once, queue="mine"), make_job(once, queue="others")
        for dead in (mine, others):
            Driver().fail(dead)
        whole = JobAdmin.get_queryset
        monkeypatch.setattr(JobAdmin, "get_queryset", lambda *given: whole(*given).filter(queue="mine"))
        (row,) = cells(find_section(operator.get(DASHBOARD), "dead"))
        assert row[2] == "mine"
        operator.post(f"{DASHBOARD}retry/", {"job": others})
        assert state(others) == JobState.DEAD_LETTER

    def test_the_newest_that_may_be_seen_are_shown_behind_many_that_may_not(
        self, operator, monkeypatch, clock
    ):
        from django_flare.admin.jobs import JobAdmin

        whole = JobAdmin.get_queryset
        monkeypatch.setattr(JobAdmin, "get_queryset", lambda *given: whole(*given).filter(queue="mine"))
        for queue, number in (("mine", 3), ("others", 12)):
            for _ in range(number):
                Driver().fail(make_job(once, queue=queue))
                clock.advance(1)
        assert len(cells(find_section(operator.get(DASHBOARD), "dead"))) == 3
        # Of millions not all are looked through.
        monkeypatch.setattr("django_flare.store.overview._ENDED_LOOKED_AT", 14)
        assert len(cells(find_section(operator.get(DASHBOARD), "dead"))) == 2


def fill(number):
    driver = Driver()
    for place in range(number):
        make_job(queue="mail")
        driver.fail(make_job(once, queue=f"dead{place % 2}"))
        driver.end(make_job(queue="done"), Event.SUCCEED, waited=0.1, ran=1.0)


def test_the_number_of_queries_does_not_grow_with_jobs(operator):
    counts = []
    for number in (1, 20):
        fill(number)
        with CaptureQueriesContext(connection) as captured:
            operator.get(CONTENT)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 26


def test_coordinates_are_numbers_in_every_language(operator):
    Driver().succeed(make_job())
    with translation.override("de"):
        content = operator.get(CONTENT, headers={"accept-language": "de"}).content.decode()
    rect = next(
        each for each in content.split("<") if each.startswith('rect class="flare-bar flare-succeeded" x')
    )
    assert "," not in rect


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (None, "–"),
            (0, "under 10 s"),
            (9.9, "under 10 s"),
            (10, "10 s"),
            (59.9, "50 s"),
            (60, "1 min"),
            (119, "1 min"),
            (3599, "59 min"),
            (3660, "1 h 1 min"),
            (200_000, "2 d 7 h"),
        ],
    )
    def test_an_age_stays_for_a_while(self, seconds, words):
        assert coarse(seconds) == words

    def test_beyond_the_histogram(self):
        assert took(float("inf")) == "over 1 h 0 min"

    @pytest.mark.parametrize(
        ("most", "top"),
        [(0, 2), (1, 2), (2, 2), (3, 4), (5, 10), (11, 20), (41, 100), (100, 100), (101, 200)],
    )
    def test_the_axis_ends_at_a_round_number(self, most, top):
        assert _rounded_up(most) == top

    def test_no_bar_leaves_the_chart(self):
        counts = {JobState.SUCCEEDED: 10_000, JobState.CANCELLED: 1, JobState.FAILED: 1}
        figures = Figures(scale=SCALES["1h"], bars=[Bar(START, counts)] * 60, types=[], total=TypeFigures(""))
        for chart in charts(figures):
            for column in chart.columns:
                assert chart.left <= float(column.x) <= float(column.x) + float(column.width) <= chart.right
                for segment in column.segments:
                    assert (
                        0 <= float(segment.y) <= float(segment.y) + float(segment.height) <= chart.base + 0.1
                    )
