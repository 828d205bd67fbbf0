-- Bundle files that were imported or made: each part once, however often it comes.
DROP TABLE bundles;
CREATE TABLE bundles (
    id        INTEGER PRIMARY KEY,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    bundle    BLOB NOT NULL CHECK (length(bundle) = 16),
    part      INTEGER NOT NULL,
    agent     BLOB,                           -- its UUID; NULL for an enrolment that was refused
    content   TEXT NOT NULL,                  -- what it is, in words
    digest    BLOB NOT NULL CHECK (length(digest) = 32), -- BLAKE3 of the file, as far as it was read, the last time
    first_at  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    times     INTEGER NOT NULL DEFAULT 1,     -- how often it was imported
    by        TEXT NOT NULL,                  -- who did so last
    outcome   TEXT NOT NULL,                  -- JSON, of the last time
    UNIQUE (direction, bundle, part)
) STRICT;
CREATE INDEX bundles_of_agent ON bundles (agent, id);

-- Batches that wait for somebody: few, and looked for by their state.
CREATE INDEX batches_waiting ON batches (state, id) WHERE state <> 'stored';

-- Whether a site never has a line: its snapshot may be relied on for as long as its licences last.
ALTER TABLE sites ADD COLUMN air_gap INTEGER NOT NULL DEFAULT 0 CHECK (air_gap IN (0, 1));
