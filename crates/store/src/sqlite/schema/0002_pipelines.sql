-- Pipeline state. Bodies are JSON with a format version; the columns beside them are what is looked up and ordered by.

-- One small row per pipeline.
CREATE TABLE gates (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX gates_by_pipeline ON gates (pipeline);
CREATE UNIQUE INDEX gates_by_name ON gates (account, region, name);

CREATE TABLE definitions (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX definitions_by_number ON definitions (pipeline, number);

CREATE TABLE executions (
    id INTEGER PRIMARY KEY,
    execution TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    -- Stages that succeeded, each on a line, so that a writer knows when stage_successes has to change.
    succeeded TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX executions_by_execution ON executions (execution);
CREATE UNIQUE INDEX executions_by_sequence ON executions (pipeline, sequence);
CREATE INDEX executions_by_status ON executions (pipeline, status, sequence);

CREATE TABLE stage_successes (
    pipeline TEXT NOT NULL,
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (pipeline, stage, number, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE request_tokens (
    pipeline TEXT NOT NULL,
    token TEXT NOT NULL,
    execution TEXT NOT NULL,
    PRIMARY KEY (pipeline, token)
) STRICT, WITHOUT ROWID;

-- One row per action execution; an index ends with the row's id, which orders equals.
CREATE TABLE actions (
    id INTEGER PRIMARY KEY,
    action TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    execution TEXT NOT NULL,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    started INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX actions_by_action ON actions (action);
CREATE INDEX actions_by_pipeline ON actions (pipeline, started);
CREATE INDEX actions_by_execution ON actions (execution, started);

CREATE TABLE history (
    sequence INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    execution TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX history_by_pipeline ON history (pipeline);
CREATE INDEX history_by_execution ON history (execution);

-- The outbox. Small and short-lived, so the rows live in the index itself.
CREATE TABLE tasks (
    task TEXT PRIMARY KEY,
    due INTEGER NOT NULL,
    owner TEXT,
    lease_until INTEGER,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_due ON tasks (due);
