"""A payment provider, pretended: it writes down each call and fails as the product says."""

from __future__ import annotations

from example_project.shop.models import Order, PaymentAttempt, PaymentBehaviour

_FAILURES_BEFORE_SUCCESS = {PaymentBehaviour.WORKS: 0, PaymentBehaviour.FAILS_TWICE: 2}


class PaymentUnavailableError(Exception):
    """The provider did not answer; later it may."""


class PaymentRefusedError(Exception):
    """The provider answered, and the answer is no."""


def charge(order: Order) -> PaymentAttempt:
    """Take the money for an order, once: asked again after a success, return that one.

    A job may run twice (its worker can vanish after the payment and before that is recorded), so whatever
    it calls must be safe to repeat. Real providers take an idempotency key for this. Raises
    PaymentUnavailableError or PaymentRefusedError.
    """
    paid = order.payment_attempts.filter(accepted=True).first()
    return paid or _call(order, earlier=order.payment_attempts.count())


def _call(order: Order, earlier: int) -> PaymentAttempt:
    payment = PaymentBehaviour(order.product.payment)
    accepted = earlier >= _FAILURES_BEFORE_SUCCESS.get(payment, earlier + 1)
    attempt = PaymentAttempt.objects.create(order=order, accepted=accepted)
    if accepted:
        return attempt
    if payment is PaymentBehaviour.NEVER_WORKS:
        raise PaymentRefusedError("the card was declined")
    raise PaymentUnavailableError("the payment provider did not answer")
