-- Where other systems want to be told, and what they were or are to be told: an outbox. A delivery is written in the
-- transaction of what it tells of. The tables of before were never written to.
DROP TABLE webhook_deliveries;
DROP TABLE webhooks;

CREATE TABLE webhooks (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    site            BLOB UNIQUE REFERENCES sites,      -- the address of this site's agent, which hears of its licences; NULL: another system
    customer        INTEGER REFERENCES customers,      -- NULL: of every customer
    url             TEXT NOT NULL,
    description     TEXT NOT NULL DEFAULT '',
    events          TEXT NOT NULL,                     -- JSON list of texts
    secret_sealed   BLOB NOT NULL,                     -- encrypted: it must be read back to sign
    previous_sealed BLOB,                              -- the secret before, while both are signed with
    previous_until  INTEGER,
    enabled         INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at      INTEGER NOT NULL,
    changed         INTEGER NOT NULL DEFAULT 0 CHECK (changed IN (0, 1)), -- of a site: what it may do changed, and no delivery says so yet
    waiting         INTEGER NOT NULL DEFAULT 0,        -- deliveries that wait
    dropped         INTEGER NOT NULL DEFAULT 0,        -- deliveries that were not written, because too many waited
    failing_since   INTEGER,                           -- when the first attempt failed after the last that did not
    last_success    INTEGER,
    last_failure    INTEGER,
    last_error      TEXT                               -- of the last attempt, if it failed
) STRICT;
CREATE INDEX webhooks_waiting ON webhooks (id) WHERE waiting > 0;
CREATE INDEX webhooks_changed ON webhooks (id) WHERE changed = 1;

CREATE TABLE webhook_deliveries (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16), -- in the order of time
    webhook      INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event        TEXT NOT NULL,
    body         TEXT NOT NULL,                        -- as it is sent; empty for a site, whose agent is told how things stand when it is called
    status       TEXT NOT NULL CHECK (status IN ('waiting', 'delivered', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    since        INTEGER NOT NULL,                     -- when it began to wait: by this it is given up
    next_attempt INTEGER,
    last_attempt INTEGER,
    last_status  INTEGER,                              -- what HTTP answered to the last attempt
    last_error   TEXT,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_attempt) WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_attempt) WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_oldest ON webhook_deliveries (since) WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_of_webhook ON webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- Whether others were told that the agent is there: NULL: nothing yet.
ALTER TABLE agents ADD COLUMN online INTEGER CHECK (online IN (0, 1));
CREATE INDEX agents_online ON agents (last_seen) WHERE online = 1;

-- The end of which others were told that it comes: a renewal has another one.
ALTER TABLE licenses ADD COLUMN expiring_told INTEGER;
