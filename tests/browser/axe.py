"""Ask axe-core what is wrong with the parts of a page that are ours."""

from axe_playwright_python.sync_playwright import Axe


def violations(page, *parts):
    """Return what axe-core finds on the parts that the selectors name; each of them must be there."""
    for part in parts:
        assert page.locator(part).count(), f"there is no {part} on {page.url}"
    # Preloading, axe would put imported style sheets into the page, which the policy forbids.
    found = Axe().run(page, context={"include": [[part] for part in parts]}, options={"preload": False})
    return [
        (each["id"], each["impact"], [node["html"] for node in each["nodes"]])
        for each in found.response["violations"]
    ]
