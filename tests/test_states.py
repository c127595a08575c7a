"""The machine of section 2 of the product's description, written out once more."""

import pytest

from django_flare.states import BROKEN, ENDED, FINAL, TRANSITIONS, WAITING, Event, JobState, allows, sources

TABLE = """
create   |                        | pending scheduled cancelled
due      | scheduled failed       | pending
claim    | pending                | processing
succeed  | processing             | succeeded
fail     | processing             | failed
exhaust  | processing             | dead_letter
lose     | processing             | pending dead_letter
release  | processing             | pending
snooze   | processing             | scheduled
stopped  | processing             | cancelled
cancel   | pending scheduled      | cancelled
cascade  | scheduled              | cancelled
discard  | failed                 | dead_letter
retry    | failed dead_letter     | pending
revive   | cancelled              | pending scheduled cancelled
"""
ROWS = [[cell.split() for cell in line.split("|")] for line in TABLE.strip().splitlines()]


def test_the_states_are_these_seven():
    assert [*JobState] == [
        "pending",
        "scheduled",
        "processing",
        "succeeded",
        "failed",
        "cancelled",
        "dead_letter",
    ]


@pytest.mark.parametrize(("event", "before", "after"), ROWS, ids=[row[0][0] for row in ROWS])
def test_each_event_leads_where_the_table_says(event, before, after):
    transition = TRANSITIONS[Event(event[0])]
    assert transition.sources == set(before)
    assert transition.targets == set(after)


def test_the_table_holds_every_event():
    assert {row[0][0] for row in ROWS} == set(TRANSITIONS) == set(Event)


def test_anything_else_is_refused():
    allowed = {(row[0][0], state) for row in ROWS for state in row[1]}
    assert {(event, state) for event in Event for state in JobState if allows(event, state)} == allowed


def test_sources_are_read_from_the_table():
    assert sources(Event.CANCEL) == WAITING


def test_final_states_are_left_only_by_an_operator():
    leaving = {event for event in Event if TRANSITIONS[event].sources & FINAL}
    assert leaving == {Event.RETRY, Event.REVIVE}


def test_every_state_can_be_reached_and_groups_fit_together():
    assert set().union(*(row.targets for row in TRANSITIONS.values())) == set(JobState)
    assert {JobState.FAILED} == ENDED - FINAL
    assert BROKEN < FINAL
