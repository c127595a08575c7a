"""Somebody on call looks at the dashboard and at the pages beside it, and does something about it."""

import re
from datetime import timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from playwright.sync_api import expect

from django_flare import jobs
from django_flare.models import ApiKey, Queue
from django_flare.models.rollup import Level
from django_flare.states import JobState
from django_flare.store import api_keys, rollups
from django_flare.store.clock import DatabaseNow
from tests.browser.axe import violations
from tests.browser.conftest import light_and_dark
from tests.support import USING, Driver, state
from tests.testapp.jobs import once, plain

ADMIN = "/admin/django_flare/"
DASHBOARD = f"{ADMIN}dashboard/"


HURRY = "const wait = setTimeout; window.setTimeout = (work, pause) => wait(work, pause / 50);"
"""A tenth of a second instead of five."""


def fill():
    """Let something have happened in the last half hour, and something wait, run and be dead."""
    driver = Driver("wrk_web1_4711_c0ffee")
    for minute in range(30):
        good = [rollups.Ended("orders", "shop.ProcessOrder", JobState.SUCCEEDED, 0.1, 0.4)] * (
            20 + minute % 7
        )
        bad = [rollups.Ended("mail", "shop.SendMail", JobState.FAILED, 0.1, 4.0)] * (minute % 3)
        rollups.write(good + bad, USING)
        written = rollups.rollups(USING).filter(level=Level.WRITTEN)
        written.update(level=Level.MINUTE, start=DatabaseNow() - timedelta(minutes=minute))
    jobs.enqueue_many(plain, [{}] * 30, queue="orders")
    jobs.pause_queue("reports")
    dead(driver, "mail")
    driver.claim("orders", limit=4)


def dead(driver, queue):
    job_id = jobs.enqueue(once, queue=queue)
    driver.fail(job_id, ConnectionError("payments.example.com did not answer"))
    return job_id


@light_and_dark
def test_a_queue_is_paused_and_resumed(page):
    jobs.enqueue(plain, queue="mail")
    page.goto(DASHBOARD)
    page.get_by_role("button", name="Pause mail").click()
    page.get_by_text("The queue mail is paused.").wait_for()
    assert Queue.objects.get().is_paused
    page.get_by_role("link", name="Queues", exact=True).first.click()
    page.locator(".flare-badge", has_text="Paused").wait_for()
    page.get_by_role("button", name="Resume mail").click()
    page.get_by_text("The queue mail is resumed.").wait_for()
    assert not Queue.objects.get().is_paused


@light_and_dark
def test_a_key_is_made_and_revoked(page, live_server):
    def ask(key):
        try:
            request = Request(f"{live_server.url}/flare/v1/jobs", headers={"Authorization": f"Bearer {key}"})
            with urlopen(request) as answer:
                return answer.status
        except HTTPError as error:
            return error.code

    page.goto(f"{ADMIN}apikey/add/")
    page.get_by_label("Name").fill("shop")
    page.get_by_label("Scope").select_option("read")
    page.get_by_role("button", name="Save", exact=True).click()
    key = page.get_by_label("Key", exact=True).input_value()
    assert re.fullmatch("flare_[0-9a-f]{16}_[0-9a-f]{64}", key)
    assert violations(page, "#content") == []
    assert ask(key) == 200
    page.get_by_role("link", name="I have it").click()
    page.locator("#result_list").get_by_role("link", name="shop", exact=True).click()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("The key shop is revoked.").wait_for()
    assert key.split("_")[2] not in page.content()
    assert ask(key) == 401
    assert ApiKey.objects.get().revoked_at


@light_and_dark
def test_the_dashboard_follows_by_itself_and_a_dead_letter_is_retried(page):
    driver = Driver()
    rollups.write([rollups.Ended("mail", "shop.SendMail", JobState.SUCCEEDED, 0.1, 0.1)], USING)
    page.add_init_script(HURRY)
    page.goto(DASHBOARD)
    page.locator("#flare-table-ended summary").click()
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    # Nothing has happened since it was asked for the first time.
    with page.expect_response(lambda answer: "content/" in answer.url and answer.status == 304):
        pass
    job_id = dead(driver, "mail")
    page.get_by_text("payments.example.com did not answer").wait_for()
    expect(page.locator("#flare-table-ended table")).to_be_visible()

    page.get_by_role("button", name="Pause refreshing").click()
    dead(driver, "other")
    page.get_by_role("button", name="Refresh again").click()
    expect(page.get_by_role("button", name="Retry")).to_have_count(2)
    page.get_by_role("button", name=job_id).click()
    page.get_by_text("will run again.").wait_for()
    expect(page.get_by_role("button", name="Retry")).to_have_count(1)
    assert state(job_id) == JobState.PENDING


HIDE = """
isHidden => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""
"""A browser without windows never hides a tab by itself."""


def test_nobody_is_asked_while_the_page_is_hidden_or_paused(page):
    asked = []
    page.on("request", lambda request: "content/" in request.url and asked.append(request.url))
    page.add_init_script(HURRY)
    page.goto(DASHBOARD)

    def goes_on():
        with page.expect_response(lambda answer: "content/" in answer.url):
            pass

    def rests():
        # What is under way may still come.
        page.wait_for_timeout(1_000)
        before = len(asked)
        page.wait_for_timeout(1_500)
        return len(asked) == before

    goes_on()
    page.evaluate(HIDE, True)
    assert rests()
    page.evaluate(HIDE, False)
    goes_on()
    page.get_by_role("button", name="Pause refreshing").click()
    assert rests()
    page.get_by_role("button", name="Refresh again").click()
    goes_on()


@light_and_dark
def test_axe_finds_nothing(log_in, scheme):
    fill()
    page = log_in(scheme)
    page.goto(f"{DASHBOARD}?period=24h")
    page.locator("#flare-table-ended summary").click()
    assert violations(page, "#content") == []
    key = api_keys.issue("shop", ["read"]).key.pk
    for address, *parts in (
        ("queue/", "#content .module", ".flare-line"),
        ("worker/", ".field-life"),
        ("worker/wrk_5Fweb1_5F4711_5Fc0ffee/change/", ".field-life .readonly"),
        ("apikey/", ".field-validity"),
        (f"apikey/{key}/change/", ".field-validity .readonly", ".object-tools"),
        (f"apikey/{key}/revoke/", "#content"),
    ):
        page.goto(ADMIN + address)
        assert violations(page, *parts) == []
