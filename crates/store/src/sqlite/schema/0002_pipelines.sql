-- Pipeline state. Bodies are JSON with a format version; the columns beside them are what is looked up and ordered by.
--
-- What costs is how many pages a commit makes dirty. Pipelines and executions are therefore known by small numbers given
-- in the order they appear: what runs at the same time then lies side by side in every index, where ids, which are
-- random, would each dirty a page of their own.
CREATE TABLE ids (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX ids_by_text ON ids (text);

-- One small row per pipeline.
CREATE TABLE gates (
    pipeline INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX gates_by_name ON gates (account, region, name);

CREATE TABLE definitions (
    id INTEGER PRIMARY KEY,
    pipeline INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX definitions_by_number ON definitions (pipeline, number);

CREATE TABLE executions (
    execution INTEGER PRIMARY KEY,
    pipeline INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    -- Stages that succeeded, each on a line, so that a writer knows when stage_successes has to change.
    succeeded TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX executions_by_sequence ON executions (pipeline, sequence);
CREATE INDEX executions_by_status ON executions (pipeline, status, sequence);

CREATE TABLE stage_successes (
    pipeline INTEGER NOT NULL,
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (pipeline, stage, number, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE request_tokens (
    pipeline INTEGER NOT NULL,
    token TEXT NOT NULL,
    execution TEXT NOT NULL,
    PRIMARY KEY (pipeline, token)
) STRICT, WITHOUT ROWID;

-- One row per action execution, unique by (execution, action), which the writer sees to: an execution's rows are few and
-- together, an index by the action alone would be one more random page per row.
CREATE TABLE actions (
    id INTEGER PRIMARY KEY,
    pipeline INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    started INTEGER NOT NULL,
    action TEXT NOT NULL,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX actions_by_pipeline ON actions (pipeline, started);
CREATE INDEX actions_by_execution ON actions (execution, started, id, action);

CREATE TABLE history (
    sequence INTEGER PRIMARY KEY,
    pipeline INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX history_by_pipeline ON history (pipeline);
CREATE INDEX history_by_execution ON history (execution);

-- The outbox.
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    due INTEGER NOT NULL,
    owner TEXT,
    lease_until INTEGER,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX tasks_by_task ON tasks (task);
CREATE INDEX tasks_by_due ON tasks (due, task);
