"""Measure two primary keys for the job table: ``bigint`` beside a public UUID, or the UUID alone.

Run ``python benchmarks/keys.py --postgres URL --mariadb URL --rows 1000000`` with ``psycopg`` and
``PyMySQL`` installed. The tables are made in the named databases, and dropped at the end. Both
variants live side by side and take turns, so that noise of the machine meets both alike; the first
round warms up and is not counted. The script speaks SQL without Django: only the key differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

SINGLES, BULK_ROWS, BULKS, BATCH, GETS = 200, 500, 10, 200, 500
SIZES = ("table MB", "indexes MB")
COMMON_COLUMNS = """
    state varchar(16) NOT NULL, queue varchar(100) NOT NULL, job_type varchar(500) NOT NULL,
    rank smallint NOT NULL, run_at {time} NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL,
    losses smallint NOT NULL, fence int NOT NULL, timeout {interval}, worker_id varchar(64) NOT NULL,
    stop_requested bool NOT NULL, gated bool NOT NULL, open_parents int NOT NULL,
    progress double precision, payload {json} NOT NULL, result {json}, result_error text NOT NULL,
    error_message text NOT NULL, tags {json} NOT NULL, headers {json} NOT NULL, backoff {json},
    idempotency_scope varchar(100) NOT NULL, idempotency_key varchar(200),
    fingerprint varchar(64) NOT NULL, cancelled_by uuid, created_at {time} NOT NULL,
    started_at {time}, completed_at {time}, first_started_at {time}"""
WRITTEN = """state, queue, job_type, rank, run_at, attempt, max_attempts, losses, fence, worker_id,
    stop_requested, gated, open_parents, payload, result_error, error_message, tags, headers,
    idempotency_scope, idempotency_key, fingerprint, created_at"""
NEW_JOB = """(%s, 'pending', %s, 'shop.jobs.send_receipt', 0, {now}, 0, 3, 0, 0, '', false, false, 0,
    %s, '', '', '["mail"]', '{{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71-01"}}',
    '', %s, 'b1946ac92492d2347c6235b4d2611184', {now})"""


@dataclass(frozen=True)
class Key:
    """One way to identify a job; ``public`` names the column that callers know."""

    name: str
    public: str


KEYS = (Key("bigint", "public_id"), Key("uuid", "id"))


@dataclass(frozen=True)
class Figure:
    """One line of the report: medians of both variants, and every value behind them."""

    engine: str
    rows: int
    operation: str
    bigint: float
    uuid: float
    values: dict[str, list[float]]


def uuid7() -> uuid.UUID:
    """Return a version 7 UUID (RFC 9562): 48 bits of milliseconds, then random bits."""
    value = time.time_ns() // 1_000_000 << 80 | random.getrandbits(80)
    return uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)


class Store(ABC):
    """The two tables of one variant, and the statements that a job queue sends to them."""

    member: str  # the condition "is one of these ids"
    lock: str
    now: str
    types: ClassVar[dict[str, str]]

    def __init__(self, connection: Any, key: Key) -> None:
        self.connection, self.key = connection, key
        self.job, self.link = f"keys_job_{key.name}", f"keys_continuation_{key.name}"
        self.member = self.member.format(key=key.name)
        self.columns = f"{key.public}, {WRITTEN}"
        self.new_job = NEW_JOB.format(now=self.now)

    def run(self, sql: str, parameters: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows, if it has any."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def create(self) -> None:
        """Make both tables afresh."""
        self.drop()
        public = "public_id uuid NOT NULL UNIQUE," if self.key.public == "public_id" else ""
        identity = self.types["identity"] if self.key.name == "bigint" else "uuid PRIMARY KEY"
        columns = COMMON_COLUMNS.format(**self.types)
        self.run(f"CREATE TABLE {self.job} (id {identity}, {public} {columns}) {self.types['options']}")
        key = f"{self.key.name} NOT NULL"
        self.run(f"CREATE TABLE {self.link} (id {self.types['identity']}, parent_id {key}, child_id {key})")
        for column in ("parent_id", "child_id"):
            self.run(f"CREATE INDEX {self.link}_{column} ON {self.link} ({column})")
        for number, index in enumerate(self.indexes()):
            unique = "UNIQUE" if index.startswith("(idempotency") else ""
            self.run(f"CREATE {unique} INDEX {self.job}_{number} ON {self.job} {index}")

    def drop(self) -> None:
        self.run(f"DROP TABLE IF EXISTS {self.job}, {self.link}")

    def preload(self, rows: int) -> None:
        """Write finished jobs spread over the last thirty days, in the order of their creation."""
        self.run(
            f"INSERT INTO {self.job} ({self.columns}, progress, result, started_at, completed_at,"
            f" first_started_at) SELECT {self.history_uuid()}, CASE WHEN mod(n, 50) = 0 THEN 'cancelled'"
            " WHEN mod(n, 99) = 0 THEN 'dead_letter' ELSE 'succeeded' END,"
            " CASE WHEN mod(n, 4) = 0 THEN 'mail' ELSE 'default' END,"
            " concat('shop.jobs.work_', mod(n, 20)), 0, made, 1, 3, 0, 1, concat('host-', mod(n, 8)),"
            f" false, false, 0, {self.document('order')}, '', '', {self.literal('[]')},"
            f" {self.document('trace')}, '', CASE WHEN mod(n, 10) = 0 THEN concat('key-', n) END,"
            f" md5(concat(n, 'f')), made, 1.0, {self.document('sent')}, made, made, made"
            f" FROM ({self.series(rows)}) AS history"
        )
        self.connect_jobs("true")

    def connect_jobs(self, condition: str) -> None:
        """Make every tenth job the parent of the next one."""
        self.run(
            f"INSERT INTO {self.link} (parent_id, child_id) SELECT id, child FROM (SELECT id,"
            " lead(id) OVER (ORDER BY id) AS child, row_number() OVER (ORDER BY id) AS n"
            f" FROM {self.job} WHERE {condition}) AS x WHERE mod(n, 10) = 0 AND child IS NOT NULL"
        )

    def insert(self, rows: int) -> list[uuid.UUID]:
        """Insert new pending jobs with one autocommitted statement."""
        made = [uuid7() for _ in range(rows)]
        parameters: list[object] = []
        for public in made:
            key = str(public) if random.random() < 0.1 else None
            parameters += [public, "default", '{"order": 12345, "to": "someone@example.com"}', key]
        values = ", ".join([self.new_job] * rows)
        self.run(f"INSERT INTO {self.job} ({self.columns}) VALUES {values} RETURNING id", parameters)
        return made

    def claim(self) -> list[tuple[Any, int]]:
        """Claim one batch of pending jobs and return (id, fence) of each."""
        with self.transaction():
            rows = self.run(
                f"SELECT id, fence, {self.key.public}, job_type, attempt, payload, headers"
                f" FROM {self.job} WHERE queue = %s AND state = 'pending' AND NOT gated"
                f" ORDER BY rank, run_at, id LIMIT {BATCH} {self.lock}",
                ["default"],
            )
            self.run(
                f"UPDATE {self.job} SET state = 'processing', attempt = attempt + 1, fence = fence + 1,"
                f" started_at = {self.now}, worker_id = %s WHERE id {self.member}",
                ["host-1", [row[0] for row in rows]],
            )
        return [(row[0], row[1] + 1) for row in rows]

    def finish(self, claimed: list[tuple[Any, int]]) -> None:
        """Write one batch of successes and look for the children that wait for them."""
        ids = sorted(id_ for id_, _ in claimed)
        success = {"state": "succeeded", "result": '{"sent": true}'}
        outcomes = [{"id": id_, "fence": fence, **success} for id_, fence in claimed]
        with self.transaction():
            self.run(
                f"SELECT id, fence FROM {self.job} WHERE id {self.member} ORDER BY id {self.lock}", [ids]
            )
            self.run(self.finish_sql(), [json.dumps(outcomes, default=str)])
            self.run(f"SELECT parent_id, child_id FROM {self.link} WHERE parent_id {self.member}", [ids])

    def get(self, public: object) -> None:
        """Read one whole job by the identifier that callers know."""
        assert self.run(f"SELECT * FROM {self.job} WHERE {self.key.public} = %s", [public])

    def sample(self) -> list[Any]:
        """Return public identifiers from all over the history."""
        rows = self.run(
            f"SELECT {self.key.public} FROM {self.job} ORDER BY {self.types['random']} LIMIT 5000"
        )
        return [row[0] for row in rows]

    def literal(self, text: str) -> str:
        return f"cast('{text}' AS {self.types['cast']})"

    def document(self, name: str) -> str:
        text = f"""concat('{{"{name}": "', md5(concat(n, '{name}')), '", "number": ', n, '}}')"""
        return f"cast({text} AS {self.types['cast']})"

    @abstractmethod
    def indexes(self) -> tuple[str, ...]: ...
    @abstractmethod
    def series(self, rows: int) -> str: ...
    @abstractmethod
    def history_uuid(self) -> str: ...
    @abstractmethod
    def finish_sql(self) -> str: ...
    @abstractmethod
    def tidy(self) -> None: ...
    @abstractmethod
    def sizes(self) -> tuple[float, float]: ...


class PostgreSQL(Store):
    member, lock, now = "= ANY(%s::{key}[])", "FOR NO KEY UPDATE SKIP LOCKED", "statement_timestamp()"
    types: ClassVar[dict[str, str]] = {
        "identity": "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "time": "timestamptz",
        "interval": "interval", "json": "jsonb", "cast": "jsonb", "random": "random()",
        "options": "WITH (fillfactor = 70, autovacuum_enabled = off)",
    }  # fmt: skip

    def indexes(self) -> tuple[str, ...]:
        return (
            "(queue, rank, run_at, id) WHERE state = 'pending' AND NOT gated",
            "(run_at) WHERE state IN ('scheduled', 'failed') AND open_parents = 0",
            "(worker_id) WHERE state = 'processing'",
            "(completed_at) WHERE state IN ('succeeded', 'cancelled', 'dead_letter')",
            "(created_at, id)",
            "(idempotency_scope, idempotency_key) WHERE idempotency_key IS NOT NULL",
        )

    def series(self, rows: int) -> str:
        return (
            f"SELECT n, now() - ({rows} - n + 1) * (interval '30 days' / {rows}) AS made"
            f" FROM generate_series(1, {rows}) AS n"
        )

    def history_uuid(self) -> str:
        milliseconds = "lpad(to_hex((extract(epoch FROM made) * 1000)::bigint), 12, '0')"
        return f"({milliseconds} || '7' || left(md5(n::text), 3) || '8' || right(md5(n::text), 15))::uuid"

    def finish_sql(self) -> str:
        return (
            f"UPDATE {self.job} AS j SET state = d.state, result = d.result::jsonb, progress = 1.0,"
            f" completed_at = {self.now} FROM jsonb_to_recordset(%s::jsonb)"
            f" AS d(id {self.key.name}, fence int, state text, result text)"
            " WHERE j.id = d.id AND j.fence = d.fence"
        )

    def tidy(self) -> None:
        self.run(f"VACUUM (ANALYZE) {self.job}, {self.link}")

    def sizes(self) -> tuple[float, float]:
        [(table, indexes)] = self.run(
            "SELECT sum(pg_table_size(t)), sum(pg_indexes_size(t)) FROM unnest(%s::regclass[]) AS t",
            [[self.job, self.link]],
        )
        return float(table) / 1e6, float(indexes) / 1e6


class MariaDB(Store):
    member, lock, now = "IN %s", "FOR UPDATE SKIP LOCKED", "utc_timestamp(6)"
    types: ClassVar[dict[str, str]] = {
        "identity": "bigint AUTO_INCREMENT PRIMARY KEY", "time": "datetime(6)", "interval": "bigint",
        "json": "json", "cast": "char", "random": "rand()", "options": "CHARACTER SET utf8mb4",
    }  # fmt: skip

    def indexes(self) -> tuple[str, ...]:
        return (
            "(state, queue, rank, run_at, id)", "(state, run_at)", "(state, worker_id)",
            "(state, completed_at)", "(created_at, id)", "(idempotency_scope, idempotency_key)",
        )  # fmt: skip

    def series(self, rows: int) -> str:
        age = f"({rows} - seq + 1) * {30 * 86400 / rows:.6f}"
        return f"SELECT seq AS n, utc_timestamp(6) - INTERVAL {age} SECOND AS made FROM seq_1_to_{rows}"

    def history_uuid(self) -> str:
        milliseconds = "lpad(hex(cast(unix_timestamp(made) * 1000 AS unsigned)), 12, '0')"
        return f"cast(concat({milliseconds}, '7', left(md5(n), 3), '8', right(md5(n), 15)) AS uuid)"

    def finish_sql(self) -> str:
        type_ = "bigint" if self.key.name == "bigint" else "char(36)"  # JSON_TABLE knows no uuid
        return (
            f"UPDATE {self.job} AS j JOIN JSON_TABLE(%s, '$[*]' COLUMNS (id {type_} PATH '$.id',"
            " fence int PATH '$.fence', state varchar(16) PATH '$.state', result longtext PATH '$.result'))"
            " AS d ON j.id = d.id AND j.fence = d.fence SET j.state = d.state, j.result = d.result,"
            f" j.progress = 1.0, j.completed_at = {self.now}"
        )

    def tidy(self) -> None:
        self.run(f"ANALYZE TABLE {self.job}, {self.link}")

    def sizes(self) -> tuple[float, float]:
        [(table, indexes)] = self.run(
            "SELECT sum(data_length), sum(index_length) FROM information_schema.tables"
            " WHERE table_schema = database() AND table_name IN %s",
            [[self.job, self.link]],
        )
        return float(table) / 1e6, float(indexes) / 1e6


def open_postgres(url: str) -> Any:
    """Connect as Django does: parameters bound by the client, nothing prepared."""
    return psycopg.connect(url, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.ClientCursor)


def open_mariadb(url: str) -> Any:
    """Connect in UTC and at READ COMMITTED."""
    parts = urlsplit(url)
    converters: Any = {**pymysql.converters.conversions, uuid.UUID: lambda value, _: f"'{value}'"}
    return pymysql.connect(
        host=parts.hostname or "localhost", port=parts.port or 3306, user=unquote(parts.username or ""),
        password=unquote(parts.password or ""), database=parts.path.strip("/"), autocommit=True,
        conv=converters,
        init_command="SET time_zone = '+00:00', tx_isolation = 'READ-COMMITTED'",
    )  # fmt: skip


@contextmanager
def timed(figures: dict[str, float], name: str, count: int) -> Iterator[None]:
    """Note under ``name`` the microseconds that the block takes for each of ``count`` rows."""
    start = time.perf_counter()
    yield
    figures[name] = (time.perf_counter() - start) / count * 1e6


def one_round(store: Store, old: list[Any]) -> dict[str, float]:
    """Pass some thousand jobs through their whole life and time each step per row."""
    figures: dict[str, float] = {}
    made: list[Any] = []
    with timed(figures, "insert 1", SINGLES):
        for _ in range(SINGLES):
            made += store.insert(1)
    with timed(figures, f"insert {BULK_ROWS}", BULKS * BULK_ROWS):
        for _ in range(BULKS):
            made += store.insert(BULK_ROWS)
    store.connect_jobs("state = 'pending'")
    with timed(figures, f"claim {BATCH}", len(made)):
        claimed = [store.claim() for _ in range(len(made) // BATCH)]
    assert sum(map(len, claimed)) == len(made)
    with timed(figures, f"finish {BATCH}", len(made)):
        for batch in claimed:
            store.finish(batch)
    for name, ids in (("get recent", made), ("get old", old)):
        chosen = random.sample(ids, min(GETS, len(ids)))
        if chosen:
            with timed(figures, name, len(chosen)):
                for public in chosen:
                    store.get(public)
    return figures


def measure(store_class: type[Store], connection: Any, rows: int, rounds: int) -> list[Figure]:
    """Run the variants in turn at one table size; drop their tables afterwards."""
    stores = [store_class(connection, key) for key in KEYS]
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    old: dict[str, list[Any]] = {}
    try:
        for store in stores:
            store.create()
            if rows:
                store.preload(rows)
            old[store.key.name] = store.sample()
        for number in range(rounds + 1):
            for store in stores:
                store.tidy()
                for name, value in one_round(store, old[store.key.name]).items():
                    if number:
                        values[name][store.key.name].append(value)
        for store in stores:
            store.tidy()
            for name, value in zip(SIZES, store.sizes(), strict=True):
                values[name][store.key.name].append(value)
    finally:
        for store in stores:
            store.drop()
    return [
        Figure(store_class.__name__, rows, name, median(v["bigint"]), median(v["uuid"]), dict(v))
        for name, v in values.items()
    ]


def markdown(figures: Sequence[Figure]) -> str:
    """Return the figures as a table: microseconds per row, or MB; a ratio below 1 favours bigint."""
    lines = ["| database | rows | operation | bigint | uuid | bigint / uuid |", "|---|--:|---|--:|--:|--:|"]
    for f in figures:
        numbers = f"{f.bigint:,.1f} | {f.uuid:,.1f} | {f.bigint / f.uuid:.2f}"
        lines.append(f"| {f.engine} | {f.rows:,} | {f.operation} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every database given, at no history and at ``--rows`` of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--postgres", metavar="URL", help="postgresql://user@host:port/database")
    parser.add_argument("--mariadb", metavar="URL", help="mysql://user:password@host:port/database")
    parser.add_argument("--rows", type=int, default=1_000_000, help="finished jobs in the large table")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each variant")
    parser.add_argument("--json", metavar="FILE", help="also write every value to this file")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for rows in dict.fromkeys((0, arguments.rows)):
        if arguments.postgres:
            figures += measure(PostgreSQL, open_postgres(arguments.postgres), rows, arguments.rounds)
        if arguments.mariadb:
            figures += measure(MariaDB, open_mariadb(arguments.mariadb), rows, arguments.rounds)
    print(markdown(figures))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"cores": os.cpu_count(), "figures": [asdict(f) for f in figures]}, file, indent=1)


if __name__ == "__main__":
    main()
