from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import OperationalError
from django.urls import resolve
from django.utils import translation
from django.utils.translation import gettext_lazy

from django_flare import Discard, jobs, operations
from django_flare.admin.jobs import JobAdmin
from django_flare.admin.verbs import OTHERS_OPERATION, WORDS
from django_flare.models import Job
from django_flare.operations import VERBS, BulkOperation
from django_flare.states import TRANSITIONS, JobState
from tests.admin.support import LIST, messages, page_of, parse
from tests.admin.test_list import one_in_each_state
from tests.support import Driver, force, make_job, row, state, states

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]


def select(client, verb, *job_ids, address=LIST, follow=True, **more):
    data = {"action": f"{verb}_jobs", "_selected_action": [row(each).pk for each in job_ids], **more}
    return client.post(address, data, follow=follow)


def log():
    return [(each.object_id, each.change_message) for each in LogEntry.objects.order_by("pk")]


class TestOnASelection:
    @pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "retry"])
    def test_all_but_retry_ask_first(self, operator, verb):
        found = one_in_each_state()
        before = states(*found.values())
        answer = select(operator, verb, *found.values())
        text = parse(answer).find(id="content")[0].text
        fitting = [each for each in found if VERBS[verb].fits(each)]
        assert str(WORDS[verb].will % len(fitting)) in text
        assert str(WORDS[verb].refused) in text
        kept = {item.text for item in parse(answer).find("div", "flare-confirm")[0].find("li")}
        assert len(kept) == len(found) - len(fitting)
        assert "Succeeded 1" in kept
        assert states(*found.values()) == before
        assert log() == []

    @pytest.mark.parametrize("verb", VERBS)
    def test_those_that_may_be_are_changed_and_the_others_left(self, operator, verb):
        found = one_in_each_state()
        answer = select(operator, verb, *found.values(), confirmed="yes")
        fitting = [job_id for each, job_id in found.items() if VERBS[verb].fits(each)]
        left = len(found) - len(fitting)
        done, kept = messages(answer)
        assert done == str(WORDS[verb].done % len(fitting))
        assert kept.startswith(f"{left} jobs were left as they are.")
        written = [(job_id, str(WORDS[verb].record)) for job_id in fitting]
        refused = [job_id for job_id in found.values() if job_id not in fitting]
        assert log() == written + [(job_id, str(WORDS[verb].record_refused)) for job_id in refused]
        for each, job_id in found.items():
            if job_id not in fitting:
                assert state(job_id) == each
            elif verb == "stop":
                assert row(job_id).stop_requested
            else:
                assert state(job_id) in TRANSITIONS[VERBS[verb].event].targets

    def test_retry_acts_at_once(self, operator):
        dead = make_job(max_attempts=1)
        Driver().fail(dead)
        answer = select(operator, "retry", dead)
        assert messages(answer) == ["1 job will run again."]
        assert state(dead) == JobState.PENDING

    def test_the_confirmed_form_does_what_was_asked(self, operator):
        waiting = [make_job(queue="q") for _ in range(2)]
        address = f"{LIST}?queue=q"
        form = parse(select(operator, "cancel", *waiting, address=address)).find("form", "flare-buttons")[0]
        fields = {}
        for each in form.find("input"):
            fields.setdefault(each.attributes["name"], []).append(each.attributes["value"])
        answer = operator.post(address, fields, follow=True)
        assert messages(answer) == ["2 jobs were cancelled."]
        assert states(*waiting) == [JobState.CANCELLED] * 2

    def test_the_filters_hold_for_the_selection(self, operator):
        inside, outside = make_job(queue="in"), make_job(queue="out")
        select(operator, "cancel", inside, outside, address=f"{LIST}?queue=in", confirmed="yes")
        assert states(inside, outside) == [JobState.CANCELLED, JobState.PENDING]

    @pytest.mark.parametrize("verb", VERBS)
    def test_those_that_have_left_the_list_meanwhile_are_counted(self, operator, verb):
        """Filtered by a state, a list loses each job that moves on between the look and the click."""
        address = f"{LIST}?state=dead_letter"
        moved = [make_job(), make_job()]
        text = "2 chosen jobs are not in this list any more; they were left as they are."
        answer = select(operator, verb, *moved, address=address, confirmed="yes")
        assert messages(answer) == [text]
        assert states(*moved) == [JobState.PENDING] * 2
        if verb != "retry":
            question = select(operator, verb, *moved, address=address)
            assert "Not in this list any more: 2" in parse(question).find("div", "flare-confirm")[0].text

    def test_a_retry_tells_of_both(self, operator):
        dead, moved = make_job(max_attempts=1), make_job()
        Driver().fail(dead)
        address = f"{LIST}?state=dead_letter"
        answer = select(operator, "retry", dead, moved, address=address)
        assert messages(answer) == [
            "1 job will run again.",
            "1 chosen job is not in this list any more; it was left as it is.",
        ]

    def test_what_was_done_before_the_database_failed_is_in_the_history(self, operator, monkeypatch):
        first, second = make_job(), make_job()

        def fail_at_the_second(job_id):
            if job_id == second:
                raise OperationalError("gone")
            return jobs.cancel(job_id)

        verb = operations.Verb("cancel", VERBS["cancel"].event, fail_at_the_second)
        monkeypatch.setitem(VERBS, "cancel", verb)
        with pytest.raises(OperationalError):
            select(operator, "cancel", first, second, confirmed="yes")
        assert states(first, second) == [JobState.CANCELLED, JobState.PENDING]
        assert log() == [(first, "Cancelled.")]

    def test_jobs_that_a_project_hides_are_out_of_reach(self, operator, monkeypatch):
        hide_queue("secret", monkeypatch)
        seen, hidden = make_job(queue="open"), make_job(queue="secret")
        select(operator, "cancel", seen, hidden, confirmed="yes")
        assert states(seen, hidden) == [JobState.CANCELLED, JobState.PENDING]
        for address in (page_of(hidden), page_of(hidden, "history"), page_of(hidden, "raw/payload")):
            assert operator.get(address).status_code in (302, 404)
        assert operator.post(page_of(hidden, "act/cancel"), {"confirmed": "yes"}).status_code == 404
        assert state(hidden) == JobState.PENDING

    @pytest.mark.parametrize("key", ["x", "-1", "1.5", "٣", "9" * 30, "", "1 OR 1=1"])
    def test_a_key_that_is_none_is_refused(self, operator, key):
        answer = operator.post(LIST, {"action": "cancel_jobs", "_selected_action": key, "confirmed": "yes"})
        assert answer.status_code == 400

    def test_without_a_token_nothing_happens(self, operator):
        operator.handler.enforce_csrf_checks = True
        job_id = make_job()
        assert select(operator, "cancel", job_id, confirmed="yes").status_code == 403
        assert operator.post(page_of(job_id, "act/cancel"), {"confirmed": "yes"}).status_code == 403
        assert state(job_id) == JobState.PENDING


