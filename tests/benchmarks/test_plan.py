"""Which measurements make up a round."""

from argparse import Namespace
from itertools import groupby

from benchmarks import plan
from benchmarks.bounds import FIGURES
from benchmarks.figures import Figures
from benchmarks.plan import Key
from benchmarks.queues import QUEUES

COUNTS = plan.counts(
    Namespace(jobs=20_000, singles=2000, many=50_000, latencies=300, idle=20, requests=3000, rows=5000)
)
DATABASES = ("PostgreSQL", "SQLite", "MariaDB", "Redis")


def chosen(steps=plan.STEPS, queues=tuple(QUEUES), databases=DATABASES):
    return plan.Chosen(steps, queues, databases, COUNTS)


def keys(number=0, **options):
    return [key for key, _ in chosen(**options).round(number)]


def test_a_queue_runs_on_its_own_databases_only():
    assert {key.database for key in keys(queues=["django_flare"])} == {"PostgreSQL", "SQLite", "MariaDB"}
    assert {key.database for key in keys(queues=["Celery + Redis"])} == {"Redis"}
    assert {key.database for key in keys(queues=["huey"])} == {"SQLite"}


def test_a_database_that_is_absent_is_left_out():
    assert {key.database for key in keys(databases=["SQLite"])} == {"SQLite"}


def test_every_queue_has_its_turn_before_the_next_step():
    steps = [key.step for key in keys()]
    assert list(dict.fromkeys(steps)) == sorted(set(steps), key=plan.STEPS.index)
    assert len([step for step, _ in groupby(steps)]) == len(set(steps))


def test_a_later_round_repeats_what_varies():
    assert Key("drain", "procrastinate", "PostgreSQL") in keys(1)
    assert Key("history", "django_flare", "PostgreSQL") in keys(1)
    assert Key("history", "django_flare", "MariaDB") not in keys(1)
    assert Key("history", "procrastinate", "PostgreSQL") not in keys(1)
    assert Key("list", "django_flare, HTTP", "PostgreSQL") in keys(1)
    assert Key("list", "django_flare, HTTP", "SQLite") not in keys(1)
    assert not [key for key in keys(1) if key.step in plan.ONCE]


def test_slow_queues_get_fewer_jobs_and_never_more_than_asked_for():
    counts = dict(chosen().round(0))
    assert counts[Key("drain", "django_flare", "PostgreSQL")] == 20_000
    assert counts[Key("drain", "django-tasks-db", "PostgreSQL")] == 500
    few = plan.Chosen(("drain",), ("django-tasks-db",), DATABASES, {**COUNTS, "drain": 50})
    assert dict(few.round(0)) == {Key("drain", "django-tasks-db", "PostgreSQL"): 50}


class Everything(Figures):
    """Remember what is asked for."""

    def __init__(self):
        super().__init__()
        self.asked = set()

    def median(self, step, queue, database, name):
        self.asked.add(Key(step, queue, database))
        return 1.0


def test_each_figure_reads_what_a_run_measures():
    everything = Everything()
    for figure in FIGURES:
        figure.read(everything)
    assert everything.asked <= set(keys())
