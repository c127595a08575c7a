"""The proof of life, on a thread and a connection of its own, and what a beat brings back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from django.db import DatabaseError, InterfaceError, connections

from django_flare.conf import flare_settings
from django_flare.lifecycle import housekeeping, recovery, retention
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from django_flare.worker.connections import drop_connection
from django_flare.worker.dispatcher import Dispatcher
from django_flare.worker.identity import Identity
from django_flare.worker.runs import EndReason, Run

logger = logging.getLogger("django_flare.worker")

_SWEEP_INTERVAL = 300.0
_PRUNE_INTERVAL = 60.0
_PRUNE_MOMENT = 0.5


class Heartbeat(threading.Thread):
    """Beat, compare the rows this worker holds with its runs, and take back what the vanished held."""

    def __init__(self, dispatcher: Dispatcher, identity: Identity, using: str) -> None:
        super().__init__(name="flare-heartbeat", daemon=True)
        settings = flare_settings()
        self._dispatcher = dispatcher
        self._identity = identity
        self._using = using
        self._beat = settings.beat.total_seconds()
        self._lease = settings.lease
        self._keep = settings.keep
        self._stopped = threading.Event()
        self._beats_on_time = 0
        self._last_sent: float | None = None
        self._next_sweep = time.monotonic() + _SWEEP_INTERVAL
        self._next_prune = time.monotonic() + _PRUNE_INTERVAL
        self._held_by_nobody: set[tuple[int, int]] = set()

    def run(self) -> None:
        while not self._stopped.is_set():
            next_beat = time.monotonic() + self._beat
            self._try_to_beat()
            self._stopped.wait(max(0.0, next_beat - time.monotonic()))
        drop_connection(connections[self._using])

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    def _try_to_beat(self) -> None:
        try:
            self._do_beat()
            self._keep_house()
        except (DatabaseError, InterfaceError) as error:
            self._beats_on_time = 0
            logger.debug("A beat failed: %s", error)
            drop_connection(connections[self._using])
        except Exception:
            self._beats_on_time = 0
            logger.exception("A beat failed")

    def _do_beat(self) -> None:
        sent_at = time.monotonic()
        runs = dict(self._dispatcher.in_hand)
        beat = recovery.beat(self._identity.worker_id, len(runs), self._using)
        if not beat.alive:
            logger.warning(
                "This worker was taken for dead; dropping its %d runs, going on under a new id", len(runs)
            )
            self._identity.forget()
            self._dispatcher.drop_lease()
            self._identity.register()
            self._beats_on_time = 0
            return
        self._identity.note_beat(sent_at)
        self._count_beat(sent_at)
        self._compare(beat.held, runs)

    def _count_beat(self, sent_at: float) -> None:
        late = self._last_sent is not None and sent_at - self._last_sent > 2 * self._beat
        self._beats_on_time = 0 if late else self._beats_on_time + 1
        self._last_sent = sent_at

    def _compare(self, held: Mapping[int, tuple[int, bool]], runs: Mapping[int, Run]) -> None:
        """Tell runs that lost their row or were asked to stop, and give back rows that nobody runs."""
        for key, run in runs.items():
            fence, stop_requested = held.get(key, (None, False))
            if fence != run.row.fence:
                # Recorded meanwhile, or lost; a token set on a finished run does no harm.
                run.tell_to_end(EndReason.LEASE_LOST)
            elif stop_requested:
                run.tell_to_end(EndReason.STOP)
        # After a commit of which nobody knows whether it happened (F08). Twice, because a claim
        # that has just committed is not in hand yet.
        known = self._dispatcher.in_hand
        idle = {(key, fence) for key, (fence, _) in held.items() if key not in runs and key not in known}
        orphans = idle & self._held_by_nobody
        self._held_by_nobody = idle - orphans
        if orphans:
            self._dispatcher.give_back(
                [Outcome(id=key, fence=fence, event=Event.RELEASE) for key, fence in sorted(orphans)]
            )

    def _keep_house(self) -> None:
        # A worker that was itself stalled cannot tell whose beats are late.
        if self._beats_on_time < 2:
            return
        lost = recovery.recover(self._lease, self._using)
        if lost:
            logger.warning("Took back %d jobs whose workers have vanished", lost)
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_INTERVAL
            repaired = housekeeping.repair_children(self._using)
            if repaired:
                logger.warning("Settled %d waiting jobs whose parents had all ended", repaired)
        if time.monotonic() >= self._next_prune:
            self._next_prune = time.monotonic() + (0 if self._prune() else _PRUNE_INTERVAL)

    def _prune(self) -> bool:
        """Delete expired jobs for a moment; tell whether there may be more."""
        until = time.monotonic() + _PRUNE_MOMENT
        while retention.prune(self._keep, self._using):
            if time.monotonic() > until or self._stopped.is_set():
                return True
        return False
