"""The words for what an operator may do to jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from django_flare.operations import VERBS, Verb

RETRY = "retry"
OTHERS_OPERATION = _(
    "An action on all jobs that match runs in the name of whoever started it: nobody else can retry it. "
    "Start it anew from the list."
)


@dataclass(frozen=True)
class VerbWords:
    """Name a verb on buttons, ask about it, and say what it has done; counted phrases take a number.

    `at_least` is `will` for a number at which counting stopped; those that begin with `record` are
    for the history.
    """

    button: Any
    question: Any
    will: Any
    at_least: Any
    done: Any
    record: Any
    record_refused: Any
    record_started: Any
    refused: Any


WORDS: dict[str, VerbWords] = {
    "cancel": VerbWords(
        button=_("Cancel"),
        question=_("Cancel jobs?"),
        will=ngettext_lazy(
            "%d job will be cancelled, and with it all jobs that wait for it.",
            "%d jobs will be cancelled, and with them all jobs that wait for them.",
        ),
        at_least=ngettext_lazy(
            "At least %d job will be cancelled, and with it all jobs that wait for it.",
            "At least %d jobs will be cancelled, and with them all jobs that wait for them.",
        ),
        done=ngettext_lazy("%d job was cancelled.", "%d jobs were cancelled."),
        record=_("Cancelled."),
        record_refused=_("Not cancelled: its state forbade it."),
        record_started=_("Cancel: started for all jobs that match."),
        refused=_("Only pending and scheduled jobs can be cancelled."),
    ),
    RETRY: VerbWords(
        button=_("Retry"),
        question=_("Retry jobs?"),
        will=ngettext_lazy("%d job will run again.", "%d jobs will run again."),
        at_least=ngettext_lazy(
            "At least %d job will run again.",
            "At least %d jobs will run again.",
        ),
        done=ngettext_lazy("%d job will run again.", "%d jobs will run again."),
        record=_("Retried."),
        record_refused=_("Not retried: its state forbade it."),
        record_started=_("Retry: started for all jobs that match."),
        refused=_("Only failed and dead jobs can be retried."),
    ),
    "discard": VerbWords(
        button=_("Discard"),
        question=_("Discard jobs?"),
        will=ngettext_lazy(
            "%d job will be retried no more, and all jobs that wait for it will be cancelled.",
            "%d jobs will be retried no more, and all jobs that wait for them will be cancelled.",
        ),
        at_least=ngettext_lazy(
            "At least %d job will be retried no more, and all jobs that wait for it will be cancelled.",
            "At least %d jobs will be retried no more, and all jobs that wait for them will be cancelled.",
        ),
        done=ngettext_lazy("%d job went to the dead letter.", "%d jobs went to the dead letter."),
        record=_("Discarded."),
        record_refused=_("Not discarded: its state forbade it."),
        record_started=_("Discard: started for all jobs that match."),
        refused=_("Only failed jobs can be discarded."),
    ),
    "stop": VerbWords(
        button=_("Stop"),
        question=_("Stop jobs?"),
        will=ngettext_lazy(
            "%d job will be asked to stop; it is then cancelled, and with it all jobs that wait for it.",
            "%d jobs will be asked to stop; they are then cancelled, and with them all jobs that wait.",
        ),
        at_least=ngettext_lazy(
            "At least %d job will be asked to stop; it is then cancelled, and with it all that wait for it.",
            "At least %d jobs will be asked to stop; they are then cancelled, and with them all that wait.",
        ),
        done=ngettext_lazy("%d job was asked to stop.", "%d jobs were asked to stop."),
        record=_("Asked to stop."),
        record_refused=_("Not asked to stop: its state forbade it."),
        record_started=_("Stop: started for all jobs that match."),
        refused=_("Only processing jobs can be stopped."),
    ),
}


@dataclass(frozen=True)
class Button:
    """A verb that the state of a job allows and the user may use."""

    verb: str
    label: Any


def buttons(state: str, may: Any) -> list[Button]:
    """Return the buttons for a job in `state`, by the table of transitions; `may` tells of a permission."""
    return [
        Button(verb.name, WORDS[verb.name].button)
        for verb in VERBS.values()
        if verb.fits(state) and may(verb.permission)
    ]


def asks_first(verb: Verb) -> bool:
    """Tell whether the verb takes a confirmation; only a retry can be undone, by a cancel."""
    return verb.name != RETRY
