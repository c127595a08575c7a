"""What the deployment guide says can be done."""

import re
import shutil
import subprocess
import sys
import textwrap

import pytest
from django.db import connection

from django_flare.worker.options import WorkerOptions
from django_flare.worker.supervisor import MARGIN
from tests.docs.pages import ROOT, table
from tests.worker.test_health import Probe, vitals

GUIDE = (ROOT / "docs/how-to/deploy.rst").read_text()
RUNNING = (ROOT / "docs/how-to/run-workers.rst").read_text()
REFERENCE = (ROOT / "docs/reference/worker.rst").read_text()


def blocks(language):
    found = re.findall(rf"\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", GUIDE)
    return [textwrap.dedent(block).strip() for block in found]


@pytest.mark.django_db
def test_postgresql_takes_the_storage_parameters():
    """F42."""
    (sql,) = blocks("sql")
    tables = re.findall(r"ALTER TABLE (\w+)", sql)
    assert set(tables) <= set(connection.introspection.table_names())
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'django_flare_job'")
        assert "fillfactor=70" in cursor.fetchone()[0]


def test_the_rights_of_the_guide_are_those_that_are_tested():
    """In tests/system/test_roles.py."""
    shown = re.findall(r"literalinclude:: grants/(\S+)", GUIDE)
    assert sorted(shown) == sorted(file.name for file in (ROOT / "docs/how-to/grants").iterdir())


def test_the_advice_on_connections_is_that_of_the_check():
    from django_flare.checks.deployment import _ADVICE

    (code,) = blocks("python")
    options = {}
    exec(code, options)
    assert options["OPTIONS"] == _ADVICE


def test_every_process_manager_waits_until_a_worker_has_ended():
    """F46: the children's time, and what the supervisor takes after that."""
    told = re.findall(r"(?:TimeoutStopSec=|stop_grace_period: |GracePeriodSeconds: )(\d+)", GUIDE)
    assert len(told) == 3
    (waits,) = {int(each) for each in told}
    assert waits > WorkerOptions.shutdown_timeout + 20
    # The other half is for giving jobs back.
    assert MARGIN == 10
    for page in (GUIDE, RUNNING):
        assert re.findall(r"plus\s(\w+)\sseconds", page) == ["twenty"]


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    (unit,) = blocks("ini")
    # Verified too is whether the program and the user are there.
    here = {"/srv/shop/venv/bin/python": sys.executable, "/srv/shop": str(tmp_path), "User=shop": "User=root"}
    for theirs, ours in here.items():
        assert theirs in unit
        unit = unit.replace(theirs, ours)
    file = tmp_path / "worker.service"
    file.write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("changed", [{}, {"overdue": 60.0}])
def test_the_probe_of_the_guide_tells_well_from_stuck(changed):
    (command,) = set(re.findall(r'"-c", "(.*livez.*?)"\]', GUIDE))
    probe = Probe()
    probe.vitals = [vitals(**changed)]
    try:
        finished = subprocess.run(
            [sys.executable, "-c", command.replace(":8081/", f":{probe.server.port}/")],
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        probe.server.stop()
    assert finished.returncode == (1 if changed else 0)


def test_the_metrics_of_the_reference_are_those_that_there_are():
    probe = Probe()
    try:
        _, text = probe.ask("/metrics")
    finally:
        probe.server.stop()
    there = {(name, kind) for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)}
    assert {(name, kind) for name, kind, _ in table("reference/worker", "Metrics")} == there
    for name in re.findall(r"flare_(?:worker|jobs|runs|leases)_\w+", GUIDE):
        assert name in REFERENCE
