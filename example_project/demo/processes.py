"""The programs that the demo runs, each with its output in a file of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from example_project.demo.errors import DemoError

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
_TAIL_LINES = 20


class Program:
    """A program that runs beside the demo, by default a command of manage.py; it is named after its log."""

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        command: Sequence[str] = MANAGE,
    ) -> None:
        self.name = log.stem
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own
                [*command, *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the demo alone, which then stops its programs in good order.
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise DemoError when it has ended."""
        status = self._process.poll()
        if status is not None:
            raise DemoError(f"{self.name} has ended by itself, status {status}")

    def wait(self, seconds: float) -> int:
        """Wait for it to end and return its status; kill it after `seconds`, or when interrupted."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DemoError(f"{self.name} did not end within {seconds:.0f} s and was killed") from None
        except BaseException:
            self.kill()
            raise

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """Return the last lines of its output."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"The end of {self.log}:", *(f"  | {line}" for line in lines)])


def run(
    arguments: list[str],
    log: Path,
    environment: Mapping[str, str],
    *,
    command: Sequence[str] = MANAGE,
) -> list[str]:
    """Run a program to its end and return the lines it wrote; raise DemoError with them if it fails."""
    program = Program(arguments, log, environment, command=command)
    status = program.wait(60)
    if status:
        raise DemoError(f"{program.name} failed, status {status}\n{program.tail()}")
    return log.read_text(errors="replace").splitlines()
