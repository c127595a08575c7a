"""The shop's HTTP API: JSON in, JSON out.

Nobody has to log in here, so that the example can be tried with curl. A real project guards these
endpoints: with them anybody can cancel anybody's jobs. They use no cookies, hence no CSRF protection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from django_flare import FlareNotFoundError, FlareOptionError, jobs
from example_project.shop.forms import OrderForm, ReportForm, problems
from example_project.shop.jobs import GenerateReport
from example_project.shop.models import Order
from example_project.shop.orders import place_order

JsonView = Callable[..., JsonResponse]


class BadRequestError(Exception):
    """The request cannot be taken; the message says why."""


def json_view(view: JsonView) -> JsonView:
    """Answer what `view` raises: 400 for bad input, 404 for an unknown id."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        try:
            return view(request, *args, **kwargs)
        except BadRequestError as error:
            return failure(400, str(error))
        except Order.DoesNotExist:
            return failure(404, "No such order")
        except FlareNotFoundError:
            return failure(404, "No such job")

    return answer


def failure(status: int, message: str) -> JsonResponse:
    """Return an answer that says what is wrong."""
    return JsonResponse({"error": message}, status=status)


def read_object(request: HttpRequest) -> Mapping[str, Any]:
    """Return the JSON object in the request's body."""
    try:
        body = json.loads(request.body)
    except RequestDataTooBig:
        raise BadRequestError("The body is too large") from None
    except (ValueError, RecursionError):
        raise BadRequestError("The body is no JSON") from None
    if not isinstance(body, dict):
        raise BadRequestError("The body is no JSON object")
    return body


@csrf_exempt
@require_POST
@json_view
def create_order(request: HttpRequest) -> JsonResponse:
    """Take `{"email", "product", "quantity"}`, the product being its SKU."""
    form = OrderForm(read_object(request))
    if not form.is_valid():
        raise BadRequestError(problems(form))
    order = place_order(**form.cleaned_data)
    body = {"order_id": order.pk, "job_id": order.job_id}
    return JsonResponse(body, status=201, headers={"Location": order.get_absolute_url()})


@require_safe
@json_view
def show_order(request: HttpRequest, order_id: int) -> JsonResponse:
    """Return an order."""
    order = Order.objects.select_related("product").get(pk=order_id)
    return JsonResponse(
        {
            "order_id": order.pk,
            "email": order.email,
            "product": order.product.sku,
            "quantity": order.quantity,
            "total": order.total,
            "status": order.status,
            "created_at": order.created_at,
            "job_id": order.job_id,
            "confirmation_job_id": order.confirmation_job_id,
        }
    )


@csrf_exempt
@require_POST
@json_view
def schedule_report(request: HttpRequest) -> JsonResponse:
    """Take `{"run_at"}`, an RFC 3339 time with offset; one that has passed means now."""
    form = ReportForm(read_object(request))
    if not form.is_valid():
        raise BadRequestError(problems(form))
    try:
        job_id = jobs.schedule(GenerateReport, when=form.cleaned_data["run_at"])
    except FlareOptionError as error:
        # A time more than ten years ahead.
        raise BadRequestError(f"run_at: {error}") from None
    return JsonResponse({"job_id": job_id}, status=202)


@csrf_exempt
@require_POST
@json_view
def cancel_job(request: HttpRequest, job_id: str) -> JsonResponse:
    """Cancel a job that has not started, and with it those that wait for it."""
    if not jobs.cancel(job_id):
        return failure(409, "Job cannot be cancelled")
    return job_status(job_id)


@csrf_exempt
@require_POST
@json_view
def retry_job(request: HttpRequest, job_id: str) -> JsonResponse:
    """Run a failed or dead job again."""
    if not jobs.retry(job_id):
        return failure(409, "Job cannot be retried")
    return job_status(job_id)


@require_safe
@json_view
def show_job(request: HttpRequest, job_id: str) -> JsonResponse:
    """Return what is known of a job."""
    return job_status(job_id)


def job_status(job_id: str) -> JsonResponse:
    """Return the job object, or 404."""
    status = jobs.get_status(job_id)
    return failure(404, "No such job") if status is None else JsonResponse(status.as_dict())
