"""One campaign from the first process to the report: `python -m tests.chaos.campaign`, told as JSON.

`python -m tests.chaos` starts it, and removes what is left of it however it ends.
"""

import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos import collecting, invariants, nemesis
from tests.chaos.clocks import Clock
from tests.chaos.cluster import Cluster
from tests.chaos.figures import figures
from tests.chaos.nemesis import GLOBAL, NETWORK, Nemesis
from tests.chaos.processes import Group, marked, started
from tests.chaos.report import Report, count_kinds
from tests.chaos.sampler import Sampler
from tests.chaos.scenarios import Scenario
from tests.chaos.settings import LEASE, SLOTS
from tests.proxy import Proxy

_SHUTDOWN = 4
_LINES = 8
"""Connections that a worker process has beside those of its slots, and its supervisor, at most."""
_STARTING = 90
_AT_WORK = r"(\d+) slots, queues"
_REPAIRED = r"Settled (\d+) waiting jobs"


class Site:
    """Everything that runs: the server, the workers, the clients, and the proxies between."""

    def __init__(self, scenario, folder):
        self.scenario = scenario
        self.folder = Path(folder)
        self.logs = self.folder / "clients"
        self.logs.mkdir()
        self.cluster = Cluster(self._reachable_folder(), **scenario.cluster)
        self.clock = Clock(folder)
        self.frozen = scenario.frozen
        self.long_transaction = min(300.0, scenario.seconds / 4)
        self.clean_stops = []
        self.groups = []
        self.others = []
        self._proxies = []
        self._is_ending = False

    def _reachable_folder(self):
        # The server may run under another account.
        self.folder.chmod(0o711)
        folder = self.folder / "cluster"
        folder.mkdir()
        return folder

    @property
    def url(self):
        return self.cluster.url

    def build(self):
        """Start everything; return when all workers are at work."""
        self.cluster.start()
        self.key = self._prepare()
        self.entry = self._proxy()
        self.targets = [self._group("a"), self._group("b", self.clock.environment)]
        self.shifted = self.targets[1]
        self.witness = self._group("witness", queues="default", processes=1, slots=4)
        for group in self.groups:
            group.start()
        self._start_api()
        self._await(lambda: all(len(group.says(_AT_WORK)) >= group.size for group in self.groups))

    def _prepare(self):
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.prepare", self.scenario.planted],
            env={
                **os.environ,
                **self._environment(self.url),
                "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip().splitlines()[-1]

    def _environment(self, url):
        environment = {"CHAOS_URL": url, "CHAOS_LEDGER_URL": self.url, "CHAOS_LOGS": str(self.logs)}
        return (
            {**environment, "CHAOS_PLANTED": self.scenario.planted} if self.scenario.planted else environment
        )

    def _proxy(self):
        proxy = Proxy("127.0.0.1", self.cluster.port, remembered=4096)
        self._proxies.append(proxy)
        return proxy

    def _by_way_of(self, proxy):
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{proxy.port}").geturl()

    def _group(self, name, more=None, queues="", processes=2, slots=SLOTS):
        proxy = self._proxy()
        options = ["--processes", processes, "--concurrency", slots, "--shutdown-timeout", _SHUTDOWN]
        options += ["--queues", queues] if queues else []
        environment = {**self._environment(self._by_way_of(proxy)), **(more or {})}
        group = Group(name, options, environment, self.folder, proxy)
        group.size = processes
        group.sessions = processes * (slots + _LINES)
        self.groups.append(group)
        return group

    def _start_api(self):
        port = _free_port()
        self.api = f"http://127.0.0.1:{port}/flare/"
        self._start("api", "django", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{port}")
        self._await(lambda: _answers(port))

    def start_clients(self):
        order = {
            **{
                name: getattr(self.scenario, name)
                for name in ("seed", "jobs", "seconds", "shares", "over_http")
            },
            "logs": str(self.logs),
            "api": self.api,
            "key": self.key,
        }
        self._start("clients", "tests.chaos.clients", json.dumps(order))

    def _start(self, part, *command):
        log = (self.folder / f"{part}.log").open("ab")
        environment = self._environment(self._by_way_of(self.entry))
        self.others.append(started(part, *command, environment=environment, log=log))

    @property
    def are_callers_done(self):
        if self.others[-1].poll() is not None:
            raise RuntimeError((self.folder / "clients.log").read_text()[-3000:])
        return (self.logs / "callers-are-done").exists()

    def _await(self, is_so):
        until = time.monotonic() + _STARTING
        while not is_so():
            if time.monotonic() > until:
                logs = [path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log")]
                raise RuntimeError("The campaign did not start:\n" + "\n".join(logs))
            time.sleep(0.1)

    def mend(self):
        """Start workers again that have ended by themselves."""
        if not self._is_ending:
            for group in self.groups:
                group.mend()

    def end_workers(self):
        """Stop workers and clients in order; return the processes that are left behind."""
        self._is_ending = True
        for process in self.others:
            process.terminate()
        for group in self.groups:
            if group.is_alive:
                os.kill(group.supervisor, signal.SIGTERM)
        for group in self.groups:
            group.wait(_SHUTDOWN + 20)
        for process in self.others:
            process.wait(20)
        time.sleep(1)
        ours = {self.cluster.process.pid}
        return [line for pid, line in marked().items() if pid not in ours and "postgres" not in line]

    def end(self):
        self._is_ending = True
        for group in self.groups:
            group.end()
        for process in self.others:
            process.kill()
            process.wait()
        for proxy in self._proxies:
            proxy.__exit__()
        self.cluster.stop()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
        return Report(
            seed=scenario.seed,
            asked={
                "jobs": scenario.jobs,
                "faults": sum(scenario.faults.values()),
                "seconds": scenario.seconds,
            },
            violations=violations,
            figures=figures(evidence, self.site.clean_stops),
            faults=count_kinds(evidence.faults),
            seconds=seconds,
            drained=drained,
            left_out=left_out,
        )


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
