"""The release before, its migration to this one, and both together, under load: F57."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection

from django_flare.models import Job
from tests.system.support import ROOT, eventually
from tests.upgrade import history
from tests.upgrade.locks import Sampler
from tests.upgrade.stage import LEDGER, Stage

pytestmark = [
    pytest.mark.system,
    pytest.mark.whole_run_on("postgres"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="samples PostgreSQL's locks"),
]

LONGEST = 0.5
"""Seconds that nobody may wait for a lock."""
HISTORY = 500
"""Jobs that have ended before the migration."""
ENOUGH = 50
"""Jobs of each release that each has to run."""
NEW = str(ROOT)


@dataclass
class Evidence:
    """What is left when all is over."""

    old: str
    applied: set
    sampler: Sampler
    workers: list
    exit_codes: list
    jobs: list
    ledger: list
    meanwhile: int
    """Jobs that ended between the start and the end of the migration."""


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Take the code of before out of history; return its folder."""
    folder = tmp_path_factory.mktemp("upgrade") / "old"
    try:
        history.take_out(ROOT, history.previous(ROOT), folder)
    except history.NoHistoryError as error:
        pytest.skip(f"The release before is ABSENT, no upgrade was tried: {error}")
    return str(folder)


@pytest.fixture(scope="module")
def evidence(old):
    stage = Stage()
    stage.open()
    try:
        yield upgrade(stage, old)
    finally:
        stage.close()


def upgrade(stage, old):
    """Upgrade as the guides say: migrate first, then bring the new processes beside the old ones."""
    stage.migrate(old)
    stage.query(LEDGER)
    with Sampler(stage.url) as sampler:
        stage.start(old)
        stage.eventually(lambda: done(stage) >= HISTORY)
        before = done(stage)
        applied = stage.migrate(NEW)
        meanwhile = done(stage) - before
        mark = stage.query("SELECT max(id) FROM upgrade_ledger")[0][0]
        stage.start(NEW)
        stage.eventually(lambda: min(pairs(stage, old, mark).values()) >= ENOUGH)
        codes = [feeder.finish() for feeder in stage.feeders]
        eventually(lambda: done(stage) >= asked(stage))
        codes += [worker.terminate().exit_code() for worker in stage.workers]
    columns = "public_id::text, job_type, state, attempt, losses"
    return Evidence(
        old=old,
        applied=applied,
        sampler=sampler,
        workers=stage.workers,
        exit_codes=codes,
        jobs=stage.query(f"SELECT {columns} FROM {Job._meta.db_table}"),
        ledger=stage.query("SELECT event, job_id, code FROM upgrade_ledger ORDER BY id"),
        meanwhile=meanwhile,
    )


def done(stage):
    return stage.query("SELECT count(*) FROM upgrade_ledger WHERE event = 'done'")[0][0]


def asked(stage):
    return stage.query("SELECT count(*) FROM upgrade_ledger WHERE event = 'asked'")[0][0]


def pairs(stage, old, mark):
    """Count the jobs that have ended since `mark`, by who enqueued and who ran them."""
    rows = stage.query(
        """
        SELECT asked.code, done.code, count(*)
        FROM upgrade_ledger asked JOIN upgrade_ledger done USING (job_id)
        WHERE asked.event = 'asked' AND done.event = 'done' AND done.id > %s GROUP BY 1, 2
        """,
        mark,
    )
    none = {(first, second): 0 for first in (old, NEW) for second in (old, NEW)}
    return none | {(first, second): count for first, second, count in rows}


def test_it_was_an_upgrade_under_load(evidence):
    """Each code ran jobs of each, on the tables of the new one; all that is below rests on it."""
    assert {code for _, _, code in evidence.ledger} == {evidence.old, NEW}
    on_disk = {file.stem for file in (ROOT / "django_flare" / "migrations").glob("[0-9]*.py")}
    of_before = {file.stem for file in Path(evidence.old, "django_flare", "migrations").glob("[0-9]*.py")}
    assert evidence.applied == on_disk - of_before
    assert evidence.meanwhile > 0


def test_every_job_succeeded_exactly_once(evidence):
    told = {
        event: Counter(id_ for each, id_, _ in evidence.ledger if each == event)
        for event in ("asked", "done")
    }
    assert set(told["asked"].values()) == set(told["done"].values()) == {1}
    assert told["asked"].keys() == told["done"].keys() == {job[0] for job in evidence.jobs}
    assert {state for _, _, state, _, _ in evidence.jobs} == {"succeeded"}


def test_no_attempt_was_burned(evidence):
    wanted = {"upgrade.again": 2}
    assert [job for job in evidence.jobs if job[3:] != (wanted.get(job[1], 1), 0)] == []


def test_nobody_waited_long_for_a_lock(evidence):
    assert evidence.sampler.gap < LONGEST
    longest = evidence.sampler.longest
    assert longest is None or longest.seconds < LONGEST, longest


def test_no_process_ended_or_complained(evidence):
    assert evidence.exit_codes == [0, 0, 0, 0]
    for worker in evidence.workers:
        lines = [json.loads(line) for line in worker.log.splitlines()]
        assert [line for line in lines if line["level"] in ("ERROR", "CRITICAL")] == []
        assert len(worker.worker_ids) == 1
