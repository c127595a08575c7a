"""What a worker does, told on request: SIGQUIT writes the stacks of all threads, and the worker goes on."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from types import FrameType

logger = logging.getLogger("django_flare.worker")


def dump_on_sigquit(log_format: str) -> None:
    """Write the stacks of all threads to stderr at each SIGQUIT; call it from the main thread.

    As text they come from a handler in C, which speaks even when Python code is stuck, and the
    threads' names after them, from Python. With `json` one record holds them all.
    """
    if not hasattr(signal, "SIGQUIT"):
        return
    if log_format == "json":
        faulthandler.unregister(signal.SIGQUIT)
        signal.signal(signal.SIGQUIT, _log_soon)
    else:
        signal.signal(signal.SIGQUIT, _write_names)
        # Afterwards the handler above, since the one in C does not know the names.
        faulthandler.register(signal.SIGQUIT, file=sys.__stderr__ or 2, all_threads=True, chain=True)


def _write_names(*_: object) -> None:
    lines = [f"Thread 0x{thread.ident or 0:016x} is {thread.name}\n" for thread in threading.enumerate()]
    stream = sys.__stderr__
    if stream is not None:
        # Past the stream's buffer, which the interrupted code may be writing to.
        os.write(stream.fileno(), "".join(lines).encode(errors="backslashreplace"))


def _log_soon(*_: object) -> None:
    # On a thread of its own: the interrupted code may hold the lock of a log handler.
    threading.Thread(target=_log, name="flare-stacks", daemon=True).start()


def _log() -> None:
    # In this order: a thread that starts meanwhile is left out, and none is named that has no frame yet.
    threads = threading.enumerate()
    frames = sys._current_frames()
    parts = [f"{thread.name}:\n{_stack(frames.get(thread.ident or 0))}" for thread in threads]
    logger.warning("Stacks of all threads:\n%s", "\n".join(parts))


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame)) if frame is not None else "(no frame)\n"
