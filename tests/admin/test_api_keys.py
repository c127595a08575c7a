"""API keys in the admin: a key's text is shown once, in one answer, and kept nowhere."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connections

from django_flare.admin.api_keys import ApiKeyAdmin
from django_flare.models import ApiKey
from django_flare.store import api_keys
from tests.admin.support import messages, parse, rows

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

KEYS = "/admin/django_flare/apikey/"
FACTS = {"name": "shop", "scope": "write", "expires_at_0": "", "expires_at_1": ""}
TEXT = re.compile(r"flare_[0-9a-f]{16}_[0-9a-f]{64}")


def make(client, **facts):
    """Make a key by the form; return the answer and the key's text."""
    answer = client.post(f"{KEYS}add/", {**FACTS, **facts})
    return answer, TEXT.findall(answer.content.decode())


def test_a_new_key_is_shown_once_and_works(operator):
    answer, (text,) = make(operator)
    assert "no-store" in answer.headers["Cache-Control"]
    key = api_keys.verify(text)
    assert (key.name, key.scope, key.expires_at) == ("shop", "write", None)
    for address in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/", "/admin/"):
        assert text.split("_")[2] not in operator.get(address).content.decode()


def test_its_text_is_kept_nowhere(operator):
    answer, (text,) = make(operator)
    secret = text.split("_")[2]
    assert all(secret not in str(cookie) for cookie in answer.cookies.values())
    assert all(secret not in str(session.get_decoded()) for session in Session.objects.all())
    assert all(secret not in str(entry) for entry in LogEntry.objects.values())
    assert all(secret not in str(row) for row in ApiKey.objects.values())


def test_making_one_is_in_the_history(operator):
    make(operator)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.object_repr) == (
        operator.user,
        str(ApiKey.objects.get().pk),
        "shop",
    )
    assert entry.is_addition()


def test_posting_the_form_twice_makes_one_key(operator):
    make(operator)
    answer, texts = make(operator)
    assert texts == []
    assert "already exists" in answer.content.decode()
    assert ApiKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_take_one_name_at_once_the_second_is_told(member, monkeypatch):
    """Both forms are found in order, unless the database lets only one of them be looked at."""
    clients = [member(name=f"person{number}", is_superuser=True) for number in range(2)]
    both = threading.Barrier(2)
    save_form = ApiKeyAdmin.save_form

    def wait_for_the_other(*given, **named):
        with suppress(threading.BrokenBarrierError):
            both.wait(2)
        return save_form(*given, **named)

    monkeypatch.setattr(ApiKeyAdmin, "save_form", wait_for_the_other)

    def post(client):
        try:
            return make(client)
        finally:
            connections.close_all()

    with ThreadPoolExecutor() as pool:
        made, refused = sorted(pool.map(post, clients), key=lambda answered: not answered[1])
    assert len(made[1]) == 1
    assert (refused[0].status_code, refused[1]) == (200, [])
    assert "API key with this Name already exists." in refused[0].content.decode()
    assert api_keys.verify(made[1][0]).name == "shop"
    assert ApiKey.objects.count() == LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a\tb"}, "control characters"),
        ({"scope": "everything"}, "Select a valid choice."),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}, "Enter a time ahead."),
    ],
)
def test_bad_facts_are_refused(operator, facts, said):
    answer, texts = make(operator, **facts)
    assert said in answer.content.decode()
    assert (texts, ApiKey.objects.count()) == ([], 0)


def test_a_key_may_expire(operator):
    make(operator, expires_at_0="2099-01-31", expires_at_1="12:00:00")
    assert str(ApiKey.objects.get().expires_at) == "2099-01-31 12:00:00+00:00"


def test_the_list_says_which_are_accepted(operator, clock):
    for name in ("a", "b", "c"):
        api_keys.issue(name, ["read"])
    api_keys.revoke("b")
    assert [(row["name"], row["validity"]) for row in rows(operator.get(KEYS))] == [
        ("a", "Valid"),
        ("b", "Revoked"),
        ("c", "Valid"),
    ]


