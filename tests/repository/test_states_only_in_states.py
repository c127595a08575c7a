"""The strings of the states stand in `states.py` alone; all other code names them by `JobState`."""

import ast
from pathlib import Path

import pytest

from django_flare.states import JobState

PACKAGE = Path(__file__).parent.parent.parent / "django_flare"
STATES = frozenset(JobState)
MODULES = sorted(
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "states.py" and PACKAGE / "migrations" not in path.parents
)


def state_strings(source):
    """Return (line, string) for each constant that spells a state."""
    tree = ast.parse(source)
    docstrings = {id(statement.value) for statement in ast.walk(tree) if isinstance(statement, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in STATES
        and id(node) not in docstrings
    ]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_spells_a_state(module):
    assert state_strings((PACKAGE / module).read_text()) == []


@pytest.mark.parametrize("state", sorted(STATES))
def test_a_spelled_state_would_be_found(state):
    assert state_strings(f"job.state = '{state}'") == [(1, state)]


def test_a_docstring_may_be_a_state():
    assert state_strings('"""pending"""') == []


def test_the_states_are_the_seven():
    assert {
        "pending",
        "scheduled",
        "processing",
        "succeeded",
        "failed",
        "cancelled",
        "dead_letter",
    } == STATES
