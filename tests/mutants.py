"""What cosmic-ray plants, and the tests that have to notice it (`make mutants`).

`choose SESSION [--one-in N]` chooses among the faults that it can plant. Those that no test can notice are
left out, by these rules:

- an annotation, which nothing evaluates (`from __future__ import annotations`), or a bare `*` in a signature;
- a protocol, which only describes a type;
- `frozen`, `slots` and `kw_only` of a dataclass or Struct: they forbid and do nothing; mypy watches over
  them. `gc` of a Struct saves time alone;
- how many rows are taken at a time (`…_AT_ONCE`, `BATCH`), by one row more or less;
- `is` against `==` beside None and the members of our enumerations, which nothing else of their types equals.

Of the rest one in N is drawn, always the same ones.

`test` runs the tests until one fails, first those that are the likeliest to notice what is planted now.
"""

import argparse
import ast
import os
import random
import re
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FORBIDDING = {"frozen", "slots", "kw_only", "gc"}
_AT_A_TIME = re.compile(r"\w*_AT_ONCE|BATCH")
_ONLY_ONE = re.compile(r"is (not )?(None|(JobState|Event)\.\w+)\b")
_SAME = {"core/ReplaceComparisonOperator_Is_Eq", "core/ReplaceComparisonOperator_IsNot_NotEq"}


@dataclass(frozen=True)
class Mutant:
    """A fault: what is done, and at which line and column."""

    operator: str
    line: int
    column: int

    @property
    def place(self):
        return self.line, self.column


def can_be_noticed(mutant, source):
    """Tell whether a test could notice the mutant of this source."""
    return not any(_holds(node, mutant.place) for node in _idle(source)) and not _is_same(mutant, source)


@cache
def _idle(source):
    """Return the nodes whose mutants change nothing."""
    return [idle for node in ast.walk(ast.parse(source)) for idle in _idle_parts(node)]


def _idle_parts(node):
    match node:
        case ast.arg(annotation=ast.AST() as annotation) | ast.AnnAssign(annotation=annotation):
            return [annotation]
        case ast.FunctionDef(returns=returns):
            return [returns] if returns else []
        case ast.ClassDef(bases=[ast.Name(id="Protocol")]):
            return [node]
        case ast.Call(func=ast.Name(id="dataclass")) | ast.ClassDef(keywords=[_, *_]):
            return [each.value for each in node.keywords if each.arg in _FORBIDDING]
        case ast.Assign(targets=[ast.Name(id=name)]) if _AT_A_TIME.fullmatch(name):
            return [node.value]
    return []


def _holds(node, place):
    return (node.lineno, node.col_offset) <= place < (node.end_lineno, node.end_col_offset)


def _is_same(mutant, source):
    rest = source.splitlines()[mutant.line - 1][mutant.column :]
    if "BinaryOperator_Mul" in mutant.operator and re.match(r"\*,", rest):
        return True
    return mutant.operator in _SAME and bool(_ONLY_ONE.match(rest))


def choose(session, one_in):
    """Leave in cosmic-ray's session what is chosen; return how many there were, count, and are drawn."""
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "SELECT job_id, module_path, operator_name, start_pos_row, start_pos_col FROM mutation_specs"
            " ORDER BY module_path, start_pos_row, start_pos_col, operator_name, occurrence"
        ).fetchall()
        counting = [
            key
            for key, path, operator, line, column in rows
            if can_be_noticed(Mutant(operator, line, column), _read(path))
        ]
        drawn = set(random.Random(1).sample(counting, -(-len(counting) // one_in)))
        for table in ("mutation_specs", "work_items"):
            gone = [(key,) for key, *_ in rows if key not in drawn]
            database.executemany(f"DELETE FROM {table} WHERE job_id = ?", gone)
    return len(rows), len(counting), len(drawn)


@cache
def _read(path):
    return Path(path).read_text()


TESTS = tuple(f"tests/{path}" for path in ("test_states.py", "lifecycle", "jobs", "model", "races"))
NEAR = {
    "announce": ["jobs/test_transactions.py"],
    "continuations": ["lifecycle/test_continuations.py", "lifecycle/test_finish.py"],
    "control": ["jobs/test_verbs.py", "lifecycle/test_transitions.py"],
    "create": [
        "lifecycle/test_continuations.py",
        "lifecycle/test_idempotency.py",
        "jobs/test_verbs.py",
        "jobs/test_bad_input.py",
    ],
    "eligibility": ["jobs/test_explain.py", "lifecycle/test_continuations.py"],
    "finish": ["lifecycle/test_finish.py", "lifecycle/test_transitions.py"],
    "queues": ["jobs/test_queues.py"],
    "singly": ["lifecycle/test_quarantine.py", "lifecycle/test_finish.py"],
}
"""The tests nearest to a module, where those of its name are not all."""


def near(module):
    """Return the tests that are the likeliest to notice a fault in the module."""
    found = NEAR.get(module, [f"lifecycle/test_{module}.py"])
    return [f"tests/{path}" for path in found if Path("tests", path).exists()]


def test():
    """Become the tests of what is changed now."""
    command = ["git", "diff", "--name-only", "--", "django_flare"]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    module = Path(changed[0]).stem if changed else ""
    # Without the plugins that these tests do not need it starts in less than half the time.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ("no:cacheprovider", "pytest_django.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
    command = [sys.executable, "-m", "pytest", "-x", "-q", *(f"-p{plugin}" for plugin in plugins)]
    first = near(module)
    # In a process of their own: of a file and the folder it is in pytest takes the folder, in its order.
    if first and (status := subprocess.run([*command, *first], check=False).returncode):
        sys.exit(status)
    os.execv(sys.executable, [*command, *(f"--ignore={path}" for path in first), *TESTS])


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("test")
    choosing = tasks.add_parser("choose")
    choosing.add_argument("session")
    choosing.add_argument("--one-in", type=int, default=1)
    options = parser.parse_args()
    if options.task == "test":
        test()
    found, counting, drawn = choose(options.session, options.one_in)
    print(f"{found} mutants, {counting} can be noticed, {drawn} of them are planted")


if __name__ == "__main__":
    main()
