"""Each hot query goes through the index that it is meant for, on every engine (design, section 3).

The queries are captured from the functions themselves and explained on a table with history, a backlog
and fresh statistics.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from django_flare import JobState, jobs
from django_flare.jobs.overview import read_overview
from django_flare.lifecycle import housekeeping, recovery, retention
from django_flare.models import Attempt, Continuation, Job, Queue, Rollup, Worker
from django_flare.models.rollup import Level
from django_flare.store import claim, control, figures, keys, links, overview, rollups, rows, workers
from tests.support import USING, Driver
from tests.testapp.jobs import plain

CAP = 50
NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUEUES = [f"queue{number}" for number in range(10)]


@pytest.fixture(scope="module")
def _filled(django_db_setup, django_db_blocker):
    """Fill the tables once for this module, outside any test's transaction: ANALYZE commits on MariaDB."""
    with django_db_blocker.unblock():
        fill()
        analyze()
        yield
        for model in (Attempt, Continuation, Job, Worker, Rollup):
            rows.QuerySet(model, using=USING).delete()


def fill():
    Driver("wrk_plans")
    table = rows.jobs(USING)
    past = -timedelta(days=1)

    def some(count, queue, **values):
        ids = jobs.enqueue_many(plain, [{}] * count, queue=queue)
        if values:
            table.filter(public_id__in=ids[:count]).update(**values)
        return ids

    ended = {"completed_at": control.DatabaseNow()}
    for queue in QUEUES:
        some(400, queue, state=JobState.SUCCEEDED, worker_id="wrk_old", **ended)
        some(40, queue, state=JobState.CANCELLED, **ended)
        some(60, queue)
    some(300, "later", state=JobState.SCHEDULED, run_at=control.DatabaseNow() - past)
    some(300, "failed", state=JobState.FAILED, run_at=control.DatabaseNow() - past, **ended)
    some(300, "waiting", state=JobState.SCHEDULED, open_parents=1)
    some(20, "running", state=JobState.PROCESSING, worker_id="wrk_plans")
    parents = list(table.filter(queue=QUEUES[0]).values_list("pk", flat=True))
    children = list(table.filter(queue="waiting").values_list("pk", flat=True))
    rows.links(USING).bulk_create(
        Continuation(parent_id=parent, child_id=child, position=0)
        for number, parent in enumerate(parents)
        for child in children[number % 20 :: 20]
    )

    rollups.rollups(USING).bulk_create(
        Rollup(
            level=level,
            start=NOW - timedelta(hours=hour),
            queue="queue0",
            job_type="plain",
            outcome=JobState.SUCCEEDED,
            count=1,
            run_seconds=1.0,
            wait_seconds=1.0,
        )
        for level in Level
        for hour in range(1000 if level else 3)
    )


def analyze():
    tables = [model._meta.db_table for model in (Job, Continuation, Worker, Rollup)]
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"ANALYZE TABLE {', '.join(tables)}")
            cursor.fetchall()
            return
        for table in tables:
            cursor.execute(f"ANALYZE {table}")


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_filled")]


def explained(work, containing="django_flare_job"):
    """Return the plans of the statements of `work` on the table named."""
    plans = plans_of(work, containing)
    assert plans
    return plans


