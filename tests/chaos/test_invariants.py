"""Each invariant holds for a history in which all is well, and is broken by the history that it is about."""

import pytest

from tests.chaos import invariants
from tests.chaos.histories import A, B, Story, ordinary
from tests.chaos.invariants import runs
from tests.chaos.records import Sample, Usage

BROKEN = {}


def breaks(*names):
    """Say which invariants a history breaks: these and no others."""

    def note(function):
        BROKEN[function.__name__] = (set(names), function)
        return function

    return note


@breaks("I1")
def lost(story):
    story.ask("enqueue", 1, 2, token="gone", job="gone", result="ok")


@breaks("I1")
def invented(story):
    story.create("from nowhere", 1, asked=False).run("from nowhere", 2)


@breaks("I1")
def refused_and_there(story):
    story.create("refused", 1, asked=False).run("refused", 2)
    story.ask("enqueue", 0.9, 1.1, token="t-refused", result="rolled_back")


@breaks("I1")
def order_without_its_job(story):
    story.ask("enqueue", 1, 2, "transactional", token="torn").told.orders.append("torn")


@breaks("I1")
def job_without_its_order(story):
    story.create("torn", 1, asked=False).run("torn", 2)
    story.ask("enqueue", 0.9, 1.1, "transactional", token="t-torn", job="torn", result="ok")


@breaks("I1", "I11")
def not_ended(story):
    story.create("waiting", 1)


@breaks("I2")
def twice_of_one_request(story):
    story.create("once", 1, token="same").run("once", 2)
    story.create("twice", 1, token="same").run("twice", 2)


@breaks("I3")
def reopened(story):
    story.create("done", 1).run("done", 2).change("done", "pending", 3).change("done", "cancelled", 4)


@breaks("I3")
def changed_unseen(story):
    story.create("jumping", 1).run("jumping", 2)
    story._now["jumping"]["state"] = "dead_letter"
    story.change("jumping", "pending", 4).change("jumping", "cancelled", 5)


def _die(story, job):
    story.create(job, 1).claim(job, 2).start(job, 2.1, until=2.2)
    return story.change(job, "dead_letter", 2.3, writer=f"chaos-worker-{A}")


@breaks("I3")
def risen_though_refused(story):
    _die(story, "dead").ask("retry", 3, 4, job="dead", result="ok", answer=False)
    story.change("dead", "pending", 3.5).run("dead", 5)


@breaks("I3")
def risen_before_anybody_asked(story):
    _die(story, "dead").change("dead", "pending", 2.5).run("dead", 5)
    story.ask("retry", 3, 4, job="dead", result="ok", answer=True)


@breaks("I3")
def revived_though_nobody_said_so(story):
    story.create("son", 1, state="scheduled", parents=["dead"])
    _die(story, "dead").change("son", "cancelled", 2.3)
    story.ask("retry", 3, 4, job="dead", result="ok", answer=True).change("dead", "pending", 3.5)
    story.change("son", "scheduled", 3.5).run("dead", 5)
    story.change("son", "pending", 5.3, run_at=5.3).run("son", 6, parents=["succeeded"])


@breaks("I3", "I1")
def deleted_alive(story):
    story.create("deleted", 1).delete("deleted", 3)


@breaks("I4")
def succeeded_without_a_start(story):
    story.create("unstarted", 1).claim("unstarted", 2).succeed("unstarted", 3)


@breaks("I4", "I5", "I8")
def started_though_never_claimed(story):
    story.create("unclaimed", 1, state="scheduled").start("unclaimed", 1.5).change(
        "unclaimed", "cancelled", 2
    )


@breaks("I5")
def lost_without_a_cause(story):
    story.create("dropped", 20).claim("dropped", 21).start("dropped", 21.1, until=21.2)
    story.lose("dropped", 22).run("dropped", 23, B)


@breaks("I5", "I8")
def started_twice_under_one_fence(story):
    story.create("double", 20).claim("double", 21).start("double", 21.1, until=21.2)
    story.start("double", 21.3, until=21.4, nonce="second").succeed("double", 21.5, nonce="second")


@breaks("I6")
def overlapping(story):
    story.create("twin", 20).claim("twin", 21).start("twin", 21.1, until=25)
    story.fail("twin", 22).change("twin", "pending", 22.5).run("twin", 23, B)


@breaks("I7")
def outcome_of_the_run_before(story):
    story.create("stale", 1).claim("stale", 2).start("stale", 2.1, until=12, nonce="old")
    story.lose("stale", 9).claim("stale", 10, B).start("stale", 10.1, B, until=10.8, nonce="new")
    story.succeed("stale", 10.5, B, nonce="old")


@breaks("I7")
def outcome_written_by_another_process(story):
    story.create("stale", 1).claim("stale", 2, B).start("stale", 2.1, B, until=2.2)
    story.succeed("stale", 2.3, A)


@breaks("I7")
def fence_goes_back(story):
    story.create("lowered", 1).claim("lowered", 2).start("lowered", 2.1, until=2.2)
    story.succeed("lowered", 2.3, fence=0)


