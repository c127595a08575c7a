"""What a planted fault replaces is there: it would plant nothing otherwise, after a change of a name."""

import ast
import importlib
from functools import reduce
from pathlib import Path

import pytest

from django_flare.store import runs
from tests.chaos import planted

_ADDED = {"outcomes_at_hand"}
"""What a plant adds for itself."""


def _replaced():
    """Return (module, dotted name) of all that the plants assign to in modules of the package."""
    for function in ast.parse(Path(planted.__file__).read_text()).body:
        if isinstance(function, ast.FunctionDef):
            imported = {
                name.asname or name.name: (node.module, name.name)
                for node in ast.walk(function)
                if isinstance(node, ast.ImportFrom) and node.module.startswith("django_flare")
                for name in node.names
            }
            for node in ast.walk(function):
                for target in node.targets if isinstance(node, ast.Assign) else ():
                    while isinstance(target, ast.Subscript):
                        target = target.value
                    first, *rest = ast.unparse(target).split(".")
                    if first in imported and rest and rest[-1] not in _ADDED:
                        yield (*imported[first], ".".join(rest))


REPLACED = sorted(set(_replaced()))


@pytest.mark.parametrize(("package", "name", "attribute"), REPLACED, ids=map(".".join, REPLACED))
def test_it_is_there(package, name, attribute):
    try:
        found = importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError:
        found = getattr(importlib.import_module(package), name)
    reduce(getattr, attribute.split("."), found)


def test_all_plants_are_looked_at():
    assert len(REPLACED) >= 12


@pytest.mark.django_db
@pytest.mark.whole_run_on("postgres")  # as the campaign's server is
def test_the_condition_that_is_cut_out_is_there():
    assert " AND job.fence = d.fence" in runs._update_of_runs("default", "now()")
