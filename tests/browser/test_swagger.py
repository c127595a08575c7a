"""Somebody reads and tries the API in Swagger UI."""

from playwright.sync_api import expect

from django_flare.models.api_key import Scope
from django_flare.store import api_keys


def test_swagger_ui_makes_a_request_with_a_key(open_page, live_server):
    key = api_keys.issue("browser", [Scope.READ]).text
    page = open_page()
    elsewhere = []
    page.on("request", lambda request: elsewhere.append(request.url))
    page.goto("/flare-docs/")
    expect(page.locator(".opblock")).not_to_have_count(0)
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(key)
    page.locator(".auth-btn-wrapper .authorize").first.click()
    page.locator(".close-modal").click()
    block = page.locator(".opblock", has=page.locator('[data-path="/v1/queues"]'))
    block.locator(".opblock-summary").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response .response-col_status")).to_contain_text("200")
    assert all(url.startswith((live_server.url, "data:", "blob:")) for url in elsewhere)
