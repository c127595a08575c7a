"""What a type checker says of `@job` and of a payload handed to a verb."""

import re
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api")

ROOT = Path(__file__).parents[2]
CONFIG = "[mypy]\nstrict = true\nfollow_imports = silent\n"

FITTING = """
enqueue(process_order, OrderPayload(1))
enqueue(process_order, UrgentOrderPayload(1))
enqueue(process_order, {"order_id": 1})
enqueue(process_order, None)
enqueue(process_order)
enqueue(ship_order, OrderPayload(1))
enqueue(context_first, OrderPayload(1))
enqueue(tidy_up)
enqueue(tidy_up, {})
enqueue(tidy_up_watched)
enqueue(import_rows, {"any": "thing"})
enqueue(handle_event, {"user_id": 1})
enqueue(handle_event, EventPayload(user_id=1))
enqueue(SendMail, OrderPayload(1))
enqueue(SendMail, {"order_id": 1})
enqueue(SendShortMail, OrderPayload(1))
enqueue(TidyUp)
enqueue("mail.welcome", OrderPayload(1))
enqueue("mail.welcome", {"order_id": 1})
process_order(OrderPayload(1), ctx=context)
SendShortMail().execute(OrderPayload(1))
job(queue="a", max_attempts=5, backoff=Backoff(1, timedelta(hours=1)), tags={"a": "b"}, atomic=True)
"""

MISFITS = """
enqueue(process_order, OtherPayload(1))
enqueue(process_order, 5)
enqueue(ship_order, OtherPayload(1))
enqueue(context_first, OtherPayload(1))
enqueue(import_rows, OtherPayload(1))
enqueue(handle_event, OtherPayload(1))
enqueue(SendMail, OtherPayload(1))
enqueue(SendShortMail, OtherPayload(1))
enqueue(5)
enqueue(object(), {})
process_order(OtherPayload(1), ctx=context)
SendShortMail().run()
job(priority="high")
job(colour="red")
job(5)
"""

HEADER = """
from datetime import timedelta
from django_flare.context import JobContext
from django_flare.definitions import Backoff, job
from tests.typing.verbs import *
context: JobContext
"""


def complaints(tmp_path, lines):
    """Return the numbers, from 0, of those `lines` that mypy complains of."""
    script, config = tmp_path / "script.py", tmp_path / "mypy.ini"
    script.write_text(HEADER + lines)
    config.write_text(CONFIG)
    output, errors, _ = api.run(
        [
            "--config-file",
            str(config),
            "--cache-dir",
            str(tmp_path / "cache"),
            "--hide-error-context",
            str(script),
        ]
    )
    assert not errors
    numbers = [int(number) for number in re.findall(r"script\.py:(\d+): error", output)]
    return {number - HEADER.count("\n") - 2 for number in numbers}, output


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MYPYPATH", str(ROOT))


def test_a_fitting_payload_is_no_type_error(tmp_path):
    found, output = complaints(tmp_path, FITTING)
    assert found == set(), output


def test_each_misfit_is_a_type_error(tmp_path):
    found, output = complaints(tmp_path, MISFITS)
    assert found == set(range(len(MISFITS.strip().splitlines()))), output
