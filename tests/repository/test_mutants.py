"""Which planted faults count, and which tests meet them."""

import sqlite3
from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import Mutant, can_be_noticed

ROOT = Path(__file__).parent.parent.parent
SOURCE = """
from __future__ import annotations

_ROWS_AT_ONCE = 500
TRIES = 2

@dataclass(frozen=True, eq=True)
class Beat:
    alive: bool | None = True

class Made(Struct, frozen=True, gc=False): ...

class Fact(Protocol):
    @property
    def due(self) -> bool | None: ...

def find(row: int | None, *, locking: bool) -> list[int] | None:
    if row is None or FINAL | {1} or state is not JobState.FAILED:
        return 2 * row
"""
DROP, OR, MUL = (
    "core/RemoveDecorator",
    "core/ReplaceBinaryOperator_BitOr_Add",
    "core/ReplaceBinaryOperator_Mul_Add",
)
NUMBER, TRUE, FALSE = "core/NumberReplacer", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue"
IS_EQ, IS_NOT = "core/ReplaceComparisonOperator_Is_Eq", "core/ReplaceComparisonOperator_Is_IsNot"
ISNT_DIFFERENT = "core/ReplaceComparisonOperator_IsNot_NotEq"


def place(text, part):
    """Return line and column of `part` in the line of SOURCE that holds `text`."""
    ((number, line),) = [pair for pair in enumerate(SOURCE.splitlines(), 1) if text in pair[1]]
    return number, line.index(part)


@pytest.mark.parametrize(
    ("operator", "text", "part"),
    [
        (NUMBER, "_ROWS_AT_ONCE", "500"),
        (TRUE, "frozen=True, eq", "True"),
        (TRUE, "gc=False", "True"),
        (FALSE, "gc=False", "False"),
        (OR, "alive", "|"),
        (DROP, "@property", "@"),
        (OR, "def due", "|"),
        (OR, "def find", "|"),
        (MUL, "def find", "*,"),
        (OR, "def find", "| None:"),
        (IS_EQ, "row is None", "is N"),
        (ISNT_DIFFERENT, "row is None", "is not"),
    ],
)
def test_what_changes_nothing_does_not_count(operator, text, part):
    assert not can_be_noticed(Mutant(operator, *place(text, part)), SOURCE)


@pytest.mark.parametrize(
    ("operator", "text", "part"),
    [
        (NUMBER, "TRIES = 2", "2"),
        (DROP, "@dataclass", "@"),
        (TRUE, "frozen=True, eq", "True)"),
        (TRUE, "alive", "True"),
        (OR, "FINAL", "|"),
        (IS_NOT, "row is None", "is"),
        (MUL, "2 * row", "*"),
    ],
)
def test_all_else_counts(operator, text, part):
    assert can_be_noticed(Mutant(operator, *place(text, part)), SOURCE)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Make a session as cosmic-ray does, of the number in `TRIES`, ten times, and of one annotation."""
    (tmp_path / "rules.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    columns = "job_id, module_path, operator_name, occurrence, start_pos_row, start_pos_col"
    with sqlite3.connect("session") as database:
        database.execute(f"CREATE TABLE mutation_specs ({columns})")
        database.execute("CREATE TABLE work_items (job_id)")
        rows = [(f"n{number}", NUMBER, number, *place("TRIES", "2")) for number in range(10)]
        for key, operator, occurrence, line, column in [*rows, ("o", OR, 0, *place("alive", "|"))]:
            row = (key, "rules.py", operator, occurrence, line, column)
            database.execute("INSERT INTO mutation_specs VALUES (?, ?, ?, ?, ?, ?)", row)
            database.execute("INSERT INTO work_items VALUES (?)", [key])
    return tmp_path / "session"


def left(session):
    with sqlite3.connect(session) as database:
        items = {key for (key,) in database.execute("SELECT job_id FROM work_items")}
        assert items == {key for (key,) in database.execute("SELECT job_id FROM mutation_specs")}
    return items


def test_all_that_count_are_planted(session):
    assert mutants.choose(session, 1) == (11, 10, 10)
    assert left(session) == {f"n{number}" for number in range(10)}


def test_of_a_sample_one_in_so_many(session):
    assert mutants.choose(session, 4) == (11, 10, 3)
    assert len(left(session)) == 3


def test_every_module_has_tests_that_are_near(monkeypatch):
    monkeypatch.chdir(ROOT)
    for module in (ROOT / "django_flare" / "lifecycle").glob("[a-z]*.py"):
        assert mutants.near(module.stem), module
    assert all((ROOT / path).exists() for path in mutants.TESTS)
