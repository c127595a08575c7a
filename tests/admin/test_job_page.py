import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from django_flare import jobs
from django_flare.admin import graph, reasons
from django_flare.lifecycle import housekeeping
from django_flare.models import Job, Worker
from django_flare.states import JobState
from django_flare.status import Explanation, Reason
from tests.admin.support import LIST, page_of, parse
from tests.support import USING, Driver, force, make_job, row
from tests.testapp.jobs import plain

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]


@pytest.fixture
def show(operator):
    return lambda job_id: parse(operator.get(page_of(job_id)))


def section(page, title):
    """Return the part of the page under this heading, None if there is none."""
    found = [each for each in page.find("section") if each.find("h2")[0].text == title]
    return found[0] if found else None


class TestHead:
    def test_state_type_and_progress(self, show):
        job_id = make_job("mail.welcome")
        Driver().start(job_id)
        force(job_id, progress=0.5)
        head = show(job_id).find("div", "flare-head")[0]
        assert head.find("span", "flare-badge")[0].text == "Processing"
        assert "mail.welcome" in head.text
        (bar,) = head.find("progress")
        assert (bar.attributes["value"], bar.attributes["max"]) == ("50", "100")

    def test_a_page_that_has_not_ended_follows_by_itself(self, show):
        job_id = make_job()
        assert show(job_id).find(id="flare-live")[0].attributes["data-live"] == "yes"
        jobs.cancel(job_id)
        assert show(job_id).find(id="flare-live")[0].attributes["data-live"] == "no"

    def test_what_follows_is_304_while_nothing_happens(self, operator, clock):
        driver, job_id = Driver(), make_job()
        driver.start(job_id)
        clock.advance(61)
        kept = "?_changelist_filters=queue%3Dmail"
        page = operator.get(page_of(job_id) + kept)
        (part,) = parse(page).find(id="flare-live")
        address = part.attributes["data-url"]
        assert address == page_of(job_id, "live") + kept
        first = operator.get(address)
        assert first.content.decode().strip() in page.content.decode()
        assert "csrfmiddlewaretoken" not in first.content.decode()
        clock.advance(5)
        known = {"if-none-match": first.headers["ETag"]}
        again = operator.get(address, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        driver.succeed(job_id)
        assert "Succeeded" in operator.get(address, headers=known).content.decode()
        assert operator.get(page_of("nonsense", "live")).status_code == 404

    def test_the_links_of_the_history_lead_back(self, operator):
        job_id = make_job("mail.welcome")
        links = parse(operator.get(page_of(job_id, "history"))).find(css="breadcrumbs")[0].find("a")
        assert "mail.welcome" in operator.get(links[-1].attributes["href"]).content.decode()

    def test_the_way_back_keeps_the_filters_of_the_list(self, operator):
        make_job(queue="mail")
        (link,) = [
            each.attributes["href"]
            for each in parse(operator.get(LIST, {"queue": "mail", "q": "tests"})).find("a")
            if "/change/" in each.attributes["href"]
        ]
        crumbs = parse(operator.get(link)).find(css="breadcrumbs")[0].find("a")
        assert f"{LIST}?queue=mail&q=tests" in [each.attributes["href"] for each in crumbs]

    def test_an_unknown_id_leads_to_the_index(self, operator):
        for job_id in ("01890000-0000-7000-8000-000000000000", "nonsense", "7", "%00"):
            assert operator.get(page_of(job_id)).status_code in (302, 404)


class TestTimeline:
    def steps(self, page):
        return [
            tuple(cell.text for cell in line.find("td")[1:])
            for line in section(page, "Timeline").find("tbody")[0].find("tr")
        ]

    def test_each_attempt_with_how_long_it_lasted(self, show, clock):
        driver = Driver()
        job_id = make_job(max_attempts=2)
        clock.advance(5)
        driver.start(job_id)
        clock.advance(65)
        driver.fail(job_id)
        clock.advance(3600)
        jobs.retry(job_id)
        driver.start(job_id)
        clock.advance(0.25)
        driver.succeed(job_id)
        assert self.steps(show(job_id)) == [
            ("", "created", "5.0 s"),
            ("Processing", "attempt 1 started", "1 min 5 s"),
            ("Failed", "attempt 1 ended", "1 h 0 min"),
            ("Processing", "attempt 2 started", "250 ms"),
            ("Succeeded", "ended", ""),
        ]

    def test_what_goes_on_lasts_until_now(self, show, clock):
        job_id = make_job(when=timedelta(days=3))
        clock.advance(86_400 + 7200)
        assert self.steps(show(job_id)) == [("Scheduled", "created", "1 d 2 h")]

    def test_what_a_failure_has_hidden_of_the_first_state_is_not_guessed(self, show, clock):
        """The retry has put another time into the column that told it."""
        driver = Driver()
        jobs_ = [make_job(when=timedelta(days=3), max_attempts=most) for most in (1, 2)]
        clock.advance(3 * 86_400)
        housekeeping.promote_due(USING)
        for job_id in jobs_:
            driver.start(job_id)
            assert self.steps(show(job_id))[0] == ("Scheduled", "created", "3 d 0 h")
            driver.fail(job_id)
            assert self.steps(show(job_id))[0] == ("", "created", "3 d 0 h")

    @pytest.mark.parametrize("parents", [0, 1])
    def test_the_first_state_of_what_ran_at_once(self, show, clock, parents):
        driver = Driver()
        done = [make_job() for _ in range(parents)]
        for each in done:
            driver.succeed(each)
        job_id = make_job(parents=done or None)
        driver.start(job_id)
        assert self.steps(show(job_id))[0][:2] == ("Pending", "created")

    def test_a_child_that_waited_was_scheduled(self, show, clock):
        driver, parent = Driver(), make_job()
        child = make_job(parents=parent)
        clock.advance(60)
        driver.succeed(parent)
        driver.succeed(child)
        assert self.steps(show(child))[0] == ("Scheduled", "created", "1 min 0 s")

    def test_a_child_of_a_dead_parent(self, show):
        parent = make_job(max_attempts=1)
        Driver().fail(parent)
        steps = self.steps(show(make_job(parents=parent)))
        assert [step[:2] for step in steps] == [("", "created"), ("Cancelled", "ended")]

    def test_earlier_attempts_than_are_read_are_marked(self, show, clock, monkeypatch):
        monkeypatch.setattr("django_flare.admin.job_page.MOST_ATTEMPTS", 2)
        driver, job_id = Driver(), make_job(max_attempts=9)
        for _ in range(3):
            clock.advance(10)
            driver.fail(job_id)
            clock.advance(50)
            jobs.retry(job_id)
        earlier = "started for the first time; earlier attempts are not shown"
        steps = self.steps(show(job_id))
        assert steps[:3] == [
            ("", "created", "10 s"),
            ("", earlier, "1 min 0 s"),
            ("Processing", "attempt 2 started", "0 ms"),
        ]
        driver.succeed(job_id)
        monkeypatch.setattr("django_flare.admin.job_page.MOST_ATTEMPTS", 3)
        assert earlier not in {step[1] for step in self.steps(show(job_id))}

    def test_a_run_that_was_put_back_is_marked(self, show, clock):
        driver, job_id = Driver(), make_job()
        clock.advance(5)
        driver.release(job_id)
        clock.advance(5)
        driver.start(job_id)
        assert [step[1] for step in self.steps(show(job_id))] == [
            "created",
            "started for the first time; earlier attempts are not shown",
            "attempt 1 started",
        ]


class TestDocuments:
    def test_payload_result_and_tags_are_indented(self, show):
        job_id = make_job(payload={"b": [1, "ä"]}, tags={"shop": "köln"})
        Driver().succeed(job_id, '{"ok": true}')
        page = show(job_id)
        assert section(page, "Payload").find("pre")[0].children == ['{\n  "b": [\n    1,\n    "ä"\n  ]\n}']
        assert section(page, "Result").find("pre")[0].children == ['{\n  "ok": true\n}']
        assert section(page, "Tags").find("pre")[0].children == ['{\n  "shop": "köln"\n}']

    def test_what_is_to_be_hidden_is_masked_everywhere(self, operator, settings):
        settings.FLARE = {"REDACT": ["PIN", "token"]}
        job_id = make_job(payload={"card": [{"pin": "s3cret"}]}, tags={"token": "s3cret"})
        Driver().succeed(job_id, '{"Token": {"a": "s3cret"}}')
        for part in ("change", "raw/payload", "raw/result", "raw/tags"):
            answer = operator.get(page_of(job_id, part))
            assert answer.status_code == 200
            assert b"s3cret" not in answer.content
            assert b"[redacted]" in answer.content

    def test_a_large_one_is_cut_and_whole_as_text(self, operator, show):
        job_id = make_job(payload={"text": "x" * 50_000})
        part = section(show(job_id), "Payload")
        assert len(part.find("pre")[0].text) < 10_100
        (link,) = part.find("a")
        answer = operator.get(link.attributes["href"])
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert json.loads(answer.content)["text"] == "x" * 50_000

    def test_only_documents_are_given_raw(self, operator):
        job_id = make_job()
        for field in ("headers", "fingerprint", "id", "objects"):
            assert operator.get(page_of(job_id, f"raw/{field}")).status_code == 404

    @pytest.mark.parametrize(
        "text", ["[" * 5_000 + "]" * 5_000, "not json", '"\\ud800"', '{"a": NaN}', "[" * 400 + "]" * 400]
    )
    def test_what_a_foreign_hand_wrote_harms_nothing(self, operator, text):
        job_id = make_job()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_flare_job SET payload = %s", [text])
        assert operator.get(page_of(job_id)).status_code == 200
        assert operator.get(page_of(job_id, "raw/payload")).status_code == 200

    def test_tracebacks_are_folded(self, show):
        job_id = make_job(max_attempts=2)
        Driver().fail(job_id, ValueError("no such order"))
        page = show(job_id)
        assert section(page, "Error").find("pre")[0].text == "ValueError: no such order"
        (attempt,) = page.find("details", "flare-attempt")
        assert "open" not in attempt.attributes
        assert "ValueError" in attempt.find("pre")[-1].text

    def test_of_many_attempts_the_newest_are_shown(self, show, monkeypatch):
        monkeypatch.setattr("django_flare.admin.job_page.MOST_ATTEMPTS", 3)
        driver, job_id = Driver(), make_job(max_attempts=1)
        for number in range(5):
            driver.fail(job_id, ValueError(f"failure {number}"))
            page = show(job_id)
            assert ("Only the newest 100 are shown." in page.text) == (number >= 3)
            jobs.retry(job_id)
        shown = page.find("details", "flare-attempt")
        assert [each.find("pre")[0].text for each in shown] == [f"failure {number}" for number in (4, 3, 2)]


class TestRelations:
    def test_a_lone_job_has_no_graph(self, show):
        assert section(show(make_job()), "Parents and children") is None

    def test_ancestors_and_descendants_are_drawn_and_lead_to_their_pages(self, show):
        top, second = make_job(), make_job()
        middle = make_job(parents=[top, second])
        sibling = make_job(parents=[top])
        below = [make_job(parents=[middle]) for _ in range(2)]
        drawn = section(show(middle), "Parents and children").find("svg")[0]
        links = {link.attributes["href"] for link in drawn.find("a")}
        assert links == {page_of(each) for each in (top, second, middle, *below)}
        assert page_of(sibling) not in links
        assert len(drawn.find("path", "flare-link")) == 4
        (own,) = drawn.find("a", "flare-own")
        assert own.attributes["href"] == page_of(middle)
        places = {
            link.attributes["href"]: int(link.find("svg")[0].attributes["x"]) for link in drawn.find("a")
        }
        assert places[page_of(top)] < places[page_of(middle)] < places[page_of(below[0])]

    def test_no_two_jobs_are_drawn_in_one_place(self, show):
        top = make_job()
        middle = [make_job(parents=[top]) for _ in range(5)]
        make_job(parents=middle)
        drawn = section(show(top), "Parents and children").find("svg")[0]
        places = [each.attributes for each in drawn.find("svg")]
        assert len({(each["x"], each["y"]) for each in places if "x" in each}) == 7

    def test_too_many_are_listed(self, show, monkeypatch):
        monkeypatch.setattr(graph, "MOST_NODES", 5)
        monkeypatch.setattr("django_flare.admin.job_page.MOST_RELATIONS", 6)
        top = make_job()
        children = [make_job(parents=[top]) for _ in range(8)]
        part = section(show(top), "Parents and children")
        assert part.find("svg") == []
        links = [link.attributes["href"] for link in part.find("a")]
        assert links == [page_of(each) for each in children[:6]]
        assert "Only the first 200 children are listed." in part.text
        assert section(show(children[0]), "Parents and children").find("svg") != []

    @pytest.mark.parametrize("most", [100, 1])
    def test_links_keep_the_filters_of_the_list(self, operator, monkeypatch, most):
        monkeypatch.setattr(graph, "MOST_NODES", most)
        parent = make_job(max_attempts=1)
        child = make_job(parents=[parent])
        Driver().fail(parent)
        kept = "?_changelist_filters=queue%3Dmail"
        page = parse(operator.get(f"{page_of(child)}{kept}"))
        for title in ("Parents and children", "Facts"):
            links = [link.attributes["href"] for link in section(page, title).find("a")]
            assert page_of(parent) + kept in links
            assert all(link.endswith(kept) for link in links)

    def test_a_long_chain_is_not_followed_for_ever(self, show):
        job_id = first = make_job()
        for _ in range(40):
            job_id = make_job(parents=[job_id])
        assert section(show(first), "Parents and children").find("svg") == []

    def test_what_a_project_hides_is_not_drawn(self, show, monkeypatch):
        from tests.admin.test_actions import hide_queue

        parent = make_job(queue="secret")
        child = make_job(parents=[parent])
        hide_queue("secret", monkeypatch)
        drawn = section(show(child), "Parents and children").find("svg")[0]
        assert [link.attributes["href"] for link in drawn.find("a")] == [page_of(child)]


class TestWhyItIsNotRunning:
    def said(self, page):
        return section(page, "Why is it not running?").find("p")[0].text

    def test_the_queue_is_paused(self, show):
        job_id = make_job(queue="mail")
        jobs.pause_queue("mail")
        assert self.said(show(job_id)).startswith("The queue mail has been paused since 20")

    def test_no_worker(self, show):
        Worker.objects.all().delete()
        assert self.said(show(make_job(queue="mail"))) == (
            "No live worker serves the queue mail; live workers: 0."
        )

    def test_it_lost_its_worker_and_waits_for_an_idle_one(self, show):
        job_id, driver = make_job(plain), Driver()
        Worker.objects.filter(pk=driver.worker_id).update(running=1, job_types=[row(job_id).job_type])
        force(job_id, losses=2)
        assert self.said(show(job_id)).startswith(
            "The job lost its worker before (2 times) and so runs alone"
        )

    def test_it_waits_for_parents_which_are_linked(self, show, monkeypatch):
        from tests.admin.test_actions import hide_queue

        parents = [make_job(), make_job(queue="secret"), make_job("mail.welcome")]
        child = make_job(parents=parents)
        hide_queue("secret", monkeypatch)
        part = section(show(child), "Why is it not running?")
        assert part.find("p")[0].text.endswith("still open: 3.")
        links = [(each.attributes["href"], each.text) for each in part.find("a")]
        types = (row(parents[0]).job_type, "mail.welcome")
        assert links == [
            (page_of(each), f"{job_type} {each}") for each, job_type in zip(parents[::2], types, strict=True)
        ]

    def test_it_has_ended(self, show):
        job_id = make_job()
        jobs.cancel(job_id)
        assert self.said(show(job_id)).startswith("The job ended as Cancelled at 20")

    def test_every_code_has_its_sentence(self):
        assert reasons._SENTENCES.keys() == set(Reason)

    @pytest.mark.parametrize("code", Reason)
    def test_every_sentence_takes_what_the_explanation_gives(self, code):
        times = ("completed_at", "started_at", "run_at", "paused_at")
        numbers = ("count", "attempt", "max_attempts", "workers", "slots")
        given = dict.fromkeys([*times, *numbers, "state", "worker_id", "queue", "job_type"], "?")
        with translation.override("de"):
            for more in ({}, {"losses": 1}, {"cancelled_by": "?"}):
                assert "%(" not in reasons.sentence(Explanation(code, "", given | more))


def test_the_number_of_statements(operator):
    driver = Driver()
    job_id = make_job(max_attempts=1, payload={"a": 1})
    for _ in range(3):
        make_job(parents=[job_id])
    driver.fail(job_id)

    def statements():
        with CaptureQueriesContext(connection) as captured:
            operator.get(page_of(job_id))
        return [each["sql"] for each in captured.captured_queries]

    statements()
    few = statements()
    assert len(few) <= 13, "\n".join(few)
    jobs.retry(job_id)
    for _ in range(5):
        make_job(plain, parents=[job_id])
    assert len(statements()) <= len(few) + 3
    assert Job.objects.filter(state=JobState.PENDING).exists()