def test_no_action_is_one_transaction():
    """Locks are taken in the order of ids within a verb, not from one verb to the next."""
    for address in (LIST, page_of("x", "act/cancel")):
        assert "default" in resolve(address).func._non_atomic_requests


class TestOnOneJob:
    @pytest.mark.parametrize("verb", VERBS)
    def test_the_buttons_are_those_that_the_state_allows(self, operator, verb):
        for each, job_id in one_in_each_state().items():
            buttons = parse(operator.get(page_of(job_id))).find("button", form="flare-act")
            addresses = {button.attributes["formaction"] for button in buttons}
            assert (page_of(job_id, f"act/{verb}") in addresses) == VERBS[verb].fits(each)

    def test_cancel_asks_and_then_does_it(self, operator):
        job_id = make_job()
        answer = operator.post(page_of(job_id, "act/cancel"))
        assert "1 job will be cancelled" in parse(answer).find(id="content")[0].text
        assert state(job_id) == JobState.PENDING
        answer = operator.post(page_of(job_id, "act/cancel"), {"confirmed": "yes"}, follow=True)
        assert messages(answer) == ["1 job was cancelled."]
        assert log() == [(job_id, "Cancelled.")]
        history = parse(operator.get(page_of(job_id, "history"))).text
        assert "Cancelled." in history
        assert "operator" in history

    def test_the_way_back_to_the_filtered_list_is_kept(self, operator):
        job_id = make_job(queue="mail")
        here = f"{page_of(job_id)}?_changelist_filters=queue%3Dmail"
        (button,) = parse(operator.get(here)).find("div", "flare-head")[0].find("button")
        address = button.attributes["formaction"]
        question = parse(operator.post(address))
        back = question.find("a", "flare-back")[0].attributes["href"]
        assert back == here
        answer = operator.post(address, {"confirmed": "yes"}, follow=True)
        assert answer.redirect_chain == [(here, 302)]
        crumbs = parse(answer).find(css="breadcrumbs")[0].find("a")
        assert f"{LIST}?queue=mail" in [each.attributes["href"] for each in crumbs]

    def test_what_the_state_forbids_is_said(self, operator):
        job_id = make_job()
        Driver().succeed(job_id)
        answer = operator.post(page_of(job_id, "act/retry"), follow=True)
        assert messages(answer) == ["1 job was left as it is. Only failed and dead jobs can be retried."]
        assert log() == [(job_id, "Not retried: its state forbade it.")]

    def test_a_get_changes_nothing(self, operator):
        job_id = make_job()
        for verb in VERBS:
            assert operator.get(page_of(job_id, f"act/{verb}"), {"confirmed": "yes"}).status_code == 405
        assert state(job_id) == JobState.PENDING

    def test_unknown_jobs_and_verbs(self, operator):
        job_id = make_job()
        assert operator.post(page_of(job_id, "act/explode")).status_code == 404
        assert operator.post(page_of("nonsense", "act/cancel")).status_code == 404


