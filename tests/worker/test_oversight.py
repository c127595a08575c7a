"""What a supervisor decides, with clocks of the test's own."""

import math
import signal

import pytest

from django_flare.states import Event
from django_flare.worker.channel import Report
from django_flare.worker.oversight import LONGEST_PAUSE, SOON, STARTS, Backoff, Watch, describe_exit, fate
from django_flare.worker.vitals import Vitals


def report(overdue=0.0, beat_age=0.0, failing=0.0, worker_id="wrk_1"):
    facts = {"overdue": overdue, "failing": failing, "beat_age": beat_age}
    return Report(vitals=Vitals(worker_id=worker_id, slots=1, running=0, **facts))


class TestBackoff:
    def test_the_first_death_costs_no_time(self):
        assert Backoff().after(0.0) == 0

    def test_it_grows_while_they_die_soon(self):
        backoff = Backoff()
        pauses = [backoff.after(1.0) for _ in range(12)]
        assert pauses[:6] == [0, 0.5, 1, 2, 4, 8]
        assert set(pauses[8:]) == {LONGEST_PAUSE}

    def test_a_long_life_ends_it(self):
        backoff = Backoff()
        for _ in range(5):
            backoff.after(SOON - 1)
        assert backoff.after(SOON) == 0
        assert [backoff.after(0), backoff.after(0)] == [0, 0.5]

    def test_it_grows_for_days_without_an_overflow(self):
        backoff = Backoff()
        assert [backoff.after(0) for _ in range(5000)][-1] == LONGEST_PAUSE


class TestWatch:
    LIMIT = 60.0

    def heard(self, *reports):
        watch = Watch(0.0)
        for moment, each in enumerate(reports, 1):
            watch.note(each, float(moment), self.LIMIT)
        return watch

    def test_who_reports_is_well(self):
        assert self.heard(report()).complaint(1 + self.LIMIT, self.LIMIT) == ""

    def test_who_is_silent_is_stuck(self):
        complaint = self.heard(report()).complaint(1.1 + self.LIMIT, self.LIMIT)
        assert complaint == "it has said nothing for 60 s"

    def test_a_start_may_take_its_time(self):
        watch = Watch(0.0)
        assert watch.complaint(STARTS, 3.0) == ""
        assert watch.complaint(STARTS + 1, 3.0) == "it has said nothing in its first 60 s"
        assert watch.complaint(99.0, 100.0) == ""

    def test_one_overdue_report_may_be_a_pause_of_the_machine(self):
        assert self.heard(report(61)).complaint(1.0, self.LIMIT) == ""
        assert self.heard(report(61), report(0), report(61)).complaint(3.0, self.LIMIT) == ""

    def test_two_in_a_row_are_a_stuck_loop(self):
        complaint = self.heard(report(61), report(62)).complaint(2.0, self.LIMIT)
        assert complaint == "its claim loop has been stuck for 60 s"

    def beating(self, *ages):
        """Report these ages of the last beat, long after the start, a second apart until 200."""
        watch = Watch(0.0)
        for moment, age in enumerate(ages, 201 - len(ages)):
            watch.note(report(beat_age=age), float(moment), self.LIMIT)
        return watch

    def test_who_does_not_beat_never_claims_again(self):
        """F60: the thread has ended, or waits for ever; the claim loop goes round."""
        watch = self.beating(61, 62)
        assert watch.complaint(200.0, self.LIMIT) == (
            "no beat of it has been recorded for 60 s, though the database answers"
        )
        assert watch.speaks
        assert self.beating(61).complaint(200.0, self.LIMIT) == ""
        assert self.beating(61, 0).complaint(200.0, self.LIMIT) == ""

    @pytest.mark.parametrize("excuse", [{"failing": 5.0}, {"worker_id": ""}])
    def test_without_a_database_nobody_beats(self, excuse):
        """And when it answers again there is time for a beat."""
        watch = self.heard(*[report(beat_age=math.inf, **excuse)] * 100)
        watch.note(report(beat_age=500), 101.0, self.LIMIT)
        watch.note(report(beat_age=501), 102.0, self.LIMIT)
        assert watch.complaint(102.0, self.LIMIT) == ""

    def test_who_is_about_to_register_anew_has_no_beat_for_a_moment(self):
        watch = self.heard(report(beat_age=3), *[report(beat_age=math.inf)] * 58)
        assert watch.complaint(59.0, self.LIMIT) == ""
        watch.note(report(beat_age=math.inf), 61.0, self.LIMIT)
        watch.note(report(beat_age=math.inf), 62.0, self.LIMIT)
        assert watch.complaint(62.0, self.LIMIT)

    def test_a_supervisor_that_stood_still_judges_nobody(self):
        watch = self.heard(report())
        watch.forgive(1000.0)
        assert watch.complaint(1000.0 + self.LIMIT, self.LIMIT) == ""
        assert watch.complaint(1000.1 + self.LIMIT, self.LIMIT)

    def test_nor_those_that_just_start(self):
        watch = Watch(0.0)
        watch.forgive(1000.0)
        assert watch.complaint(1000.0, self.LIMIT) == ""
        assert watch.complaint(1000.0 + STARTS, self.LIMIT)


@pytest.mark.parametrize(
    ("code", "has_ended", "was_cut_short", "expected"),
    [
        (-signal.SIGKILL, False, False, Event.LOSE),
        (0, False, False, Event.LOSE),
        (1, False, False, Event.LOSE),
        (0, True, False, Event.RELEASE),
        (-signal.SIGSEGV, True, False, Event.LOSE),
        (-signal.SIGKILL, True, True, Event.RELEASE),
    ],
)
def test_what_becomes_of_the_runs(code, has_ended, was_cut_short, expected):
    assert fate(code, has_ended=has_ended, was_cut_short=was_cut_short) is expected


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-11, "killed by SIGSEGV"),
        (-250, "killed by signal 250"),
    ],
)
def test_how_a_process_ended_in_words(code, text):
    assert describe_exit(code) == text
