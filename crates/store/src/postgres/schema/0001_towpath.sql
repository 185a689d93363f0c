-- Names and ids are compared by byte, as everywhere in Towpath, whatever the database's locale is. Bodies are JSON with a
-- format version; the columns beside them are what is looked up and ordered by.

-- The versions and sequence numbers given out so far. They only grow. Whoever commits something locks this row last, and
-- holds it until the commit is done: so commits become visible in the order of their numbers. Updated all the time, it
-- has a page to itself.
CREATE TABLE counters (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    version BIGINT NOT NULL,
    history BIGINT NOT NULL
) WITH (fillfactor = 10);
INSERT INTO counters (id, version, history) VALUES (0, 0, 0);

-- What each writer committed last, by which it finds out what became of a commit whose answer was lost.
CREATE TABLE writers (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    turn BIGINT NOT NULL,
    version BIGINT NOT NULL,
    history BIGINT NOT NULL
) WITH (fillfactor = 10);

-- An index takes keys of up to 2,700 bytes, so only the head of a long key is in it, with a hash of the rest.
CREATE TABLE documents (
    collection BYTEA NOT NULL,
    partition BYTEA NOT NULL,
    head BYTEA NOT NULL,
    tail BYTEA NOT NULL,
    tail_hash BYTEA NOT NULL,
    version BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (collection, partition, head, tail_hash)
);

-- One small row per pipeline.
CREATE TABLE gates (
    pipeline TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body BYTEA NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX gates_by_name ON gates (account, region, name);

-- Pipelines that were deleted and have left something behind.
CREATE TABLE deleted_pipelines (
    pipeline TEXT COLLATE "C" PRIMARY KEY
);

CREATE TABLE definitions (
    pipeline TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (pipeline, number)
);

CREATE TABLE executions (
    id TEXT COLLATE "C" PRIMARY KEY,
    pipeline TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    number BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    -- Stages that succeeded, each on a line, so that a writer knows when stage_successes has to change.
    succeeded TEXT COLLATE "C" NOT NULL,
    -- When one that has ended last changed: what retention goes by.
    ended BIGINT,
    body BYTEA NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX executions_by_sequence ON executions (pipeline, sequence);
CREATE INDEX executions_by_status ON executions (pipeline, status, sequence);
CREATE INDEX executions_by_ended ON executions (ended, id) WHERE ended IS NOT NULL;

CREATE TABLE stage_successes (
    pipeline TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (pipeline, stage, number, sequence)
);

CREATE TABLE request_tokens (
    pipeline TEXT COLLATE "C" NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    execution TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (pipeline, token)
);
CREATE INDEX request_tokens_by_execution ON request_tokens (execution);

-- Action executions and rule executions, apart, so that neither is in the way of a page of the other.
-- Most are replaced once, when the action ends: with room for that on the page, no index has to change.
CREATE TABLE actions (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    pipeline TEXT COLLATE "C" NOT NULL,
    execution TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    started BIGINT NOT NULL,
    gate TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (execution, action)
) WITH (fillfactor = 60);
CREATE INDEX actions_by_pipeline ON actions (pipeline, started, id);

CREATE TABLE rules (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    pipeline TEXT COLLATE "C" NOT NULL,
    execution TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    started BIGINT NOT NULL,
    gate TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (execution, action)
) WITH (fillfactor = 60);
CREATE INDEX rules_by_pipeline ON rules (pipeline, started, id);

CREATE TABLE history (
    sequence BIGINT PRIMARY KEY,
    pipeline TEXT COLLATE "C" NOT NULL,
    execution TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL
);
CREATE INDEX history_by_pipeline ON history (pipeline, sequence);
CREATE INDEX history_by_execution ON history (execution, sequence);

-- The outbox.
CREATE TABLE tasks (
    task TEXT COLLATE "C" PRIMARY KEY,
    due BIGINT NOT NULL,
    owner TEXT COLLATE "C",
    lease_until BIGINT,
    body BYTEA NOT NULL
);
CREATE INDEX tasks_by_due ON tasks (due, task);
CREATE INDEX tasks_by_owner ON tasks (owner, task);

-- Until when each node is alive.
CREATE TABLE nodes (
    node TEXT COLLATE "C" PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

-- Bodies are JSON of some kilobytes: the quicker compression where this PostgreSQL has it (from 14 on, if built so).
DO $$
DECLARE
    compressed TEXT;
BEGIN
    FOREACH compressed IN ARRAY
        ARRAY['documents', 'gates', 'definitions', 'executions', 'actions', 'rules', 'history', 'tasks']
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN body SET COMPRESSION lz4', compressed);
    END LOOP;
EXCEPTION
    WHEN feature_not_supported OR syntax_error OR invalid_parameter_value THEN
        NULL;
END
$$;