class TestOnAllThatMatch:
    def ask(self, client, verb="cancel", address=f"{LIST}?queue=many", **more):
        some = Job.objects.first()
        data = {"action": f"{verb}_jobs", "_selected_action": some.pk, "select_across": "1", **more}
        return client.post(address, data)

    def test_it_asks_with_the_numbers_of_all(self, operator):
        many = jobs.enqueue_many("mail.welcome", [{}] * 150, queue="many")
        Driver().succeed(many[0])
        answer = self.ask(operator)
        text = parse(answer).find(id="content")[0].text
        assert "149 jobs will be cancelled" in text
        assert "Succeeded 1" in text
        assert not Job.objects.filter(job_type=operations.NAME).exists()

    @pytest.mark.parametrize("verb", VERBS)
    def test_what_is_counted_up_to_a_bound_is_said_so(self, operator, monkeypatch, verb):
        monkeypatch.setattr("django_flare.admin.bulk.MOST_COUNTED", 3)
        monkeypatch.setattr("django_flare.admin.changelist.MOST_COUNTED", 3)
        many = jobs.enqueue_many("mail.welcome", [{}] * 4, queue="many")
        jobs.schedule("mail.welcome", when=timedelta(hours=1), queue="many")
        if verb == "cancel":
            text = parse(self.ask(operator)).find("div", "flare-confirm")[0].text
            assert "At least 4 jobs will be cancelled, and with them all jobs that wait for them." in text
            [jobs.cancel(each) for each in many]
            text = parse(self.ask(operator)).find("div", "flare-confirm")[0].text
            assert "1 job will be cancelled, and with it" in text
            assert "At least" not in text
            assert "Cancelled 3+" in text
        assert str(WORDS[verb].at_least % 7).startswith("At least 7 jobs")

    def test_a_job_does_it_in_the_name_of_the_user(self, operator):
        many = jobs.enqueue_many("mail.welcome", [{}] * 150, queue="many")
        other = make_job(queue="other")
        Driver().succeed(many[0])
        answer = self.ask(operator, confirmed="yes")
        operation = Job.objects.get(job_type=operations.NAME)
        assert answer.url == f"{page_of(operation.public_id)}?_changelist_filters=queue%3Dmany"
        late = make_job(queue="many")
        result, progress = run_operation(operation)
        assert result == {"changed": 149, "unchanged": 0}
        assert progress[-1] == 1.0
        assert set(states(*many[1:])) == {JobState.CANCELLED}
        assert states(many[0], other, late) == [JobState.SUCCEEDED, JobState.PENDING, JobState.PENDING]
        written = LogEntry.objects.filter(change_message="Cancelled.")
        assert {each.object_id for each in written} == set(many[1:])
        assert {each.user_id for each in written} == {operator.user.pk}

    def test_the_answer_to_the_question_names_the_newest_job_of_then(self, operator):
        jobs.enqueue_many("mail.welcome", [{}] * 3, queue="many")
        form = parse(self.ask(operator)).find("form", "flare-buttons")[0]
        fields = {each.attributes["name"]: each.attributes["value"] for each in form.find("input")}
        late = make_job(queue="many")
        operator.post(f"{LIST}?queue=many", fields)
        run_operation(Job.objects.get(job_type=operations.NAME))
        assert state(late) == JobState.PENDING
        assert Job.objects.filter(state=JobState.CANCELLED).count() == 3

    @pytest.mark.parametrize("last", ["x", "-1", "9" * 30, ""])
    def test_a_bad_last_key_is_refused(self, operator, last):
        jobs.enqueue_many("mail.welcome", [{}] * 3, queue="many")
        assert self.ask(operator, confirmed="yes", last=last).status_code == 400

    def test_retry_starts_at_once(self, operator):
        dead = make_job(max_attempts=1, queue="many")
        Driver().fail(dead)
        assert self.ask(operator, "retry").status_code == 302
        run_operation(Job.objects.get(job_type=operations.NAME))
        assert state(dead) == JobState.PENDING

    def test_every_filter_travels(self, operator):
        hit = make_job("mail.welcome", queue="many", tags={"a": "b"})
        misses = [
            make_job(queue="many", tags={"a": "b"}),
            make_job("mail.welcome", queue="few", tags={"a": "b"}),
            make_job("mail.welcome", queue="many"),
        ]
        address = f"{LIST}?queue=many&job_type=mail.welcome&state=pending&created=hour&q=a%3Db"
        self.ask(operator, address=address, confirmed="yes")
        operation = Job.objects.get(job_type=operations.NAME)
        assert set(operation.payload["criteria"]) == {
            "site",
            "queue",
            "job_type",
            "state",
            "created_from",
            "search",
        }
        run_operation(operation)
        assert states(hit, *misses) == [JobState.CANCELLED] + [JobState.PENDING] * 3

    def test_jobs_that_a_project_hides_stay_out_of_reach(self, operator, monkeypatch):
        hide_queue("secret", monkeypatch)
        seen, hidden = make_job(queue="open"), make_job(queue="secret")
        self.ask(operator, address=LIST, confirmed="yes")
        run_operation(Job.objects.get(job_type=operations.NAME))
        assert states(seen, hidden) == [JobState.CANCELLED, JobState.PENDING]

    def test_whoever_started_it_sees_how_far_it_is(self, member, monkeypatch):
        """Also where a project shows them some queues only, and that of operations is none of those."""
        hide_queue("default", monkeypatch)
        make_job(queue="many")
        client = member("view_job", "cancel_job", "stop_job")
        answer = self.ask(client, confirmed="yes")
        operation = Job.objects.get(job_type=operations.NAME)
        assert answer.url == f"{page_of(operation.public_id)}?_changelist_filters=queue%3Dmany"
        assert "how far it is" in messages(client.get(answer.url))[0]
        assert member("view_job", name="other").get(page_of(operation.public_id)).status_code == 302
        assert client.get(page_of(make_job(queue="default"))).status_code == 302

    @pytest.mark.parametrize("change", ["lost permission", "inactive", "gone", "no longer staff"])
    def test_a_user_who_may_no_longer_changes_nothing(self, member, change):
        client = member("view_job", "cancel_job")
        job_id = make_job(queue="many")
        self.ask(client, confirmed="yes")
        if change == "gone":
            client.user.delete()
        elif change == "lost permission":
            client.user.user_permissions.clear()
        else:
            User.objects.update(is_active=change != "inactive", is_staff=change != "no longer staff")
        with pytest.raises(Discard):
            run_operation(Job.objects.get(job_type=operations.NAME))
        assert state(job_id) == JobState.PENDING

    @pytest.mark.parametrize(
        "changed", [{"verb": "explode"}, {"source": "elsewhere"}, {"criteria": {"site": "x"}}]
    )
    def test_an_operation_that_is_none_is_discarded(self, operator, changed):
        given = {
            "verb": "cancel",
            "source": "admin",
            "criteria": {"site": "admin"},
            "user_id": "1",
            "last": 9,
        }
        payload = BulkOperation(**{**given, **changed})
        with pytest.raises(Discard):
            operations.run_bulk_operation(payload, Context())

    def test_an_interrupted_operation_has_written_down_what_it_did(self, operator):
        many = jobs.enqueue_many("mail.welcome", [{}] * 5, queue="many")
        self.ask(operator, confirmed="yes")
        with pytest.raises(KeyboardInterrupt):
            run_operation(Job.objects.get(job_type=operations.NAME), interrupted_after=3)
        assert states(*many) == [JobState.CANCELLED] * 3 + [JobState.PENDING] * 2
        assert LogEntry.objects.filter(change_message="Cancelled.").count() == 3
        result, _ = run_operation(Job.objects.get(job_type=operations.NAME))
        assert result == {"changed": 2, "unchanged": 0}

    def test_a_job_that_moved_on_is_counted(self, operator, monkeypatch):
        jobs.enqueue_many("mail.welcome", [{}] * 3, queue="many")
        self.ask(operator, confirmed="yes")
        refuse = {**VERBS, "cancel": operations.Verb("cancel", VERBS["cancel"].event, lambda _: False)}
        monkeypatch.setattr(operations, "VERBS", refuse)
        result, _ = run_operation(Job.objects.get(job_type=operations.NAME))
        assert result == {"changed": 0, "unchanged": 3}
        assert LogEntry.objects.filter(change_message="Not cancelled: its state forbade it.").count() == 3

    def test_the_history_is_written_in_one_language(self, operator, monkeypatch):
        """Not in that of a worker, nor in that of whoever was there."""
        monkeypatch.setitem(WORDS, "cancel", replace(WORDS["cancel"], record=gettext_lazy("Yes")))
        first, second = make_job(), make_job(queue="many")
        with translation.override("de"):
            assert str(WORDS["cancel"].record) == "Ja"
            select(operator, "cancel", first, confirmed="yes")
            self.ask(operator, confirmed="yes")
            run_operation(Job.objects.get(job_type=operations.NAME))
        operation = str(Job.objects.get(job_type=operations.NAME).public_id)
        started = (operation, "Cancel: started for all jobs that match.")
        assert log() == [(first, "Yes"), started, (second, "Yes")]


