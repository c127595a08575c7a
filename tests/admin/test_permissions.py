"""Whoever posts whatever: only what the permissions name happens."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from django_flare import operations
from django_flare.models import Job
from django_flare.operations import VERBS
from tests.admin.support import LIST, page_of, parse
from tests.admin.test_list import one_in_each_state
from tests.support import columns, row

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

ROLES = {
    "anonymous": None,
    "no staff": None,
    "nothing": (),
    "only actions": tuple(verb.permission for verb in VERBS.values()),
    "viewer": ("view_job",),
    "viewer of everything": ("view_job", "view_attempt", "view_queue", "view_worker", "add_job"),
    **{verb.name: ("view_job", verb.permission) for verb in VERBS.values()},
    "operator": ("view_job", *(verb.permission for verb in VERBS.values())),
}


def client_of(role, member):
    if role == "anonymous":
        return Client()
    if role == "no staff":
        client = member(*(verb.permission for verb in VERBS.values()), "view_job")
        User.objects.update(is_staff=False)
        return client
    return member(*ROLES[role])


def may(role, verb):
    return "view_job" in (ROLES[role] or ()) and VERBS[verb].permission in ROLES[role]


@pytest.fixture
def fitting(db):
    """Return for each verb a job that it may be done to."""
    found = one_in_each_state()
    return {
        name: next(job_id for state, job_id in found.items() if verb.fits(state))
        for name, verb in VERBS.items()
    }


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("verb", VERBS)
class TestMatrix:
    def test_on_one_job(self, member, fitting, role, verb):
        client = client_of(role, member)
        before = columns(fitting[verb])
        answer = client.post(page_of(fitting[verb], f"act/{verb}"), {"confirmed": "yes"})
        assert (columns(fitting[verb]) != before) == may(role, verb)
        assert LogEntry.objects.exists() == may(role, verb)
        if not may(role, verb):
            assert answer.status_code in (302, 403)
            assert answer.status_code == 403 or "/login/" in answer.url

    def test_on_a_selection(self, member, fitting, role, verb):
        client = client_of(role, member)
        before = columns(fitting[verb])
        key = row(fitting[verb]).pk
        client.post(LIST, {"action": f"{verb}_jobs", "_selected_action": key, "confirmed": "yes"})
        assert (columns(fitting[verb]) != before) == may(role, verb)

    def test_on_all_that_match(self, member, fitting, role, verb):
        client = client_of(role, member)
        data = {"action": f"{verb}_jobs", "_selected_action": "1", "select_across": "1", "confirmed": "yes"}
        client.post(LIST, data)
        assert Job.objects.filter(job_type=operations.NAME).exists() == may(role, verb)

    def test_the_button_is_there_for_whoever_may(self, member, fitting, role, verb):
        client = client_of(role, member)
        answer = client.get(page_of(fitting[verb]))
        if "view_job" not in (ROLES[role] or ()):
            assert answer.status_code in (302, 403)
            return
        addresses = [each.attributes.get("formaction") for each in parse(answer).find("button")]
        assert (page_of(fitting[verb], f"act/{verb}") in addresses) == may(role, verb)


@pytest.mark.parametrize("role", ["viewer", "viewer of everything", "operator"])
def test_nobody_adds_changes_or_deletes_a_row(member, fitting, role):
    client = client_of(role, member)
    job_id = fitting["cancel"]
    before = columns(job_id)
    forged = {"state": "succeeded", "queue": "x", "payload": "{}", "post": "yes", "_save": "Save"}
    for address in (
        f"{LIST}add/",
        page_of(job_id),
        page_of(job_id, "delete"),
        page_of(row(job_id).pk),
        page_of(row(job_id).pk, "delete"),
        page_of(job_id, "history"),
        page_of(job_id, "raw/payload"),
    ):
        client.post(address, forged)
    key = row(job_id).pk
    client.post(LIST, {"action": "delete_selected", "_selected_action": key, "post": "yes"})
    forged = {"form-0-id": key, "form-0-state": "succeeded", "form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1}
    client.post(LIST, {"_save": "Save", **forged})
    assert columns(job_id) == before
    assert Job.objects.count() == 7
    assert client.get(f"{LIST}add/").status_code == 403


@pytest.mark.parametrize("role", ["anonymous", "no staff", "nothing", "only actions"])
@pytest.mark.parametrize("part", ["change", "history", "raw/payload", "raw/result"])
def test_who_may_not_view_sees_nothing(member, fitting, role, part):
    client = client_of(role, member)
    assert client.get(page_of(fitting["cancel"], part)).status_code in (302, 403)
    assert client.get(LIST).status_code in (302, 403)


def test_a_viewer_is_offered_no_action(member):
    one_in_each_state()
    page = parse(member("view_job").get(LIST))
    assert page.find("select", name="action") == []
    assert page.find("input", "action-select") == []


def test_an_operator_of_one_verb_is_offered_that(member):
    one_in_each_state()
    (menu,) = parse(member("view_job", "retry_job").get(LIST)).find("select", name="action")
    assert [each.attributes["value"] for each in menu.find("option")] == ["", "retry_jobs"]
