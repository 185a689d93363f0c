-- Rule executions, apart from those of actions, so that neither is in the way of a page of the other.
CREATE TABLE rules (
    id INTEGER PRIMARY KEY,
    pipeline INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    started INTEGER NOT NULL,
    action TEXT NOT NULL,
    gate TEXT NOT NULL,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX rules_by_pipeline ON rules (pipeline, started);
CREATE INDEX rules_by_execution ON rules (execution, started, id, action);

-- When an execution that has ended last changed: what retention goes by. What still runs is not in the index.
ALTER TABLE executions ADD COLUMN ended INTEGER;
UPDATE executions SET ended = json_extract(CAST(body AS TEXT), '$.value.updated')
WHERE status IN ('Stopped', 'Succeeded', 'Failed', 'Superseded', 'Cancelled');
CREATE INDEX executions_by_ended ON executions (ended) WHERE ended IS NOT NULL;

-- The number of the execution that a token started, by which it is deleted together with it.
ALTER TABLE request_tokens ADD COLUMN number INTEGER;
UPDATE request_tokens SET number = (SELECT id FROM ids WHERE text = execution);
CREATE INDEX request_tokens_by_execution ON request_tokens (number);

-- Pipelines that were deleted and have left something behind.
CREATE TABLE deleted_pipelines (
    pipeline INTEGER PRIMARY KEY
) STRICT;
INSERT INTO deleted_pipelines (pipeline)
SELECT DISTINCT pipeline FROM definitions WHERE pipeline NOT IN (SELECT pipeline FROM gates);
