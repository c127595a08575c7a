"""`make serve`: the demo's server and worker in the foreground, on the database that the demo has left."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from example_project.demo.client import ShopClient
from example_project.demo.errors import DemoError
from example_project.demo.site import PASSWORD, USER, Site, chosen_folder, short

_PORT = 8000
_PAUSE = 0.2


class ServedSite(Site):
    """The site of an earlier demo, on the usual port if that is free."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if _is_free(_PORT):
            self.port = _PORT
            self.client = ShopClient(_PORT)


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; 0 then, 1 if there is no demo or one of the two has ended by itself."""
    signal.signal(signal.SIGTERM, _leave)
    site = ServedSite(chosen_folder())
    if not site.database.exists():
        print("There is no demo's database yet: run make demo first.", file=sys.stderr)
        return 1
    try:
        return _serve(site)
    except DemoError as error:
        print(f"{error}\n{site.tails()}", file=sys.stderr)
        return 1


def _serve(site: Site) -> int:
    problems: list[str] = []
    try:
        site.start()
        address = f"http://127.0.0.1:{site.port}"
        print(f"Server on {address}, admin on {address}/admin/ (user {USER}, password {PASSWORD})")
        print(f"A worker runs the jobs. Both write into {short(site.folder)}; Ctrl-C stops them.", flush=True)
        while True:
            site.check()
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        print("\nStopping the server and the worker …")
    finally:
        problems = site.stop()
    if problems:
        print("\n".join(problems), file=sys.stderr)
    return int(bool(problems))


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main())
