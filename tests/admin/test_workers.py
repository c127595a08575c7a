"""Workers in the admin: read, and nothing else."""

import pytest

from django_flare.models import Worker
from tests.admin.support import parse, rows
from tests.support import Driver

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

WORKERS = "/admin/django_flare/worker/"


def test_the_freshest_beat_comes_first_and_a_stale_one_is_marked(operator, clock):
    Driver("wrk_old")
    clock.advance(31)
    Driver("wrk_new")
    Worker.objects.filter(pk="wrk_new").update(queues=["mail", "orders"], running=4)
    found = [(each["id"], each["life"], each["load"], each["served"]) for each in rows(operator.get(WORKERS))]
    assert found == [
        ("wrk_new", "Alive", "4 of 10", "mail, orders"),
        ("wrk_old", "Stale", "0 of 10", "all"),
    ]


def test_one_worker_can_be_read(operator):
    Driver("wrk_a")
    Worker.objects.filter(pk="wrk_a").update(job_types=["shop.ProcessOrder"])
    page = parse(operator.get(f"{WORKERS}wrk_5Fa/change/"))
    assert "shop.ProcessOrder" in page.text
    assert page.find("input", type="submit") == []


def test_one_that_has_gone_is_said_to_be(operator):
    assert operator.get(f"{WORKERS}wrk_5Fgone/change/").status_code == 302


def test_it_cannot_be_changed_by_anybody(operator):
    Driver("wrk_a")
    before = Worker.objects.values().get()
    for part in ("add/", "wrk_5Fa/change/", "wrk_5Fa/delete/"):
        assert operator.post(WORKERS + part, {"post": "yes", "hostname": "x"}).status_code == 403
    operator.post(WORKERS, {"action": "delete_selected", "_selected_action": "wrk_a", "post": "yes"})
    assert Worker.objects.values().get() == before


def test_only_who_may_look_does(member, client):
    assert client.get(WORKERS).status_code == 302
    assert member("view_job", "view_queue").get(WORKERS).status_code == 403
    assert member("view_worker", name="other").get(WORKERS).status_code == 200
