"""Ruff's rules `S`, which are bandit's, hold for all that is shipped; an exception has its reason beside."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted(
    path for folder in ("django_flare", "example_project") for path in (ROOT / folder).rglob("*.py")
)
_EXCEPTION = re.compile(r"# noqa: S\d+(?P<reason> - \w.*)?")
RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]


def test_they_are_chosen():
    assert "S" in RULES["select"]
    assert [rule for rule in RULES["ignore"] if rule.startswith("S")] == []


@pytest.mark.parametrize("folder", ["django_flare", "example_project"])
def test_no_shipped_folder_is_exempt(folder):
    exempt = {path: rules for path, rules in RULES["per-file-ignores"].items() if path.startswith(folder)}
    assert [
        path for path, rules in exempt.items() if any(re.fullmatch(r"S\d*", rule) for rule in rules)
    ] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_exception_has_its_reason(path):
    found = _EXCEPTION.finditer(path.read_text())
    assert [each[0] for each in found if not each["reason"]] == []
    assert not re.search(r"# noqa(?!:)|ruff: noqa: S|# nosec", path.read_text())
