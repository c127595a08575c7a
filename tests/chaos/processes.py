"""The campaign's processes. All carry its name in their environment, by which what is left can be found."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.chaos.records import Exit

ROOT = Path(__file__).parents[2]
MARK = "CHAOS_CAMPAIGN"
_PID = re.compile(r"Process (\d+)")


def marked():
    """Return the other living processes of this campaign, with their command lines."""
    wanted = f"{MARK}={os.environ[MARK]}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, IndexError):
            continue
        if state not in "ZX":
            found[int(folder.name)] = line.strip()
    for pid in (os.getpid(), os.getppid()):
        found.pop(pid, None)
    return found


def sweep():
    """Kill whatever of this campaign is still there."""
    for _ in range(50):
        left = marked()
        if not left:
            return
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(0.1)


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def children_of(pid):
    """Return the living children of a process, and theirs."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if fields[0] not in "ZX":
            parents[int(file.parent.name)] = int(fields[1])
    found, level = [], [pid]
    while level:
        level = [each for each, parent in parents.items() if parent in level]
        found += level
    return found


def started(part, module, *arguments, environment, log, **options):
    """Start `python -m module` as `part` of the campaign, with its output in a file."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={
            **os.environ,
            **environment,
            "CHAOS_PART": part,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
        },
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        **options,
    )


class Group:
    """One `flare_worker` with its children, as on a machine of its own; started again when it ends."""

    def __init__(self, name, options, environment, folder, proxy):
        self.name = name
        self.proxy = proxy
        self.lock = threading.Lock()
        """Held by the fault that is at work here."""
        self.pids = set()
        """All process ids that it has ever had."""
        self.exits = []
        self.expected = set()
        """Process ids whose end was brought about."""
        self._options = options
        self._environment = environment
        self._log = (Path(folder) / f"worker-{name}.log").open("ab")
        self._process = None

    def start(self):
        self._process = started(
            "worker",
            "django",
            "flare_worker",
            "--skip-checks",
            *self._options,
            environment=self._environment,
            log=self._log,
        )
        self.look()

    def look(self):
        """Note the processes there are now; return them, the supervisor first."""
        if self._process is None or self._process.poll() is not None:
            return []
        found = [self._process.pid, *children_of(self._process.pid)]
        self.pids.update(found)
        return found

    @property
    def supervisor(self):
        return self._process.pid

    @property
    def is_alive(self):
        return self._process is not None and self._process.poll() is None

    @property
    def is_up(self):
        """Whether the supervisor has said that it is at work."""
        return bool(self.says(rf"Supervisor {self.supervisor} with"))

    def signal_all(self, number):
        """Send a signal to supervisor and children; return their process ids."""
        found = self.look()
        for pid in found:
            send(pid, number)
        return found

    def wait(self, seconds):
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def mend(self):
        """Start it again if it has ended although nobody ended it."""
        if not self.is_alive and self.lock.acquire(blocking=False):
            try:
                if not self.is_alive:
                    self.exits.append(
                        Exit(time.time(), self.supervisor, f"supervisor: {self._process.returncode}")
                    )
                    self.start()
            finally:
                self.lock.release()

    def deaths(self):
        """Return what the supervisors said of children that died or were killed."""
        self._log.flush()
        text = Path(self._log.name).read_text(errors="replace")
        found = []
        for line in text.splitlines():
            said = _PID.search(line)
            if said and ("has died" in line or "is stuck" in line or "does not end" in line):
                found.append(Exit(0.0, int(said[1]), line[-160:]))
        return found

    def says(self, pattern):
        """Return what the group's log says, as the regular expression's groups."""
        self._log.flush()
        return re.findall(pattern, Path(self._log.name).read_text(errors="replace"))

    def end(self):
        if self.is_alive:
            self._process.kill()
            self._process.wait()


def order(facts):
    return json.dumps(facts)
