-- What programs send of themselves, straight to the hub or through an agent; and the keys with which they may.

-- A telemetry key lies on customers' machines: it is never one with which anything may be read.
ALTER TABLE api_keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'api' CHECK (purpose IN ('api', 'telemetry'));
ALTER TABLE api_keys ADD COLUMN hint TEXT NOT NULL DEFAULT ''; -- the key's last characters
-- Whether the snapshots of the sites in its scope hold its digest.
ALTER TABLE api_keys ADD COLUMN told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1));
CREATE INDEX api_keys_told ON api_keys (customer) WHERE told = 1;

-- How long a customer's raw telemetry is kept, days; NULL: for ever. Sums stay.
ALTER TABLE customers ADD COLUMN raw_days INTEGER;

-- What the vendor has released of a product. One without rows is not watched.
CREATE TABLE app_versions (
    app        TEXT NOT NULL REFERENCES apps,
    version    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE measurements (
    id          INTEGER PRIMARY KEY,
    customer    INTEGER NOT NULL,
    site        BLOB,                         -- NULL: sent to the hub with a key of no site
    api_key     INTEGER,                      -- NULL: a key that is not known here
    agent       INTEGER,                      -- through which it came, and its record there; NULL: straight to the hub
    epoch       INTEGER,
    seq         INTEGER,
    at          INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    app         TEXT NOT NULL,                -- the product's app; '' if there is none
    product     TEXT NOT NULL,                -- as it was sent; so too the next four
    version     TEXT NOT NULL,
    user        TEXT NOT NULL,
    activation  TEXT NOT NULL,
    data_group  TEXT NOT NULL,
    license     INTEGER,
    kind        TEXT NOT NULL CHECK (kind IN ('number', 'point', 'text', 'nothing')),
    x           REAL,
    y           REAL,                         -- a point's second number, or the one number
    text        TEXT,
    flagged     INTEGER NOT NULL CHECK (flagged IN (0, 1)),
    malformed   INTEGER NOT NULL CHECK (malformed IN (0, 1)),
    signs       TEXT NOT NULL,                -- why it is flagged: JSON list of kinds of red flags
    errors      TEXT NOT NULL,                -- JSON list of field and message
    raw         TEXT NOT NULL                 -- the wrong fields as they came: JSON object, or ''
) STRICT;
CREATE INDEX measurements_by_time ON measurements (at);
CREATE INDEX measurements_of_site ON measurements (site, at);
CREATE INDEX measurements_of_customer ON measurements (customer, at);
CREATE INDEX measurements_of_group ON measurements (data_group, at);
CREATE INDEX measurements_of_customer_group ON measurements (customer, data_group, at);
CREATE INDEX measurements_flagged ON measurements (at) WHERE flagged = 1;
CREATE INDEX measurements_malformed ON measurements (agent, api_key, received_at) WHERE malformed = 1;
CREATE INDEX measurements_by_arrival ON measurements (customer, received_at);
-- Where the rest of one that did not fit into its record finds it.
CREATE INDEX measurements_of_agent ON measurements (agent, epoch, seq) WHERE agent IS NOT NULL;

-- Numbers by the hour, kept in the transaction that stores them. Of points, y.
CREATE TABLE series_hourly (
    data_group TEXT NOT NULL,
    customer   INTEGER NOT NULL,
    site       BLOB NOT NULL,                 -- x'': of no site
    kind       TEXT NOT NULL,                 -- number or point
    flagged    INTEGER NOT NULL,
    hour       INTEGER NOT NULL,              -- hours since 1970
    count      INTEGER NOT NULL,
    sum        REAL NOT NULL,                 -- stops at the largest finite number
    min        REAL NOT NULL,
    max        REAL NOT NULL,
    last       REAL NOT NULL,
    last_at    INTEGER NOT NULL,
    PRIMARY KEY (data_group, customer, site, kind, flagged, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX series_by_hour ON series_hourly (data_group, hour);

-- How far the raw records of an epoch have been removed.
CREATE TABLE raw_marks (
    agent   INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    through INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch)
) STRICT, WITHOUT ROWID;

CREATE INDEX licenses_by_digest ON licenses (key_digest);

-- What was seen with an API key and no agent is an observation of that key.
ALTER TABLE red_flags ADD COLUMN api_key INTEGER REFERENCES api_keys;
CREATE UNIQUE INDEX key_flags_once ON red_flags (api_key, kind, observation)
    WHERE agent IS NULL AND observation IS NOT NULL;
CREATE INDEX red_flags_of_source ON red_flags (kind, agent, api_key, at);

-- One sending of what was queued, as its agent's record says. Nothing was ever written to the table of before.
DROP TABLE transmissions;
CREATE TABLE transmissions (
    agent       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,             -- of the record
    number      INTEGER NOT NULL,             -- the agent's own
    due_at      INTEGER NOT NULL,
    manual      INTEGER NOT NULL CHECK (manual IN (0, 1)),
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    records     INTEGER NOT NULL,
    retries     INTEGER NOT NULL,
    error       TEXT,                         -- NULL: it went well
    PRIMARY KEY (agent, epoch, seq)
) STRICT, WITHOUT ROWID;
