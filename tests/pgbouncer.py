"""A throw-away PgBouncer in transaction mode, from the program that the system has (Debian: `pgbouncer`)."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.postgres import Account

POOL_SIZE = 4
START_SECONDS = 20


def program():
    """Return the path of the program, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """Pool the connections to the server at `url`, until the end of the `with` block."""

    def __init__(self, url):
        self._url = urlsplit(url)
        self._account = Account()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="flare-pgbouncer-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(self._configuration())
        self._log = (folder / "log").open("w+b")
        self._process = subprocess.Popen(
            [program(), configuration],
            **self._account.options,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait_until_it_listens()
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self._log.close()
        self._folder.cleanup()

    def _configuration(self):
        password = f" password={unquote(self._url.password)}" if self._url.password else ""
        return f"""
[databases]
* = host={self._url.hostname} port={self._url.port} user={self._url.username}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {POOL_SIZE}
max_client_conn = 500
ignore_startup_parameters = options,extra_float_digits
server_tls_sslmode = disable
"""

    def _wait_until_it_listens(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                self._log.seek(0)
                said = self._log.read().decode(errors="replace")
                assert self._process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)
