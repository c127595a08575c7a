"""Signals that projects subscribe to; each is sent after the commit of what it tells.

Receivers get `sender` (the job type, a string) and the keyword arguments named here. What a
receiver raises is logged and changes nothing.
"""

from __future__ import annotations

from django.dispatch import Signal

job_enqueued = Signal()
"""Sent when a created job is committed: `job_ids` (a list of str), `queue`."""

job_started = Signal()
"""Sent before an attempt runs, from its slot: `job_id`, `queue`, `attempt`."""

job_finished = Signal()
"""Sent after an outcome is committed: `job_id`, `queue`, `attempt`, `state`, `duration` in seconds.

From the next slot that is free; a worker that ends without waiting may not send it.
"""
