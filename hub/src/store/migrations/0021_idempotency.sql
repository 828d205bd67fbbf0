-- Requests that came with an Idempotency-Key, and what they were answered; for a day.
CREATE TABLE idempotency (
    caller  TEXT NOT NULL,                    -- who asked
    key     BLOB NOT NULL CHECK (length(key) = 32),     -- digest of the key
    request BLOB NOT NULL CHECK (length(request) = 32), -- digest of what was asked
    at      INTEGER NOT NULL,
    status  INTEGER,                          -- NULL: it has begun, and nobody has seen its end
    answer  BLOB,                             -- encrypted, because a key that was made may be in it
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);
