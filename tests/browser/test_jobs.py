"""Somebody on call finds jobs, reads them and does something about them."""

import os

import pytest
from playwright.sync_api import expect

from django_flare import jobs
from django_flare.models import Job
from django_flare.states import JobState
from tests.browser.conftest import light_and_dark
from tests.browser.test_dashboard import HURRY
from tests.support import Driver
from tests.system.support import all_in
from tests.testapp.jobs import plain

LIST = "/admin/django_flare/job/"
MANY = 20_000 if os.environ.get("FLARE_TEST_WHOLE") else 10_100
"""More than a list counts."""
LONG = MANY * 0.03
"""Seconds that it may take on a busy machine."""


def open_list(page, **filters):
    page.goto(LIST)
    for name, choice in filters.items():
        page.locator("details", has=page.locator("summary", has_text=f"By {name}")).get_by_role(
            "link", name=choice, exact=True
        ).click()
    return page.locator("#result_list tbody tr")


@light_and_dark
def test_a_dead_job_is_found_read_retried_and_seen_to_succeed(page, workers, tmp_path):
    gate = tmp_path / "gate"
    dead = jobs.enqueue("system.needs_gate", {"gate": str(gate)}, queue="mail", max_attempts=1)
    other = jobs.enqueue("system.bare", queue="mail")
    worker = workers.start("--processes", "0")
    all_in(JobState.DEAD_LETTER, dead)
    all_in(JobState.SUCCEEDED, other)

    rows = open_list(page, state="Dead letter", queue="mail")
    expect(rows).to_have_count(1)
    rows.get_by_role("link", name="system.needs_gate").click()
    page.locator("summary", has_text="Failed").click()
    page.locator("pre", has_text="Traceback (most recent call last)").wait_for()
    page.locator("pre", has_text="the gate is closed").first.wait_for()

    gate.touch()
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("1 job will run again.").wait_for()
    # The page follows by itself.
    page.locator(".flare-head .flare-badge", has_text="Succeeded").wait_for()
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    assert worker.is_alive


def test_the_page_goes_on_after_a_traceback_was_unfolded(page):
    """What has the focus keeps it, what was unfolded stays so; what has ended is asked for no more."""
    driver = Driver()
    job_id = jobs.enqueue(plain, queue="quiet")
    driver.fail(job_id, ValueError("no luck"))
    answers = []
    page.on("response", lambda answer: "/live/" in answer.url and answers.append(answer.status))
    page.add_init_script(HURRY)
    page.goto(f"{LIST}{job_id}/change/")
    summary = page.locator("summary", has_text="Failed")
    summary.click()
    expect(summary).to_be_focused()
    with page.expect_response(lambda answer: "/live/" in answer.url and answer.status == 304):
        pass
    assert jobs.retry(job_id)
    page.locator(".flare-head .flare-badge", has_text="Pending").wait_for()
    expect(page.locator("summary", has_text="Failed")).to_be_focused()
    expect(page.locator("details", has=summary)).to_have_attribute("open", "")
    page.locator("pre", has_text="no luck").first.click(click_count=3)
    page.get_by_text("Not refreshed while a text is selected.").wait_for()
    driver.start(job_id)
    driver.succeed(job_id)
    page.locator("h1").click()
    page.locator(".flare-head .flare-badge", has_text="Succeeded").wait_for()
    # What has ended is not asked for any more.
    before = len(answers)
    page.wait_for_timeout(500)
    assert len(answers) == before


@light_and_dark
def test_a_waiting_job_is_cancelled_and_its_children_go_with_it(page):
    parent = jobs.enqueue(plain, queue="quiet")
    child = jobs.continue_with(parent, plain, queue="quiet")
    grandchild = jobs.continue_with(child, plain, queue="quiet")

    page.goto(f"{LIST}{parent}/change/")
    expect(page.locator(".flare-graph a")).to_have_count(3)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("1 job will be cancelled").wait_for()
    page.get_by_role("button", name="Yes: Cancel").click()
    page.get_by_text("1 job was cancelled.").wait_for()
    page.locator(".flare-graph a", has_text="Cancelled").nth(2).wait_for()
    page.locator(".flare-graph a").nth(2).click()
    page.wait_for_url(f"**/{grandchild}/change/")
    page.locator(".flare-head .flare-badge", has_text="Cancelled").wait_for()
    all_in(JobState.CANCELLED, parent, child, grandchild)


@light_and_dark
def test_a_selection_is_cancelled_after_a_question(page):
    waiting = jobs.enqueue_many(plain, [{}] * 3, queue="quiet")
    assert jobs.cancel(waiting[0])
    page.goto(f"{LIST}?queue=quiet")
    page.get_by_label("Select all objects on this page for an action").check()
    page.get_by_label("Action:").select_option(label="Cancel selected jobs")
    page.locator("button[name=index]").click()
    page.get_by_text("2 jobs will be cancelled").wait_for()
    page.get_by_text("Only pending and scheduled jobs can be cancelled.").wait_for()
    page.get_by_role("button", name="Yes: Cancel").click()
    page.get_by_text("2 jobs were cancelled.").wait_for()
    page.get_by_text("1 job was left as it is.").wait_for()


@pytest.mark.timeout(LONG + 100)
def test_all_that_match_are_cancelled_by_a_job(page, workers):
    jobs.enqueue_many(plain, [{}] * MANY, queue="flood")
    spared = jobs.enqueue(plain, queue="other")
    page.goto(f"{LIST}?queue=flood")
    page.locator(".paginator", has_text="10,000+ jobs").wait_for()
    page.get_by_label("Select all objects on this page for an action").check()
    page.get_by_role("button", name="Select all 10,000+ jobs").click()
    page.get_by_label("Action:").select_option(label="Cancel selected jobs")
    page.locator("button[name=index]").click()
    page.get_by_text("At least 10000 jobs will be cancelled").wait_for()
    page.get_by_role("button", name="Yes: Cancel").click()
    page.get_by_text("A job does it now").wait_for()
    # A lease that outlasts a busy machine: run again, it would count only those that were left.
    workers.start("--processes", "0", "--queues", "default", flare={"LEASE": 120, "BEAT": 2})
    page.locator(".flare-head progress").wait_for()
    page.locator(".flare-head .flare-badge", has_text="Succeeded").wait_for(timeout=LONG * 1000)
    page.locator("pre", has_text=f'"changed": {MANY}').wait_for()
    assert Job.objects.filter(queue="flood", state=JobState.CANCELLED).count() == MANY
    assert Job.objects.get(public_id=spared).state == JobState.PENDING
