"""Every address of ours in the admin, read and posted to by everybody: permissions say what happens."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client

from django_flare import jobs
from django_flare.models import ApiKey, Attempt, Continuation, Job, Queue, Rollup, Worker
from django_flare.operations import VERBS
from django_flare.store import api_keys
from tests.admin.test_list import one_in_each_state
from tests.support import Driver, make_job, row

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

ADMIN = "/admin/django_flare/"
MODELS = (Job, Attempt, Continuation, Queue, Worker, ApiKey, Rollup, LogEntry)
KEY = {"name": "new", "scope": "admin", "expires_at_0": "", "expires_at_1": ""}
RUBBISH = {
    **KEY,
    "state": "succeeded",
    "queue": "waiting",
    "post": "yes",
    "confirmed": "yes",
    "_save": "Save",
}
NOBODY = "nobody"
"""A permission that nobody has, not even a superuser."""


@dataclass(frozen=True)
class Page:
    """An address, who may read it, and who changes something by posting to it."""

    address: str
    readers: frozenset
    writers: frozenset = frozenset({NOBODY})
    data: dict = field(default_factory=lambda: RUBBISH)


def may(*permissions):
    return frozenset(permissions)


def pages():
    """Return the pages by the name of their address and what is tried there."""
    found = one_in_each_state()
    dead = next(job_id for state, job_id in found.items() if state == "dead_letter")
    waiting = make_job(queue="waiting", when=timedelta(hours=1))
    make_job(queue="mail")
    jobs.pause_queue("paused")
    Driver("wrk_a")
    key = api_keys.issue("shop", ["read"]).key.pk
    job, keys, view, view_key = f"job/{waiting}/", f"apikey/{key}/", may("view_job"), may("view_apikey")
    pages = {
        "job_changelist": Page("job/", view),
        "job_add": Page("job/add/", may(NOBODY)),
        "job_change": Page(f"{job}change/", view),
        "job_delete": Page(f"{job}delete/", may(NOBODY)),
        "job_history": Page(f"{job}history/", view),
        "job_live": Page(f"{job}live/", view),
        "job_raw": Page(f"{job}raw/payload/", view),
        "dashboard_changelist": Page("dashboard/", view),
        "dashboard_content": Page("dashboard/content/", view),
        "dashboard_retry": Page("dashboard/retry/", may(NOBODY), may("view_job", "retry_job"), {"job": dead}),
        "queue_changelist": Page("queue/", may("view_queue")),
        "queue_add": Page("queue/add/", may(NOBODY)),
        "queue_change": Page("queue/paused/change/", may("view_queue")),
        "queue_delete": Page("queue/paused/delete/", may(NOBODY)),
        "queue_history": Page("queue/paused/history/", may("view_queue")),
        "queue_pause": Page("queue/pause/", may(NOBODY), may("pause_queue"), {"queue": "mail"}),
        "queue_resume": Page("queue/resume/", may(NOBODY), may("pause_queue"), {"queue": "paused"}),
        "worker_changelist": Page("worker/", may("view_worker")),
        "worker_add": Page("worker/add/", may(NOBODY)),
        "worker_change": Page("worker/wrk_5Fa/change/", may("view_worker")),
        "worker_delete": Page("worker/wrk_5Fa/delete/", may(NOBODY)),
        "worker_history": Page("worker/wrk_5Fa/history/", may("view_worker")),
        "apikey_changelist": Page("apikey/", view_key),
        "apikey_add": Page("apikey/add/", may("add_apikey"), may("add_apikey"), KEY),
        "apikey_change": Page(f"{keys}change/", view_key),
        "apikey_delete": Page(f"{keys}delete/", may("delete_apikey"), may("delete_apikey"), {"post": "yes"}),
        "apikey_history": Page(f"{keys}history/", view_key),
        "apikey_revoke": Page(f"{keys}revoke/", may("change_apikey"), may("change_apikey"), {}),
    }
    for verb in VERBS.values():
        fitting = next(job_id for state, job_id in found.items() if verb.fits(state))
        both, yes = may("view_job", verb.permission), {"confirmed": "yes"}
        pages[f"job_act {verb.name}"] = Page(f"job/{fitting}/act/{verb.name}/", may(NOBODY), both, yes)
        action = {"action": f"{verb.name}_jobs", "_selected_action": row(fitting).pk, **yes}
        pages[f"job_changelist {verb.name}"] = Page("job/", view, both, action)
        across = {**action, "select_across": "1"}
        pages[f"job_changelist {verb.name} all"] = Page("job/?queue=waiting", view, both, across)
    for kind, chosen in (("job", row(waiting).pk), ("worker", "wrk_a"), ("queue", "paused"), ("apikey", key)):
        delete = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
        readers = may(f"view_{kind}")
        writers = may("view_apikey", "delete_apikey") if kind == "apikey" else may(NOBODY)
        pages[f"{kind}_changelist delete"] = Page(f"{kind}/", readers, writers, delete)
    return pages


OURS = sorted(
    f"{action}_{model}"
    for model, actions in {
        "job": ("view", "add", "cancel", "retry", "discard", "stop"),
        "queue": ("view", "pause"),
        "worker": ("view",),
        "apikey": ("view", "add", "change", "delete"),
    }.items()
    for action in actions
)
VIEWS = may(*(name for name in OURS if name.startswith("view_")))
ROLES = {
    "anonymous": None,
    "no staff": frozenset(OURS),
    "nothing": may(),
    "viewer": VIEWS,
    "actions alone": frozenset(OURS) - VIEWS,
    **{f"only {name}": may(name) for name in sorted(VIEWS)},
    **{f"viewer, {name}": VIEWS | {name} for name in OURS if name not in VIEWS},
    "superuser": frozenset(OURS),
}


def client_of(role):
    """Return a client that is logged in as the role, and what of ours it may do in the admin."""
    client = Client()
    held = ROLES[role]
    if held is None:
        return client, may()
    user = User.objects.create_user("somebody", is_staff=role != "no staff", is_superuser=role == "superuser")
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="django_flare", codename__in=held)
    )
    client.force_login(user)
    if role == "no staff":
        return client, may()
    # Whoever may revoke keys sees them too.
    return client, held | ({"view_apikey"} if "change_apikey" in held else set())


def rows():
    return [list(model.objects.order_by("pk").values()) for model in MODELS]


@pytest.mark.parametrize("role", ROLES)
def test_each_address(role):
    everything = pages()
    client, held = client_of(role)
    before = rows()
    wrong = []
    for name, page in everything.items():
        answer = client.get(ADMIN + page.address)
        if (answer.status_code == 200) != (page.readers <= held) or answer.status_code not in (
            200,
            302,
            403,
            405,
        ):
            wrong.append(("GET", name, answer.status_code))
        if rows() != before:
            wrong.append(("GET", name, "changed something"))
        with transaction.atomic():
            answer = client.post(ADMIN + page.address, page.data)
            if (rows() != before) != (page.writers <= held):
                wrong.append(("POST", name, answer.status_code))
            transaction.set_rollback(True)
    assert wrong == []
    assert rows() == before


def test_no_address_is_left_out():
    found = {
        url.name.removeprefix("django_flare_")
        for model, page in admin.site._registry.items()
        if model._meta.app_label == "django_flare"
        for url in page.get_urls()
        if url.name
    }
    assert found == {name.split()[0] for name in pages()}


def test_no_permission_is_left_out():
    ours = Permission.objects.filter(content_type__app_label="django_flare")
    unused = {"view_attempt", "view_continuation", "view_rollup", "view_dashboard", "view_reply"}
    assert set(ours.values_list("codename", flat=True)) - unused == set(OURS)
