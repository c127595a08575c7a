"""Triggers that copy each change of a job's row, and each new link, into tables that nobody updates."""

import psycopg
from psycopg.rows import tuple_row

SCHEMA = """
CREATE TABLE chaos_history (
    seq bigserial PRIMARY KEY, job uuid NOT NULL, row_id bigint NOT NULL, before text, after text,
    fence_before int, fence int, attempt_before int, attempt int, losses_before int, losses int,
    max_attempts int, worker text, run_at_before timestamptz, run_at timestamptz, writer text,
    outcome text, error text, at timestamptz NOT NULL DEFAULT clock_timestamp(), born jsonb
);
CREATE TABLE chaos_link (
    parent bigint NOT NULL, child bigint NOT NULL, PRIMARY KEY (parent, child)
);
CREATE TABLE chaos_execution (
    nonce text, event text, job uuid NOT NULL, attempt int NOT NULL, pid int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), parents text[], PRIMARY KEY (nonce, event)
);

CREATE FUNCTION chaos_born(job django_flare_job) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('kind', job.job_type, 'scope', job.idempotency_scope,
        'key', job.idempotency_key, 'payload', job.payload::jsonb)
$$;

CREATE FUNCTION chaos_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos_history (job, row_id, after, fence_before, fence, attempt_before, attempt,
            losses_before, losses, max_attempts, worker, run_at, writer, born)
        VALUES (NEW.public_id, NEW.id, NEW.state, NEW.fence, NEW.fence, NEW.attempt, NEW.attempt, NEW.losses,
            NEW.losses, NEW.max_attempts, NEW.worker_id, NEW.run_at, current_setting('application_name'),
            chaos_born(NEW));
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO chaos_history (job, row_id, before, writer)
        VALUES (OLD.public_id, OLD.id, OLD.state, current_setting('application_name'));
    ELSE
        INSERT INTO chaos_history (job, row_id, before, after, fence_before, fence, attempt_before, attempt,
            losses_before, losses, max_attempts, worker, run_at_before, run_at, writer, outcome, error)
        VALUES (NEW.public_id, NEW.id, OLD.state, NEW.state, OLD.fence, NEW.fence, OLD.attempt, NEW.attempt,
            OLD.losses, NEW.losses, NEW.max_attempts, NEW.worker_id, OLD.run_at, NEW.run_at,
            current_setting('application_name'), left(NEW.result::text, 100),
            CASE WHEN NEW.state IN ('failed', 'dead_letter', 'cancelled')
            THEN left(NEW.error_message, 200) END);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION chaos_audit_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_link VALUES (NEW.parent_id, NEW.child_id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER chaos_audit_made AFTER INSERT OR DELETE ON django_flare_job
    FOR EACH ROW EXECUTE FUNCTION chaos_audit();
CREATE TRIGGER chaos_audit_changed AFTER UPDATE ON django_flare_job FOR EACH ROW
    WHEN ((OLD.state, OLD.fence, OLD.attempt, OLD.losses) IS DISTINCT FROM
          (NEW.state, NEW.fence, NEW.attempt, NEW.losses))
    EXECUTE FUNCTION chaos_audit();
CREATE TRIGGER chaos_audit_linked AFTER INSERT ON django_flare_continuation
    FOR EACH ROW EXECUTE FUNCTION chaos_audit_link();
"""


def connect(url, **options):
    """Connect past all proxies, with a session that a read-only server does not hold up."""
    settings = "-c default_transaction_read_only=off -c lock_timeout=20s"
    return psycopg.connect(
        url, autocommit=True, options=settings, connect_timeout=5, row_factory=tuple_row, **options
    )


def install(url):
    """Put the auditor's tables and triggers beside the migrated tables of django_flare."""
    with connect(url) as connection:
        connection.execute(SCHEMA)
