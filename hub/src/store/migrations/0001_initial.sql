-- The whole data model. Times are Unix milliseconds, UTC. UUIDs are 16 bytes. What is JSON says so.
-- A migration that was released is never edited: changes go into the next file.

-- A lead, before it is a customer.
CREATE TABLE institutions (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    type       TEXT NOT NULL DEFAULT '',
    address    TEXT NOT NULL DEFAULT '',
    tags       TEXT NOT NULL DEFAULT '[]',    -- JSON list of texts
    metadata   TEXT NOT NULL DEFAULT '{}',    -- JSON object, the caller's own
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- A person at an institution.
CREATE TABLE contacts (
    id          INTEGER PRIMARY KEY,
    institution INTEGER NOT NULL REFERENCES institutions ON DELETE CASCADE,
    name        TEXT NOT NULL,
    email       TEXT,
    phone       TEXT,
    position    TEXT,
    is_primary  INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1)),
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX contacts_of_institution ON contacts (institution);

-- What was said with an institution.
CREATE TABLE notes (
    id          INTEGER PRIMARY KEY,
    institution INTEGER NOT NULL REFERENCES institutions ON DELETE CASCADE,
    content     TEXT NOT NULL,
    type        TEXT NOT NULL DEFAULT '',
    tags        TEXT NOT NULL DEFAULT '[]',   -- JSON list of texts
    author      TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX notes_of_institution ON notes (institution);

-- Who buys.
CREATE TABLE customers (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    email       TEXT,
    institution INTEGER REFERENCES institutions ON DELETE SET NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX customers_of_institution ON customers (institution) WHERE institution IS NOT NULL;

-- A place of a customer.
CREATE TABLE plants (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    customer   INTEGER NOT NULL REFERENCES customers,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (customer, name)
) STRICT, WITHOUT ROWID;

-- What one agent looks after.
CREATE TABLE sites (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    plant      BLOB NOT NULL REFERENCES plants,
    name       TEXT NOT NULL,
    revision   INTEGER NOT NULL DEFAULT 1,    -- of its snapshot; grows with every change of what the site may do
    fresh_days INTEGER,                       -- how long its snapshot may be relied on; NULL: as the hub is set
    created_at INTEGER NOT NULL,
    UNIQUE (plant, name)
) STRICT, WITHOUT ROWID;

-- The apps that licences are sold for.
CREATE TABLE apps (
    code       TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO apps (code, name, created_at) VALUES
    ('CBM', 'CBM', 0), ('EMS', 'EMS', 0), ('LM', 'License management', 0);

-- What was sold.
CREATE TABLE licenses (
    id              INTEGER PRIMARY KEY,
    uuid            BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    site            BLOB REFERENCES sites,    -- NULL: sold to the customer, for any of its sites
    customer        INTEGER NOT NULL REFERENCES customers,
    app             TEXT NOT NULL REFERENCES apps,
    name            TEXT NOT NULL,
    description     TEXT NOT NULL DEFAULT '',
    kind            TEXT NOT NULL CHECK (kind IN ('perpetual', 'subscription', 'trial')),
    term            TEXT NOT NULL,            -- JSON of protocol::license::Term
    max_monitors    INTEGER,                  -- NULL: without limit; so too the next two
    max_users       INTEGER,
    max_activations INTEGER,
    features        TEXT NOT NULL,            -- JSON list of texts
    policy          TEXT NOT NULL,            -- JSON of protocol::license::Policy
    status          TEXT NOT NULL CHECK (status IN ('Inactive', 'Active', 'Expired', 'Deactivated', 'Invalid')),
    activated_at    INTEGER,
    expires_at      INTEGER,
    key_sealed      BLOB NOT NULL,            -- the key, encrypted: nonce, ciphertext, tag
    key_lookup      BLOB NOT NULL UNIQUE,     -- keyed BLAKE3 of the key: finds a licence by its key
    key_digest      BLOB,                     -- protocol::license::KeyDigest: what the site recognises the key by
    revision        INTEGER NOT NULL DEFAULT 1,
    created_at      INTEGER NOT NULL,
    UNIQUE (site, name)
) STRICT;

-- Every state that a licence was in.
CREATE TABLE license_revisions (
    license  INTEGER NOT NULL REFERENCES licenses,
    revision INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL,                   -- an administrator's name, or 'agent ' and its id
    state    TEXT NOT NULL,                   -- JSON, without the key
    PRIMARY KEY (license, revision)
) STRICT, WITHOUT ROWID;

-- A licence bound to a machine: by an agent's record, or by an app that calls the hub itself.
CREATE TABLE activations (
    id             BLOB PRIMARY KEY CHECK (length(id) = 16),
    license        INTEGER NOT NULL REFERENCES licenses,
    agent          INTEGER REFERENCES agents,
    hardware       TEXT NOT NULL DEFAULT '{}', -- JSON: the machine as the caller describes it
    machine        TEXT NOT NULL DEFAULT '',
    app_version    TEXT NOT NULL DEFAULT '',
    activated_by   TEXT NOT NULL DEFAULT '',
    activated_at   INTEGER NOT NULL,
    last_heartbeat INTEGER,
    deactivated_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX activations_of_license ON activations (license);

-- One enrolment of one machine. `id` is what other tables name it by: small, because records have it in every row.
CREATE TABLE agents (
    id               INTEGER PRIMARY KEY,
    uuid             BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    site             BLOB NOT NULL REFERENCES sites,
    status           TEXT NOT NULL CHECK (status IN ('active', 'revoked')),
    signing_key      BLOB NOT NULL UNIQUE CHECK (length(signing_key) = 32),
    tls_key          BLOB NOT NULL CHECK (length(tls_key) = 32), -- SHA-256 of its SubjectPublicKeyInfo
    certificate      BLOB NOT NULL,           -- DER
    hostname         TEXT NOT NULL,
    program          TEXT NOT NULL,
    fingerprint      TEXT NOT NULL,           -- JSON object: part of the machine, hash in hexadecimal
    enrolled_at      INTEGER NOT NULL,
    revoked_at       INTEGER,
    last_seen        INTEGER,
    address          TEXT,
    boot_id          BLOB,
    live_status      BLOB,                    -- encoded protocol::message::LiveStatus
    records_received INTEGER NOT NULL DEFAULT 0,
    records_lost     INTEGER NOT NULL DEFAULT 0  -- declared lost by the agent's signature
) STRICT;
CREATE INDEX agents_of_site ON agents (site);

-- One-time tokens. The secret is here as its digest only.
CREATE TABLE enrolments (
    token      BLOB PRIMARY KEY CHECK (length(token) = 16),
    secret     BLOB NOT NULL CHECK (length(secret) = 32), -- certs::token::secret_digest
    site       BLOB NOT NULL REFERENCES sites,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    agent      INTEGER REFERENCES agents      -- whom it brought
) STRICT, WITHOUT ROWID;

-- One life of an agent's journal: how far it is here, and the chain there.
CREATE TABLE agent_epochs (
    agent   INTEGER NOT NULL REFERENCES agents,
    epoch   INTEGER NOT NULL,
    through INTEGER NOT NULL,                 -- the last record that is here, or was declared lost or set aside
    chain   BLOB NOT NULL CHECK (length(chain) = 32),
    records INTEGER NOT NULL DEFAULT 0,       -- how many are in `records`
    lost    INTEGER NOT NULL DEFAULT 0,
    began   INTEGER NOT NULL,                 -- when its first batch arrived
    moved   INTEGER NOT NULL,                 -- when its last one did
    PRIMARY KEY (agent, epoch)
) STRICT, WITHOUT ROWID;

-- What agents signed: the evidence.
CREATE TABLE batches (
    id          INTEGER PRIMARY KEY,
    agent       INTEGER NOT NULL REFERENCES agents,
    epoch       INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    prev        BLOB NOT NULL,
    head        BLOB NOT NULL,
    lost        INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('stored', 'set_aside', 'fork')),
    header      BLOB NOT NULL,                -- the signed bytes as they came
    signature   BLOB NOT NULL,
    payload     BLOB,                         -- kept only where its records are not in `records`
    reason      TEXT,                         -- why it was set aside
    received_at INTEGER NOT NULL
) STRICT;
CREATE INDEX batches_of_epoch ON batches (agent, epoch, last);
-- A fork that is sent again and again is kept once.
CREATE UNIQUE INDEX forks_once ON batches (agent, epoch, first, last, head) WHERE state = 'fork';

-- What happened at the sites. A row is never changed. No reference is checked for each row: the writer has looked up
-- the agent in the same transaction.
CREATE TABLE records (
    agent       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at          INTEGER NOT NULL,             -- by the site's clock
    received_at INTEGER NOT NULL,             -- by the hub's
    kind        INTEGER NOT NULL,             -- protocol::record::kind, or one from a newer version
    app         TEXT,
    body        BLOB NOT NULL,                -- encoded, as it came
    PRIMARY KEY (agent, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Sums of `records` by the hour, kept in the transaction that stores them.
CREATE TABLE usage_hourly (
    site    BLOB NOT NULL REFERENCES sites,
    hour    INTEGER NOT NULL,                 -- hours since 1970, by the site's clock
    app     TEXT NOT NULL,                    -- '' for records that are of no app
    kind    INTEGER NOT NULL,
    event   TEXT NOT NULL,                    -- an event's own kind; '' for other records
    records INTEGER NOT NULL,
    total   INTEGER NOT NULL,                 -- what the records count, summed; stops at the largest integer
    PRIMARY KEY (site, hour, app, kind, event)
) STRICT, WITHOUT ROWID;

-- Signs of tampering or piracy.
CREATE TABLE red_flags (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    kind        TEXT NOT NULL,                -- gap, fork, set_aside, malformed, activation, clock, unknown_key, clone, …
    site        BLOB REFERENCES sites,
    agent       INTEGER REFERENCES agents,
    license     INTEGER REFERENCES licenses,
    details     TEXT NOT NULL,                -- JSON
    resolved_at INTEGER,
    resolved_by TEXT
) STRICT;
CREATE INDEX red_flags_open ON red_flags (at) WHERE resolved_at IS NULL;

-- One sending of what was queued, as the agent reports it.
CREATE TABLE transmissions (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    agent       INTEGER NOT NULL REFERENCES agents,
    carrier     TEXT NOT NULL CHECK (carrier IN ('quic', 'https', 'file')),
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    status      TEXT NOT NULL,
    records     INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    error       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX transmissions_of_agent ON transmissions (agent, started_at);

-- Where other systems want to be told.
CREATE TABLE webhooks (
    id            INTEGER PRIMARY KEY,
    customer      INTEGER REFERENCES customers, -- NULL: of every customer
    url           TEXT NOT NULL,
    events        TEXT NOT NULL,              -- JSON list of texts
    secret_sealed BLOB NOT NULL,              -- encrypted: it must be read back to sign
    enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT;

-- What they were, or are to be, told.
CREATE TABLE webhook_deliveries (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    webhook      INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event        TEXT NOT NULL,
    body         TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('waiting', 'delivered', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER,
    last_status  INTEGER,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt) WHERE status = 'waiting';

-- Who may administer or look.
CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    password_hash TEXT NOT NULL,              -- argon2id in PHC form
    customer      INTEGER REFERENCES customers, -- sees nothing else, if given; so too the next
    site          BLOB REFERENCES sites,
    enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT;

-- What programs come with. The key is here as its digest only.
CREATE TABLE api_keys (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    role       TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    customer   INTEGER REFERENCES customers,
    site       BLOB REFERENCES sites,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used  INTEGER,
    revoked_at INTEGER
) STRICT;

-- Who is logged in. The refresh token is here as its digest only.
CREATE TABLE sessions (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    user       INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_user ON sessions (user);

-- What administrators did. Each row has the hash of the row before it, so that none can be changed or taken out unseen.
CREATE TABLE audit_log (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    before   TEXT,                            -- JSON; NULL for what is new
    after    TEXT,                            -- JSON; NULL for what is gone
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash     BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Bundle files that were imported or exported, so that importing one twice is seen.
CREATE TABLE bundles (
    id        BLOB PRIMARY KEY CHECK (length(id) = 16),
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    agent     INTEGER REFERENCES agents,
    digest    BLOB NOT NULL CHECK (length(digest) = 32),
    at        INTEGER NOT NULL,
    by        TEXT NOT NULL,
    outcome   TEXT NOT NULL                   -- JSON
) STRICT, WITHOUT ROWID;

-- Settings that are changed while the hub runs.
CREATE TABLE settings (
    key        TEXT PRIMARY KEY,
    value      TEXT NOT NULL,                 -- JSON
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Public halves of the keys that the hub signed with: what agents are told to trust. The private ones are files.
CREATE TABLE signing_keys (
    public     BLOB PRIMARY KEY CHECK (length(public) = 32),
    purpose    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;
