"""The page of one job: what it is, what has happened to it, and why it is not running."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_flare import jobs
from django_flare.admin.base import may
from django_flare.admin.bulk import is_others_operation
from django_flare.admin.changelist import complete, kept_url
from django_flare.admin.documents import clean, documents
from django_flare.admin.graph import Graph, draw, find_family
from django_flare.admin.reasons import sentence
from django_flare.admin.timeline import timeline
from django_flare.admin.verbs import OTHERS_OPERATION, RETRY, Button, buttons
from django_flare.admin.words import moment, span, state_badge
from django_flare.arguments import parse_id
from django_flare.errors import FlareError
from django_flare.jobs.tolerance import Unreadable, read_alone, read_tolerantly
from django_flare.models import Attempt, Job
from django_flare.states import FINAL
from django_flare.store.clock import read_now

MOST_RELATIONS = 200
MOST_ATTEMPTS = 100
_KEY = re.compile(r"[0-9]{1,18}", re.ASCII)
_COLUMNS = tuple(each.attname for each in Job._meta.concrete_fields)


@dataclass(frozen=True)
class Fact:
    """A name and what there is to say of it; with `url`, it leads there."""

    name: Any
    value: Any
    url: str = ""


@dataclass(frozen=True)
class Relations:
    """The parents and children of a job: drawn, or as lists where there are too many to draw."""

    graph: Graph | None = None
    parents: tuple[Any, ...] = ()
    children: tuple[Any, ...] = ()
    has_more: bool = False


def find_job(rows: QuerySet[Any], object_id: str) -> Any:
    """Return the job with this id, or with this key, as far as it can be read; None if there is none.

    Keys are for Django's own links, which know no other address.
    """
    given = unquote(object_id)
    public_id = parse_id(given)
    if public_id is not None:
        named = rows.filter(public_id=public_id)
    elif _KEY.fullmatch(given):
        named = rows.filter(pk=int(given))
    else:
        return None
    key = named.order_by().values_list("pk", flat=True).first()
    return None if key is None else complete(rows, read_alone(rows, key), _COLUMNS)


def page_context(page: Any, request: HttpRequest, job: Any) -> dict[str, Any]:
    """Return what the template of the page shows."""
    url = partial(kept_url, page, request)
    attempts = _attempts(job)
    now = read_now(page.get_queryset(request).db)
    return {
        "opts": page.opts,
        "media": page.media,
        "preserved_filters": page.get_preserved_filters(request),
        "title": _("Job %(id)s") % {"id": job.public_id},
        "job": job,
        "badge": state_badge(job.state),
        "is_final": job.state in FINAL,
        "percent": None if job.progress is None else int(job.progress * 100),
        "buttons": _buttons(request, job),
        "others_operation": OTHERS_OPERATION if is_others_operation(request.user, job) else "",
        "unreadable": getattr(job, "unreadable", []),
        "error": clean(job.error_message or ""),
        "result_error": clean(job.result_error or ""),
        **_reason(page.get_queryset(request), job, url),
        "facts": _facts(job, url),
        "steps": timeline(job, attempts[:MOST_ATTEMPTS], now),
        "documents": documents(job),
        "attempts": attempts[:MOST_ATTEMPTS],
        "has_more_attempts": len(attempts) > MOST_ATTEMPTS,
        "relations": _relations(page.get_queryset(request), job),
        "seen_at": moment(now),
    }


def _buttons(request: HttpRequest, job: Any) -> list[Button]:
    found = buttons(job.state, partial(may, request))
    if is_others_operation(request.user, job):
        return [each for each in found if each.verb != RETRY]
    return found


def _attempts(job: Any) -> list[Attempt]:
    """Return the newest attempts, one more than are shown: a job that a loop retries has thousands."""
    every = Attempt.objects.filter(job_id=job.pk).order_by("-fence")
    found = read_tolerantly(every, every[: MOST_ATTEMPTS + 1])
    rows = [each for each in found if not isinstance(each, Unreadable)]
    for attempt in rows:
        attempt.error_message, attempt.traceback = clean(attempt.error_message), clean(attempt.traceback)
        ran = None if attempt.started_at is None else attempt.ended_at - attempt.started_at
        attempt.lasted = span(None if ran is None else ran.total_seconds())  # type: ignore[attr-defined]
        attempt.ended = moment(attempt.ended_at)  # type: ignore[attr-defined]
    return rows


def _reason(visible: QuerySet[Any], job: Any, url: Any) -> dict[str, Any]:
    """Say why the job is not running; nothing of a row that cannot be read, or that has just gone."""
    if getattr(job, "unreadable", None):
        return {}
    try:
        explanation = jobs.explain(job.public_id)
    except FlareError:
        return {}
    ids = explanation.details.get("parent_job_ids", ())
    return {"reason": sentence(explanation), "open_parents": _links(visible, ids, url) if ids else []}


def _links(visible: QuerySet[Any], ids: Sequence[str], url: Any) -> list[Fact]:
    """Return those of the jobs that may be seen, in order."""
    rows = visible.order_by().filter(public_id__in=ids).values_list("public_id", "job_type")
    types = {str(public_id): job_type for public_id, job_type in rows}
    return [Fact(types[each], each, url(each)) for each in ids if each in types]


def _facts(job: Any, url: Any) -> list[Fact]:
    facts = [
        Fact(_("Type"), job.job_type),
        Fact(_("Queue"), job.queue),
        Fact(_("Priority"), None if job.rank is None else job.priority),
        Fact(_("Attempt"), f"{job.attempt}/{job.max_attempts}"),
        Fact(_("Worker"), job.worker_id),
        Fact(_("Times lost"), job.losses or None),
        Fact(_("Timeout"), job.timeout and span(job.timeout.total_seconds())),
        Fact(_("Created at"), job.created_at and moment(job.created_at)),
        Fact(_("Run at"), job.run_at and moment(job.run_at)),
        Fact(_("Idempotency key"), job.idempotency_key),
        Fact(_("Scope of the key"), job.idempotency_scope),
    ]
    if job.cancelled_by:
        facts.append(Fact(_("Cancelled by"), job.cancelled_by, url(job.cancelled_by)))
    return [fact for fact in facts if fact.value not in (None, "")]


def _relations(visible: QuerySet[Any], job: Any) -> Relations | None:
    family = find_family(job)
    if len(family.keys) == 1:
        return None
    if family.is_whole:
        return Relations(graph=draw(job, family, visible))
    parents = _some(visible.filter(child_links__child_id=job.pk).order_by("pk"))
    children = _some(visible.filter(parent_links__parent_id=job.pk).order_by("pk"))
    return Relations(
        parents=tuple(parents[:MOST_RELATIONS]),
        children=tuple(children[:MOST_RELATIONS]),
        has_more=len(children) > MOST_RELATIONS,
    )


def _some(rows: QuerySet[Any]) -> list[Any]:
    rows = rows.only("public_id", "state", "job_type", "queue")
    found = [
        each for each in read_tolerantly(rows, rows[: MOST_RELATIONS + 1]) if not isinstance(each, Unreadable)
    ]
    for each in found:
        each.badge = state_badge(each.state)
    return found
