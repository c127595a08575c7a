"""The proof of life, on a thread and a connection of its own, and what a beat brings back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from django.db import DatabaseError, InterfaceError

from django_flare.conf import flare_settings
from django_flare.lifecycle import recovery
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from django_flare.worker.dispatcher import Dispatcher
from django_flare.worker.identity import Identity, now
from django_flare.worker.lines import Line
from django_flare.worker.runs import EndReason, Run

logger = logging.getLogger("django_flare.worker")

_STEADY = 2


class Heartbeat(threading.Thread):
    """Beat, and compare the rows that this worker holds with its runs."""

    def __init__(self, dispatcher: Dispatcher, identity: Identity, using: str) -> None:
        super().__init__(name="flare-heartbeat", daemon=True)
        self._dispatcher = dispatcher
        self._identity = identity
        self._using = using
        settings = flare_settings()
        self._beat = settings.beat.total_seconds()
        # Short enough that another beat is tried before the lease is over.
        self.line = Line(using, settings.lease.total_seconds() / 3)
        self._stopped = threading.Event()
        self._beats_on_time = 0
        self._failures = 0
        self._last_sent: float | None = None
        self._held_by_nobody: set[tuple[int, int]] = set()

    def run(self) -> None:
        while not self._stopped.is_set():
            next_beat = time.monotonic() + self._beat
            self._try_to_beat()
            self._stopped.wait(max(0.0, next_beat - time.monotonic()))
        self.line.drop()

    @property
    def is_steady(self) -> bool:
        """Whether the last two beats were on time: a stalled worker cannot tell whose beats are late."""
        return self._beats_on_time >= _STEADY

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    def _try_to_beat(self) -> None:
        try:
            with self.line:
                self._do_beat()
            self._failures = 0
        except (DatabaseError, InterfaceError) as error:
            self._beats_on_time = 0
            self._failures += 1
            if self._failures == 1:
                logger.warning("A beat failed; the lease goes on meanwhile: %s", error)
            self.line.drop()
        except Exception:
            self._beats_on_time = 0
            logger.exception("A beat failed")
            self.line.drop()

    def _do_beat(self) -> None:
        sent_at = now()
        runs = dict(self._dispatcher.in_hand)
        beat = recovery.beat(self._identity.worker_id, len(runs), self._using)
        if not beat.alive:
            if self._stopped.is_set():
                return
            logger.warning(
                "This worker was taken for dead; dropping its %d runs, going on under a new id", len(runs)
            )
            # Under the new id the dispatcher drops them; until then what ends is recorded if its fence holds.
            self._identity.forget()
            self._identity.register()
            self._dispatcher.inbox.wake()
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
