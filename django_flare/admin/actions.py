"""Do to jobs what was chosen in the admin: to one, to those that were ticked, or to all that match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_flare.admin.base import may, record
from django_flare.admin.bulk import count_by_state, newest_key, operation_for, others_operations
from django_flare.admin.changelist import CountedUpTo, kept_url
from django_flare.admin.verbs import OTHERS_OPERATION, RETRY, WORDS, asks_first
from django_flare.admin.words import state_badge
from django_flare.errors import FlareNotFoundError
from django_flare.jobs.tolerance import Unreadable, read_tolerantly
from django_flare.models import Job
from django_flare.operations import NAME, VERBS, Verb, start

_YES = "yes"


class Chosen(NamedTuple):
    """What an action needs of a job."""

    id: int
    public_id: UUID
    job_type: str
    state: str

    @property
    def named(self) -> tuple[str, str]:
        """The id and the name under which the history has it."""
        return str(self.public_id), f"{self.job_type} {self.public_id}"


class Kept(NamedTuple):
    """Jobs in one state that an action leaves alone."""

    badge: Any
    number: str


class Others(NamedTuple):
    """How many of the chosen jobs are no candidates, whatever their state.

    They cannot be read, are not in the list any more, or are operations of somebody else.
    """

    unreadable: int = 0
    gone: int = 0
    operations: int = 0


_NONE = Others()


def act_on_selection(page: Any, request: HttpRequest, rows: QuerySet[Any], verb: Verb) -> HttpResponse | None:
    """Do it to the rows that were ticked, or start a job that does it to all that match."""
    _require(request, verb)
    if request.POST.get("select_across") == "1":
        return _act_on_all(page, request, verb)
    found = read_tolerantly(rows.order_by("pk").values_list(*Chosen._fields))
    chosen = [Chosen._make(each) for each in found if not isinstance(each, Unreadable)]
    refused = _others_operations(request, chosen, verb)
    others = Others(
        unreadable=len(found) - len(chosen),
        # Since the list was shown, some may have been deleted, or have left the state that it is filtered by.
        gone=len(set(chosen_keys(request))) - len(found),
        operations=len(refused),
    )
    chosen = [each for each in chosen if each.public_id not in refused]
    if not _is_confirmed(request, verb):
        return _ask(page, request, verb, Counter(each.state for each in chosen), others)
    done, kept = _act(request, chosen, verb)
    _tell(page, request, verb, len(done), len(kept), others)
    return None


def chosen_keys(request: HttpRequest) -> list[str]:
    """Return the keys of the rows that were ticked."""
    return request.POST.getlist(ACTION_CHECKBOX_NAME)


def act_on_one(page: Any, request: HttpRequest, job: Any, name: str) -> HttpResponse:
    """Do it to the job whose page the button is on."""
    verb = VERBS.get(name)
    if verb is None:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    _require(request, verb)
    if job is None:
        raise Http404
    chosen = [Chosen(job.pk, job.public_id, job.job_type, job.state)]
    if _others_operations(request, chosen, verb):
        _tell(page, request, verb, 0, 0, Others(operations=1))
        return _to_page(page, request, job.public_id)
    if verb.fits(job.state) and not _is_confirmed(request, verb):
        return _ask(page, request, verb, Counter([job.state]), job=job)
    done, kept = _act(request, chosen, verb)
    _tell(page, request, verb, len(done), len(kept))
    return _to_page(page, request, job.public_id)


def _others_operations(request: HttpRequest, chosen: Iterable[Chosen], verb: Verb) -> set[UUID]:
    """Return the ids of the chosen jobs that the verb would let act in the name of somebody else."""
    if verb.name != RETRY:
        return set()
    return others_operations(request.user, ((each.public_id, each.job_type) for each in chosen))


def _require(request: HttpRequest, verb: Verb) -> None:
    if not may(request, verb.permission):
        raise PermissionDenied


def _is_confirmed(request: HttpRequest, verb: Verb) -> bool:
    return not asks_first(verb) or request.POST.get("confirmed") == _YES


def _act(request: HttpRequest, chosen: Iterable[Chosen], verb: Verb) -> tuple[list[Chosen], list[Chosen]]:
    """Return the jobs that were changed and those that were not, as each verb has answered."""
    done: list[Chosen] = []
    kept: list[Chosen] = []
    try:
        for each in chosen:
            try:
                (done if verb.act(str(each.public_id)) else kept).append(each)
            except FlareNotFoundError:
                kept.append(each)
    finally:
        # What was done is written down also when the database fails in the middle.
        record(request.user, Job, (each.named for each in done), WORDS[verb.name].record)
        record(request.user, Job, (each.named for each in kept), WORDS[verb.name].record_refused)
    return done, kept


def _to_page(page: Any, request: HttpRequest, job_id: Any) -> HttpResponse:
    return HttpResponseRedirect(kept_url(page, request, job_id))


def _tell(page: Any, request: HttpRequest, verb: Verb, done: int, kept: int, others: Others = _NONE) -> None:
    words = WORDS[verb.name]
    if done:
        page.message_user(request, words.done % done, messages.SUCCESS)
    for left, why in ((kept + others.unreadable, words.refused), (others.operations, OTHERS_OPERATION)):
        if left:
            text = ngettext("%d job was left as it is.", "%d jobs were left as they are.", left) % left
            page.message_user(request, f"{text} {why}", messages.WARNING)
    if others.gone:
        page.message_user(request, _gone(others.gone), messages.WARNING)


def _gone(number: int) -> str:
    return (
        ngettext(
            "%d chosen job is not in this list any more; it was left as it is.",
            "%d chosen jobs are not in this list any more; they were left as they are.",
            number,
        )
        % number
    )


def _ask(
    page: Any,
    request: HttpRequest,
    verb: Verb,
    states: Counter[str],
    others: Others = _NONE,
    **more: Any,
) -> HttpResponse:
    """Show what would be done to how many jobs, and what would be left alone and why."""
    fitting = sum(number for state, number in states.items() if verb.fits(state))
    words = WORDS[verb.name]
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "media": page.media,
        "preserved_filters": page.get_preserved_filters(request),
        "title": words.question,
        "words": words,
        "will": words.will % fitting if fitting else "",
        "kept": _kept(states, verb),
        "others": others,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "action": f"{verb.name}_jobs",
        **more,
    }
    request.current_app = page.admin_site.name
    return TemplateResponse(request, "admin/django_flare/job/confirm.html", context)


def _act_on_all(page: Any, request: HttpRequest, verb: Verb) -> HttpResponse:
    found = page.get_changelist_instance(request)
    last = _last_key(request)
    if not _is_confirmed(request, verb):
        counted = count_by_state(found, verb, last)
        states = Counter({state: int(number) for state, number in counted.items()})
        answer = _ask(page, request, verb, states, last=last, across=True)
        answer.context_data |= _as_counted(counted, verb)  # type: ignore[attr-defined]
        return answer
    job_id = start(operation_for(page, request, found, verb, last))
    record(request.user, Job, [(job_id, f"{NAME} {job_id}")], WORDS[verb.name].record_started)
    page.message_user(request, _("A job does it now; this page shows how far it is."), messages.SUCCESS)
    return _to_page(page, request, job_id)


def _as_counted(counted: dict[str, CountedUpTo], verb: Verb) -> dict[str, Any]:
    """Say the numbers as far as they were counted."""
    said: dict[str, Any] = {"kept": _kept(counted, verb)}
    fitting = [number for state, number in counted.items() if verb.fits(state)]
    if any(number.has_more for number in fitting):
        said["will"] = WORDS[verb.name].at_least % sum(fitting)
    return said


def _kept(numbers: Mapping[str, int], verb: Verb) -> list[Kept]:
    return [
        Kept(state_badge(state), str(number))
        for state, number in sorted(numbers.items())
        if not verb.fits(state)
    ]


def _last_key(request: HttpRequest) -> int:
    """Return the key of the newest job there was when the user was asked: later ones are left alone."""
    newest = newest_key()
    given = request.POST.get("last")
    if given is None:
        return newest
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise SuspiciousOperation("last: expected the key of a job")
    return min(int(given), newest)