@breaks("I8")
def attempt_burned_by_a_release(story):
    story.create("burned", 1).claim("burned", 2).start("burned", 2.1, until=2.9)
    story.change("burned", "pending", 3).run("burned", 4, B)


@breaks("I8")
def attempt_burned_by_a_stop(story):
    story.create("burned", 1).claim("burned", 2).start("burned", 2.1, until=2.2)
    story.fail("burned", 2.3, error="JobCancelled: worker stops").change("burned", "pending", 3).run(
        "burned", 4
    )


@breaks("I8")
def too_many_attempts(story):
    story.create("eager", 1, max_attempts=1).claim("eager", 2).start("eager", 2.1, until=2.2)
    story.fail("eager", 2.3).change("eager", "pending", 3).run("eager", 4)


@breaks("I9")
def child_before_its_parent(story):
    story.create("father", 1).create("son", 1, state="scheduled", parents=["father"])
    story.claim("father", 2).start("father", 2.1, until=2.2, nonce="father")
    story.change("son", "pending", 2.3, run_at=2.3).run("son", 2.4, B, parents=["succeeded"])
    story.succeed("father", 2.35, committed=2.9, nonce="father")


@breaks("I9")
def child_saw_its_parent_at_work(story):
    story.create("father", 1).create("son", 1, state="scheduled", parents=["father"]).run("father", 2)
    story.change("son", "pending", 2.3, run_at=2.3).run("son", 2.6, parents=["processing"])


@breaks("I9", "I10")
def child_of_a_dead_parent_ran(story):
    story.create("father", 1).create("son", 1, state="scheduled", parents=["father"])
    story.claim("father", 2).start("father", 2.1, until=2.2)
    story.change("father", "dead_letter", 2.3, writer=f"chaos-worker-{A}")
    story.change("son", "pending", 3, run_at=3).run("son", 4)


@breaks("I1", "I11")
def stuck_under_an_ended_parent(story):
    story.create("father", 1).run("father", 2).create("son", 1, state="scheduled", parents=["father"])


@breaks("I11")
def repaired(story):
    story.told.repairs = 1


@breaks("I12")
def two_jobs_of_one_key(story):
    story.create("first", 1, key="two", token="a").run("first", 2)
    story.create("second", 1, key="two", token="b").run("second", 2)


@breaks("I12")
def answered_with_another_request(story):
    story.create("first", 1, key="mixed", token="a").run("first", 2)
    story.ask("enqueue", 3, 4, token="b", key="mixed", job="first", result="ok")


@breaks("I12")
def answered_with_a_deleted_job(story):
    story.create("first", 1, key="old", token="a").run("first", 2).delete("first", 40)
    story.ask("enqueue", 60, 61, token="a", key="old", job="first", result="ok")


@breaks("I12")
def conflict_without_a_rival(story):
    story.ask("enqueue", 1, 2, token="a", key="alone", result="refused", error="idempotency_key_reuse")


@breaks("I13")
def cancelled_and_started(story):
    story.create("undead", 1).claim("undead", 2).start("undead", 2.1, until=2.2).fault("crash", 2, 3)
    story.lose("undead", 3).change("undead", "cancelled", 4).start("undead", 5, until=6)
    story.told.executions[-1] = story.told.executions[-1]._replace(attempt=1)
    story.told.executions.pop(-2)


@breaks("I13")
def cancel_was_true_for_nothing(story):
    story.create("ran", 1).run("ran", 2).ask("cancel", 1.5, 1.6, job="ran", result="ok", answer=True)


@breaks("I13")
def cancel_was_false_for_nothing(story):
    story.create("waited", 1, state="scheduled", run_at=2).change("waited", "pending", 5).run("waited", 6)
    story.ask("cancel", 2, 3, job="waited", result="ok", answer=False)


@breaks("I14")
def atomic_effect_twice(story):
    story.effect("atomic", "atomic")


@breaks("I14")
def atomic_effect_of_a_failure(story):
    story.create("undone", 1, kind="chaos.atomic").claim("undone", 2).start("undone", 2.1, until=2.2)
    story.change("undone", "dead_letter", 2.3, writer=f"chaos-worker-{A}").effect("undone", "atomic")


@breaks("I14")
def no_effect(story):
    story.create("idle", 1, kind="chaos.write").run("idle", 2)


@breaks("I16")
def promoted_early(story):
    story.create("early", 1, state="scheduled", run_at=9).change("early", "pending", 3).run("early", 4)


@breaks("I16")
def started_early(story):
    story.create("early", 1, payload={"delay": 8}).run("early", 4)


@breaks("I17")
def poison_again_and_again(story):
    story.create("endless", 20, kind="chaos.poison")
    for turn in range(4):
        story.claim("endless", 21 + turn).start("endless", 21.1 + turn)
        error = "worker_lost" if turn == 3 else ""
        story.lose("endless", 21.5 + turn, "dead_letter" if turn == 3 else "pending", error=error)


