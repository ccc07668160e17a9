-- One text for PostgreSQL and SQLite: only types and clauses that both have. Times are microseconds since 1970 (UTC).

-- +goose Up
CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    test_case    TEXT NOT NULL,
    profile      TEXT NOT NULL,
    status       TEXT NOT NULL,
    started_us   BIGINT NOT NULL,
    target       TEXT NOT NULL,
    model        TEXT NOT NULL,
    version      TEXT NOT NULL,
    latency_ms   DOUBLE PRECISION,
    rps          DOUBLE PRECISION,
    quality      DOUBLE PRECISION,
    memory_gb    DOUBLE PRECISION,
    cpu_cores    DOUBLE PRECISION,
    report       TEXT NOT NULL
);
CREATE INDEX runs_by_start ON runs (started_us);

CREATE TABLE checks (
    run_id    TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    id        TEXT NOT NULL,
    phase     TEXT NOT NULL,
    verdict   TEXT NOT NULL,
    gate      INTEGER NOT NULL,
    measured  DOUBLE PRECISION,
    target    DOUBLE PRECISION,
    unit      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (run_id, position)
);

CREATE TABLE phases (
    run_id      TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    duration_s  DOUBLE PRECISION NOT NULL,
    scheduled   INTEGER NOT NULL,
    completed   INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    rps         DOUBLE PRECISION NOT NULL,
    latency_ms  DOUBLE PRECISION,
    PRIMARY KEY (run_id, position)
);

CREATE TABLE requests (
    id                 TEXT NOT NULL,
    received_us        BIGINT NOT NULL,
    endpoint           TEXT NOT NULL,
    model              TEXT NOT NULL,
    key_name           TEXT NOT NULL,
    status             INTEGER NOT NULL,
    finish             TEXT NOT NULL,
    streamed           INTEGER NOT NULL,
    prompt_tokens      INTEGER NOT NULL,
    completion_tokens  INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    queue_us           BIGINT NOT NULL,
    first_us           BIGINT NOT NULL,
    total_us           BIGINT NOT NULL,
    prompt             TEXT
);
CREATE INDEX requests_by_time ON requests (received_us);

-- +goose Down
DROP TABLE requests;
DROP TABLE phases;
DROP TABLE checks;
DROP TABLE runs;
