"""Queues in the admin: what is there, pause and resume by whoever may."""

import pytest
from django.contrib.admin.models import LogEntry

from django_flare import jobs
from tests.admin.support import messages, parse
from tests.admin.test_dashboard import DASHBOARD, cells
from tests.support import make_job

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

QUEUES = "/admin/django_flare/queue/"
PAUSE, RESUME = f"{QUEUES}pause/", f"{QUEUES}resume/"


def test_those_with_work_and_those_paused_are_listed(operator):
    make_job(queue="mail")
    jobs.pause_queue("reports")
    assert [row[:3] for row in cells(parse(operator.get(QUEUES)))] == [
        ["mail", "Active", "1"],
        ["reports", "Paused", "0"],
    ]


def test_nothing_to_do_is_said(operator):
    assert "No queue has anything to do, and none is paused." in operator.get(QUEUES).content.decode()


def test_pause_and_resume_by_the_buttons(operator):
    make_job(queue="mail")
    for address, badge, said in (
        (PAUSE, "Paused", "The queue mail is paused."),
        (RESUME, "Active", "The queue mail is resumed."),
    ):
        (button,) = parse(operator.get(QUEUES)).find("button", form="flare-act")
        assert button.attributes["formaction"] == address
        answer = operator.post(address, {button.attributes["name"]: button.attributes["value"]}, follow=True)
        assert messages(answer) == [said]
        assert cells(parse(answer))[0][1] == badge
    entries = LogEntry.objects.order_by("pk").values_list("object_id", "change_message", "user")
    assert list(entries) == [("mail", "Paused.", operator.user.pk), ("mail", "Resumed.", operator.user.pk)]


def test_a_queue_without_jobs_can_be_paused_by_name(operator):
    operator.post(PAUSE, {"queue": "later"})
    assert jobs.resume_queue("later") is True


def test_what_changes_nothing_leaves_no_history(operator):
    assert messages(operator.post(RESUME, {"queue": "mail"}, follow=True)) == ["It was not paused."]
    jobs.pause_queue("mail")
    assert messages(operator.post(PAUSE, {"queue": "mail"}, follow=True)) == ["It was paused before."]
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "<b>", "x" * 101, "\0"])
def test_a_name_that_no_queue_can_have(operator, name):
    answer = operator.post(PAUSE, {"queue": name}, follow=True)
    (said,) = messages(answer)
    assert said.startswith("That is no name of a queue: ")
    assert parse(answer).find("b") == []
    assert not LogEntry.objects.exists()


def test_the_dashboard_s_buttons_lead_back_there(operator):
    make_job(queue="mail")
    page = parse(operator.get(f"{DASHBOARD}?period=24h"))
    (button,) = page.find("button", form="flare-act", name="queue")
    answer = operator.post(button.attributes["formaction"], {"queue": "mail"})
    assert answer.headers["Location"] == f"{DASHBOARD}?period=24h"
    answer = operator.post(f"{PAUSE}?dashboard=https://example.com/", {"queue": "mail"})
    assert answer.headers["Location"] == QUEUES


@pytest.mark.parametrize("address", [PAUSE, RESUME])
def test_both_are_posted_with_a_token(operator, address):
    assert operator.get(address).status_code == 405
    operator.handler.enforce_csrf_checks = True
    assert operator.post(address, {"queue": "mail"}).status_code == 403


def test_the_history_of_a_queue_can_be_read(operator):
    operator.post(PAUSE, {"queue": "mail"})
    assert "Paused." in operator.get(f"{QUEUES}mail/history/").content.decode()
    assert operator.get(f"{QUEUES}mail/change/").status_code == 200


class TestPermissions:
    def test_nobody_is_sent_to_the_login(self, client):
        for answer in (client.get(QUEUES), client.post(PAUSE, {"queue": "mail"})):
            assert answer.status_code == 302
        assert jobs.resume_queue("mail") is False

    def test_who_may_not_look_does_not(self, member):
        assert member("pause_queue", "view_job").get(QUEUES).status_code == 403

    def test_who_may_only_look_changes_nothing(self, member):
        client = member("view_queue", "view_job", "view_worker", "view_apikey")
        make_job(queue="mail")
        jobs.pause_queue("reports")
        assert parse(client.get(QUEUES)).find("button", form="flare-act") == []
        for address in (PAUSE, RESUME):
            for name in ("mail", "reports"):
                assert client.post(address, {"queue": name}).status_code == 403
        assert client.post(QUEUES, {"action": "delete_selected"}).status_code == 405
        for part in ("add/", "reports/delete/"):
            assert client.post(QUEUES + part, {"post": "yes", "name": "x"}).status_code == 403
        assert client.post(f"{QUEUES}reports/change/", {"paused_at": ""}).status_code == 403
        assert (jobs.resume_queue("mail"), jobs.resume_queue("reports")) == (False, True)

    def test_who_may_pause_does(self, member):
        member("view_queue", "pause_queue").post(PAUSE, {"queue": "mail"})
        assert jobs.resume_queue("mail") is True
