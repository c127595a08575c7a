"""The loop of a worker: record outcomes, claim what there is room for, hand it to the slots.

One thread on one connection. Whenever it is free it takes all outcomes there are and refills,
in one transaction; batches grow by themselves under load, and an idle worker answers at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from django.db import DatabaseError, InterfaceError

from django_flare.conf import flare_settings
from django_flare.definitions import registry
from django_flare.lifecycle import claim, singly
from django_flare.lifecycle.claim import ClaimRequest, Turn
from django_flare.lifecycle.finish import Applied
from django_flare.lifecycle.outcomes import Outcome
from django_flare.lifecycle.quarantine import set_aside_unreadable
from django_flare.states import Event
from django_flare.store.faults import is_passing
from django_flare.worker import progress
from django_flare.worker.appetite import Appetite
from django_flare.worker.caution import Caution
from django_flare.worker.hand import Hand
from django_flare.worker.identity import Identity
from django_flare.worker.inbox import Inbox
from django_flare.worker.lines import Line
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outages import Outage
from django_flare.worker.outlook import Outlook
from django_flare.worker.progress import ProgressWriter
from django_flare.worker.runs import EndReason, Run
from django_flare.worker.settlement import Settlement
from django_flare.worker.slots import Slots
from django_flare.worker.tally import Tally

logger = logging.getLogger("django_flare.worker")

_STALL = 0.5
_BUSY_ROW_PAUSE = 0.05
_BATCH = 500


class Dispatcher(threading.Thread):
    """Turn outcomes into rows and rows into runs until told to stop and everything is settled."""

    def __init__(
        self,
        options: WorkerOptions,
        identity: Identity,
        outlook: Outlook,
        overran: Callable[[Run], object] | None = None,
        distrust: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(name="flare-dispatcher", daemon=True)
        self.inbox = Inbox()
        self.slots = Slots(
            options.concurrency, options.database, self.inbox.put, overran, lambda: identity.may_claim
        )
        self.settled = threading.Event()
        """Set when nothing runs and nothing will: stopped, burst over, or `--max-jobs` reached."""
        self.tally = Tally()
        self.line = Line(options.database, flare_settings().lease.total_seconds() / 2)
        self._options = options
        self._using = options.database
        self._identity = identity
        self._appetite = Appetite(options.concurrency, options.max_jobs)
        self._outlook = outlook
        self._distrust = distrust
        self._types = {definition.name: definition for definition in registry.definitions()}
        self._hand = Hand()
        self._settlement = Settlement(self._hand, self.tally, self.slots.notify)
        self._caution = Caution()
        self._worker_id = ""
        self._progress = ProgressWriter(options.database)
        self._last_movement = time.monotonic()
        self._outage = Outage()
        self._next_turn_by: float | None = None
        self._stopping = False
        self.runs_ended = 0
        """How many runs have ended in this worker, however."""
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

    @property
    def in_hand(self) -> Mapping[int, Run]:
        """The runs claimed and not yet recorded, by key."""
        return self._hand.runs

    def tell_all_to_end(self, reason: EndReason) -> None:
        """Set the tokens of all runs."""
        for run in list(self._hand.runs.values()):
            run.tell_to_end(reason)

    def give_back(self, outcomes: list[Outcome]) -> None:
        """Give back rows that this worker holds and nobody runs."""
        self._hand.add_orphans(outcomes)
        self.inbox.wake()

    @property
    def has_begun_all(self) -> bool:
        """Whether `--max-jobs` attempts have been claimed, and none of them waits for a slot."""
        held = list(self._hand.runs.values())
        return self._appetite.is_satisfied and all(run.started_at is not None for run in held)

    @property
    def overdue(self) -> float:
        """By how many seconds the loop should have come round and has not moved since.

        A turn may be long, of many statements or slow ones: each of the database's answers is a move.
        """
        by, answered = self._next_turn_by, self.line.busy_since
        return 0.0 if by is None else max(0.0, time.monotonic() - max(by, answered or by))

    @property
    def failing(self) -> float:
        """For how many seconds turns have failed, 0 when the last one did not."""
        return self._outage.seconds

    # The loop.

    def run(self) -> None:
        self.slots.start()
        self._next_turn_by = time.monotonic()
        woken = True
        finished: list[Run] = []
        while not self.settled.is_set():
            try:
                self._receive(finished)
                with self.line:
                    self._turn(woken)
                self._outage.end()
            except (DatabaseError, InterfaceError) as error:
                self._ride_out(error)
            except Exception:
                # A bug of ours must not end the worker; it keeps its runs and tries again.
                logger.exception("The dispatcher failed and goes on")
                self._ride_out(None)
            if self._is_settled():
                self.settled.set()
                break
            patience = self._patience()
            self._next_turn_by = time.monotonic() + patience
            more, woken = self.inbox.collect(patience, self._appetite.surplus(len(self._hand.runs)))
            finished += more
        self._next_turn_by = None
        self.line.drop()

    def _receive(self, finished: list[Run]) -> None:
        while finished:
            run = finished.pop()
            self.runs_ended += 1
            self._last_movement = time.monotonic()
            self._appetite.note(run.duration)
            if run.recorded is not None:
                self._settlement.settle(run, run.recorded)
                self._outlook.note_recorded(Applied({run.row.id: run.recorded}))
            elif run.outcome is not None and not self._hand.holds(run):
                self._settlement.refuse(run, run.outcome)
            elif run.outcome is not None:
                if run.outcome.event is Event.FAIL and self._distrust is not None:
                    self._distrust()
                self._hand.unwritten[run.row.id] = run.outcome

    def _turn(self, woken: bool) -> None:
        """Promote what is due, record all outcomes, claim what there is room for."""
        if self._worker_id != self._identity.worker_id:
            self._drop_lost_runs()
        if self._stopping or self._is_stalled():
            self._give_back_waiting()
        self._hand.give_back_orphans()
        outcomes = list(self._hand.unwritten.values())[:_BATCH]
        self._look(woken, outcomes)
        request = self._request(self._hand.staying_beside(outcomes))
        if outcomes or request:
            self._exchange(outcomes, request)
        self._outlook.note_recorded(self._settlement.clear_doubts(self._using))
        self._outlook.look_ahead(self._using)
        self._progress.write(self._hand.runs.values())

    def _look(self, woken: bool, outcomes: list[Outcome]) -> None:
        try:
            self._outlook.look(self._using, woken=woken)
        except Exception:
            # Whatever keeps it from seeing what there is to do: what has been done is recorded.
            if outcomes:
                self._exchange(outcomes, None)
            raise

    def _exchange(self, outcomes: list[Outcome], request: ClaimRequest | None) -> None:
        try:
            turn = claim.take_turn(outcomes, request, self._using)
        except InterfaceError:
            raise
        except Exception as error:
            if is_passing(error, self._outage.failures):
                raise
            self._exchange_apart(outcomes, request, error)
            return
        # In this order: a job that was given back may have been claimed again in the same turn.
        self._settlement.conclude(turn.applied)
        if request is not None:
            self._accept(turn, request)
        self._outlook.note_recorded(turn.applied)

    def _exchange_apart(
        self, outcomes: list[Outcome], request: ClaimRequest | None, error: Exception
    ) -> None:
        """Find the one row that all the others must not wait for (F58)."""
        if outcomes:
            logger.error("Outcomes could not be recorded together; trying each alone", exc_info=error)
            for applied in singly.apply_each(outcomes, self._using, self._outage.failures):
                self._settlement.conclude(applied)
                self._outlook.note_recorded(applied)
            # Anew: a run whose row is locked is still in hand, and this worker not idle.
            if again := self._request(len(self._hand.runs)):
                self._exchange([], again)
        elif request is None or not (found := set_aside_unreadable(request, self._using)):
            raise error
        else:
            self._settlement.note_set_aside(found)
            self._outlook.note_recorded(Applied({row.id: row.state for row in found}))
            self._accept(claim.take_turn([], request, self._using), request)

    def _request(self, staying: int) -> ClaimRequest | None:
        if self._stopping or self._caution.forbids_claims(staying) or not self._identity.may_claim:
            return None
        busy = staying + self._hand.count_dropped()
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
            mixed=self._outlook.mixed,
            seeks_suspect=self._caution.has_made_room,
        )

    def _accept(self, turn: Turn, request: ClaimRequest) -> None:
        rows = turn.claimed
        if request.worker_id == self._identity.worker_id:
            self._outlook.note_claim(found=bool(rows), has_more=turn.has_more, mixed=turn.mixed)
        self.tally.claimed += len(rows)
        if rows:
            self._last_movement = time.monotonic()
        if request.is_idle:
            self._caution.note_idle_claim()
        if turn.keeps_waiting:
            # Others behind it may have been taken, and under a steady load always are.
            self._caution.make_room()
        for row in rows:
            run = Run(row, self._types[row.job_type], self._progress.note, request.worker_id)
            self._hand.runs[row.id] = run
            self._caution.note_claimed(run)
            self.slots.put(run)
        # Not before they are in hand: who sees that enough are claimed looks for those that wait.
        self._appetite.note_claimed(len(rows))

    # Giving back.

    def _is_stalled(self) -> bool:
        return time.monotonic() - self._last_movement > _STALL

    def _give_back_waiting(self) -> None:
        waiting = self.slots.take_back()
        self._caution.note_taken_back(waiting)
        if waiting and not self._stopping:
            self._appetite.note_stall()
        for run in waiting:
            self._hand.note_unwritten(run.outcome_of(Event.RELEASE))
        self._appetite.note_claimed(-len(waiting))

    def _drop_lost_runs(self) -> None:
        """Forget the runs of the id that was taken for dead: others decide about those jobs (F05)."""
        self._worker_id = self._identity.worker_id
        unstarted = self.slots.take_back()
        kept = [run for run in unstarted if run.worker_id == self._worker_id]
        # A suspect that is kept was never out of hand: nothing may start beside it meanwhile (F45).
        self._caution.note_taken_back([run for run in unstarted if run not in kept])
        for run in kept:
            self.slots.put(run)
        for run in [run for run in self._hand.runs.values() if run.worker_id != self._worker_id]:
            outcome = self._hand.drop(run)
            if outcome is not None:
                self._settlement.refuse(run, outcome)
            elif run.started_at is None:
                # One with an outcome was counted when it was given back.
                self._appetite.note_claimed(-1)

    # Waiting.

    def _patience(self) -> float:
        """Return how long there is nothing to do but wait for a message, in seconds."""
        if self._outage.failures:
            return self._outage.pause
        if self._hand.unwritten:
            return _BUSY_ROW_PAUSE
        patience = self._outlook.patience
        if self._hand.runs:
            patience = min(patience, progress.INTERVAL)
        return patience

    def _is_settled(self) -> bool:
        if self.has_given_up:
            return not self._hand.unwritten
        if self._hand:
            return False
        over = self._options.burst and self._outlook.is_empty
        return self._stopping or self._appetite.is_satisfied or over

    def _ride_out(self, error: Exception | None) -> None:
        """Keep what has begun, get a new connection, and let the pause grow while it lasts (F33)."""
        self._hand.mark_uncertain()
        # An outcome of what has not begun could not be recorded either, and would be lost with this worker.
        self._give_back_waiting()
        self._outage.note(error)
        self.line.drop()
