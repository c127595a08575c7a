"""A real browser on the admin: Debian's Chromium, driven by Playwright, under a strict content policy.

Whatever the console has to complain of fails the test, and so does a violation of the policy.
"""

import os
import shutil

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect, sync_playwright

from tests.system.support import PATIENCE, Workers

light_and_dark = pytest.mark.parametrize("scheme", ["light", "dark"])
"""Runs a test in each colour scheme."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
expect.set_options(timeout=PATIENCE * 1000)
SIZE = {"width": 1280, "height": 900}


# First of the first: the hook for all tests then asks for these marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.whole_run_on("sqlite"))


@pytest.fixture(scope="module")
def chromium():
    """Start Chromium for one module; later ones would find Playwright's event loop still running."""
    if CHROMIUM is None:
        if os.environ.get("FLARE_TEST_REQUIRE_ALL") == "1":
            pytest.fail("Chromium is not installed, and FLARE_TEST_REQUIRE_ALL demands it")
        pytest.skip("Chromium is ABSENT: nothing was tried in a browser. On Debian: apt install chromium")
    # Its loop runs in this thread, where Django would then refuse the ORM.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        # Its own sandbox needs rights that a container does not have, its shared memory more room.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    else:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


class Complaints:
    """What the console and the pages of a browser have complained of."""

    def __init__(self):
        self.all = []

    def watch(self, page):
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.all.append(f"page error: {error}"))

    def _heard(self, message):
        # Violations of the content policy are errors of the console, too. The icon is the browser's own idea.
        if message.type in ("error", "warning") and not message.location["url"].endswith("/favicon.ico"):
            self.all.append(f"{message.type}: {message.text} {message.location}")


@pytest.fixture
def open_page(chromium, live_server):
    """Open pages, light or dark; at the end nothing may have been complained of."""
    complaints = Complaints()
    contexts = []

    def open_(scheme="light"):
        context = chromium.new_context(
            base_url=live_server.url, color_scheme=scheme, viewport=SIZE, locale="en-GB", timezone_id="UTC"
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        complaints.watch(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints.all == []


@pytest.fixture
def log_in(open_page):
    """Log in as somebody with all permissions by the admin's form; return the page."""

    def log_in_(scheme="light"):
        if not User.objects.filter(username="operator").exists():
            User.objects.create_superuser("operator", password="let me in")
        page = open_page(scheme)
        page.goto("/admin/")
        page.get_by_label("Username").fill("operator")
        page.get_by_label("Password").fill("let me in")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="Jobs", exact=True).first.wait_for()
        return page

    return log_in_


@pytest.fixture
def scheme():
    """The colour scheme of `page`; `light_and_dark` gives both."""
    return "light"


@pytest.fixture
def page(log_in, scheme):
    """A page on which somebody with all permissions is logged in."""
    return log_in(scheme)


@pytest.fixture
def workers(live_server):
    """Start worker processes that end with the test."""
    workers = Workers()
    yield workers
    workers.end()
    for number, worker in enumerate(workers.all, 1):
        print(f"--- worker {number}, process {worker.pid} ---\n{worker.log}")  # noqa: T201