@breaks("I17")
def poison_that_nobody_cancelled(story):
    story.create("gone", 20, kind="chaos.poison").claim("gone", 21).start("gone", 21.1)
    story.lose("gone", 22).change("gone", "cancelled", 23)


@breaks("I17")
def poison_without_a_reason(story):
    story.create("mute", 20, kind="chaos.poison").claim("mute", 21).start("mute", 21.1)
    story.lose("mute", 22, "dead_letter", error="who knows")


@breaks("I18")
def idle_in_transaction(story):
    story.told.samples.append(Sample(100, ((A, 9.0),)))


@breaks("I18")
def too_many_sessions(story):
    story.told.samples.append(Sample(100, sessions=2000))


@breaks("I18")
def advisory_lock(story):
    story.told.samples.append(Sample(100, advisory_locks=1))


@breaks("I18")
def left_behind(story):
    story.told.orphans.append("python -m django flare_worker")


@breaks("I18")
def growing(story):
    story.told.usages += [Usage(second, A, 50_000 + 500 * second, 30) for second in range(90)]


@breaks("I19")
def server_error(story):
    story.ask("enqueue", 1, 2, token="t-plain", statuses=((500, False),))


@breaks("I19")
def no_word_when_to_come_back(story):
    story.ask("enqueue", 1, 2, token="t-plain", statuses=((503, False),))


def red(evidence):
    return {name for name, found in invariants.check(evidence).items() if found}


def test_all_is_well():
    found = invariants.check(ordinary().evidence())
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_found(name):
    expected, tell = BROKEN[name]
    story = ordinary()
    tell(story)
    found = invariants.check(story.evidence())
    assert {key for key, each in found.items() if each} == expected, found


def test_each_invariant_can_be_broken():
    applicable = {name for name, invariant in invariants.INVARIANTS.items() if invariant}
    assert set().union(*(names for names, _ in BROKEN.values())) == applicable


class TestWhatIsNoViolation:
    def test_a_loss_with_a_fault_on_all(self):
        story = Story().fault("crash", 21.5, 23).create("dropped", 20).claim("dropped", 21)
        story.start("dropped", 21.1, until=21.2).lose("dropped", 22).run("dropped", 23, B)
        assert red(story.evidence()) == set()

    def test_a_loss_of_a_poison_s_neighbour(self):
        story = ordinary()
        story.create("neighbour", 1).claim("neighbour", 2, 32).start("neighbour", 2.05, 32)
        story.lose("neighbour", 3).run("neighbour", 5, B)
        assert red(story.evidence()) == set()

    def test_a_session_of_a_frozen_process(self):
        story = ordinary().fault("freeze", 90, 105, A)
        story.told.samples.append(Sample(100, ((A, 9.0),)))
        assert red(story.evidence()) == set()

    def test_memory_that_has_grown_at_first(self):
        story = ordinary()
        story.told.usages += [Usage(second, A, 50_000 + 500 * min(second, 40), 30) for second in range(90)]
        assert red(story.evidence()) == set()

    def test_a_release_of_a_run_that_was_asked_to_stop(self):
        story = Story().create("stopped", 1).claim("stopped", 2).start("stopped", 2.1, until=2.2)
        story.change("stopped", "cancelled", 3, attempt=0, writer=f"chaos-worker-{A}")
        assert red(story.evidence()) == set()

    def test_a_poison_that_was_cancelled_by_hand(self):
        story = Story().create("gone", 20, kind="chaos.poison").claim("gone", 21).start("gone", 21.1)
        story.lose("gone", 22).change("gone", "cancelled", 23)
        story.ask("cancel", 22.9, 23.1, job="gone", result="ok", answer=True)
        assert red(story.evidence()) == set()

    def test_a_manual_retry_before_its_time(self):
        story = Story().create("eager", 1).claim("eager", 2).start("eager", 2.1, until=2.2)
        story.fail("eager", 2.3, run_at=60).ask("retry", 3, 3.2, job="eager", result="ok", answer=True)
        story.change("eager", "pending", 3.1, run_at=3.1).run("eager", 4)
        assert red(story.evidence()) == set()


def test_a_fault_on_another_process_explains_nothing():
    story = Story().fault("kill_group", 21.5, 23, B).create("dropped", 20).claim("dropped", 21)
    story.start("dropped", 21.1, until=21.2).lose("dropped", 22).run("dropped", 23, B)
    assert red(story.evidence()) == {"I5"}


def test_the_checker_s_transitions_are_those_of_the_table():
    """The checker keeps a table of its own; both are written from the specification."""
    from django_flare.states import TRANSITIONS, Event

    pairs = {
        (source.value, target.value)
        for event, transition in TRANSITIONS.items()
        for source in transition.sources
        for target in transition.targets
    }
    created = {(None, target.value) for target in TRANSITIONS[Event.CREATE].targets}
    in_place = {("processing", "processing"), ("scheduled", "scheduled")}
    deleted = {pair for pair in runs.ALLOWED if pair[1] is None}
    assert pairs | created | in_place == runs.ALLOWED - deleted
    assert deleted == {(state, None) for state in ("succeeded", "cancelled", "dead_letter")}
