"""The client inside running jobs."""

import os
import random
import secrets
from functools import cache

from django_flare import jobs
from django_flare.errors import FlareNotFoundError
from tests.chaos.client_log import ClientLog


@cache
def _log():
    return ClientLog(os.environ["CHAOS_LOGS"], "inside")


def enqueue_children(payload, ctx):
    """Enqueue as many jobs as the payload says: children of the running one, and free ones."""
    log = _log()
    draw = random.Random(f"{payload['token']}.{ctx.attempt_number}")
    for _ in range(payload["children"]):
        token = f"in-{secrets.token_hex(8)}"
        as_child = draw.random() < 0.5
        with log.asking("enqueue", "inside", token=token) as answer:
            try:
                if as_child:
                    answer["job"] = jobs.continue_with(ctx.job_id, "chaos.node", {"token": token})
                else:
                    answer["job"] = jobs.enqueue("chaos.noop", {"token": token})
                answer["result"] = "ok"
            except FlareNotFoundError:
                answer["result"] = "refused"
        # So that the parent may end while another of its children is added.
        ctx.sleep(draw.uniform(0, 0.05))
