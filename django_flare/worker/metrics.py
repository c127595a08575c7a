"""A worker's numbers for Prometheus, without labels that grow with time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django_flare.worker.tally import CLAIMED, LEASES_LOST, RUN_ENDS, TIMED_OUT
from django_flare.worker.vitals import Vitals

try:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
except ImportError:
    is_available = False
    CONTENT_TYPE = ""
else:
    is_available = True
    CONTENT_TYPE = CONTENT_TYPE_LATEST


def metrics_text(vitals: Sequence[Vitals], counts: Mapping[str, int]) -> str:
    """Return the numbers in Prometheus' text format; `counts` are those of all processes, also ended ones."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([*_counters(counts), *_gauges(vitals)]))
    return generate_latest(registry).decode().rstrip("\n")


def _counters(counts: Mapping[str, int]) -> Iterator[Metric]:
    def total(name: str) -> int:
        return counts.get(name, 0)

    yield CounterMetricFamily("flare_jobs_claimed", "Jobs claimed", total(CLAIMED))
    finished = CounterMetricFamily(
        "flare_runs_finished",
        "Runs recorded, by the state in which they left their job",
        labels=["state"],
    )
    for state in RUN_ENDS:
        finished.add_metric([state], total(state))
    yield finished
    yield CounterMetricFamily("flare_runs_timed_out", "Runs that went past their timeout", total(TIMED_OUT))
    yield CounterMetricFamily(
        "flare_leases_lost", "Outcomes dropped because the job was somebody else's", total(LEASES_LOST)
    )


def _gauges(vitals: Sequence[Vitals]) -> Iterator[Metric]:
    def most(values: Iterator[float]) -> float:
        return max(values, default=0.0)

    yield GaugeMetricFamily("flare_worker_processes", "Processes that run jobs", len(vitals))
    yield GaugeMetricFamily("flare_worker_slots", "Slots", sum(each.slots for each in vitals))
    yield GaugeMetricFamily(
        "flare_worker_running", "Slots that run a job", sum(each.running for each in vitals)
    )
    yield GaugeMetricFamily(
        "flare_worker_overdue_seconds", "How late a claim loop is", most(each.overdue for each in vitals)
    )
    yield GaugeMetricFamily(
        "flare_worker_failing_seconds", "How long turns have failed", most(each.failing for each in vitals)
    )
    yield GaugeMetricFamily(
        "flare_worker_beat_age_seconds", "Age of the oldest last beat", most(each.beat_age for each in vitals)
    )


class _Collected:
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Any:
        return self._metrics
