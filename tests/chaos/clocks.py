"""A realtime clock that the campaign can shift for one group of processes; needs a C compiler."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


class Clock:
    """A file with seconds, which the library that is preloaded adds to the realtime clock."""

    def __init__(self, folder):
        self.file = Path(folder) / "clock"
        self.library = _compiled(folder)
        self.shift(0)

    @property
    def is_there(self):
        return self.library is not None

    @property
    def environment(self):
        """What the processes have to be started with."""
        return {"LD_PRELOAD": str(self.library), "CHAOS_CLOCK": str(self.file)} if self.is_there else {}

    def shift(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("d", seconds))


def _compiled(folder):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = Path(folder) / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    return library if subprocess.run(command, capture_output=True).returncode == 0 else None