def plans_of(work, containing="django_flare_job"):
    statements = []

    def note(execute, sql, parameters, many, context):
        statements.append((sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(note):
        work()
    return [plan(sql, parameters) for sql, parameters in statements if containing in sql]


def plan(statement, parameters):
    """Explain the statement as it was sent: an engine may plan parameters unlike literals."""
    with connection.cursor() as cursor:
        cursor.execute(EXPLAIN[connection.vendor] + statement, parameters)
        found = cursor.fetchall()
        if connection.vendor == "sqlite":
            return "\n".join(row[-1] for row in found)
        if connection.vendor == "postgresql":
            return json.dumps(found[0][0], indent=1) if not isinstance(found[0][0], str) else found[0][0]
        names = [column[0] for column in cursor.description]
        return "\n".join(str(dict(zip(names, row, strict=True))) for row in found)


EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (FORMAT JSON) ", "mysql": "EXPLAIN "}


SMALL = {Worker._meta.db_table, Queue._meta.db_table}
"""Tables of a few rows, which are read whole."""


def scans_everything(text):
    """Tell whether the plan reads the whole table of jobs."""
    if connection.vendor == "sqlite":
        return any(
            line.startswith(("SCAN django_flare_job", "SCAN job")) and "USING" not in line
            for line in text.splitlines()
        )
    if connection.vendor == "postgresql":
        return any(
            node.get("Node Type") == "Seq Scan" and node["Relation Name"] not in SMALL
            for node in nodes(json.loads(text)[0]["Plan"])
        )
    return any(
        "'table': 'django_flare_job'" in line and "'type': 'ALL'" in line for line in text.splitlines()
    )


def nodes(node):
    yield node
    for below in node.get("Plans", []):
        yield from nodes(below)


def assert_uses(index, plans):
    for text in plans:
        assert index in text, text
        assert not scans_everything(text), text


def test_the_probe_of_a_claim():
    plans = explained(lambda: claim.lock_claimable("queue3", 10, "wrk_plans", USING))
    assert_uses("flare_job_claimable", plans)
    assert "Sort" not in plans[0]
    assert "TEMP B-TREE" not in plans[0]
    assert "filesort" not in plans[0]


def test_the_probe_of_an_empty_queue():
    plans = explained(lambda: claim.lock_claimable("empty", 10, "wrk_plans", USING))
    assert_uses("flare_job_claimable", plans)


def test_the_probe_of_one_type():
    types = ["tests.testapp.jobs.plain"]
    plans = explained(lambda: claim.lock_claimable_of(types, "queue3", 10, "wrk_plans", USING))
    assert_uses("flare_job_claimable_type", plans)
    assert not any(sort in plans[0] for sort in ("Sort", "TEMP B-TREE", "filesort"))


def test_the_types_of_a_queue_with_work():
    assert_uses("flare_job_claimable_type", explained(lambda: claim.claimable_types("queue3", USING)))
    assert claim.claimable_types("queue3", USING) == ["tests.testapp.jobs.plain"]


def test_a_claim_at_once():
    types = ["tests.testapp.jobs.plain"]
    plans = plans_of(lambda: claim.claim_at_once("queue3", types, 10, "wrk_plans", USING))
    assert bool(plans) == (connection.vendor == "postgresql"), "only PostgreSQL claims by one statement"
    assert_uses("flare_job_claimable", plans)


def test_the_mark_of_a_claim():
    ids = list(claim.claimable(USING).order_by("pk").values_list("pk", flat=True)[:10])
    (text,) = explained(lambda: claim.mark_claimed(ids, "wrk_plans", USING))
    assert any(key in text for key in ("django_flare_job_pkey", "INTEGER PRIMARY KEY", "'key': 'PRIMARY'")), (
        text
    )
    assert not scans_everything(text), text


def test_the_names_of_queues_with_work():
    plans = explained(lambda: claim.claimable_queues(USING))
    assert_uses("flare_job_claimable", plans)
    assert claim.claimable_queues(USING) == QUEUES


def test_the_jobs_that_are_due():
    for state in (JobState.SCHEDULED, JobState.FAILED):
        assert_uses("flare_job_due", explained(lambda state=state: control.lock_due(state, 500, USING)))


def test_the_next_due_time():
    (text,) = explained(lambda: housekeeping.next_due(USING))
    # MariaDB answers a MIN from the end of the index alone, and then names no index.
    assert "flare_job_due" in text or text.count("Select tables optimized away") == 2, text
    assert not scans_everything(text), text


def test_the_children_that_wait_for_nobody():
    assert_uses("flare_job_due", explained(lambda: links.stuck_children(100, USING)))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="counts steps of SQLite's machine")
@pytest.mark.parametrize(
    "work",
    [
        lambda: housekeeping.next_due(USING),
        lambda: control.lock_due(JobState.FAILED, 500, USING),
        lambda: retention.prune({JobState.DEAD_LETTER: timedelta(days=1)}, USING),
        lambda: overview.newest_ended(JobState.DEAD_LETTER, CAP, Job.objects.all()),
    ],
)
def test_one_state_is_found_without_reading_the_others_of_its_index(work):
    """The plan does not tell: with statistics SQLite may take all states of a partial index for one."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    connection.connection.set_progress_handler(count, 100)
    try:
        work()
    finally:
        connection.connection.set_progress_handler(None, 0)
    assert steps < 20


def test_the_runs_of_a_worker():
    assert_uses("flare_job_running", explained(lambda: workers.held_by("wrk_plans", USING)))
    assert_uses("flare_job_running", explained(lambda: workers.runs_of(["wrk_plans"], 500, USING)))


def test_the_runs_without_a_worker():
    assert_uses("flare_job_running", explained(lambda: workers.orphaned_runs(500, USING)))


def test_a_beat_reads_no_history():
    assert_uses("flare_job_running", explained(lambda: recovery.beat("wrk_plans", 1, USING)))


def test_the_newest_jobs():
    for page in (lambda: jobs.list_jobs(), lambda: jobs.list_jobs(state="pending")):
        plans = explained(page)
        assert_uses("flare_job_listing", plans)
        assert '"Sort"' not in plans[0]
        assert "TEMP B-TREE" not in plans[0]


def test_the_next_page():
    cursor = jobs.list_jobs(limit=100).next_cursor
    assert_uses("flare_job_listing", explained(lambda: jobs.list_jobs(cursor=cursor)))


def test_the_jobs_of_a_time():
    moment = Job.objects.latest("created_at").created_at
    assert_uses("flare_job_listing", explained(lambda: jobs.list_jobs(created_after=moment)))


def test_one_job_by_its_id():
    job = str(Job.objects.latest("pk").public_id)
    for text in explained(lambda: jobs.get_status(job)):
        assert "public_id" in text, text
        assert not scans_everything(text), text


def test_the_children_of_parents():
    parents = list(rows.links(USING).values_list("parent_id", flat=True)[:3])
    for text in explained(lambda: links.children_of(parents, [JobState.SCHEDULED], USING)):
        # SQLite names a constraint's index after the table.
        assert "flare_continuation_link" in text or "(parent_id=?)" in text, text
        assert not scans_everything(text), text


def test_the_parents_of_children():
    children = list(rows.links(USING).values_list("child_id", flat=True)[:3])
    for text in explained(lambda: links.parents_of(children, USING)):
        assert "child_id" in text, text
        assert not scans_everything(text), text


def test_the_holders_of_keys():
    plans = explained(lambda: keys.holders("", ["a", "b"], USING, locking=False))
    assert_uses("flare_job_idempotency", plans)


@pytest.mark.parametrize(
    ("state", "index"),
    [
        (JobState.PENDING, "flare_job_claimable"),
        (JobState.PROCESSING, "flare_job_running"),
        (JobState.SCHEDULED, "flare_job_due"),
        (JobState.FAILED, "flare_job_due"),
        (JobState.SUCCEEDED, "flare_job_finished"),
        (JobState.CANCELLED, "flare_job_finished"),
        (JobState.DEAD_LETTER, "flare_job_finished"),
    ],
)
def test_the_count_of_a_state(state, index):
    """The cap is to this table what the real one is to a long history."""
    assert_uses(index, explained(lambda: overview.count_state(state, CAP, USING)))


def test_the_newest_dead_letters(monkeypatch):
    monkeypatch.setattr(overview, "_ENDED_LOOKED_AT", CAP)
    plans = explained(lambda: overview.newest_ended(JobState.SUCCEEDED, 10, Job.objects.all()))
    assert_uses("flare_job_finished", plans)
    sorts = ('"Sort"', "TEMP B-TREE", "filesort")
    assert not any(sort in text for sort in sorts for text in plans), plans


def test_the_newest_dead_letters_of_those_that_somebody_sees(monkeypatch):
    monkeypatch.setattr(overview, "_ENDED_LOOKED_AT", CAP)
    among = Job.objects.filter(queue="queue3")
    assert_uses("flare_job_finished", explained(lambda: overview.newest_ended(JobState.SUCCEEDED, 10, among)))


@pytest.mark.parametrize("read", [figures.count_ended, figures.count_by_start, figures.sum_by_type])
def test_the_sums_of_a_period(read):
    plans = explained(lambda: read(NOW - timedelta(hours=5), USING), "django_flare_rollup")
    assert_uses("flare_rollup_start", plans)


def test_what_is_put_together():
    for work in (
        lambda: rollups.is_any_written(USING),
        lambda: rollups.coarsen(Level.MINUTE, timedelta(days=30), USING),
        lambda: rollups.delete_hours(timedelta(days=40), 10, USING),
    ):
        plans = explained(work, "django_flare_rollup")
        # MariaDB answers a MIN from the end of the index alone, and then names no index.
        assert "flare_rollup_start" in plans[0] or "Select tables optimized away" in plans[0], plans[0]


def test_the_depth_of_a_queue():
    assert_uses("flare_job_claimable", explained(lambda: overview.measure_queue("queue3", CAP, USING)))


def test_the_oldest_job_of_a_deep_queue():
    _, plan_of_oldest = explained(lambda: overview.measure_queue("queue3", 20, USING))
    assert_uses("flare_job_claimable", [plan_of_oldest])


@pytest.mark.skipif(connection.vendor != "mysql", reason="counts what MariaDB reads")
@pytest.mark.parametrize("priorities", [1, 10])
def test_the_oldest_job_is_found_by_few_rows(priorities):
    """The plan does not tell how many rows of a rank are read to find the next rank."""
    for priority in range(priorities):
        jobs.enqueue_many(plain, [{}] * 300, queue="deep", priority=priority)
    with connection.cursor() as cursor:
        cursor.execute("FLUSH STATUS")
        assert overview.measure_queue("deep", 20, USING)[1]
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read_%'")
        read = sum(int(number) for name, number in cursor.fetchall() if "rnd" not in name)
    assert read < 20 + 20 + 5 * priorities


def test_the_types_at_the_head_of_a_queue():
    assert_uses("flare_job_claimable", explained(lambda: overview.types_at_head("queue3", 50, USING)))


def test_the_queues_of_running_jobs():
    assert_uses("flare_job_running", explained(lambda: overview.running_queues(10_000, USING)))


def test_the_queues_of_the_next_due_jobs():
    assert_uses("flare_job_due", explained(lambda: overview.next_due(1_000, USING)))


def test_an_overview_scans_nothing(monkeypatch):
    monkeypatch.setattr("django_flare.jobs.overview.MOST_COUNTED", CAP)
    plans = explained(read_overview)
    assert len(plans) > 15
    assert [text for text in plans if scans_everything(text)] == []
