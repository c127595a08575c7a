"""The reports in the repository are of full campaigns that have passed, and the documentation shows them."""

import json
from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.docs.pages import ROOT

REPORTS = sorted(Path(__file__).with_name("results").glob("*.json"))
FULL = scenarios.campaign(0, 100_000, 200, 1)


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_report_is_of_a_full_campaign_that_has_passed(path):
    found = json.loads(path.read_text())
    assert (found["verdict"], found["drained"]) == ("passed", True)
    assert found["asked"]["jobs"] == FULL.jobs
    assert {kind: found["faults"].get(kind) for kind in FULL.faults} == FULL.faults
    assert found["bounds"] == FULL.bounds
    assert not any(found["violations"].values())
    assert "dirty" not in found["made_of"]["revision"]


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_the_documentation_shows_it(path):
    page = (ROOT / "docs/explanation/campaign.rst").read_text()
    assert f"{path.parent.relative_to(ROOT)}/{path.stem}.md" in page
    assert (
        path.with_suffix(".md")
        .read_text()
        .startswith(f"# Campaign {json.loads(path.read_text())['seed']}: passed")
    )


def test_there_are_reports():
    assert REPORTS
