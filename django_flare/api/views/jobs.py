"""Jobs: create, read and control them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.utils.encoding import escape_uri_path
from rest_framework.request import Request
from rest_framework.response import Response

from django_flare import jobs
from django_flare.api import replay
from django_flare.api.attempts import read_attempts
from django_flare.api.authentication import caller_of
from django_flare.api.batches import read_batch
from django_flare.api.bodies import read_object, read_optional_object, require_members, require_no_body
from django_flare.api.creation import read_request
from django_flare.api.etags import tagged
from django_flare.api.pages import read_page
from django_flare.api.permissions import Need, may_see_tracebacks
from django_flare.api.problems import problem
from django_flare.api.query import read_filters, read_query
from django_flare.api.redaction import describe_job
from django_flare.api.views.base import FlareView
from django_flare.arguments import no_job
from django_flare.models.api_key import Scope
from django_flare.status import JobStatus


class JobViews(FlareView):
    """Answer under `v1/jobs`."""

    needs: ClassVar = {
        "list": Need(Scope.READ, "view_job"),
        "retrieve": Need(Scope.READ, "view_job"),
        "explain": Need(Scope.READ, "view_job"),
        "attempts": Need(Scope.READ, "view_attempt"),
        "create": Need(Scope.WRITE, "add_job"),
        "batch": Need(Scope.WRITE, "add_job"),
        "cancel": Need(Scope.WRITE, "cancel_job"),
        "retry": Need(Scope.WRITE, "retry_job"),
        "discard": Need(Scope.WRITE, "discard_job"),
        "stop": Need(Scope.WRITE, "stop_job"),
    }

    def list(self, request: Request) -> Response:
        """Return one page of jobs, newest first."""
        page = read_page(read_filters(request))
        return Response(
            {
                "jobs": [describe_job(status) for status in page.jobs],
                "has_more": page.has_more,
                "next_cursor": page.next_cursor,
            }
        )

    def create(self, request: Request) -> Response:
        """Create a job, or give the first answer to its idempotency key again."""
        read_query(request)
        scope = str(caller_of(request))
        answer = replay.create(read_request(request, read_object(request), scope))
        headers = {"Location": f"{escape_uri_path(request.path)}/{answer.job_id}"}
        if answer.is_replay:
            headers["Idempotent-Replay"] = "true"
        return Response(answer.body, status=201, headers=headers)

    def batch(self, request: Request) -> Response:
        """Create up to a thousand jobs, all or none."""
        read_query(request)
        ids = replay.create_many(read_batch(request, str(caller_of(request))))
        return Response({"ids": ids}, status=201)

    def retrieve(self, request: Request, job_id: str) -> Response:
        """Return one job."""
        read_query(request)
        return tagged(request, describe_job(_status(job_id)))

    def explain(self, request: Request, job_id: str) -> Response:
        """Say why a job is not running."""
        read_query(request)
        return Response(jobs.explain(job_id).as_dict())

    def attempts(self, request: Request, job_id: str) -> Response:
        """Return the attempts of a job that did not succeed."""
        read_query(request)
        with_tracebacks = may_see_tracebacks(request)
        return Response({"attempts": read_attempts(job_id, with_tracebacks=with_tracebacks)})

    def cancel(self, request: Request, job_id: str) -> Response:
        """Cancel a job that waits."""
        return _control(request, job_id, jobs.cancel, "cancel")

    def discard(self, request: Request, job_id: str) -> Response:
        """Give up on the retries of a failed job."""
        return _control(request, job_id, jobs.discard, "discard")

    def stop(self, request: Request, job_id: str) -> Response:
        """Ask a processing job to stop."""
        return _control(request, job_id, jobs.stop, "stop")

    def retry(self, request: Request, job_id: str) -> Response:
        """Make a failed or dead job claimable."""
        read_query(request)
        body = read_optional_object(request)
        require_members(body, ("revive",))
        return _answer(job_id, jobs.retry(job_id, revive=body.get("revive", False)), "retry")


def _control(request: Request, job_id: str, verb: Callable[[str], bool], word: str) -> Response:
    read_query(request)
    require_no_body(request)
    return _answer(job_id, verb(job_id), word)


def _answer(job_id: str, done: bool, word: str) -> Response:
    status = _status(job_id)
    if done:
        return Response(describe_job(status))
    state = status.state.value
    message = f"cannot {word} a job that is {state}"
    details: list[dict[str, Any]] = [{"field": "state", "reason": state, "message": message}]
    raise problem("invalid_state", message, details)


def _status(job_id: str) -> JobStatus:
    status = jobs.get_status(job_id)
    if status is None:
        raise no_job(job_id)
    return status
