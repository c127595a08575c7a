"""What the command line and the environment may say."""

import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from django_flare import jobs
from django_flare.models import Worker
from tests.system.support import ROOT, states
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]


def test_a_bad_value_is_one_line_and_exit_code_2():
    """More of them stand in tests/worker/test_options.py."""
    finished = _run(["--concurrency", "3"], {"FLARE_WORKER_QUEUES": "a,b c"})
    assert (finished.returncode, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("CommandError: --queues: ' ' is not allowed")


def test_a_switch_of_the_environment_that_is_neither_on_nor_off_is_one():
    finished = _run([], {"FLARE_WORKER_BURST": "maybe"})
    assert (finished.returncode, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    assert line == "CommandError: FLARE_WORKER_BURST: 'maybe', 1, true, yes, on or 0, false, no, off"


def test_an_unknown_option_is_exit_code_2():
    """The parser of all Django commands says its usage first."""
    finished = _run(["--no-such-option"], {})
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith("error: unrecognized arguments: --no-such-option")


def _run(arguments, environment):
    return subprocess.run(
        [sys.executable, "-m", "django", "flare_worker", "--skip-checks", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_options_are_checked_before_the_database_is_asked():
    with pytest.raises(CommandError, match="--database: 'elsewhere' is not in DATABASES") as error:
        call_command("flare_worker", database="elsewhere", skip_checks=True)
    assert error.value.returncode == 2
    assert not Worker.objects.exists()


def test_options_come_from_the_environment_too(workers):
    here = [jobs.enqueue(work.quick, {"n": n}, queue="here") for n in range(5)]
    elsewhere = jobs.enqueue(work.quick, {"n": 9}, queue="elsewhere")
    environment = {
        "FLARE_WORKER_BURST": "true",
        "FLARE_WORKER_QUEUES": "here, there",
        "FLARE_WORKER_CONCURRENCY": "3",
        "FLARE_WORKER_POLL_INTERVAL": "0.25",
        "FLARE_WORKER_MAX_JOBS": "4",
        "FLARE_WORKER_SHUTDOWN_TIMEOUT": "1.5",
        "FLARE_WORKER_DATABASE": "default",
    }
    worker = workers.launch(environment=environment)
    assert worker.exit_code() == 0
    assert "3 slots, queues: here, there," in worker.log
    assert "poll every 0.25 s" in worker.log
    assert sorted(states(*here)) == ["pending"] + ["succeeded"] * 4
    assert states(elsewhere) == ["pending"]
