-- The versions and sequence numbers given out so far. They only grow, so that neither deletion nor retention can bring
-- an old one back.
CREATE TABLE counters (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    version INTEGER NOT NULL,
    history INTEGER NOT NULL
) STRICT;
INSERT INTO counters (id, version, history) VALUES (0, 0, 0);

-- A rowid table with an index, because bodies are too large for the pages of an index.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    partition TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX documents_by_key ON documents (collection, partition, key);
