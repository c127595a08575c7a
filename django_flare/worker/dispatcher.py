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
from django_flare.lifecycle import claim, finish
from django_flare.lifecycle.claim import ClaimRequest, Turn
from django_flare.lifecycle.finish import Applied
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from django_flare.store.faults import is_passing
from django_flare.worker import progress, reports
from django_flare.worker.appetite import Appetite
from django_flare.worker.connections import drop_connection
from django_flare.worker.identity import Identity
from django_flare.worker.inbox import Inbox
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outlook import Outlook
from django_flare.worker.progress import ProgressWriter
from django_flare.worker.runs import EndReason, Run
from django_flare.worker.slots import Slots

logger = logging.getLogger("django_flare.worker")

_STALL = 0.5
_BUSY_ROW_PAUSE = 0.05
_LONGEST_BACKOFF = 5.0
_BATCH = 500
_WARY = 15.0
_WARY_AGAIN = 60.0


class Dispatcher(threading.Thread):
    """Turn outcomes into rows and rows into runs until told to stop and everything is settled."""

    def __init__(self, options: WorkerOptions, identity: Identity, outlook: Outlook) -> None:
        super().__init__(name="flare-dispatcher", daemon=True)
        self.inbox = Inbox()
        self.slots = Slots(options.concurrency, options.database, self.inbox.put)
        self.settled = threading.Event()
        """Set when nothing runs and nothing will: stopped, burst over, or `--max-jobs` reached."""
        self.in_hand: dict[int, Run] = {}
        """Runs claimed and not yet recorded, by key; other threads only read it."""
        self._options = options
        self._using = options.database
        self._identity = identity
        self._appetite = Appetite(options.concurrency, options.max_jobs)
        self._outlook = outlook
        self._types = {definition.name: definition for definition in registry.definitions()}
        self._unwritten: dict[int, Outcome] = {}
        self._orphans: deque[Outcome] = deque()
        self._dropped: list[Run] = []
        self._suspect: Run | None = None
        self._wary_until = 0.0
        self._wary_again_at = 0.0
        self._worker_id = ""
        self._progress = ProgressWriter(options.database)
        self._last_movement = time.monotonic()
        self._failures = 0
        self._stopping = False
        self.has_given_up = False

    # What other threads may call.

    def stop(self) -> None:
        """Claim nothing more and give back what no slot has started."""
        self._stopping = True
        self.inbox.wake()

    def give_up(self) -> None:
        """Write what there is to write and end, though handlers still run: their process is about to end."""
        self.has_given_up = True
        self.inbox.wake()

    def tell_all_to_end(self, reason: EndReason) -> None:
        """Set the tokens of all runs."""
        for run in list(self.in_hand.values()):
            run.tell_to_end(reason)

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
            more, woken = self.inbox.collect(self._patience())
            finished += more
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
        if self._worker_id != self._identity.worker_id:
            self._drop_lost_runs()
        if self._stopping or self._is_stalled():
            self._give_back_waiting()
        self._give_back_orphans()
        self._outlook.look(self._using, woken=woken)
        outcomes = list(self._unwritten.values())[:_BATCH]
        request = self._request(len(self.in_hand) - sum(each.id in self.in_hand for each in outcomes))
        if outcomes or request:
            self._exchange(outcomes, request)
        self._outlook.look_ahead(self._using)
        self._progress.write(self.in_hand.values())

    def _exchange(self, outcomes: list[Outcome], request: ClaimRequest | None) -> None:
        try:
            turn = claim.take_turn(outcomes, request, self._using)
        except InterfaceError:
            raise
        except Exception as error:
            if is_passing(error) or not outcomes:
                raise
            logger.exception("Outcomes could not be recorded together; trying each alone")
            applied = finish.apply_each(outcomes, self._using)
            self._conclude(applied)
        else:
            applied = turn.applied
            # In this order: a job that was given back may have been claimed again in the same turn.
            self._conclude(applied)
            if request is not None:
                self._accept(turn, request)
        self._outlook.note_recorded(applied)

    def _request(self, staying: int) -> ClaimRequest | None:
        if self._stopping or self._is_wary(staying) or not self._identity.may_claim:
            return None
        busy = staying + self._count_dropped()
        room = self._appetite.room(busy)
        queues = self._outlook.queues
        if room <= 0 or not queues:
            return None
        return ClaimRequest(
            self._identity.worker_id,
            queues,
            self._types,
            limit=min(room, _BATCH),
            free_slots=max(0, self._options.concurrency - busy),
            is_idle=not busy,
        )

    def _accept(self, turn: Turn, request: ClaimRequest) -> None:
        rows = turn.claimed
        if request.worker_id == self._identity.worker_id:
            self._outlook.note_claim(found=bool(rows), has_more=turn.has_more)
        self._appetite.note_claimed(len(rows))
        if rows:
            self._last_movement = time.monotonic()
        elif turn.has_more and request.free_slots:
            # With a slot free only a suspect is passed over.
            self._be_wary()
        for row in rows:
            run = Run(row, self._types[row.job_type], self._progress.note, request.worker_id)
            self.in_hand[row.id] = run
            self._suspect = run if row.losses else self._suspect
            self.slots.put(run)

    def _be_wary(self) -> None:
        """Claim nothing for a while, so that a job may run alone which has lost its worker before (F45)."""
        now = time.monotonic()
        if now >= self._wary_again_at:
            self._wary_until, self._wary_again_at = now + _WARY, now + _WARY_AGAIN

    def _is_wary(self, staying: int) -> bool:
        """Whether a suspect runs, beside which nothing may start, or waits for the others to end."""
        if self._suspect is not None and self._suspect.outcome is None:
            return True
        return bool(staying) and time.monotonic() < self._wary_until

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
        if waiting and not self._stopping:
            self._appetite.note_stall()
        for run in waiting:
            self._unwritten.setdefault(run.row.id, run.outcome_of(Event.RELEASE))
        self._appetite.note_claimed(-len(waiting))

    def _drop_lost_runs(self) -> None:
        """Forget the runs of the id that was taken for dead: others decide about those jobs (F05)."""
        self._worker_id = self._identity.worker_id
        unstarted = self._take_back()
        for run in unstarted:
            if run.worker_id == self._worker_id:
                self.slots.put(run)
        for run in [run for run in self.in_hand.values() if run.worker_id != self._worker_id]:
            run.tell_to_end(EndReason.LEASE_LOST)
            del self.in_hand[run.row.id]
            self._unwritten.pop(run.row.id, None)
            if run.started_at is None:
                self._appetite.note_claimed(-1)
            else:
                self._dropped.append(run)

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

    # Waiting.

    def _patience(self) -> float:
        """Return how long there is nothing to do but wait for a message, in seconds."""
        if self._failures:
            return random.uniform(0.1, min(_LONGEST_BACKOFF, 0.2 * 2**self._failures))  # noqa: S311 - spreads rivals
        if self._unwritten:
            return _BUSY_ROW_PAUSE
        patience = self._outlook.patience
        if self.in_hand:
            patience = min(patience, progress.INTERVAL)
        return patience

    def _is_settled(self) -> bool:
        if self.has_given_up:
            return not self._unwritten
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
            if is_passing(error):
                logger.warning("The database does not answer; going on when it does: %s", error)
            else:
                logger.error("The database refuses what the worker needs; trying again", exc_info=error)
        drop_connection(connections[self._using])
