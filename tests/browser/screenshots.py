"""Pictures of the admin for the documentation: `make screenshots` writes them to docs/images."""

import math
from datetime import timedelta
from types import SimpleNamespace

import pytest

from django_flare import JobState, jobs
from django_flare.admin import filters
from django_flare.definitions import registry
from django_flare.jobs import overview
from django_flare.models.rollup import Level
from django_flare.store import rollups, rows
from django_flare.store.clock import DatabaseNow
from tests.docs.pages import ROOT
from tests.support import USING, Driver, force

FOLDER = ROOT / "docs" / "images"
LIST = "/admin/django_flare/job/"


@pytest.fixture
def story(live_server, monkeypatch):
    """Fill the tables with what a shop does on a busy morning; return the job to look at."""
    # The filters offer what is declared, also by the tests.
    shop = [each for each in registry.definitions() if each.name.startswith("shop.")]
    monkeypatch.setattr(overview, "registry", SimpleNamespace(definitions=lambda: shop))
    monkeypatch.setattr(filters, "registry", SimpleNamespace(names=lambda: [each.name for each in shop]))
    worker = Driver("wrk_web1_4711_c0ffee")
    dead = dead_job(worker)
    orders = [{"order_id": number} for number in range(1001, 1013)]
    for each in orders:
        order = jobs.enqueue("shop.ProcessOrder", each, tags={"shop": "berlin"})
        jobs.continue_with(order, "shop.SendOrderConfirmation", each)
    done = [str(run.public_id) for run in worker.claim("orders", limit=8)]
    for job_id in done[:5]:
        worker.succeed(job_id, '{"paid": true}')
    worker.fail(done[5], failure())
    force(done[6], progress=0.42)
    for run in worker.claim("mail", limit=3):
        worker.succeed(str(run.public_id))
    jobs.schedule("shop.GenerateReport", when=timedelta(hours=1))
    return dead


SOURCE = """

def charge(order):
    raise ConnectionError("payments.example.com did not answer within 10 s")

charge(2002)
"""


def failure():
    """Return an error as a shop would have it, with a traceback through a file of its own."""
    try:
        exec(compile(SOURCE, "/srv/shop/payments.py", "exec"), {})
    except ConnectionError as error:
        error.__traceback__ = error.__traceback__.tb_next
        return error


def dead_job(worker):
    payload = {"order_id": 2002, "card": {"holder": "A. Customer", "token": "tok_4242"}}
    parent = jobs.enqueue("tests.testapp.jobs.plain", {"basket": 17}, queue="baskets")
    dead = jobs.continue_with(
        parent, "tests.testapp.jobs.plain", payload, queue="orders", max_attempts=2, tags={"shop": "berlin"}
    )
    mail = jobs.continue_with(dead, "mail.welcome", {"order_id": 2002}, queue="mail")
    stock = jobs.continue_with(dead, "mail.welcome", {"order_id": 2002}, queue="stock")
    survey = jobs.continue_with(mail, "mail.welcome", {"order_id": 2002}, queue="mail")
    worker.succeed(parent)
    worker.fail(dead, failure())
    jobs.retry(dead)
    worker.fail(dead, failure())
    shown = {parent: "CheckBasket", dead: "ProcessOrder", mail: "SendOrderConfirmation"}
    for job_id, name in {**shown, stock: "UpdateStock", survey: "AskForReview"}.items():
        force(job_id, job_type=f"shop.{name}")
    return dead


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(log_in, story, scheme):
    page = log_in(scheme)
    page.set_viewport_size({"width": 1440, "height": 900})
    FOLDER.mkdir(exist_ok=True)
    page.goto(LIST)
    page.screenshot(path=FOLDER / f"jobs-{scheme}.png")
    page.goto(f"{LIST}{story}/change/")
    page.locator("summary").first.click()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=FOLDER / f"job-{scheme}.png", full_page=True)


SHARES = {"shop.ProcessOrder": ("orders", 5, 0.8), "shop.SendOrderConfirmation": ("mail", 4, 0.2)}


def past_day():
    """Count what the shop would have counted over a day with a bad half hour."""
    rollups.rollups(USING).delete()
    for place in range(96):
        volume = 3 + 2 * math.cos(math.tau * place / 96)
        ended = []
        for job_type, (queue, share, seconds) in SHARES.items():
            for number in range(round(volume * share)):
                ran, waited = seconds * (1 + number % 4), 0.02 * (1 + number % 7)
                ended.append(rollups.Ended(queue, job_type, JobState.SUCCEEDED, waited, ran))
        failures = 9 if place in (30, 31) else place % 5 == 0
        ended += [rollups.Ended("orders", "shop.ProcessOrder", JobState.FAILED, 0.1, 10.0)] * failures
        rollups.write(ended, USING)
        written = rollups.rollups(USING).filter(level=Level.WRITTEN)
        written.update(level=Level.QUARTER, start=DatabaseNow() - timedelta(minutes=15 * place))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_dashboard(log_in, story, scheme):
    past_day()
    rows.workers(USING).update(running=7, hostname="web1", pid=4711, version="0.1.0")
    jobs.pause_queue("reports")
    page = log_in(scheme)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/admin/django_flare/dashboard/?period=24h")
    page.screenshot(path=FOLDER / f"dashboard-{scheme}.png", full_page=True)
