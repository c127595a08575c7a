"""A PostgreSQL server of the campaign's own; a crash of its processes costs nothing that is committed."""

from tests import postgres

SETTINGS = {
    "synchronous_commit": "on",
    "track_commit_timestamp": "on",
    "max_connections": "250",
    "shared_buffers": "256MB",
    "deadlock_timeout": "500ms",
    "log_min_messages": "warning",
    # Waiting for the disk would make all slower and prove nothing more: no fault here takes the power away.
    "fsync": "off",
    "full_page_writes": "off",
}


class Cluster(postgres.Server):
    """A server whose settings may be changed on purpose."""

    def __init__(self, folder, **changed):
        super().__init__(folder)
        self.settings = {**postgres.SETTINGS, **SETTINGS, **changed}
