"""Faults that are planted into django_flare on purpose, to see whether the campaign finds them.

Each replaces a function by name in the processes of a campaign; the package itself knows nothing of it.
"""

import os
import time
from datetime import timedelta

from django.db import connections
from django.db.models import Value
from django.utils import timezone

PLANTS = {}
"""What to do in a process, by the name of the fault."""


def plant(name):
    """Break django_flare in this process."""
    PLANTS[name]()


def _planted(function):
    PLANTS[function.__name__] = function
    return function


@_planted
def no_fence():
    """Write outcomes by id alone."""
    from django_flare.lifecycle import finish
    from django_flare.store import runs

    original = runs._update_of_runs
    runs._update_of_runs = lambda using, now: original(using, now).replace(" AND job.fence = d.fence", "")

    lock_runs = runs.lock_runs

    def with_fences_of_outcomes(ids, using):
        given = finish.outcomes_at_hand
        return [row._replace(fence=given.get(row.id, row.fence)) for row in lock_runs(ids, using)]

    apply_within = finish.apply_within

    def remembering(outcomes, using):
        finish.outcomes_at_hand = {outcome.id: outcome.fence for outcome in outcomes}
        return apply_within(outcomes, using)

    finish.outcomes_at_hand = {}
    runs.lock_runs = with_fences_of_outcomes
    _replace_everywhere("apply_within", apply_within, remembering)
    _make_zombies_deaf()
    _let_suspects_run_at_once()


def _let_suspects_run_at_once():
    """Let a lost job be claimed again before its zombie wakes; alone it would wait for an idle worker."""
    from django_flare.lifecycle import claim
    from django_flare.worker.caution import Caution

    claim._choose = lambda found, request, before: found
    Caution.note_claimed = lambda self, run: None


def _make_zombies_deaf():
    """Let a worker that was taken for dead write what it has before it finds out."""
    from django_flare.worker import heartbeat

    beat = heartbeat.Heartbeat._do_beat

    def late(self):
        if self._last_sent is not None and time.monotonic() - self._last_sent > 3:
            time.sleep(1.5)
        beat(self)

    heartbeat.Heartbeat._do_beat = late


@_planted
def recovery_by_id():
    """Take back the runs of the vanished by select, then update by id, whatever has happened between."""
    from django_flare.lifecycle import recovery
    from django_flare.lifecycle.finish import Applied
    from django_flare.states import Event, JobState

    def by_id(held, event, using):
        if not held or event is not Event.LOSE:
            return Applied()
        time.sleep(2.5)
        with connections[using].cursor() as cursor:
            cursor.execute(
                "UPDATE django_flare_job SET state = 'pending', attempt = GREATEST(attempt - 1, 0),"
                " losses = losses + 1, worker_id = '', started_at = NULL, completed_at = NULL"
                " WHERE id = ANY (%s)",
                [[key for key, _ in held]],
            )
        return Applied({key: JobState.PENDING for key, _ in held})

    recovery._end_runs = by_id
    _lengthen_deadlines()


def _lengthen_deadlines():
    """Keep the worker's own watchdog from ending the slow transaction."""
    from django_flare.worker import lines

    original = lines.Line.__init__
    lines.Line.__init__ = lambda self, using, limit, *rest: original(self, using, limit + 30, *rest)


@_planted
def no_parent_lock():
    """Attach children without a lock on the parents; the sweeper is off."""
    from django_flare import failpoints
    from django_flare.store import links

    links._SHARE_LOCK = dict.fromkeys(links._SHARE_LOCK, "")
    failpoints.activate("attach.after_parent_read", lambda: time.sleep(0.3))
    _no_sweeper()


def _no_sweeper():
    from django_flare.lifecycle import housekeeping

    housekeeping.repair_children = lambda using: 0


@_planted
def counted_at_the_end():
    """Count a run when its end is recorded by its worker, so that one that kills it never counts."""
    from django_flare.lifecycle import outcomes
    from django_flare.states import Event, JobState

    def lose(run, outcome, _):
        write = outcomes._write(run, JobState.PENDING, run.attempt - 1)
        write.delay = 0
        return write

    outcomes._DECIDERS[Event.LOSE] = lose


@_planted
def application_clock():
    """Ask the worker's own clock, which is two hours ahead, what is due."""
    from django_flare.lifecycle import housekeeping
    from django_flare.store import control

    control.DatabaseNow = lambda: Value(timezone.now() + timedelta(hours=2))
    housekeeping.next_due = lambda using: 0.0


@_planted
def read_then_insert():
    """Look for an idempotency key and insert if it is not there; the unique index is gone."""
    from django_flare import failpoints

    failpoints.activate("idempotency.before_insert", lambda: time.sleep(0.3))


@_planted
def early_activation():
    """Make children claimable in a transaction before that of their parent's outcome."""
    from django_flare.lifecycle import finish
    from django_flare.states import Event

    apply_within = finish.apply_within

    def early(outcomes, using):
        _activate([outcome.id for outcome in outcomes if outcome.event is Event.SUCCEED])
        return apply_within(outcomes, using)

    _replace_everywhere("apply_within", apply_within, early)
    _no_sweeper()


def _activate(ended):
    from tests.chaos import auditor

    with auditor.connect(os.environ["CHAOS_LEDGER_URL"]) as connection:
        found = connection.execute(
            "UPDATE django_flare_job SET state = 'pending', open_parents = 0"
            " WHERE state = 'scheduled' AND open_parents = 1"
            " AND id IN (SELECT child_id FROM django_flare_continuation WHERE parent_id = ANY (%s))",
            [ended],
        )
        if found.rowcount:
            time.sleep(0.5)


@_planted
def release_counts():
    """Count the attempt of a run that a worker gives back because it stops."""
    from django_flare.lifecycle import outcomes
    from django_flare.states import Event, JobState

    outcomes._DECIDERS[Event.RELEASE] = lambda run, outcome, _: outcomes._write(
        run, JobState.PENDING, run.attempt
    )


@_planted
def asynchronous_commit():
    """Nothing here: the server is told to acknowledge commits that are not on disk."""


def _replace_everywhere(name, original, replacement):
    """Replace a function in all modules that have imported it."""
    import sys

    for module in list(sys.modules.values()):
        if (
            getattr(module, "__name__", "").startswith("django_flare")
            and getattr(module, name, None) is original
        ):
            setattr(module, name, replacement)
