"""What must hold after a campaign: nineteen functions of the evidence, each yielding what contradicts it."""

from tests.chaos.invariants.clients import (
    cancelled_means_cancelled,
    every_answer_is_one_to_expect,
    nothing_is_lost_or_invented,
    one_job_for_a_key,
    unknown_means_one_or_none,
)
from tests.chaos.invariants.graph import (
    children_come_after_their_parents,
    no_child_survives_a_broken_parent,
    nothing_is_stuck,
)
from tests.chaos.invariants.runs import (
    every_extra_execution_is_explained,
    final_states_have_their_runs,
    no_attempt_is_burned,
    nothing_starts_before_its_time,
    one_way_through_the_states,
    outcomes_are_of_the_newest_run,
    poison_is_contained,
    runs_do_not_overlap,
)
from tests.chaos.invariants.surroundings import effects_happen_once, the_server_is_left_alone

INVARIANTS = {
    "I1": nothing_is_lost_or_invented,
    "I2": unknown_means_one_or_none,
    "I3": one_way_through_the_states,
    "I4": final_states_have_their_runs,
    "I5": every_extra_execution_is_explained,
    "I6": runs_do_not_overlap,
    "I7": outcomes_are_of_the_newest_run,
    "I8": no_attempt_is_burned,
    "I9": children_come_after_their_parents,
    "I10": no_child_survives_a_broken_parent,
    "I11": nothing_is_stuck,
    "I12": one_job_for_a_key,
    "I13": cancelled_means_cancelled,
    "I14": effects_happen_once,
    "I15": None,
    "I16": nothing_starts_before_its_time,
    "I17": poison_is_contained,
    "I18": the_server_is_left_alone,
    "I19": every_answer_is_one_to_expect,
}
"""By their numbers in the plan; I15 is about recurring jobs, which are not built."""


BESIDE = {
    "nemesis": "Every fault was brought about as planned",
    "exits": "No worker process ends unless it is ended, or a poison kills it",
    "clean stops": "A worker that is told to stop exits with 0",
    "figures": "No figure is beyond its bound",
}
"""What a campaign finds besides, in its processes and figures."""


def check(evidence):
    """Return the violations of each invariant; None for one that does not apply."""
    return {
        name: None if invariant is None else list(invariant(evidence))
        for name, invariant in INVARIANTS.items()
    }


def describe(name):
    """Return what an invariant says, in one line."""
    if name in BESIDE:
        return BESIDE[name]
    invariant = INVARIANTS[name]
    return "each tick fires once" if invariant is None else invariant.__doc__.splitlines()[0].rstrip(".")
