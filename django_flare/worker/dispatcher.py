"""The loop of a worker: record outcomes, claim what there is room for, hand it to the slots.

One thread on one connection. Whenever it is free it takes all outcomes there are and refills,
in one transaction; batches grow by themselves under load, and an idle worker answers at once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque

from django.db import DatabaseError, InterfaceError, connections

from django_flare.definitions import registry
from django_flare.lifecycle import claim, finish, housekeeping
from django_flare.lifecycle.claim import ClaimedRow, ClaimRequest
from django_flare.lifecycle.finish import Applied
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from django_flare.store.faults import is_passing
from django_flare.worker import reports
from django_flare.worker.appetite import Appetite
from django_flare.worker.connections import drop_connection
from django_flare.worker.identity import Identity
from django_flare.worker.inbox import Inbox
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outlook import Outlook
from django_flare.worker.runs import EndReason, Run
from django_flare.worker.slots import Slots

logger = logging.getLogger("django_flare.worker")

_PROGRESS_INTERVAL = 0.5
_STALL = 0.5
_BUSY_ROW_PAUSE = 0.05
_LONGEST_BACKOFF = 5.0
_BATCH = 500


class Dispatcher(threading.Thread):
    """Turn outcomes into rows and rows into runs until told to stop and everything is settled."""

    def __init__(self, options: WorkerOptions, identity: Identity, outlook: Outlook) -> None:
        super().__init__(name="flare-dispatcher", daemon=True)
        self.inbox = Inbox()
        self.slots = Slots(options.concurrency, options.database, self.inbox.put)
        self.settled = threading.Event()
        """Set when nothing runs and nothing will: stopped, burst over, or `--max-jobs` reached."""
        self.in_hand: dict[int, Run] = {}
        """Runs claimed and not yet recorded, by key; changed by this thread alone."""
        self._options = options
        self._using = options.database
        self._identity = identity
        self._appetite = Appetite(options.concurrency, options.max_jobs)
        self._outlook = outlook
        self._types = {definition.name: definition for definition in registry.definitions()}
        self._unwritten: dict[int, Outcome] = {}
        self._orphans: deque[Outcome] = deque()
        self._suspects: deque[Run] = deque()
        self._suspect: Run | None = None
        self._dropped: list[Run] = []
        self._progress_changed = False
        self._progress_written = 0.0
        self._last_movement = time.monotonic()
        self._failures = 0
        self._stopping = False

    # What other threads may call.

    def stop(self) -> None:
        """Claim nothing more and give back what no slot has started."""
        self._stopping = True
        self.inbox.wake()

    def give_up(self) -> None:
        """Give back every run, also those that still run: their process is about to end."""
        for run in list(self.in_hand.values()):
            run.tell_to_end(EndReason.SHUTDOWN)
            self._release(run)
        self.inbox.wake()

    def tell_all_to_end(self, reason: EndReason) -> None:
        """Set the tokens of all runs."""
        for run in list(self.in_hand.values()):
            run.tell_to_end(reason)

    def drop_lease(self) -> None:
        """Forget every run, since the worker's row is gone: others decide about those jobs (F05)."""
        unstarted = [*self._take_back(), *self._suspects]
        self._suspects.clear()
        for run in list(self.in_hand.values()):
            run.tell_to_end(EndReason.LEASE_LOST)
            if run not in unstarted:
                self._dropped.append(run)
        self.in_hand, self._unwritten = {}, {}

    def give_back(self, outcomes: list[Outcome]) -> None:
        """Give back rows that this worker holds and nobody runs."""
        self._orphans.extend(outcomes)
        self.inbox.wake()

    # The loop.

    def run(self) -> None:
        self.slots.start()
        woken = True
        finished: list[Run] = []
        while not self.settled.is_set():
            try:
                self._receive(finished)
                self._turn(woken)
                self._failures = 0
            except (DatabaseError, InterfaceError) as error:
                self._ride_out(error)
            except Exception:
                # A bug of ours must not end the worker; it keeps its runs and tries again.
                logger.exception("The dispatcher failed and goes on")
                self._ride_out(None)
            if self._is_settled():
                self.settled.set()
                break
            finished, woken = self.inbox.collect(self._patience())
        drop_connection(connections[self._using])

    def _receive(self, finished: list[Run]) -> None:
        while finished:
            run = finished.pop()
            self._last_movement = time.monotonic()
            self._appetite.note(run.duration)
            if self.in_hand.get(run.row.id) is not run:
                reports.lost_lease(run)
            elif run.recorded is not None:
                self._settle(run, run.recorded)
                self._outlook.note_recorded(Applied({run.row.id: run.recorded}))
            elif run.outcome is not None:
                self._unwritten[run.row.id] = run.outcome

    def _turn(self, woken: bool) -> None:
        """Promote what is due, record all outcomes, claim what there is room for."""
        if self._stopping or self._is_stalled():
            self._give_back_waiting()
        self._give_back_orphans()
        self._outlook.look(self._using, woken=woken)
        outcomes = list(self._unwritten.values())[:_BATCH]
        request = self._request(len(self.in_hand) - len(outcomes))
        if outcomes or request:
            self._exchange(outcomes, request)
        self._outlook.look_ahead(self._using)
        self._run_suspects()
        self._write_progress()

    def _exchange(self, outcomes: list[Outcome], request: ClaimRequest | None) -> None:
        try:
            turn = claim.take_turn(outcomes, request, self._using)
        except DatabaseError as error:
            if is_passing(error) or not outcomes:
                raise
            applied = finish.apply_each(outcomes, self._using)
            self._conclude(applied)
        else:
            applied = turn.applied
            # In this order: a job that was given back may have been claimed again in the same turn.
            self._conclude(applied)
            self._accept(turn.claimed, request)
        self._outlook.note_recorded(applied)

    def _request(self, staying: int) -> ClaimRequest | None:
        if self._stopping or self._is_wary() or not self._identity.may_claim:
            return None
        room = self._appetite.room(staying + self._count_dropped())
        queues = self._outlook.queues
        if room <= 0 or not queues:
            return None
        return ClaimRequest(self._identity.worker_id, queues, self._types, min(room, _BATCH))

    def _accept(self, rows: list[ClaimedRow], request: ClaimRequest | None) -> None:
        if request is not None:
            self._outlook.note_claim(full=len(rows) == request.limit, found=bool(rows))
        self._appetite.note_claimed(len(rows))
        self._last_movement = time.monotonic() if rows else self._last_movement
        for row in rows:
            run = Run(row, self._types[row.job_type], self._note_progress)
            self.in_hand[row.id] = run
            if not row.losses:
                self.slots.put(run)
            elif not self._suspects:
                self._suspects.append(run)
            else:
                # Held behind another suspect it would have a part in that one's next loss.
                self._release(run)
                self._appetite.note_claimed(-1)

    def _run_suspects(self) -> None:
        """Run a job that lost its worker before when nothing else runs: it may kill this one too (F45)."""
        if self._suspects and len(self.in_hand) == len(self._suspects):
            self._suspect = self._suspects.popleft()
            self.slots.put(self._suspect)

    def _is_wary(self) -> bool:
        """Whether a suspect waits or runs, beside which nothing may be started."""
        return bool(self._suspects) or (self._suspect is not None and self._suspect.outcome is None)

    def _count_dropped(self) -> int:
        """Count the runs that lost their lease and still keep a slot from other jobs."""
        self._dropped = [run for run in self._dropped if run.outcome is None]
        return len(self._dropped)

    def _conclude(self, applied: Applied) -> None:
        for key, state in applied.states.items():
            self._unwritten.pop(key, None)
            run = self.in_hand.get(key)
            if run is not None:
                self._settle(run, state)
        for outcome in applied.refused:
            self._unwritten.pop(outcome.id, None)
            run = self.in_hand.pop(outcome.id, None)
            if run is not None and not run.uncertain:
                reports.lost_lease(run)

    def _settle(self, run: Run, state: str) -> None:
        self.in_hand.pop(run.row.id, None)
        reports.finished(run, state, self.slots.notify)

    # Giving back.

    def _is_stalled(self) -> bool:
        return time.monotonic() - self._last_movement > _STALL

    def _give_back_waiting(self) -> None:
        waiting = self._take_back()
        if self._stopping:
            waiting += self._suspects
            self._suspects.clear()
        elif waiting:
            self._appetite.note_stall()
        for run in waiting:
            self._release(run)
        self._appetite.note_claimed(-len(waiting))

    def _give_back_orphans(self) -> None:
        while self._orphans:
            outcome = self._orphans.popleft()
            # Between its claim and now it may have come in hand: only this thread can tell.
            if outcome.id not in self.in_hand:
                self._unwritten.setdefault(outcome.id, outcome)

    def _take_back(self) -> list[Run]:
        waiting = self.slots.take_back()
        if self._suspect in waiting:
            self._suspect = None
        return waiting

    def _release(self, run: Run) -> None:
        self._unwritten.setdefault(run.row.id, run.outcome_of(Event.RELEASE))

    # Progress.

    def _note_progress(self) -> None:
        # Called from slots; the next turn within half a second writes it.
        self._progress_changed = True

    def _write_progress(self) -> None:
        now = time.monotonic()
        if not self._progress_changed or now - self._progress_written < _PROGRESS_INTERVAL:
            return
        self._progress_changed, self._progress_written = False, now
        latest = {
            (run.row.id, run.row.fence): run.progress.value
            for run in self.in_hand.values()
            if run.progress.value is not None
        }
        housekeeping.record_progress(latest, self._using)

    # Waiting.

    def _patience(self) -> float:
        """Return how long there is nothing to do but wait for a message, in seconds."""
        if self._failures:
            return random.uniform(0.1, min(_LONGEST_BACKOFF, 0.2 * 2**self._failures))  # noqa: S311 - spreads rivals
        if self._unwritten:
            return _BUSY_ROW_PAUSE
        patience = self._outlook.patience
        if self.in_hand:
            patience = min(patience, _PROGRESS_INTERVAL)
        return patience

    def _is_settled(self) -> bool:
        if self.in_hand or self._unwritten:
            return False
        over = self._options.burst and self._outlook.is_empty
        return self._stopping or self._appetite.is_satisfied or over

    def _ride_out(self, error: Exception | None) -> None:
        """Keep everything, get a new connection, and let the pause grow while it lasts (F33)."""
        for key in list(self._unwritten):
            if key in self.in_hand:
                self.in_hand[key].uncertain = True
        self._failures = min(self._failures + 1, 10)
        if error is not None and self._failures == 1:
            logger.warning("The database does not answer; going on when it does: %s", error)
        drop_connection(connections[self._using])
