"""The dashboard and the pages beside it, by somebody on call."""

import random
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from django_flare import jobs
from django_flare.models import Rollup
from django_flare.models.rollup import Level
from django_flare.states import JobState
from django_flare.store import rollups, rows
from django_flare.store.clock import read_now
from tests.browser.axe import violations
from tests.support import USING, Driver
from tests.testapp.jobs import once, plain

DASHBOARD = "/admin/django_flare/dashboard/"


@pytest.fixture
def busy(live_server):
    driver = Driver("wrk_web1_4711_c0ffee")
    random.seed(7)
    for number in range(40):
        waited, ran = random.expovariate(3), random.lognormvariate(-2, 1.5)
        ended = [rollups.Ended(f"q{number % 3}", f"shop.Job{number % 5}", JobState.SUCCEEDED, waited, ran)] * random.randint(5, 60)
        if number % 4 == 0:
            ended += [rollups.Ended("mail", "shop.SendMail", JobState.FAILED, 0.1, 4.0)] * random.randint(1, 6)
        if number % 11 == 0:
            ended.append(rollups.Ended("mail", "shop.SendMail", JobState.DEAD_LETTER, 0.1, 4.0))
        rollups.write(ended, USING)
        key = Rollup.objects.latest("pk").pk
        written = rollups.rollups(USING).filter(level=Level.WRITTEN)
        written.update(level=Level.MINUTE, start=read_now(USING).replace(second=0, microsecond=0) - timedelta(minutes=number))
        assert key
    jobs.enqueue_many(plain, [{}] * 30, queue="orders")
    jobs.enqueue_many(plain, [{}] * 3, queue="mail")
    jobs.pause_queue("reports")
    for queue in ("orders", "orders", "mail"):
        dead = jobs.enqueue(once, queue="a" + queue)
        driver.fail(dead, ConnectionError("payments.example.com did not answer within 10 s"))
    driver.claim("orders", limit=4)
    Driver("wrk_old_web2_99_abcdef")
    rows.workers(USING).filter(pk="wrk_old_web2_99_abcdef").update(last_beat_at=read_now(USING) - timedelta(minutes=9))
    return driver


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shots(log_in, busy, scheme):
    page = log_in(scheme)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(DASHBOARD)
    page.screenshot(path=f"/tmp/flare_dashboard-{scheme}.png", full_page=True)
    page.goto(DASHBOARD + "?period=24h")
    page.screenshot(path=f"/tmp/flare_dashboard-day-{scheme}.png", full_page=True)
    page.goto("/admin/django_flare/queue/")
    page.screenshot(path=f"/tmp/flare_queues-{scheme}.png")
    page.goto("/admin/django_flare/worker/")
    page.screenshot(path=f"/tmp/flare_workers-{scheme}.png")
    page.goto("/admin/django_flare/apikey/add/")
    page.screenshot(path=f"/tmp/flare_key-{scheme}.png")
