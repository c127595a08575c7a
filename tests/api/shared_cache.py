"""A cache for all processes of a machine whose increments are atomic, as Redis and Memcached are."""

import fcntl
from contextlib import contextmanager
from pathlib import Path

from django.core.cache.backends.filebased import FileBasedCache


class LockedFileCache(FileBasedCache):
    """Hold a lock of the system while a value is added, incremented or given another end."""

    def add(self, *args, **options):
        with self._locked():
            return super().add(*args, **options)

    def incr(self, *args, **options):
        with self._locked():
            return super().incr(*args, **options)

    def touch(self, *args, **options):
        with self._locked():
            return super().touch(*args, **options)

    @contextmanager
    def _locked(self):
        with (Path(self._dir).parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
