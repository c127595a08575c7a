"""One campaign from the first process to the report: `python -m tests.chaos.campaign`, told as JSON.

`python -m tests.chaos` starts it, and removes what is left of it however it ends.
"""

import dataclasses
import json
import platform
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import django

from tests.chaos import auditor, collecting, invariants, nemesis
from tests.chaos.figures import figures
from tests.chaos.nemesis import GLOBAL, NETWORK, Nemesis
from tests.chaos.processes import ROOT
from tests.chaos.report import Report, count_kinds
from tests.chaos.sampler import Sampler
from tests.chaos.scenarios import Scenario
from tests.chaos.settings import LEASE
from tests.chaos.site import Site

_REPAIRED = r"Settled (\d+) waiting jobs"


def timetable(scenario):
    """Return the moments of all faults by track, seeded: those on all, on the network, on processes."""
    draw = random.Random(f"{scenario.seed}.timetable")
    tracks = {"global": [], "network": [], "process": []}
    for kind, count in scenario.faults.items():
        track = "global" if kind in GLOBAL else "network" if kind in NETWORK else "process"
        tracks[track] += [(draw.uniform(2, scenario.seconds), kind) for _ in range(count)]
    return {track: sorted(moments) for track, moments in tracks.items()}


class Campaign:
    """Run a scenario at a site; afterwards there is a report."""

    def __init__(self, scenario, folder, say):
        self.scenario = scenario
        self.site = Site(scenario, folder)
        self._say = say
        self._made_of = {}
        self._failures = []

    def run(self):
        began = time.monotonic()
        try:
            self.site.build()
            self._say(f"everything runs after {time.monotonic() - began:.0f} s")
            sampler = Sampler(self.site)
            sampler.start()
            struck = self._strike()
            drained = self._drain()
            sampler.stop()
            orphans = self.site.end_workers()
            evidence = self._collect(sampler, struck, orphans)
            self._made_of = made_of(self.site.url)
        finally:
            self.site.end()
        return self._report(evidence, drained, time.monotonic() - began)

    def _strike(self):
        struck = Nemesis(self.site, random.Random(f"{self.scenario.seed}.nemesis"))
        tracks = timetable(self.scenario)
        if not self.site.clock.is_there:
            tracks["network"] = [each for each in tracks["network"] if each[1] != "shift_clock"]
        self.site.start_clients()
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._follow, args=(struck, track[part::parts], began))
            for track, parts in ((tracks["global"], 1), (tracks["network"], 3), (tracks["process"], 2))
            for part in range(parts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._say(f"{len(struck.faults)} faults after {time.monotonic() - began:.0f} s")
        while not self.site.are_callers_done:
            time.sleep(0.2)
        self._say(f"all is enqueued after {time.monotonic() - began:.0f} s")
        return struck

    def _follow(self, struck, moments, began):
        for moment, kind in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            try:
                struck.strike(kind)
            except Exception as error:
                # A nemesis that fails proves nothing; the campaign must say so.
                self._failures.append(f"{kind}: {type(error).__name__}: {error}")

    def _drain(self):
        until = time.monotonic() + self.scenario.drain
        while (left := collecting.unfinished(self.site.url)) and time.monotonic() < until:
            time.sleep(0.5)
        self._say(f"{left} jobs are left" if left else "all jobs have ended")
        return not left

    def _collect(self, sampler, struck, orphans):
        evidence = collecting.collect(self.site.url, self.site.logs)
        evidence.lease = LEASE
        evidence.faults = [*struck.faults, *sampler.stalls]
        evidence.samples, evidence.usages = sampler.samples, sampler.usages
        evidence.orphans = orphans
        # Killed groups leave sessions behind until the server has noticed.
        evidence.session_bound = 3 * sum(group.sessions for group in self.site.groups)
        evidence.exits = [exit for group in self.site.groups for exit in self._unexpected(group, evidence)]
        evidence.repairs = sum(int(n) for group in self.site.groups for n in group.says(_REPAIRED))
        return evidence

    def _unexpected(self, group, evidence):
        """Return the ends of processes that neither the nemesis nor a poison brought about."""
        return [
            exit
            for exit in (*group.exits, *group.deaths())
            if exit.pid not in group.expected and exit.pid not in evidence.poisoned
        ]

    def _report(self, evidence, drained, seconds):
        scenario, left_out = self.scenario, dict(nemesis.LEFT_OUT)
        if not self.site.clock.is_there:
            left_out["shift_clock"] = "there is no C compiler"
        violations = invariants.check(evidence)
        if self._failures:
            violations["nemesis"] = self._failures
        if evidence.exits:
            violations["exits"] = [f"{exit.pid}: {exit.text}" for exit in evidence.exits]
        if unclean := [code for _, code in self.site.clean_stops if code != 0]:
            violations["clean stops"] = [
                f"a worker that was told to stop ended by {code}" for code in unclean
            ]
        return Report(
            seed=scenario.seed,
            asked={
                "jobs": scenario.jobs,
                "faults": sum(scenario.faults.values()),
                "seconds": scenario.seconds,
            },
            violations=violations,
            figures=figures(evidence, self.site.clean_stops),
            bounds=scenario.bounds,
            made_of=self._made_of,
            faults=count_kinds(evidence.faults),
            seconds=seconds,
            drained=drained,
            left_out=left_out,
        )


def made_of(url):
    """Return the revision and the versions that are tried, with the server at `url`."""
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True
    )
    with auditor.connect(url) as connection:
        (server,) = connection.execute("SHOW server_version").fetchone()
    return {
        "revision": revision.stdout.strip() or "unknown",
        "Django": django.get_version(),
        "Python": platform.python_version(),
        "PostgreSQL": server.split()[0],
    }


def main():
    told = json.loads(sys.argv[1])
    scenario, output = Scenario(**told["scenario"]), Path(told["output"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def say(text):
        print(f"  {text}", flush=True)

    folder = Path(told["folder"])
    try:
        report = Campaign(scenario, folder, say).run()
    finally:
        if told["keep"]:
            _keep(folder, Path(told["keep"]))
    output.write_text(report.as_json())
    output.with_suffix(".md").write_text(report.as_markdown())
    return 0


def _keep(folder, target):
    """Copy logs to where they can be read afterwards."""
    target.mkdir(parents=True, exist_ok=True)
    for path in (*folder.glob("*.log"), folder / "cluster" / "log"):
        if path.exists():
            (target / path.name).write_bytes(path.read_bytes())


def told_to(scenario, folder, output, keep):
    """Return how to start the campaign of a scenario in a process of its own."""
    facts = {"scenario": dataclasses.asdict(scenario), "folder": str(folder), "output": str(output)}
    facts["keep"] = str(keep or "")
    return [sys.executable, "-m", "tests.chaos.campaign", json.dumps(facts)]


if __name__ == "__main__":
    sys.exit(main())