def revoke_page(key):
    return f"{KEYS}{key.pk}/revoke/"


def test_a_key_is_revoked_after_a_question(operator):
    _, (text,) = make(operator)
    key = ApiKey.objects.get()
    assert parse(operator.get(f"{KEYS}{key.pk}/change/")).find("a", href=revoke_page(key))
    assert "cannot be undone" in operator.get(revoke_page(key)).content.decode()
    assert api_keys.verify(text)
    answer = operator.post(revoke_page(key), follow=True)
    assert messages(answer) == ["The key shop is revoked."]
    assert api_keys.verify(text) is None
    assert LogEntry.objects.latest("pk").change_message == "Revoked."
    assert parse(operator.get(f"{KEYS}{key.pk}/change/")).find("a", href=revoke_page(key)) == []


def test_revoking_again_changes_nothing(operator):
    make(operator)
    key = ApiKey.objects.get()
    operator.post(revoke_page(key), follow=True)
    before = LogEntry.objects.count()
    assert messages(operator.post(revoke_page(key), follow=True)) == ["The key shop was revoked before."]
    assert LogEntry.objects.count() == before


@pytest.mark.parametrize("key", ["4711", "x", "0", "9" * 30])
def test_a_key_that_is_not_there(operator, key):
    assert operator.post(f"{KEYS}{key}/revoke/").status_code == 302


class TestPermissions:
    @pytest.fixture
    def key(self, db):
        return api_keys.issue("shop", ["admin"])

    def test_nobody_is_sent_to_the_login(self, client, key):
        for part in ("", "add/", f"{key.key.pk}/revoke/"):
            assert client.post(KEYS + part).status_code == 302
        assert api_keys.verify(key.text)

    def test_who_may_only_look_changes_nothing(self, member, key):
        client = member("view_apikey", "view_job", "cancel_job", "pause_queue")
        assert client.get(KEYS).status_code == 200
        assert client.get(f"{KEYS}{key.key.pk}/change/").status_code == 200
        for part in ("add/", f"{key.key.pk}/revoke/", f"{key.key.pk}/delete/", f"{key.key.pk}/change/"):
            assert client.post(KEYS + part, {**FACTS, "name": "other", "post": "yes"}).status_code == 403
        client.post(KEYS, {"action": "delete_selected", "_selected_action": key.key.pk, "post": "yes"})
        assert api_keys.verify(key.text)
        assert ApiKey.objects.count() == 1

    def test_each_verb_has_its_own(self, member, key):
        adder, changer = member("add_apikey", name="adder"), member("change_apikey", name="changer")
        assert adder.get(KEYS).status_code == 403
        assert adder.post(revoke_page(key.key)).status_code == 403
        assert len(make(adder, name="mine")[1]) == 1
        assert changer.post(f"{KEYS}add/", {**FACTS, "name": "other"}).status_code == 403
        assert changer.post(f"{KEYS}{key.key.pk}/delete/", {"post": "yes"}).status_code == 403
        assert changer.post(revoke_page(key.key)).status_code == 302
        assert api_keys.verify(key.text) is None

    def test_no_permission_for_others_keys_of_the_api_matters(self, member, key):
        """Whoever may do everything to jobs may do nothing to keys."""
        client = member("view_job", "add_job", "cancel_job", "retry_job", "discard_job", "stop_job")
        assert client.get(KEYS).status_code == 403
        assert client.post(revoke_page(key.key)).status_code == 403

    def test_a_change_changes_no_column(self, operator, key):
        before = ApiKey.objects.values().get()
        answer = operator.post(f"{KEYS}{key.key.pk}/change/", {**FACTS, "name": "other", "digest": "0" * 64})
        assert answer.status_code == 403
        assert ApiKey.objects.values().get() == before
