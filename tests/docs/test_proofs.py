"""What the documentation names as its proof exists."""

import ast
import re

import pytest

from tests.chaos import scenarios
from tests.docs.pages import PAGES, ROOT, table

_NAMED = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
NAMED = sorted({pair for page in PAGES for pair in _NAMED.findall(page.read_text())})


def functions(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_the_test_exists(path, name):
    assert name.startswith("test_")
    assert name in functions(path)


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("explanation/guarantees", "Promises"),
        ("explanation/guarantees", "Limits"),
        ("explanation/faults", "Faults"),
    ],
)
def test_every_sentence_has_its_test(page, title):
    for row in table(page, title):
        assert _NAMED.search(row[-1]), row[0]


def test_the_planted_faults_are_those_there_are():
    told = {
        name: set(found.split(" or ")) for name, _, found in table("explanation/campaign", "Planted faults")
    }
    assert told == {name: set(scenarios.planted(name, 1).expected) for name in scenarios.PLANTS}
