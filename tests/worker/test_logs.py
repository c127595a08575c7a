"""The two formats of a worker's log, and what may not be done to them by a job's data."""

import json
import logging
import re
import subprocess
import sys
from datetime import datetime

import pytest

from django_flare.worker import logs
from django_flare.worker.logs import JsonFormatter, TextFormatter, escape
from tests.docs.pages import ROOT

NASTY = "two\r\nlines \x1b[31mred\x07 \x00 \x7f \x9b \u2028 \u202e \ud800"


def record(message, *args, error=None, **fields):
    made = logging.LogRecord("django_flare.worker", logging.WARNING, __file__, 1, message, args, None)
    made.exc_info = (type(error), error, error.__traceback__) if error else None
    vars(made).update(fields)
    return made


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text of mine")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé", "plain text, ünïcödé"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("nul\x00", "nul\\x00"),
        ("line\u2028separator", "line\\u2028separator"),
        ("right\u202eleft", "right\\u202eleft"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(text, shown):
    assert escape(text) == shown
    assert len(escape(text).splitlines()) <= 1


class TestText:
    def test_a_record_is_one_line(self):
        line = TextFormatter().format(record("%s failed", NASTY))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING two\\r\\nlines .* failed", line)
        assert line.isprintable()

    def test_no_line_of_a_traceback_looks_like_a_record(self):
        error = ValueError("x\n2026-01-01 00:00:00,000 ERROR forged\r2026-01-01 forged \x1b[2J")
        first, *others = TextFormatter().format(record("failed", error=error)).split("\n")
        assert first.endswith("WARNING failed")
        assert all(line.startswith("    ") and line.isprintable() for line in others)
        assert "ERROR forged" in "".join(others)

    def test_arguments_that_cannot_be_printed_lose_no_line(self):
        assert "(its arguments could not be printed: ValueError)" in TextFormatter().format(
            record("%s", Unprintable())
        )
        assert "%d (its arguments" in TextFormatter().format(record("%d", "seven"))


class TestJson:
    def read(self, *args, **kwargs):
        line = JsonFormatter().format(record(*args, **kwargs))
        assert line.isascii()
        assert line.isprintable()
        return json.loads(line)

    def test_what_every_record_says(self, monkeypatch):
        monkeypatch.setattr(logs, "_worker_id", "")
        logs.note_worker_id("wrk_a")
        found = self.read("%d slots", 10, process=77, created=0.25)
        assert found == {
            "time": "1970-01-01T00:00:00.250000+00:00",
            "level": "WARNING",
            "logger": "django_flare.worker",
            "message": "10 slots",
            "worker_id": "wrk_a",
            "pid": 77,
        }
        assert datetime.fromisoformat(found["time"]).utcoffset().total_seconds() == 0

    def test_what_a_record_about_a_job_says(self):
        fields = {"job_id": "a", "job_type": "b", "queue": "c", "attempt": 2, "duration": 0.5, "state": "d"}
        found = self.read("x", worker_id="wrk_b", **fields)
        assert {**found, **fields, "worker_id": "wrk_b"} == found

    def test_data_stays_in_its_string(self):
        assert self.read("%s", NASTY)["message"] == NASTY
        assert self.read("x", job_type=NASTY)["job_type"] == NASTY

    def test_an_exception_is_a_field(self):
        try:
            raise ValueError(NASTY)
        except ValueError as error:
            found = self.read("failed", error=error)
        assert found["message"] == "failed"
        assert found["exception"].startswith("Traceback (most recent call last):\n")
        assert "ValueError: two" in found["exception"]

    def test_nothing_that_is_logged_breaks_it(self):
        assert "could not be printed" in self.read("%s", Unprintable())["message"]
        assert self.read("x", duration=object)["duration"].startswith("<class")
        assert "<exception str() failed>" in self.read("x", error=Unprintable())["exception"]


SCRIPT = """
import logging, logging.config, sys, threading, warnings
from django_flare.worker import logs
{before}
logs.set_up("{format}")
logging.getLogger("django_flare.worker").info("ours")
logging.getLogger("shop").warning("theirs\\nwith a second line")
logging.getLogger("shop.detail").info("below the root's level")
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0, name="broken")
thread.start()
thread.join()
class Bad:
    def __del__(self): raise ValueError("in del")
Bad()
raise SystemError("uncaught")
"""

THEIR_OWN = """
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": False,
    "formatters": {"theirs": {"format": "THEIRS %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "theirs"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"shop": {"handlers": ["console"], "propagate": False}},
})
"""


def said(log_format, before=""):
    """Return what a process writes to stderr that sets up its logs and then logs all kinds of things."""
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, format=log_format)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (1, "")
    return finished.stderr.splitlines()


def test_with_json_all_that_the_process_says_is_json():
    found = [json.loads(line) for line in said("json")]
    assert [each["logger"] for each in found] == [
        "django_flare.worker",
        "shop",
        "py.warnings",
        "django_flare",
        "django_flare",
        "django_flare",
    ]
    assert found[1]["message"] == "theirs\nwith a second line"
    assert "UserWarning: old" in found[2]["message"]
    assert "Thread broken ended" in found[3]["message"]
    assert "ZeroDivisionError" in found[3]["exception"]
    assert "in del" in found[4]["exception"]
    assert "uncaught" in found[5]["exception"]


def test_json_comes_before_the_handlers_of_the_project_and_keeps_its_levels():
    found = [json.loads(line) for line in said("json", before=THEIR_OWN)]
    # Once each, though the project's logger had a handler of its own; INFO is below the level that it set.
    assert [each["logger"] for each in found][:2] == ["shop", "py.warnings"]


def test_json_leaves_handlers_that_write_elsewhere(tmp_path):
    before = f"logging.getLogger('shop').addHandler(logging.FileHandler({str(tmp_path / 'log')!r}))"
    assert all(json.loads(line) for line in said("json", before=before))
    assert (tmp_path / "log").read_text() == "theirs\nwith a second line\n"


def test_text_says_what_it_does_at_info():
    assert re.search(r"^\d{4}-.* INFO ours$", "\n".join(said("text")), re.MULTILINE)


def test_text_leaves_the_projects_logging_alone():
    lines = said("text", before=THEIR_OWN)
    assert "THEIRS theirs" in lines
    assert not [line for line in lines if "ours" in line]


def test_what_a_command_says_is_logged(caplog):
    output = logs.LoggedOutput()
    output.write("\n")
    output.write("System check identified some issues:\n\nW001\n")
    output.write("CommandError: no such port")
    output.flush()
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "System check identified some issues:\n\nW001"),
        ("ERROR", "CommandError: no such port"),
    ]
