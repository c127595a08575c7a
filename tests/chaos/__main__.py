"""Run a campaign: `python -m tests.chaos [--jobs N] [--kills N] [--seed N] [--planted [NAME …]]`.

The exit code is 0 when every invariant held, 1 when one did not, 2 when jobs were left, so that nothing is
known. With `--planted`, 0 when each planted fault was found. It ends by itself and leaves no process behind.
"""

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import processes, scenarios
from tests.chaos.campaign import told_to
from tests.chaos.report import VERDICTS

_MARGIN = 300
"""Seconds beyond the faults and the drain, for the start, stragglers and the checker."""


def main():
    options = _parse()
    os.environ.setdefault(processes.MARK, secrets.token_hex(8))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.planted is not None:
        return _run_planted(options)
    found = _run(scenarios.campaign(options.seed, options.jobs, options.kills, options.seconds), options)
    if found is None:
        return 1
    print(found["markdown"])
    return VERDICTS[found["verdict"]]


def _parse():
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs; other faults in proportion")
    parser.add_argument("--seconds", type=float, help="in which to enqueue and strike")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--output", type=Path, help="folder for the report as Markdown and JSON")
    parser.add_argument("--logs", type=Path, help="folder to keep the processes' logs in")
    parser.add_argument("--planted", nargs="*", choices=scenarios.PLANTS, metavar="NAME")
    parser.add_argument(
        "--control", action="store_true", help="with --planted: the same, with nothing planted"
    )
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = max(20.0, options.jobs * (0.012 if options.jobs <= 20_000 else 0.024))
    return options


def _run(scenario, options):
    """Run one campaign; return its report, or None when there is none. Nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="flare-chaos-", ignore_cleanup_errors=True) as folder:
        return _run_in(Path(folder), scenario, options)


def _run_in(folder, scenario, options):
    output = folder / "report.json"
    print(
        f"Campaign {scenario.seed}{f', planted: {scenario.planted}' if scenario.planted else ''}", flush=True
    )
    process = subprocess.Popen(told_to(scenario, folder, output, options.logs), cwd=processes.ROOT)
    try:
        process.wait(scenario.seconds * 3 + scenario.drain + _MARGIN)
    except subprocess.TimeoutExpired:
        print("The campaign did not end and is killed", file=sys.stderr)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        processes.sweep()
    if not output.exists():
        return None
    found = {**json.loads(output.read_text()), "markdown": output.with_suffix(".md").read_text()}
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        name = scenario.planted or f"{scenario.jobs}-jobs-seed-{scenario.seed}"
        for suffix in (".json", ".md"):
            (options.output / f"{name}{suffix}").write_text(output.with_suffix(suffix).read_text())
    return found


def _run_planted(options):
    wrong = []
    for name in options.planted or scenarios.PLANTS:
        began = time.monotonic()
        scenario = (scenarios.control if options.control else scenarios.planted)(name, options.seed)
        found = _run(scenario, options)
        red = _red(found)
        is_right = bool(red & set(scenario.expected)) if scenario.expected else not red
        wrong += [] if is_right else [name]
        said = f"{'as it should be' if is_right else 'WRONG'}: {', '.join(sorted(red)) or 'nothing'} is red"
        expected = " or ".join(scenario.expected) or "nothing"
        print(f"{name}: {said}; expected {expected}; {time.monotonic() - began:.0f} s", flush=True)
        if found and not is_right:
            print(found["markdown"])
    return 1 if wrong else 0


def _red(found):
    """Return what is red in a report; no report at all is red, and so is one that knows nothing."""
    if found is None:
        return {"no report"}
    red = {name for name, violations in found["violations"].items() if violations}
    return red or ({"no drain"} if found["verdict"] == "unknown" else set())


if __name__ == "__main__":
    sys.exit(main())
