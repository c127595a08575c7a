"""What the deployment guide says can be done."""

import re
import subprocess
import sys
import textwrap

import pytest
from django.db import connection

from tests.docs.pages import ROOT, table
from tests.worker.test_health import Probe, vitals

GUIDE = (ROOT / "docs/how-to/deploy.rst").read_text()
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


def test_the_advice_on_connections_is_that_of_the_check():
    from django_flare.checks.deployment import _ADVICE

    (code,) = blocks("python")
    options = {}
    exec(code, options)
    assert options["OPTIONS"] == _ADVICE


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
