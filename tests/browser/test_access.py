"""The pages can be read by everybody: axe-core finds nothing wrong with our parts, light and dark."""

import pytest

from django_flare.store import api_keys
from tests.browser.axe import violations
from tests.support import Driver, force, make_job

LIST = "/admin/django_flare/job/"
SCRIPT = "</script><img src=x onerror=\"document.body.dataset.broken = 'yes'\"><svg onload=alert(1)>"


@pytest.fixture
def dead(live_server):
    """Return a dead job with parents, children, and texts that would like to be elements."""
    driver = Driver()
    parent = make_job(payload={"number": 1})
    job_id = make_job(
        parents=[parent], max_attempts=1, payload={"text": SCRIPT, "long": "x" * 20_000}, tags={"a": SCRIPT}
    )
    make_job(parents=[job_id])
    running = make_job()
    driver.succeed(parent)
    driver.fail(job_id, ValueError(SCRIPT))
    driver.start(running)
    force(running, progress=0.3)
    make_job(when=None)
    failed = make_job()
    driver.fail(failed)
    return job_id


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_jobs(log_in, dead, scheme):
    page = log_in(scheme)
    page.goto(LIST)
    page.locator("#result_list").wait_for()
    assert violations(page, ".field-state_shown", ".field-progress_shown", ".flare-between") == []

    page.goto(f"{LIST}{dead}/change/")
    page.locator("summary").first.click()
    assert violations(page, ".flare-job") == []
    assert page.locator("body").get_attribute("data-broken") is None
    page.get_by_text(SCRIPT).first.wait_for()

    page.goto(f"{LIST}?state=pending")
    page.get_by_label("Select all objects on this page for an action").check()
    page.get_by_label("Action:").select_option(label="Cancel selected jobs")
    page.locator("button[name=index]").click()
    page.get_by_role("button", name="Yes: Cancel").wait_for()
    assert violations(page, ".flare-confirm") == []


def styles(page, selector, name):
    """Return a computed style of the first that the selector names."""
    return page.locator(selector).first.evaluate(f"each => getComputedStyle(each).{name}")


def test_the_pages_look_alike_on_every_django(page, dead):
    """Django 6.1 has another element for the way back, and a line under every link."""
    key = api_keys.issue("shop", ["read"]).key.pk
    pages = ("dashboard/", "queue/", f"apikey/{key}/revoke/", f"job/{dead}/change/")
    bars = []
    for address in pages:
        page.goto(f"/admin/django_flare/{address}")
        bars.append(styles(page, ".breadcrumbs", "backgroundColor"))
    assert len(set(bars)) == 1
    assert bars[0] != "rgba(0, 0, 0, 0)"
    assert styles(page, "a.flare-node", "textDecorationLine") == "none"
    page.goto("/admin/django_flare/dashboard/")
    for selector in (".flare-states a", ".flare-periods a"):
        assert styles(page, selector, "textDecorationLine") == "none"


def test_a_violation_of_the_policy_would_be_seen(chromium, live_server):
    from tests.browser.conftest import Complaints

    complaints = Complaints()
    page = chromium.new_page()
    complaints.watch(page)
    page.goto(f"{live_server.url}/admin/login/")
    page.evaluate("document.body.setAttribute('onclick', 'alert(1)')")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    page.close()
    assert any("Content Security Policy" in each for each in complaints.all)
