"""Pictures of the admin for the documentation: `make screenshots` writes them to docs/images."""

from datetime import timedelta

import pytest

from django_flare import jobs
from tests.docs.pages import ROOT
from tests.support import Driver, force

FOLDER = ROOT / "docs" / "images"
LIST = "/admin/django_flare/job/"


@pytest.fixture
def story(live_server):
    """Fill the tables with what a shop does on a busy morning; return the job to look at."""
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
    force(dead, state="pending", completed_at=None, started_at=None)
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
    page.screenshot(path=FOLDER / f"job-{scheme}.png", full_page=True)
