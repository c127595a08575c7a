"""Read what the auditor, the ledger and the clients have written down."""

from tests.chaos import auditor, client_log
from tests.chaos.evidence import Evidence
from tests.chaos.ledger import nonce_in
from tests.chaos.records import Birth, Change, Effect, Execution, Row

_HISTORY = """
    SELECT seq, job::text, before, after, EXTRACT(epoch FROM at)::float8,
        EXTRACT(epoch FROM COALESCE(pg_xact_commit_timestamp(xmin), at))::float8,
        COALESCE(fence_before, 0), COALESCE(fence, 0), COALESCE(attempt_before, 0), COALESCE(attempt, 0),
        COALESCE(losses_before, 0), COALESCE(losses, 0), COALESCE(max_attempts, 0), COALESCE(worker, ''),
        COALESCE(EXTRACT(epoch FROM run_at_before), 0)::float8,
        COALESCE(EXTRACT(epoch FROM run_at), 0)::float8,
        COALESCE(writer, ''), outcome, COALESCE(error, ''), born
    FROM chaos_history ORDER BY seq
    """
_LINKS = """
    SELECT parent.job::text, child.job::text FROM chaos_link link
    JOIN chaos_history parent ON parent.row_id = link.parent AND parent.before IS NULL
    JOIN chaos_history child ON child.row_id = link.child AND child.before IS NULL
    """
_EXECUTIONS = """
    SELECT start.nonce, start.job::text, start.attempt, start.pid, EXTRACT(epoch FROM start.at)::float8,
        EXTRACT(epoch FROM ended.at)::float8, COALESCE(start.parents, '{}')
    FROM chaos_execution start
    LEFT JOIN chaos_execution ended ON ended.nonce = start.nonce AND ended.event = 'end'
    WHERE start.event = 'start' ORDER BY start.at
    """


def collect(url, logs):
    """Return the evidence that stands in the database and in the clients' logs."""
    evidence = Evidence(operations=client_log.read(logs))
    with auditor.connect(url) as connection:
        for row in connection.execute(_HISTORY):
            _take(evidence, row)
        evidence.links = list(connection.execute(_LINKS))
        evidence.executions = [
            Execution(*row[:6], parents=tuple(row[6])) for row in connection.execute(_EXECUTIONS)
        ]
        evidence.effects = [
            Effect(*row)
            for row in connection.execute("SELECT job, kind FROM chaos_effect WHERE kind <> 'dirt'")
        ]
        evidence.orders = [token for (token,) in connection.execute("SELECT token FROM chaos_order")]
        evidence.rows = [
            Row(*row)
            for row in connection.execute("SELECT public_id::text, state, open_parents FROM django_flare_job")
        ]
    return evidence


def _take(evidence, row):
    *facts, outcome, error, born = row
    evidence.changes.append(Change(*facts, nonce=nonce_in(outcome, error), error=error))
    if born:
        change, payload = evidence.changes[-1], born["payload"]
        evidence.births.append(
            Birth(
                change.job,
                payload.get("token", ""),
                born["kind"],
                change.at,
                change.committed,
                born["scope"],
                born["key"],
                payload,
            )
        )


def unfinished(url):
    """Return how many jobs have not ended."""
    with auditor.connect(url) as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM django_flare_job"
            " WHERE state NOT IN ('succeeded', 'cancelled', 'dead_letter')"
        ).fetchall()
        return count