class TestARetryOfAnOperation:
    """It acts in the name of whoever started it, with the permissions of that person."""

    REFUSED = f"1 job was left as it is. {OTHERS_OPERATION}"

    @pytest.fixture
    def operation(self, operator):
        """A dead operation of the operator's."""
        make_job(queue="many")
        TestOnAllThatMatch().ask(operator, confirmed="yes")
        found = Job.objects.get(job_type=operations.NAME)
        Driver().discard(str(found.public_id))
        return str(found.public_id)

    @pytest.fixture
    def other(self, member):
        return member("view_job", "retry_job", name="other")

    def test_by_its_starter(self, operator, operation):
        assert page_of(operation, "act/retry") in operator.get(page_of(operation)).content.decode()
        answer = operator.post(page_of(operation, "act/retry"), follow=True)
        assert messages(answer) == ["1 job will run again."]
        assert state(operation) == JobState.PENDING

    def test_by_somebody_else_is_refused_on_its_page(self, other, operation):
        page = other.get(page_of(operation)).content.decode()
        assert page_of(operation, "act/retry") not in page
        assert str(OTHERS_OPERATION) in page
        answer = other.post(page_of(operation, "act/retry"), follow=True)
        assert messages(answer) == [self.REFUSED]
        assert state(operation) == JobState.DEAD_LETTER

    @pytest.mark.parametrize("payload", [{}, {"source": "admin"}, {"source": "elsewhere", "user_id": "1"}])
    def test_of_nobody_knows_whom_is_refused(self, operator, operation, payload):
        force(operation, payload=payload)
        answer = select(operator, "retry", operation)
        # The first is that of the operation's start.
        assert messages(answer)[1:] == [self.REFUSED]
        assert state(operation) == JobState.DEAD_LETTER

    def test_by_somebody_else_is_refused_in_a_selection(self, other, operation):
        dead = make_job(max_attempts=1)
        Driver().fail(dead)
        answer = select(other, "retry", dead, operation)
        assert messages(answer) == ["1 job will run again.", self.REFUSED]
        assert states(dead, operation) == [JobState.PENDING, JobState.DEAD_LETTER]

    def test_is_no_part_of_a_retry_of_all_that_match(self, other, operation):
        dead = make_job(max_attempts=1)
        Driver().fail(dead)
        TestOnAllThatMatch().ask(other, "retry", address=f"{LIST}?state=dead_letter")
        retry = Job.objects.get(job_type=operations.NAME, state=JobState.PENDING)
        assert run_operation(retry)[0] == {"changed": 1, "unchanged": 0}
        assert states(dead, operation) == [JobState.PENDING, JobState.DEAD_LETTER]

    def test_on_the_dashboard(self, operator, other, operation):
        address = "/admin/django_flare/dashboard/"
        button = f'value="{operation}"'
        assert button in operator.get(address).content.decode()
        assert button not in other.get(address).content.decode()
        answer = other.post(f"{address}retry/", {"job": operation}, follow=True)
        assert messages(answer) == [str(OTHERS_OPERATION)]
        assert state(operation) == JobState.DEAD_LETTER
        operator.post(f"{address}retry/", {"job": operation})
        assert state(operation) == JobState.PENDING


class Context:
    """Play the context of a run: keep the progress, and interrupt after so many jobs."""

    def __init__(self, interrupted_after=None):
        self.progress = []
        self._left = interrupted_after

    def report_progress(self, value):
        self.progress.append(value)

    def sleep(self, seconds):
        """Return at once, as if nobody had to be waited for."""

    def raise_if_cancelled(self):
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1


def run_operation(job, **options):
    """Run the operation in this process; return its result and the progress it reported."""
    ctx = Context(**options)
    return operations.run_bulk_operation(BulkOperation(**job.payload), ctx), ctx.progress


def hide_queue(name, monkeypatch):
    """Restrict what everybody sees, as a project's own ModelAdmin would."""
    before = JobAdmin.get_queryset

    def restricted(self, request):
        return before(self, request).exclude(queue=name)

    monkeypatch.setattr(JobAdmin, "get_queryset", restricted)
