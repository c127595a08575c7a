"""Payloads, results and tags as text: readable, masked, cut, and escaped by whoever shows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.utils.translation import gettext_lazy as _

from django_flare.jobs.redaction import redacted

MOST_SHOWN = 10_000
"""How many characters of a document are shown on the page."""
FIELDS: dict[str, Any] = {"payload": _("Payload"), "result": _("Result"), "tags": _("Tags")}


@dataclass(frozen=True)
class Document:
    """One document of a job; `is_cut` when the page shows its beginning only."""

    field: str
    title: Any
    text: str
    is_cut: bool


def documents(job: Any) -> list[Document]:
    """Return the documents of the job that hold anything."""
    shown = []
    for field, title in FIELDS.items():
        value = getattr(job, field)
        if value is not None and value != {}:
            text = as_text(value)
            shown.append(Document(field, title, text[:MOST_SHOWN], len(text) > MOST_SHOWN))
    return shown


def as_text(value: Any) -> str:
    """Return the document as indented JSON with what is to be hidden masked; never fails."""
    try:
        text = json.dumps(redacted(value), indent=2, ensure_ascii=False, default=str)
    except (RecursionError, ValueError, AttributeError):
        # What a foreign hand has written may be no document at all, or too deep to be masked.
        return str(_("This value cannot be shown."))
    return clean(text)


def clean(text: str) -> str:
    """Return the text with what no answer can carry replaced."""
    return text.encode("utf-8", "replace").decode()


def raw_answer(job: Any, field: str) -> HttpResponse:
    """Return a whole document, masked, as plain text that no browser takes for a page."""
    if job is None or field not in FIELDS:
        raise Http404
    answer = HttpResponse(as_text(getattr(job, field)), content_type="text/plain; charset=utf-8")
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Cache-Control"] = "no-store"
    return answer
