"""All that a supervisor is told, so that another process can be it, and its work from start to end."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, dataclass

from django_flare.worker.probes import probed
from django_flare.worker.signal_handlers import handled
from django_flare.worker.supervisor import Supervisor, Terms
from django_flare.worker.vitals import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Say which command each child is, on which terms it is kept, and who may ask how it is."""

    command: list[str]
    terms: Terms
    limits: Limits
    health_port: int | None

    def as_json(self) -> str:
        """Return it as `from_json` takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan that `as_json` wrote."""
        found = json.loads(text)
        return cls(**{**found, "terms": Terms(**found["terms"]), "limits": Limits(*found["limits"])})


def supervise(plan: Plan) -> None:
    """Supervise until told to stop and all children have ended; raises PortTakenError and StartError."""
    supervisor = Supervisor(plan.terms, plan.command)
    signals = handled((signal.SIGQUIT,), lambda: supervisor.pass_on(signal.SIGQUIT))
    probes = probed(
        plan.health_port,
        plan.limits,
        supervisor.vitals,
        lambda: supervisor.is_stopping,
        supervisor.totals.sums,
    )
    with probes, signals:
        supervisor.run()
